"""Reading ahead of a model: what comes next is prepared by threads while the model works.

Put here: order, bound and errors of reading ahead. Do not put here: what is read. Decoders and NumPy let go of Python's
lock while they work, so that threads are enough and no sound is copied between processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_ahead(
    read: Callable[[Item], Read], items: Iterable[Item], readers: int, most: int | None = None
) -> Iterator[tuple[Item, Read]]:
    """Yield each item, in order, with what `read` gives of it.

    With `readers` of 0 each is read when it is asked for. With more, so many threads read what comes next: at most
    `most` items, by default as many as there are readers, lie read or half read beside the one in use. `items` are
    taken from the caller's thread alone. What `read` raises is raised at its item.
    """
    if readers < 1:
        for item in items:
            yield item, read(item)
        return
    most = readers if most is None else most
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
