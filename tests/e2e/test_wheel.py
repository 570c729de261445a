"""The distribution that people install: built, installed without the checkout, and run on the recipe `tiny`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from homes import data_versions, run_command, summary

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
NOT_BUILT_FROM = shutil.ignore_patterns(".git", ".venv", ".spelangy", "*.egg-info", "__pycache__", "build", "tests")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which nothing but the built wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PROJECT, folder / "source", ignore=NOT_BUILT_FROM)  # a build leaves folders where it builds
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(folder / "source")]
    subprocess.run(built, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("spelangy-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    shutil.rmtree(folder / "source")
    return folder / "site"


def run(installed: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the installed wheel, in a folder that is no checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPELANGY_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**kept, "PYTHONPATH": str(installed), "SPELANGY_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def test_the_wheel_is_what_runs_and_carries_its_licence(installed: Path, tmp_path: Path) -> None:
    code = "import spelangy_assets, spelangy_model; print(spelangy_assets.__file__, spelangy_model.__file__)"
    done = run(installed, tmp_path, "-c", code)
    assert all(path.startswith(str(installed)) for path in done.stdout.split()), done.stdout + done.stderr
    carried = {path.name for path in installed.glob("spelangy-*.dist-info/**/*")}
    assert {"LICENSE", "NOTICE"} <= carried


def test_the_wheel_plans_what_the_checkout_plans(installed: Path, tmp_path: Path) -> None:
    plan = ["-m", "spelangy_assets", "plan", "tiny", "--json"]
    ended, here = run(installed, tmp_path, *plan), run_command(tmp_path, *plan)
    assert ended.returncode == here.returncode == 0, ended.stdout + ended.stderr + here.stderr
    assert json.loads(ended.stdout) == json.loads(here.stdout)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_tiny_from_the_wheel_is_tiny_from_the_checkout(installed: Path, tmp_path: Path, tiny_home: Path) -> None:
    ended = run(installed, tmp_path, "-m", "spelangy_assets", "run", "tiny")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = summary(tmp_path)
    assert result["problems"] == []
    assert result["failures"] == {}
    assert data_versions(tmp_path) == data_versions(tiny_home)
