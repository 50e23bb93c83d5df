"""Single pictures: which files hold them, and their pixels as RGB of 8 bits, or as they are."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from ..types import LangTrackError

RGB = NDArray[np.uint8]
"""``(H, W, 3)`` uint8."""

MAX_SIDE = 7680
"""Longest side that is read, in pixels (8K UHD): one RGB frame of it is 100 MB."""

FOLDER_FPS = Fraction(25)
"""Frame rate of a folder of pictures, which says nothing of its own."""

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))

_FRAME_FOLDERS = ("img", "imgs", "frames", "images", "JPEGImages")
"""Where data sets keep the frames of a clip, whose own folder is easily taken for theirs."""

log_damage: Callable[[str], None] = logging.getLogger(__name__).warning
"""What happens to a sentence on damage where the caller does not say anything else."""

_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|BM|GIF8|II[*+]\0|MM\0[*+]|P[1-6]\s|RIFF....WEBP", re.DOTALL
)
"""How the files of pictures begin: JPEG, PNG, BMP, GIF, TIFF, PNM, WebP. Pillow knows more, such as
PostScript, which it hands to another program; nothing of a stranger's is to get there."""

# --- which files -------------------------------------------------------------------------------------------


def begins_like_a_picture(path: Path) -> bool:
    with path.open("rb") as stream:
        return _SIGNATURE.match(stream.read(12)) is not None


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


class Levels(NamedTuple):
    """How values are brought to 8 bits: ``low`` becomes 0, and ``low + span`` would become 256."""

    low: float
    span: float

    @classmethod
    def of(cls, pictures: Iterable[NDArray[Any]]) -> Levels | None:
        """What fits the values of all pictures; None where they have 8 bits.

        Whole numbers from 0 on have as many bits as the largest needs, an even number; numbers with a point
        are taken as they are between 0 and 1; everything else is spread between its ends.
        """
        low, high, whole = np.inf, -np.inf, True
        for pixels in pictures:
            if pixels.dtype in (np.uint8, np.bool_):
                return None
            whole = pixels.dtype.kind in "ui"
            values = pixels[np.isfinite(pixels)]
            if values.size:
                low, high = min(low, float(values.min())), max(high, float(values.max()))
        if whole and 0 <= low <= high < 1 << 16:
            bits = int(high).bit_length()
            return cls(0.0, 1 << max(8, bits + bits % 2))
        return cls(low, high - low) if low < high and not 0 <= low <= high <= 1 else cls(0.0, 1.0)

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        scaled = np.floor((np.nan_to_num(pixels.astype(np.float64)) - self.low) * (256 / self.span))
        return scaled.clip(0, 255).astype(np.uint8)


def read_picture(path: Path, levels: Levels | None = None) -> RGB:
    """One picture, upright by EXIF, alpha over black; the first where there are several.

    Args:
        levels: those of its clip, for a picture deeper than 8 bits; its own without.

    Raises:
        LangTrackError: not a picture, damaged, or larger than ``MAX_SIDE``.
    """
    return as_rgb(decode_picture(path, wanted_colours), levels)


def as_rgb(pixels: NDArray[Any], levels: Levels | None) -> RGB:
    if pixels.dtype != np.uint8:
        levels = levels or Levels.of([pixels])
        assert levels is not None
        colours = levels(pixels[..., :3] if pixels.ndim == 3 else pixels)
        pixels = (
            np.dstack([colours, (pixels[..., 3:] >> 8).astype(np.uint8)]) if pixels.ndim == 3 else colours
        )
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return over_black(pixels.astype(np.uint8)) if pixels.shape[2] == 4 else pixels


def wanted_colours(info: Mapping[str, Any]) -> str | None:
    if info["mode"][0] in "IF":
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
    with opened_pictures(path) as file:
        return decoded_page(file, path, mode, 0)


@contextmanager
def opened_pictures(path: Path) -> Iterator[Any]:
    """imageio's reader of a file of pictures; whatever fails while it is open becomes one sentence."""
    try:
        if not begins_like_a_picture(path):
            raise ValueError("no picture begins like this")
        with iio.imopen(path, "r", plugin="pillow") as file:
            yield file
    except LangTrackError:
        raise
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise LangTrackError(f"{path} is damaged or not a picture; replace it or leave it out.") from error


def decoded_page(
    file: Any, path: Path, mode: Callable[[Mapping[str, Any]], str | None], page: int
) -> NDArray[Any]:
    height, width = file.properties(index=page).shape[:2]
    check_size(path, width, height)
    info = file.metadata(index=page)
    pixels = file.read(index=page, mode=mode(info))
    if mode is wanted_colours and pixels.ndim == 3 and _is_deep(path, info):  # of which Pillow keeps 8 bits
        with iio.imopen(path, "r", plugin="opencv") as deep:
            pixels = deep.read(index=page, flags=cv2.IMREAD_UNCHANGED)  # type: ignore[call-arg]
    # Only now, since Pillow turns TIFFs by itself when it decodes them.
    orientation = file.metadata(index=page, exclude_applied=False).get("Orientation", 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    mirror_x, mirror_y = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(pixels[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])


def _is_deep(path: Path, info: Mapping[str, Any]) -> bool:
    """A PNG or TIFF whose colours have 16 bits each."""
    bits = info.get("BitsPerSample")
    if bits is None:
        with path.open("rb") as stream:
            head = stream.read(25)
        bits = head[24:] if head.startswith(b"\x89PNG") else b""
    return 16 in (bits if isinstance(bits, bytes | tuple) else (bits,))


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
