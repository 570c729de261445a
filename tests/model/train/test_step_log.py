"""The log of a training: its files, and trackers, which may fail."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker

from spelangy_model.train import step_log
from spelangy_model.train.step_log import cut_back, open_step_log, open_trackers

METRICS = {"loss": 2.5, "learning_rate": 0.001, "gradient_norm": 0.5, "positions_by_source": {"speech": 7}}
TIMING = {"tokens_per_s": 10.0, "mfu": None}


class Remembering(GeneralTracker):
    """A tracker that keeps what it gets, and raises from a step on."""

    name = "remembering"
    requires_logging_directory = False

    def __init__(self, fails_at: int = 99) -> None:
        self.fails_at = fails_at
        self.steps: list[tuple[int, dict[str, Any]]] = []
        self.ended = False

    @property
    def tracker(self) -> None:
        return None

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        assert step is not None
        if step >= self.fails_at:
            raise ConnectionError("no\nroute")
        self.steps.append((step, values))

    def finish(self) -> None:
        self.ended = True


def write(work: Path, steps: range, trackers: list[GeneralTracker], logged: list[str]) -> None:
    work.mkdir(exist_ok=True)
    with open_step_log(work, steps.start - 1, trackers, logged.append) as log:
        for step in steps:
            log.add({"step": step, **METRICS}, {"step": step, **TIMING})


def test_a_tracker_gets_each_step_and_the_end(tmp_path: Path) -> None:
    tracker, logged = Remembering(), []
    write(tmp_path, range(1, 4), [tracker], logged)
    assert [step for step, _ in tracker.steps] == [1, 2, 3]
    assert tracker.steps[0][1] == {"loss": 2.5, "learning_rate": 0.001, "gradient_norm": 0.5, "tokens_per_s": 10.0}
    assert tracker.ended
    assert not logged


def test_a_tracker_that_fails_is_named_once_and_left_out(tmp_path: Path) -> None:
    broken, sound, logged = Remembering(fails_at=2), Remembering(), []
    write(tmp_path, range(1, 5), [broken, sound], logged)
    assert logged == ["the tracker remembering is left out from here on: ConnectionError: no route"]
    assert [step for step, _ in sound.steps] == [1, 2, 3, 4]
    assert not broken.ended
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_tracker_that_cannot_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    assert open_trackers(["gone"], "run-v1", {}, logged.append) == []
    assert logged == ["the tracker gone is left out from here on: KeyError: 'gone'"]


def test_a_log_is_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, range(1, 6), [], [])
    assert cut_back(tmp_path, 3) == {"speech": 7}
    write(tmp_path, range(4, 5), [], [])
    for name in (step_log.METRICS, step_log.TIMING):
        assert [json.loads(line)["step"] for line in (tmp_path / name).read_text().splitlines()] == [1, 2, 3, 4]


def test_no_log_has_nothing_to_cut(tmp_path: Path) -> None:
    assert cut_back(tmp_path, 3) == {}


TRACKED = """
import sys
from pathlib import Path
from accelerate import Accelerator
from spelangy_model.train.step_log import open_step_log, open_trackers

Accelerator(cpu=True)
work = Path(sys.argv[1])
trackers = open_trackers(["wandb", "mlflow"], "run_fine-v5-0123456789abcdef", {"steps": 2, "schedule": "wsd"}, print)
assert [tracker.name for tracker in trackers] == ["wandb", "mlflow"]
with open_step_log(work, 0, trackers, print) as log:
    for step in (1, 2):
        metrics = {"step": step, "loss": 1 / step, "learning_rate": 0.1, "gradient_norm": 1.0}
        log.add(metrics, {"step": step, "mfu": None})
"""


@pytest.mark.slow
def test_wandb_and_mlflow_get_the_steps_offline(tmp_path: Path) -> None:
    for name in ("wandb", "mlflow"):
        pytest.importorskip(name)
    places = {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }
    command = [sys.executable, "-c", TRACKED, str(tmp_path)]
    ended = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "left out" not in ended.stdout
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as base:
        assert base.execute("SELECT name, status FROM runs").fetchall() == [
            ("run_fine-v5-0123456789abcdef", "FINISHED")
        ]
        losses = base.execute("SELECT step, value FROM metrics WHERE key = 'loss' ORDER BY step").fetchall()
        assert losses == [(1, 1.0), (2, 0.5)]
        assert ("schedule", "wsd") in base.execute("SELECT key, value FROM params").fetchall()
    (written,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert written.name == "run-run_fine-v5-0123456789abcdef.wandb"
    assert b"gradient_norm" in written.read_bytes()
