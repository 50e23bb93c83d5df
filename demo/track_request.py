"""Checks of what a page or a caller sent, with a `TrackRequest` or a sentence about the mistake as result."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from langtrack_core.geometry import FloatArray
from langtrack_core.types import LangTrackError, Query, check_box
from langtrack_core.video import VideoInfo, probe
from langtrack_lab.files import plain_name

from .annotation.checks import whole_number
from .settings import Settings

if TYPE_CHECKING:
    from langtrack_core.pipeline import LangTracker

MAX_EVERY = 30
"""Largest stride of the language branch, in frames, that the page offers: about a second of video. Things
move too far in a longer time."""
MAX_COMPARED = 6
"""Largest number of expressions in a comparison: as many fit on a page, and each costs as much as a run."""


@dataclass(frozen=True)
class TrackRequest:
    """A checked request to follow one target or several through one decoding of a video.

    Attributes:
        queries: one for each target, all with the same start frame.
        every: the language branch looks at every that many frames.
        backward: from the start frame to the first.
        end: the frame before which the pass ends; None for the end of the clip, or its beginning.
        unknown_words: words of the expressions that the vocabulary lacks.
    """

    info: VideoInfo
    queries: tuple[Query, ...]
    every: int = 1
    backward: bool = False
    unknown_words: tuple[str, ...] = ()
    end: int | None = None

    @property
    def start(self) -> int:
        return self.queries[0].start

    @property
    def clip_name(self) -> str:
        """Name of the clip for file names: letters, digits, "-" and "_"."""
        return plain_name(self.info.path.stem, "clip")

    @property
    def direction(self) -> str:
        """What the manifest of a run says: "forward" or "backward"."""
        return "backward" if self.backward else "forward"

    @property
    def frames_expected(self) -> int:
        """Frames of the pass, as far as the file knows how many it has."""
        left = self.start + 1 if self.backward else max(self.info.frames_estimate - self.start, 1)
        return left if self.end is None else min(left, abs(self.end - self.start))

    def ends_before(self, frame: int) -> bool:
        """Whether the pass has come to its end, so that a frame is not its own any more."""
        return self.end is not None and (frame <= self.end if self.backward else frame >= self.end)

    @property
    def title(self) -> str:
        """Names of all targets, for people."""
        names = [f"“{query.text}”" if query.text else "The object in your box" for query in self.queries]
        counts = Counter(names)
        return ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in counts.items())


def open_video(path: str | Path | None, settings: Settings) -> VideoInfo:
    """Probe an upload and check it against the server's limits.

    Raises:
        LangTrackError: there is no file, it is not a video, or it is above a limit.
    """
    upload = check_file(path, settings)
    try:
        info = probe(upload)
    except LangTrackError as error:
        raise LangTrackError(without_paths(str(error))) from error
    check_limits(info, settings)
    return info


def check_file(path: str | Path | None, settings: Settings) -> Path:
    """The path of a clip that this server takes.

    Args:
        path: a `Path` only where this server has found the clip itself; what a caller sent stays text.

    Raises:
        LangTrackError: there is no file, or it is too large.
    """
    if not path:
        raise LangTrackError("Choose a video first, or click one of the examples.")
    if isinstance(path, Path) and path.is_dir():
        return path  # of frames, in a list of clips; what comes from outside is text, and never a folder
    if not Path(path).is_file():
        raise LangTrackError("The video is not on the server any more; choose it again.")
    size_mb = Path(path).stat().st_size / 1e6
    if size_mb > settings.max_file_mb:
        raise LangTrackError(
            f"The file has {size_mb:.0f} MB; this server takes up to {settings.max_file_mb} MB."
        )
    return Path(path)


def check_limits(info: VideoInfo, settings: Settings) -> None:
    """Check a clip against the server's limits.

    Raises:
        LangTrackError: the clip is too large in pixels, too long in frames or in seconds.
    """
    if max(info.width, info.height) > settings.max_side:
        raise LangTrackError(
            f"The video is {info.width}x{info.height}; this server takes up to {settings.max_side} pixels "
            "on the longest side. Scale it down and try again."
        )
    if info.frames_estimate > settings.max_frames:
        raise LangTrackError(
            f"The clip has {info.frames_estimate} frames; this server takes up to {settings.max_frames}. "
            "Cut it and try again."
        )
    if info.duration_s is not None and info.duration_s > settings.max_seconds:
        raise LangTrackError(
            f"The clip lasts {info.duration_s:.0f} seconds; this server takes up to "
            f"{settings.max_seconds:g}. Cut it and try again."
        )


def limits_text(settings: Settings) -> str:
    """The limits of `check_file` and `check_limits` in a line, for a page without a clip."""
    seconds = settings.max_seconds
    length = f"{seconds:g} seconds" if seconds < 120 else f"{seconds / 60:.4g} minutes"
    return f"Up to {settings.max_file_mb} MB, {length}, {settings.max_side} pixels a side."


def check_request(
    tracker: LangTracker,
    settings: Settings,
    video: str | Path | None,
    text: str | None = "",
    box: str | None = "",
    start: float | None = 0,
    every: float | None = 1,
) -> TrackRequest:
    """Check everything that can be checked before computing.

    Whether the clip reaches the start frame is known only after decoding: files claim wrong numbers of
    frames.

    Args:
        video: path of the upload, as Gradio hands it over.
        text: referring expression; may be empty when there is a box.
        box: "x1,y1,x2,y2" in pixels of the start frame; may be empty.
        start: index of the first frame.
        every: the language branch looks at every that many frames.

    Raises:
        LangTrackError: with one sentence for the user.
    """
    info = open_video(video, settings)
    words = (text or "").strip()
    box_xyxy = parse_box(box)
    if not words and box_xyxy is None:
        raise LangTrackError("Say what to follow, for example “the white car on the left”.")
    first = whole_number(start if start is not None else 0, "The start frame")
    query = Query(words or None, box_xyxy, first, hold=box_xyxy is not None)
    if box_xyxy is not None:
        check_box(box_xyxy, (info.height, info.width))
    unknown = tracker.read_text(words).unknown if words else ()
    stride = whole_number(
        every if every is not None else 1, "The stride of the language branch", 1, MAX_EVERY
    )
    return TrackRequest(info, (query,), stride, unknown_words=tuple(unknown))


def different_texts(texts: Sequence[Any]) -> list[str]:
    """The expressions of a comparison: blank ones and repeated ones are left out.

    Raises:
        LangTrackError: less than two are left, or more than `MAX_COMPARED`.
    """
    words = list(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
    if not 2 <= len(words) <= MAX_COMPARED:
        raise LangTrackError(f"Give 2 to {MAX_COMPARED} different expressions to compare, got {len(words)}.")
    return words


def join_requests(requests: Sequence[TrackRequest]) -> TrackRequest:
    """Make one request for all targets of several requests for the same video."""
    queries = tuple(query for request in requests for query in request.queries)
    unknown = tuple(dict.fromkeys(word for request in requests for word in request.unknown_words))
    return replace(requests[0], queries=queries, unknown_words=unknown)


def parse_box(text: str | None) -> FloatArray | None:
    """Read four numbers, separated by commas or blanks; None when there is nothing but blanks.

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


_WORD = r"[^\s/:.,;!?'\"()“”]+"
_FOLDERS = rf"/(?:(?:[^\s/:]+|{_WORD}(?: {_WORD})+)/)+(?=[^\s/:])"
"""Pattern of the folders in a path of other systems. A name with blanks has no sign of a sentence in it."""
_WINDOWS_FOLDERS = r'[A-Za-z]:\\(?:[^\\/:*?"<>|\n]+\\)*'
"""Pattern of the drive and the folders in a path of Windows."""


def without_paths(text: str) -> str:
    """The sentence with file names instead of paths: where the server keeps files is not for visitors."""
    return re.sub(rf"(?<![\w.])(?:{_WINDOWS_FOLDERS}|{_FOLDERS})", "", text)
