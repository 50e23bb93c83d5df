"""Still and animated pictures: which files hold them, their pixels as RGB of 8 bits, and clips of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from ..types import Frame, LangTrackError

RGB = NDArray[np.uint8]
"""``(H, W, 3)`` uint8."""

MAX_SIDE = 7680
"""Longest side that is read, in pixels (8K UHD): one RGB frame of it is 100 MB."""

FOLDER_FPS = Fraction(25)
"""Frame rate of a folder of pictures, which says nothing of its own."""

SAMPLED = 32
"""Number of pictures, spread over a clip, whose values say how deep pictures are brought to 8 bits; and of
those at the beginning of an animation that say its frame rate, since each has to be decoded for it."""

UNTIMED_S = Fraction(1, 10)
"""Seconds that a picture of an animation is shown when its file says 0: what browsers do."""

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
"""Suffixes, in small letters, of the files that count as pictures of a folder: what data sets and cameras
write. Other files there are notes, annotations or videos."""

_FRAME_FOLDERS = ("img", "imgs", "frames", "images", "JPEGImages")
"""Where data sets keep the frames of a clip, whose own folder is easily taken for theirs."""

OnDamage = Callable[[str], None]
"""Called with a sentence on damage."""
log_damage: OnDamage = logging.getLogger(__name__).warning
"""What happens to a sentence on damage where the caller does not say anything else."""

DAMAGED = "is damaged or no picture that can be read; save it anew as PNG or leave it out."

_BEGIN = re.compile(rb"(?s)\xff\xd8\xff|\x89PNG\r\n\x1a\n|BM|GIF8|II[*+]\0|MM\0[*+]|P[1-6]\s|RIFF....WEBP")
"""How the files of pictures begin: JPEG, PNG, BMP, GIF, TIFF, PNM, WebP. Pillow knows more, such as
PostScript, which it hands to another program; nothing of a stranger's is to get there."""

# --- which files -------------------------------------------------------------------------------------------


def begins_like_a_picture(path: Path) -> bool:
    with path.open("rb") as stream:
        return _BEGIN.match(stream.read(12)) is not None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; at least one.

    Files whose name starts with a dot are no pictures: some archives bring a "._0001.jpg" beside each.
    LangTrackError for no folder, one without pictures, or one with two kinds of files, which are frames and
    their masks or the like."""
    if not folder.is_dir():
        raise LangTrackError(f"The folder of pictures {folder} is missing.")
    pictures = [file for file in folder.iterdir() if is_picture(file) and file.is_file()]
    if not pictures:
        inner = next((name for name in _FRAME_FOLDERS if (folder / name).is_dir()), None)
        hint = f"take its folder {inner}." if inner else "JPEG or PNG frames are needed."
        raise LangTrackError(f"The folder {folder} holds no pictures; {hint}")
    pictures.sort(key=lambda file: natural_key(file.name))
    of_each_kind = {file.suffix.lower(): file.name for file in pictures}
    if len(of_each_kind) > 1:
        names = " and ".join(of_each_kind.values())
        raise LangTrackError(f"The folder {folder} holds several kinds: {names}; move one kind elsewhere.")
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


class PictureFile:
    """An open file of one picture or several, called pages.

    Attributes:
        hidden: number of pages before those that belong to the clip: an APNG may begin with a picture for
            programs that show no others.
    """

    def __init__(self, path: Path, pages: Any) -> None:
        self.path, self._pages = path, pages
        self.hidden = int(bool(pages.metadata(index=0).get("default_image")))

    @property
    def count(self) -> int:
        """Number of pages that belong to the clip; the preview in a phone's JPEG ("mp" for MPO) is none."""
        if "mp" in self._pages.metadata(index=0):
            return 1
        return (self._pages.properties(index=...).n_images or 1) - self.hidden

    def pixels(
        self, number: int = 0, mode: Callable[[Mapping[str, Any]], str | None] | None = None
    ) -> NDArray[Any]:
        """``(H, W)`` or ``(H, W, C)``, upright by EXIF; the size is checked before a page is decoded.

        Args:
            mode: gives from a page's information (``mode``, ``transparency``, …) the one of Pillow's modes in
                which its pixels are wanted; None for that of the file. By default colours of all their bits.
        """
        page = number + self.hidden
        height, width = self._pages.properties(index=page).shape[:2]
        check_size(self.path, width, height)
        info = self._pages.metadata(index=page)
        pixels = self._pages.read(index=page, mode=(mode or _colours)(info))
        if mode is None and pixels.ndim == 3 and _is_deep(self.path, info):  # of which Pillow keeps 8 bits
            pixels = iio.imread(self.path, index=page, plugin="opencv", flags=cv2.IMREAD_UNCHANGED)
        # Only now, since Pillow turns TIFFs by itself when it decodes them.
        orientation = self._pages.metadata(index=page, exclude_applied=False).get("Orientation", 1)
        if orientation in (5, 6, 7, 8):
            pixels = pixels.swapaxes(0, 1)
        mirror_x, mirror_y = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
        return np.ascontiguousarray(pixels[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])

    def duration_s(self, number: int) -> Fraction:
        """How long a page that was just decoded is shown; those of a TIFF say nothing of it."""
        info = self._pages.metadata(index=number + self.hidden)
        milliseconds = Fraction(info.get("duration") or 0).limit_denominator(1000)
        return milliseconds / 1000 or (1 / FOLDER_FPS if "compression" in info else UNTIMED_S)


