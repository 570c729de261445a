"""Reading ahead of a model: order, bound, errors."""

import threading

import pytest

from spelangy_model.ahead import read_ahead


@pytest.mark.parametrize("readers", [0, 1, 3])
def test_items_come_in_order_with_what_was_read(readers: int) -> None:
    assert list(read_ahead(lambda n: n * n, range(20), readers)) == [(n, n * n) for n in range(20)]
    assert list(read_ahead(lambda n: n, [], readers)) == []


@pytest.mark.parametrize(("readers", "most", "ahead"), [(0, None, 0), (2, None, 2), (2, 5, 5)])
def test_no_more_items_are_taken_than_the_bound(readers: int, most: int | None, ahead: int) -> None:
    taken: list[int] = []
    items = (taken.append(n) or n for n in range(20))
    for used, (item, _) in enumerate(read_ahead(lambda n: n, items, readers, most), 1):
        assert item == used - 1
        assert len(taken) <= used + ahead


def test_readers_work_while_the_caller_does() -> None:
    read = threading.Event()

    def slow(n: int) -> int:
        if n == 1:
            read.set()
        return n

    rows = read_ahead(slow, range(3), 1)
    next(rows)
    assert read.wait(10), "the second item is read while the first is in use"
    rows.close()


@pytest.mark.parametrize("readers", [0, 2])
def test_an_error_is_raised_at_its_item(readers: int) -> None:
    def read(n: int) -> int:
        if n == 3:
            raise ValueError("no sound")
        return n

    rows = read_ahead(read, range(10), readers)
    assert [next(rows)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no sound"):
        next(rows)
