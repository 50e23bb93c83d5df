"""Hands items to workers, so that each ends exactly once: done, or failed with a reason."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from langtrack_core.types import LangTrackError

from .ledger import Entry, Ledger, remove_leftovers
from .manifest import Item
from .worker import Event, Result


class Pool(Protocol):
    """Workers by number, from 0; `LocalPool` and `RayPool`."""

    def __len__(self) -> int: ...
    def submit(self, slot: int, item: Item) -> None: ...
    def poll(self, timeout_s: float) -> list[Event]: ...
    def silence_s(self, slot: int) -> float: ...
    def frames(self, slot: int) -> int: ...
    def restart(self, slot: int) -> None: ...


@dataclass(frozen=True)
class RetryPolicy:
    """When a worker or an item is given up.

    Attributes:
        frame_s: seconds without a new frame after which a worker counts as hanging; its item fails.
        load_s: seconds that a worker may take to load the networks.
        starts: workers in a row that may be lost before they are ready, as when a machine goes down.
        attempts: how often an item is tried when its worker is lost, which may be the item's fault.
        free_bytes: with less free space on the disk no further item is started.
    """

    frame_s: float = 120.0
    load_s: float = 900.0
    starts: int = 3
    attempts: int = 2
    free_bytes: int = 200_000_000


class BatchAborted(LangTrackError):
    """The batch cannot go on. What is done stays, and the same command continues from there."""


class Progress(Protocol):
    """Called for every item that ends, with the number of frames computed so far in this session."""

    def __call__(self, entry: Entry | None, frames: int) -> None: ...


def run_items(
    items: Iterable[Item],
    pool: Pool,
    ledger: Ledger,
    runs: Path,
    *,
    policy: RetryPolicy | None = None,
    on_ready: Callable[[dict[str, Any]], None] = lambda info: None,
    progress: Progress = lambda entry, frames: None,
) -> None:
    """Runs items until every one is in the ledger.

    Args:
        items: the items that are not done yet.
        runs: folder of the run folders.
        on_ready: called with the info of the tracker that a worker has loaded, before its first item.
        progress: called about once a second, and for every item that ends.

    Raises:
        BatchAborted: no worker can load the networks, or the disk is full; other items are not done.
    """
    batch = _Batch(deque((item, 1) for item in items), pool, ledger, runs, policy or RetryPolicy(), progress)
    while batch.waiting or batch.busy:
        batch.hand_out()
        for event in pool.poll(timeout_s=1.0):
            if event.kind == "ready":
                on_ready(event.payload)
            batch.take(event)
        batch.stop_the_silent()
        progress(None, batch.frames + sum(pool.frames(slot) for slot in batch.busy))


@dataclass
class _Batch:
    """What is still to do, and who does what.

    Attributes:
        waiting: items, each with the number of the attempt that comes next.
        busy: the item of each worker that has one, and which attempt it is.
        ready: workers that have loaded the networks.
        frames: computed for the items that have ended.
        failed_starts: workers in a row that were lost before they were ready.
    """

    waiting: deque[tuple[Item, int]]
    pool: Pool
    ledger: Ledger
    runs: Path
    policy: RetryPolicy
    progress: Progress
    busy: dict[int, tuple[Item, int]] = field(default_factory=dict)
    ready: set[int] = field(default_factory=set)
    frames: int = 0
    failed_starts: int = 0

    def hand_out(self) -> None:
        """Give an item to each worker that is ready and has none."""
        for slot in sorted(self.ready - self.busy.keys()):
            if not self.waiting:
                return
            if (free := shutil.disk_usage(self.runs).free) < self.policy.free_bytes:
                if self.busy:
                    return
                raise BatchAborted(
                    f"Only {free / 1e6:.0f} MB are free where {self.runs} is, and {len(self.waiting)} items "
                    "are still to do; make room and give the same command again."
                )
            self.busy[slot] = self.waiting.popleft()
            self.pool.submit(slot, self.busy[slot][0])

    def take(self, event: Event) -> None:
        """Note what a worker reports."""
        slot = event.slot
        if event.kind == "ready":
            self.ready.add(slot)
            self.failed_starts = 0
        elif event.kind == "broken":
            raise BatchAborted(f"A worker could not load the networks: {event.payload}")
        elif event.kind == "died":
            if slot not in self.ready:
                self.failed_starts += 1
                if self.failed_starts > self.policy.starts:
                    raise BatchAborted(f"Workers cannot be started: {event.payload}.")
            self._replace_worker(slot, event.payload)
        elif event.payload.status == "full":
            raise BatchAborted(f"{event.payload.reason} Make room and give the same command again.")
        else:
            self._end(slot, event.payload)

    def stop_the_silent(self) -> None:
        """Stop workers that hang at an item, which fails; give up when one cannot load the networks."""
        for slot in range(len(self.pool)):
            silence_s = self.pool.silence_s(slot)
            if slot in self.busy and silence_s > self.policy.frame_s:
                how = (
                    f"no frame came for {self.policy.frame_s:g} s after frame {self.pool.frames(slot)}: "
                    "its worker was stopped"
                )
                self._replace_worker(slot, how, again=False)  # what hangs once hangs again
            elif slot not in self.ready and silence_s > self.policy.load_s:
                raise BatchAborted(f"A worker has not loaded the networks within {self.policy.load_s:g} s.")

    def _replace_worker(self, slot: int, how: str, *, again: bool = True) -> None:
        """Start another worker; the item of the lost one is tried again, if ``again``, or fails."""
        item, attempts = self.busy.get(slot, (None, 0))
        self.pool.restart(slot)
        self.ready.discard(slot)
        if item is None:
            return
        remove_leftovers(self.runs, item.id)
        if again and attempts < self.policy.attempts:
            del self.busy[slot]
            self.waiting.append((item, attempts + 1))
        else:
            times = "" if attempts == 1 else f", {attempts} times"
            self._end(slot, Result("failed", f"{how} while at it{times}"))

    def _end(self, slot: int, result: Result) -> None:
        item, attempts = self.busy.pop(slot)
        entry = Entry(
            item.id,
            "done" if result.status == "done" else "failed",
            " ".join(result.reason.split()),
            attempts,
            result.frames,
            round(result.seconds, 3),
            result.states,
            item.asked(),
            item.video_stamp(),
        )
        self.frames += result.frames
        self.ledger.add(entry)
        self.progress(entry, self.frames)
