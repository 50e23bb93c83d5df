"""Look at a video, and decode it from its first frame to its last, whatever holds it.

Files are read by PyAV. Its demuxers are limited to real containers, so that an uploaded playlist or script
cannot make it open other files or hosts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
from av.container.core import Flags as ContainerFlags
from av.format import Flags as FormatFlags
from av.stream import Disposition

from ..types import Frame, LangTrackError
from .pictures import DAMAGED, FOLDER_FPS, OnDamage, check_size, find_pictures, is_picture, log_damage
from .to_rgb import RGBConverter

DEMUXERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,ivf,dv,rm,m4v,h264,hevc,mjpeg,"
    "yuv4mpegpipe,mp3,aac,wav,flac,aiff,ac3,amr"
)
"""FFmpeg's readers of containers that may open a file. Those of sound are there so that a message can say
that a file holds sound only; those that open other files or hosts (playlists, scripts) are left out."""

TITLES: Any = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""How titles in other encodings than UTF-8, as old files have them, are read; PyAV 19 does so by itself."""

COVER_CODECS = ("mjpeg", "png", "webp", "bmp", "gif")
"""Encodings of still pictures, by their FFmpeg names: a stream in one beside another is mostly a cover."""

JUMP_S = 10
"""Seconds by which a clock that may jump has to be ahead of the expected time: FFmpeg's own threshold."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself.

    Attributes:
        path: the file or folder.
        width, height: pixels of the upright picture.
        fps: exact frame rate, the average one when it varies (see `SAMPLED`); ``FOLDER_FPS`` for pictures.
        frames_estimate: the container's claim, often wrong; counted where it makes none.
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
    frames_estimate: int
    duration_s: float | None
    rotation_deg: int
    kind: Literal["video", "folder", "animation"]
    pixel_aspect: Fraction = Fraction(1)
    notes: tuple[str, ...] = ()


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Look at a video: the header, the first picture and, of a file that counts no frames, its packets;
    LangTrackError when missing, empty, no video, sound only, without a picture that decodes, or too large."""
    path = existing(path)
    if (pictures := find_pictures(path)) is not None:
        rgb, fps = pictures.first()
        count, size_wh = pictures.count, (rgb.shape[1], rgb.shape[0])
        kind: Literal["animation", "folder"] = "animation" if pictures.animated else "folder"
        return VideoInfo(path, *size_wh, fps, count, float(count / fps), 0, kind, notes=pictures.notes)
    with opened(path) as (container, stream):
        _, first = next(decoded(path, container, stream))
        to_rgb = RGBConverter(first)
        fps, frames, length_s = frame_rate(stream), stream.frames, duration_s(container, stream)
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
    if broadcast or not frames:
        pieces = _Pieces(1 / fps)
        with opened(path) as (container, stream), suppress(av.FFmpegError, OSError):
            for packet in packets(container, stream):  # the whole recording, without decoding
                pieces.add(packet)
        frames, length_s = pieces.count, float((not broadcast and pieces.length) or pieces.count / fps)
        if broadcast and pieces.joints:
            notes.append(f"Its clock jumps ({len(pieces.joints)}x); a jump counts as one frame.")
    rotation = to_rgb.rotation_deg
    turned = 1 / aspect if rotation % 180 else aspect
    return VideoInfo(path, *to_rgb.size_wh, fps, frames, length_s, rotation, "video", turned, tuple(notes))


