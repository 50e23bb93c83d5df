"""Boxes in one convention.

Coordinates have their origin at the top-left corner of the picture. Pixel ``(column j, row i)`` covers the
square ``[j, j + 1) x [i, i + 1)``, so a box ``xyxy`` is half-open: it holds the columns ``x1 <= j < x2``.
A box that covers the whole picture is ``[0, 0, W, H]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating]
Float32Array = NDArray[np.float32]


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
