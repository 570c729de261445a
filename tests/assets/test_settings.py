"""What is read from the environment, and what one line says of a value that cannot be."""

import errno
import math
from pathlib import Path

import pytest

from spelangy_assets.cli import main as command_line
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.report import transcript_files
from spelangy_assets.settings import Settings, SettingsError


def test_each_variable_has_a_default():
    settings = Settings.from_environment({})
    assert (settings.workers, settings.store_budget_gb, settings.executor) == (2, math.inf, "in_process")
    assert (settings.readers, Settings.from_environment({"SPELANGY_DEVICE": "cuda"}).readers) == (0, 4)
    given = Settings.from_environment({"SPELANGY_WORKERS": "7", "SPELANGY_STORE_BUDGET_GB": "1.5"})
    assert (given.workers, given.store_budget_gb) == (7, 1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("SPELANGY_WORKERS", value) for value in ("abc", "0", "-1", "2.5", "1e3", "9" * 5000, "nan")),
        *(("SPELANGY_STORE_BUDGET_GB", value) for value in ("abc", "0", "-1", "nan", "10 GB")),
        ("SPELANGY_EXECUTOR", "ray"),
        ("SPELANGY_HOME", "/data/what?"),
        ("SPELANGY_TRACKERS", "wandb,comet"),
        *(("SPELANGY_READERS", value) for value in ("-1", "x", "1.5")),
        *(("SPELANGY_SHARES_PER_GPU", value) for value in ("0", "x", "1.5")),
    ],
)
def test_a_value_that_cannot_be_is_named_in_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SettingsError, match=f"{name} is "):
        Settings.from_environment({name: value})
    monkeypatch.setenv(name, value)
    assert command_line.main(["status", "sample"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"spelangy: {name} is ")
    assert printed.count("\n") == 1


def test_trackers_write_below_the_home_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_DIR", "/elsewhere")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "MLFLOW_TRACKING_URI" not in Installation(Settings.at(tmp_path)).child_environment()
    tracked = Settings.at(tmp_path, SPELANGY_TRACKERS="wandb, mlflow")
    assert tracked.trackers == ("wandb", "mlflow")
    places = Installation(tracked).child_environment()
    assert places["WANDB_DIR"] == "/elsewhere"
    assert places["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/trackers/mlflow.db"
    assert (tmp_path / "trackers").is_dir()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_or_closed_disk_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(*_: object) -> list[str]:
        raise OSError(number, "as the system says it", "/data/out/turns.rttm")

    monkeypatch.setattr(transcript_files, "export_transcripts", fail)
    assert command_line.main(["export", "clean_transcripts@2026-01", "out", "--to", "ctm"]) == 2
    assert capsys.readouterr().err == "spelangy: /data/out/turns.rttm: as the system says it\n"
