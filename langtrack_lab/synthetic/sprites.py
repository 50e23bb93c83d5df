"""A drawing turned into a lit sprite: premultiplied RGBA, so that warping and blurring keep clean edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .backgrounds import noise
from .canvas import MARGIN, Canvas
from .objects import OBJECTS, ObjectSpec, Style

Pixels = NDArray[np.uint8]
PATTERN_PX = 192
"""Height in pixels of the pattern on an object, which is scaled to its drawing."""
REFLECTION = ([0.0, 0.30, 0.46, 0.50, 0.56, 0.75, 1.0], [30.0, 22.0, 40.0, 2.0, 0.0, 8.0, 4.0])
"""Grey levels that a glossy object reflects, by the height in it (0: its top): the sky, the dark line of
trees at the horizon, the ground."""
SKY = (0.86, 0.95, 1.0)
"""Colour of what is reflected."""
GLOSSY_SHADE = ([0.0, 0.44, 0.56, 0.85, 1.0], [0.9, 1.0, 0.74, 0.6, 0.4])
DULL_SHADE = ([0.0, 0.6, 1.0], [0.92, 0.88, 0.62])
"""Factors of the brightness by the height in an object (0: its top): what faces the ground is darker."""


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
    shaded = _shade(canvas.rgba, spec, height_px, light_xy)
    return _weathered(shaded, spec, style.texture) if style.texture else shaded


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


def _weathered(rgba: Pixels, spec: ObjectSpec, strength: float) -> Pixels:
    """The sprite with folds, coat or dust, and with the sky in what is glossy.

    The pattern belongs to the category: it is the same in all sizes and phases.
    """
    rng = np.random.default_rng(len(spec.draw.__name__))
    size_hw = (PATTERN_PX, round(PATTERN_PX * rgba.shape[1] / rgba.shape[0]))
    folds, fibres = noise(rng, size_hw, 7, 3, 0.7), noise(rng, size_hw, 55, 2, 0.6)
    is_glossy = spec.gloss > 0.3
    weights = (0.06, 0.05) if spec.gloss else (0.14, 0.22)  # paint is smoother than cloth
    pattern = 1 + strength * (weights[0] * folds + weights[1] * fibres)
    from_top = np.linspace(0, 1, rgba.shape[0])
    shade = np.interp(from_top, *(GLOSSY_SHADE if is_glossy else DULL_SHADE))[:, None, None]
    rgb = rgba[..., :3] * cv2.resize(pattern, rgba.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    if is_glossy:
        sky = np.interp(from_top, *REFLECTION)[:, None, None] * np.array(SKY)
        rgb = rgb + strength * sky * (rgba[..., 3:] / 255)
    out = rgba.copy()
    out[..., :3] = np.clip(rgb * shade, 0, rgba[..., 3:])
    return out
