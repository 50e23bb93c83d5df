"""The queue of jobs: a pool of threads with a bounded number of waiting jobs."""

from __future__ import annotations

import heapq
import threading
from concurrent.futures import ThreadPoolExecutor

from langtrack_core.types import LangTrackError

from .job import Job, check_disk


class JobQueue:
    """At most ``places`` jobs compute and at most ``size`` wait; they start in the order in which they came.

    Args:
        places: jobs that compute at the same time.
        size: jobs that may wait; the next one is refused.
    """

    def __init__(self, places: int, size: int) -> None:
        self._places = places
        self._size = size
        self._pool = ThreadPoolExecutor(places, thread_name_prefix="langtrack-job")
        self._lock = threading.RLock()  # a job may be over before `submit` is
        self._jobs: list[Job] = []
        self._fps: float | None = None  # of the newest job whose rate is known

    def submit(self, job: Job) -> None:
        """Add a job, which starts by itself when its turn comes, unless it is cancelled before.

        Raises:
            LangTrackError: the queue is full, or the disk nearly.
        """
        check_disk(job.folder, job.settings)
        with self._lock:
            self.check_room()
            self._jobs.append(job)
            job.submit_to(self._pool, then=self._forget)

    def check_room(self) -> None:
        """Check that another job may wait, before anything is done for it.

        Raises:
            LangTrackError: the queue is full.
        """
        with self._lock:
            self._jobs = [other for other in self._jobs if not other.over]
            waiting = max(0, len(self._jobs) - self._places)
            if len(self._jobs) >= self._places + self._size:
                raise LangTrackError(
                    f"{waiting} others are waiting, more than this server takes. Try again in a minute."
                )

    @property
    def has_free_place(self) -> bool:
        """Whether a job would start at once."""
        with self._lock:
            return sum(not job.over for job in self._jobs) < self._places

    def position(self, job: Job) -> int:
        """The job's place: 0 when it computes or is over, 1 for the next one to start, and so on."""
        with self._lock:
            jobs = [other for other in self._jobs if not other.over]
        return max(0, jobs.index(job) + 1 - self._places) if job in jobs else 0

    def wait_s(self, job: Job) -> float | None:
        """Seconds until a waiting job starts, at the present rate; None when that cannot be told."""
        with self._lock:
            jobs = [other for other in self._jobs if not other.over]
        place = jobs.index(job) if job in jobs else 0
        if place < self._places:
            return None
        self._fps = next((other.progress.fps for other in jobs if other.progress.fps), self._fps)
        durations = [_left_s(other, self._fps) for other in jobs[:place]]
        seconds = [duration for duration in durations if duration is not None]
        if len(seconds) < len(durations):
            return None
        ends = sorted(seconds[: self._places])  # of the jobs that compute, by place
        for duration in seconds[self._places :]:
            heapq.heapreplace(ends, ends[0] + duration)
        return ends[0]

    def _forget(self, job: Job) -> None:
        """Let go of a job that is over: its workspace, with all tracks in memory, goes with its session."""
        with self._lock:
            self._jobs = [other for other in self._jobs if other is not job]

    def close(self) -> None:
        """Wait until nothing computes; jobs that still wait never start."""
        self._pool.shutdown(cancel_futures=True)


def _left_s(job: Job, fps: float | None) -> float | None:
    """Seconds that a job still needs, at its own rate or at another job's."""
    progress = job.progress
    if progress.left_s is not None:
        return progress.left_s
    return max(progress.total - progress.frames, 0) / fps if progress.total and fps else None
