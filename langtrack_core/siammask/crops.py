"""Square crops out of a picture, and masks back into it, as in the published tracker (see `tracker`)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..geometry import Float32Array, FloatArray
from ..masks import POSITIVE_ABOVE
from .network import REFINED_SIZE, SEARCH_SIZE, STRIDE, TEMPLATE_SIZE

MAX_CROP = 4096
"""Larger crops come from a thinned-out picture: they end as 255 pixels anyway, and memory stays bounded."""


def crop(
    rgb: NDArray[np.uint8], centre_xy: ArrayLike, side: int, out: int, padding: ArrayLike
) -> NDArray[np.uint8]:
    """A square of ``side`` picture pixels as ``(out, out, 3)``, of colour ``padding`` outside the picture."""
    centre = np.asarray(centre_xy, dtype=np.float64)
    if side > MAX_CROP:
        step = -(-side // MAX_CROP)
        return crop(rgb[::step, ::step], centre / step, round(side / step), out, padding)
    side = max(side, 1)
    height, width = rgb.shape[:2]
    left, top = (round(float(v) - (side + 1) / 2) for v in centre)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    colour = [int(value) for value in np.asarray(padding, np.uint8)]
    if x2 > x1 and y2 > y1:
        beyond = (y1 - top, top + side - y2, x1 - left, left + side - x2)
        picture = cv2.copyMakeBorder(rgb[y1:y2, x1:x2], *beyond, cv2.BORDER_CONSTANT, value=colour)
    else:
        picture = np.full((side, side, 3), colour, np.uint8)
    return np.asarray(picture if side == out else cv2.resize(picture, (out, out)), np.uint8)


def paste(
    mask: Float32Array, corner_xy: FloatArray, side: float, row: int, column: int, size_hw: tuple[int, int]
) -> Float32Array:
    """The mask seen from one grid cell, laid over the whole picture: ``(H, W)`` float32, zero outside.

    Args:
        mask: ``(127, 127)`` probabilities over the cell's template-sized window.
        corner_xy: top-left corner of the search crop, ``side`` its side, in picture pixels.
    """
    height, width = size_hw
    pixel = side / SEARCH_SIZE  # picture pixels per crop pixel
    # The first cell's window begins half a template outside the published base of 8 cells.
    left, top = corner_xy + (np.array([column, row]) - 4) * STRIDE * pixel
    scale = REFINED_SIZE / (pixel * TEMPLATE_SIZE)
    # The published mapping shrinks by one pixel over the whole picture: (width - 1) / width.
    shrink_x, shrink_y = (width - 1) / width, (height - 1) / height
    matrix = np.array([[shrink_x / scale, 0, shrink_x * left], [0, shrink_y / scale, shrink_y * top]])
    picture_mask = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=-1)
    return np.maximum(picture_mask, 0.0)


def remap_threshold(mask: Float32Array, threshold: float) -> Float32Array:
    """Move ``threshold`` to the value above which a pixel is positive, linearly on both sides of it."""
    positive_over = (POSITIVE_ABOVE + 0.5) / 255.0
    steep_above = (1 - positive_over) / max(1 - threshold, 1e-6)
    steep_below = positive_over / max(threshold, 1e-6)
    above = mask * np.float32(steep_above)
    above += np.float32(positive_over - threshold * steep_above)
    below = mask * np.float32(steep_below)
    # The two lines cross at the threshold: which of them counts is which is lower, or higher, everywhere.
    remapped = (np.minimum if steep_below > steep_above else np.maximum)(above, below, out=below)
    return np.clip(remapped, 0.0, 1.0, out=remapped)


def largest_region(positive: NDArray[np.bool_], min_area: float) -> tuple[FloatArray, FloatArray] | None:
    """The box and the rotated rectangle of minimum area ``(4, 2)`` around the largest region, whole pixel
    squares included, in pixels; None when its area is not over ``min_area``."""
    outlines, _ = cv2.findContours(positive.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(outline) for outline in outlines]
    if not areas or max(areas) <= min_area:
        return None
    outline = np.asarray(outlines[int(np.argmax(areas))], np.int32).reshape(-1, 2)
    # The corners of each pixel on the border instead of its centre.
    squares = (outline[:, None] + np.array([(0, 0), (0, 1), (1, 0), (1, 1)])).reshape(-1, 2)
    box = np.concatenate([squares.min(0), squares.max(0)]).astype(np.float64)
    return box, cv2.boxPoints(cv2.minAreaRect(squares.astype(np.float32))).astype(np.float64)
