"""Where the tracks of two targets are on the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from langtrack_core.geometry import FloatArray
from langtrack_lab.runs import Row

MIN_OVERLAP = 0.5
"""IoU of two targets' boxes from which they may be on the same thing."""
MIN_FRAMES = 3
"""Frames in a row after which two targets count as on the same thing, or as apart again: boxes of neighbours
that pass each other overlap for a moment."""


class Coincidence(NamedTuple):
    """The first of the frames on which two tracks are on the same thing, and their number."""

    first: int
    frames: int


def coincidence(one: Sequence[Row], other: Sequence[Row]) -> Coincidence | None:
    """Where two tracks are on the same thing, `MIN_FRAMES` or more in a row; None when they never are."""
    length = 1 + max((row.frame for row in (*one, *other)), default=-1)
    a, b = _boxes(one, length), _boxes(other, length)
    inter = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - inter
    together = np.nan_to_num(inter / np.where(union > 0, union, 1)) > MIN_OVERLAP
    edges = np.flatnonzero(np.diff(np.concatenate([[False], together, [False]])))
    spans = [(begin, end) for begin, end in edges.reshape(-1, 2).tolist() if end - begin >= MIN_FRAMES]
    return Coincidence(spans[0][0], sum(end - begin for begin, end in spans)) if spans else None


def _boxes(rows: Sequence[Row], length: int) -> FloatArray:
    """The fused box of each frame of the clip, nan where there is none."""
    boxes = np.full((length, 4), np.nan)
    for row in rows:
        if row.fused.box_xyxy is not None:
            boxes[row.frame] = row.fused.box_xyxy
    return boxes
