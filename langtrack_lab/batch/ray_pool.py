"""Workers as actors of a Ray cluster.

Actors load the networks once; items and results are a few hundred bytes; frames never enter Ray's object
store, since every worker reads its video and writes its run itself, on storage that all nodes share.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError, shorten

from .manifest import Item
from .worker import Event, Result, Task, run_item

ASK_S = 5.0
"""Seconds between two questions to a busy worker how many frames it has: a fraction of any --timeout, and so
few that the answers cost nothing."""


class _Actor:
    """One worker. Ray runs two of its methods at a time: `follow`, and `frames` to ask for its progress."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.count = 0
        self.tracker: Any = None

    def load(self) -> dict[str, Any]:
        self.tracker = self.task.load()
        return self.tracker.info

    def follow(self, item: Item) -> Result:
        def heartbeat(frames: int) -> None:
            self.count = frames

        self.count = 0
        return run_item(self.task, self.tracker, item, heartbeat)

    def frames(self) -> int:
        return self.count


def _search_path() -> str:
    """Folders in which a worker finds this package, whether it is installed on its machine or not."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))


class RayPool:
    """N actors on a Ray cluster, each with one item at a time.

    Args:
        address: address of the cluster ("auto", "ray://host:port"), or "local" for one on this machine alone.
        cpus, gpus: what each actor asks for; fractions are fine (four actors on one GPU: 0.25).

    Raises:
        LangTrackError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, task: Task, workers: int, address: str, cpus: float = 1.0, gpus: float = 0.0) -> None:
        if workers < 1:
            raise LangTrackError(f"A batch needs at least one worker, got {workers}.")
        try:
            import ray
        except ImportError as error:
            raise LangTrackError("--ray needs Ray, which is not installed: pip install ray.") from error
        self.ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            before = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(
                    address=None if address == "local" else address,
                    log_to_driver=False,
                    include_dashboard=False if address == "local" else None,
                    configure_logging=False,
                )
            except Exception as error:  # Ray has no common class for them
                raise LangTrackError(f"There is no Ray cluster to use at {address!r}: {error}") from error
            finally:
                with contextlib.suppress(ValueError):  # outside the main thread nothing was changed
                    signal.signal(signal.SIGTERM, before)  # Ray leaves a handler of its own, for good
        self.task = task
        self._class: Any = ray.remote(_Actor).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_concurrency=2,
            max_restarts=0,
            runtime_env={"env_vars": {"PYTHONPATH": _search_path()}},
        )
        self._actors: list[Any] = [None] * workers
        self._jobs: dict[Any, tuple[int, Any]] = {}  # reference -> slot, kind of event or "heartbeat"
        self._last_message_s = [0.0] * workers
        self._frames = [0] * workers
        self._last_question_s = 0.0
        for slot in range(workers):
            self._start(slot)

    def __len__(self) -> int:
        return len(self._actors)

    def _start(self, slot: int) -> None:
        self._actors[slot] = self._class.remote(self.task)
        self._jobs[self._actors[slot].load.remote()] = (slot, "ready")
        self._last_message_s[slot] = time.monotonic()

    def submit(self, slot: int, item: Item) -> None:
        self._last_message_s[slot], self._frames[slot] = time.monotonic(), 0
        self._jobs[self._actors[slot].follow.remote(item)] = (slot, "ended")

    def poll(self, timeout_s: float) -> list[Event]:
        """Events since the last call; waits at most this long for the first one."""
        self._ask()
        if not self._jobs:
            time.sleep(timeout_s)
            return []
        finished, _ = self.ray.wait(list(self._jobs), num_returns=1, timeout=timeout_s)
        events = []
        for reference in finished:
            slot, kind = self._jobs.pop(reference)
            try:
                payload = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError as error:
                events.append(Event(slot, "broken", str(error.cause or error)))
                continue
            except self.ray.exceptions.RayError as error:
                self._forget(slot)
                last = str(error).strip().splitlines()[-1:]
                events.append(Event(slot, "died", f"its worker was lost ({shorten(' '.join(last))})"))
                continue
            if kind != "heartbeat" or payload != self._frames[slot]:  # an answer alone is no progress
                self._last_message_s[slot] = time.monotonic()
            if kind == "heartbeat":
                self._frames[slot] = payload
            else:
                events.append(Event(slot, kind, payload))
        return events

    def _ask(self) -> None:
        """Asks busy workers for their progress, from time to time."""
        if time.monotonic() - self._last_question_s < ASK_S:
            return
        self._last_question_s = time.monotonic()
        waited_for = {slot for slot, kind in self._jobs.values() if kind == "heartbeat"}
        for slot, kind in list(self._jobs.values()):
            if kind == "ended" and slot not in waited_for:
                self._jobs[self._actors[slot].frames.remote()] = (slot, "heartbeat")

    def _forget(self, slot: int) -> None:
        self._jobs = {reference: job for reference, job in self._jobs.items() if job[0] != slot}

    def silence_s(self, slot: int) -> float:
        """Seconds since the worker's last progress."""
        return time.monotonic() - self._last_message_s[slot]

    def frames(self, slot: int) -> int:
        return self._frames[slot]

    def restart(self, slot: int) -> None:
        """Starts a new worker in the place of one that is dead, or has to be stopped."""
        self._forget(slot)
        with contextlib.suppress(Exception):  # it may be gone already
            self.ray.kill(self._actors[slot])
        self._start(slot)

    def close(self) -> None:
        for actor in self._actors:
            with contextlib.suppress(Exception):
                self.ray.kill(actor)
        self._actors, self._jobs = [], {}
        if self._ours:
            self.ray.shutdown()
