"""A process that goes when the one that started it is gone.

Put here: that. Do not put here: what is said of a run whose process was killed (lanes.py). A lane that outlives a
killed `demo` would go on writing where the next one resumes, and a training that it started with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from multiprocessing.connection import wait

import psutil


def end_with_parent() -> None:
    """Kill this process and all that it started as soon as its parent process (of multiprocessing) has ended.

    Raises RuntimeError in a process that multiprocessing did not start.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("only a process that multiprocessing started has a parent to end with")
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
