"""Hands items to workers, so that each ends exactly once: done, or failed with a reason."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
    policy = policy or RetryPolicy()
    waiting = deque((item, 1) for item in items)
    busy: dict[int, tuple[Item, int]] = {}
    ready: set[int] = set()
    frames = failed_starts = 0

    def end(slot: int, result: Result) -> None:
        nonlocal frames
        item, attempts = busy.pop(slot)
        entry = Entry(
            item.id,
            "done" if result.status == "done" else "failed",
            " ".join(result.reason.split()),
            attempts,
            result.frames,
            round(result.seconds, 3),
            result.states,
        )
        frames += result.frames
        ledger.add(entry)
        progress(entry, frames)

    def handle_lost_worker(slot: int, how: str, *, again: bool = True) -> None:
        """Starts another worker; the item of the lost one is tried again, if ``again``, or fails."""
        item, attempts = busy.get(slot, (None, 0))
        pool.restart(slot)
        ready.discard(slot)
        if item is None:
            return
        remove_leftovers(runs, item.id)
        if again and attempts < policy.attempts:
            del busy[slot]
            waiting.append((item, attempts + 1))
        else:
            times = "" if attempts == 1 else f", {attempts} times"
            end(slot, Result("failed", f"{how} while at it{times}"))

    while waiting or busy:
        for slot in sorted(ready - busy.keys()):
            if not waiting:
                break
            if (free := shutil.disk_usage(runs).free) < policy.free_bytes:
                if not busy:
                    raise BatchAborted(
                        f"Only {free / 1e6:.0f} MB are free where {runs} is, and {len(waiting)} items are "
                        "still to do; make room and give the same command again."
                    )
                break
            busy[slot] = waiting.popleft()
            pool.submit(slot, busy[slot][0])
        for event in pool.poll(timeout_s=1.0):
            slot = event.slot
            if event.kind == "ready":
                on_ready(event.payload)
                ready.add(slot)
                failed_starts = 0
            elif event.kind == "broken":
                raise BatchAborted(f"A worker could not load the networks: {event.payload}")
            elif event.kind == "died":
                if slot not in ready:
                    failed_starts += 1
                    if failed_starts > policy.starts:
                        raise BatchAborted(f"Workers cannot be started: {event.payload}.")
                handle_lost_worker(slot, event.payload)
            elif event.payload.status == "full":
                raise BatchAborted(f"{event.payload.reason} Make room and give the same command again.")
            else:
                end(slot, event.payload)
        for slot in range(len(pool)):
            if slot in busy and pool.silence_s(slot) > policy.frame_s:
                how = (
                    f"no frame came for {policy.frame_s:g} s after frame {pool.frames(slot)}: "
                    "its worker was stopped"
                )
                handle_lost_worker(slot, how, again=False)  # what hangs once hangs again
            elif slot not in ready and pool.silence_s(slot) > policy.load_s:
                raise BatchAborted(f"A worker has not loaded the networks within {policy.load_s:g} s.")
        progress(None, frames + sum(pool.frames(slot) for slot in busy))
