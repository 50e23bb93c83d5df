"""Figures of merit against hand-made cases and a plain re-count."""

import numpy as np
import pytest

from langtrack_core.metrics import (
    THRESHOLDS,
    frame_ious,
    mean_mask_iou,
    precision,
    success_auc,
    success_curve,
)


def test_a_perfect_tracker_has_twenty_of_twenty_one():
    assert success_auc([1.0, 1.0]) == pytest.approx(20 / 21)
    assert success_auc([0.0, 0.0]) == 0.0


def test_iou_must_be_over_the_threshold():
    curve = dict(zip(np.round(THRESHOLDS, 2), success_curve([0.5, 0.7]), strict=True))
    assert curve[0.0] == 1.0 and curve[0.45] == 1.0
    assert curve[0.5] == 0.5 and curve[0.65] == 0.5
    assert curve[0.7] == 0.0 and curve[1.0] == 0.0


def test_success_equals_a_plain_count():
    ious = np.random.default_rng(3).random(200)
    expected = [sum(iou > k / 20 for iou in ious) / 200 for k in range(21)]
    assert np.allclose(success_curve(ious), expected)


def test_frames_without_truth_do_not_count_and_missing_predictions_do():
    truth = np.array([[0, 0, 10, 10], [np.nan] * 4, [0, 0, 10, 10], [0, 0, 10, 10]])
    predicted = [np.array([0.0, 0, 10, 10]), np.array([5.0, 5, 6, 6]), None, np.array([0.0, 0, 10, 5])]
    ious = frame_ious(predicted, truth)
    assert np.allclose(ious[[0, 2, 3]], [1.0, 0.0, 0.5]) and np.isnan(ious[1])
    assert success_curve(ious)[0] == pytest.approx(2 / 3)
    assert precision(predicted, truth) == pytest.approx(2 / 3)


def test_precision_is_at_most_twenty_pixels():
    truth = np.array([[0, 0, 10, 10]] * 3)
    moved = [truth[0] + np.array([dx, dy, dx, dy]) for dx, dy in [(20, 0), (20.1, 0), (12, 16)]]
    assert precision(moved, truth) == pytest.approx(2 / 3)


def test_mean_mask_iou():
    full, empty = np.ones((2, 4), bool), np.zeros((2, 4), bool)
    half = full.copy()
    half[:, 2:] = False
    assert mean_mask_iou([full, empty, half, empty], [full, empty, full, full]) == pytest.approx(2.5 / 4)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="no frame has a truth"):
        success_auc([np.nan, np.nan])
    with pytest.raises(ValueError, match="1 predicted boxes for 2 true"):
        frame_ious([None], np.zeros((2, 4)))
