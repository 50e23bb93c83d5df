"""Who computes now and who waits: jobs get their turn in the order in which they came."""

from __future__ import annotations

import threading
from typing import Protocol

from langtrack_core.types import LangTrackError


class Waiting(Protocol):
    """What the line needs of a job."""

    @property
    def over(self) -> bool: ...

    def start(self) -> None: ...

    def wait(self, timeout_s: float | None = None) -> bool: ...


class JobQueue:
    """At most ``places`` jobs compute, at most ``size`` wait. Whether anybody watches a job plays no part.

    Args:
        places: jobs that compute at the same time.
        size: jobs that may wait; the next one is told to come back.
    """

    def __init__(self, places: int, size: int) -> None:
        self._places = places
        self._size = size
        self._turn = threading.Condition()
        self._waiting: list[Waiting] = []
        self._active: list[Waiting] = []

    def enter(self, job: Waiting) -> None:
        """The job starts by itself when its turn comes, unless it is cancelled before.

        Raises:
            LangTrackError: the line is full.
        """
        with self._turn:
            ahead = [other for other in self._waiting if not other.over]
            free = self._places - len(self._active)
            if len(ahead) >= self._size + max(0, free):
                raise LangTrackError(
                    f"{len(ahead)} others are waiting, more than this server takes. Try again in a minute."
                )
            self._waiting.append(job)
        threading.Thread(target=self._serve, args=(job,), name="langtrack-line", daemon=True).start()

    def position(self, job: Waiting) -> int:
        """0 for a job that computes (or is over), 1 for the next one to start, and so on."""
        with self._turn:
            ahead = [other for other in self._waiting if not other.over]
            return ahead.index(job) + 1 if job in ahead else 0

    def _serve(self, job: Waiting) -> None:
        with self._turn:
            self._turn.wait_for(lambda: job.over or self._is_next(job))
            self._waiting.remove(job)
            if not job.over:
                self._active.append(job)
            self._turn.notify_all()
        if job in self._active:
            job.start()
            job.wait()
            with self._turn:
                self._active.remove(job)
                self._turn.notify_all()

    def _is_next(self, job: Waiting) -> bool:
        first = next((other for other in self._waiting if not other.over), None)
        return first is job and len(self._active) < self._places
