"""Running the project below a home folder, and reading what is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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
    return {
        f"{manifest.asset}[{manifest.partition or ''}]": manifest.data_version
        for manifest, _, published in store.manifests("tiny")
        if published
    }


def summary(home: Path) -> dict:
    return json.loads((home / "demo-tiny.json").read_text())
