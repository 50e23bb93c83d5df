"""The one runner of evaluations: it follows a sequence and keeps each branch's predictions beside the truth.

What follows the sequence is a function from frames and a query to steps: `LangTracker.track`, or one branch
alone (`single_branch`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, encode_rle
from langtrack_core.types import (
    Decision,
    Estimate,
    Frame,
    LangTrackError,
    Query,
    Reason,
    Step,
    UnreadableText,
)

from ..memory import memory_mb
from ..metrics import boundary_f
from ..metrics.boxes import stack_boxes
from ..truth.mask_files import MaskPicture
from .protocol import Item

BRANCHES = ("language", "tracker", "fused")
"""The fields of a `Step` whose predictions are kept."""

Follow = Callable[[Iterable[Frame], Query], Iterator[Step]]
"""Follows what a query describes from the query's first frame on, a step for each frame."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of one branch on N frames.

    Attributes:
        boxes_xyxy: ``(N, 4)`` pixels, nan where it reported the target absent.
        confidence: ``(N,)``, nan on frames on which the branch did not run; its last prediction counts there,
            and absence before the first.
        masks: N masks as COCO run lengths, None for an empty one; empty where the truth has no masks.
        intersections, unions: ``(N,)`` pixels of its mask and the true one; nan without annotation.
        boundaries: ``(N,)`` F of DAVIS, nan without annotation.
    """

    boxes_xyxy: FloatArray
    confidence: FloatArray
    masks: tuple[dict[str, Any] | None, ...] = ()
    intersections: FloatArray = field(default_factory=lambda: np.empty(0))
    unions: FloatArray = field(default_factory=lambda: np.empty(0))
    boundaries: FloatArray = field(default_factory=lambda: np.empty(0))

    @property
    def mask_ious(self) -> FloatArray:
        """``(N,)`` J of DAVIS: two empty masks agree, nan without annotation."""
        ious = np.divide(
            self.intersections, self.unions, out=np.ones_like(self.unions), where=self.unions > 0
        )
        return np.where(np.isnan(self.unions), np.nan, ious)


@dataclass(frozen=True, eq=False)
class Record:
    """Predictions and truth of one item, for the N frames from ``start`` on.

    Attributes:
        key, name, sentence, init, attributes: those of the item.
        start: first frame of the sequence that is measured.
        size_hw: height and width of the pictures.
        truth_xyxy: ``(N, 4)``, nan where there is no box.
        absent: ``(N,)``, true where the data set says that the target cannot be seen.
        predictions: by branch; the language branch is missing when there was no sentence.
        states: N words of `types.State`; empty for other trackers.
        sources: N names of the branch whose answer the fused one is, or "none"; empty for other trackers.
        seconds: time for reading pictures and tracking; 0 when unknown.
        peak_mb: largest memory of the process after a frame; 0 when unknown.
        note: reason why the sentence could not be read, "" when it could.
    """

    key: str
    name: str
    sentence: str | None
    init: str
    attributes: tuple[str, ...]
    start: int
    size_hw: tuple[int, int]
    truth_xyxy: FloatArray
    absent: NDArray[np.bool_]
    predictions: Mapping[str, Predictions]
    states: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_mb: float = 0.0
    note: str = ""

    @classmethod
    def of(
        cls, item: Item, size_hw: tuple[int, int], predictions: Mapping[str, Predictions], **more: Any
    ) -> Record:
        """The record of an item; ``more`` are the fields that not every tracker has."""
        sequence, start = item.sequence, item.start
        return cls(
            key=item.key,
            name=sequence.name,
            sentence=item.sentence,
            init=item.init,
            attributes=tuple(sorted(sequence.attributes)),
            start=start,
            size_hw=size_hw,
            truth_xyxy=sequence.boxes_xyxy[start:],
            absent=sequence.absent_frames[start:],
            predictions=predictions,
            **more,
        )

    @property
    def fps(self) -> float:
        """Frames a second; nan when unknown."""
        return len(self.truth_xyxy) / self.seconds if self.seconds > 0 else np.nan


def run_items(
    follow: Follow, items: Iterable[Item], branches: Iterable[str] = BRANCHES
) -> Iterator[tuple[Item, Record]]:
    """Run one item after the other, under a progress bar over the frames of all."""
    items, branches = list(items), tuple(branches)
    frames = sum(len(item.sequence.frames) - item.start for item in items)
    with tqdm(total=frames, unit="frame", disable=not items) as bar:
        for item in items:
            bar.set_postfix_str(item.key)
            yield item, run_sequence(follow, item, branches, bar.update)


_follow: Follow
"""In a worker's process: what it follows sequences with."""


def run_items_at_once(
    make: Callable[[], Follow], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Record]]:
    """The records of `run_items` as each is done, from several processes of one thread each.

    An error or an interrupt ends all of them.

    Args:
        make: gives what follows sequences; called once in each process.

    Raises:
        LangTrackError: a process was killed, most often for its memory.
    """
    items = list(items)
    frames = sum(len(item.sequence.frames) - item.start for item in items)
    context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
    others = set(multiprocessing.active_children())
    with (
        tqdm(total=frames, unit="frame") as bar,
        ProcessPoolExecutor(workers, context, _start_worker, (make,)) as pool,
    ):
        running = {pool.submit(_run_in_worker, item): item for item in items}
        try:
            for future in as_completed(running):
                item, record = running[future], future.result()
                bar.update(len(record.truth_xyxy))
                yield item, record
        except BrokenProcessPool as error:
            raise LangTrackError(
                "A process of the evaluation was killed, most often for its memory; give the same command "
                "again with fewer --workers: what is done stays."
            ) from error
        except BaseException:
            for future in running:
                future.cancel()
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


