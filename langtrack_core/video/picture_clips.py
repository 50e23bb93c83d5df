"""Clips of pictures: the frames of a folder, a single picture, or all that are in one file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..types import Frame, LangTrackError
from .pictures import (
    FOLDER_FPS,
    RGB,
    Levels,
    as_rgb,
    begins_like_a_picture,
    decode_picture,
    decoded_page,
    log_damage,
    opened_pictures,
    pictures_in,
    wanted_colours,
)

SAMPLED = 32
"""Number of pictures, spread over a clip, whose values say how deep pictures are brought to 8 bits."""

UNTIMED_S = Fraction(1, 10)
"""Seconds that a picture of an animation is shown when its file says 0: what browsers do."""


def find_pictures(path: Path) -> Pictures | None:
    """The pictures of a folder, or of a file, whatever its suffix; None when the file holds something else.

    Raises:
        LangTrackError: a folder without pictures, a damaged picture.
    """
    if path.is_dir():
        return Pictures(tuple(pictures_in(path)))
    # JPEGs one behind the other are a video; only the name tells it from a picture.
    if path.suffix.lower() in (".mjpeg", ".mjpg") or not begins_like_a_picture(path):
        return None
    with opened_pictures(path) as file:
        # An APNG may begin with a picture for programs that show no others.
        hidden = int(bool(file.metadata(index=0).get("default_image")))
        return Pictures((path,), _count(file) - hidden, hidden)


@dataclass(frozen=True)
class Pictures:
    """The pictures of a clip: those of a folder, a single one, or all in one file.

    Attributes:
        paths: a file for each picture, or the one that holds them all.
        in_file: number of pictures of that one.
        hidden: number of pictures before them that do not belong to the clip.
    """

    paths: tuple[Path, ...]
    in_file: int = 1
    hidden: int = 0

    @property
    def animated(self) -> bool:
        return self.in_file > 1

    @property
    def count(self) -> int:
        return self.in_file if self.animated else len(self.paths)

    @cached_property
    def levels(self) -> Levels | None:
        """How deep pictures are brought to 8 bits, the same for all of the clip."""
        step = max(1, self.count // SAMPLED)
        if not self.animated:
            return Levels.of(decode_picture(path, wanted_colours) for path in self.paths[::step])
        with opened_pictures(self.paths[0]) as file:
            pages = range(self.hidden, self.hidden + self.count, step)
            return Levels.of(decoded_page(file, self.paths[0], wanted_colours, page) for page in pages)

    def first(self) -> tuple[RGB, Fraction]:
        """The first picture, and how many there are in a second."""
        with opened_pictures(self.paths[0]) as file:
            rgb = self._rgb(decoded_page(file, self.paths[0], wanted_colours, self.hidden))
            return rgb, 1 / _duration_s(file, self.hidden) if self.animated else FOLDER_FPS

    @property
    def notes(self) -> tuple[str, ...]:
        if self.levels is None:
            return ()
        low, span = self.levels
        return (f"Its pictures have over 8 bits: values {low:g} to {low + span:g} become black to white.",)

    def frames(self, indices: range, on_damage: Callable[[str], None] = log_damage) -> Generator[Frame]:
        """The pictures at ``indices``, in that order: forward or backward, of an animation forward only.

        Args:
            on_damage: called with one sentence after the last picture of an animation that ends early.

        Raises:
            LangTrackError: a picture cannot be read, or is of another size than the first.
        """
        shape: tuple[int, ...] = ()
        pictures = self._animation(indices, on_damage) if self.animated else self._stills(indices)
        for index, time_s, pixels in pictures:
            rgb = self._rgb(pixels)
            if not shape:
                shape = rgb.shape if index == 0 or self.animated else self.first()[0].shape
            if rgb.shape != shape:
                name = self.paths[0 if self.animated else index].name
                raise LangTrackError(
                    f"{name} is {rgb.shape[1]}x{rgb.shape[0]}, but {self.paths[0].name} is "
                    f"{shape[1]}x{shape[0]}; all pictures of a clip must have one size."
                )
            yield Frame(index, time_s, rgb)

    def _stills(self, indices: range) -> Iterator[tuple[int, float, NDArray[Any]]]:
        for index in indices:
            path = self.paths[index]
            with opened_pictures(path) as file:
                pixels = decoded_page(file, path, wanted_colours, 0)
                several = _count(file) > 1
            if several and len(self.paths) > 1:
                raise LangTrackError(f"{path} holds several pictures; give it alone, as the video.")
            yield index, float(index / FOLDER_FPS), pixels

    def _animation(
        self, indices: range, on_damage: Callable[[str], None]
    ) -> Iterator[tuple[int, float, NDArray[Any]]]:
        time_s = Fraction(0)
        with opened_pictures(self.paths[0]) as file:
            for index in range(indices.stop):
                page = index + self.hidden
                try:
                    pixels = decoded_page(file, self.paths[0], wanted_colours, page)
                except Exception:  # damaged files make decoders raise nearly anything
                    if index <= indices.start:
                        raise
                    on_damage(
                        f"{self.paths[0].name} ends early: {index} of {self.count} pictures could be read."
                    )
                    return
                if index in indices:
                    yield index, float(time_s), pixels
                time_s += _duration_s(file, page)

    def _rgb(self, pixels: NDArray[Any]) -> RGB:
        return as_rgb(pixels, self.levels)


def _count(file: Any) -> int:
    """Number of pictures in a file; the preview in a phone's JPEG ("mp" for MPO) is none."""
    return 1 if "mp" in file.metadata(index=0) else file.properties(index=...).n_images or 1


def _duration_s(file: Any, page: int) -> Fraction:
    """How long a picture that was just decoded is shown; the pages of a TIFF say nothing of it."""
    info = file.metadata(index=page)
    milliseconds = Fraction(info.get("duration") or 0).limit_denominator(1000)
    return milliseconds / 1000 or (1 / FOLDER_FPS if "compression" in info else UNTIMED_S)
