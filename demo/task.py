"""From what a page or a caller sent to a checked `Task`, or to one sentence that says what to change."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from langtrack_core.geometry import FloatArray, clip_box
from langtrack_core.types import Frame, LangTrackError, Query, Step
from langtrack_core.video import VideoInfo, probe

from .settings import Settings

MAX_EVERY = 30
"""Largest stride of the language branch that the page offers."""


class Encoded(Protocol):
    @property
    def unknown(self) -> tuple[str, ...]: ...


class Tracker(Protocol):
    """What the demo needs of `LangTracker`; tests put another one in its place."""

    info: Any

    def describe(self, text: str) -> Encoded: ...

    def track(self, frames: Iterable[Frame], query: Query, *, every: int = 1) -> Iterator[Step]: ...


@dataclass(frozen=True)
class Task:
    """A checked request.

    Attributes:
        name: the clip's name in file names; letters, digits, "-" and "_".
        every: the language branch looks at every that many frames.
        unknown: words of the expression that the vocabulary lacks.
    """

    info: VideoInfo
    name: str
    query: Query
    every: int
    unknown: tuple[str, ...] = ()

    @property
    def frames_expected(self) -> int | None:
        total = self.info.frames_estimate
        return None if total is None else max(total - self.query.start, 1)


def open_video(path: str | None, settings: Settings) -> VideoInfo:
    """Look at an upload and hold it against the server's limits.

    Raises:
        LangTrackError: nothing chosen, not a video, or above a limit.
    """
    if not path:
        raise LangTrackError("Choose a video first, or click one of the examples.")
    size_mb = Path(path).stat().st_size / 1e6
    if size_mb > settings.max_file_mb:
        raise LangTrackError(
            f"The file has {size_mb:.0f} MB; this server takes up to {settings.max_file_mb} MB."
        )
    try:
        info = probe(path)
    except LangTrackError as error:
        raise LangTrackError(without_paths(str(error))) from error
    if max(info.width, info.height) > settings.max_side:
        raise LangTrackError(
            f"The video is {info.width}x{info.height}; this server takes up to {settings.max_side} pixels "
            "on the longest side. Scale it down and try again."
        )
    if info.duration_s is not None and info.duration_s > settings.max_seconds:
        raise LangTrackError(
            f"The clip lasts {info.duration_s:.0f} seconds; this server takes up to "
            f"{settings.max_seconds:g}. Cut it and try again."
        )
    return info


def make_task(
    tracker: Tracker,
    settings: Settings,
    path: str | None,
    text: str | None,
    box: str | None,
    start: float | None,
    every: float | None,
) -> Task:
    """Check everything that can be checked before computing.

    Whether the clip reaches the start frame cannot: files claim wrong numbers of frames, so decoding tells.

    Args:
        path: of the upload, as Gradio hands it over.
        text: referring expression; may be empty when there is a box.
        box: "x1,y1,x2,y2" in pixels of the start frame; may be empty.
        start: index of the first frame.
        every: the language branch looks at every that many frames.

    Raises:
        LangTrackError: with one sentence for the user.
    """
    info = open_video(path, settings)
    words = (text or "").strip()
    box_xyxy = parse_box(box)
    if not words and box_xyxy is None:
        raise LangTrackError("Say what to follow, for example “the white car on the left”.")
    first = _whole(start if start is not None else 0, "The start frame", 0, None)
    query = Query(words or None, box_xyxy, first)
    if box_xyxy is not None and clip_box(box_xyxy, (info.height, info.width)) is None:
        raise LangTrackError(f"The box {box} lies outside the {info.width}x{info.height} picture.")
    unknown = tracker.describe(words).unknown if words else ()
    stride = _whole(every if every is not None else 1, "The language cadence", 1, MAX_EVERY)
    return Task(info, clip_name(info.path), query, stride, tuple(unknown))


def parse_box(text: str | None) -> FloatArray | None:
    """Four numbers, separated by commas or blanks; None when there is nothing but blanks.

    Raises:
        LangTrackError: anything else than four finite numbers.
    """
    parts = re.split(r"[,;\s]+", (text or "").strip(" ,;\t\n[]()"))
    if parts == [""]:
        return None
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise LangTrackError("The box needs four numbers x1,y1,x2,y2 in pixels, for example 120,80,260,190.")
    return np.array(numbers)


def clip_name(path: Path) -> str:
    """A clip's name for our file names: at most 60 harmless characters."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:60] or "clip"


def _whole(value: float, what: str, low: int, high: int | None) -> int:
    number = float(value)
    if not number.is_integer() or number < low or (high is not None and number > high):
        span = f"a whole number from {low}" + (f" to {high}" if high is not None else " up")
        raise LangTrackError(f"{what} must be {span}, got {value:g}.")
    return int(number)


def without_paths(text: str) -> str:
    """The sentence with file names for absolute paths; where the server keeps its files is its own affair."""
    return re.sub(r"(?<![\w.])/(?:[^\s/:]+/)+(?=[^\s/:])", "", text)
