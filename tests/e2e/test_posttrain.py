"""The recipe posttrain over the runs of tiny: it takes all from tiny, ends, and is checked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from homes import run_command, summary

from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.report.post_training_page import TunedArm
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


def test_post_training_computes_nothing_of_tiny_again(tiny_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_home, home)
    ended = run_command(home, "-m", "spelangy_assets", "run", "posttrain_tiny")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = summary(home, "posttrain_tiny")
    assert result["problems"] == [] and result["failures"] == {} and result["not_run"] == []
    made = {name for name, row in result["assets"].items() if row["computed"]}
    assert made == set(recipe_named("posttrain_tiny").datasets) - set(recipe_named("tiny").datasets)
    settings = Settings.at(home)
    board = ArtifactStore(settings.store_uri, settings.cache_dir).resolve(
        DatasetName("posttrain_tiny", "post_training")
    )
    assert [row.arm for row in board.records("arms", TunedArm)] == ["fine", "quest"]
