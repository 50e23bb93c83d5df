"""Indexed PNG as in DAVIS 2017 (davischallenge.org): the number of the target in each pixel, 0 is background.

``Annotations/Full-Resolution/<clip>/%05d.png``, pictures in ``JPEGImages``, the clip in ``ImageSets/2017``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from langtrack_core.types import LangTrackError

from .clip import Clip, Object

MAX_TARGETS = 254
"""A pixel of the PNG holds 8 bits, and 255 means "not counted" in DAVIS."""


def picture(clip: Clip, frame: int) -> str:
    return f"JPEGImages/Full-Resolution/{clip.name}/{frame:05d}.jpg"


def write(clip: Clip, folder: Path) -> None:
    """Where targets overlap, the pixel goes to the one with the highest confidence on that frame."""
    if len(clip.tracks) > MAX_TARGETS:
        raise LangTrackError(f"An indexed PNG holds {MAX_TARGETS} targets, not {len(clip.tracks)}.")
    annotations = folder / "Annotations" / "Full-Resolution" / clip.name
    lists = folder / "ImageSets" / "2017"
    for new in (annotations, lists):
        new.mkdir(parents=True)
    colours = palette()
    for frame, objects in clip.each_frame():
        indexed = Image.fromarray(_numbers(clip, objects))
        indexed.putpalette(colours)
        indexed.save(annotations / f"{frame:05d}.png")
    (lists / "val.txt").write_text(f"{clip.name}\n", encoding="ascii")


def _numbers(clip: Clip, objects: list[Object]) -> NDArray[np.uint8]:
    numbers = np.zeros(clip.size_hw, np.uint8)
    for one in sorted(objects, key=lambda one: one.confidence):
        mask = one.mask()
        if mask is not None:
            numbers[mask] = one.track
    return numbers


def palette() -> bytes:
    """The 256 colours of VOC and DAVIS: a number's bits, dealt out to red, green and blue from the top."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * place + channel) & 1) << (7 - place)).astype(np.uint8)
    return colours.tobytes()
