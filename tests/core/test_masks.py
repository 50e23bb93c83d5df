"""Masks and their rectangles against brute force; run lengths against pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from rasters import SIZE, random_boxes, raster, sides

from langtrack_core.masks import (
    binarise,
    enclosing_box,
    enclosing_rectangle,
    encode_rle,
    largest_component,
    prob_to_u8,
)


def random_masks(count, *, seed=0, largest=(24, 32)):
    """Sparse to dense, some empty, of all sizes from 1x1."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        size = rng.integers(1, largest[0] + 1), rng.integers(1, largest[1] + 1)
        yield rng.random(size) < rng.choice([0.0, 0.01, 0.1, 0.5, 1.0])


def pixel_corners(mask):
    """The four corners x, y of every positive pixel's square, ``(4 N, 2)``."""
    rows, columns = np.nonzero(mask)
    return np.concatenate([np.stack([columns + dx, rows + dy], 1) for dx in (0, 1) for dy in (0, 1)]).astype(
        float
    )


def test_the_whole_picture_is_0_0_w_h():
    assert enclosing_box(np.ones(SIZE, bool)).tolist() == [0, 0, 32, 24]


def test_positive_is_over_128():
    mask_u8 = np.array([[0, 127, 128, 129, 255]], np.uint8)
    assert binarise(mask_u8).tolist() == [[False, False, False, True, True]]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_binarise_takes_nothing_but_bytes(dtype):
    with pytest.raises(ValueError, match="uint8"):
        binarise(np.zeros((2, 2), dtype))


def test_probabilities_become_the_nearest_byte():
    values = np.array([[-0.5, 0, 0.5, 127.4 / 255, 128.4 / 255, 128.6 / 255, 1, 1.5]], np.float32)
    assert prob_to_u8(values).tolist() == [[0, 0, 128, 127, 128, 129, 255, 255]]
    assert prob_to_u8(values).dtype == np.uint8
    every = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(prob_to_u8(every.astype(np.float32) / 255), every)


def components(mask):
    """8-connected regions by flooding, as sets of (row, column)."""
    left = set(zip(*np.nonzero(mask), strict=True))
    regions = []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            i, j = edge.pop()
            region.add((i, j))
            near = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        regions.append(region)
    return regions


def test_largest_component_is_one_region_and_none_is_larger():
    for mask in random_masks(300, seed=4, largest=(8, 10)):
        regions = components(mask)
        cells = set(zip(*np.nonzero(largest_component(mask)), strict=True))
        if not regions:
            assert not cells
        else:
            assert cells in regions
            assert len(cells) == max(map(len, regions))


def test_largest_component_joins_diagonals_and_leaves_its_input_alone():
    mask = np.zeros(SIZE, bool)
    mask[[2, 3, 4], [2, 3, 4]] = True  # three in a diagonal beat two in a row
    mask[10, 10:12] = True
    before = mask.copy()
    assert largest_component(mask).sum() == 3
    np.testing.assert_array_equal(mask, before)


# --- minimum enclosing rectangles --------------------------------------------------------------------------


def test_enclosing_box_against_all_pixels():
    for mask in random_masks(300):
        box = enclosing_box(mask)
        points = pixel_corners(mask)
        if not len(points):
            assert box is None
        else:
            np.testing.assert_array_equal(box, [*points.min(axis=0), *points.max(axis=0)])


def test_enclosing_rectangle_is_a_rectangle_around_every_pixel_square():
    for mask in random_masks(300):
        corners = enclosing_rectangle(mask)
        if corners is None:
            assert not mask.any()
            continue
        assert corners.shape == (4, 2)
        centre, axes, half = sides(corners)
        assert axes[0] @ axes[1] == pytest.approx(0, abs=1e-4)
        np.testing.assert_allclose(corners[0] + corners[2], corners[1] + corners[3], atol=1e-3)
        assert (np.abs((pixel_corners(mask) - centre) @ axes.T) <= half + 1e-3).all()


def test_no_angle_gives_a_smaller_rectangle():
    angles = np.deg2rad(np.arange(0, 90, 0.25))
    directions = np.stack([np.cos(angles), np.sin(angles)])
    across = np.stack([-np.sin(angles), np.cos(angles)])
    for mask in random_masks(200, seed=5):
        if not mask.any():
            continue
        points = pixel_corners(mask)
        smallest = (np.ptp(points @ directions, axis=0) * np.ptp(points @ across, axis=0)).min()
        area = 4 * sides(enclosing_rectangle(mask))[2].prod()
        assert area <= smallest * (1 + 1e-4)
        assert area >= mask.sum() * (1 - 1e-4)  # and it holds the squares, so no smaller than they are


def test_rectangle_of_an_upright_box_is_that_box():
    for box in random_boxes(50):
        corners = enclosing_rectangle(raster(box))
        x1, y1, x2, y2 = box
        expected = {(x1, y1), (x2, y1), (x2, y2), (x1, y2)}
        assert {tuple(np.round(corner, 3)) for corner in corners} == expected


@pytest.mark.parametrize("angle_deg", [15, 30, 45, 72])
def test_rectangle_of_a_tilted_bar_is_tilted(angle_deg):
    y, x = np.mgrid[0:200, 0:200] + 0.5 - 100
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    bar = (np.abs(x * c + y * s) <= 60) & (np.abs(-x * s + y * c) <= 15)
    centre, axes, half = sides(enclosing_rectangle(bar))
    np.testing.assert_allclose(centre, (100, 100), atol=1)
    np.testing.assert_allclose(np.sort(half), (15, 60), atol=1)
    along = axes[np.argmax(half)]
    assert abs(along @ [c, s]) > np.cos(np.deg2rad(2))


@pytest.mark.parametrize("find", [enclosing_box, enclosing_rectangle])
def test_empty_mask_has_no_rectangle(find):
    for size in ((24, 32), (1, 1), (1, 32), (0, 5), (5, 0)):
        assert find(np.zeros(size, bool)) is None


def test_one_pixel_is_a_unit_square():
    mask = np.zeros(SIZE, bool)
    mask[23, 31] = True
    assert enclosing_box(mask).tolist() == [31, 23, 32, 24]
    corners = enclosing_rectangle(mask)
    assert {tuple(np.round(c, 3)) for c in corners} == {(31, 23), (32, 23), (32, 24), (31, 24)}


def test_views_with_strides_and_great_pictures():
    great = np.zeros((4000, 8000), bool)
    great[3999, 7998] = great[0, 0] = True
    corners = enclosing_rectangle(great)
    centre, axes, half = sides(corners)
    assert (np.abs((pixel_corners(great) - centre) @ axes.T) <= half + 0.01).all()
    part = great[::-1, ::2]
    assert enclosing_box(part).tolist() == enclosing_box(part.copy()).tolist()


# --- run lengths -------------------------------------------------------------------------------------------


def test_run_lengths_are_those_of_pycocotools():
    for mask in [*random_masks(200, seed=5), np.zeros(SIZE, bool), np.ones(SIZE, bool)]:
        rle = encode_rle(mask)
        assert np.array_equal(coco_mask.decode(rle).astype(bool), mask)
