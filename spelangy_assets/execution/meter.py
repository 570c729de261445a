"""The progress of a build: the units that its writer has done, and the stage's own progress inside a unit.

Put here: joining the two, and limiting how often progress is reported. Do not put here: display (the bridge writes it
to Dagster's log, the command line draws it).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spelangy_model.progress import Progress, Standing, standing

OnStanding = Callable[[Standing], None]


class Meter:
    """Computes the progress of one build from its finished units and the finished part of the current unit.

    Units that a killed run finished count as done, but not for the rate.
    """

    def __init__(self, on_standing: OnStanding, clock: Callable[[], float] = time.monotonic):
        self._on_standing = on_standing
        self._clock = clock
        self._units: tuple[int, int] | None = None
        self._part: tuple[float, float, str] | None = None
        self._start: tuple[float, float] | None = None  # share, time

    def units(self, done: int, total: int) -> None:
        self._units, self._part = (done, total), None
        self._report()

    def part(self, done: float, total: float, what: str) -> None:
        """Set how much of the current unit is done. A stage gets this method as its Progress."""
        self._part = (done, total, what)
        self._report()

    def _report(self) -> None:
        done, total = self._units or (0, 1)
        words = [f"{done} of {total} units"] if total > 1 else []
        share = done / total if total else 1.0
        if self._part is not None:
            part_done, part_total, what = self._part
            words.append(f"{part_done:g} of {part_total:g} {what}")
            share += min(1.0, part_done / part_total) / total if part_total and total else 0.0
        now = self._clock()
        if self._start is None or share < self._start[0]:  # work that restarted from a checkpoint begins there
            self._start = (share, now)
        self._on_standing(standing(share, now - self._start[1], ", ".join(words), self._start[0]))


def now_and_then(
    every_s: float, on_standing: OnStanding, at_once: bool = False, clock: Callable[[], float] = time.monotonic
) -> OnStanding:
    """Return a function that passes on at most one standing each `every_s` seconds, the first after that time unless
    `at_once`."""
    last = clock() - (every_s if at_once else 0.0)

    def pass_on(one: Standing) -> None:
        nonlocal last
        if clock() - last >= every_s:
            last = clock()
            on_standing(one)

    return pass_on


@contextmanager
def watched(
    count: Callable[[], float], total: float, what: str, progress: Progress, every_s: float = 1.0
) -> Iterator[None]:
    """Report the progress of a separate process while the block runs: `count` reads how much it has done."""
    ended = threading.Event()

    def watch() -> None:
        before = -1.0
        while not ended.wait(every_s):
            if (done := count()) != before:
                progress(done, total, what)
                before = done

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
