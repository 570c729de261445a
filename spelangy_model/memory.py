"""The memory of a process.

Put here: memory as the operating system reports it. Do not put here: GPU memory, which torch reports.
"""

from __future__ import annotations

import resource
from pathlib import Path


def peak_memory_bytes() -> int:
    """Return the most memory that this program has had resident.

    `ru_maxrss` will not do on Linux: a program starts with the peak of the process that started it.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on macOS in bytes
    (kilobytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024
