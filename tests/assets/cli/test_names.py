"""Names on the command line that would leave a folder: refused in one line, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from spelangy_assets.cli.demo import web_speech
from spelangy_assets.cli.main import main
from spelangy_assets.execution.stage import InputError
from spelangy_assets.settings import Settings


@pytest.mark.parametrize("name", ["../../../x", "..", "/x", "a/b", ".x", "_", "", "a\\b"])
def test_a_snapshot_s_name_does_not_leave_the_folder_of_snapshots(tmp_path: Path, name: str):
    (tmp_path / "sounds").mkdir()
    with pytest.raises(InputError, match="choose another name with --name"):
        web_speech(tmp_path / "sounds", name, Settings.at(tmp_path / "home"))
    assert [path.name for path in tmp_path.rglob("*")] == ["sounds"]


@pytest.mark.parametrize("command", ["checkpoint", "speech"])
def test_the_command_line_says_so_in_one_line(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path / "home" / "deep"))
    monkeypatch.chdir(tmp_path)
    assert main([command, str(folder), "--name", "../../x"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "'../../x' cannot name a" in errors
    assert not list(tmp_path.rglob("x"))
