"""The named colours: what they are called, how a renderer paints them, and how a photo's pixels are named."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.masks import BoolMask

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Colour:
    """A colour that has a name; all values are sRGB, 0 to 255.

    Attributes:
        paint: what a rendered object of this colour is painted with.
        shades: clear examples, by which a pixel is recognised.
        words: what people call it, the plainest first.
    """

    paint: Rgb
    shades: tuple[Rgb, ...]
    words: tuple[str, ...]


COLOURS: dict[str, Colour] = {
    "red": Colour((200, 28, 32), ((200, 30, 30), (150, 25, 30)), ("red",)),
    "blue": Colour((32, 78, 190), ((40, 80, 190), (30, 45, 110), (110, 160, 220)), ("blue",)),
    "green": Colour((38, 140, 58), ((50, 140, 50), (30, 90, 40), (120, 170, 70)), ("green",)),
    "yellow": Colour((238, 204, 36), ((240, 215, 50), (225, 190, 30)), ("yellow",)),
    "orange": Colour((238, 122, 24), ((235, 130, 30),), ("orange",)),
    "purple": Colour((122, 52, 156), ((120, 50, 150),), ("purple", "violet")),
    "pink": Colour((240, 128, 170), ((240, 150, 180), (220, 90, 140)), ("pink",)),
    "white": Colour((236, 236, 232), ((245, 245, 245), (225, 225, 228)), ("white",)),
    "black": Colour((34, 34, 38), ((20, 20, 20), (40, 40, 42)), ("black", "dark")),
    "grey": Colour((134, 138, 142), ((128, 128, 128), (160, 160, 162)), ("grey", "gray", "silver")),
    "brown": Colour((118, 74, 42), ((110, 70, 40), (150, 105, 70)), ("brown", "tan")),
}
"""The colours by name. Seeded scenes draw from this order, so a new colour goes to the end."""

MIN_PIXELS = 30
"""A region of fewer pixels gets no colour name: its edge, where colours mix, is most of it."""

MAX_PIXELS = 200
"""About this many pixels of a region are looked at; more would not change the majority."""


def colour_name(rgb: NDArray[np.uint8], mask: BoolMask) -> str | None:
    """The colour that most pixels of a region have; None when it is small, mixed or between two names."""
    rows, columns = np.nonzero(mask)
    if len(rows) < MIN_PIXELS:
        return None
    sample = slice(None, None, max(1, len(rows) // MAX_PIXELS))
    lab = _rgb_to_lab(rgb[rows[sample], columns[sample]])
    nearest = ((lab[:, None] - _SHADES_LAB[None]) ** 2).sum(2).argmin(1)
    votes = np.bincount(_SHADE_COLOUR[nearest], minlength=len(COLOURS)) / len(lab)
    best = int(votes.argmax())
    return list(COLOURS)[best] if votes[best] > 0.5 else None


def _rgb_to_lab(rgb: NDArray[np.generic]) -> NDArray[np.float32]:
    """``(N, 3)``, 0 to 255, to CIE Lab, where distances are near to how different colours look."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32)[None] / 255, cv2.COLOR_RGB2LAB)[0], np.float32)


_SHADES_LAB = _rgb_to_lab(np.array([shade for colour in COLOURS.values() for shade in colour.shades]))
"""Each shade of each colour in CIE Lab, in the order of `COLOURS`."""

_SHADE_COLOUR = np.repeat(np.arange(len(COLOURS)), [len(colour.shades) for colour in COLOURS.values()])
"""The place in `COLOURS` of the colour that each of these shades belongs to."""
