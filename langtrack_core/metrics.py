"""Figures of merit for boxes and masks, in the conventions of the field.

Success follows OTB (Wu et al., "Online Object Tracking: A Benchmark", CVPR 2013): the share of frames whose
IoU is **over** a threshold, for the 21 thresholds 0, 0.05, … 1; its AUC is the mean of those 21 shares. A
frame needs some overlap at threshold 0, and none counts at threshold 1: a perfect tracker has 20/21 = 0.952.
Precision is the share of frames whose box centre is within 20 pixels of the truth's.
Frames without truth (nan: the target is not to be seen) are not counted; a missing prediction overlaps by 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .geometry import BoolMask, FloatArray, box_iou, mask_iou

THRESHOLDS = np.linspace(0.0, 1.0, 21)
PRECISION_PX = 20.0


def frame_ious(predicted: Sequence[FloatArray | None], truth_xyxy: ArrayLike) -> FloatArray:
    """IoU of each frame, nan where there is no truth.

    Args:
        predicted: a box ``(4,)`` xyxy for each frame, None where the target was said to be absent.
        truth_xyxy: ``(N, 4)``, nan where there is none.
    """
    truth = _same_length(predicted, truth_xyxy)
    return np.array(
        [
            np.nan if np.isnan(b).any() else 0.0 if a is None else box_iou(a, b)
            for a, b in zip(predicted, truth, strict=True)
        ]
    )


def success_curve(ious: ArrayLike) -> FloatArray:
    """``(21,)``: for each of `THRESHOLDS`, the share of annotated frames whose IoU is over it.

    Raises:
        ValueError: no frame is annotated.
    """
    counted = _annotated(ious)
    # A mean of a thousand float roundings must not decide whether 0.15 is over 0.15.
    return (counted[None, :] > THRESHOLDS[:, None] + 1e-9).mean(axis=1)


def success_auc(ious: ArrayLike) -> float:
    """Area under the success curve: the mean of its 21 values."""
    return float(success_curve(ious).mean())


def precision(predicted: Sequence[FloatArray | None], truth_xyxy: ArrayLike) -> float:
    """Share of annotated frames whose centre is at most `PRECISION_PX` pixels off."""
    truth = _same_length(predicted, truth_xyxy)
    near = [
        a is not None and bool(np.hypot(*((a[:2] + a[2:] - b[:2] - b[2:]) / 2)) <= PRECISION_PX)
        for a, b in zip(predicted, truth, strict=True)
        if not np.isnan(b).any()
    ]
    return float(_annotated(near).mean())


def mean_mask_iou(predicted: Iterable[BoolMask], truth: Iterable[BoolMask]) -> float:
    """Mean over the frames of the IoU of their masks; two empty masks agree."""
    return float(_annotated([mask_iou(a, b) for a, b in zip(predicted, truth, strict=True)]).mean())


def _same_length(predicted: Sequence[FloatArray | None], truth_xyxy: ArrayLike) -> NDArray[np.float64]:
    truth = np.asarray(truth_xyxy, dtype=np.float64).reshape(-1, 4)
    if len(truth) != len(predicted):
        raise ValueError(f"there are {len(predicted)} predicted boxes for {len(truth)} true ones")
    return truth


def _annotated(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    counted = array[~np.isnan(array)]
    if counted.size == 0:
        raise ValueError("no frame has a truth to compare with")
    return counted
