"""A drawing turned into a lit sprite: premultiplied RGBA, so that warping and blurring keep clean edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import MARGIN, Canvas
from .objects import OBJECTS, ObjectSpec, Style


def draw_sprite(
    category: str, style: Style, height_px: float, light_xy: tuple[float, float]
) -> NDArray[np.uint8]:
    """One object, lit.

    Args:
        category: a key of `OBJECTS`.
        style: colours, variant and phase.
        height_px: height of the drawing in pixels of the result, margins not counted.
        light_xy: direction the light comes from, pixels to the right and down; a unit vector.

    Returns:
        ``(h, w, 4)`` uint8, RGB multiplied by alpha. The foot's middle is at `sprite_foot`.
    """
    spec = OBJECTS[category]
    canvas = Canvas(spec.width, height_px)
    spec.draw(canvas, style)
    return _shade(canvas.rgba, spec, height_px, light_xy)


def sprite_foot(category: str, height_px: float) -> tuple[float, float]:
    """Where in its sprite an object touches the ground: x, y in pixels."""
    return (OBJECTS[category].width / 2 + MARGIN) * height_px, (1 + MARGIN) * height_px


def _shade(
    rgba: NDArray[np.uint8], spec: ObjectSpec, height_px: float, light_xy: tuple[float, float]
) -> NDArray[np.uint8]:
    """Bevel from the blurred outline, darker towards the ground, a highlight for glossy objects."""
    rows, columns = rgba.shape[:2]
    small = cv2.resize(rgba[..., 3], (max(4, columns // 4), max(4, rows // 4)), interpolation=cv2.INTER_AREA)
    reach = height_px / 4 * (0.06 + 0.12 * spec.roundness)
    dome = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), max(1.0, reach))
    gx, gy = cv2.Sobel(dome, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(dome, cv2.CV_32F, 0, 1, ksize=3)
    facing = -(gx * light_xy[0] + gy * light_xy[1]) * reach * 0.9  # the dome rises inwards, normals point out
    strength = 0.12 + 0.26 * spec.roundness
    light = 1.03 + strength * np.clip(facing, -1.2, 0.9)
    light -= np.linspace(-0.06, 0.12, small.shape[0], dtype=np.float32)[:, None]
    full = cv2.resize(light, (columns, rows), interpolation=cv2.INTER_LINEAR)
    shaded = rgba[..., :3] * full[..., None]
    if spec.gloss:
        spot = cv2.resize(np.clip(facing - 0.42, 0, None) * 190 * spec.gloss, (columns, rows))
        shaded += (spot * (rgba[..., 3] / np.float32(255)))[..., None]
    out = np.empty_like(rgba)
    out[..., :3] = np.clip(shaded, 0, rgba[..., 3:])
    out[..., 3] = rgba[..., 3]
    return out
