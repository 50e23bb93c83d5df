"""Boxes against brute force."""

import numpy as np
import pytest
from rasters import SIZE, random_boxes, raster

from langtrack_core.geometry import (
    box_iou,
    clip_box,
    cxcywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)
from langtrack_core.masks import (
    enclosing_box,
)
from langtrack_lab.metrics.masks import mask_iou
from langtrack_lab.truth.box_files import xywh_to_xyxy

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
@pytest.mark.parametrize("convert", [cxcywh_to_xyxy, xyxy_to_cxcywh, xyxy_to_xywh])
def test_formats_want_four_numbers(convert, box):
    with pytest.raises(ValueError, match="four numbers"):
        convert(box)


def test_clip_box_is_what_the_picture_sees():
    for box in random_boxes(300, low=-20):
        clipped = clip_box(box, SIZE)
        pixels = raster(box)
        if not pixels.any():
            assert clipped is None
        else:
            np.testing.assert_array_equal(raster(clipped), pixels)
            np.testing.assert_array_equal(clipped, enclosing_box(pixels))


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