@contextmanager
def opened_pictures(path: Path) -> Iterator[PictureFile]:
    """A file of pictures; whatever fails while it is open becomes one sentence, a LangTrackError: not a
    picture, damaged, or larger than ``MAX_SIDE``."""
    try:
        if not begins_like_a_picture(path):
            raise ValueError("no picture begins like this")
        with iio.imopen(path, "r", plugin="pillow") as pages:
            yield PictureFile(path, pages)
    except LangTrackError:
        raise
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise LangTrackError(f"{path} {DAMAGED}") from error


def _colours(info: Mapping[str, Any]) -> str | None:
    if info["mode"][0] in "IF":
        return None
    alpha = info["mode"] in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in info
    return "RGBA" if alpha else "RGB"


def _is_deep(path: Path, info: Mapping[str, Any]) -> bool:
    """A PNG or TIFF whose colours have 16 bits each."""
    bits = info.get("BitsPerSample")
    if bits is None:
        with path.open("rb") as stream:
            head = stream.read(25)
        bits = head[24:] if head.startswith(b"\x89PNG") else b""
    return 16 in (bits if isinstance(bits, bytes | tuple) else (bits,))


def as_rgb(pixels: NDArray[Any], levels: Levels | None) -> RGB:
    """Pixels of a `PictureFile` as RGB, alpha over black; without levels, deep ones by their own."""
    pixels = np.atleast_3d(pixels)
    if pixels.dtype != np.uint8:
        levels = levels or Levels.of([pixels]) or Levels(0.0, 1.0)
        pixels = np.dstack([levels(pixels[..., :3]), (pixels[..., 3:] // 256).astype(np.uint8)])
    return over_black(pixels) if pixels.shape[2] == 4 else pixels.repeat(3 // pixels.shape[2], axis=2)


class Levels(NamedTuple):
    """How values become 8 bits: ``low`` is 0, ``low + span`` would be 256; whole numbers have an int span."""

    low: float
    span: float

    @classmethod
    def of(cls, pictures: Iterable[NDArray[Any]]) -> Levels | None:
        """What fits the values of all pictures; None where they have 8 bits.

        Whole numbers from 0 on have as many bits as the largest needs, an even number; numbers with a point
        are taken as they are between 0 and 1; everything else is spread between its ends."""
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


# --- clips ------------------------------------------------------------------------------------------------


def find_pictures(path: Path) -> Pictures | None:
    """The pictures of a folder, or of a file, whatever its suffix; None when the file holds something else.
    LangTrackError for a folder without pictures, or a damaged one."""
    if path.is_dir():
        return Pictures(tuple(pictures_in(path)))
    # JPEGs one behind the other are a video; only the name tells it from a picture.
    if path.suffix.lower() in (".mjpeg", ".mjpg") or not begins_like_a_picture(path):
        return None
    with opened_pictures(path) as file:
        return Pictures((path,), file.count)


@dataclass(frozen=True)
class Pictures:
    """The pictures of a clip: those of a folder, a single one, or all in one file.

    Attributes:
        paths: a file for each picture, or the one that holds them all.
        in_file: number of pictures of that one.
    """

    paths: tuple[Path, ...]
    in_file: int = 1

    @property
    def animated(self) -> bool:
        return self.in_file > 1

    @property
    def count(self) -> int:
        return self.in_file if self.animated else len(self.paths)

    @cached_property
    def levels(self) -> Levels | None:
        """How deep pictures are brought to 8 bits, the same for all of the clip."""
        return Levels.of(self._pixels(range(0, self.count, max(1, self.count // SAMPLED))))

    def first(self) -> tuple[RGB, Fraction]:
        """The first picture, and how many there are in a second, in an animation by its first `SAMPLED`."""
        with opened_pictures(self.paths[0]) as file:
            rgb, durations = as_rgb(file.pixels(), self.levels), list[Fraction]()
            with suppress(Exception):  # damaged files make decoders raise nearly anything
                for number in range(min(self.count, SAMPLED) if self.animated else 0):
                    if number:  # the first one was just decoded
                        file.pixels(number)
                    durations.append(file.duration_s(number))
            return rgb, Fraction(len(durations)) / sum(durations) if durations else FOLDER_FPS

    @property
    def notes(self) -> tuple[str, ...]:
        if self.levels is None:
            return ()
        low, high = self.levels.low, sum(self.levels) - isinstance(self.levels.span, int)
        return (f"Its pictures have over 8 bits: values {low:g} to {high:g} become black to white.",)

    def frames(self, indices: range, on_damage: OnDamage = log_damage) -> Generator[Frame]:
        """The pictures at ``indices``, in that order: forward or backward, of an animation forward only.
        ``on_damage`` is called with a sentence after its last one if it ends early; LangTrackError when a
        picture cannot be read, or is of another size than the first."""
        shape = as_rgb(next(self._pixels(range(1))), self.levels).shape
        pictures = self._animation(indices, on_damage) if self.animated else self._stills(indices)
        for index, time_s, pixels in pictures:
            rgb = as_rgb(pixels, self.levels)
            if rgb.shape != shape:
                name = self.paths[0 if self.animated else index].name
                raise LangTrackError(
                    f"{name} is {rgb.shape[1]}x{rgb.shape[0]}, but {self.paths[0].name} is "
                    f"{shape[1]}x{shape[0]}; all pictures of a clip must have one size."
                )
            yield Frame(index, time_s, rgb)

    def _pixels(self, indices: range) -> Iterator[NDArray[Any]]:
        if not self.animated:
            yield from (pixels for _, _, pixels in self._stills(indices))
            return
        with opened_pictures(self.paths[0]) as file:
            yield from map(file.pixels, indices)

    def _stills(self, indices: range) -> Iterator[tuple[int, float, NDArray[Any]]]:
        for index in indices:
            path = self.paths[index]
            with opened_pictures(path) as file:
                pixels, several = file.pixels(), file.count > 1
            if several and len(self.paths) > 1:
                raise LangTrackError(f"{path} holds several pictures; give it alone, as the video.")
            yield index, float(index / FOLDER_FPS), pixels

    def _animation(self, indices: range, on_damage: OnDamage) -> Iterator[tuple[int, float, NDArray[Any]]]:
        path, time_s = self.paths[0], Fraction(0)
        with opened_pictures(path) as file:
            for index in range(indices.stop):
                try:
                    pixels = file.pixels(index)
                except Exception:  # damaged files make decoders raise nearly anything
                    if index <= indices.start:
                        raise
                    on_damage(f"{path.name} ends early: {index} of {self.count} pictures could be read.")
                    return
                if index in indices:
                    yield index, float(time_s), pixels
                time_s += file.duration_s(index)


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