def read_frames(
    path: str | os.PathLike[str], *, start: int = 0, on_damage: OnDamage = log_damage
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
    if start < 0 or start % 1:
        raise ValueError(f"need a whole start >= 0, got {start}")
    path = existing(path)
    if (pictures := find_pictures(path)) is not None:
        check_start(path, start, pictures.count)
        return pictures.frames(range(start, pictures.count), on_damage)
    return _video_frames(path, start, on_damage)


def _video_frames(path: Path, start: int, on_damage: OnDamage) -> Generator[Frame]:
    with opened(path) as (container, stream):
        to_rgb: RGBConverter | None = None
        for index, (time_s, picture) in enumerate(decoded(path, container, stream, on_damage)):
            to_rgb = to_rgb or RGBConverter(picture)
            if index >= start:
                yield Frame(index, time_s, to_rgb(picture))
        check_start(path, start, index + 1)  # there is a first picture, else `decoded` raises


# --- containers to decoded pictures, each with its time ----------------------------------------------------


def existing(path: str | os.PathLike[str]) -> Path:
    """The path of something that can be read; LangTrackError when there is nothing at the path, an empty
    file, or what may not be read."""
    path = Path(path)
    try:
        found = path.exists()
        if path.is_dir():
            next(path.iterdir(), path).lstat()  # whether it may be listed, and entered
        elif path.is_file():
            path.open("rb").close()
    except OSError as error:
        raise LangTrackError(f"{path} may not be read ({error.strerror}); check its permissions.") from error
    if not found and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", path.as_posix()):
        address = path.as_posix().replace(":/", "://", 1)
        raise LangTrackError(f"{address} is an address; download the video and give the file.")
    if not found:
        raise LangTrackError(f"There is no file or folder {path}; check the path.")
    if path.is_file() and path.stat().st_size == 0:
        raise LangTrackError(f"{path.name} is empty (0 bytes); copy or upload it again.")
    return path


def check_start(path: Path, start: int, count: int) -> None:
    """LangTrackError where a video of ``count`` frames has no frame ``start``."""
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
        container: av.container.InputContainer = av.open(
            str(path.absolute()),
            options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"},
            **TITLES,
        )
    except (av.FFmpegError, OSError) as error:
        with path.open("rb") as file:
            head = file.read(12)
        sentence = f"{path.name} is not a video that can be read; MP4, MOV, WebM, MKV, AVI or GIF are."
        if is_picture(path):
            sentence = f"{path} {DAMAGED}"
        elif head[4:8] == b"ftyp" or head[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):  # MP4 or MOV; AVI; WebM or MKV
            sentence = f"{path.name} is damaged or cut short and cannot be opened; copy or export it again."
        raise LangTrackError(sentence) from error
    with container:
        streams = video_streams(container)
        if not streams and container.streams.audio:
            raise LangTrackError(f"{path.name} holds sound but no pictures; a video is needed.")
        if not streams:
            raise LangTrackError(f"{path.name} holds no video.")
        known = [stream for stream in streams if stream.codec_context is not None]
        if not known:
            raise LangTrackError(f"No decoder knows the format of {path.name}; export it as H.264.")
        stream = max(known, key=_preference)
        check_size(path, stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "AUTO"
        # FFmpeg's made-up time stamps may come out of order (AVI); _Clock does it better.
        container.flags &= ~ContainerFlags.gen_pts.value  # type: ignore[operator]  # mistyped by PyAV
        yield container, stream


def packets(container: av.container.InputContainer, *streams: av.stream.Stream) -> Iterator[av.Packet]:
    """The packets of these streams, or of all; at the end an empty one of each, which flushes its decoder."""
    with suppress(IndexError):  # PyAV 18 ends in one where streams came up in the middle of a recording
        yield from container.demux(*streams)


def video_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """All but the cover picture of a sound file, which counts as a video stream and is none."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic.value]


def _preference(stream: av.VideoStream) -> tuple[int, ...]:
    """FFmpeg's: the default stream, else the largest; but no cover that is not marked as one."""
    codec, default = stream.codec_context, stream.disposition & Disposition.default.value
    return stream.frames != 1, bool(default), codec.name not in COVER_CODECS, codec.width * codec.height


def decoded(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    on_damage: OnDamage = log_damage,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """All pictures that decode, each with its time in seconds; what does not is reported at the end."""
    broadcast = is_broadcast(container)
    clock = _Clock(1 / frame_rate(stream), jumps=broadcast)
    count, damaged = 0, False
    pieces = _Pieces(1 / frame_rate(stream))
    last_s = Fraction(0)  # where the last packet of any stream ends
    try:
        for packet in packets(container):
            if packet.pts is not None and packet.time_base is not None:
                last_s = max(last_s, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream.index != stream.index:
                continue
            pieces.add(packet)
            if any(data.data_type == "encryption_info" for data in packet.iter_sidedata()):
                if count == 0:
                    raise LangTrackError(f"{path.name} is encrypted; a copy without protection is needed.")
                damaged = True  # now and then it decodes, to noise
                continue
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                damaged |= count > 0 or not broadcast
                continue
            for picture in pictures:
                damaged |= picture.is_corrupt and not broadcast
                count += 1
                yield clock(picture), picture
    except (av.FFmpegError, OSError):  # no packet can be read any more
        damaged = True
    if count == 0:
        raise LangTrackError(f"{path.name} holds no picture that can be decoded; copy or export it again.")
    begin_s = (stream.start_time or 0) * (stream.time_base or 0)  # of the first picture, which may not decode
    end_s = float(clock.end_s + max(0, (clock.origin or begin_s) - begin_s))
    length_s = duration_s(container, stream) or 0.0
    # A long last frame is no damage, so the claimed number of frames has its say.
    tolerance = max(0.5, 0.02 * length_s)
    reached_s = end_s if stream.frames else max(end_s, float(last_s))  # the length may be that of the sound
    short = length_s - reached_s > tolerance and not 0 < stream.frames <= count
    if short and not broadcast:
        on_damage(f"{path.name} ends early: {count} frames could be read, {end_s:.1f} of {length_s:.1f} s.")
    elif damaged or (pieces.corrupt_inside() if broadcast else pieces.corrupt):
        on_damage(f"{path.name} is damaged: {count} frames could be read, perhaps with faults.")


def frame_rate(stream: av.VideoStream) -> Fraction:
    """Frames a second, exact; the average where it varies, `FOLDER_FPS` where the file claims none."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= 1000:  # above, it is a clock and not a frame rate
            return Fraction(rate.numerator, rate.denominator)  # from av 19 on, a class that is written "25/1"
    return FOLDER_FPS


def duration_s(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Length in seconds as the file claims it; None when it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def stamp_s(picture: av.VideoFrame) -> Fraction | None:
    """The time of a picture in seconds, by the clock of its file; None where it has none."""
    ticks = picture.dts if picture.pts is None else picture.pts  # AVI's H.264 has the former alone
    return None if ticks is None or picture.time_base is None else ticks * picture.time_base


def is_broadcast(container: av.container.InputContainer) -> bool:
    """Whether the clock may jump, and the file begin and end anywhere, since it claims no length: MPEG-TS,
    MPEG-PS, Ogg."""
    return bool(container.format.flags & FormatFlags.ts_discont.value)  # type: ignore[operator]


def is_jump(gap_s: Fraction) -> bool:
    """Whether a picture that comes so much later than expected says that the clock was set anew."""
    return not -1 < gap_s < JUMP_S


class _Pieces:
    """The pieces of a recording, told by the clock of its packets; a joint costs up to two packets."""

    def __init__(self, period: Fraction) -> None:
        self._period = period
        self._expected: Fraction | None = None
        self.count, self.length = 0, Fraction(0)
        self.joints: list[int] = []
        self.corrupt: list[int] = []

    def add(self, packet: av.Packet) -> None:
        if packet.dts is not None and packet.time_base is not None:
            time = packet.dts * packet.time_base
            expected = time if self._expected is None else self._expected
            if is_jump(time - expected):
                self.joints.append(self.count)
            self.length += time + self._period - expected
            self._expected = time + self._period
        if packet.is_corrupt:
            self.corrupt.append(self.count)
        self.count += packet.size > 0

    def corrupt_inside(self) -> bool:
        """Whether a packet is corrupt that is neither the first nor at a joint."""
        return any(all(abs(at - joint) > 2 for joint in (0, *self.joints)) for at in self.corrupt)


class _Clock:
    """Seconds from the first frame, always rising. A frame without a usable time follows by one period.

    Args:
        jumps: the clock may be set anew; a jump counts as one period then.
    """

    def __init__(self, period: Fraction, *, jumps: bool) -> None:
        self._period = period
        self._jumps = jumps
        self.origin: Fraction | None = None  # the first frame's time in the file; that of the last jump
        self.end_s = Fraction(0)  # where the last frame ends

    def __call__(self, picture: av.VideoFrame) -> float:
        time = self.end_s
        if (stamp := stamp_s(picture)) is not None:
            if self.origin is None or (self._jumps and is_jump(stamp - self.origin - time)):
                self.origin = stamp - time
            if stamp - self.origin > self.end_s - self._period:  # after the last frame
                time = stamp - self.origin
        self.end_s = time + self._period
        return float(time)
