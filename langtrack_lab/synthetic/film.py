"""What a lens and a sensor do to a scene, for rendered clips that are to look filmed: glare, dark corners,
colour fringes, highlights that burn out, muted colours, grain, and blur of what is out of focus."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .backgrounds import Background

Pixels = NDArray[np.uint8]
Picture = NDArray[np.float32]  # (H, W, 3), 0 to about 1

GAMMA = 2.2
"""Exponent between the values of a picture and the light that they stand for."""
GLARE_ABOVE = 0.55
"""Light (1: white) above which a place glares, as the sky and the sun on water do."""
GLARE_WIDTH = 0.035
"""Standard deviation of the glare around a bright place, as a share of the picture's width."""
CONTRAST = 0.32
"""Strength of the curve that spreads the middle tones; 0 is none."""
WARM: tuple[float, float, float] = (1.03, 1.0, 0.93)
COOL: tuple[float, float, float] = (0.95, 1.0, 1.06)
"""Factors of red, green and blue: sunlit places are warm, shade has the colour of the sky."""


@dataclass(frozen=True)
class Film:
    """One camera's look.

    Attributes:
        exposure: factor of the light; over 1 the sky burns out.
        saturation: share of the colours that is left: paint in a scene is purer than in a photo.
        glare: strength of the light that spreads around bright places.
        vignette: share of the light that the corners lose.
        fringe_px: pixels between the red and the blue picture at the left and right edges.
        grain_std: standard deviation of the grain in grey levels, in the middle tones.
    """

    exposure: float = 1.2
    saturation: float = 0.62
    glare: float = 0.3
    vignette: float = 0.3
    fringe_px: float = 0.8
    grain_std: float = 3.0


def develop(rng: np.random.Generator, picture: Pixels, film: Film) -> Pixels:
    """The picture ``(H, W, 3)`` as the camera records it."""
    height, width = picture.shape[:2]
    light = (picture.astype(np.float32) / 255) ** GAMMA * film.exposure
    bright = cv2.GaussianBlur(np.clip(light - GLARE_ABOVE, 0, None), (0, 0), GLARE_WIDTH * width)
    light += film.glare * bright
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light *= (1 - film.vignette * ((x**2 + y**2) / 2) ** 1.3)[..., None].astype(np.float32)
    shown = (1 - np.exp(-1.9 * light)) / (1 - np.exp(-1.9 * 1.15))  # highlights bend towards white
    shown = np.clip(shown, 0, 1) ** (1 / GAMMA)
    shown += (
        CONTRAST * np.sin(2 * np.pi * (shown - 0.5)) * shown * (1 - shown)
    )  # darks darker, lights lighter
    grey = shown @ np.array([0.3, 0.59, 0.11], np.float32)
    tone = grey[..., None]
    shown = tone + (shown - tone) * film.saturation
    cool, warm = np.array(COOL, np.float32), np.array(WARM, np.float32)
    shown *= cool + (warm - cool) * tone
    shown = _fringed(shown, film.fringe_px)
    return np.clip(255 * shown + _grain(rng, grey) * film.grain_std, 0, 255).astype(np.uint8)


def _fringed(shown: Picture, fringe_px: float) -> Picture:
    """Red a little larger than blue, about the middle, as a simple lens draws them."""
    height, width = shown.shape[:2]
    channels = list(cv2.split(shown))
    for channel, factor in ((0, 1 + fringe_px / width), (2, 1 - fringe_px / width)):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 0, factor)
        channels[channel] = cv2.warpAffine(
            channels[channel], matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
    return cv2.merge(channels).astype(np.float32, copy=False)


def _grain(rng: np.random.Generator, grey: Picture) -> Picture:
    """Clumps of a pixel and a half, mostly of brightness, strongest in the middle tones."""
    shape = (*grey.shape, 3)
    noise = 0.75 * rng.standard_normal((*grey.shape, 1), dtype=np.float32)
    noise = noise + 0.35 * rng.standard_normal(shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.6).astype(np.float32, copy=False)
    noise /= max(float(noise.std()), 1e-6)
    return noise * (0.35 + 2.6 * grey * (1 - grey))[..., None]


def focused(background: Background, row: float, blur_px: float) -> Background:
    """The background with what is far from a row of the picture out of focus.

    Args:
        row: of the ground that is sharp, in pixels of the picture.
        blur_px: standard deviation of the blur at the horizon.
    """
    rows = np.arange(background.rgb.shape[0], dtype=np.float32) - background.pad
    horizon = background.horizon or 0.0
    share = np.clip((row - rows) / max(row - horizon, 1.0), 0, 1) ** 1.5
    near = np.clip((rows - row) / 400, 0, 1)
    amount = (share + near)[:, None, None]
    sharp = background.rgb.astype(np.float32)
    half, whole = (cv2.GaussianBlur(sharp, (0, 0), blur_px * part) for part in (0.5, 1.0))
    mixed = np.where(
        amount < 0.5, sharp + (half - sharp) * 2 * amount, half + (whole - half) * (2 * amount - 1)
    )
    return replace(background, rgb=np.clip(mixed, 0, 255).astype(np.uint8))
