"""Several sentences beside each other: where their tracks agree, which word moves a mask, what else is meant.

Reads runs, or asks the language branch about single frames; the tracker plays no part here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.masks import BoolMask, binarise, enclosing_box, encode_rle, prob_to_u8
from langtrack_core.types import Estimate, Frame, LangTrackError
from langtrack_lab.metrics.masks import mask_iou
from langtrack_lab.place_words import PLACE_PHRASES, Place
from langtrack_lab.runs import Run

if TYPE_CHECKING:
    from langtrack_core.dmn.vocabulary import WordIds
    from langtrack_core.pipeline import LangTracker

Branch = Literal["language", "tracker", "fused"]
MAX_WORDS = 24
"""Largest number of words of an expression that is taken apart. Each word costs one pass of the language
branch, half a second or less on a CPU, and people rarely write more."""
DECISIVE_IOU = 0.9
"""A word is decisive only when the mask without it overlaps the whole expression's by less than this IoU;
smaller changes are those of a mask's rim."""
MEANT_IOU = 0.3
"""A completed sentence means a region when the IoU of their boxes is above this value: the network may draw
the region a little larger or smaller, but regions of one frame hardly overlap."""


class FrameSegmenter:
    """The language branch of a tracker on single frames."""

    def __init__(self, tracker: LangTracker) -> None:
        self._tracker = tracker

    def read_text(self, text: str) -> WordIds:
        """As `LangTracker.read_text`."""
        return self._tracker.read_text(text)

    def segment(self, frame: Frame, text: str, *, every_region: bool = False) -> Estimate:
        """What the branch says of a frame: what is meant, or with ``every_region`` all that is positive, and
        what a closer view shows where that is surer.

        Raises:
            LangTrackError: for an expression that cannot be read.
        """
        segmenter = self._tracker.segmenter
        encoded = segmenter.encode(text)
        if every_region:
            return segmenter.look(frame, encoded, every_region=True)
        return segmenter.segment(frame, encoded)


# --- agreement of runs -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """How far the tracks of several expressions are the same track.

    Attributes:
        frames: numbers of the frames that all runs have.
        pairs: indices ``(a, b)`` of two runs, a < b, in order.
        ious: ``(pairs, frames)`` mask IoU; 1 where both say absent, 0 where one does, nan where the branch of
            one did not run.
        matrix: ``(runs, runs)`` mean over the frames, 1 on the diagonal, nan where no frame counts.
    """

    frames: list[int]
    pairs: list[tuple[int, int]]
    ious: FloatArray
    matrix: FloatArray

    def to_json(self) -> dict[str, Any]:
        """``{"frames", "pairs", "ious", "matrix"}``, three decimals, nan as null."""
        return {
            "frames": self.frames,
            "pairs": [list(pair) for pair in self.pairs],
            "ious": _rounded(self.ious),
            "matrix": _rounded(self.matrix),
        }


def agreement(runs: Sequence[Run], branch: Branch = "fused") -> Agreement:
    """Pairwise agreement of runs on one video, from their run-length masks as they are.

    Raises:
        LangTrackError: less than two runs, masks of different sizes, or no frame in common.
    """
    if len(runs) < 2:
        raise LangTrackError("Two expressions or more are needed to compare them.")
    frames = sorted(set.intersection(*({row.frame for row in run.rows} for run in runs)))
    if not frames:
        raise LangTrackError("These runs have no frame in common, so there is nothing to compare.")
    pairs = list(itertools.combinations(range(len(runs)), 2))
    ious = np.full((len(pairs), len(frames)), np.nan)
    for at, frame in enumerate(frames):
        masks = [run.masks.get(frame, {}).get(branch) for run in runs]
        table = _iou_table(masks)
        for order, (a, b) in enumerate(pairs):
            ious[order, at] = table[a, b]
    matrix = np.eye(len(runs))
    for order, (a, b) in enumerate(pairs):
        values = ious[order][~np.isnan(ious[order])]
        matrix[a, b] = matrix[b, a] = values.mean() if values.size else np.nan
    return Agreement(frames, pairs, ious, matrix)


def _iou_table(masks: Sequence[Any]) -> FloatArray:
    """IoU of each two masks, ``(n, n)``; nan where one of the two is missing."""
    table = np.full((len(masks), len(masks)), np.nan)
    present = [index for index, mask in enumerate(masks) if mask is not None]
    if len({tuple(masks[index]["size"]) for index in present}) > 1:
        raise LangTrackError("These runs are of videos of different sizes and cannot be compared.")
    if present:
        rles = [masks[index] for index in present]
        try:
            ious = np.asarray(coco_mask.iou(rles, rles, [0] * len(rles)), np.float64)
            empty = np.asarray(coco_mask.area(rles)) == 0
        except (TypeError, ValueError, KeyError) as error:
            raise LangTrackError(f"A mask of the run is not valid run-length encoding: {error}.") from error
        ious[np.ix_(empty, empty)] = 1.0  # both say absent: they agree
        table[np.ix_(present, present)] = ious
    return table


# --- which word moved the mask -----------------------------------------------------------------------------


@dataclass(frozen=True)
class WordEffect:
    """What leaving one word out does.

    Attributes:
        word: as it stands in the expression; ``index`` its place, from 0.
        known: the vocabulary has it; without, leaving it out changes nothing.
        iou: of the mask without it and the whole expression's; the lower, the more the word matters.
        confidence: without it; ``change`` is this minus the whole expression's.
        box_xyxy: where the mask goes without it; None when nothing is left, or the rest cannot be read.
    """

    index: int
    word: str
    known: bool
    iou: float
    confidence: float
    change: float
    box_xyxy: list[float] | None


@dataclass(frozen=True)
class Attribution:
    """The words of an expression on one frame, in order; ``decisive`` is the index of the one whose absence
    moves the mask most, None when none moves it by more than a tenth."""

    text: str
    frame: int
    confidence: float
    box_xyxy: list[float] | None
    words: list[WordEffect]
    decisive: int | None


def attribute(tracker: FrameSegmenter, frame: Frame, text: str) -> Attribution:
    """Leave every word out once and look where the mask goes; one pass of the language branch a word.

    Raises:
        LangTrackError: the expression cannot be read, or has more than `MAX_WORDS` words.
    """
    whole = tracker.segment(frame, text)
    parts = text.split()
    if len(parts) > MAX_WORDS:
        raise LangTrackError(
            f"The expression has {len(parts)} words; up to {MAX_WORDS} are taken apart. Say it shorter."
        )
    unknown = {word.lower() for word in tracker.read_text(text).unknown}
    effects = []
    for index, word in enumerate(parts):
        rest = " ".join(parts[:index] + parts[index + 1 :])
        try:
            without = tracker.segment(frame, rest)
        except LangTrackError:  # no other word can be read
            without = Estimate.absent(frame.size_hw)
        effects.append(
            WordEffect(
                index,
                word,
                re.sub(r"\W+", "", word).lower() not in unknown,
                round(float(mask_iou(whole.mask, without.mask)), 4),
                round(without.confidence, 4),
                round(without.confidence - whole.confidence, 4),
                _rounded_box(without.box_xyxy),
            )
        )
    strongest = min(effects, key=lambda effect: effect.iou)
    decisive = strongest.index if strongest.iou < DECISIVE_IOU else None
    return Attribution(
        text, frame.index, round(whole.confidence, 4), _rounded_box(whole.box_xyxy), effects, decisive
    )


# --- separate strong regions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Region:
    """One of several places that the words fit.

    Attributes:
        completion: what to add to the expression to mean this one, "" when there is one region alone.
        text: the expression with it.
        box_xyxy: of the region, half-open pixels.
        share: of the area of all regions, in [0, 1].
        strength: mean probability in it, in [0, 1].
        mask: COCO run lengths.
    """

    completion: str
    text: str
    box_xyxy: list[float]
    share: float
    strength: float
    mask: dict[str, Any]


PLACES_ACROSS: dict[int, tuple[Place, ...]] = {2: ("left", "right"), 3: ("left", "middle", "right")}
"""Places of two and of three regions, in order from left to right."""

PLACES_DOWN: dict[int, tuple[Place, ...]] = {2: ("top", "bottom"), 3: ("top", "middle", "bottom")}
"""Places of regions that stand above each other, in order from top to bottom."""

MIN_SHARE = 0.15
"""A region counts when its area is at least this share of the largest one's: specks are no second object."""


