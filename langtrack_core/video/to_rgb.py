"""Decoded pictures to upright RGB, with the colours a player shows."""

from __future__ import annotations

from typing import cast

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from ..types import LangTrackError
from .pictures import RGB, over_black

_UNTAGGED = (2, 3)
"""FFmpeg's colour spaces that say nothing: AVCOL_SPC_UNSPECIFIED and AVCOL_SPC_RESERVED."""


class RGBConverter:
    """Turns the pictures of one video into upright RGB of one size, which the first picture sets."""

    def __init__(self, first: av.VideoFrame) -> None:
        self._coded_wh = first.width, first.height
        self._reformatter = VideoReformatter()
        a, b, c, d = _display_matrix(first)
        self._transpose = abs(b) + abs(c) > abs(a) + abs(d)
        self.size_wh = self._coded_wh[::-1] if self._transpose else self._coded_wh
        self._mirror_x, self._mirror_y = (c < 0, b < 0) if self._transpose else (a < 0, d < 0)
        self.rotation_deg = round(-first.rotation / 90) % 4 * 90
        """Clockwise: 0, 90, 180 or 270. A mirrored picture counts as the rotation that comes with it."""

    def __call__(self, picture: av.VideoFrame) -> RGB:
        alpha = any(component.is_alpha for component in picture.format.components)
        same_size = self._coded_wh == (picture.width, picture.height)
        scaling = Interpolation.BILINEAR if same_size else Interpolation.AREA
        large = picture.width >= 1280 or picture.height > 576
        untagged = Colorspace.ITU709 if large else Colorspace.ITU601
        try:
            converted = self._reformatter.reformat(
                picture,
                *self._coded_wh,
                "rgba" if alpha else "rgb24",
                src_colorspace=untagged if picture.colorspace in _UNTAGGED else None,
                interpolation=scaling | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
                threads=1,
            )
        except (av.FFmpegError, ValueError) as error:
            raise LangTrackError(
                f"The colours of this video ({picture.format.name}) cannot be read; export it as H.264."
            ) from error
        pixels = converted.to_ndarray().astype(np.uint8, copy=False)
        if alpha:
            pixels = over_black(pixels)
        if picture.color_trc in _TO_SRGB:
            pixels = cv2.LUT(pixels, _TO_SRGB[picture.color_trc]).astype(np.uint8, copy=False)
        if self._transpose:
            pixels = pixels.transpose(1, 0, 2)
        return np.ascontiguousarray(pixels[:: -1 if self._mirror_y else 1, :: -1 if self._mirror_x else 1])


def _display_matrix(picture: av.VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d: the picture's (column, row) is shown at (a column + c row, b column + d row).

    The matrix may hold any angle and scale; only the nearest of the eight upright orientations is used."""
    matrix = cast("bytes | None", picture.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    return a, b, c, d


def _curve_to_srgb(light: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Linear light, 1 being diffuse white, to sRGB values; brighter highlights are cut off."""
    light = np.clip(light, 0.0, 1.0)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).astype(np.uint8)


def _pq_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084; diffuse white at 203 cd/m2 (ITU-R BT.2408)."""
    root = signal ** (32 / 2523)
    nits = 10_000 * (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)
    return nits / 203


def _hlg_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """ARIB STD-B67 with a system gamma of 1.2; diffuse white at 75 % signal (ITU-R BT.2408)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073

    def scene(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)

    return (scene(signal) / scene(np.array(0.75))) ** 1.2


_SIGNAL = np.arange(256) / 255
"""The 256 values that a channel can have, in [0, 1]."""

_TO_SRGB = {
    int(ColorTrc.SMPTE2084): _curve_to_srgb(_pq_light(_SIGNAL)),
    int(ColorTrc.ARIB_STD_B67): _curve_to_srgb(_hlg_light(_SIGNAL)),
}
"""The sRGB value for each of the 256 values of an HDR curve; without it HDR looks pale and grey. Brightness
is converted channel by channel. The wide primaries are not, since FFmpeg's conversion takes seconds to set
up, so strong colours stay a little pale."""
