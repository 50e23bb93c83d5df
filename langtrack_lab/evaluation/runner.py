"""Runs a tracker on one sequence and keeps the predictions of each branch, with the truth beside them."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, encode_rle
from langtrack_core.types import Estimate, Frame, LangTrackError, Query, Step
from langtrack_core.video import read_picture

from ..metrics import boundary_f
from ..truth.mask_files import MaskPicture
from .protocol import Item

BRANCHES = ("language", "tracker", "fused")


class Tracker(Protocol):
    """The part of `LangTracker` that an evaluation needs."""

    info: dict[str, Any]

    def read_text(self, text: str) -> Any: ...

    def track(self, frames: Iterable[Frame], query: Query, *, every: int = 1) -> Iterator[Step]: ...


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
        states: N words of `types.State`; empty for other trackers.
        sources: N names of the branch whose answer the fused one is, or "none"; empty for other trackers.
        predictions: by branch; the language branch is missing when there was no sentence.
        seconds: time for reading pictures and tracking; 0 when unknown.
        peak_mb: peak memory of the process; 0 when unknown.
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
    states: tuple[str, ...]
    sources: tuple[str, ...]
    predictions: Mapping[str, Predictions]
    seconds: float = 0.0
    peak_mb: float = 0.0
    note: str = ""

    @property
    def fps(self) -> float:
        """Frames a second; nan when unknown."""
        return len(self.truth_xyxy) / self.seconds if self.seconds > 0 else np.nan


def run_sequence(
    tracker: Tracker, item: Item, every: int = 1, on_frame: Callable[[], object] = lambda: None
) -> Record:
    """Run the tracker on one item.

    A sentence that cannot be read counts as absent on every frame.

    Args:
        on_frame: called after each frame.
    """
    sequence, start = item.sequence, item.start
    height, width, _ = read_picture(sequence.frames[start]).shape
    size_hw = height, width
    stopwatch = _Stopwatch()
    names = [name for name in BRANCHES if name != "language" or item.sentence is not None]
    branches = {name: _Collector(item) for name in names}
    states: list[str] = []
    sources: list[str] = []
    note = ""
    try:
        for step in stopwatch.timed(tracker.track(sequence.read_frames(start), item.query(), every=every)):
            estimates = {"language": step.language, "tracker": step.tracker, "fused": step.fused}
            truth = sequence.annotation(step.frame.index)
            for name, collector in branches.items():
                collector.add(estimates[name], truth)
            states.append(step.decision.state)
            sources.append(step.decision.source or "none")
            on_frame()
    except LangTrackError as error:
        if item.sentence is None or _readable(tracker, item.sentence):
            raise
        note = str(error)
        branches = {name: _Collector(item) for name in names}
        for index in range(start, len(sequence.frames)):
            for collector in branches.values():
                collector.add(Estimate.absent(size_hw), sequence.annotation(index))
            states.append("searching")
            sources.append("none")
            on_frame()
    if len(states) != len(sequence.frames) - start:
        raise ValueError(f"{item.key}: {len(states)} predictions for {len(sequence.frames) - start} frames")
    return Record(
        key=item.key,
        name=sequence.name,
        sentence=item.sentence,
        init=item.init,
        attributes=tuple(sorted(sequence.attributes)),
        start=start,
        size_hw=size_hw,
        truth_xyxy=sequence.boxes_xyxy[start:],
        absent=sequence.absent_frames[start:],
        states=tuple(states),
        sources=tuple(sources),
        predictions={name: collector.predictions() for name, collector in branches.items()},
        seconds=stopwatch.seconds,
        peak_mb=_peak_mb(),
        note=note,
    )


def _readable(tracker: Tracker, sentence: str) -> bool:
    try:
        tracker.read_text(sentence)
    except LangTrackError:
        return False
    return True


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


class _Stopwatch:
    """Measures the time of the tracker's steps, without the work that is done between them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, steps: Iterator[Step]) -> Iterator[Step]:
        while True:
            start_s = time.perf_counter()
            step = next(steps, None)
            self.seconds += time.perf_counter() - start_s
            if step is None:
                return
            yield step


class _Collector:
    """Collects the predictions of one branch, and compares its masks before they are thrown away."""

    def __init__(self, item: Item) -> None:
        self.with_masks = bool(item.sequence.masks)
        self._last: Estimate | None = None
        self._boxes: list[FloatArray] = []
        self._confidence: list[float] = []
        self._masks: list[dict[str, Any] | None] = []
        self._compared: list[tuple[float, float, float]] = []

    def add(self, estimate: Estimate | None, truth: MaskPicture | None) -> None:
        self._confidence.append(np.nan if estimate is None else estimate.confidence)
        if estimate is not None:
            self._last = estimate
        box = None if self._last is None else self._last.box_xyxy
        self._boxes.append(np.full(4, np.nan) if box is None else np.asarray(box, float))
        if self.with_masks:
            mask = None if self._last is None or not self._last.mask.any() else self._last.mask
            self._masks.append(None if mask is None else encode_rle(mask))
            self._compared.append(compared(mask, truth))

    def predictions(self) -> Predictions:
        inter, union, boundary = np.array(self._compared, float).reshape(-1, 3).T
        boxes = np.array(self._boxes, float).reshape(-1, 4).round(4)
        return Predictions(
            boxes, np.array(self._confidence).round(6), tuple(self._masks), inter, union, boundary
        )


def compared(mask: BoolMask | None, truth: MaskPicture | None) -> tuple[float, float, float]:
    """Pixels of intersection and union, and F, of one frame; nan without truth. None is an empty mask.

    Void pixels of the truth count nowhere, as in DAVIS.
    """
    if truth is None:
        return np.nan, np.nan, np.nan
    if mask is None:
        mask = np.zeros_like(truth.mask)
    if mask.shape != truth.mask.shape:
        sizes = " and ".join(f"{w}x{h}" for h, w in (mask.shape, truth.mask.shape))
        raise LangTrackError(f"A picture and its mask differ in size ({sizes}); they have to be equal.")
    mask = mask & ~truth.void
    intersection, union = np.count_nonzero(mask & truth.mask), np.count_nonzero(mask | truth.mask)
    return float(intersection), float(union), boundary_f(mask, truth.mask)
