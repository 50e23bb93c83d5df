"""Jobs start in the order in which they came, a bounded number waits, and each can be cancelled."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import pytest
from app_helpers import SETTINGS

from demo.job import Job, JobAborted, Progress
from demo.job_queue import JobQueue
from langtrack_core.types import LangTrackError


class HeldJob(Job):
    """Computes until it is released or stopped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SETTINGS, "held", None)
        self.computing, self.released = threading.Event(), threading.Event()

    def compute(self) -> None:
        self.folder.mkdir()
        self.computing.set()
        while not self.released.wait(0.01) and not self.stopped():
            pass


@pytest.fixture
def new_job(tmp_path: Path) -> Iterator[Callable[[], HeldJob]]:
    jobs: list[HeldJob] = []

    def new() -> HeldJob:
        jobs.append(HeldJob(tmp_path / f"job-{len(jobs)}"))
        return jobs[-1]

    yield new
    for job in jobs:
        job.cancel(keep=False)


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(1, 4)
    yield queue
    queue.close()
    assert [thread.name for thread in threading.enumerate() if "langtrack-job" in thread.name] == []


def test_a_job_runs_in_the_context_of_whoever_asked_for_it(queue: JobQueue, tmp_path: Path) -> None:
    """By which a loan of a GPU is for this visitor."""
    visitor, seen = ContextVar("visitor", default="nobody"), []

    class Asking(Job):
        def compute(self) -> None:
            seen.append(visitor.get())

    visitor.set("somebody")
    job = Asking(tmp_path / "job", SETTINGS, "asking", None)
    queue.submit(job)
    assert job.wait(20) and seen == ["somebody"]


def test_jobs_compute_in_order_and_a_cancelled_one_never_starts(
    queue: JobQueue, new_job: Callable[[], HeldJob]
) -> None:
    jobs = [new_job() for _ in range(5)]
    for job in jobs:
        queue.submit(job)
    assert jobs[0].computing.wait(20)
    assert [queue.position(job) for job in jobs] == [0, 1, 2, 3, 4]
    with pytest.raises(LangTrackError, match="4 others are waiting"):
        queue.submit(new_job())
    jobs[1].cancel(keep=True)
    assert (
        jobs[1].over and jobs[1].wait(0) and jobs[1].outcome == "cancelled" and queue.position(jobs[2]) == 1
    )
    last = new_job()
    queue.submit(last)  # there is room again
    jobs[0].released.set()
    for job, later in itertools.pairwise([*jobs[2:], last]):
        assert job.computing.wait(20) and queue.position(job) == 0 and not later.computing.is_set()
        job.released.set()
        assert job.wait(20) and job.outcome == "done"
    assert not jobs[1].computing.is_set()


def test_a_job_is_stopped_with_and_without_its_files(queue: JobQueue, new_job: Callable[[], HeldJob]) -> None:
    for keep in (True, False):
        job = new_job()
        queue.submit(job)
        assert job.computing.wait(20) and job.outcome is None and not job.wait(0.01)
        job.cancel(keep=keep)
        assert job.wait(20) and job.outcome == "cancelled" and job.error is None
        assert job.progress.stage == "stopping" and job.folder.exists() == keep


def test_what_a_job_raises_is_one_sentence_and_its_files_go(
    queue: JobQueue, new_job: Callable[[], HeldJob]
) -> None:
    for error, sentence, outcome in (
        (LangTrackError("No such clip: /secret/clip.mp4."), "No such clip: clip.mp4.", "failed"),
        (MemoryError(), "The server ran out of memory. Try a smaller clip.", "failed"),
        (JobAborted(), None, "cancelled"),
    ):
        job = new_job()

        def fail(error: BaseException = error, job: HeldJob = job) -> None:
            job.folder.mkdir()
            raise error

        job.compute = fail  # type: ignore[method-assign]
        queue.submit(job)
        assert job.wait(20) and job.error == sentence and job.outcome == outcome
        assert not job.folder.exists()


def test_a_waiting_job_knows_when_it_begins(new_job: Callable[[], HeldJob]) -> None:
    queue = JobQueue(2, 4)
    jobs = [new_job() for _ in range(5)]
    for job, total in zip(jobs, (100, 60, 50, None, 20), strict=True):
        queue.submit(job)
        job.progress = Progress("waiting", 0, total)
    assert all(job.computing.wait(20) for job in jobs[:2])
    assert queue.wait_s(jobs[2]) is None  # no rate is known yet
    jobs[0].progress = Progress("following", 40, 100, 10.0)
    jobs[1].progress = Progress("following", 20, 60, 10.0)
    assert [queue.wait_s(job) for job in jobs] == [None, None, 4.0, 6.0, None]  # the fourth has no length
    jobs[3].cancel(keep=False)
    assert queue.wait_s(jobs[4]) == 6.0
    for job in jobs:
        job.cancel(keep=False)
    queue.close()
