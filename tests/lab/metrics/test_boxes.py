"""Boxes and the bootstrap, against hand-made cases and plain re-counts."""

from __future__ import annotations

import numpy as np
import pytest

from langtrack_lab.metrics import (
    GOT10K,
    LASOT,
    OTB,
    PLAIN,
    THRESHOLDS,
    paired_bootstrap,
    precision,
    score_boxes,
    success_curve,
)
from langtrack_lab.metrics.boxes import box_ious, centre_errors, stack_boxes

NAN = [np.nan] * 4
BOX = [10.0, 10.0, 30.0, 30.0]


def test_a_perfect_tracker_has_twenty_of_twenty_one():
    assert success_curve([1.0, 1.0]).mean() == pytest.approx(20 / 21)
    assert success_curve([0.0, 0.0]).mean() == 0.0


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
    truth = np.array([[0, 0, 10, 10], NAN, [0, 0, 10, 10], [0, 0, 10, 10]])
    predicted = [np.array([0.0, 0, 10, 10]), np.array([5.0, 5, 6, 6]), None, np.array([0.0, 0, 10, 5])]
    ious = box_ious(stack_boxes(predicted), truth)
    assert np.allclose(ious[[0, 2, 3]], [1.0, 0.0, 0.5]) and np.isnan(ious[1])
    assert success_curve(ious)[0] == pytest.approx(2 / 3)
    assert precision(predicted, truth) == pytest.approx(2 / 3)


def test_precision_is_at_most_twenty_pixels():
    truth = np.array([[0, 0, 10, 10]] * 3)
    moved = [truth[0] + np.array([dx, dy, dx, dy]) for dx, dy in [(20, 0), (20.1, 0), (12, 16)]]
    assert precision(moved, truth) == pytest.approx(2 / 3)


def test_boxes_are_counted_as_a_raster_counts_them():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (300, 4))
    sizes = rng.integers(0, 9, (300, 4))  # flat ones too
    a = np.concatenate([corners[:, :2], corners[:, :2] + sizes[:, :2]], axis=1)
    b = np.concatenate([corners[:, 2:], corners[:, 2:] + sizes[:, 2:]], axis=1)
    expected = []
    for (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) in zip(a, b, strict=True):
        first, second = np.zeros((24, 24), bool), np.zeros((24, 24), bool)
        first[ay1:ay2, ax1:ax2] = True
        second[by1:by2, bx1:bx2] = True
        union = (first | second).sum()
        expected.append((first & second).sum() / union if union else 0.0)
    assert np.allclose(box_ious(a, b), expected, atol=1e-12)


def test_degenerate_boxes_overlap_by_nothing():
    predicted = np.array([NAN, [5, 5, 5, 5], [9, 9, 1, 1], [0, 0, np.inf, np.inf], BOX])
    truth = np.array([BOX, [5, 5, 5, 5], BOX, BOX, NAN])
    with np.errstate(all="raise"):
        ious = box_ious(predicted[[0, 1, 2, 4]], truth[[0, 1, 2, 4]])
        errors = centre_errors(predicted[[0, 4]], truth[[0, 4]])
    assert ious[:3].tolist() == [0, 0, 0] and np.isnan(ious[3])
    assert np.isinf(errors[0]) and np.isnan(errors[1])


def test_normalised_errors_are_in_sizes_of_the_true_box():
    errors = centre_errors([[0, 0, 4, 4]], [[2, 4, 6, 12]], normalised=True)
    assert errors[0] == pytest.approx(np.hypot(2 / 4, 6 / 8))


# --- conventions -------------------------------------------------------------------------------------------


def test_what_a_missing_box_is():
    truth = np.array([BOX] * 4)
    predicted = np.array([NAN, BOX, NAN, [10, 10, 10, 30]])
    assert score_boxes(predicted, truth, PLAIN, by_box=False).success[0] == 0.25
    assert (
        score_boxes(predicted, truth, OTB, by_box=False).success[0] == 0.75
    )  # nothing stands before frame 1


