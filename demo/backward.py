"""Frames last one first, without keeping the video in memory.

A first pass decodes up to the frame where to begin and notes every picture's time stamp and the key frames.
Then the stretches between key frames are decoded one by one from the last to the first, each by seeking to
its key frame. A stretch that is too large for the memory is decoded several times, a part of it each time.
What a seek gives is checked against the time stamps; a file that seeks wrongly (or cannot, as GIF) is
decoded from its beginning instead, which is slow and right.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import av

from langtrack_core.types import Frame
from langtrack_core.video.pictures import RGB, Pictures, find_pictures
from langtrack_core.video.reader import check_start, decoded, existing, opened
from langtrack_core.video.to_rgb import RGBConverter

MEMORY_BYTES = 200_000_000
"""Decoded pictures kept at a time: 290 frames of 640x360, 32 of 1920x1080."""


class _Stamp(NamedTuple):
    """When a picture is shown: in seconds, and in ticks of its stream; ``key``: it needs no other picture."""

    time_s: float
    pts: int | None
    key: bool


def read_backward(
    path: str | os.PathLike[str],
    *,
    start: int,
    memory_bytes: int = MEMORY_BYTES,
) -> Generator[Frame]:
    """The frames ``start``, ``start - 1``, … 0 of a video, each equal to the one that `read_frames` gives.

    Args:
        path: video file, GIF, or folder of pictures.
        start: index of the first frame given.
        memory_bytes: how much the decoded pictures kept at a time may take; one is kept in any case.

    Raises:
        LangTrackError: as `read_frames`; ``start`` is past the end.
    """
    if start < 0 or memory_bytes < 1:
        raise ValueError(f"need start >= 0 and memory_bytes >= 1, got {start}, {memory_bytes}")
    path = existing(path)
    if (pictures := find_pictures(path)) is not None:
        check_start(path, start, pictures.count)
        if not pictures.animated:
            return pictures.frames(range(start, -1, -1))
        return _animation_backward(pictures, start, memory_bytes)
    return _video_backward(path, start, memory_bytes)


def _animation_backward(pictures: Pictures, start: int, memory_bytes: int) -> Generator[Frame]:
    room = max(1, memory_bytes // pictures.first()[0].nbytes)
    for end in range(start, -1, -room):
        yield from reversed(list(pictures.frames(range(max(0, end - room + 1), end + 1), lambda text: None)))


def _video_backward(path: Path, start: int, memory_bytes: int) -> Generator[Frame]:
    with opened(path) as (container, stream):
        stamps: list[_Stamp] = []
        to_rgb: RGBConverter | None = None
        for time_s, picture in islice(decoded(path, container, stream, lambda text: None), start + 1):
            to_rgb = to_rgb or RGBConverter(picture)
            stamps.append(_Stamp(time_s, picture.pts, picture.key_frame))
        check_start(path, start, len(stamps))
    assert to_rgb is not None
    width, height = to_rgb.size_wh
    room = max(1, memory_bytes // (width * height * 3))
    for first, last in _stretches(stamps):
        for end in range(last, first - 1, -room):
            begin = max(first, end - room + 1)
            pictures = _by_seeking(path, stamps, first, begin, end, to_rgb)
            if pictures is None:
                pictures = _from_the_beginning(path, begin, end, to_rgb)
            for index in range(end, begin - 1, -1):
                yield Frame(index, stamps[index].time_s, pictures.pop())


def _stretches(stamps: list[_Stamp]) -> Iterator[tuple[int, int]]:
    """First and last index between key frames, last stretch first."""
    last = len(stamps) - 1
    for index in range(len(stamps) - 1, -1, -1):
        if stamps[index].key or index == 0:
            yield index, last
            last = index - 1


def _by_seeking(
    path: Path, stamps: list[_Stamp], key: int, begin: int, end: int, to_rgb: RGBConverter
) -> list[RGB] | None:
    """The frames ``begin`` to ``end`` after the key frame ``key``; None when the file does not seek so."""
    ticks = [stamp.pts for stamp in stamps[key : end + 1]]
    if None in ticks or any(a >= b for a, b in pairwise(ticks)):  # type: ignore[operator]
        return None
    pictures: list[RGB] = []
    with opened(path) as (container, stream):
        try:
            container.seek(ticks[0], stream=stream, backward=True)  # type: ignore[arg-type]
            expected = key
            for picture in container.decode(stream):
                if picture.pts is None or (expected == key and picture.pts < ticks[0]):  # type: ignore[operator]
                    continue  # left over from before the key frame
                if picture.pts != stamps[expected].pts:
                    return None
                if expected >= begin:
                    pictures.append(to_rgb(picture))
                if expected == end:
                    return pictures
                expected += 1
        except (av.FFmpegError, OSError):
            return None
    return None


def _from_the_beginning(path: Path, begin: int, end: int, to_rgb: RGBConverter) -> list[RGB]:
    with opened(path) as (container, stream):
        pictures = islice(decoded(path, container, stream, lambda text: None), begin, end + 1)
        return [to_rgb(picture) for _, picture in pictures]
