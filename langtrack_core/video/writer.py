"""Write video: H.264 that every browser plays, or what a subclass of the writer says."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
from av.video import reformatter

from ..files import hidden_sibling, why
from ..types import LangTrackError
from .pictures import RGB
from .reader import VideoInfo, decoded, is_broadcast, is_jump, opened, packets, stamp_s

COPIED = frozenset(("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"))
"""FFmpeg's names of the kinds of sound that an MP4 may hold and that players know there."""

RESERVED_BYTES = 64 * 1024
"""Bytes that are written before the first frame, so that a full disk is noticed before a run and not after
it. The header of a file and its first frames take about that much."""


class VideoWriter:
    """Writes H.264 in MP4 that every browser plays: yuv420p, BT.709, the index before the data.

    The file appears under its name when it is complete: ``close``, or the end of a ``with`` block. After
    ``discard``, or an exception in the block, nothing is left. An odd width or height is made even, where
    the encoding wants it, by repeating the last column or row; the picture itself is never resampled.

    Args:
        path: where to write; an older file is replaced.
        fps: frame rate. It, or its period where that is longer, has a denominator up to 1001.
        crf: constant quality of x264 (0 to 51), lower is better; that of `options` if None.
        source: the video of which the frames are made: the shape of its pixels is kept, and its sound in MP4.

    Raises:
        LangTrackError: the folder is missing or may not be written to; the disk is full (also from ``write``
            and ``close``).
    """

    container, codec, pixels = "mp4", "libx264", "yuv420p"
    """FFmpeg's names of the file format, of the encoder, and of the pixels in the file."""

    channels, even = 3, True
    """Channels of the pictures that are written, 3 for RGB and 4 for RGB with straight (unmultiplied) alpha;
    and whether the encoder wants an even width and height."""

    # Against superfast 30 % less time for files that are about as large at the same error (NOTEBOOK, S5).
    options: ClassVar[dict[str, str]] = {
        "crf": "20",
        "preset": "ultrafast",
        "x264-params": "subme=1:8x8dct=1:deblock=0,0",
    }
    container_options: ClassVar[dict[str, str]] = {"movflags": "+faststart"}
    """Options of the encoder, and of the file format."""

    _CLOCK_HZ = 90_000
    """Fewest ticks a second of the time stamps: MPEG's clock, which the usual frame rates divide."""

    _MOST_TICKS = 2**31 - 2
    """Most ticks that a frame may last in an MP4, 6.6 hours of the clock; the next one is in time again."""

    _SNAP_S = 0.00075
    """Seconds by which a time may miss a multiple of the frame period and still be taken for it: WebM rounds
    to milliseconds, so it misses by up to half of one."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: Fraction | float,
        *,
        crf: int | None = None,
        source: VideoInfo | None = None,
    ) -> None:
        self.path = Path(path)
        if fps <= 0:
            raise ValueError(f"fps must be above 0, got {fps}")
        rate = max(Fraction(fps), Fraction(1, 20_000))  # whose period is below `_MOST_TICKS`
        self.fps = rate.limit_denominator(1001) if rate >= 1 else 1 / (1 / rate).limit_denominator(1001)
        self._source = source
        self._sound: _Sound | None = None
        self._options = {**self.options, **({} if crf is None else {"crf": str(crf)})}
        # fps = n/d frames a second: a time base of 1/(n k) makes every frame last d k ticks exactly.
        scale = -(-self._CLOCK_HZ // self.fps.numerator)
        self._time_base = Fraction(1, self.fps.numerator * scale)
        self._period = self.fps.denominator * scale
        self._first_s: float | None = None
        self._ticks: int | None = None
        self._stream: av.VideoStream | None = None
        self._container: av.container.OutputContainer | None = None
        self._reformatter = reformatter.VideoReformatter()
        self._part = hidden_sibling(self.path)
        with self._explained():
            # Found full here, a disk costs nobody a run; and PyAV leaks the file if its header does not fit.
            self._part.write_bytes(bytes(RESERVED_BYTES))
            self._container = av.open(
                str(self._part.absolute()), "w", format=self.container, options=dict(self.container_options)
            )

    def write(self, rgb: RGB, time_s: float | None = None) -> None:
        """Add a frame.

        Args:
            rgb: ``(H, W, 3)`` uint8, ``(H, W, 4)`` for an encoding with alpha; the same size for all frames.
            time_s: its time in seconds (of the source, where there is one), later than the one before (else
                it comes one tick after that); the first becomes 0. Without it, the frame follows by one
                frame period.
        """
        if self._container is None:
            raise ValueError(f"{self.path.name} is closed; no frame can be added")
        height, width, channels = rgb.shape
        if channels != self.channels:
            raise ValueError(f"{self.codec} takes {self.channels} channels, not {channels}")
        odd = self.even and (height % 2 or width % 2)
        padded = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if odd else rgb
        padded = np.ascontiguousarray(padded)
        with self._explained():
            if self._stream is None:
                self._stream = self._add_stream(padded.shape[1], padded.shape[0])
                if self._source is not None and self.container == "mp4":
                    self._sound = _Sound(self._source.path, self._container, time_s or 0.0)
            if (self._stream.height, self._stream.width) != padded.shape[:2]:
                raise ValueError(f"all frames need the size of the first, got {width}x{height}")
            picture = self._reformatter.reformat(
                av.VideoFrame.from_numpy_buffer(padded, "rgb24" if channels == 3 else "rgba"),  # no copy
                format=self.pixels,
                dst_colorspace=reformatter.Colorspace.ITU709,
                dst_color_range=reformatter.ColorRange.MPEG,
                interpolation=reformatter.Interpolation.AREA | reformatter.Interpolation.ACCURATE_RND,
                threads=1,
            )
            picture.pts = self._ticks = self._next_ticks(time_s)
            picture.time_base = self._time_base
            picture.duration = self._period
            self._container.mux(self._stream.encode(picture))
            if self._sound is not None:  # to the end of this picture: a player would wait on the last one
                self._sound.write(float((self._ticks + self._period) * self._time_base))

    def close(self) -> None:
        """Finish the file under its name. Does nothing when closed or discarded already."""
        if self._container is None:
            return
        with self._explained():
            if self._stream is None:
                raise LangTrackError(f"{self.path.name} was not written: there was no frame to write.")
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._part.replace(self.path)
        self.discard()  # all but the file, which has its name now

    def discard(self) -> None:
        """Stop and leave nothing behind."""
        if self._container is not None:
            with suppress(av.FFmpegError, OSError):
                self._container.close()
            self._container = self._stream = None
        if self._sound is not None:
            self._sound.close()
        with suppress(OSError):
            self._part.unlink()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is None:
            self.close()
        else:
            self.discard()

    def _add_stream(self, width: int, height: int) -> av.VideoStream:
        assert self._container is not None
        stream = self._container.add_stream(self.codec, rate=self.fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, self.pixels
        stream.options = dict(self._options)
        context = stream.codec_context
        context.thread_count = 1  # a run writes several videos and computes beside them
        context.time_base = self._time_base
        context.gop_size = max(1, round(self.fps))  # a key frame a second: quick to seek in
        context.max_b_frames = 0  # time stamps then start at 0 without an edit list
        context.colorspace = reformatter.Colorspace.ITU709
        context.color_range = reformatter.ColorRange.MPEG
        context.color_primaries = reformatter.ColorPrimaries.BT709
        context.color_trc = reformatter.ColorTrc.BT709
        if self._source is not None and self._source.pixel_aspect != 1:
            context.sample_aspect_ratio = self._source.pixel_aspect
        return stream

    def _next_ticks(self, time_s: float | None) -> int:
        if time_s is None:
            return 0 if self._ticks is None else self._ticks + self._period
        self._first_s = time_s if self._first_s is None else self._first_s
        seconds = time_s - self._first_s
        frames = round(seconds * self.fps)
        on_time = abs(seconds - frames / self.fps) <= self._SNAP_S
        ticks = frames * self._period if on_time else round(seconds / self._time_base)
        last = self._ticks
        return ticks if last is None else min(max(ticks, last + 1), last + self._MOST_TICKS)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """On any exception removes the unfinished file; those that a user can mend become one sentence."""
        try:
            yield
        except BaseException as error:
            self.discard()
            if isinstance(error, av.FFmpegError | OSError):
                raise LangTrackError(f"{self.path} cannot be written: {why(error)}.") from error
            raise


class _Sound:
    """The default sound of a video from a time on, added to an MP4; nothing where it has none that fits.

    Args:
        source: the video, or anything else: then there is no sound.
        target: the MP4, before its first packet.
        start_s: what becomes 0, in seconds from the first picture of the source.
    """

    def __init__(self, source: Path, target: av.container.OutputContainer, start_s: float) -> None:
        self._target = target
        self._packets = self._read(source, start_s)
        self._waiting: tuple[float, av.Packet] | None = None
        with suppress(LangTrackError, av.FFmpegError, OSError, ValueError):
            self._waiting = next(self._packets, None)

    def _read(self, source: Path, start_s: float) -> Generator[tuple[float, av.Packet]]:
        with opened(source) as (container, video):  # not every stream begins with a picture that decodes
            begin_s = (stamp_s(next(decoded(source, container, video))[1]) or 0) + Fraction(start_s)
        with opened(source) as (container, _):
            audio: Any = container.streams.best("audio")
            context: Any = None if audio is None else audio.codec_context  # which unknown kinds lack
            codec = None if context is None else context.codec.canonical_name
            if codec not in COPIED or (codec == "mp3" and context.sample_rate < 16_000):
                return  # below 16 kHz MP3 is of MPEG 2.5, which MP4 does not know
            stream = self._target.add_stream_from_template(audio)
            origin = round(begin_s / audio.time_base)
            last, jumps = -1, is_broadcast(container)
            before: int | None = None
            for packet in packets(container, audio):
                if packet.pts is None or packet.dts is None:
                    continue
                if jumps and before is not None and is_jump((packet.dts - before) * audio.time_base):
                    return  # the clock was set anew, and what follows is of another time
                before = packet.dts
                if packet.dts - origin <= last or packet.pts < origin:
                    continue
                packet.pts, packet.dts, last = packet.pts - origin, packet.dts - origin, packet.dts - origin
                packet.stream = stream
                yield float(packet.pts * audio.time_base), packet

    def write(self, until_s: float) -> None:
        """Add what is heard up to a time of the target; sound that is damaged ends there."""
        try:
            while self._waiting is not None and self._waiting[0] < until_s:
                self._target.mux(self._waiting[1])
                self._waiting = next(self._packets, None)
        except (av.error.InvalidDataError, av.error.ArgumentError, ValueError):
            self._waiting = None

    def close(self) -> None:
        self._waiting = None
        self._packets.close()