def test_what_the_given_frame_is():
    truth = np.array([BOX] * 4)
    predicted = np.array([NAN, NAN, BOX, BOX])
    assert score_boxes(predicted, truth, PLAIN, by_box=True).success[0] == pytest.approx(2 / 3)
    assert score_boxes(predicted, truth, LASOT, by_box=True).success[0] == 0.75
    assert score_boxes(predicted, truth, LASOT, by_box=False).success[0] == 0.5


def test_absent_frames_weigh_in_lasot_alone():
    truth = np.array([BOX, BOX, [0, 0, 0, 0], BOX])
    absent = np.array([False, False, True, False])
    scores = {c.name: score_boxes(truth, truth, c, by_box=False, absent=absent) for c in (PLAIN, OTB, LASOT)}
    assert scores["plain"].success[0] == scores["OTB"].success[0] == 1.0
    assert scores["LaSOT"].success[0] == scores["LaSOT"].precision_20 == scores["LaSOT"].normalised_20 == 0.75
    assert [s.counted for s in scores.values()] == [3, 3, 3]
    assert scores["LaSOT"].average_overlap == 1.0


def test_wrong_lengths_and_nothing_to_compare_are_errors():
    with pytest.raises(ValueError, match=r"no frame.*truth"):
        success_curve([np.nan, np.nan])
    with pytest.raises(ValueError, match="1 predicted boxes for 2 true"):
        box_ious(stack_boxes([None]), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="2 predicted boxes, 3 true"):
        score_boxes(np.zeros((2, 4)), np.zeros((3, 4)), OTB, by_box=False)
    with pytest.raises(ValueError, match="size is missing"):
        score_boxes([BOX], [BOX], GOT10K, by_box=False)


# --- chance ------------------------------------------------------------------------------------------------


def test_a_steady_gain_is_no_noise_and_a_scattered_one_is():
    rng = np.random.default_rng(1)
    base = rng.random(30)
    steady = paired_bootstrap(base, base + rng.normal(0.05, 0.02, 30))
    assert not steady.is_noise and 0 < steady.low < steady.mean < steady.high < 0.1
    assert steady.sentence("A", "B", "AUC").startswith("B is better than A in AUC by 0.049")
    scattered = paired_bootstrap(base, base + rng.normal(0.0, 0.3, 30))
    assert scattered.is_noise and "may be noise" in scattered.sentence("A", "B", "AUC")


def test_the_interval_is_that_of_the_mean():
    gains = np.random.default_rng(2).normal(0.1, 0.2, 400)
    difference = paired_bootstrap(np.zeros(400), gains)
    half = 1.96 * gains.std() / 20
    assert difference.low == pytest.approx(gains.mean() - half, abs=0.003)
    assert difference.high == pytest.approx(gains.mean() + half, abs=0.003)
    assert paired_bootstrap(np.zeros(400), gains) == difference  # seeded


def test_words_turn_with_the_sign():
    worse = paired_bootstrap([0.9, 0.8, 0.7, 0.9, 0.8, 0.7], [0.4, 0.3, 0.2, 0.4, 0.3, 0.2])
    assert worse.sentence("A", "B", "J&F") == (
        "A is better than B in J&F by 0.500 (95% interval +0.500 to +0.500, 6 sequences)."
    )
    assert "equal" in paired_bootstrap([0.5, 0.1], [0.5, 0.1]).sentence("A", "B", "AUC")
    assert "says nothing" in paired_bootstrap([0.5], [0.9]).sentence("A", "B", "AUC")
    with pytest.raises(ValueError, match="no sequence"):
        paired_bootstrap([np.nan], [0.5])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 12])
def test_of_two_equal_trackers_one_in_twenty_is_called_better_at_most(count):
    """By what the signs alone decide: all sequences in favour of one of the two."""
    by_chance = 2 * 0.5**count
    difference = paired_bootstrap(np.zeros(count), np.full(count, 0.1))
    assert difference.is_noise == (by_chance > 0.05)
    assert ("too few sequences" in difference.sentence("A", "B", "AUC")) == difference.is_noise
