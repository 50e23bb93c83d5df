"""Mask pictures: the one reader for ground truth on the page, for data sets and for evaluation.

| picture | the target | not counted |
|---|---|---|
| one value beside the background, whatever it is | that value | |
| numbers up to `MAX_LABEL`, perhaps with the highest value (255) | every number | 255: DAVIS, VOC |
| other shades of grey | values over 128 of 255; if there are none, all but 0 | |
| up to `MAX_LABEL` colours beside the background | every colour | `VOID_RGB` beside others |
| more colours | their brightness, as shades of grey | |
| black with transparent parts | what is opaque, as shades of grey | |

The background is 0 or black. Where nothing is, and the picture is not of one value, it is the value that is
most frequent along the border. Pictures have 1, 8 or 16 bits; of a palette the number counts and not the
colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.masks import POSITIVE_ABOVE, BoolMask
from langtrack_core.types import LangTrackError, shorten
from langtrack_core.video.pictures import opened_pictures, over_black

MAX_LABEL = 32
"""Largest value that is taken for the number of an object; a picture with larger ones holds shades of grey.
Data sets number the objects of a clip from 1, and none of the public ones has more than 30."""

VOID_RGB = 0xE0E0C0
"""Colour that VOC and DAVIS give the pixels around objects that nobody is to judge, as 0xRRGGBB."""

_MODES = {"1": None, "L": None, "P": "P", "I": None, "I;16": None, "I;16B": None, "F": "L"}
"""How Pillow's modes with a number a pixel are read; all others are colours."""


class SeveralObjectsError(LangTrackError):
    """The truth holds several objects, and nobody said which of them is the target."""

    def __init__(self, holder: str, objects: Iterable[str]) -> None:
        self.objects = tuple(objects)
        names = ", ".join(self.objects[:20]) + (", …" if len(self.objects) > 20 else "")
        super().__init__(f"{holder} hold {len(self.objects)} objects: {shorten(names)}. Choose one of them.")


class MaskPicture(NamedTuple):
    """What a mask picture says.

    Attributes:
        mask: ``(H, W)`` bool, the target.
        void: ``(H, W)`` bool, pixels that nobody is to judge, such as a ring around objects.
        objects: the target's objects where the picture tells them apart: "1" by number, "#800000" by colour.
    """

    mask: BoolMask
    void: BoolMask
    objects: tuple[str, ...]


class MaskReading:
    """How the masks of a clip are read, for people: which value is the object, how many pixels are void."""

    def __init__(self) -> None:
        self._objects: set[str] = set()
        self._void_pixels = 0

    def add(self, picture: MaskPicture) -> None:
        self._objects.update(picture.objects)
        self._void_pixels += int(np.count_nonzero(picture.void))

    def __str__(self) -> str:
        what = f"value {min(self._objects)}" if len(self._objects) == 1 else "what is not background"
        void = f"; {self._void_pixels:,} void pixels are not counted" if self._void_pixels else ""
        return f"The object is {what}{void}."


def read_mask(
    path: Path, target: int | str | None = None, *, size_hw: tuple[int, int] | None = None
) -> MaskPicture:
    """Read a mask picture, as the table above says.

    Args:
        target: which of `MaskPicture.objects` is the target, where the picture may hold several; None for the
            whole table.
        size_hw: the height and width that it needs to have.

    Raises:
        LangTrackError: no readable picture, of another size, or colours where a number is asked for.
    """

    def mode(info: Mapping[str, Any]) -> str | None:
        width, height = info["shape"]
        if size_hw is not None and (height, width) != size_hw:
            raise LangTrackError(
                f"{path} is {width}x{height}, but the video is {size_hw[1]}x{size_hw[0]}; "
                "masks need the size of the video."
            )
        if str(target).isdecimal() and info["mode"] not in _MODES:
            raise LangTrackError(
                f"{path} holds no object numbers: expected a palette picture, got mode {info['mode']}."
            )
        return _MODES.get(info["mode"], "RGBA")

    with opened_pictures(path) as file:
        values, highest, names = _numbers(file.pixels(mode=mode))
    if target is None:
        return _meaning(values, highest, names)
    if not re.fullmatch(r"[0-9]+|#[0-9a-fA-F]{6}", str(target)):
        raise LangTrackError(f"Objects in masks are called 1 or #800000, but the target is {target}.")
    mask = values == int(str(target).replace("#", "0x"), 0)
    return MaskPicture(mask, (values == highest) & ~mask, (str(target),))


def clip_target(masks: Iterable[Path], target: int | str | None = None) -> str | None:
    """Which object all masks of a clip are read for; None for whatever each of them holds.

    A clip tells more than a picture: 255 is void in all of its masks when one of them has a small number.

    Raises:
        SeveralObjectsError: there are several, and ``target`` is None.
        LangTrackError: as `read_mask`; there is no object ``target``.
    """
    names = {name for path in masks for name in read_mask(path).objects}
    labels = {name for name in names if name[0] == "#" or int(name) <= MAX_LABEL}
    objects = sorted(labels or names, key=lambda name: (len(name), name))
    if target is not None and str(target) not in objects:
        raise LangTrackError(f"The masks hold no object {target}; they hold {', '.join(objects) or 'none'}.")
    if target is None and len(objects) > 1:
        raise SeveralObjectsError("The masks", objects)
    return str(target) if target is not None else objects[0] if labels else None


def _numbers(pixels: NDArray[Any]) -> tuple[NDArray[np.unsignedinteger[Any]], int, str]:
    """``(H, W)`` values; the highest one, which may mean void; and how objects are named by them."""
    if pixels.ndim == 2:
        deep = pixels.dtype not in (np.bool_, np.uint8)
        values = pixels.clip(0, 65535).astype(np.uint16) if deep else pixels.astype(np.uint8)
        return values, 65535 if deep else 255, "{}"
    rgb = over_black(pixels)
    if not rgb.any():
        return pixels[..., 3] * np.uint8(pixels[..., 3].min() < 255), 255, "{}"
    if (rgb == rgb[..., :1]).all():
        return rgb[..., 0], 255, "{}"
    codes = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    if len(np.unique(codes)) > MAX_LABEL + 1:
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), 255, "{}"
    return codes.astype(np.uint32), VOID_RGB, "#{:06x}"


def _meaning(values: NDArray[np.unsignedinteger[Any]], highest: int, names: str) -> MaskPicture:
    coloured = highest == VOID_RGB
    present = np.unique(values)
    background = 0
    if present[0] > 0 and 1 < present.size <= MAX_LABEL + 1:
        border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        background = int(np.bincount(np.searchsorted(present, border)).argmax())
        background = int(present[background])
    present = present[present != background]
    labels = present[present != highest]
    mask, void = values != background, np.zeros(values.shape, np.bool_)
    if labels.size and (coloured or labels.max() <= MAX_LABEL):
        void = mask & (values == highest)
        return MaskPicture(mask & ~void, void, tuple(names.format(label) for label in labels))
    bright = values > POSITIVE_ABOVE * highest // 255
    if present.size > 1 and background == 0 and bright.any():
        mask = bright
    return MaskPicture(mask, void, (names.format(present[0]),) if present.size == 1 else ())
