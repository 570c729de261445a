#!/usr/bin/env bash
# The three services that share one small task: the code location, the daemon, the web server. When one ends all end, and
# ECS starts the task anew.
set -uo pipefail
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap 'exit 143' TERM INT
dagster code-server start -h 127.0.0.1 -p 4000 -m spelangy_assets.definitions &
dagster-daemon run -w "$DAGSTER_HOME/workspace.yaml" &
dagster-webserver -h 0.0.0.0 -p "${SPELANGY_UI_PORT:-3000}" -w "$DAGSTER_HOME/workspace.yaml" &
wait -n
echo "one of the three services ended; so does the task" >&2
exit 1
