"""Frames last one first, without keeping the video in memory.

A first pass decodes up to the frame where to begin and notes every picture's time stamp and the key frames.
Then the stretches between key frames are decoded one by one from the last to the first, each by seeking to
its key frame. A stretch that is too large for the memory is decoded several times, a part kept each time.
What a seek gives is checked against the noted stamps; a file that seeks wrongly (or cannot, as GIF) is
decoded from its beginning instead, which is slow and right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import av

from ..types import Frame
from .pictures import RGB, find_pictures
from .reader import _check_start, _decoded, _existing, _folder_frames, _opened
from .to_rgb import RGBConverter

MEMORY_BYTES = 200_000_000
"""Decoded pictures kept at a time: 290 frames of 640x360, 32 of 1920x1080."""


class _Noted(NamedTuple):
    """Of one picture, by its index: presentation time in seconds, time stamp in the stream's ticks."""

    time_s: float
    pts: int | None
    key: bool


def read_backward(
    path: str | os.PathLike[str],
    *,
    start: int,
    max_side: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[Frame]:
    """The frames ``start``, ``start - 1``, … 0 of a video, each equal to the one that `read_frames` gives.

    Args:
        path: video file, GIF, or folder of pictures.
        start: index of the first frame given.
        max_side: shrink by area so that no side is longer, in pixels.
        memory_bytes: how much the decoded pictures kept at a time may take; one is kept in any case.

    Raises:
        LangTrackError: as `read_frames`; ``start`` is past the end.
    """
    if start < 0 or memory_bytes < 1 or (max_side is not None and max_side < 1):
        raise ValueError(f"need start >= 0, memory_bytes and max_side >= 1, got {start}, {memory_bytes}")
    path = _existing(path)
    if (pictures := find_pictures(path)) is not None:
        return _folder_frames(path, pictures, range(start, -1, -1), max_side)
    return _video_backward(path, start, max_side, memory_bytes)


def _video_backward(path: Path, start: int, max_side: int | None, memory_bytes: int) -> Iterator[Frame]:
    with _opened(path) as (container, stream):
        noted: list[_Noted] = []
        upright: RGBConverter | None = None
        for time_s, picture in islice(_decoded(path, container, stream, lambda text: None), start + 1):
            upright = upright or RGBConverter(picture, max_side)
            noted.append(_Noted(time_s, picture.pts, picture.key_frame))
        _check_start(path, start, len(noted))
    assert upright is not None
    width, height = upright.size_wh
    room = max(1, memory_bytes // (width * height * 3))
    for first, last in _stretches(noted):
        for end in range(last, first - 1, -room):
            begin = max(first, end - room + 1)
            kept = _by_seeking(path, noted, first, begin, end, upright)
            if kept is None:
                kept = _from_the_beginning(path, begin, end, upright)
            for index in range(end, begin - 1, -1):
                yield Frame(index, noted[index].time_s, kept.pop())


def _stretches(noted: list[_Noted]) -> Iterator[tuple[int, int]]:
    """First and last index between key frames, last stretch first."""
    last = len(noted) - 1
    for index in range(len(noted) - 1, -1, -1):
        if noted[index].key or index == 0:
            yield index, last
            last = index - 1


def _by_seeking(
    path: Path, noted: list[_Noted], key: int, begin: int, end: int, upright: RGBConverter
) -> list[RGB] | None:
    """The frames ``begin`` to ``end`` after the key frame ``key``; None when the file does not seek so."""
    wanted = [noted[index].pts for index in range(key, end + 1)]
    if None in wanted or any(a >= b for a, b in pairwise(wanted)):  # type: ignore[operator]
        return None
    kept: list[RGB] = []
    with _opened(path) as (container, stream):
        try:
            container.seek(wanted[0], stream=stream, backward=True)  # type: ignore[arg-type]
            expected = key
            for picture in container.decode(stream):
                if picture.pts is None or (expected == key and picture.pts < wanted[0]):  # type: ignore[operator]
                    continue  # left over from before the key frame
                if picture.pts != noted[expected].pts:
                    return None
                if expected >= begin:
                    kept.append(upright(picture))
                if expected == end:
                    return kept
                expected += 1
        except (av.FFmpegError, OSError):
            return None
    return None


def _from_the_beginning(path: Path, begin: int, end: int, upright: RGBConverter) -> list[RGB]:
    with _opened(path) as (container, stream):
        pictures = islice(_decoded(path, container, stream, lambda text: None), begin, end + 1)
        return [upright(picture) for _, picture in pictures]
