"""Mask pictures: the one reader for ground truth on the page, for data sets and for evaluation.

| picture | the target | not counted |
|---|---|---|
| one value beside the background, whatever it is | that value | |
| numbers up to `MAX_LABEL`, perhaps with the highest value (255) | every number | 255: DAVIS, VOC |
| larger numbers, each of them an area | every number | 255, where it is a line and no area |
| other shades of grey | values over 128 of 255; if there are none, over half of the highest | |
| up to `MAX_LABEL` colours beside the background | every colour | `VOID_RGB` beside others |
| more colours | their brightness, as shades of grey | |
| black with transparent parts | what is opaque, as shades of grey | |

The background is 0 or black. Where nothing is, and the picture is not of one value, it is the value that is
most frequent along the border. Pictures have 1, 8 or 16 bits; of a palette the number counts and not the
colour. An area has 3x3 pixels of one value somewhere; the shades along a smooth edge have not.
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
"""Largest value that is the number of an object whatever its shape, and most colours or numbers of a picture.
Data sets number the objects of a clip from 1, and none of the public ones has more than 30."""

VOID_RGB = 0xE0E0C0
"""Colour that VOC and DAVIS give the pixels around objects that nobody is to judge, as 0xRRGGBB."""

_NUMBER, _COLOUR = "{}", "#{:06x}"
"""Names of objects: a decimal number, or a colour as web pages write it."""

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
        self._shades = False
        self._void_pixels = 0

    def add(self, picture: MaskPicture) -> None:
        self._objects.update(picture.objects)
        self._shades |= not picture.objects and bool(picture.mask.any())
        self._void_pixels += int(np.count_nonzero(picture.void))

    def __str__(self) -> str:
        what = f"value {min(self._objects)}" if len(self._objects) == 1 else "what is not background"
        what = "what is bright" if self._shades else what
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
        return _MODES.get(info["mode"], "RGBA")

    coloured = str(target).startswith("#")
    with opened_pictures(path) as file:
        values, highest, names = _numbers(file.pixels(mode=mode), coloured)
    if target is None:
        return _meaning(values, highest, names)
    if not re.fullmatch(r"[0-9]+|#[0-9a-fA-F]{6}", str(target)):
        raise LangTrackError(f"Objects in masks are called 1 or #800000, but the target is {target}.")
    if coloured != (names == _COLOUR) and values.any():
        content, other = ("numbers", "colours") if coloured else ("colours", "numbers")
        raise LangTrackError(f"{path} holds {content}, but the target {target} is one of {other}.")
    number = int(str(target).replace("#", "0x"), 0)
    mask = values == number
    void = (values == highest) & ~mask & (coloured or number <= MAX_LABEL)
    return MaskPicture(mask, void, (str(target),))


def clip_target(masks: Iterable[Path], target: int | str | None = None) -> str | None:
    """Which object all masks of a clip are read for; None for whatever each of them holds.

    A clip tells more than a picture: 255 is void in all of its masks when one of them has a small number.

    Raises:
        SeveralObjectsError: there are several, and ``target`` is None.
        LangTrackError: as `read_mask`; there is no object ``target``.
    """
    names = {name for path in masks for name in read_mask(path).objects}
    if any(name[0] == "#" for name in names):  # a frame that shows a grey object alone looks like numbers
        names = {name if name[0] == "#" else _COLOUR.format(int(name) * 0x010101) for name in names}
    names = names - {_COLOUR.format(VOID_RGB)} or names
    labels = {name for name in names if name[0] == "#" or int(name) <= MAX_LABEL}
    objects = sorted(labels or names, key=lambda name: (len(name), name))
    if target is not None and str(target) not in objects:
        raise LangTrackError(f"The masks hold no object {target}; they hold {', '.join(objects) or 'none'}.")
    if target is None and len(objects) > 1:
        raise SeveralObjectsError("The masks", objects)
    return str(target) if target is not None else objects[0] if labels else None


def _numbers(
    pixels: NDArray[Any], coloured: bool = False
) -> tuple[NDArray[np.unsignedinteger[Any]], int, str]:
    """``(H, W)`` values; the highest one, which may mean void; and how objects are named by them.

    Args:
        coloured: shades of grey are colours like others.
    """
    if pixels.ndim == 2:
        values = pixels.astype(np.int64).clip(0, 65535).astype(np.uint16)
        deep = values.max() > 255  # numbers of 8 bits are often kept in 16
        return values if deep else values.astype(np.uint8), 65535 if deep else 255, _NUMBER
    rgb = over_black(pixels)
    if not rgb.any():
        return pixels[..., 3] * np.uint8(pixels[..., 3].min() < 255), 255, _NUMBER
    if not coloured and (rgb == rgb[..., :1]).all():
        return rgb[..., 0], 255, _NUMBER
    codes = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    if len(np.unique(codes)) > MAX_LABEL + 1:
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), 255, _NUMBER
    return codes.astype(np.uint32), VOID_RGB, _COLOUR


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
    if 0 < labels.size <= MAX_LABEL and np.isin(labels, areas := _areas(values)).all():
        if highest in areas:
            labels = present
        else:
            void = values == highest
        return MaskPicture(mask & ~void, void, tuple(names.format(label) for label in labels))
    if present.size > 1 and background == 0:
        over = POSITIVE_ABOVE * highest // 255
        mask = values > (over if present[-1] > over else present[-1] // 2)
    return MaskPicture(mask, void, (names.format(present[0]),) if present.size == 1 else ())


def _areas(values: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """The values that fill 3x3 pixels somewhere."""
    window = np.ones((3, 3), np.uint8)
    return np.unique(values[cv2.erode(values, window) == cv2.dilate(values, window)])
