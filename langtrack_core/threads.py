"""Work in a second thread, before it is asked for.

Networks, codecs and array operations let other threads run, so a second thread is a second core.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()
"""Stands behind the last item, since an item may be anything else."""


def prefetch(items: Iterable[T], depth: int) -> Generator[T]:
    """The same items in order, up to ``depth`` of them made before they are asked for, or the same exception.

    Closing it stops the thread after the item that it is making, and closes ``items`` if it is a generator.
    The other thread works in the caller's context; with ``depth`` 0 there is none."""
    if depth < 1:
        yield from items
        return
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, "langtrack-prefetch")
    run: Any = copy_context().run
    try:
        ahead = deque(pool.submit(run, next, iterator, _END) for _ in range(depth))
        while (item := ahead.popleft().result()) is not _END:
            ahead.append(pool.submit(run, next, iterator, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        if isinstance(iterator, Generator):
            iterator.close()
