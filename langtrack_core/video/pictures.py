"""Still pictures: the frames of a folder, read one by one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..types import LangTrackError

RGB = NDArray[np.uint8]
"""``(H, W, 3)`` uint8."""

MAX_SIDE = 7680
"""Longest side that is read, in pixels (8K UHD): one RGB frame of it is 100 MB."""

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))


def find_pictures(path: Path) -> list[Path] | None:
    """The pictures of a folder in natural order (2 before 10), or a picture alone.

    Returns:
        At least one path; None when ``path`` is a file of another kind.

    Raises:
        LangTrackError: a folder without pictures.
    """
    if not path.is_dir():
        return [path] if path.suffix.lower() in PICTURE_SUFFIXES else None
    found = [
        file
        for file in path.iterdir()
        if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file() and not file.name.startswith(".")
    ]
    if not found:
        raise LangTrackError(f"The folder {path.name} holds no pictures; JPEG or PNG frames are needed.")
    return sorted(found, key=_natural)


def _natural(file: Path) -> tuple[list[str | int], str]:
    parts: list[str | int] = list(re.split(r"([0-9]+)", file.name.lower()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, file.name


def read_picture(path: Path) -> RGB:
    """One picture, upright by EXIF, alpha over black, 16 bit grey brought to 8.

    Raises:
        LangTrackError: not a picture, damaged, or larger than ``MAX_SIDE``.
    """
    try:
        with Image.open(path) as opened:
            check_size(path, *opened.size)
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                grey = np.clip(np.asarray(image), 0, 65535).astype(np.uint16) >> 8
                return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
            if image.has_transparency_data:
                return over_black(np.array(image.convert("RGBA")))
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LangTrackError(
            f"{path.name} is damaged or not a picture; replace it or leave it out."
        ) from error


def over_black(rgba: NDArray[np.uint8]) -> RGB:
    """``(H, W, 4)`` uint8 with straight alpha, composited over black."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return rgba[..., :3]
    return ((rgba[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse what would fill the memory, before it is decoded."""
    if max(width, height) > MAX_SIDE:
        raise LangTrackError(
            f"{path.name} is {width}x{height}; at most {MAX_SIDE} pixels a side are read, make it smaller."
        )


def fitted_wh(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """Width and height of the same shape with no side above ``max_side``; never larger than given."""
    longest = max(width, height)
    if max_side is None or longest <= max_side:
        return width, height
    return max(1, round(width * max_side / longest)), max(1, round(height * max_side / longest))
