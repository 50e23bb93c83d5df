"""Look at a video, and decode it from its first frame to its last, whatever holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from ..types import Frame
from .decoding import check_start, decoded, duration_s, existing, frame_rate, log_damage, opened
from .pictures import FOLDER_FPS, find_pictures, picture_frames, read_picture
from .to_rgb import RGBConverter


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself.

    Attributes:
        path: the file or folder.
        width, height: pixels of the upright picture.
        fps: exact frame rate, the average one when it varies; ``FOLDER_FPS`` for pictures.
        frames_estimate: the container's claim, often wrong; None where it makes none.
        duration_s: length in seconds; None if unknown.
        rotation_deg: clockwise turn that was applied to make the picture upright: 0, 90, 180 or 270.
        kind: "folder" also for a single picture.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frames_estimate: int | None
    duration_s: float | None
    rotation_deg: int
    kind: Literal["video", "folder", "gif"]


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Look at a video without reading it: the header and the first picture.

    Raises:
        LangTrackError: missing, empty, no video, sound only, no picture that decodes, or too large.
    """
    path = existing(path)
    if (pictures := find_pictures(path)) is not None:
        height, width = read_picture(pictures[0]).shape[:2]
        count = len(pictures)
        return VideoInfo(path, width, height, FOLDER_FPS, count, float(count / FOLDER_FPS), 0, "folder")
    with opened(path) as (container, stream):
        _, first = next(decoded(path, container, stream))
        to_rgb = RGBConverter(first)
        width, height = to_rgb.size_wh
        fps, length_s = frame_rate(stream), duration_s(container, stream)
        frames = stream.frames or (round(length_s * fps) if length_s else None)
        kind: Literal["gif", "video"] = "gif" if container.format.name == "gif" else "video"
        return VideoInfo(path, width, height, fps, frames, length_s, to_rgb.rotation_deg, kind)


def read_frames(
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    on_damage: Callable[[str], None] = log_damage,
) -> Generator[Frame]:
    """Decode a video lazily, a frame at a time.

    Args:
        path: video file, GIF, picture, or folder of pictures (natural order, all of one size).
        start: index of the first frame given. Earlier ones are decoded and dropped: seeking is not exact.
        on_damage: called with one sentence after the last frame of a file that is damaged or ends early. All
            frames that decode are given first; raise from here to make damage fatal.

    Yields:
        Frames with the index they have in the video and their time from its first frame.

    Raises:
        LangTrackError: as ``probe``; ``start`` is past the end; a broken picture in a folder.
    """
    if start < 0:
        raise ValueError(f"need start >= 0, got {start}")
    path = existing(path)
    if (pictures := find_pictures(path)) is not None:
        check_start(path, start, len(pictures))
        return picture_frames(pictures, range(start, len(pictures)))
    return _video_frames(path, start, on_damage)


def _video_frames(path: Path, start: int, on_damage: Callable[[str], None]) -> Generator[Frame]:
    with opened(path) as (container, stream):
        to_rgb: RGBConverter | None = None
        count = 0
        for index, (time_s, picture) in enumerate(decoded(path, container, stream, on_damage)):
            to_rgb = to_rgb or RGBConverter(picture)
            count = index + 1
            if index >= start:
                yield Frame(index, time_s, to_rgb(picture))
        check_start(path, start, count)
