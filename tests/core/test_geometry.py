"""Boxes, masks and rectangles against brute force, and the checks of the values that cross boundaries."""

import numpy as np
import pytest

from langtrack_core.geometry import (
    binarise,
    box_iou,
    box_to_mask,
    clip_box,
    cxcywh_to_xyxy,
    enclosing_box,
    enclosing_rectangle,
    largest_component,
    mask_iou,
    prob_to_u8,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)
from langtrack_core.types import Estimate, Frame, LangTrackError, Query

SIZE = (24, 32)


def random_masks(count, *, seed=0, largest=(24, 32)):
    """Sparse to dense, some empty, of all sizes from 1x1."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        size = rng.integers(1, largest[0] + 1), rng.integers(1, largest[1] + 1)
        yield rng.random(size) < rng.choice([0.0, 0.01, 0.1, 0.5, 1.0])


def random_boxes(count, *, seed=0, low=0, size_hw=SIZE):
    """Whole-pixel boxes with an area; with a negative ``low`` they stick out of the picture."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x1, x2 = sorted(rng.choice(np.arange(low, size_hw[1] - low + 1), 2, replace=False))
        y1, y2 = sorted(rng.choice(np.arange(low, size_hw[0] - low + 1), 2, replace=False))
        yield np.array([x1, y1, x2, y2], np.float64)


def raster(box_xyxy, size_hw=SIZE):
    """Pixel by pixel: column j is in the box when x1 <= j < x2."""
    x1, y1, x2, y2 = box_xyxy
    mask = np.zeros(size_hw, bool)
    for i in range(size_hw[0]):
        for j in range(size_hw[1]):
            mask[i, j] = x1 <= j < x2 and y1 <= i < y2
    return mask


def pixel_corners(mask):
    """The four corners x, y of every positive pixel's square, ``(4 N, 2)``."""
    rows, columns = np.nonzero(mask)
    return np.concatenate([np.stack([columns + dx, rows + dy], 1) for dx in (0, 1) for dy in (0, 1)]).astype(
        float
    )


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


# --- masks -------------------------------------------------------------------------------------------------


def test_box_to_mask_and_back_is_exact_for_whole_pixels():
    for box in random_boxes(300):
        mask = box_to_mask(xyxy_to_cxcywh(box), SIZE)
        np.testing.assert_array_equal(mask, raster(box))
        np.testing.assert_array_equal(enclosing_box(mask), box)
        assert mask.sum() == np.prod(box[2:] - box[:2])


def test_box_to_mask_sets_the_pixels_whose_centres_are_inside():
    rng = np.random.default_rng(3)
    for _ in range(200):
        cx, cy, w, h = box = rng.uniform([-10, -10, 0, 0], [42, 34, 30, 30])
        mask = box_to_mask(box, SIZE)
        for i, j in rng.integers(0, SIZE, (50, 2)):
            inside = cx - w / 2 <= j + 0.5 < cx + w / 2 and cy - h / 2 <= i + 0.5 < cy + h / 2
            assert mask[i, j] == inside
        back = enclosing_box(mask)
        visible = clip_box(cxcywh_to_xyxy(box), SIZE)
        if back is not None:
            assert np.abs(back - visible).max() <= 0.5 + 1e-9


def test_boxes_side_by_side_share_no_pixel_and_leave_none():
    left, right = box_to_mask([5.25, 12, 10.5, 24], SIZE), box_to_mask([21.25, 12, 21.5, 24], SIZE)
    assert not (left & right).any()
    assert (left | right).all()


@pytest.mark.parametrize(
    "box", [[8, 8, 0, 5], [8, 8, -4, -4], [-50, 8, 9, 9], [100, 100, 9, 9], [np.nan] * 4]
)
def test_box_to_mask_of_nothing_is_empty(box):
    mask = box_to_mask(box, SIZE)
    assert mask.shape == SIZE
    assert mask.dtype == bool
    assert not mask.any()


def test_the_whole_picture_is_0_0_w_h():
    assert box_to_mask(xyxy_to_cxcywh([0, 0, 32, 24]), SIZE).all()
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
        found = set(zip(*np.nonzero(largest_component(mask)), strict=True))
        if not regions:
            assert not found
        else:
            assert found in regions
            assert len(found) == max(map(len, regions))


