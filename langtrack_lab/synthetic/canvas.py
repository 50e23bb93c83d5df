"""A transparent picture to draw on, in the drawing's own units: polygons, ellipses, splines, strokes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ..colours import Rgb

Points = Sequence[tuple[float, float]]
MARGIN = 0.06
"""Free space around a drawing, in its units: blurring and warping must not cut its edge."""

_SUBPIXEL = 4
"""Bits of sub-pixel precision that OpenCV's drawing functions get, so that slow motion is smooth."""


class Canvas:
    """A picture in premultiplied RGBA. Its corner is `MARGIN` units up and left of the drawing's (0, 0)."""

    def __init__(self, width: float, px_per_unit: float) -> None:
        self.scale = px_per_unit
        shape = (self._px(1 + 2 * MARGIN), self._px(width + 2 * MARGIN), 4)
        self.rgba = np.zeros(shape, np.uint8)

    def _px(self, length: float) -> int:
        return max(4, int(np.ceil(length * self.scale)))

    def _fixed(self, points: Points | NDArray[np.floating]) -> NDArray[np.int32]:
        pixels = (np.asarray(points, np.float64) + MARGIN) * self.scale
        return np.rint(pixels * (1 << _SUBPIXEL)).astype(np.int32)

    def poly(self, points: Points | NDArray[np.floating], colour: Rgb) -> None:
        cv2.fillPoly(self.rgba, [self._fixed(points)], (*colour, 255), cv2.LINE_AA, _SUBPIXEL)

    def spline(self, points: Points, colour: Rgb) -> None:
        """A closed smooth curve through the points (Catmull-Rom), filled."""
        self.poly(closed_curve(points), colour)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, colour: Rgb, angle_deg: float = 0) -> None:
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        x, y = rx * np.cos(turn), ry * np.sin(turn)
        self.poly(np.stack([cx + c * x - s * y, cy + s * x + c * y], axis=1), colour)

    def line(self, points: Points, width: float, colour: Rgb) -> None:
        """A round-ended stroke."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(
            self.rgba, [self._fixed(points)], False, (*colour, 255), thickness, cv2.LINE_AA, _SUBPIXEL
        )

    def limb(self, points: Points, widths: Sequence[float], colour: Rgb) -> None:
        """A stroke whose width changes from point to point, with round joints."""
        for ((x1, y1), w1), ((x2, y2), w2) in pairwise(zip(points, widths, strict=True)):
            length = max(float(np.hypot(x2 - x1, y2 - y1)), 1e-6)
            nx, ny = (y1 - y2) / length / 2, (x2 - x1) / length / 2
            self.poly(
                [(x1 + nx * w1, y1 + ny * w1), (x2 + nx * w2, y2 + ny * w2),
                 (x2 - nx * w2, y2 - ny * w2), (x1 - nx * w1, y1 - ny * w1)], colour)  # fmt: skip
        for (x, y), width in zip(points, widths, strict=True):
            self.ellipse(x, y, width / 2, width / 2, colour)


def closed_curve(points: Points, steps: int = 8) -> NDArray[np.floating]:
    """``(N * steps, 2)`` points of the Catmull-Rom curve through N points."""
    p1 = np.asarray(points, np.float64)
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (p[:, None] for p in (p0, p1, p2, p3))
    curve = (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return (curve / 2).reshape(-1, 2)


def mix(a: Rgb, b: Rgb, amount: float) -> Rgb:
    return tuple(x + (y - x) * amount for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def darker(colour: Rgb, amount: float = 0.35) -> Rgb:
    return mix(colour, (8, 8, 12), amount)


def lighter(colour: Rgb, amount: float = 0.35) -> Rgb:
    return mix(colour, (255, 255, 250), amount)
