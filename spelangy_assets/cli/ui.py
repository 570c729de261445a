"""`make ui`: what `dagster dev` starts (code server, daemon, web server), the web server behind the guard.

Put here: that start. Do not put here: what the guard refuses (web_guard.py).
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster._cli.dev
from dagster_shared.cli import WorkspaceOpts

from spelangy_assets.cli.demo import prepare_instance
from spelangy_assets.cli.web_server import HOSTS_VARIABLE, allowed_hosts
from spelangy_assets.settings import Settings

_DEFINITIONS = "spelangy_assets.definitions"
_GUARDED = "spelangy_assets.cli.web_server"
_WORKSPACE = Path("workspace.yaml")


def serve_ui(host: str, port: int, hosts: Sequence[str] = (), *, read_only: bool = False) -> int:
    """Run the services until a signal ends them. `hosts` are names of this machine beside localhost.

    `read_only`: the page changes nothing; the daemon continues with schedules and sensors that are on.
    """
    os.environ[HOSTS_VARIABLE] = ",".join([*allowed_hosts(), *hosts])
    settings = Settings.from_environment()
    prepare_instance(settings)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script has started this in the background
        # Dagster gives SIGTERM the handler of SIGINT, and ends its services by SIGINT: none of them would end.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    dev: Any = dagster._cli.dev
    dev.open_ipc_subprocess = _guarded(dev.open_ipc_subprocess, ["--read-only"] if read_only else [])
    dev.dev_command_impl(
        code_server_log_level="warning",
        log_level="info",
        log_format="colored",
        port=str(port),
        host=host,
        use_legacy_code_server_behavior=False,
        shutdown_pipe=None,
        verbose=False,
        workspace_opts=WorkspaceOpts() if _WORKSPACE.is_file() else WorkspaceOpts(module_name=(_DEFINITIONS,)),
    )
    return 0


def _guarded(start: Any, more: list[str]) -> Any:
    """Return what starts a service of `dagster dev`, with the guarded web server in the place of Dagster's."""

    def start_guarded(command: list[str], **options: Any) -> Any:
        service, module = command[:2], command[2]
        if service != [sys.executable, "-m"] or module not in ("dagster_webserver", "dagster._daemon"):
            raise RuntimeError(f"this version of Dagster starts {command[:3]}, which is not known to be guarded")
        if module == "dagster_webserver":
            command = [*service, _GUARDED, *command[3:], *more]
        return start(command, **options)

    return start_guarded
