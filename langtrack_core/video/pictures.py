"""Still pictures: the frames of a folder, read one by one, for videos and data sets alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..types import Frame, LangTrackError

RGB = NDArray[np.uint8]
"""``(H, W, 3)`` uint8."""

MAX_SIDE = 7680
"""Longest side that is read, in pixels (8K UHD): one RGB frame of it is 100 MB."""

FOLDER_FPS = Fraction(25)
"""Frame rate of a folder of pictures, which says nothing of its own."""

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))

_FRAME_FOLDERS = ("img", "imgs", "frames", "images", "JPEGImages")
"""Where data sets keep the frames of a clip, whose own folder is easily taken for theirs."""

_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|BM|GIF8|II[*+]\0|MM\0[*+]|P[1-6]\s|RIFF....WEBP|....ftypavif", re.DOTALL
)
"""How the files of pictures begin: JPEG, PNG, BMP, GIF, TIFF, PNM, WebP, AVIF. Pillow knows more, such as
PostScript, which it hands to another program; nothing of a stranger's is to get there."""

# --- which files -------------------------------------------------------------------------------------------


def find_pictures(path: Path) -> list[Path] | None:
    """The pictures of a folder, or a picture alone; None when ``path`` is a file of another kind.

    Raises:
        LangTrackError: a folder without pictures.
    """
    if path.is_dir():
        return pictures_in(path)
    return [path] if is_picture(path) else None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; at least one.

    Files whose name starts with a dot are no pictures: some archives bring a "._0001.jpg" beside each.

    Raises:
        LangTrackError: no folder, one without pictures, or one with two pictures of one name, which are a
            frame and its mask or the like.
    """
    if not folder.is_dir():
        raise LangTrackError(f"The folder of pictures {folder} is missing.")
    pictures = [file for file in folder.iterdir() if is_picture(file) and file.is_file()]
    if not pictures:
        inner = next((name for name in _FRAME_FOLDERS if (folder / name).is_dir()), None)
        hint = f"take its folder {inner}." if inner else "JPEG or PNG frames are needed."
        raise LangTrackError(f"The folder {folder} holds no pictures; {hint}")
    pictures.sort(key=lambda file: natural_key(file.name))
    for one, other in pairwise(sorted(pictures, key=lambda file: file.stem)):
        if one.stem == other.stem:
            raise LangTrackError(
                f"The folder {folder} holds both {one.name} and {other.name}; move one kind elsewhere."
            )
    return pictures


def is_picture(path: Path) -> bool:
    """By its name alone."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which 2 comes before 10."""
    parts: list[str | int] = list(re.split(r"([0-9]+)", name.lower()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, name


# --- what is in them ---------------------------------------------------------------------------------------


def read_picture(path: Path) -> RGB:
    """One picture, upright by EXIF, alpha over black, 16 bit grey brought to 8.

    Raises:
        LangTrackError: not a picture, damaged, or larger than ``MAX_SIDE``.
    """
    pixels = decode_picture(path, _colours)
    if pixels.ndim == 2:
        grey = (np.clip(pixels, 0, 65535).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return over_black(pixels) if pixels.shape[2] == 4 else pixels


def _colours(info: Mapping[str, Any]) -> str | None:
    if info["mode"].startswith("I"):
        return None
    alpha = info["mode"] in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in info
    return "RGBA" if alpha else "RGB"


def decode_picture(path: Path, mode: Callable[[Mapping[str, Any]], str | None]) -> NDArray[Any]:
    """``(H, W)`` or ``(H, W, C)`` pixels, upright by EXIF; the size is checked before they are decoded.

    Args:
        mode: says from a picture's information (``mode``, ``transparency``, …) in which of Pillow's modes its
            pixels are wanted; None for that of the file.

    Raises:
        LangTrackError: not a picture, damaged, or larger than ``MAX_SIDE``.
    """
    try:
        with path.open("rb") as stream:
            if _SIGNATURE.match(stream.read(12)) is None:
                raise ValueError("no picture begins like this")
        with iio.imopen(path, "r", plugin="pillow") as file:
            height, width = file.properties(index=0).shape[:2]
            check_size(path, width, height)
            wanted = mode(file.metadata(index=0))
            pixels = file.read(index=0, mode=wanted)  # type: ignore[call-arg]  # of the pillow plugin
            # Only now, since Pillow turns TIFFs by itself when it decodes them.
            orientation = file.metadata(index=0, exclude_applied=False).get("Orientation", 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LangTrackError(f"{path} is damaged or not a picture; replace it or leave it out.") from error
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    mirror_x, mirror_y = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(pixels[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])


def picture_frames(paths: Sequence[Path], indices: range) -> Generator[Frame]:
    """The pictures at ``indices``, in that order, forward or backward, at `FOLDER_FPS`.

    Raises:
        LangTrackError: a picture cannot be read, or is of another size than the first.
    """
    height, width = read_picture(paths[0]).shape[:2]
    for index in indices:
        rgb = read_picture(paths[index])
        if rgb.shape[:2] != (height, width):
            raise LangTrackError(
                f"{paths[index].name} is {rgb.shape[1]}x{rgb.shape[0]}, but {paths[0].name} is "
                f"{width}x{height}; all pictures of a folder must have one size."
            )
        yield Frame(index, float(index / FOLDER_FPS), rgb)


# --- helpers that videos need too --------------------------------------------------------------------------


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
            f"{path} is {width}x{height}; at most {MAX_SIDE} pixels a side are read, make it smaller."
        )
