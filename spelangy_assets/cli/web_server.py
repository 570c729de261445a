"""Dagster's own web server behind the guard: `python -m spelangy_assets.cli.web_server`, with its own arguments.

Put here: that one change. Do not put here: the guard's rules (web_guard.py), or how the services of an installation are
started together (ui.py).

SPELANGY_UI_HOSTS names the hosts besides localhost and addresses in numbers, by comma.
"""

from __future__ import annotations

import os
from typing import Any

import dagster_webserver.cli
from starlette.types import ASGIApp

from spelangy_assets.cli.web_guard import WebGuard

HOSTS_VARIABLE = "SPELANGY_UI_HOSTS"


def main() -> None:
    """Serve the UI. AttributeError when this version of Dagster makes its application elsewhere: never without."""
    cli: Any = dagster_webserver.cli
    create, served = cli.create_app_from_workspace_process_context, []

    def create_guarded(*arguments: Any, **more: Any) -> ASGIApp:
        served.append(WebGuard(create(*arguments, **more), allowed_hosts()))
        return served[-1]

    serve = cli.uvicorn.run

    def serve_guarded(app: ASGIApp, **more: Any) -> None:
        if app not in served:
            raise RuntimeError("this version of Dagster serves another application than the guarded one")
        serve(app, **more)

    cli.create_app_from_workspace_process_context = create_guarded
    cli.uvicorn.run = serve_guarded
    cli.main()


def allowed_hosts() -> list[str]:
    """Return the names that the environment allows."""
    return [name.strip() for name in os.environ.get(HOSTS_VARIABLE, "").split(",") if name.strip()]


if __name__ == "__main__":
    main()
