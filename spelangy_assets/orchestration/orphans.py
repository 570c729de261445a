"""Ends a process when its parent is gone, kills one together with its descendants, and finds whether one is alive.

Put here: that. Do not put here: how a run whose process was killed is reported (workers.py). A worker that outlived a
killed `demo`, or a training that the worker started, would keep writing to the files from which the next run resumes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterable
from multiprocessing.connection import wait

import psutil


def mark_of_process() -> str:
    """Return what identifies this process on this machine, also after its id is used again."""
    return f"{os.getpid()}:{psutil.Process().create_time()}"


def is_alive(mark: str) -> bool:
    """Whether the process of a mark still runs here."""
    pid, _, created = mark.partition(":")
    try:
        process = psutil.Process(int(pid))
        # A process id is used again after a while; together with its start time it is not.
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - float(created)) < 0.1
    except (psutil.NoSuchProcess, ValueError):
        return False


def end_with_parent() -> None:
    """Kill this process and its descendants as soon as its parent process (of multiprocessing) has ended.

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
    """Kill processes and their descendants.

    All are stopped before any is killed: once a process is killed, its children lose their parent and cannot be found.
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
