"""Boxes, masks and rectangles against brute force, and the checks of the values that cross boundaries."""

import numpy as np
import pytest
from rasters import SIZE, random_boxes, raster, sides

from langtrack_core.geometry import (
    box_iou,
    clip_box,
    cxcywh_to_xyxy,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)
from langtrack_core.masks import (
    enclosing_box,
    mask_iou,
)
from langtrack_core.types import Estimate, Frame, LangTrackError, Query

# --- box formats -------------------------------------------------------------------------------------------


def test_formats_by_hand():
    np.testing.assert_array_equal(cxcywh_to_xyxy([10, 20, 4, 6]), [8, 17, 12, 23])
    np.testing.assert_array_equal(xyxy_to_cxcywh([8, 17, 12, 23]), [10, 20, 4, 6])
    np.testing.assert_array_equal(xywh_to_xyxy([8, 17, 4, 6]), [8, 17, 12, 23])
    np.testing.assert_array_equal(xyxy_to_xywh([8, 17, 12, 23]), [8, 17, 4, 6])


@pytest.mark.parametrize("there, back", [(cxcywh_to_xyxy, xyxy_to_cxcywh), (xywh_to_xyxy, xyxy_to_xywh)])
def test_formats_round_trip_for_whole_arrays(there, back):
    boxes = np.random.default_rng(0).normal(size=(2, 3, 4)) * 100
    np.testing.assert_allclose(back(there(boxes)), boxes, atol=1e-12)
    np.testing.assert_allclose(there(back(boxes)), boxes, atol=1e-12)
    np.testing.assert_array_equal(there(boxes)[1, 2], there(boxes[1, 2]))


def test_formats_keep_whole_numbers_from_rounding_and_leave_the_input_alone():
    box = np.array([1, 2, 4, 8])
    assert xyxy_to_cxcywh(box).tolist() == [2.5, 5.0, 3.0, 6.0]
    assert box.tolist() == [1, 2, 4, 8]


@pytest.mark.parametrize("box", [[1, 2, 3], [[1, 2], [3, 4]], 5.0, []])
@pytest.mark.parametrize("convert", [cxcywh_to_xyxy, xyxy_to_cxcywh, xywh_to_xyxy, xyxy_to_xywh])
def test_formats_want_four_numbers(convert, box):
    with pytest.raises(ValueError, match="four numbers"):
        convert(box)


def test_clip_box_is_what_the_picture_sees():
    for box in random_boxes(300, low=-20):
        clipped = clip_box(box, SIZE)
        seen = raster(box)
        if not seen.any():
            assert clipped is None
        else:
            np.testing.assert_array_equal(raster(clipped), seen)
            np.testing.assert_array_equal(clipped, enclosing_box(seen))


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 9], [5, 5, 9, 5], [9, 5, 5, 9], [9, 9, 5, 5], [32, 0, 40, 9], [-9, 0, 0, 9], [np.nan] * 4],
)
def test_clip_box_of_nothing_is_none(box):
    assert clip_box(box, SIZE) is None


def test_box_iou_equals_the_iou_of_the_rasters():
    for a, b in zip(random_boxes(300, seed=1), random_boxes(300, seed=2), strict=True):
        assert box_iou(a, b) == pytest.approx(mask_iou(raster(a), raster(b)), abs=1e-12)
        assert box_iou(a, b) == box_iou(b, a)
        assert box_iou(a, a) == 1


@pytest.mark.parametrize("box", [[5, 5, 5, 5], [5, 5, 9, 5], [9, 5, 5, 9], [9, 9, 5, 5], [np.nan] * 4])
def test_box_iou_without_an_area_is_zero(box):
    assert box_iou(box, box) == 0
    assert box_iou(box, [0, 0, 20, 20]) == 0


def test_touching_boxes_do_not_overlap():
    assert box_iou([0, 0, 5, 5], [5, 0, 10, 5]) == 0


# --- values that cross boundaries --------------------------------------------------------------------------


def test_estimate_from_mask_obeys_the_rule_of_128():
    mask_prob = np.zeros(SIZE, np.float32)
    mask_prob[:, :4] = 128 / 255
    mask_prob[10:14, 20:26] = 129 / 255
    estimate = Estimate.from_mask(mask_prob, 0.5)
    assert estimate.present
    assert estimate.box_xyxy.tolist() == [20, 10, 26, 14]
    np.testing.assert_array_equal(estimate.mask, raster([20, 10, 26, 14]))
    np.testing.assert_array_equal(np.unique(estimate.mask_u8), [0, 128, 129])
    np.testing.assert_allclose(np.sort(sides(estimate.corners_xy)[2]), (2, 3), atol=1e-3)


def test_estimate_of_an_empty_mask_is_absent_and_never_a_made_up_box():
    for estimate in (
        Estimate.from_mask(np.full(SIZE, 0.5, np.float32), 0.9),
        Estimate.absent(SIZE),
    ):
        assert not estimate.present
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
        ({"box_xyxy": [0, 0, 5]}, "four finite numbers"),
        ({"box_xyxy": [0, 0, 5, float("inf")]}, "four finite numbers"),
        ({"box_xyxy": [5, 0, 5, 9]}, "x2 > x1"),
        ({"box_xyxy": [5, 9, 9, 0]}, "y2 > y1"),
    ],
)
def test_wrong_queries_say_what_to_do(arguments, match):
    with pytest.raises(LangTrackError, match=match):
        Query(**arguments)


def test_query_box_becomes_numbers():
    query = Query(box_xyxy=[1, 2, 3, 4])
    assert query.box_xyxy.dtype == np.float64
    assert query.box_xyxy.tolist() == [1, 2, 3, 4]
