"""Visitors use the page for minutes, in all ways; afterwards memory and files have to be as before.

    .venv/bin/python -m benchmarks.soak --minutes 30

Visitors follow, correct, compare, cancel, reload and leave. All calls go to what the page itself uses
(`demo.service`), with the job queue, the sessions and the real networks. The first visit of each kind is a
warm-up: caches fill and threads start. Resident memory, open files, threads, and files below the server's
folder are counted after it and at the end. The program fails when the memory has grown by more than
`GROWTH_MB`, or any of the others at all.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import itertools
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from demo.api import Api
from demo.job import Job
from demo.service import Service
from demo.sessions import Session
from demo.settings import Settings
from langtrack_core import LangTracker
from langtrack_core.types import LangTrackError
from langtrack_lab.memory import memory_mb

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"
GROWTH_MB = 60.0
"""Megabytes that the memory may grow by: allocators keep some tens of megabytes at one time or another."""


class Count(NamedTuple):
    """Figures of this process that must not grow."""

    memory_mb: float
    open_files: int
    threads: int
    files: int


def count(root: Path) -> Count:
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # free memory that the allocator keeps is no leak
    this = psutil.Process()
    return Count(
        memory_mb(),
        this.num_handles() if sys.platform == "win32" else this.num_fds(),
        threading.active_count(),
        sum(1 for path in root.rglob("*") if path.is_file()),
    )


def done(job: Job) -> None:
    job.wait()
    if job.error is not None:
        raise RuntimeError(job.error)


def upload(root: Path, example: str, visit: int) -> Path:
    """Copies an example for one visitor; all copies have the same file name."""
    folder = root / f"upload-{visit}"
    folder.mkdir()
    return Path(shutil.copy(EXAMPLES / f"{example}.mp4", folder / "clip.mp4"))


def annotator(service: Service, me: Session, clip: Path) -> None:
    """Follows, tries other settings, judges and saves; corrects backward and takes it back."""
    done(service.follow(me, service.check_request(str(clip), "the red car", "", 0, 5)))
    space = me.workspace
    assert space is not None
    space.what_if(1, {"every": 10, "rule": "language"})
    space.judgement.judge(1, [{"first": 3, "last": 9, "verdict": "tracker", "note": "a note"}])
    space.judgement.episodes(1)
    space.save_bundle(with_video=True, max_video_mb=100)
    done(service.correct(me, 1, 10, "the blue car", "", "backward"))
    space.undo(1)
    space.state()


def impatient(service: Service, me: Session, clip: Path) -> None:
    """Clicks twenty times, cancels, and leaves while the next run computes."""
    for _ in range(20):
        with contextlib.suppress(LangTrackError):  # one run a page
            service.follow(me, service.check_request(str(clip), "the car", "", 0, 3))
    assert me.job is not None
    while me.job.progress.frames < 5 and not me.job.over:
        time.sleep(0.02)
    service.cancel(me)
    service.follow(me, service.check_request(str(clip), "the car", "", 0, 3))


def comparer(service: Service, me: Session, clip: Path) -> None:
    """Compares two sentences, and reloads the page meanwhile."""
    job = service.compare(me, str(clip), ["the car on the left", "the blue car"], every=10)
    service.sessions.leave("visitor")
    assert service.sessions.resume("visitor", me.token) is me
    done(job)
    assert me.workspace is not None
    me.workspace.judgement.agreement()


def caller(service: Service, me: Session, clip: Path) -> None:
    """Uses the programming interface: submits, cancels, fetches the results."""
    api = Api(service)
    run = api.submit(str(clip), "the car", "", 0, 5)["run"]
    while api.progress(run)["frames"] < 10:
        time.sleep(0.02)
    api.cancel(run)
    api.results(run)
    session = service.sessions.find(run)
    assert session is not None
    service.sessions.end(session)


VISITS: tuple[Callable[[Service, Session, Path], None], ...] = (annotator, impatient, comparer, caller)
"""The kinds of visitors, in turn."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--weights", default="lite")
    flags = parser.parse_args()
    tracker = LangTracker.from_pretrained(flags.weights)
    examples = sorted(path.stem for path in EXAMPLES.glob("*.mp4"))
    with tempfile.TemporaryDirectory(prefix="langtrack-soak-") as folder:
        root = Path(folder)
        service = Service(tracker, Settings(queue_size=8, reload_grace_s=5.0), root / "sessions")
        before: Count | None = None
        end = next_line = time.monotonic() + flags.minutes * 60
        for visit in itertools.count():
            kind = VISITS[visit % len(VISITS)]
            clip = upload(root, examples[visit % len(examples)], visit)
            me = service.sessions.get("visitor")
            me.claim_upload(clip)
            kind(service, me, clip)
            service.sessions.drop("visitor")
            shutil.rmtree(clip.parent)
            if before is None and visit + 1 >= len(VISITS):
                before = count(root)
                end = time.monotonic() + flags.minutes * 60
                next_line = time.monotonic() + 60
                show("after warm-up", visit + 1, before)
            if before is not None and time.monotonic() > next_line:
                next_line += 60
                show(f"{(flags.minutes * 60 - end + time.monotonic()) / 60:.0f} min", visit + 1, count(root))
            if before is not None and time.monotonic() > end:
                break
        service.close()
        assert before is not None
        after = count(root)
        show("end", visit + 1, after)
        grown = after.memory_mb - before.memory_mb
        more = [name for name in Count._fields[1:] if getattr(after, name) > getattr(before, name)]
        print(f"memory {grown:+.0f} MB; more than before: {', '.join(more) or 'nothing'}")
        return 1 if more or grown > GROWTH_MB else 0


def show(when: str, visits: int, now: Count) -> None:
    print(
        f"{when:14} {visits:5} visits  {now.memory_mb:7.0f} MB  {now.open_files:4} open files  "
        f"{now.threads:3} threads  {now.files:4} files",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