def regions(tracker: FrameSegmenter, frame: Frame, text: str) -> list[Region]:
    """The separate strong regions of an expression on a frame, before one of them is chosen.

    At most three, the largest ones, from left to right (or from top to bottom when they overlap sideways);
    empty when nothing is positive. More than one means that the expression fits several objects.

    Raises:
        LangTrackError: the expression cannot be read.
    """
    prob = tracker.segment(frame, text, every_region=True).mask_prob
    return split_regions(prob, text)


def split_regions(mask_prob: NDArray[np.float32], text: str, most: int = 3) -> list[Region]:
    """Split a mask ``(H, W)`` in [0, 1] into its separate regions, as `regions` returns them.

    Args:
        most: how many regions to give; those of more than three have no completion.
    """
    positive = binarise(prob_to_u8(mask_prob))
    if not positive.any():
        return []
    _, labels, stats, centres = cv2.connectedComponentsWithStats(positive.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas)[:most]
    order = order[areas[order] >= MIN_SHARE * areas.max()]
    masks: list[BoolMask] = [labels == 1 + index for index in order]
    spread = np.ptp(centres[1:][order], axis=0)
    down = len(order) > 1 and spread[1] > spread[0]
    places = (PLACES_DOWN if down else PLACES_ACROSS).get(len(order), ())
    completions = [PLACE_PHRASES[place][0] for place in places] or [""] * len(order)
    ranked = sorted(range(len(order)), key=lambda at: float(centres[1 + order[at]][1 if down else 0]))
    total = float(areas[order].sum())
    split = []
    for completion, at in zip(completions, ranked, strict=True):
        box = enclosing_box(masks[at])
        assert box is not None
        split.append(
            Region(
                completion,
                completed(text, completion),
                box.tolist(),
                round(float(areas[order[at]]) / total, 4),
                round(float(mask_prob[masks[at]].mean()), 4),
                encode_rle(masks[at]),
            )
        )
    return split


def completed(text: str, completion: str) -> str:
    """The expression with a place at its end: "the car." and "on the left" give "the car on the left"."""
    return f"{text.strip().rstrip('.!,; ')} {completion}".strip() if completion else text


def check_completions(
    tracker: FrameSegmenter, frame: Frame, candidates: Sequence[Region]
) -> list[int | None]:
    """Which region each completed text really selects: the one with the largest box IoU, None when none has.

    A page can then offer only the completions that the network follows.
    """
    selections: list[int | None] = []
    for region in candidates:
        box = tracker.segment(frame, region.text).box_xyxy
        ious = [0.0 if box is None else box_iou(box, other.box_xyxy) for other in candidates]
        best = int(np.argmax(ious))
        selections.append(best if ious[best] > MEANT_IOU else None)
    return selections


def _rounded_box(box_xyxy: FloatArray | None) -> list[float] | None:
    return None if box_xyxy is None else [round(float(value), 3) for value in box_xyxy]


def _rounded(values: FloatArray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else round(float(value), 3) for value in row] for row in values]