def test_largest_component_joins_diagonals_and_leaves_its_input_alone():
    mask = np.zeros(SIZE, bool)
    mask[[2, 3, 4], [2, 3, 4]] = True  # three in a diagonal beat two in a row
    mask[10, 10:12] = True
    before = mask.copy()
    assert largest_component(mask).sum() == 3
    np.testing.assert_array_equal(mask, before)


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


# --- minimum enclosing rectangles --------------------------------------------------------------------------


def test_enclosing_box_against_all_pixels():
    for mask in random_masks(300):
        box = enclosing_box(mask)
        points = pixel_corners(mask)
        if not len(points):
            assert box is None
        else:
            np.testing.assert_array_equal(box, [*points.min(axis=0), *points.max(axis=0)])


def sides(corners):
    """Centre, unit vectors along two neighbouring sides, and half their lengths."""
    edges = np.stack([corners[1] - corners[0], corners[2] - corners[1]])
    lengths = np.linalg.norm(edges, axis=1)
    return corners.mean(axis=0), edges / lengths[:, None], lengths / 2


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
@pytest.mark.parametrize("largest_only", [False, True])
def test_empty_mask_has_no_rectangle(find, largest_only):
    for size in ((24, 32), (1, 1), (1, 32), (0, 5), (5, 0)):
        assert find(np.zeros(size, bool), largest_only=largest_only) is None


def test_one_pixel_is_a_unit_square():
    mask = np.zeros(SIZE, bool)
    mask[23, 31] = True
    assert enclosing_box(mask).tolist() == [31, 23, 32, 24]
    corners = enclosing_rectangle(mask)
    assert {tuple(np.round(c, 3)) for c in corners} == {(31, 23), (32, 23), (32, 24), (31, 24)}


def test_largest_only_ignores_the_rest():
    mask = raster([4, 4, 12, 10]) | raster([20, 16, 22, 18])
    assert enclosing_box(mask).tolist() == [4, 4, 22, 18]
    assert enclosing_box(mask, largest_only=True).tolist() == [4, 4, 12, 10]
    centre, _, half = sides(enclosing_rectangle(mask, largest_only=True))
    np.testing.assert_allclose(centre, (8, 7), atol=1e-3)
    np.testing.assert_allclose(np.sort(half), (3, 4), atol=1e-3)


def test_views_with_strides_and_great_pictures():
    great = np.zeros((4000, 8000), bool)
    great[3999, 7998] = great[0, 0] = True
    corners = enclosing_rectangle(great)
    centre, axes, half = sides(corners)
    assert (np.abs((pixel_corners(great) - centre) @ axes.T) <= half + 0.01).all()
    part = great[::-1, ::2]
    assert enclosing_box(part).tolist() == enclosing_box(part.copy()).tolist()


# --- values that cross boundaries --------------------------------------------------------------------------


def test_estimate_from_mask_obeys_the_rule_of_128():
    mask_prob = np.zeros(SIZE, np.float32)
    mask_prob[:, :4] = 128 / 255
    mask_prob[10:14, 20:26] = 129 / 255
    estimate = Estimate.from_mask(mask_prob, 0.5, "lgm")
    assert estimate.present
    assert estimate.box_xyxy.tolist() == [20, 10, 26, 14]
    np.testing.assert_array_equal(estimate.mask, raster([20, 10, 26, 14]))
    np.testing.assert_array_equal(np.unique(estimate.mask_u8), [0, 128, 129])
    np.testing.assert_allclose(np.sort(sides(estimate.corners_xy)[2]), (2, 3), atol=1e-3)


def test_estimate_of_an_empty_mask_is_absent_and_never_a_made_up_box():
    for estimate in (
        Estimate.from_mask(np.full(SIZE, 0.5, np.float32), 0.9, "siam"),
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
        (np.zeros(SIZE, np.float64), 0.5, None, "lgm"),
        (np.zeros((*SIZE, 1), np.float32), 0.5, None, "lgm"),
        (np.zeros(SIZE, np.float32), 1.5, None, "lgm"),
        (np.zeros(SIZE, np.float32), float("nan"), None, "lgm"),
        (np.zeros(SIZE, np.float32), 0.5, np.zeros(3), "lgm"),
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
