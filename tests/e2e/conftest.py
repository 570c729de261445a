"""A home in which recipe `tiny` was run once, undisturbed, for all end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import run_command


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tiny")
    ended = run_command(home, "-m", "spelangy_assets", "demo", "--recipe", "tiny")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return home
