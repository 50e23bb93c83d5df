"""Who is who among several targets of one run that the same words fit.

Their tracks know nothing of each other. Where one target passes in front of another, the hidden one's track
often goes on with the thing in front: both tracks are then on one thing, or have changed places. Colours tell
whose thing it is: each target has the mean histogram of the frames on which it stood alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.types import Decision, Estimate, Reason, Step

from .annotation.coincidence import MIN_FRAMES, MIN_OVERLAP

Look = NDArray[np.float32]
"""Shares of the pixels of a thing by colour, which sum to 1."""

APART = 0.2
"""IoU below which two targets that were on the same thing are apart again."""
BINS = (4, 8, 8)
"""Bins of lightness and of the two colours in CIELAB: shadows change the lightness most."""


def look_of(step: Step) -> Look | None:
    """The colours of the thing that a track is on; None when it is nowhere, or too small to tell."""
    box, (height, width) = step.fused.box_xyxy, step.frame.size_hw
    if box is None:
        return None
    x1, y1 = np.clip(np.floor(box[:2]), 0, (width, height)).astype(int)
    x2, y2 = np.clip(np.ceil(box[2:]), 0, (width, height)).astype(int)
    mask_u8 = step.fused.mask[y1:y2, x1:x2].astype(np.uint8)
    if mask_u8.sum() < 20:
        return None
    lab = cv2.cvtColor(np.ascontiguousarray(step.frame.rgb[y1:y2, x1:x2]), cv2.COLOR_RGB2LAB)
    lab[..., 1:] = lab[..., 1:].clip(64, 191)  # few things have stronger colours
    counts = cv2.calcHist([lab], [0, 1, 2], mask_u8, BINS, [0, 256, 64, 192, 64, 192]).ravel()
    return np.asarray(counts / max(counts.sum(), 1.0), np.float32)


@dataclass
class _Meeting:
    """What two targets have been through since they came together.

    Attributes:
        together, apart: frames in a row.
        first_fits: how much better the common thing fits the first target than the second, summed up: the
            first frames show parts of both.
        changed_fits: how much better the two things that came apart fit the other target, summed up.
    """

    together: int = 0
    apart: int = 0
    first_fits: float = 0.0
    changed_fits: float = 0.0


class Place(NamedTuple):
    """Where a target is: the number of the track that follows it, and whether that is another target's."""

    track: int
    same: bool


class Identities:
    """The targets of one run, frame by frame.

    Args:
        count: number of targets.
    """

    def __init__(self, count: int) -> None:
        self._tracks = list(range(count))  # of each target the track that follows it
        self._looks: list[Look | None] = [None] * count  # sums over the frames on which each stood alone
        self._meetings: dict[tuple[int, int], _Meeting] = {}

    def settle(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """The steps of the targets, made of the steps of their tracks; where two are on the same thing, one
        is lost."""
        boxes = [step.fused.box_xyxy for step in steps]
        places = self.places(boxes, [look_of(step) for step in steps])
        return tuple(_lost(steps[track]) if same else steps[track] for track, same in places)

    def places(self, boxes: Sequence[FloatArray | None], looks: Sequence[Look | None]) -> list[Place]:
        """Where each target is, by the boxes and colours of the tracks."""
        lost_targets = set()
        for pair in combinations(range(len(boxes)), 2):
            (box, look), (other_box, other_look) = ((boxes[k], looks[k]) for k in self._of(pair))
            iou = None if box is None or other_box is None else box_iou(box, other_box)
            if self._meet(pair, iou, (look, other_look)):
                lost_targets.add(pair[1] if self._meetings[pair].first_fits >= 0 else pair[0])
        for target, track in enumerate(self._tracks):
            others = [box for k, box in enumerate(boxes) if k != track and box is not None]
            box, look = boxes[track], looks[track]
            if box is not None and look is not None and not any(box_iou(box, one) > 0 for one in others):
                before = self._looks[target]
                if not any(target in pair for pair in self._meetings):
                    self._looks[target] = look if before is None else before + look
        return [Place(track, target in lost_targets) for target, track in enumerate(self._tracks)]

    def _of(self, pair: tuple[int, int]) -> tuple[int, int]:
        return self._tracks[pair[0]], self._tracks[pair[1]]

    def _meet(self, pair: tuple[int, int], iou: float | None, looks: tuple[Look | None, Look | None]) -> bool:
        """Note a frame of two targets; whether they count as on the same thing."""
        meeting = self._meetings.get(pair, _Meeting())
        settled = meeting.together >= MIN_FRAMES
        if iou is not None and iou > MIN_OVERLAP:
            self._meetings[pair] = meeting
            meeting.together += 1
            meeting.apart, meeting.changed_fits = 0, 0.0
            common = looks[0] if looks[0] is not None else looks[1]
            meeting.first_fits += self._fit(pair[0], common) - self._fit(pair[1], common)
            return meeting.together >= MIN_FRAMES
        if not settled:
            self._meetings.pop(pair, None)
            return False
        if iou is None or iou > APART:
            return True
        meeting.apart += 1
        straight = self._fit(pair[0], looks[0]) + self._fit(pair[1], looks[1])
        meeting.changed_fits += self._fit(pair[0], looks[1]) + self._fit(pair[1], looks[0]) - straight
        if meeting.apart < MIN_FRAMES:
            return True
        del self._meetings[pair]
        if meeting.changed_fits > 0:
            self._tracks[pair[0]], self._tracks[pair[1]] = self._tracks[pair[1]], self._tracks[pair[0]]
        return False

    def _fit(self, target: int, look: Look | None) -> float:
        """How alike a thing and a target are, 0 to 1: the Bhattacharyya coefficient of their colours."""
        own = self._looks[target]
        return 0.0 if own is None or look is None else float(np.sqrt(own / own.sum() * look).sum())


def _lost(step: Step) -> Step:
    decision = Decision(None, "lost", 0.0, False, False, Reason.SAME_TARGET)
    return replace(step, fused=Estimate.absent(step.frame.size_hw), decision=decision)
