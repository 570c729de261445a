"""The processor time of a process and of its children.

Put here: CPU seconds as the operating system counts them. `os.times` will not do: it cuts each count to hundredths of a
second.
"""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, and of the processes below it that were waited for."""
    return _seconds(resource.RUSAGE_SELF) + child_cpu_seconds()


def child_cpu_seconds() -> float:
    """Return the CPU seconds of the processes below this one that have ended and were waited for."""
    return _seconds(resource.RUSAGE_CHILDREN)


def _seconds(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime
