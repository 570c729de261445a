"""Running the project below a home folder, and reading what is there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore


def run_command(home: Path, *arguments: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
    """Run the project's command line with everything below `home`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPELANGY_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**environment, "SPELANGY_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def data_versions(home: Path) -> dict[str, str]:
    """Return the data version of every published dataset below a home."""
    settings = Settings.at(home)
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    return {f"{one.name.dataset}[{one.name.partition or ''}]": one.data_version for one in store.published("tiny")}


def summary(home: Path, recipe: str = "tiny") -> dict:
    return json.loads((home / f"demo-{recipe}.json").read_text())


@contextmanager
def served(
    program: str, arguments: list[str], folder: Path, home: Path, interrupts: Any = signal.default_int_handler
) -> Iterator[str]:
    """Run a program that serves the UI on the instance of a home, and yield the UI's address; it ends with the block.

    `program` is one of Dagster's, or `ui`: this project's command, whose guard stands before the web server.
    `interrupts` is what SIGINT does in it, whatever the runner of the tests does with it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "DAGSTER_HOME": str(home / "dagster"), "SPELANGY_HOME": str(home)}
    if program == "ui":
        command = [sys.executable, "-m", "spelangy_assets", "ui", "--host", "127.0.0.1", "--port", str(port)]
    else:
        command = [str(Path(sys.executable).with_name(program)), "-h", "127.0.0.1", "-p", str(port)]
    before = signal.signal(signal.SIGINT, interrupts)  # a child inherits that
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    signal.signal(signal.SIGINT, before)
    try:
        for _ in range(180):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (folder / "log.txt").read_text()
                time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()  # `ui` ends its daemon and its code server
        try:
            server.wait(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def screenshot(page, name: str) -> None:
    """Keep a picture when a folder for pictures is named; a person should look at them now and then."""
    if folder := os.environ.get("SPELANGY_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))
