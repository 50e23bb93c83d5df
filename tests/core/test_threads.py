"""Work beside the caller's: order, bounds, errors, and no thread that stays."""

import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from langtrack_core.threads import prefetch


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.enumerate()
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []


def numbers(items: list[int], closed: list[bool], count: int = 100) -> Iterator[int]:
    try:
        for number in range(count):
            items.append(number)
            yield number
    finally:
        closed.append(True)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_prefetch_gives_the_same_items_in_order(depth: int):
    made_items, closed = [], []
    assert list(prefetch(numbers(made_items, closed), depth)) == list(range(100))
    assert made_items == list(range(100)) and closed == [True]


@pytest.mark.parametrize("depth", [1, 3])
def test_prefetch_works_in_another_thread_and_only_so_far(depth: int):
    made_items, closed = [], []
    items = prefetch(numbers(made_items, closed), depth)
    assert next(items) == 0 and not made_items[depth + 1 :]
    while len(made_items) <= depth:  # the thread gets there, and waits
        time.sleep(0.01)
    assert made_items == list(range(depth + 1))
    items.close()
    assert closed == [True] and len(made_items) <= depth + 2


@pytest.mark.parametrize("depth", [0, 2])
def test_prefetch_works_in_the_context_of_the_caller(depth: int):
    visitor = ContextVar("visitor", default="nobody")

    def names() -> Iterator[str]:
        for _ in range(4):
            yield visitor.get()

    visitor.set("somebody")
    assert list(prefetch(names(), depth)) == ["somebody"] * 4


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
