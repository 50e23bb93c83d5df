"""Masks: from probabilities to pixels, to rectangles, and to text (COCO run-length encoding).

Pixels and boxes are those of `geometry`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .geometry import FloatArray

BoolMask = NDArray[np.bool_]

POSITIVE_ABOVE = 128
"""A pixel of a ``mask_u8`` (0 to 255) is positive when its value is **over** this."""


def prob_to_u8(mask_prob: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``mask_prob`` in [0, 1] to ``mask_u8`` in 0 to 255, rounded to nearest."""
    if not mask_prob.size:  # OpenCV wants pixels
        return np.zeros(mask_prob.shape, np.uint8)
    return np.asarray(cv2.convertScaleAbs(np.maximum(mask_prob, 0.0), alpha=255.0), np.uint8)


def binarise(mask_u8: NDArray[np.uint8]) -> BoolMask:
    """Positive pixels of a 0 to 255 mask: those **over** 128."""
    if mask_u8.dtype != np.uint8:
        raise ValueError(f"mask_u8 must be uint8 in 0 to 255, got {mask_u8.dtype}")
    return mask_u8 > POSITIVE_ABOVE


def largest_component(mask: BoolMask) -> BoolMask:
    """Only the largest 8-connected region of a mask; among equals one of them, always the same."""
    if not mask.any():  # OpenCV crashes the process on a picture without pixels
        return mask
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    window = slice(y, y + height), slice(x, x + width)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask[window].view(np.uint8), connectivity=8)
    if count == 2:  # the background and one region: nothing to choose from
        return mask
    largest = np.zeros_like(mask)
    largest[window] = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return largest


# --- minimum enclosing rectangles --------------------------------------------------------------------------


def enclosing_box(mask: BoolMask) -> FloatArray | None:
    """Axis-aligned minimum enclosing rectangle of the positive pixels.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        ``[x1, y1, x2, y2]`` half-open in pixels, or None for an empty mask.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def enclosing_rectangle(mask: BoolMask) -> FloatArray | None:
    """Rotated rectangle of minimum area around the positive pixels, whole pixel squares included.

    Returns:
        ``(4, 2)`` corners x, y in pixels, in order around the rectangle, or None for an empty mask.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    # The hull of a mask touches each row only at its first and last positive pixel.
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, y], axis=1) for x in (first, last) for y in (rows, rows + 1)]
    points = np.concatenate(corners).astype(np.float32)
    return cv2.boxPoints(cv2.minAreaRect(points)).astype(np.float64)


# --- COCO run-length encoding ------------------------------------------------------------------------------

RLE = dict[str, Any]
"""A mask as text: ``size`` [height, width] and ``counts``, the lengths of its runs in COCO's ASCII code."""


def encode_rle(mask: BoolMask) -> RLE:
    """``(H, W)`` bool to COCO run-length encoding."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}
