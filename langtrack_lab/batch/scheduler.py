"""Hands items to workers and sees to it that each ends once: done, or failed with its reason."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from langtrack_core.types import LangTrackError

from .ledger import Entry, Ledger
from .manifest import Item
from .worker import Event, Result, sweep


class Pool(Protocol):
    """Workers by number, from 0; `LocalPool` and `RayPool`."""

    def __len__(self) -> int: ...
    def give(self, slot: int, item: Item) -> None: ...
    def poll(self, timeout_s: float) -> list[Event]: ...
    def silence_s(self, slot: int) -> float: ...
    def frames(self, slot: int) -> int: ...
    def restart(self, slot: int) -> None: ...


@dataclass(frozen=True)
class Patience:
    """When to give up.

    Attributes:
        frame_s: seconds without a new frame after which a worker counts as hanging; its item fails.
        load_s: seconds that a worker may take to load the networks.
        starts: workers in a row that may be lost before they are ready, as when a node goes.
        attempts: tries of an item whose worker was lost, which may be the item's fault.
        free_bytes: with less left on the disk nothing more is begun.
    """

    frame_s: float = 120.0
    load_s: float = 900.0
    starts: int = 3
    attempts: int = 2
    free_bytes: int = 200_000_000


class Stopped(LangTrackError):
    """The batch cannot go on; what is done stays, and the same command goes on from there."""


class Progress(Protocol):
    """Told of every ended item, and of the frames computed so far in this session."""

    def __call__(self, entry: Entry | None, frames: int) -> None: ...


def run_items(
    items: Iterable[Item],
    pool: Pool,
    ledger: Ledger,
    runs: Path,
    *,
    patience: Patience | None = None,
    on_ready: Callable[[dict[str, Any]], None] = lambda info: None,
    progress: Progress = lambda entry, frames: None,
) -> None:
    """Until every item is in the ledger.

    Args:
        items: those that still have to be done.
        runs: folder of the run folders.
        on_ready: told what tracker a worker has loaded, before it gets its first item.
        progress: told about once a second, and of every item that ends.

    Raises:
        Stopped: no worker can load the networks, or the disk is full; items not in the ledger are to do.
    """
    patience = patience or Patience()
    waiting = deque((item, 1) for item in items)
    busy: dict[int, tuple[Item, int]] = {}
    ready: set[int] = set()
    frames = stillborn = 0

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

    def lose(slot: int, how: str, *, again: bool = True) -> None:
        """The worker of ``slot`` is gone; the item it had gets another try, if ``again``, or fails."""
        item, attempts = busy.get(slot, (None, 0))
        pool.restart(slot)
        ready.discard(slot)
        if item is None:
            return
        sweep(runs, item.id)
        if again and attempts < patience.attempts:
            del busy[slot]
            waiting.append((item, attempts + 1))
        else:
            times = "" if attempts == 1 else f", {attempts} times"
            end(slot, Result("failed", f"{how} while at it{times}"))

    while waiting or busy:
        for slot in sorted(ready - busy.keys()):
            if not waiting:
                break
            if (free := shutil.disk_usage(runs).free) < patience.free_bytes:
                if not busy:
                    raise Stopped(
                        f"Only {free / 1e6:.0f} MB are free where {runs} is, and {len(waiting)} items are "
                        "still to do; make room and give the same command again."
                    )
                break
            busy[slot] = waiting.popleft()
            pool.give(slot, busy[slot][0])
        for event in pool.poll(timeout_s=1.0):
            slot = event.slot
            if event.kind == "ready":
                on_ready(event.payload)
                ready.add(slot)
                stillborn = 0
            elif event.kind == "broken":
                raise Stopped(f"A worker could not load the networks: {event.payload}")
            elif event.kind == "died":
                if slot not in ready:
                    stillborn += 1
                    if stillborn > patience.starts:
                        raise Stopped(f"Workers cannot be started: {event.payload}.")
                lose(slot, event.payload)
            elif event.payload.status == "full":
                raise Stopped(f"{event.payload.reason} Make room and give the same command again.")
            else:
                end(slot, event.payload)
        for slot in range(len(pool)):
            if slot in busy and pool.silence_s(slot) > patience.frame_s:
                how = (
                    f"no frame came for {patience.frame_s:g} s after frame {pool.frames(slot)}: "
                    "its worker was stopped"
                )
                lose(slot, how, again=False)  # what hangs once hangs again
            elif slot not in ready and pool.silence_s(slot) > patience.load_s:
                raise Stopped(f"A worker has not loaded the networks within {patience.load_s:g} s.")
        progress(None, frames + sum(pool.frames(slot) for slot in busy))
