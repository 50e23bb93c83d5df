"""From what a page or a caller sent to a `TrackRequest`, or to one sentence that says what to change."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from langtrack_core.checks import whole_number
from langtrack_core.files import plain_name
from langtrack_core.geometry import FloatArray
from langtrack_core.types import Estimate, Frame, LangTrackError, Query, Step, check_box
from langtrack_core.video import VideoInfo, probe

from .settings import Settings

MAX_EVERY = 30
"""Largest stride of the language branch that the page offers."""
MAX_COMPARED = 6
"""Expressions that are followed through one decoding."""


class Encoded(Protocol):
    @property
    def unknown(self) -> tuple[str, ...]: ...


class Tracker(Protocol):
    """What the demo needs of `LangTracker`; tests put another one in its place."""

    info: Any

    def read_text(self, text: str) -> Encoded: ...

    def track(
        self, frames: Iterable[Frame], query: Query, *, every: int = 1, backward: bool = False
    ) -> Generator[Step]: ...

    def track_all(
        self, frames: Iterable[Frame], queries: Sequence[Query], *, every: int = 1, backward: bool = False
    ) -> Generator[tuple[Step, ...]]: ...

    def segment(self, frame: Frame, text: str, *, every_region: bool = False) -> Estimate: ...


@dataclass(frozen=True)
class TrackRequest:
    """A checked request.

    Attributes:
        name: the clip's name in file names; letters, digits, "-" and "_".
        every: the language branch looks at every that many frames.
        unknown: words of the expressions that the vocabulary lacks.
        others: further queries of the same start frame, followed through the same decoding.
        backward: from the start frame to the first.
    """

    info: VideoInfo
    name: str
    query: Query
    every: int
    unknown: tuple[str, ...] = ()
    others: tuple[Query, ...] = ()
    backward: bool = False

    @property
    def queries(self) -> tuple[Query, ...]:
        return (self.query, *self.others)

    @property
    def frames_expected(self) -> int | None:
        return frames_expected(self.info, self.query.start, backward=self.backward)

    @property
    def title(self) -> str:
        """What is followed, for people."""
        said = [f"“{query.text}”" if query.text else "The object in your box" for query in self.queries]
        return ", ".join(said)


def frames_expected(info: VideoInfo, start: int, *, backward: bool) -> int | None:
    """Frames of a pass from ``start`` on; None when the file does not say how many it has."""
    if backward:
        return start + 1
    total = info.frames_estimate
    return None if total is None else max(total - start, 1)


def open_video(path: str | None, settings: Settings) -> VideoInfo:
    """Look at an upload and hold it against the server's limits.

    Raises:
        LangTrackError: nothing chosen, not a video, or above a limit.
    """
    if not path:
        raise LangTrackError("Choose a video first, or click one of the examples.")
    if not Path(path).is_file():
        raise LangTrackError("The video is not on the server any more; choose it again.")
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
    if info.frames_estimate is not None and info.frames_estimate > settings.max_frames:
        raise LangTrackError(
            f"The clip has {info.frames_estimate} frames; this server takes up to {settings.max_frames}. "
            "Cut it and try again."
        )
    if info.duration_s is not None and info.duration_s > settings.max_seconds:
        raise LangTrackError(
            f"The clip lasts {info.duration_s:.0f} seconds; this server takes up to "
            f"{settings.max_seconds:g}. Cut it and try again."
        )
    return info


def check_request(
    tracker: Tracker,
    settings: Settings,
    path: str | None,
    text: str | None,
    box: str | None,
    start: float | None,
    every: float | None,
) -> TrackRequest:
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
    first = whole_number(start if start is not None else 0, "The start frame")
    query = Query(words or None, box_xyxy, first)
    if box_xyxy is not None:
        check_box(box_xyxy, (info.height, info.width))
    unknown = tracker.read_text(words).unknown if words else ()
    stride = whole_number(every if every is not None else 1, "The language cadence", 1, MAX_EVERY)
    return TrackRequest(info, plain_name(info.path.stem, "clip"), query, stride, tuple(unknown))


def check_comparison(
    tracker: Tracker,
    settings: Settings,
    path: str | None,
    texts: Sequence[str],
    start: float | None,
    every: float | None,
) -> TrackRequest:
    """Several expressions on one video, each a target of its own; blank ones are left out.

    Raises:
        LangTrackError: as `check_request`; less than two different expressions, or more than `MAX_COMPARED`.
    """
    words = list(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
    if not 2 <= len(words) <= MAX_COMPARED:
        raise LangTrackError(f"Give 2 to {MAX_COMPARED} different expressions to compare, got {len(words)}.")
    tasks = [check_request(tracker, settings, path, text, "", start, every) for text in words]
    unknown = tuple(dict.fromkeys(word for task in tasks for word in task.unknown))
    return replace(tasks[0], others=tuple(task.query for task in tasks[1:]), unknown=unknown)


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


def without_paths(text: str) -> str:
    """The sentence with file names for absolute paths; where the server keeps its files is its own affair."""
    return re.sub(r"(?<![\w.])/(?:[^\s/:]+/)+(?=[^\s/:])", "", text)
