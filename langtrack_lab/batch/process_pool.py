"""Workers as processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from langtrack_core.types import LangTrackError

from . import worker as work
from .manifest import Item
from .worker import Event, Task

_GRACE_S = 5.0
"""A worker that is asked to stop removes its half-written run; one that does not is killed."""

_BEAT_S = 0.5


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    heard: float = field(default_factory=time.monotonic)
    frames: int = 0


class LocalPool:
    """N processes, each with a tracker of its own and one item at a time.

    Args:
        task: what the workers have to know.
        workers: how many.
        threads: cores for each; all cores are shared out by default.
    """

    def __init__(self, task: Task, workers: int, threads: int | None = None) -> None:
        if workers < 1:
            raise LangTrackError(f"A batch needs at least one worker, got {workers}.")
        self.task = task
        self.threads = threads or max(1, (os.cpu_count() or 1) // workers)
        self._context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
        self._workers = [self._start() for _ in range(workers)]

    def __len__(self) -> int:
        return len(self._workers)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self.task, self.threads), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def give(self, slot: int, item: Item) -> None:
        worker = self._workers[slot]
        worker.heard, worker.frames = time.monotonic(), 0
        with contextlib.suppress(OSError):  # it has just died, which `poll` tells
            worker.pipe.send(item)

    def poll(self, timeout_s: float) -> list[Event]:
        """What has happened, waiting for at most so long for something to happen."""
        ready = set(
            wait([w.pipe for w in self._workers] + [w.process.sentinel for w in self._workers], timeout_s)
        )
        events = []
        for slot, worker in enumerate(self._workers):
            if worker.pipe in ready or worker.process.sentinel in ready:
                events += self._listen(slot, worker)
        return events

    def _listen(self, slot: int, worker: _Worker) -> list[Event]:
        events = []
        try:
            while worker.pipe.poll():
                kind, payload = worker.pipe.recv()
                worker.heard = time.monotonic()
                if kind == "beat":
                    worker.frames = payload
                else:
                    events.append(Event(slot, kind, payload))
        except (EOFError, OSError):
            worker.process.join(_GRACE_S)
            events.append(Event(slot, "died", _how(worker.process.exitcode)))
        return events

    def silence_s(self, slot: int) -> float:
        """Since the worker's last sign of life."""
        return time.monotonic() - self._workers[slot].heard

    def frames(self, slot: int) -> int:
        return self._workers[slot].frames

    def restart(self, slot: int) -> None:
        """A new worker in the place of one that is dead or has to go."""
        self._stop([self._workers[slot]])
        self._workers[slot] = self._start()

    def close(self) -> None:
        self._stop(self._workers)
        self._workers = []

    def _stop(self, workers: list[_Worker]) -> None:
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def _how(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its worker was killed by {signal.Signals(-exitcode).name}"
    return f"its worker ended with exit code {exitcode}"


def _serve(pipe: Connection, task: Task, threads: int) -> None:
    """A worker's life."""

    def stop(number: int, frame: Any) -> NoReturn:
        raise SystemExit(0)  # unwinds through the Recorder, which leaves nothing behind

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before anything starts its threads
    try:
        tracker = task.load()
    except Exception as error:
        pipe.send(("broken", str(error)))
        return
    pipe.send(("ready", tracker.info))
    last = 0.0

    def beat(frames: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _BEAT_S:
            last = time.monotonic()
            pipe.send(("beat", frames))

    try:
        while True:
            pipe.send(("ended", work.follow(task, tracker, pipe.recv(), beat)))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return
