"""What a training writes of each step: metrics.jsonl, timing.jsonl, TensorBoard, and experiment trackers.

Put here: these files and calls, by the main process alone. Do not put here: the loop, or what a step's figures are
(run.py). The files are part of the run's folder, and a training that continues after a kill continues in them.
Trackers are a copy for people: one that fails is named once and then left out, and the training continues.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from accelerate.tracking import GeneralTracker

METRICS, TIMING, TENSORBOARD = "metrics.jsonl", "timing.jsonl", "tensorboard"
PROJECT = "spelangy"

Say = Callable[[str], None]


class StepLog:
    """The open log of a running training."""

    def __init__(self, metrics: IO[str], timing: IO[str], board: Any, trackers: Sequence[GeneralTracker], say: Say):
        self._metrics, self._timing, self._board = metrics, timing, board
        self._trackers, self._say = list(trackers), say

    def add(self, metrics: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Write a step: its results, which are equal from run to run, and its cost, which is not."""
        self._metrics.write(json.dumps(metrics) + "\n")
        self._timing.write(json.dumps(timing) + "\n")
        step = metrics["step"]
        figures = {name: metrics[name] for name in ("loss", "learning_rate", "gradient_norm")}
        figures |= {name: value for name, value in timing.items() if name != "step" and value is not None}
        for name, value in figures.items():
            self._board.add_scalar(name, value, step)
        self._each(lambda tracker: tracker.log(figures, step=step))

    def flush(self) -> None:
        """Write all steps so far to the files, before a checkpoint is saved."""
        self._metrics.flush()
        self._timing.flush()

    def close_trackers(self) -> None:
        self._each(lambda tracker: tracker.finish())

    def _each(self, call: Callable[[GeneralTracker], object]) -> None:
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except Exception as error:  # noqa: BLE001  whatever it raises: a tracker is no part of the training
                self._trackers.remove(tracker)
                self._say(_left_out(getattr(tracker, "name", "without a name"), error))


@contextlib.contextmanager
def open_step_log(work: Path, first_step: int, trackers: Sequence[GeneralTracker], say: Say) -> Iterator[StepLog]:
    """Open the log in the folder `work`, for steps from `first_step` on; lines of later steps were cut off before."""
    from torch.utils.tensorboard import SummaryWriter

    with contextlib.ExitStack() as stack:
        # Line buffered: the parent process counts the lines.
        metrics = stack.enter_context((work / METRICS).open("a", buffering=1))
        timing = stack.enter_context((work / TIMING).open("a"))
        board = stack.enter_context(SummaryWriter(str(work / TENSORBOARD), purge_step=first_step + 1))
        log = StepLog(metrics, timing, board, trackers, say)
        try:
            yield log
        finally:
            log.close_trackers()


def cut_back(work: Path, first_step: int) -> dict[str, int]:
    """Cut the log of an interrupted run back to the step of its checkpoint; return its positions by source so far."""
    last: dict[str, Any] = {}
    for name in (METRICS, TIMING):
        path = work / name
        kept = path.read_text().splitlines()[:first_step] if path.exists() else []
        path.write_text("".join(f"{line}\n" for line in kept))
        if name == METRICS and kept:
            last = json.loads(kept[-1])
    return last.get("positions_by_source", {})


def copy_log(work: Path, out: Path) -> None:
    """Copy the files of the log into the finished model's folder."""
    for name in (METRICS, TIMING):
        (out / name).write_bytes((work / name).read_bytes())
    shutil.copytree(work / TENSORBOARD, out / TENSORBOARD, dirs_exist_ok=True)


def open_trackers(names: Sequence[str], title: str, options: Mapping[str, Any], say: Say) -> list[GeneralTracker]:
    """Start a run of that title, with the options of the training, in each of the trackers (wandb, mlflow).

    Where a service is and what account it has, a tracker reads from its own environment variables (WANDB_MODE,
    MLFLOW_TRACKING_URI).
    """
    from accelerate.tracking import MLflowTracker, WandBTracker

    found: list[GeneralTracker] = []
    for name in names:
        try:
            # The same id continues a run of W&B after a kill; MLflow draws its ids, and gets a second run of the name.
            tracker = {
                "wandb": lambda: WandBTracker(PROJECT, name=title, id=title, resume="allow"),
                "mlflow": lambda: MLflowTracker(PROJECT, run_name=title),
            }[name]()
            tracker.start()
            tracker.store_init_configuration(dict(options))
            found.append(tracker)
        except Exception as error:  # noqa: BLE001  whatever it raises: a tracker is no part of the training
            say(_left_out(name, error))
    return found


def _left_out(name: str, error: Exception) -> str:
    return f"the tracker {name} is left out from here on: {type(error).__name__}: {' '.join(str(error).split())}"
