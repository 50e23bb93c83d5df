"""Masks: J and F of DAVIS, the table of referring segmentation, the referral rule of VOT.

J is the IoU of a frame's masks, F the harmonic mean of precision and recall of their boundaries (Perazzi et
al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016). Details are
those of davis2017-evaluation: boundary pixels are those that differ from their right, lower or lower right
neighbour; two boundary pixels meet when they are within ceil(0.008 * diagonal) pixels; empty masks agree.
Of its protocols, "semi-supervised" (an annotation is given) leaves the first and the last frame out,
"unsupervised", with which referring video segmentation is measured, counts all.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask

from .boxes import box_ious

BOUNDARY_SHARE = 0.008
"""Two boundary pixels meet when they are at most this share of the diagonal apart, as in DAVIS."""

PRECISION_AT = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Mask IoUs for which referring segmentation reports the share of samples that reach them."""


# --- DAVIS -------------------------------------------------------------------------------------------------


def mask_iou(a: BoolMask, b: BoolMask) -> float:
    """J: intersection over union of two masks of one shape; two empty masks agree (1)."""
    if a.shape != b.shape:
        raise ValueError(f"masks must have one shape, got {a.shape} and {b.shape}")
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def boundary_f(predicted: BoolMask, truth: BoolMask, share: float = BOUNDARY_SHARE) -> float:
    """F, in [0, 1], for the masks ``(H, W)`` of one frame."""
    if predicted.shape != truth.shape:
        raise ValueError(f"masks must have one shape, got {predicted.shape} and {truth.shape}")
    radius = math.ceil(share * math.hypot(*truth.shape))
    edge, true_edge = boundary(predicted), boundary(truth)
    pixels, true_pixels = np.count_nonzero(edge), np.count_nonzero(true_edge)
    if pixels == 0 or true_pixels == 0:
        return float(pixels == true_pixels)
    precision = np.count_nonzero(edge & _dilate(true_edge, radius)) / pixels
    recall = np.count_nonzero(true_edge & _dilate(edge, radius)) / true_pixels
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def boundary(mask: BoolMask) -> BoolMask:
    """``(H, W)`` pixels that differ from their right, lower or lower right neighbour; outside of the picture
    there is none to differ from."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask ^ right) | (mask ^ below) | (mask ^ diagonal)


def _dilate(edge: BoolMask, radius: int) -> BoolMask:
    """Every pixel within the radius of a set one."""
    reach = np.arange(-radius, radius + 1)
    disk = (reach[:, None] ** 2 + reach[None, :] ** 2 <= radius**2).astype(np.uint8)
    return cv2.dilate(edge.astype(np.uint8), disk).astype(np.bool_)


class DavisStatistics(NamedTuple):
    """How DAVIS sums up the values of a sequence.

    Attributes:
        mean: over the frames.
        recall: share of the frames whose value is over 0.5.
        decay: mean of the first quarter of the frames minus the mean of the last quarter.
    """

    mean: float
    recall: float
    decay: float


def davis_statistics(values: ArrayLike) -> DavisStatistics:
    """As DAVIS sums up J and F over the frames ``(N,)``; nan is left out.

    The quarters share their border frames. The official code numbers frames in 8 bits, which spoils the decay
    of clips over 256 frames; here it is right.

    Raises:
        ValueError: there are no values.
    """
    v = np.asarray(values, dtype=np.float64)
    if not (~np.isnan(v)).any():
        raise ValueError("no frame has a truth to compare with")
    ends = np.round(np.linspace(1, len(v), 5) + 1e-10).astype(int) - 1
    first, last = v[ends[0] : ends[1] + 1], v[ends[3] : ends[4] + 1]
    both_ends = not (np.isnan(first).all() or np.isnan(last).all())
    decay = float(np.nanmean(first) - np.nanmean(last)) if both_ends else math.nan
    counted = v[~np.isnan(v)]
    return DavisStatistics(float(counted.mean()), float((counted > 0.5).mean()), decay)


# --- referring segmentation --------------------------------------------------------------------------------


class ReferringScores(NamedTuple):
    """The table of referring segmentation, as in DMN's paper.

    Attributes:
        mean_iou: over samples.
        overall_iou: all intersections over all unions, so that large objects weigh more.
        precision_at: share of samples whose IoU is **at least** 0.5, 0.6, 0.7, 0.8, 0.9.
    """

    mean_iou: float
    overall_iou: float
    precision_at: tuple[float, ...]


def referring_scores(intersections: ArrayLike, unions: ArrayLike) -> ReferringScores:
    """Sum up samples, each a sentence on a picture or on a frame.

    Args:
        intersections, unions: ``(N,)`` pixels; nan for samples without annotation. Two empty masks agree.

    Raises:
        ValueError: no sample is annotated.
    """
    inter, union = np.asarray(intersections, np.float64), np.asarray(unions, np.float64)
    valid = ~np.isnan(union)
    inter, union = inter[valid], union[valid]
    if inter.size == 0:
        raise ValueError("no frame has a truth to compare with")
    ious = np.divide(inter, union, out=np.ones_like(inter), where=union > 0)
    overall = inter.sum() / union.sum() if union.sum() > 0 else 1.0
    return ReferringScores(
        float(ious.mean()), float(overall), tuple(float((ious >= t).mean()) for t in PRECISION_AT)
    )


# --- the referral rule of VOT ------------------------------------------------------------------------------


def referral_overlaps(
    predicted_xyxy: ArrayLike, truth_xyxy: ArrayLike, absent: NDArray[np.bool_]
) -> FloatArray:
    """IoU of the boxes where the target is there; where it is absent, 1 without and 0 with a predicted box.

    The rule of vot-toolkit's referral analysis, which has it for masks; there it is `mask_iou`.

    Returns:
        ``(N,)``, nan where nothing is annotated.
    """
    predicted = np.asarray(predicted_xyxy, np.float64).reshape(-1, 4)
    truth = np.array(truth_xyxy, np.float64).reshape(-1, 4)
    truth[absent] = np.nan
    no_box = np.isnan(predicted).any(axis=1)
    return np.where(absent, no_box.astype(np.float64), box_ious(predicted, truth))
