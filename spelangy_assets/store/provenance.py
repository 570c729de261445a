"""Where and by what an artifact was made: facts for the manifest that are not part of the identity."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

_PACKAGES = ("spelangy", "dagster", "torch", "transformers", "pyarrow", "numpy", "faster-whisper", "espeakng-loader")


@functools.cache
def provenance() -> dict[str, str]:
    """Return the git commit (when run from a checkout), the main packages' versions, the host and its processor."""
    facts = {"python": platform.python_version(), "host": platform.node(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "not installed"
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / ".git").exists():
        asked = subprocess.run(
            ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=False,
        )
        facts["git_commit"] = asked.stdout.strip() or "unknown"
    return facts
