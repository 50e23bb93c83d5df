"""The targets cut out of the video, all else transparent: PNG pictures, WebM (VP9) or MOV (ProRes 4444).

Alpha is straight: colours are not multiplied with it. A frame without any target is transparent.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from langtrack_core.masks import BoolMask
from langtrack_core.video import VideoWriter

from .clip import Clip


class VP9AlphaWriter(VideoWriter):
    """WebM with transparency, as browsers based on Chromium, and Firefox, show it. The alpha is a second
    stream of VP9 inside: FFmpeg gives it when its decoder ``libvpx-vp9`` is asked for by name."""

    container, codec, pixels = "webm", "libvpx-vp9", "yuva420p"
    channels, even = 4, False
    options: ClassVar[dict[str, str]] = {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "5"}
    container_options: ClassVar[dict[str, str]] = {}


class ProResWriter(VideoWriter):
    """QuickTime with transparency for video editors: every frame by itself, lossless alpha, large files."""

    container, codec, pixels = "mov", "prores_ks", "yuva444p10le"
    channels, even = 4, False
    options: ClassVar[dict[str, str]] = {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
    container_options: ClassVar[dict[str, str]] = {}


RIM = 16
"""Pixels around a target that keep their colour under full transparency in a video: its blocks and its halved
colour reach over the edge, and would bring black into it. What is farther away is not in the file."""


def write_png(clip: Clip, folder: Path) -> None:
    """``%06d.png``, the number being that of the frame."""
    for picture in clip.pictures():
        mask = clip.union(picture.index)
        Image.fromarray(_cut_out(picture.rgb, mask, mask)).save(folder / f"{picture.index:06d}.png")


def write_webm(clip: Clip, path: Path) -> None:
    _write_video(clip, VP9AlphaWriter(path, clip.fps))


def write_prores(clip: Clip, path: Path) -> None:
    _write_video(clip, ProResWriter(path, clip.fps, source=clip.info))


def _write_video(clip: Clip, video: VideoWriter) -> None:
    kernel = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    with video as writer:
        for picture in clip.pictures():
            mask = clip.union(picture.index)
            coloured = cv2.dilate(mask.view(np.uint8), kernel).astype(np.bool_)
            writer.write(_cut_out(picture.rgb, mask, coloured), picture.time_s)


def _cut_out(rgb: NDArray[np.uint8], mask: BoolMask, coloured: BoolMask) -> NDArray[np.uint8]:
    """``(H, W, 4)``: alpha from the mask, black where nothing is ``coloured``."""
    alpha = mask.astype(np.uint8) * 255
    return np.dstack([np.where(coloured[..., None], rgb, 0), alpha])
