"""Masks against their definitions, pixel by pixel, and against vot-toolkit."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest

from langtrack_lab.metrics import (
    boundary_f,
    davis_statistics,
    referral_overlaps,
    referring_scores,
)
from langtrack_lab.metrics.masks import boundary, mask_iou


def blob(rng: np.random.Generator, size_hw=(26, 34)) -> np.ndarray:
    painted = np.zeros(size_hw, np.uint8)
    for _ in range(rng.integers(1, 3)):
        centre = tuple(int(v) for v in rng.integers(0, size_hw[::-1]))
        axes = tuple(int(v) for v in rng.integers(1, 11, 2))
        cv2.ellipse(painted, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return painted.astype(bool)


def degenerate(size_hw=(26, 34)) -> list[np.ndarray]:
    empty, full = np.zeros(size_hw, bool), np.ones(size_hw, bool)
    dot, corner, row = empty.copy(), empty.copy(), empty.copy()
    dot[13, 20] = corner[-1, -1] = True
    row[-1, :] = True
    return [empty, full, dot, corner, row]


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    random = [(blob(rng), blob(rng)) for _ in range(15)]
    near = [(mask, np.roll(mask, shift, (0, 1))) for mask, _ in random[:6] for shift in [(0, 1), (2, 2)]]
    return random + near + list(itertools.product(degenerate(), repeat=2))


# --- F against its definition ------------------------------------------------------------------------------


def plain_boundary(mask: np.ndarray) -> set[tuple[int, int]]:
    """Pixels that differ from their right, lower or lower right neighbour; the last row and column have only
    the neighbours that are there."""
    height, width = mask.shape
    values = set()
    for y, x in itertools.product(range(height), range(width)):
        for dy, dx in ((0, 1), (1, 0), (1, 1)):
            y2, x2 = y + dy, x + dx
            if y2 < height and x2 < width and mask[y, x] != mask[y2, x2]:
                values.add((y, x))
    return values


def plain_f(predicted: np.ndarray, truth: np.ndarray) -> float:
    """By the distance of every boundary pixel to the nearest one of the other boundary."""
    reach = math.ceil(0.008 * math.hypot(*truth.shape))
    own, true = plain_boundary(predicted), plain_boundary(truth)
    if not own or not true:
        return float(not own and not true)

    def matched(points, others) -> float:
        a, b = np.array(sorted(points), float), np.array(sorted(others), float)
        nearest = np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1]).min(axis=1)
        return float((nearest <= reach).mean())

    precision, recall = matched(own, true), matched(true, own)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_f_is_what_it_is_defined_to_be():
    for predicted, truth in pairs():
        assert {tuple(p) for p in np.argwhere(boundary(truth)).tolist()} == plain_boundary(truth)
        assert boundary_f(predicted, truth) == pytest.approx(plain_f(predicted, truth), abs=1e-12)


def test_f_tolerates_what_the_diagonal_allows():
    truth = np.zeros((600, 800), bool)  # diagonal 1000: eight pixels
    truth[200:400, 300:500] = True
    assert boundary_f(np.roll(truth, 8, axis=1), truth) == 1.0
    assert boundary_f(np.roll(truth, 9, axis=1), truth) < 1.0


def test_masks_must_have_one_shape():
    with pytest.raises(ValueError, match="one shape"):
        boundary_f(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


# --- statistics of DAVIS -----------------------------------------------------------------------------------


def plain_statistics(values: list[float]) -> tuple[float, float, float]:
    """Quarters from 1-based Matlab indices, rounded half up, borders shared."""
    n = len(values)
    ends = [math.floor(1 + k * (n - 1) / 4 + 0.5 + 1e-9) for k in range(5)]
    first, last = values[ends[0] - 1 : ends[1]], values[ends[3] - 1 : ends[4]]
    decay = sum(first) / len(first) - sum(last) / len(last)
    return sum(values) / n, sum(v > 0.5 for v in values) / n, decay


def test_statistics_equal_a_plain_count():
    rng = np.random.default_rng(5)
    for n in (4, 5, 9, 70, 300):
        values = rng.random(n).tolist()
        assert davis_statistics(values) == pytest.approx(plain_statistics(values))


def test_decay_is_what_is_lost():
    assert davis_statistics([1.0] * 10 + [0.0] * 10).decay == pytest.approx(1.0)
    assert (
        davis_statistics([0.5]).decay == 0.0 and davis_statistics([0.5]).recall == 0.0
    )  # over 0.5, not at it
    assert davis_statistics([np.nan, 1.0, 1.0]).mean == 1.0
    with pytest.raises(ValueError, match="no frame"):
        davis_statistics([np.nan])


# --- referring segmentation, and the referral rule ---------------------------------------------------------


def test_the_referring_table_by_hand():
    table = referring_scores([5, 90, 0, np.nan], [10, 100, 0, np.nan])
    assert table.mean_iou == pytest.approx((0.5 + 0.9 + 1.0) / 3)
    assert table.overall_iou == pytest.approx(95 / 110)
    assert table.precision_at == pytest.approx((1, 2 / 3, 2 / 3, 2 / 3, 2 / 3))  # at least, not over
    with pytest.raises(ValueError, match="no frame"):
        referring_scores([np.nan], [np.nan])


def test_absent_frames_by_the_referral_rule():
    box, nan = [0.0, 0, 10, 10], [np.nan] * 4
    truth = np.array([box, nan, nan, nan, box])
    absent = np.array([False, True, True, False, False])
    predicted = np.array([[0.0, 0, 10, 5], nan, box, box, nan])
    overlaps = referral_overlaps(predicted, truth, absent)
    assert overlaps[[0, 1, 2, 4]].tolist() == [0.5, 1, 0, 0] and np.isnan(overlaps[3])


# --- vot-toolkit -------------------------------------------------------------------------------------------


def spread(mask: np.ndarray) -> bool:
    """Over more than one row and more than one column, or empty."""
    places = np.argwhere(mask)
    return len(places) == 0 or bool((np.ptp(places, axis=0) > 0).all())


def test_j_and_the_referral_rule_are_those_of_vot():
    from vot.analysis.referral import _per_frame_iou
    from vot.analysis.vos import compute_j
    from vot.region.shapes import Mask

    # Of two regions within one row or column it says 1, whatever they are.
    both = [pair for pair in pairs() if spread(pair[0] | pair[1])]
    ours = [mask_iou(predicted, truth) for predicted, truth in both]
    assert ours == pytest.approx([_per_frame_iou(truth, predicted) for predicted, truth in both], abs=1e-12)
    truth, predicted = ([Mask(pair[i].astype(np.uint8)) for pair in both] for i in (1, 0))
    height, width = both[0][0].shape
    assert np.mean(ours) == pytest.approx(compute_j(truth, predicted, (width, height)), abs=1e-12)
    inner = davis_statistics(ours[1:-1]).mean  # its "official" DAVIS rule
    assert inner == pytest.approx(compute_j(truth, predicted, (width, height), official=True), abs=1e-12)


def test_boxes_overlap_as_in_vot():
    """It paints whole pixels, so on whole numbers the two have to agree."""
    from vot.region import calculate_overlap
    from vot.region.shapes import Mask

    from langtrack_lab.datasets.pictures import box_to_mask
    from langtrack_lab.metrics.boxes import box_ious

    rng = np.random.default_rng(4)
    corners = rng.integers(0, 14, (2, 40, 2))
    boxes = np.concatenate([corners, corners + rng.integers(2, 12, (2, 40, 2))], axis=2).astype(float)
    painted = [[Mask(box_to_mask(b, (26, 34)).astype(np.uint8)) for b in row] for row in boxes]
    theirs = [calculate_overlap(a, b) for a, b in zip(*painted, strict=True)]
    assert box_ious(*boxes) == pytest.approx(theirs, abs=1e-12)


SIZE = (12, 16)


def test_mask_iou_by_counting():
    masks = [np.random.default_rng(i).random(SIZE) < 0.5 for i in range(4)]
    for a in masks:
        for b in masks:
            both = sum(p and q for p, q in zip(a.flat, b.flat, strict=True))
            either = sum(p or q for p, q in zip(a.flat, b.flat, strict=True))
            assert mask_iou(a, b) == both / either


def test_mask_iou_of_empty_masks():
    empty, full = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    assert mask_iou(empty, empty) == 1
    assert mask_iou(empty, full) == 0
    with pytest.raises(ValueError, match="one shape"):
        mask_iou(empty, full[:-1])
