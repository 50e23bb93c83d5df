"""Where the tracks of two targets are on the same thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from langtrack_core.geometry import FloatArray
from langtrack_lab.metrics.boxes import box_ious
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


def coincidences(tracks: Mapping[int, Sequence[Row]]) -> dict[tuple[int, int], Coincidence]:
    """The pairs of tracks that are on the same thing, `MIN_FRAMES` or more in a row."""
    length = 1 + max((row.frame for rows in tracks.values() for row in rows), default=-1)
    boxes = {track: _boxes(rows, length) for track, rows in tracks.items()}
    pairs = {pair: _coincidence(*(boxes[track] for track in pair)) for pair in combinations(tracks, 2)}
    return {pair: found for pair, found in pairs.items() if found is not None}


def _coincidence(a: FloatArray, b: FloatArray) -> Coincidence | None:
    together = box_ious(a, b) > MIN_OVERLAP  # never where a box is nan
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
