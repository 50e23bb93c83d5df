"""Work beside the caller's: order, bounds, errors, and no thread that stays."""

import threading
import time
from collections.abc import Iterator

import pytest

from langtrack_core.threads import BackgroundWorker, prefetch


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def numbers(made: list[int], closed: list[bool], count: int = 100) -> Iterator[int]:
    try:
        for number in range(count):
            made.append(number)
            yield number
    finally:
        closed.append(True)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_prefetch_gives_the_same_items_in_order(depth: int):
    made, closed = [], []
    assert list(prefetch(numbers(made, closed), depth)) == list(range(100))
    assert made == list(range(100)) and closed == [True]


@pytest.mark.parametrize("depth", [1, 3])
def test_prefetch_works_in_another_thread_and_only_so_far(depth: int):
    made, closed = [], []
    items = prefetch(numbers(made, closed), depth)
    assert next(items) == 0 and not made[depth + 1 :]
    for _ in range(200):  # the thread gets there, and waits
        if len(made) == depth + 1:
            break
        time.sleep(0.01)
    assert made == list(range(depth + 1))
    items.close()
    assert closed == [True] and len(made) <= depth + 2


@pytest.mark.parametrize("depth", [0, 2])
def test_prefetch_hands_an_error_on_in_its_place(depth: int):
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    items = prefetch(broken(), depth)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(items)


def test_behind_does_all_in_order_and_holds_few():
    done: list[int] = []
    gate = threading.Event()

    def work(item: int) -> None:
        gate.wait(10)
        done.append(item)

    behind = BackgroundWorker(work, 2)
    behind.put(0)
    behind.put(1)
    waiting = threading.Thread(target=behind.put, args=(2,))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive() and done == []  # two are held, the third waits
    gate.set()
    waiting.join(10)
    behind.finish()
    assert done == [0, 1, 2]


def test_behind_hands_an_error_on_and_does_no_more():
    done: list[int] = []

    def work(item: int) -> None:
        if item == 1:
            raise OSError("full")
        done.append(item)

    behind = BackgroundWorker(work, 1)
    with pytest.raises(OSError, match="full"):
        for item in range(100):
            behind.put(item)
    with pytest.raises(OSError, match="full"):
        behind.finish()
    assert done == [0]


def test_behind_drops_what_waits():
    done: list[int] = []
    begun, gate = threading.Event(), threading.Event()

    def work(item: int) -> None:
        begun.set()
        gate.wait(10)
        done.append(item)

    behind = BackgroundWorker(work, 5)
    for item in range(5):
        behind.put(item)
    begun.wait(10)
    opener = threading.Timer(0.05, gate.set)
    opener.start()
    behind.drop()
    opener.join(10)
    assert done == [0]
