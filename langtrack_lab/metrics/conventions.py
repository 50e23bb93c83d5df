"""Which frames count, and what a missing box is: the benchmarks differ, and a digit hangs on it.

| | OTB, OTB-99-Lang | LaSOT, TNL2K | GOT-10k | plain |
|---|---|---|---|---|
| first frame, when its box is given | counts as right | counts as right | left out | left out |
| target absent | | right nowhere, yet in the denominator | left out | left out |
| missing or flat box | the last box stands | the last box stands | overlaps by 0 | overlaps by 0 |
| boxes | as they are | as they are | cut to the picture | as they are |

Sources: perfPlot and calcSeqErrRobust of the OTB toolkit; eval_tracker.m and calc_seq_err_robust.m of
HengLan/LaSOT_Evaluation_Toolkit (its denominator is the length of the sequence, absent frames included),
repeated by wangxiao5791509/TNL2K_evaluation_toolkit; experiments/got10k.py of got-10k/toolkit. Two quirks are
left out, as in the Python descendants (pytracking; wjc0602/TNL2K_evaluation_toolkit_python): the MATLAB
toolkits do not count true boxes that touch the left or upper border, and LaSOT's drops sequences without any
overlap from its mean. When only a sentence is given, no frame is a gift: every one counts as predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from langtrack_core.geometry import FloatArray

from .boxes import NORMALISED, PIXELS, THRESHOLDS, box_ious, centre_errors, has_area, share_over, share_within


@dataclass(frozen=True)
class Convention:
    """The rules of one benchmark.

    Attributes:
        first_is_right: the frame whose box the tracker was given counts as right; else it is not counted.
        repeat_last: where a box is missing or has no area, the one before counts again.
        count_absent: every frame of the sequence is in the denominator, those without a target too.
        clip: boxes are clipped to the picture, in pixels from 1 as the toolkit reads them.
    """

    name: str
    first_is_right: bool = False
    repeat_last: bool = False
    count_absent: bool = False
    clip: bool = False


PLAIN = Convention("plain")
"""The convention of all data sets without one of their own."""
OTB = Convention("OTB", first_is_right=True, repeat_last=True)
"""The convention of OTB's toolkit."""
LASOT = Convention("LaSOT", first_is_right=True, repeat_last=True, count_absent=True)
"""The convention of LaSOT's toolkit, as which TNL2K's counts too."""
GOT10K = Convention("GOT-10k", clip=True)
"""The convention of GOT-10k's toolkit."""


@dataclass(frozen=True, eq=False)
class BoxScores:
    """One sequence under one convention.

    Attributes:
        ious: of the frames that have a truth, nan elsewhere; without the frame that was left out.
        success: ``(21,)`` over `THRESHOLDS`.
        precision: ``(51,)`` over `PIXELS`.
        normalised: ``(51,)`` over `NORMALISED`.
    """

    ious: FloatArray
    success: FloatArray
    precision: FloatArray
    normalised: FloatArray

    @cached_property
    def counted(self) -> int:
        """Frames that have a truth."""
        return int(np.count_nonzero(~np.isnan(self.ious)))

    @property
    def auc(self) -> float:
        return float(self.success.mean())

    @property
    def precision_20(self) -> float:
        return float(self.precision[20])

    @property
    def normalised_20(self) -> float:
        return float(self.normalised[20])

    @property
    def normalised_auc(self) -> float:
        return float(self.normalised.mean())

    @property
    def average_overlap(self) -> float:
        """AO of GOT-10k: the mean IoU."""
        return float(np.nanmean(self.ious))

    def success_rate(self, threshold: float) -> float:
        """SR of GOT-10k: the share of frames whose IoU is over the threshold."""
        return float(share_over(self.ious, [threshold])[0])


def score_boxes(
    predicted_xyxy: ArrayLike,
    truth_xyxy: ArrayLike,
    convention: Convention,
    *,
    by_box: bool,
    absent: ArrayLike | None = None,
    size_hw: tuple[int, int] | None = None,
) -> BoxScores:
    """Compare the boxes of one sequence with the truth.

    Args:
        predicted_xyxy: ``(N, 4)``, nan where the target was said to be absent.
        truth_xyxy: ``(N, 4)``, nan or without an area where there is none.
        by_box: the tracker was started with the box of the first frame.
        absent: ``(N,)`` bool, frames on which the target is not to be seen, whatever box stands there.
        size_hw: of the picture; needed where the convention clips.

    Raises:
        ValueError: lengths differ, no frame is annotated, or ``size_hw`` is missing.
    """
    predicted: FloatArray = np.array(predicted_xyxy, dtype=np.float64).reshape(-1, 4)
    truth: FloatArray = np.array(truth_xyxy, dtype=np.float64).reshape(-1, 4)
    absent = np.zeros(len(truth), bool) if absent is None else np.asarray(absent, bool)
    if not len(predicted) == len(truth) == len(absent):
        raise ValueError(
            f"{len(predicted)} predicted boxes, {len(truth)} true ones, {len(absent)} absence marks"
        )
    predicted[~has_area(predicted)] = np.nan
    annotated = has_area(truth) & ~absent
    truth[~annotated] = np.nan
    if convention.repeat_last:
        predicted = _repeat_last(predicted)
    if by_box and convention.first_is_right:
        predicted[0] = truth[0]
    elif by_box:
        predicted, truth = predicted[1:], truth[1:]
    if convention.clip:
        if size_hw is None:
            raise ValueError(f"{convention.name} clips boxes to the picture, whose size is missing")
        predicted, truth = _clip(predicted, size_hw), _clip(truth, size_hw)
    ious = box_ious(predicted, truth)
    share = np.mean(~np.isnan(ious)) if convention.count_absent else 1.0
    return BoxScores(
        ious,
        share_over(ious, THRESHOLDS) * share,
        share_within(centre_errors(predicted, truth), PIXELS) * share,
        share_within(centre_errors(predicted, truth, normalised=True), NORMALISED) * share,
    )


def _repeat_last(boxes: FloatArray) -> FloatArray:
    boxes = boxes.copy()
    for index in range(1, len(boxes)):
        if np.isnan(boxes[index]).any():
            boxes[index] = boxes[index - 1]
    return boxes


def _clip(boxes: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """To the picture, as GOT-10k's toolkit does it to ``x, y, w, h`` that count pixels from 1: the corner is
    moved into [0, W] x [0, H] first, and a box that began outside keeps its size where there is room."""
    limit = np.array([size_hw[1], size_hw[0]], dtype=np.float64)
    corner = np.clip(boxes[:, :2] + 1, 0, limit)
    size = np.clip(boxes[:, 2:] - boxes[:, :2], 0, limit - corner)
    return np.concatenate([corner, corner + size], axis=1)
