"""A computation that takes long, in a thread of a pool; it ends by itself, by `cancel`, or by an error.

The thread, not the page's request, owns the computing: whatever happens to the request, the job stops within
a frame and closes its files.
"""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from contextvars import copy_context
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from langtrack_core.types import LangTrackError

from .hosting import give_memory_back
from .settings import Settings
from .track_request import without_paths

log = logging.getLogger(__name__)

Stage = Literal["waiting", "opening", "following", "writing", "stopping"]
Outcome = Literal["done", "cancelled", "failed"]
Kind = Literal["follow", "correct", "compare", "export", "open"]

CANCEL_WAIT_S = 5.0
"""Seconds to wait after `Job.cancel` for the frame that is being computed. A frame takes a second or less on
a CPU."""


@dataclass(frozen=True)
class Progress:
    """Progress of a job. ``picture`` is a JPEG of the four panels, two by two, in their order."""

    stage: Stage = "waiting"
    frames: int = 0
    total: int | None = None
    fps: float = 0.0
    picture: bytes | None = None

    @property
    def left_s(self) -> float | None:
        """Seconds until the job is done, at its present rate; None when that is not known."""
        if not self.total or not self.fps or self.stage not in ("following", "writing"):
            return None
        return max(self.total - self.frames, 0) / self.fps


class JobAborted(Exception):
    """Raised to end a job the way an error does, so that no file stays."""


class Job:
    """A computation that takes long. `cancel` and `wait` are safe at any time, from any thread.

    Subclasses define `compute`, which asks `stopped` after every frame, and before it hands on what it made:
    a job that is aborted later than that keeps its files.

    Attributes:
        kind, title: for the page.
        folder: for the files; removed when the job failed or was aborted.
        error: one sentence when it failed.
        warning: one sentence when the clip is damaged or ends early.
        delivered: whether the page that watched the job has received the result.
        aborted: whether it was cancelled and nothing of it was kept.
        superseded: whether the page shows other tracks since, or changed ones, so that what the job reports
            is no longer of them.
    """

    kind: Kind = "follow"

    def __init__(self, folder: Path, settings: Settings, title: str, total: int | None) -> None:
        self.folder = folder
        self.title = title
        self.settings = settings
        self.progress = Progress(total=total)
        self.error: str | None = None
        self.warning: str | None = None
        self.delivered = False
        self.aborted = False
        self.superseded = False
        self._outcome: Outcome | None = None
        self._cancelled = False
        self._aborted = False
        self._future: Future[None] = Future()
        self._lock = threading.Lock()

    def compute(self) -> None:
        """Do the work.

        Raises:
            JobAborted: nobody wants the result any more.
        """
        raise NotImplementedError

    def submit_to(self, pool: Executor, then: Callable[[Job], None]) -> None:
        """Put the job into a pool of threads; ``then`` is called when it is over, however it ended.

        It runs in the caller's context, by which ZeroGPU knows whose quota of GPU time to use.
        """
        self._future = pool.submit(copy_context().run, self._run)
        self._future.add_done_callback(lambda _: then(self))

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended; None until it is over."""
        if not self.over:
            return None
        return "cancelled" if self._future.cancelled() else self._outcome

    @property
    def over(self) -> bool:
        """Whether the job finished, failed, or was cancelled before it started: nothing computes any more."""
        return self._future.done()

    def cancel(self, *, keep: bool) -> None:
        """Stop after the frame that is being computed.

        Args:
            keep: keep what is done so far; otherwise nothing is left of the job.
        """
        with self._lock:
            self._aborted |= not keep
            self._cancelled = True
            if not self.over:
                self.progress = replace(self.progress, stage="stopping")
        self._future.cancel()  # only a job that waits

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the job is over; False when that took longer than ``timeout_s``."""
        try:
            self._future.result(timeout_s)
        except TimeoutError:
            return False
        except CancelledError:
            pass
        return True

    # --- for subclasses -------------------------------------------------------------------------------------

    def stopped(self) -> bool:
        """Whether to stop now and keep what is done.

        Raises:
            JobAborted: to stop and keep nothing.
        """
        if self._aborted:
            raise JobAborted
        return self._cancelled

    def report(self, progress: Progress) -> None:
        """Set the progress; a job that was cancelled keeps the stage "stopping"."""
        with self._lock:
            self.progress = replace(progress, stage="stopping") if self._cancelled else progress

    def _run(self) -> None:
        self.report(replace(self.progress, stage="opening"))
        try:
            self.compute()
            self._outcome = "cancelled" if self._cancelled else "done"
        except JobAborted:
            log.info("a job was aborted: its page has gone")
            self._outcome, self.aborted = "cancelled", True
            shutil.rmtree(self.folder, ignore_errors=True)
        except BaseException as error:
            self.error, self._outcome = sentence_of(error), "failed"
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            give_memory_back()


RATE_WINDOW_S = 2.0
"""Seconds over which the rate is averaged: long enough to be steady, short enough to follow a change."""


class RateMeter:
    """A meter of a job's progress: its frames, its rate, and when the next picture is due."""

    def __init__(self, total: int | None, preview_hz: float) -> None:
        self.total = total
        self._period_s = 1.0 / preview_hz
        self._next_picture_s = 0.0
        self._moments: deque[float] = deque([time.monotonic()])

    def picture_due(self) -> bool:
        """Whether it is time for another picture; the next one is due a period later."""
        now = time.monotonic()
        if now < self._next_picture_s:
            return False
        self._next_picture_s = now + self._period_s
        return True

    def advance(self, stage: Stage, before: Progress, picture: bytes | None) -> Progress:
        """The progress after one more frame."""
        now = time.monotonic()
        self._moments.append(now)
        while len(self._moments) > 2 and now - self._moments[0] > RATE_WINDOW_S:
            self._moments.popleft()
        fps = (len(self._moments) - 1) / max(now - self._moments[0], 1e-6)
        frames = before.frames + 1
        total = None if self.total is None else max(self.total, frames)
        return Progress(stage, frames, total, fps, picture or before.picture)


def sentence_of(error: BaseException) -> str:
    """The sentence for the page; details that only the operator can use go to the log."""
    if isinstance(error, LangTrackError):
        return without_paths(str(error))
    if isinstance(error, MemoryError):
        return "The server ran out of memory. Try a smaller clip."
    log.error("a visitor's request failed", exc_info=error)
    if isinstance(error, OSError):
        disk_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "its disk is full" if disk_full else error.strerror or type(error).__name__
        return f"The server could not read or write a file: {why}."
    return "Something went wrong on the server. The operator finds the details in its log."


def check_disk(folder: Path, settings: Settings) -> None:
    """Check that there is room for a job's files.

    Raises:
        LangTrackError: there is not.
    """
    nearest = next(parent for parent in folder.parents if parent.exists())
    if shutil.disk_usage(nearest).free < settings.min_free_mb * 1e6:
        raise LangTrackError("This server's disk is nearly full. Try again later.")
