"""Overlaps and centre errors of boxes, and the curves over them.

Success follows OTB (Wu et al., "Online Object Tracking: A Benchmark", CVPR 2013): the share of frames whose
IoU is **over** a threshold, for the 21 thresholds 0, 0.05, … 1; its AUC is the mean of those 21 shares. A
frame needs some overlap at threshold 0, and none counts at threshold 1: a perfect tracker has 20/21 = 0.952.
Precision is the share of frames whose box centre is **at most** so many pixels from the truth's (0 to 50, the
score at 20). Normalised precision (Müller et al., "TrackingNet", ECCV 2018) measures that distance in widths
and heights of the true box (0 to 0.5 in steps of 0.01). LaSOT's toolkit ranks by its value at 0.20, LaSOT's
paper by the area under it; both are given.

What is not annotated is nan and not counted here; which frames count in which benchmark, and what is done
with a missing prediction, is said in `conventions`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from langtrack_core.geometry import FloatArray

THRESHOLDS = np.linspace(0.0, 1.0, 21)
"""IoUs at which the success curve is taken."""

PIXELS = np.arange(51.0)
"""Distances of the centres, in pixels, at which the precision curve is taken."""

NORMALISED = np.arange(51) / 100
"""Distances of the centres, in sizes of the true box, at which normalised precision is taken."""

PRECISION_PX = 20.0
"""Distance at which precision is one number: `PIXELS[20]`; normalised precision has `NORMALISED[20]`."""

_ROUNDING = 1e-9
"""Values this close count as equal: the rounding of floats must not decide whether 0.15 is over 0.15."""


def box_ious(predicted_xyxy: ArrayLike, truth_xyxy: ArrayLike) -> FloatArray:
    """``(N,)`` IoU of box pairs ``(N, 4)``: nan where the truth has a nan, 0 where only the prediction has
    one or where nothing has an area."""
    a, b = _pairs(predicted_xyxy, truth_xyxy)
    inter = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    union = _areas(a) + _areas(b) - inter
    ious = np.divide(inter, union, out=np.zeros(len(a)), where=union > 0)
    return np.where(np.isnan(b).any(axis=1), np.nan, np.clip(ious, 0.0, 1.0))


def centre_errors(
    predicted_xyxy: ArrayLike, truth_xyxy: ArrayLike, *, normalised: bool = False
) -> FloatArray:
    """``(N,)`` distance of the centres, nan where the truth has a nan, inf where only the prediction has one.

    Args:
        normalised: in widths and heights of the true box instead of pixels; it has to have an area.
    """
    a, b = _pairs(predicted_xyxy, truth_xyxy)
    apart = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    if normalised:
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = apart / (b[:, 2:] - b[:, :2])
    errors = np.hypot(apart[:, 0], apart[:, 1])
    errors = np.where(np.isnan(errors), np.inf, errors)
    return np.where(np.isnan(b).any(axis=1), np.nan, errors)


def share_over(values: ArrayLike, thresholds: ArrayLike) -> FloatArray:
    """For each threshold, the share of the values over it; nan values are not counted.

    Raises:
        ValueError: all values are nan, or there are none.
    """
    return (_annotated(values)[None, :] > np.asarray(thresholds)[:, None] + _ROUNDING).mean(axis=1)


def share_within(values: ArrayLike, thresholds: ArrayLike) -> FloatArray:
    """For each threshold, the share of the values that are at most it; nan values are not counted.

    Raises:
        ValueError: all values are nan, or there are none.
    """
    return (_annotated(values)[None, :] <= np.asarray(thresholds)[:, None] + _ROUNDING).mean(axis=1)


# --- one number for a list of boxes ------------------------------------------------------------------------


def success_curve(ious: ArrayLike) -> FloatArray:
    """``(21,)``: for each of `THRESHOLDS`, the share of annotated frames whose IoU is over it."""
    return share_over(ious, THRESHOLDS)


def precision(predicted: Sequence[FloatArray | None], truth_xyxy: ArrayLike) -> float:
    """Share of annotated frames whose centre is at most `PRECISION_PX` pixels off."""
    return float(share_within(centre_errors(stack_boxes(predicted), truth_xyxy), [PRECISION_PX])[0])


def stack_boxes(boxes: Sequence[FloatArray | None]) -> FloatArray:
    """``(N, 4)``, nan for None."""
    return np.array([np.full(4, np.nan) if box is None else box for box in boxes], np.float64).reshape(-1, 4)


def has_area(boxes_xyxy: FloatArray) -> NDArray[np.bool_]:
    """``(N,)`` which of the boxes ``(N, 4)`` are finite and wider and higher than nothing."""
    return np.asarray(
        np.isfinite(boxes_xyxy).all(axis=1) & (boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1)
    )


def _pairs(predicted: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a = np.asarray(predicted, dtype=np.float64).reshape(-1, 4)
    b = np.asarray(truth, dtype=np.float64).reshape(-1, 4)
    if len(a) != len(b):
        raise ValueError(f"there are {len(a)} predicted boxes for {len(b)} true ones")
    return a, b


def _areas(boxes: FloatArray) -> FloatArray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)


def _annotated(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    counted = array[~np.isnan(array)]
    if counted.size == 0:
        raise ValueError("no frame has a truth to compare with")
    return counted
