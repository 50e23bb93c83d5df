"""Look at a video, and decode it from its first frame to its last, whatever holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from ..types import Frame
from .decoding import (
    check_start,
    decoded,
    duration_s,
    existing,
    frame_rate,
    is_broadcast,
    opened,
    pieces_of,
    video_streams,
)
from .pictures import find_pictures, log_damage
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
        kind: "folder" also for a single picture; "animation": several pictures in a file of pictures.
        pixel_aspect: width of a pixel by its height; coordinates are stored pixels, whatever their shape.
        notes: what is worth knowing of how the video is read, in sentences.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frames_estimate: int | None
    duration_s: float | None
    rotation_deg: int
    kind: Literal["video", "folder", "animation"]
    pixel_aspect: Fraction = Fraction(1)
    notes: tuple[str, ...] = ()


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Look at a video without reading it: the header and the first picture.

    Raises:
        LangTrackError: missing, empty, no video, sound only, no picture that decodes, or too large.
    """
    path = existing(path)
    if (pictures := find_pictures(path)) is not None:
        rgb, fps = pictures.first()
        count, size_wh = pictures.count, (rgb.shape[1], rgb.shape[0])
        kind: Literal["animation", "folder"] = "animation" if pictures.animated else "folder"
        return VideoInfo(path, *size_wh, fps, count, float(count / fps), 0, kind, notes=pictures.notes)
    with opened(path) as (container, stream):
        _, first = next(decoded(path, container, stream))
        to_rgb = RGBConverter(first)
        fps, length_s = frame_rate(stream), duration_s(container, stream)
        frames = stream.frames or (round(length_s * fps) if length_s else None)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        notes = []
        if len(streams := video_streams(container)) > 1:
            size = f"{to_rgb.size_wh[0]}x{to_rgb.size_wh[1]}"
            notes.append(f"Of its {len(streams)} video streams number {stream.index} is read, {size}.")
        if aspect != 1:
            ratio = f"{aspect.numerator}:{aspect.denominator}"
            notes.append(f"Its pixels are {ratio}, not square; boxes are in stored pixels.")
        if first.interlaced_frame:
            notes.append("It is interlaced and read as it is; deinterlace it where moving edges matter.")
        broadcast = is_broadcast(container)
    if broadcast:
        with opened(path) as (container, stream):
            pieces = pieces_of(container, stream)
        frames, length_s = pieces.count, float(pieces.count / fps)
        if pieces.joints:
            notes.append(f"Its clock jumps ({len(pieces.joints)}x); a jump counts as one frame.")
    turned = 1 / aspect if to_rgb.rotation_deg % 180 else aspect
    return VideoInfo(
        path, *to_rgb.size_wh, fps, frames, length_s, to_rgb.rotation_deg, "video", turned, tuple(notes)
    )


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
        check_start(path, start, pictures.count)
        return pictures.frames(range(start, pictures.count), on_damage)
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
