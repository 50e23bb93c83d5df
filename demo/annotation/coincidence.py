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
    """The first frame on which a track is on the same thing as another one, and the number of such frames."""

    other: int
    first: int
    frames: int


def coincidences(tracks: Mapping[int, Sequence[Row]]) -> dict[int, list[Coincidence]]:
    """The other tracks that each track is on the same thing with, `MIN_FRAMES` or more in a row."""
    length = 1 + max((row.frame for rows in tracks.values() for row in rows), default=-1)
    boxes = {track: _boxes(rows, length) for track, rows in tracks.items()}
    entries: dict[int, list[Coincidence]] = {track: [] for track in tracks}
    for one, other in combinations(tracks, 2):
        spans = _spans(boxes[one], boxes[other])
        if spans:
            first, frames = spans[0][0], sum(end - begin for begin, end in spans)
            entries[one].append(Coincidence(other, first, frames))
            entries[other].append(Coincidence(one, first, frames))
    return entries


def _spans(a: FloatArray, b: FloatArray) -> list[list[int]]:
    together = box_ious(a, b) > MIN_OVERLAP  # never where a box is nan
    edges = np.flatnonzero(np.diff(np.concatenate([[False], together, [False]])))
    return [[begin, end] for begin, end in edges.reshape(-1, 2).tolist() if end - begin >= MIN_FRAMES]


def _boxes(rows: Sequence[Row], length: int) -> FloatArray:
    """The fused box of each frame of the clip, nan where there is none."""
    boxes = np.full((length, 4), np.nan)
    for row in rows:
        if row.fused.box_xyxy is not None:
            boxes[row.frame] = row.fused.box_xyxy
    return boxes
