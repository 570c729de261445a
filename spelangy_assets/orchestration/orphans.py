"""A process that ends when the one that started it is gone, and the end of a process with all that it started.

Put here: both. Do not put here: what is said of a run whose process was killed (workers.py). A worker that outlives a
killed `demo` would go on writing where the next one resumes, and a training that it started with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterable
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
        kill_trees(psutil.Process().children())
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def kill_trees(roots: Iterable[psutil.Process]) -> None:
    """Kill processes and all that they started.

    They are stopped before any is killed: what a killed process has started is nobody's child and cannot be found.
    """
    stopped: set[psutil.Process] = set()
    found = set(roots)
    while new := found - stopped:
        for process in new:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        stopped |= new
        for process in list(stopped):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.update(process.children())
    for process in stopped:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
