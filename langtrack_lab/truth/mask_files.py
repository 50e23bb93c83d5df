"""Mask pictures: the one reader for ground truth on the page, for data sets and for evaluation.

| picture | the target | not counted |
|---|---|---|
| one value beside 0, whatever it is | that value | |
| numbers up to `MAX_LABEL`, perhaps with the highest value (255) | every number | 255: DAVIS, VOC |
| other shades of grey | values over 128 of 255; if there are none, all but 0 | |
| up to `MAX_LABEL` colours beside black | every colour | |
| more colours | their brightness, as shades of grey | |
| black with transparent parts | what is opaque, as shades of grey | |

Pictures have 1, 8 or 16 bits; of a palette the number counts and not the colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.masks import POSITIVE_ABOVE, BoolMask
from langtrack_core.types import LangTrackError
from langtrack_core.video.pictures import decode_picture, over_black

MAX_LABEL = 32
"""Largest value that is taken for the number of an object; a picture with larger ones holds shades of grey.
Data sets number the objects of a clip from 1, and none of the public ones has more than 30."""

_MODES = {"1": None, "L": None, "P": "P", "I": None, "I;16": None, "I;16B": None, "F": "L"}
"""How Pillow's modes with a number a pixel are read; all others are colours."""


class MaskPicture(NamedTuple):
    """What a mask picture says.

    Attributes:
        mask: ``(H, W)`` bool, the target.
        void: ``(H, W)`` bool, pixels that nobody is to judge, such as a ring around objects.
        objects: the values, or numbers given to the colours, that the target has in the picture.
    """

    mask: BoolMask
    void: BoolMask
    objects: tuple[int, ...]


def read_mask(
    path: Path, object_id: int | None = None, *, size_hw: tuple[int, int] | None = None
) -> MaskPicture:
    """Read a mask picture, as the table above says.

    Args:
        object_id: the value that is the object, where the picture holds several; None for the whole table.
        size_hw: the height and width that it needs to have.

    Raises:
        LangTrackError: no readable picture, of another size, or without numbers of objects where one is
            asked for.
    """

    def mode(info: Mapping[str, Any]) -> str | None:
        width, height = info["shape"]
        if size_hw is not None and (height, width) != size_hw:
            raise LangTrackError(
                f"{path} is {width}x{height}, but the video is {size_hw[1]}x{size_hw[0]}; "
                "masks need the size of the video."
            )
        if object_id is not None and info["mode"] not in _MODES:
            raise LangTrackError(
                f"{path} holds no object numbers: expected a palette picture, got mode {info['mode']}."
            )
        return _MODES.get(info["mode"], "RGBA")

    values = _numbers(decode_picture(path, mode))
    if object_id is None:
        return _meaning(values)
    mask = values == object_id
    return MaskPicture(mask, (values == _highest(values)) & ~mask, (object_id,))


def _numbers(pixels: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """``(H, W)`` uint8 or uint16; of colours, which are ``(H, W, 4)``, what stands for them in the table."""
    if pixels.ndim == 2:
        deep = pixels.dtype not in (np.bool_, np.uint8)
        return pixels.clip(0, 65535).astype(np.uint16) if deep else pixels.astype(np.uint8)
    rgb = over_black(pixels)
    if not rgb.any():
        return pixels[..., 3] * np.uint8(pixels[..., 3].min() < 255)
    if (rgb == rgb[..., :1]).all():
        return rgb[..., 0]
    codes = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours = np.union1d(codes, 0)
    if len(colours) > MAX_LABEL + 1:
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.searchsorted(colours, codes).astype(np.uint8)


def _meaning(values: NDArray[np.unsignedinteger[Any]]) -> MaskPicture:
    highest = _highest(values)
    present = np.flatnonzero(np.bincount(values.ravel()))
    present = present[present > 0]
    labels = present[present < highest]
    void = np.zeros(values.shape, np.bool_)
    if labels.size and labels.max() <= MAX_LABEL:
        void = values == highest
        mask, objects = (values > 0) & ~void, labels
    else:
        mask, objects = values > POSITIVE_ABOVE * highest // 255, present[-1:]
        if present.size == 1 or not mask.any():
            mask, objects = values > 0, present
    return MaskPicture(mask, void, tuple(objects.tolist()))


def _highest(values: NDArray[np.unsignedinteger[Any]]) -> int:
    return 255 if values.dtype == np.uint8 else 65535
