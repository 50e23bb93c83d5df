"""Outlines of masks, filled again by pycocotools, whose rasteriser takes points between pixels exactly."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from synthetic import moving_object

from langtrack_core.masks import BoolMask, enclosing_box
from langtrack_lab.exports.polygons import Ring, one_polygon, polygons
from langtrack_lab.metrics.masks import mask_iou


def filled(ring: Ring, size_hw: tuple[int, int]) -> BoolMask:
    (encoded,) = coco_mask.frPyObjects([ring.ravel().tolist()], *size_hw)
    return coco_mask.decode(encoded).astype(bool)


def drawn(*lines: str) -> BoolMask:
    return np.array([[sign == "#" for sign in line] for line in lines])


RING = drawn("......", ".####.", ".#..#.", ".#.##.", ".####.", "......")
DIAGONAL = drawn("#...", ".#..", "..##", "..#.")
PARTS = drawn("##....", "##....", "......", "....##", "...###", "...###")


@pytest.mark.parametrize("mask", [RING, DIAGONAL, PARTS, np.ones((1, 1), bool), np.ones((3, 5), bool)])
def test_an_outline_filled_is_the_mask(mask: BoolMask) -> None:
    parts = polygons(mask)
    together = np.logical_or.reduce([filled(part, mask.shape) for part in parts])
    assert np.array_equal(together, mask)
    whole = one_polygon(mask)
    assert whole is not None and np.array_equal(filled(whole, mask.shape), mask)
    box = enclosing_box(mask)
    assert box is not None and [*whole.min(0), *whole.max(0)] == box.tolist()


def test_random_masks_come_back() -> None:
    rng = np.random.default_rng(0)
    for density in (0.2, 0.5, 0.8):
        mask = rng.random((23, 31)) < density
        whole = one_polygon(mask)
        assert whole is not None and np.array_equal(filled(whole, mask.shape), mask)


def test_the_largest_region_comes_first_and_straight_lines_have_two_points() -> None:
    first, second = polygons(PARTS)
    assert second.tolist() == [[0, 0], [0, 2], [2, 2], [2, 0]] and len(first) == 6
    assert polygons(np.zeros((4, 5), bool)) == [] and one_polygon(np.zeros((4, 5), bool)) is None


def test_a_tolerance_saves_points_and_keeps_the_shape() -> None:
    mask = moving_object(1, (240, 320)).masks[0]
    (exact,), (light,) = polygons(mask), polygons(mask, 1.0)
    assert len(light) < len(exact) / 4
    assert mask_iou(filled(light, mask.shape), mask) > 0.95
