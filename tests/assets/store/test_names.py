"""Names that people give end at a folder of their own, or are refused in words."""

import os
from pathlib import Path

import pytest

from spelangy_assets.cli.demo import web_speech
from spelangy_assets.execution.stage import InputError, PreflightError
from spelangy_assets.orchestration.partitions import snapshots
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.stages.adopt_checkpoint import offer

BAD = ["../x", "../../../x", "/var/x", "a/b", "..", ".", "", "_", ".hidden", "a\\b", "a\0b"]


@pytest.mark.parametrize("name", BAD)
def test_no_link_is_made_outside_of_its_folder(tmp_path: Path, name: str):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    settings = Settings.at(tmp_path / "home")
    with pytest.raises(InputError, match="choose another name with --name"):
        web_speech(theirs, name, settings)
    if name != "a/b":  # a checkpoint may have its owner before it, as on the hub
        with pytest.raises(PreflightError, match="choose another name with --name"):
            offer(theirs, name, settings.checkpoints)
    assert [path for path in tmp_path.rglob("*") if path.is_symlink()] == []


def test_a_folder_that_cannot_be_a_snapshot_is_passed_over_with_a_warning(tmp_path: Path):
    settings = Settings.at(tmp_path)
    audio = settings.snapshots / "audio"
    for name in ("_", "a\\b", "good", "a...b", "2026-01 ", ".hidden"):
        (audio / name).mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(audio) + b"/\xff")).mkdir()
    with pytest.warns(UserWarning, match="holds a folder that is no snapshot: .* rename it") as warned:
        found = snapshots(SAMPLE.graph, settings)["raw_audio"]
    named = set(SAMPLE["raw_audio"].snapshots)
    assert set(found) - named == {"good", "a...b", "2026-01 "} - named
    assert len(warned) == 3
