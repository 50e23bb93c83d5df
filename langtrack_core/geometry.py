"""Boxes, masks and rectangles in one convention.

Coordinates have their origin at the top-left corner of the picture. Pixel ``(column j, row i)`` covers the
square ``[j, j + 1) x [i, i + 1)``, so a box ``xyxy`` is half-open: it holds the columns ``x1 <= j < x2``.
A box that covers the whole picture is ``[0, 0, W, H]``.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolMask = NDArray[np.bool_]
FloatArray = NDArray[np.floating]

POSITIVE_ABOVE = 128
"""A pixel of a ``mask_u8`` (0 to 255) is positive when its value is **over** this."""


# --- box formats -------------------------------------------------------------------------------------------


def _four(box: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(box, dtype=np.float64)
    if array.shape[-1:] != (4,):
        raise ValueError(f"{name} needs four numbers in its last axis, got shape {array.shape}")
    return array


def cxcywh_to_xyxy(box_cxcywh: ArrayLike) -> FloatArray:
    """Centre and size to corners, ``(..., 4)`` in pixels."""
    cx, cy, w, h = np.moveaxis(_four(box_cxcywh, "box_cxcywh"), -1, 0)
    return np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=-1)


def xyxy_to_cxcywh(box_xyxy: ArrayLike) -> FloatArray:
    """Corners to centre and size, ``(..., 4)`` in pixels."""
    x1, y1, x2, y2 = np.moveaxis(_four(box_xyxy, "box_xyxy"), -1, 0)
    return np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)


def xywh_to_xyxy(box_xywh: ArrayLike) -> FloatArray:
    """Top-left corner and size to corners, ``(..., 4)`` in pixels."""
    x, y, w, h = np.moveaxis(_four(box_xywh, "box_xywh"), -1, 0)
    return np.stack([x, y, x + w, y + h], axis=-1)


def xyxy_to_xywh(box_xyxy: ArrayLike) -> FloatArray:
    """Corners to top-left corner and size, ``(..., 4)`` in pixels."""
    x1, y1, x2, y2 = np.moveaxis(_four(box_xyxy, "box_xyxy"), -1, 0)
    return np.stack([x1, y1, x2 - x1, y2 - y1], axis=-1)


def clip_box(box_xyxy: ArrayLike, size_hw: tuple[int, int]) -> FloatArray | None:
    """The part of a box inside the picture, or None when nothing of it is inside."""
    height, width = size_hw
    x1, y1, x2, y2 = _four(box_xyxy, "box_xyxy")
    clipped = np.array([max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)])
    return clipped if clipped[2] > clipped[0] and clipped[3] > clipped[1] else None


def box_iou(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> float:
    """Intersection over union of two boxes by area, 0 when neither has an area."""
    a, b = _four(a_xyxy, "a_xyxy"), _four(b_xyxy, "b_xyxy")
    inter = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - inter
    return inter / union if union > 0 else 0.0


# --- masks -------------------------------------------------------------------------------------------------


def box_to_mask(box_cxcywh: ArrayLike, size_hw: tuple[int, int]) -> BoolMask:
    """The language branch's training target: a box filled with ones.

    Args:
        box_cxcywh: centre x, centre y, width, height in pixels; parts outside the picture are cut off.
        size_hw: height and width of the mask.

    Returns:
        ``(H, W)`` bool; a pixel is set when its centre lies in the half-open box.
    """
    height, width = size_hw
    x1, y1, x2, y2 = cxcywh_to_xyxy(box_cxcywh)
    columns = np.arange(width) + 0.5
    rows = np.arange(height) + 0.5
    inside_x = (columns >= x1) & (columns < x2)
    inside_y = (rows >= y1) & (rows < y2)
    return inside_y[:, None] & inside_x[None, :]


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


def mask_iou(a: BoolMask, b: BoolMask) -> float:
    """Intersection over union of two masks of one shape; two empty masks agree (1)."""
    if a.shape != b.shape:
        raise ValueError(f"masks must have one shape, got {a.shape} and {b.shape}")
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


# --- minimum enclosing rectangles --------------------------------------------------------------------------


def enclosing_box(mask: BoolMask, *, largest_only: bool = False) -> FloatArray | None:
    """Axis-aligned minimum enclosing rectangle of the positive pixels.

    Args:
        mask: ``(H, W)`` bool.
        largest_only: look at the largest connected region alone instead of all positives.

    Returns:
        ``[x1, y1, x2, y2]`` half-open in pixels, or None for an empty mask.
    """
    if largest_only:
        mask = largest_component(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def enclosing_rectangle(mask: BoolMask, *, largest_only: bool = False) -> FloatArray | None:
    """Rotated rectangle of minimum area around the positive pixels, whole pixel squares included.

    Returns:
        ``(4, 2)`` corners x, y in pixels, in order around the rectangle, or None for an empty mask.
    """
    if largest_only:
        mask = largest_component(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    # The hull of a mask touches each row only at its first and last positive pixel.
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, y], axis=1) for x in (first, last) for y in (rows, rows + 1)]
    points = np.concatenate(corners).astype(np.float32)
    return cv2.boxPoints(cv2.minAreaRect(points)).astype(np.float64)
