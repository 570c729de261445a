"""C libraries that call back into Python, kept safe from Ctrl-C.

Put here: that. Do not put here: what a command does when it is interrupted (spelangy_assets/cli).

Python runs signal handlers between two instructions of the main thread. Where that is a callback which a C library
made, the exception of the handler (KeyboardInterrupt, and what Dagster raises when a run is ended) cannot pass through
the library: ctypes and cffi print it and go on, the callback's work is lost, and the interrupt too. Any other thread
never runs a handler.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def uninterrupted(work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises; a signal's exception is raised after it, never inside.

    `work` runs in a thread of its own, for which the main thread waits. A second interrupt ends the wait at once and
    leaves `work` to itself: its result is then not used, so `work` must change nothing but what it returns.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: list[T] = []
    failure: list[BaseException] = []
    # A plain lock: Thread.start and Thread.join have steps of their own that an interrupt may leave half done.
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
