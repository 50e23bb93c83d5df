"""Long work in a thread of its own: pages watch it; it ends by itself, by `cancel`, or by an error.

The thread, not the page's request, owns the computing: whatever happens to the request, the work stops within
a frame and closes its files.
"""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from langtrack_core.types import LangTrackError

from .settings import Settings
from .track_request import without_paths

log = logging.getLogger(__name__)

Stage = Literal["waiting", "opening", "following", "writing", "stopping"]
Outcome = Literal["done", "cancelled", "failed"]
Kind = Literal["follow", "correct", "compare", "export", "open"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """Where a piece of work is. ``picture`` is a JPEG of the four panels, two by two, in their order."""

    stage: Stage = "waiting"
    frames: int = 0
    total: int | None = None
    fps: float = 0.0
    picture: bytes | None = None

    @property
    def left_s(self) -> float | None:
        if not self.total or not self.fps or self.stage not in ("following", "writing"):
            return None
        return max(self.total - self.frames, 0) / self.fps


class JobAborted(Exception):
    """Leaves the work the way an error does, so that no file stays."""


class Job:
    """Something that takes long. `cancel` and `wait` are safe at any time, from any thread.

    Subclasses give `compute`, which looks at `stopped` after every frame.

    Attributes:
        kind, title: for the page.
        folder: for the files; gone when the work failed or was dropped.
        outcome: None until it is over.
        error: one sentence when it failed.
        warning: one sentence when the clip is damaged or ends early.
        delivered: the page that watched has got the result.
    """

    kind: Kind = "follow"

    def __init__(self, folder: Path, settings: Settings, title: str, total: int | None) -> None:
        self.folder = folder
        self.title = title
        self.settings = settings
        self.progress = Progress(total=total)
        self.outcome: Outcome | None = None
        self.error: str | None = None
        self.warning: str | None = None
        self.delivered = False
        self._cancelled = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped = False
        self._lock = threading.Lock()

    def compute(self) -> None:
        """Do it.

        Raises:
            JobAborted: nobody is there any more.
        """
        raise NotImplementedError

    @property
    def started(self) -> bool:
        return self._thread is not None

    @property
    def over(self) -> bool:
        """Finished, failed, or cancelled before it started: nothing computes any more."""
        return self._over.is_set()

    def start(self) -> None:
        """Begin, unless it was begun or cancelled before."""
        with self._lock:
            if self._thread is None and not self._cancelled.is_set():
                self.progress = replace(self.progress, stage="opening")
                self._thread = threading.Thread(target=self._run, name="langtrack-run", daemon=True)
                self._thread.start()

    def cancel(self, *, keep: bool) -> None:
        """Stop after the frame that is being computed. With ``keep`` what is done so far stays; without it
        nobody is there to see it, and nothing is left."""
        with self._lock:
            self._dropped |= not keep
            self._cancelled.set()
            if not self.over:
                self.progress = replace(self.progress, stage="stopping")
            if self._thread is None and not self.over:
                self.outcome = "cancelled"
                self._over.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing computes any more; False when that took longer than ``timeout_s``."""
        return self._over.wait(timeout_s)

    def watch(self) -> Iterator[Progress]:
        """The newest progress, `Settings.preview_hz` times a second at most, until the work is over."""
        seen = None
        while not self._over.wait(1.0 / self.settings.preview_hz):
            if self.progress is not seen:
                seen = self.progress
                yield seen

    # --- for subclasses -------------------------------------------------------------------------------------

    def stopped(self) -> bool:
        """Whether to stop now and keep what is done.

        Raises:
            JobAborted: to stop and keep nothing.
        """
        if self._dropped:
            raise JobAborted
        return self._cancelled.is_set()

    def report(self, progress: Progress) -> None:
        """Once cancelled, the page is told that it stops and no more."""
        with self._lock:
            if not self._cancelled.is_set():
                self.progress = progress

    def _run(self) -> None:
        try:
            self.compute()
            if self._dropped:
                raise JobAborted
            self.outcome = "cancelled" if self._cancelled.is_set() else "done"
        except JobAborted:
            log.info("work was dropped: its page has gone")
            self.outcome = "cancelled"
            shutil.rmtree(self.folder, ignore_errors=True)
        except BaseException as error:
            self.error, self.outcome = _sentence(error), "failed"
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            self._over.set()


class RateMeter:
    """Frames done, frames a second over the last two seconds, and whether a picture is due."""

    def __init__(self, total: int | None, preview_hz: float) -> None:
        self.total = total
        self._period_s = 1.0 / preview_hz
        self._next_picture_s = 0.0
        self._moments: deque[float] = deque([time.monotonic()])

    def picture_due(self) -> bool:
        now = time.monotonic()
        if now < self._next_picture_s:
            return False
        self._next_picture_s = now + self._period_s
        return True

    def advance(self, stage: Stage, before: Progress, picture: bytes | None) -> Progress:
        now = time.monotonic()
        self._moments.append(now)
        while len(self._moments) > 2 and now - self._moments[0] > 2.0:
            self._moments.popleft()
        fps = (len(self._moments) - 1) / max(now - self._moments[0], 1e-6)
        frames = before.frames + 1
        total = None if self.total is None else max(self.total, frames)
        return Progress(stage, frames, total, fps, picture or before.picture)


@contextmanager
def closed_after(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """Close a generator here, not where the garbage collector finds it."""
    try:
        yield items
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _sentence(error: BaseException) -> str:
    """What the page is told; what only the operator can use goes to the log."""
    if isinstance(error, LangTrackError):
        return without_paths(str(error))
    if isinstance(error, MemoryError):
        return "The server ran out of memory. Try a smaller clip."
    log.error("work failed", exc_info=error)
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "its disk is full" if full else error.strerror or type(error).__name__
        return f"The server could not read or write a file: {why}."
    return "Something went wrong on the server. The operator finds the details in its log."
