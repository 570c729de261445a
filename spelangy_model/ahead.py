"""Work beside a model: threads prepare what comes next, and write what is done, while the model works.

Put here: order, bound and errors of reading ahead and of writing behind. Do not put here: what is read or written.
Decoders, encoders, Arrow and NumPy release Python's lock while they work, so that threads are enough and no sound is
copied between processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_ahead(
    read: Callable[[Item], Read], items: Iterable[Item], readers: int, most: int | None = None
) -> Iterator[tuple[Item, Read]]:
    """Yield each item, in order, with what `read` gives of it.

    With `readers` of 0 each is read when it is asked for. With more, so many threads read what comes next: at most
    `most` items, by default one more than there are readers, lie read or half read beside the one in use. `items` are
    taken from the caller's thread alone. What `read` raises is raised at its item.
    """
    if readers < 1:
        for item in items:
            yield item, read(item)
        return
    most = readers + 1 if most is None else most  # no reader waits until the caller has taken what it read
    waiting: deque[tuple[Item, Future[Read]]] = deque()
    with ThreadPoolExecutor(readers, thread_name_prefix="read-ahead") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(read, item)))
                if len(waiting) > most:
                    first, found = waiting.popleft()
                    yield first, found.result()
            while waiting:
                first, found = waiting.popleft()
                yield first, found.result()
        finally:
            for _, found in waiting:
                found.cancel()


class WriteBehind:
    """One thread that does what it is given, in order, while its owner continues.

    At most `most` pieces of work wait or are under way: to give it another one takes until the first of them is done.
    What a piece raises is raised once, by the next `do` or `wait`.
    """

    def __init__(self, most: int = 2):
        self._most = most
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._waiting: deque[Future[None]] = deque()

    def do(self, work: Callable[[], None]) -> None:
        """Do `work` after all that was given before."""
        self._wait_for(self._most - 1)
        self._waiting.append(self._pool.submit(work))

    def wait(self) -> None:
        """Return when all work is done."""
        self._wait_for(0)

    def settle(self) -> None:
        """Return when all work is done or has failed, and forget its errors."""
        wait(self._waiting)
        self._waiting.clear()

    def close(self) -> None:
        """Do what is left, forget its errors, and end the thread."""
        self.settle()
        self._pool.shutdown()

    def _wait_for(self, most_left: int) -> None:
        while len(self._waiting) > most_left:
            wait([self._waiting[0]])  # an interrupt leaves it where `settle` finds it
            self._waiting.popleft().result()