def _start_worker(make: Callable[[], Follow]) -> None:
    global _follow
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _follow = make()


def _end_with_parent() -> None:
    """Without it the process of a parent that was killed would wait for work for ever, with its networks."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_in_worker(item: Item) -> Record:
    return run_sequence(_follow, item)


def run_sequence(
    follow: Follow,
    item: Item,
    branches: Iterable[str] = BRANCHES,
    on_frame: Callable[[], object] = lambda: None,
) -> Record:
    """Run one item.

    A sentence that cannot be read counts as absent on every frame.

    Args:
        branches: those of `BRANCHES` whose predictions are kept; language only if there is a sentence.
        on_frame: called after each frame.
    """
    sequence, start = item.sequence, item.start
    collectors = {
        name: Collector(item) for name in branches if name != "language" or item.sentence is not None
    }
    states: list[str] = []
    sources: list[str] = []
    sizes_hw: list[tuple[int, int]] = []

    def collect(steps: Iterable[Step]) -> None:
        for step in steps:
            truth = sequence.annotation(step.frame.index)
            for name, collector in collectors.items():
                collector.add(getattr(step, name), truth)
            sizes_hw.append(step.frame.size_hw)
            states.append(step.decision.state)
            sources.append(step.decision.source or "none")
            on_frame()

    stopwatch = _Stopwatch()
    note = ""
    try:
        collect(stopwatch.timed(follow(sequence.read_frames(start), item.query())))
    except UnreadableText as error:  # it is raised before the first step
        note = str(error)
        collect(map(_absent, sequence.read_frames(start)))
    if len(states) != len(sequence.frames) - start:
        raise ValueError(f"{item.key}: {len(states)} predictions for {len(sequence.frames) - start} frames")
    return Record.of(
        item,
        sizes_hw[0],
        {name: collector.predictions() for name, collector in collectors.items()},
        states=tuple(states),
        sources=tuple(sources),
        seconds=stopwatch.seconds,
        peak_mb=stopwatch.peak_mb,
        note=note,
    )


def _absent(frame: Frame) -> Step:
    """Every branch reports the target absent."""
    absent = Estimate.absent(frame.size_hw)
    decision = Decision(None, "searching", 0.0, False, False, Reason.NOTHING_SEEN)
    return Step(frame, absent, absent, absent, decision)


class _Stopwatch:
    """Measures the time of the tracker's steps, without the work between them, and the memory after each."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_mb = 0.0

    def timed(self, steps: Iterator[Step]) -> Iterator[Step]:
        while True:
            start_s = time.perf_counter()
            step = next(steps, None)
            self.seconds += time.perf_counter() - start_s
            self.peak_mb = max(self.peak_mb, memory_mb())
            if step is None:
                return
            yield step


class Collector:
    """Collects the predictions of one branch, and compares its masks before they are thrown away."""

    def __init__(self, item: Item) -> None:
        self.name, self.with_masks = item.sequence.name, bool(item.sequence.masks)
        self._last: Estimate | None = None
        self._boxes: list[FloatArray | None] = []
        self._confidence: list[float] = []
        self._masks: list[dict[str, Any] | None] = []
        self._compared: list[tuple[float, float, float]] = []

    def add(self, estimate: Estimate | None, truth: MaskPicture | None) -> None:
        """Add what the branch says of the next frame; None when it did not run: its last estimate stands."""
        self._last = estimate or self._last
        box, mask = (None, None) if self._last is None else (self._last.box_xyxy, self._last.mask)
        self.add_region(box, mask, np.nan if estimate is None else estimate.confidence, truth)

    def add_region(
        self, box: FloatArray | None, mask: BoolMask | None, confidence: float, truth: MaskPicture | None
    ) -> None:
        self._boxes.append(box)
        self._confidence.append(confidence)
        if self.with_masks:
            mask = mask if mask is not None and mask.any() else None
            self._masks.append(None if mask is None else encode_rle(mask))
            self._compared.append(compared(mask, truth, self.name))

    def predictions(self) -> Predictions:
        confidence = np.array(self._confidence, float)
        shared = np.array(self._compared, float).reshape(-1, 3).T
        return Predictions(stack_boxes(self._boxes), confidence, tuple(self._masks), *shared)


def compared(
    mask: BoolMask | None, truth: MaskPicture | None, name: str = "a clip"
) -> tuple[float, float, float]:
    """Pixels of intersection and union, and F, of one frame; nan without truth. None is an empty mask.

    Void pixels of the truth count nowhere, as in DAVIS.
    """
    if truth is None:
        return np.nan, np.nan, np.nan
    if mask is None:
        mask = np.zeros_like(truth.mask)
    if mask.shape != truth.mask.shape:
        sizes = " and ".join(f"{w}x{h}" for h, w in (mask.shape, truth.mask.shape))
        raise LangTrackError(f"A picture of {name} and its mask differ in size ({sizes}); make them equal.")
    mask = mask & ~truth.void
    intersection, union = np.count_nonzero(mask & truth.mask), np.count_nonzero(mask | truth.mask)
    return float(intersection), float(union), boundary_f(mask, truth.mask)
