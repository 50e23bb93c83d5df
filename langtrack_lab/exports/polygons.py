"""Outlines of masks, for formats that hold polygons and no run lengths.

Points lie on the edges of pixels, as boxes do: the outline of the whole picture is ``0,0 W,0 W,H 0,H``.
Filled exactly, an outline without tolerance is the mask again, and its box is the mask's.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.masks import BoolMask

Ring = NDArray[np.float64]
"""``(N, 2)`` points x, y of a closed line, the first one not repeated."""


def polygons(mask: BoolMask, tolerance: float = 0.0) -> list[Ring]:
    """A polygon for each connected region of a mask, the largest first.

    A polygon of these formats has no holes, so a hole is cut open: a seam without area leads to it and back.

    Args:
        mask: ``(H, W)`` bool.
        tolerance: pixels by which a line may leave the edge of the mask, so that it has fewer points.
    """
    regions = []
    for outer, holes in _regions(mask):
        rings = [_simpler(ring, tolerance) for ring in (outer, *holes)]
        regions.append((_area(outer), _seamed(rings)))
    return [ring for _, ring in sorted(regions, key=lambda region: -region[0])]


def one_polygon(mask: BoolMask, tolerance: float = 0.0) -> Ring | None:
    """All of a mask in one polygon, its regions joined by seams without area; None for an empty mask."""
    parts = polygons(mask, tolerance)
    return _seamed(parts) if parts else None


def _regions(mask: BoolMask) -> list[tuple[Ring, list[Ring]]]:
    """The outer edge of each 8-connected region, and the edges of its holes."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return []
    # OpenCV follows the centres of pixels. Each pixel is made four, so that every corner of an edge has one
    # of the four that is nearest to it.
    window = mask[y : y + height, x : x + width].view(np.uint8)
    doubled = window.repeat(2, axis=0).repeat(2, axis=1)
    lines, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    origin = np.array([x, y])
    rings = [_corners((line[:, 0, :].astype(np.int64) + 1) // 2) + origin for line in lines]
    parents = hierarchy[0, :, 3]
    return [
        (ring, [hole for hole, parent in zip(rings, parents, strict=True) if parent == number])
        for number, ring in enumerate(rings)
        if parents[number] < 0
    ]


def _corners(points: NDArray[np.integer]) -> Ring:
    """Without repeated points and without those inside a straight line."""
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = np.all(np.sign(before) == -np.sign(after), axis=1)
    return points[turns | back].astype(np.float64)


def _simpler(ring: Ring, tolerance: float) -> Ring:
    if not tolerance:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.float32), tolerance, True)[:, 0, :].astype(np.float64)
    return fewer if len(fewer) > 2 else ring


def _area(ring: Ring) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _seamed(rings: Sequence[Ring]) -> Ring:
    """One ring that runs along all of them, from each to the next by the shortest way and back."""
    whole = rings[0]
    for ring in rings[1:]:
        distances = ((whole[:, None] - ring[None]) ** 2).sum(axis=2)
        here, there = np.unravel_index(int(distances.argmin()), distances.shape)
        turned = np.roll(ring, -int(there), axis=0)
        whole = np.concatenate([whole[: here + 1], turned, turned[:1], whole[here:]])
    return whole


def flat(ring: Ring) -> list[float]:
    """``x1, y1, x2, y2, …``"""
    return [float(value) for point in ring for value in point]
