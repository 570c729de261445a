"""The memory of a process.

Put here: memory as the operating system counts it. Do not put here: GPU memory, which torch counts.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import Any


def peak_memory_bytes() -> int:
    """Return the most memory that this program has had resident.

    `ru_maxrss` will not do on Linux: a program starts with the peak of the process that started it.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on macOS in bytes
    (kilobytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024


def release_free_memory() -> None:
    """Give the memory that this process has freed back to the system: Arrow's, and where the allocator can (glibc) all.

    It collects no garbage: to look through what a process with all libraries holds takes half a second.
    """
    arrow: Any = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
