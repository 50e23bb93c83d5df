"""Masks refined to the picture's edges: exact where the colours tell, untouched where they do not."""

import cv2
import numpy as np
import pytest

from langtrack_core.masks import refine_edges
from langtrack_lab.metrics.masks import mask_iou


def blurred(mask: np.ndarray, cells: int) -> np.ndarray:
    """What a network that sees cells of several pixels would say of a mask."""
    height, width = mask.shape
    small = cv2.resize(
        mask.astype(np.float32), (width // cells, height // cells), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def scene(size_hw: tuple[int, int], radius: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc with two thin legs on grey noise, and its mask."""
    rng = np.random.default_rng(0)
    height, width = size_hw
    mask = np.zeros(size_hw, np.uint8)
    centre = (width // 2, height // 3)
    cv2.circle(mask, centre, radius, 1, -1)
    for x in (-radius // 2, radius // 2):
        cv2.line(
            mask, (centre[0] + x, centre[1]), (centre[0] + x, centre[1] + 2 * radius), 1, max(3, radius // 8)
        )
    rgb = rng.integers(110, 130, (*size_hw, 3)).astype(np.uint8)
    rgb[mask > 0] = rgb[mask > 0] // 3 + np.array([130, 10, 10], np.uint8)
    return rgb, mask > 0


@pytest.mark.parametrize(("size_hw", "radius"), [((360, 640), 60), ((360, 640), 14), ((1080, 1920), 200)])
def test_a_coarse_mask_finds_the_borders_of_the_colours(size_hw, radius):
    rgb, mask = scene(size_hw, radius)
    coarse = blurred(mask, max(4, size_hw[1] // 80))
    refined = refine_edges(coarse, rgb)
    assert refined.shape == size_hw and refined.dtype == np.float32
    assert refined.min() >= 0 and refined.max() <= 1
    wrong_before, wrong_after = (1 - mask_iou(prob > 0.5, mask) for prob in (coarse, refined))
    assert wrong_before > 0.02 and wrong_after < 0.75 * wrong_before


def test_where_the_colours_tell_nothing_the_mask_stays():
    mask = cv2.circle(np.zeros((180, 320), np.uint8), (160, 90), 40, 1, -1)
    coarse = blurred(mask, 4)
    refined = refine_edges(coarse, np.full((180, 320, 3), 90, np.uint8))
    assert mask_iou(refined > 0.5, coarse > 0.5) > 0.93


def test_what_is_given_is_not_changed_and_far_away_nothing_is():
    rgb, mask = scene((360, 640), 14)
    coarse = blurred(mask, 8)
    coarse[-20:, -20:] = 0.2  # faint, and far from the object
    copy, picture = coarse.copy(), rgb.copy()
    refined = refine_edges(coarse, rgb)
    np.testing.assert_array_equal(coarse, copy)
    np.testing.assert_array_equal(rgb, picture)
    np.testing.assert_array_equal(refined[-40:, -40:], coarse[-40:, -40:])


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_an_empty_mask_stays_empty(value):
    rgb, _ = scene((60, 80), 10)
    empty = np.full((60, 80), value, np.float32)
    np.testing.assert_array_equal(refine_edges(empty, rgb), empty)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 50), (2, 3), (5, 4)])
def test_tiny_pictures(size_hw):
    rgb = np.full((*size_hw, 3), 128, np.uint8)
    refined = refine_edges(np.ones(size_hw, np.float32), rgb)
    assert refined.shape == size_hw and refined == pytest.approx(1.0, abs=1e-3)
