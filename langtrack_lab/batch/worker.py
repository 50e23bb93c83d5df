"""What a worker does with one item, on this machine or in a cluster: every error becomes a reason."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import track_video
from langtrack_core.types import LangTrackError, Step

from .manifest import Item

if TYPE_CHECKING:
    from langtrack_core.pipeline import LangTracker


@dataclass(frozen=True)
class Task:
    """What is the same for all items of a batch, and is sent to the workers.

    Attributes:
        load: makes the tracker, once in each worker.
        runs: folder of the run folders, which every worker must be able to reach.
        weights: files of each branch with their sha256; ``load`` must have loaded these.
        options: how every item is run.
    """

    load: Callable[[], LangTracker]
    runs: Path
    weights: list[dict[str, str]] = field(default_factory=list)
    options: RunOptions = field(default_factory=lambda: RunOptions(overwrite=True))


@dataclass(frozen=True)
class Result:
    """How one try at an item ended.

    Attributes:
        status: "full" when the disk was full, which is not the item's fault.
    """

    status: Literal["done", "failed", "full"]
    reason: str = ""
    frames: int = 0
    seconds: float = 0.0
    states: dict[str, int] = field(default_factory=dict)


def run_item(
    task: Task, tracker: LangTracker, item: Item, heartbeat: Callable[[int], None] = lambda frames: None
) -> Result:
    """Follows one item into its run folder, and replaces a folder that a lost worker may have left.

    Args:
        heartbeat: called after each frame with the number of frames.
    """
    started, count = time.perf_counter(), 0

    def on_step(step: Step) -> None:
        nonlocal count
        count += 1
        heartbeat(count)

    try:
        summary = track_video(
            tracker, item.video, item.query(), out=task.runs / item.id, options=task.options, on_step=on_step
        )
    except Exception as error:
        if _disk_full(error):
            return Result("full", str(error))
        reason = str(error) if isinstance(error, LangTrackError) else f"{type(error).__name__}: {error}"
        return Result("failed", reason, count, time.perf_counter() - started)
    return Result("done", summary.damage or "", count, time.perf_counter() - started, dict(summary.states))


def _disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        error = error.__cause__
    return False


class Event(NamedTuple):
    """What happened to a worker of a pool.

    Attributes:
        slot: the worker's place in the pool.
        kind: "ready" (loaded; ``payload`` is the tracker's info), "broken" (could not load: a reason),
            "ended" (a `Result`), "died" (the worker is gone: how).
    """

    slot: int
    kind: Literal["ready", "broken", "ended", "died"]
    payload: Any
