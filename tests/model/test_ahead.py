"""Reading ahead of a model and writing behind it: order, bound, errors."""

import threading

import pytest

from spelangy_model.ahead import WriteBehind, read_ahead


@pytest.mark.parametrize("readers", [0, 1, 3])
def test_items_come_in_order_with_what_was_read(readers: int) -> None:
    assert list(read_ahead(lambda n: n * n, range(20), readers)) == [(n, n * n) for n in range(20)]
    assert list(read_ahead(lambda n: n, [], readers)) == []


@pytest.mark.parametrize(("readers", "most", "ahead"), [(0, None, 0), (2, None, 3), (2, 5, 5)])
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


def test_work_behind_is_done_in_order_while_its_owner_continues() -> None:
    gate, done = threading.Event(), []
    behind = WriteBehind(most=2)

    def work(n: int) -> None:
        assert gate.wait(10)
        done.append(n)

    behind.do(lambda: work(0))
    behind.do(lambda: work(1))
    assert done == []
    third = threading.Thread(target=lambda: behind.do(lambda: work(2)))
    third.start()
    third.join(0.05)
    assert third.is_alive(), "a third piece waits for a place"
    gate.set()
    third.join(10)
    behind.wait()
    assert done == [0, 1, 2]
    behind.close()


def test_an_error_behind_is_raised_once() -> None:
    behind = WriteBehind()
    behind.do(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError):
        behind.wait()
    behind.wait()
    behind.do(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    behind.settle()
    behind.close()
