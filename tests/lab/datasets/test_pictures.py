"""Boxes as masks, against pixel by pixel."""

import numpy as np
import pytest
from rasters import SIZE, random_boxes, raster

from langtrack_core.geometry import clip_box
from langtrack_core.masks import enclosing_box
from langtrack_lab.datasets.pictures import box_to_mask


def test_box_to_mask_and_back_is_exact_for_whole_pixels():
    for box in random_boxes(300):
        mask = box_to_mask(box, SIZE)
        np.testing.assert_array_equal(mask, raster(box))
        np.testing.assert_array_equal(enclosing_box(mask), box)
        assert mask.sum() == np.prod(box[2:] - box[:2])


def test_box_to_mask_sets_the_pixels_whose_centres_are_inside():
    rng = np.random.default_rng(3)
    for _ in range(200):
        x, y, w, h = rng.uniform([-25, -25, 0, 0], [42, 34, 30, 30])
        box = np.array([x, y, x + w, y + h])
        mask = box_to_mask(box, SIZE)
        for i, j in rng.integers(0, SIZE, (50, 2)):
            assert mask[i, j] == (box[0] <= j + 0.5 < box[2] and box[1] <= i + 0.5 < box[3])
        back = enclosing_box(mask)
        visible = clip_box(box, SIZE)
        if back is not None:
            assert np.abs(back - visible).max() <= 0.5 + 1e-9


def test_boxes_side_by_side_share_no_pixel_and_leave_none():
    left, right = box_to_mask([0, 0, 10.5, 24], SIZE), box_to_mask([10.5, 0, 32, 24], SIZE)
    assert not (left & right).any()
    assert (left | right).all()


@pytest.mark.parametrize(
    "box", [[8, 8, 8, 13], [8, 8, 4, 4], [-50, 8, -41, 17], [100, 100, 109, 109], [np.nan] * 4]
)
def test_box_to_mask_of_nothing_is_empty(box):
    mask = box_to_mask(box, SIZE)
    assert mask.shape == SIZE
    assert mask.dtype == bool
    assert not mask.any()


def test_the_whole_picture_is_filled():
    assert box_to_mask([0, 0, 32, 24], SIZE).all()
