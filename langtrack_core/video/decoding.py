"""Containers to decoded pictures, each with its time: what reading forward, backward and looking share.

Files are read by PyAV. Its demuxers are limited to real containers, so that an uploaded playlist or script
cannot make it open other files or hosts.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container.core import Flags as ContainerFlags
from av.stream import Disposition

from ..types import LangTrackError
from .pictures import FOLDER_FPS, check_size

DEMUXERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,mxf,nut,ivf,dv,rm,m4v,h264,hevc,mjpeg,"
    "yuv4mpegpipe,"
    "mp3,aac,wav,flac,aiff,ac3,amr"
)
"""FFmpeg's readers of containers that may open a file. Those of sound are there so that a message can say
that a file holds sound only; those that open other files or hosts (playlists, scripts) are left out."""

log_damage: Callable[[str], None] = logging.getLogger(__name__).warning
"""What happens to a sentence on damage where the caller does not say anything else."""


def existing(path: str | os.PathLike[str]) -> Path:
    """
    Raises:
        LangTrackError: there is nothing at the path, or an empty file.
    """
    path = Path(path)
    if not path.exists():
        raise LangTrackError(f"There is no file or folder {path}; check the path.")
    if path.is_file() and path.stat().st_size == 0:
        raise LangTrackError(f"{path.name} is empty (0 bytes); copy or upload it again.")
    return path


def check_start(path: Path, start: int, count: int) -> None:
    """
    Raises:
        LangTrackError: a video of ``count`` frames has no frame ``start``.
    """
    if start >= count:
        frames = "1 frame" if count == 1 else f"{count} frames"
        raise LangTrackError(
            f"Start frame {start} is past the end: {path.name} has {frames}, counted from 0 to {count - 1}."
        )


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its picture stream, checked; closed on every path."""
    try:
        # An absolute path, since FFmpeg reads "name:rest" as a protocol.
        container = av.open(
            str(path.absolute()),
            options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"},
            metadata_errors="replace",  # old files have titles in other encodings than UTF-8
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
        best = container.streams.best("video")  # by FFmpeg: the default one of several
        stream = best if isinstance(best, av.VideoStream) and best in streams else streams[0]
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


def decoded(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    on_damage: Callable[[str], None] = log_damage,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """All pictures that decode, each with its time in seconds; what does not is reported at the end."""
    clock = _Clock(1 / frame_rate(stream))
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
    length_s = duration_s(container, stream) or 0.0
    # A long last frame is no damage, so the claimed number of frames has its say.
    short = length_s - end_s > max(0.5, 0.02 * length_s) and not 0 < stream.frames <= count
    if short:
        on_damage(f"{path.name} ends early: {count} frames could be read, {end_s:.1f} of {length_s:.1f} s.")
    elif damaged:
        on_damage(f"{path.name} is damaged: {count} frames could be read, perhaps with faults.")


def frame_rate(stream: av.VideoStream) -> Fraction:
    """Frames a second, exact; the average where it varies, `FOLDER_FPS` where the file claims none."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= 1000:  # above, it is a clock and not a frame rate
            return rate
    return FOLDER_FPS


def duration_s(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Length in seconds as the file claims it; None when it does not."""
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
