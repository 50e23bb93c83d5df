"""Work in a second thread: before it is asked for (`prefetch`), or after the caller has gone on.

Networks, codecs and array operations let other threads run, so a second thread is a second core. Both keep
the order, hold a bounded number of items, hand an exception on to the caller, and leave no thread behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    pass


def prefetch(items: Iterable[T], depth: int) -> Generator[T]:
    """The same items, up to ``depth`` of them made before they are asked for.

    Closing it stops the thread after the item that it is making, and closes ``items`` if it is a generator.

    Args:
        items: iterated over in the other thread; with ``depth`` 0 in the caller's.
    """
    if depth < 1:
        yield from items
        return
    made: SimpleQueue[T | _Raised | _End] = SimpleQueue()
    free = threading.Semaphore(depth)
    stopped = threading.Event()

    def make() -> None:
        last: _Raised | _End = _End()
        iterator = iter(items)
        try:
            while free.acquire() and not stopped.is_set():
                made.put(next(iterator))
        except StopIteration:
            pass
        except BaseException as error:
            last = _Raised(error)
        try:
            if isinstance(iterator, Generator):
                iterator.close()
        except BaseException as error:
            last = _Raised(error)
        made.put(last)

    thread = threading.Thread(target=make, name="langtrack-prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            if isinstance(item, _Raised):
                raise item.error
            free.release()
            yield item
    finally:
        stopped.set()
        free.release()
        thread.join()


class BackgroundWorker(Generic[T]):
    """Does ``work`` with each item after the caller has gone on, in order.

    What ``work`` raises, the next `put` or `finish` raises; items after that are dropped.

    Args:
        depth: items that may wait; `put` waits for a place.
    """

    def __init__(self, work: Callable[[T], None], depth: int) -> None:
        self._work = work
        self._waiting: SimpleQueue[T | _End] = SimpleQueue()
        self._free = threading.Semaphore(depth)
        self._error: BaseException | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="langtrack-background", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        self._free.acquire()
        self._raise()
        self._waiting.put(item)

    def finish(self) -> None:
        """Wait until all is done."""
        self._waiting.put(_End())
        self._thread.join()
        self._raise()

    def drop(self) -> None:
        """Stop after the item at hand; nothing is raised."""
        self._stopped = True
        self._waiting.put(_End())
        self._thread.join()

    def _run(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None and not self._stopped:
                try:
                    self._work(item)
                except BaseException as error:
                    self._error = error
            self._free.release()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
