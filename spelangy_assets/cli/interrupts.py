"""What a command does when it is interrupted: it ends soon, and prints one line.

Put here: that. Do not put here: the ending of worker processes (orchestration/workers.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 3.0


class Interrupted(KeyboardInterrupt):
    """A command was interrupted by a signal: Ctrl-C, the closing of its terminal, or a request to end."""

    def __init__(self, number: int):
        super().__init__(number)
        self.signal = signal.Signals(number)


def run_until_interrupted(command: Callable[[], int]) -> int:
    """Return the exit status of a command; a signal ends the process, with one line and 128 and the signal's number.

    It is raised in the command as Interrupted, so that the command ends its worker processes. What has not ended after
    PATIENCE_S, or when a second signal comes, is ended without more ado: workers end with their parent. A signal that
    the caller ignores (`nohup`) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return command()

    came: list[int] = []
    waiting: list[threading.Timer] = []

    def end(number: int) -> NoReturn:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        with contextlib.suppress(OSError):  # of a terminal that is closed
            print(f"\ninterrupted by {name}; run again to continue", file=sys.stderr, flush=True)
        os._exit(128 + number)  # the interpreter takes seconds to take its modules down

    def again(number: int, _: FrameType | None) -> None:
        end(number)

    def first(number: int, _: FrameType | None) -> None:
        for one in caught:
            signal.signal(one, again)
        came.append(number)
        # What is raised in a callback of a C library gets lost; the end comes all the same.
        waiting.append(threading.Timer(PATIENCE_S, end, [number]))
        waiting[0].daemon = True
        waiting[0].start()
        raise Interrupted(number)

    caught = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, first) for one in caught}
    try:
        status = command()
        if came:  # typer makes an exit status of any KeyboardInterrupt
            end(came[0])
        return status
    except Interrupted as interrupt:
        end(interrupt.signal)
    finally:
        for timer in waiting:
            timer.cancel()
        for one, handler in before.items():
            signal.signal(one, handler)
