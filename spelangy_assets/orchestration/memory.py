"""The memory that a materialization takes.

Put here: memory of several processes together. Do not put here: what one process had (spelangy_model/memory.py).
"""

from collections.abc import Callable, Iterable

import psutil

_NEW_PEAK = 1.02  # times the resident memory at which PSS was read last


class PeakMemory:
    """The most memory of this process and all below it, in which a page that several share counts once (PSS).

    Reading PSS of two workers and their trainings takes 100 ms, the sum of their resident memory (RSS) 1 ms. So PSS is
    read only where that sum is more than 2% above the greatest so far.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.peak_runs: list[str] = []
        self._resident_bytes = 0

    def look(self, runs: Iterable[str] = ()) -> None:
        """Read the memory of now; `runs` are under way, and `peak_runs` those of the greatest memory."""
        me = psutil.Process()
        processes = [me, *me.children(recursive=True)]
        resident_bytes = sum(_of(process, lambda one: one.memory_info().rss) for process in processes)
        if resident_bytes < self._resident_bytes * _NEW_PEAK:
            return
        self._resident_bytes = resident_bytes
        taken_bytes = sum(_of(process, _proportional_bytes) for process in processes)
        if taken_bytes > self.peak_bytes:
            self.peak_bytes, self.peak_runs = taken_bytes, sorted(runs)


def _proportional_bytes(process: psutil.Process) -> int:
    """Return the process's share of memory; its resident memory where the system does not tell (macOS)."""
    found = process.memory_full_info() if psutil.LINUX else process.memory_info()
    return getattr(found, "pss", found.rss)


def _of(process: psutil.Process, read: Callable[[psutil.Process], int]) -> int:
    """Return what is read of a process, 0 of one that has ended."""
    try:
        return read(process)
    except psutil.NoSuchProcess:
        return 0
