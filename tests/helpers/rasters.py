"""Boxes drawn pixel by pixel, to compare with."""

import numpy as np

SIZE = (24, 32)


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


def sides(corners):
    """Centre, unit vectors along two neighbouring sides, and half their lengths."""
    edges = np.stack([corners[1] - corners[0], corners[2] - corners[1]])
    lengths = np.linalg.norm(edges, axis=1)
    return corners.mean(axis=0), edges / lengths[:, None], lengths / 2
