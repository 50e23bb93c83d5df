"""Anchors of the grid: where they are, what the box head makes of them, and what speaks against a choice."""

from __future__ import annotations

import numpy as np

from ..geometry import FloatArray
from .network import ANCHORS, ANCHORS_WH, GRID, STRIDE

WINDOW = np.tile(np.outer(np.hanning(GRID), np.hanning(GRID)).ravel(), ANCHORS)
"""Cosine window over the grid, for each anchor: ``(ANCHORS * GRID * GRID,)``."""

_OFFSETS = (np.arange(GRID) - GRID // 2) * float(STRIDE)
ANCHORS_CXCYWH = np.stack(
    [
        np.tile(np.tile(_OFFSETS, GRID), ANCHORS),
        np.tile(np.repeat(_OFFSETS, GRID), ANCHORS),
        np.repeat(ANCHORS_WH[:, 0], GRID * GRID),
        np.repeat(ANCHORS_WH[:, 1], GRID * GRID),
    ]
)
"""``(4, ANCHORS * GRID * GRID)``: centre from the middle of the search crop, and size, in crop pixels."""


def decode(loc: FloatArray) -> FloatArray:
    """Box head ``(4 * ANCHORS, GRID, GRID)`` to ``(4, ANCHORS * GRID * GRID)`` boxes like the anchors."""
    dx, dy, dw, dh = loc.reshape(4, -1)
    cx, cy, w, h = ANCHORS_CXCYWH
    return np.stack([dx * w + cx, dy * h + cy, np.exp(dw) * w, np.exp(dh) * h])


def change_penalty(boxes: FloatArray, size_wh: FloatArray, strength: float) -> FloatArray:
    """``(N,)`` in (0, 1]: less for boxes whose size and ratio of sides differ more from the last ones.

    Args:
        boxes: ``(4, N)`` centre and size.
        size_wh: the last size, in the same pixels.
        strength: ``TrackerConfig.penalty_k``.
    """
    scale_change = _change(_side(*boxes[2:]) / _side(*size_wh))
    ratio_change = _change((size_wh[0] / size_wh[1]) / (boxes[2] / boxes[3]))
    return np.exp(-(scale_change * ratio_change - 1) * strength)


def _change(ratio: FloatArray) -> FloatArray:
    return np.maximum(ratio, 1.0 / ratio)


def _side(w: FloatArray, h: FloatArray) -> FloatArray:
    """Side of the square of the same area as the box with its context of half of width plus height."""
    margin = (w + h) * 0.5
    return np.sqrt((w + margin) * (h + margin))
