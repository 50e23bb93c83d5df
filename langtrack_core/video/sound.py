"""The sound of a video, copied as it is beside pictures that are made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..types import LangTrackError
from .decoding import opened

COPIED = frozenset(("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"))
"""FFmpeg's names of the kinds of sound that an MP4 may hold and that players know there."""


class Sound:
    """The default sound of a video from a time on, added to an MP4; nothing where it has none that fits.

    Args:
        source: the video, or anything else: then there is no sound.
        target: the MP4, before its first packet.
        start_s: what becomes 0, in seconds from the first picture of the source.
    """

    def __init__(self, source: Path, target: av.container.OutputContainer, start_s: float) -> None:
        self._target = target
        self._files = ExitStack()
        self._packets: Iterator[tuple[float, av.Packet]] = iter(())
        self._waiting: tuple[float, av.Packet] | None = None
        try:
            container, video = self._files.enter_context(opened(source))
            audio = container.streams.best("audio")
            context = None if audio is None else audio.codec_context  # which unknown kinds lack
            if context is not None and context.codec.canonical_name in COPIED:
                self._packets = self._read(container, video, audio, start_s)
                self._waiting = next(self._packets, None)
        except (LangTrackError, av.FFmpegError, OSError, ValueError):
            self.close()

    def _read(
        self, container: av.container.InputContainer, video: av.VideoStream, audio: Any, start_s: float
    ) -> Iterator[tuple[float, av.Packet]]:
        stream = self._target.add_stream_from_template(audio)
        begin_s = (video.start_time or 0) * (video.time_base or 0) + Fraction(start_s)
        origin = round(begin_s / audio.time_base)
        last = -1
        for packet in container.demux(audio):
            if packet.pts is None or packet.dts is None or packet.dts - origin <= last or packet.pts < origin:
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
        self._files.close()
