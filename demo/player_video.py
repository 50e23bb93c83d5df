"""Files for the page's player: the clip once, small, and beside it each run's maps of 0 to 255.

The page draws its pictures from three things: this video (the clip's frames and nothing else), the maps (both
branches' probabilities of every pixel), and the numbers of a `timeline`. So a correction, another target or
other fusion settings never encode a video again, and a map can be looked at with any threshold.

A maps file is gzip of ``(frames, 2, h, w)`` uint8, language before tracker, zeros where a branch did not
run. Each `CHUNK` frames are a gzip member of their own: the page fetches and unpacks a few at a time, and
``gzip.open`` reads the whole.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.run.render import PANELS, Style, draw
from langtrack_core.types import Estimate, Frame, Step
from langtrack_core.video import VideoInfo, VideoWriter

CHUNK = 64
"""Number of frames that the page fetches and unpacks at a time: two seconds of video in some tens of
kilobytes, so that a jump costs little and playing asks seldom."""
MAP_SIDE = 256
"""Longest side of a map in pixels. More would show nothing new: the networks' own masks have 80 and 127."""
PLAYER_CRF = 24
"""Quality of the player's video, lower than that of the four videos to keep (H.264's scale, where 0 is the
best): it is for looking at alone, and is encoded on top of them."""
PREVIEW_SIDE = 480
"""Longest side in pixels of one of the four pictures of the live view: all four come as one JPEG of 60 kB, a
few times a second."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class PlayerVideo:
    """A finished video: the clip's frames from 0 on.

    Attributes:
        times_s: the seconds at which each of its frames is shown, from 0 on.
        whole: the clip has no more.
    """

    path: Path
    times_s: tuple[float, ...]
    whole: bool

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return len(self.times_s)


class PlayerVideoWriter(VideoWriter):
    """The clip's frames, at most ``side`` pixels on the longest side, at their own times."""

    def __init__(self, path: Path, info: VideoInfo, side: int) -> None:
        super().__init__(path, info.fps, crf=PLAYER_CRF)
        self.size_wh = even_size(info.width, info.height, side)
        self._clip_times_s: list[float] = []

    def add(self, frame: Frame) -> None:
        """Add the clip's next frame; the first one is frame 0."""
        self.write(_shrink(frame.rgb, self.size_wh), frame.time_s)
        self._clip_times_s.append(frame.time_s)

    @property
    def frames(self) -> int:
        return len(self._clip_times_s)

    def finished(self, *, whole: bool) -> PlayerVideo:
        """The file; complete after the ``with`` block."""
        first_s = self._clip_times_s[0] if self._clip_times_s else 0.0  # which the writer makes 0
        times_s = (round(time_s - first_s, 4) for time_s in self._clip_times_s)
        return PlayerVideo(self.path, tuple(times_s), whole)

    def __enter__(self) -> PlayerVideoWriter:
        return self


@dataclass(frozen=True)
class Maps:
    """A finished maps file; ``offsets`` has where each chunk begins, and the file's end."""

    path: Path
    size_wh: tuple[int, int]
    offsets: tuple[int, ...]

    def chunk(self, number: int) -> Picture:
        """The maps from frame ``number * CHUNK`` on, ``(up to CHUNK, 2, h, w)`` uint8."""
        width, height = self.size_wh
        begin, end = self.offsets[number : number + 2]
        with self.path.open("rb") as stream:
            stream.seek(begin)
            plain = gzip.decompress(stream.read(end - begin))
        return np.frombuffer(plain, np.uint8).reshape(-1, 2, height, width)


class MapsWriter:
    """Writer of a maps file, frame by frame; its memory does not grow with the length."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.path = path
        self.size_wh = even_size(width, height, MAP_SIDE)
        self._stream = path.open("wb")
        self._offsets = [0]
        self._frames: list[Picture] = []

    def add(self, step: Step) -> None:
        self.add_maps(np.stack([self._small(step.language), self._small(step.tracker)]))

    def add_maps(self, maps: Picture) -> None:
        """Add the maps of one frame, ``(2, h, w)`` uint8."""
        self._frames.append(maps)
        if len(self._frames) == CHUNK:
            self._flush()

    @property
    def maps(self) -> Maps:
        """The file; complete after the ``with`` block."""
        return Maps(self.path, self.size_wh, tuple(self._offsets))

    def __enter__(self) -> MapsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._frames:
                self._flush()
        finally:
            self._stream.close()
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def _small(self, estimate: Estimate | None) -> Picture:
        if estimate is None:
            return np.zeros(self.size_wh[::-1], np.uint8)
        return _shrink(estimate.mask_u8, self.size_wh)

    def _flush(self) -> None:
        chunk = gzip.compress(np.stack(self._frames).tobytes(), compresslevel=1, mtime=0)
        self._stream.write(chunk)
        self._offsets.append(self._offsets[-1] + len(chunk))
        self._frames.clear()


def merged_maps(parts: Sequence[Maps], owners: Mapping[int, tuple[int, int]], path: Path) -> Maps:
    """Write one maps file for a track that consists of several runs.

    Args:
        owners: frame number -> which of the parts it is from, and its place there. Frames are written in
            rising order; of each part one chunk is unpacked at a time.
    """
    chunks: dict[int, tuple[int, Picture]] = {}  # by part: the number of a chunk, and its maps
    # The writer scales to the same size, since all runs are of one video.
    with MapsWriter(path, *parts[0].size_wh) as writer:
        for frame in sorted(owners):
            part, place = owners[frame]
            number, at = divmod(place, CHUNK)
            if part not in chunks or chunks[part][0] != number:
                chunks[part] = number, parts[part].chunk(number)
            writer.add_maps(chunks[part][1][at])
    return writer.maps


def _shrink(picture: Picture, size_wh: tuple[int, int]) -> Picture:
    return cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def even_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height scaled down to ``longest``, both even, as yuv420p needs them."""
    scale = min(1.0, longest / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def preview(step: Step) -> bytes:
    """The four panels two by two as a JPEG."""
    style = Style(labels=False)  # the page writes the labels itself, where they can be read at any size
    size_wh = even_size(step.frame.size_hw[1], step.frame.size_hw[0], PREVIEW_SIDE)
    tiles = [cv2.resize(draw(step, panel, style), size_wh, interpolation=cv2.INTER_AREA) for panel in PANELS]
    bgr = cv2.cvtColor(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
