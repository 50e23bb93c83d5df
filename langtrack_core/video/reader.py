"""Look at a video and decode it, whatever holds it.

Files are read by PyAV. Its demuxers are limited to real containers, so that an uploaded playlist or script
cannot make it open other files or hosts.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from av.container.core import Flags as ContainerFlags
from av.stream import Disposition

from ..types import Frame, LangTrackError
from .pictures import check_size, find_pictures, fitted_wh, read_picture
from .to_rgb import RGBConverter

FOLDER_FPS = Fraction(25)
"""Frame rate of a folder of pictures, which says nothing of its own."""

_DEMUXERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,mxf,nut,ivf,dv,rm,m4v,h264,hevc,mjpeg,"
    "yuv4mpegpipe,"
    "mp3,aac,wav,flac,aiff,ac3,amr"  # so that a sound file is called a sound file
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself.

    Attributes:
        path: the file or folder.
        width, height: pixels of the upright picture.
        fps: exact frame rate, the average one when it varies; ``FOLDER_FPS`` for pictures.
        frames_estimate: the container's claim, often wrong (``count_frames`` is exact); None if silent.
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
    path = _existing(path)
    if (pictures := find_pictures(path)) is not None:
        height, width = read_picture(pictures[0]).shape[:2]
        count = len(pictures)
        return VideoInfo(path, width, height, FOLDER_FPS, count, float(count / FOLDER_FPS), 0, "folder")
    with _opened(path) as (container, stream):
        _, first = next(_decoded(path, container, stream))
        upright = RGBConverter(first, None)
        width, height = upright.size_wh
        fps, duration_s = _rate(stream), _duration_s(container, stream)
        frames = stream.frames or (round(duration_s * fps) if duration_s else None)
        kind: Literal["gif", "video"] = "gif" if container.format.name == "gif" else "video"
        return VideoInfo(path, width, height, fps, frames, duration_s, upright.rotation_deg, kind)


def count_frames(path: str | os.PathLike[str]) -> int:
    """Exact number of frames that ``read_frames`` gives, by decoding them all.

    Raises:
        LangTrackError: as ``probe``.
    """
    path = _existing(path)
    if (pictures := find_pictures(path)) is not None:
        return len(pictures)
    with _opened(path) as (container, stream):
        return sum(1 for _ in _decoded(path, container, stream))


def read_frames(
    path: str | os.PathLike[str],
    *,
    max_side: int | None = None,
    stride: int = 1,
    start: int = 0,
    on_damage: Callable[[str], None] = _log.warning,
) -> Iterator[Frame]:
    """Decode a video lazily, a frame at a time.

    Args:
        path: video file, GIF, picture, or folder of pictures (natural order, all of one size).
        max_side: shrink by area so that no side is longer, in pixels.
        stride: give every ``stride``-th frame only.
        start: index of the first frame given. Earlier ones are decoded and dropped: seeking is not exact.
        on_damage: called with one sentence after the last frame of a file that is damaged or ends early. All
            frames that decode are given first; raise from here to make damage fatal.

    Yields:
        Frames with the index they have in the video and their time from its first frame.

    Raises:
        LangTrackError: as ``probe``; ``start`` is past the end; a broken picture in a folder.
    """
    if stride < 1 or start < 0 or (max_side is not None and max_side < 1):
        raise ValueError(f"need stride >= 1, start >= 0, max_side >= 1, got {stride}, {start}, {max_side}")
    path = _existing(path)
    if (pictures := find_pictures(path)) is not None:
        return _folder_frames(path, pictures, range(start, len(pictures), stride), max_side)
    return _video_frames(path, max_side, stride, start, on_damage)


def _folder_frames(path: Path, pictures: list[Path], indices: range, max_side: int | None) -> Iterator[Frame]:
    """The pictures at ``indices``, in that order, forward or backward."""
    _check_start(path, indices.start, len(pictures))
    height, width = read_picture(pictures[0]).shape[:2]
    target_wh = fitted_wh(width, height, max_side)
    for index in indices:
        rgb = read_picture(pictures[index])
        if rgb.shape[:2] != (height, width):
            raise LangTrackError(
                f"{pictures[index].name} is {rgb.shape[1]}x{rgb.shape[0]}, but {pictures[0].name} is "
                f"{width}x{height}; all pictures of a folder must have one size."
            )
        if target_wh != (width, height):
            rgb = cv2.resize(rgb, target_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        yield Frame(index, float(index / FOLDER_FPS), rgb)


def _video_frames(
    path: Path, max_side: int | None, stride: int, start: int, on_damage: Callable[[str], None]
) -> Iterator[Frame]:
    with _opened(path) as (container, stream):
        upright: RGBConverter | None = None
        count = 0
        for index, (time_s, picture) in enumerate(_decoded(path, container, stream, on_damage)):
            upright = upright or RGBConverter(picture, max_side)
            count = index + 1
            if index >= start and (index - start) % stride == 0:
                yield Frame(index, time_s, upright(picture))
        _check_start(path, start, count)


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise LangTrackError(f"There is no file or folder {path}; check the path.")
    if path.is_file() and path.stat().st_size == 0:
        raise LangTrackError(f"{path.name} is empty (0 bytes); copy or upload it again.")
    return path


def _check_start(path: Path, start: int, count: int) -> None:
    if start >= count:
        frames = "1 frame" if count == 1 else f"{count} frames"
        raise LangTrackError(
            f"Start frame {start} is past the end: {path.name} has {frames}, counted from 0 to {count - 1}."
        )


# --- containers --------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its picture stream, checked; closed on every path."""
    try:
        # An absolute path, since FFmpeg reads "name:rest" as a protocol.
        container = av.open(
            str(path.absolute()), options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
        )
    except PermissionError as error:
        raise LangTrackError(f"{path.name} may not be read; check its permissions.") from error
    except (av.FFmpegError, OSError) as error:
        raise LangTrackError(_why_unreadable(path)) from error
    with container:
        # The cover picture of a sound file counts as a video stream, but is none.
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic.value]
        if not streams and container.streams.audio:
            raise LangTrackError(f"{path.name} holds sound but no pictures; a video is needed.")
        if not streams:
            raise LangTrackError(f"{path.name} holds no video.")
        stream = streams[0]
        if stream.codec_context is None:
            raise LangTrackError(f"No decoder knows the format of {path.name}; export it as H.264.")
        check_size(path, stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "AUTO"
        # FFmpeg's made-up time stamps may come out of order (AVI); _Clock does it better.
        container.flags &= ~ContainerFlags.gen_pts.value  # type: ignore[operator]  # mistyped by PyAV
        yield container, stream


def _why_unreadable(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" or head[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):  # MP4 or MOV; AVI; WebM or MKV
        return f"{path.name} is damaged or cut short and cannot be opened; copy or export it again."
    return f"{path.name} is not a video that can be read; MP4, MOV, WebM, MKV, AVI or GIF are."


def _decoded(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    on_damage: Callable[[str], None] = _log.warning,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """All frames that decode, each with its time; what does not is left out, and told of at the end."""
    clock = _Clock(1 / _rate(stream))
    count = 0
    damaged = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (av.FFmpegError, OSError):
            damaged = True
            break
        try:
            pictures = packet.decode()
        except av.FFmpegError:
            damaged = True
            continue
        damaged |= packet.is_corrupt
        for picture in pictures:
            damaged |= picture.is_corrupt
            count += 1
            yield clock(picture), picture
    if count == 0:
        raise LangTrackError(f"{path.name} holds no picture that can be decoded; copy or export it again.")
    end_s = clock.end_s
    length_s = _duration_s(container, stream) or 0.0
    # A long last frame is no damage, so the claimed number of frames has its say.
    short = length_s - end_s > max(0.5, 0.02 * length_s) and not 0 < stream.frames <= count
    if short:
        on_damage(f"{path.name} ends early: {count} frames could be read, {end_s:.1f} of {length_s:.1f} s.")
    elif damaged:
        on_damage(f"{path.name} is damaged: {count} frames could be read, perhaps with faults.")


def _rate(stream: av.VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= 1000:  # above, it is a clock and not a frame rate
            return rate
    return FOLDER_FPS


def _duration_s(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


class _Clock:
    """Seconds from the first frame, always rising. A frame without a usable time follows by one period."""

    def __init__(self, period: Fraction) -> None:
        self._period = period
        self._origin: Fraction | None = None
        self._next = Fraction(0)
        self._last: Fraction | None = None

    def __call__(self, picture: av.VideoFrame) -> float:
        time = self._next
        if picture.pts is not None and picture.time_base is not None:
            stamp = picture.pts * picture.time_base
            if self._origin is None:
                self._origin = stamp - time
            if self._last is None or stamp - self._origin > self._last:
                time = stamp - self._origin
        self._last, self._next = time, time + self._period
        return float(time)

    @property
    def end_s(self) -> float:
        return float(self._next)
