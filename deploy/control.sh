#!/usr/bin/env bash
# The three services of an instance: the code location, the daemon, the web server. When one ends all end, and whoever
# started this starts it anew.
set -uo pipefail
workspace=$(dirname "$0")/workspace.yaml
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap 'exit 143' TERM INT
dagster code-server start -h 127.0.0.1 -p 4000 -m spelangy_assets.definitions &
dagster-daemon run -w "$workspace" &
python -m spelangy_assets.cli.web_server -h 0.0.0.0 -p "${SPELANGY_UI_PORT:-3000}" -w "$workspace" &
wait -n
echo "one of the three services ended; so do the others" >&2
exit 1
