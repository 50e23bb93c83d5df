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

from ..files import explained
from .manifest import Item
from .worker import Event, Task, run_item

_GRACE_S = 5.0
"""Seconds in which a worker that is asked to stop removes its half-written run, before it is killed."""

_HEARTBEAT_S = 0.5
"""Seconds between two messages of a worker about its frames."""


@dataclass
class _Worker:
    process: Any
    pipe: Any  # a `Connection`; on Windows another class with the same methods
    last_message_s: float = field(default_factory=time.monotonic)
    frames: int = 0


class LocalPool:
    """N processes, each with a tracker of its own and one item at a time.

    Args:
        task: sent to each worker.
        workers: number of processes.
        threads: cores of each worker; by default they share all cores equally.
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
        with explained("A worker cannot be started"):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_serve, args=(theirs, self.task, self.threads), daemon=True
            )
            process.start()
            theirs.close()
        return _Worker(process, ours)

    def submit(self, slot: int, item: Item) -> None:
        worker = self._workers[slot]
        worker.last_message_s, worker.frames = time.monotonic(), 0
        with contextlib.suppress(OSError):  # it has just died, which `poll` reports
            worker.pipe.send(item)

    def poll(self, timeout_s: float) -> list[Event]:
        """Events since the last call; waits at most this long for the first one."""
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
                worker.last_message_s = time.monotonic()
                if kind == "heartbeat":
                    worker.frames = payload
                else:
                    events.append(Event(slot, kind, payload))
        except (EOFError, OSError):
            worker.process.join(_GRACE_S)
            events.append(Event(slot, "died", _how(worker.process.exitcode)))
        return events

    def silence_s(self, slot: int) -> float:
        """Seconds since the worker's last message."""
        return time.monotonic() - self._workers[slot].last_message_s

    def frames(self, slot: int) -> int:
        return self._workers[slot].frames

    def restart(self, slot: int) -> None:
        """Starts a new worker in the place of one that is dead, or has to be stopped."""
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
    """Runs in the worker's process: loads the networks, then follows items until the parent is gone."""

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

    def heartbeat(frames: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _HEARTBEAT_S:
            last = time.monotonic()
            pipe.send(("heartbeat", frames))

    try:
        while True:
            pipe.send(("ended", run_item(task, tracker, pipe.recv(), heartbeat)))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return
