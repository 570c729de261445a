"""Protect C libraries that call back into Python from Ctrl-C.

Put here: that protection. Do not put here: the response of a command to an interrupt (spelangy_assets/cli).

Python runs signal handlers between two instructions of the main thread. If that thread is inside a callback from a C
library, the handler's exception (KeyboardInterrupt, or Dagster's exception at the end of a run) cannot pass through the
library: ctypes and cffi print it and continue, and both the callback's work and the interrupt are lost. Other threads
never run a handler.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def uninterrupted(work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises; a signal's exception is raised after it, never inside.

    `work` runs in a separate thread, and the main thread waits for it. A second interrupt ends the wait at once; `work`
    continues and its result is not used, so `work` must have no side effects.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: list[T] = []
    failure: list[BaseException] = []
    # A plain lock, because an interrupt inside Thread.start or Thread.join may leave them half done.
    running = _thread.allocate_lock()
    running.acquire()

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            failure.append(error)
        finally:
            running.release()

    _thread.start_new_thread(body, ())
    try:
        running.acquire()
    except BaseException:
        if not (outcome or failure):  # else the lock may be taken already
            running.acquire()
        raise
    if failure:
        raise failure[0]
    return outcome[0]
