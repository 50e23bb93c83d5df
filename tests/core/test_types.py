"""The checks of the values that cross boundaries."""

import numpy as np
import pytest
from rasters import SIZE, raster, sides

from langtrack_core.types import Estimate, Frame, LangTrackError, Query, check_box


def test_estimate_from_mask_obeys_the_rule_of_128():
    mask_prob = np.zeros(SIZE, np.float32)
    mask_prob[:, :4] = 128 / 255
    mask_prob[10:14, 20:26] = 129 / 255
    estimate = Estimate.from_mask(mask_prob, 0.5)
    assert estimate.box_xyxy is not None
    assert estimate.box_xyxy.tolist() == [20, 10, 26, 14]
    np.testing.assert_array_equal(estimate.mask, raster([20, 10, 26, 14]))
    np.testing.assert_array_equal(np.unique(estimate.mask_u8), [0, 128, 129])
    np.testing.assert_allclose(np.sort(sides(estimate.corners_xy)[2]), (2, 3), atol=1e-3)


def test_estimate_of_an_empty_mask_is_absent_and_never_a_made_up_box():
    for estimate in (
        Estimate.from_mask(np.full(SIZE, 0.5, np.float32), 0.9),
        Estimate.absent(SIZE),
    ):
        assert estimate.box_xyxy is None
        assert estimate.box_xyxy is None
        assert estimate.corners_xy is None
        assert not estimate.mask.any()
        assert estimate.mask.shape == SIZE


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros(SIZE, np.float64), 0.5, None),
        (np.zeros((*SIZE, 1), np.float32), 0.5, None),
        (np.zeros(SIZE, np.float32), 1.5, None),
        (np.zeros(SIZE, np.float32), float("nan"), None),
        (np.zeros(SIZE, np.float32), 0.5, np.zeros(3)),
    ],
)
def test_wrong_estimates_cannot_be_made(arguments):
    with pytest.raises(ValueError):
        Estimate(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 0.0, np.zeros((4, 4), np.uint8)),
        (0, 0.0, np.zeros((4, 4, 4), np.uint8)),
        (0, 0.0, np.zeros((4, 4, 3), np.float32)),
        (-1, 0.0, np.zeros((4, 4, 3), np.uint8)),
        (0, float("nan"), np.zeros((4, 4, 3), np.uint8)),
    ],
)
def test_wrong_frames_cannot_be_made(arguments):
    with pytest.raises(ValueError):
        Frame(*arguments)


def test_frame_knows_its_size():
    assert Frame(0, 0.0, np.zeros((4, 6, 3), np.uint8)).size_hw == (4, 6)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "Say what to follow"),
        ({"text": " \t"}, "expression is empty"),
        ({"text": "", "box_xyxy": [1, 2, 3, 4]}, "expression is empty"),
        ({"text": "?! 🐶"}, 'expression "\\?! 🐶" has no words'),
        ({"text": "dog " * 126}, "at most 500 characters, but this one has 504"),
        ({"text": "dog", "start": -1}, "start frame"),
        ({"text": "dog", "start": 1.5}, "start frame"),
        ({"box_xyxy": [0, 0, 5]}, "four finite numbers"),
        ({"box_xyxy": [0, 0, 5, float("inf")]}, "four finite numbers"),
        ({"box_xyxy": [5, 0, 5, 9]}, "x2 > x1"),
        ({"box_xyxy": [5, 9, 9, 0]}, "y2 > y1"),
        ({"box_xyxy": [0.1, 0.2, 0.5, 1]}, "in pixels"),
    ],
)
def test_wrong_queries_say_what_to_do(arguments, match):
    with pytest.raises(LangTrackError, match=match):
        Query(**arguments)


def test_query_box_becomes_numbers():
    query = Query(box_xyxy=[1, 2, 3, 4])
    assert query.box_xyxy.dtype == np.float64
    assert query.box_xyxy.tolist() == [1, 2, 3, 4]


def test_a_box_needs_a_part_in_the_picture():
    assert check_box([-5, -5, 1, 1], SIZE).tolist() == [-5, -5, 1, 1]
    with pytest.raises(LangTrackError, match="outside the picture, which is 32x24"):
        check_box([32, 0, 40, 9], SIZE)
