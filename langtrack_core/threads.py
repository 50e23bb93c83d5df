"""Work in a second thread: before it is asked for (`prefetch`), or after the caller has gone on.

Networks, codecs and array operations let other threads run, so a second thread is a second core. Both keep
the order, hold a bounded number of items, hand an exception on to the caller, and leave no thread behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_END: Any = object()


def prefetch(items: Iterable[T], depth: int) -> Generator[T]:
    """The same items, up to ``depth`` of them made before they are asked for.

    Closing it stops the thread after the item that it is making, and closes ``items`` if it is a generator.

    Args:
        items: iterated over in the other thread; with ``depth`` 0 in the caller's.
    """
    if depth < 1:
        yield from items
        return
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, "langtrack-prefetch")
    try:
        ahead = deque(pool.submit(next, iterator, _END) for _ in range(depth))
        while (item := ahead.popleft().result()) is not _END:
            ahead.append(pool.submit(next, iterator, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(iterator, Generator):
            iterator.close()


class BackgroundWorker(Generic[T]):
    """Does ``work`` with each item after the caller has gone on, in order.

    What ``work`` raises, the next `put` or `finish` raises; items after that are dropped.

    Args:
        depth: items that may wait; `put` waits for a place.
    """

    def __init__(self, work: Callable[[T], None], depth: int) -> None:
        self._work, self._depth = work, depth
        self._pool = ThreadPoolExecutor(1, "langtrack-background")
        self._waiting: deque[Future[None]] = deque()
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        if len(self._waiting) == self._depth:
            self._waiting.popleft().result()
        self._raise()
        self._waiting.append(self._pool.submit(self._run, item))

    def finish(self) -> None:
        """Wait until all is done."""
        self._pool.shutdown()
        self._raise()

    def drop(self) -> None:
        """Stop after the item at hand; nothing is raised."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, item: T) -> None:
        if self._error is None:
            try:
                self._work(item)
            except BaseException as error:
                self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
