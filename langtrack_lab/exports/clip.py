"""The tracks of one video as every format needs them: objects frame by frame, and the pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from langtrack_core.geometry import FloatArray, clip_box
from langtrack_core.masks import RLE, BoolMask
from langtrack_core.run.recorder import video_sha256
from langtrack_core.types import Frame, LangTrackError
from langtrack_core.video import VideoInfo, probe, read_frames

from ..files import plain_name
from ..runs import Row, Run, check_rle, decode_rle

DEFAULT_LABEL = "object"
"""What a target is called that was started by a box alone."""

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Part of words of Persian and Hindi, and of emoji, though Python calls them not printable."""

JPEG_QUALITY = 95
"""Quality of the pictures beside labels, 0 to 100: no person or network sees a difference to the video."""


def empty_rle(size_hw: tuple[int, int]) -> RLE:
    """What `encode_rle` makes of a mask without any positive pixel, without making that mask."""
    height, width = size_hw
    rle = coco_mask.frPyObjects({"size": size_hw, "counts": [height * width]}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def plain_label(text: str) -> str:
    """A class as files take it: one line without control characters, and "" where nothing is left."""
    label = " ".join(text.split()).encode("utf-8", "replace").decode()  # an argument's bytes may be no text
    return "".join(sign for sign in label if sign.isprintable() or sign in JOINERS).strip(f" {JOINERS}")


@dataclass(frozen=True)
class Track:
    """One target: the fused track of a run.

    Attributes:
        run: the run, as `read_run` gives it.
        label: the class of the target; its expression when left out.
    """

    run: Run
    label: str = ""

    def __post_init__(self) -> None:
        label = plain_label(self.label or self.run.manifest.get("expression") or "") or DEFAULT_LABEL
        object.__setattr__(self, "label", label)

    @cached_property
    def rows(self) -> dict[int, Row]:
        """By frame."""
        return {row.frame: row for row in self.run.rows}


@dataclass(frozen=True)
class Object:
    """A target on a frame on which it was found.

    Attributes:
        track: number of its track, from 1.
        label: its class.
        category: number of its class, from 0.
        box_xyxy: pixels, half-open, inside the picture.
        confidence: of the fused estimate.
        rle: its mask; None where no pixel is positive.
    """

    track: int
    label: str
    category: int
    box_xyxy: FloatArray
    confidence: float
    rle: RLE | None

    def mask(self) -> BoolMask | None:
        return None if self.rle is None else decode_rle(self.rle)


@dataclass(frozen=True)
class Clip:
    """One video and the tracks that were made of it.

    Attributes:
        tracks: runs of the same video.
        video: the video itself, which formats with pictures need.
        tolerance: pixels by which a polygon may leave the edge of its mask.
        on_frame: called after each frame of labels and of pictures; what it raises ends the export.

    Raises:
        LangTrackError: no track, tracks of several videos, or ``video`` is another one.
    """

    tracks: Sequence[Track]
    video: Path | None = None
    tolerance: float = 0.0
    on_frame: Callable[[int], object] = field(default=lambda frame: None)

    def __post_init__(self) -> None:
        if not self.tracks or not any(track.run.rows for track in self.tracks):
            raise LangTrackError("There is no track to export.")
        hashes = {track.run.manifest["video"]["sha256"] for track in self.tracks}
        if len(hashes) > 1:
            raise LangTrackError("These runs are of different videos; export those of one video together.")
        if self.video is not None:
            _ = self.info  # no video, or a broken one, is told as such
            if video_sha256(self.video) not in hashes:
                raise LangTrackError(
                    f"{self.video.name} is not the video of these runs, which is {self._about['name']}."
                )

    @cached_property
    def info(self) -> VideoInfo | None:
        """What the video says of itself; None without one."""
        return None if self.video is None else probe(self.video)

    @property
    def _about(self) -> dict:
        return self.tracks[0].run.manifest["video"]

    @property
    def name(self) -> str:
        """The video's name, for folders and files."""
        return plain_name(Path(self._about["name"]).stem, "clip")

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._about["height"], self._about["width"]

    @property
    def fps(self) -> Fraction:
        return Fraction(self._about["fps_fraction"])

    @property
    def video_goes_on(self) -> bool:
        """The video has frames behind those of the runs: all were stopped before its end."""
        last = self.frames[-1]
        stopped = not any(
            track.run.manifest.get("complete", True) and last in track.rows for track in self.tracks
        )
        return stopped and last + 1 < self._about["frames_estimate"]

    @property
    def labels(self) -> list[str]:
        """The classes, in the order in which they come."""
        return list(dict.fromkeys(track.label for track in self.tracks))

    @cached_property
    def frames(self) -> list[int]:
        """Frames that any of the runs has, rising."""
        return sorted({frame for track in self.tracks for frame in track.rows})

    def time_s(self, frame: int) -> float:
        return next(track.rows[frame].time_s for track in self.tracks if frame in track.rows)

    def objects(self, frame: int) -> list[Object]:
        """The targets that were found on a frame."""
        objects = (self.object(number, frame) for number in range(1, len(self.tracks) + 1))
        return [one for one in objects if one is not None]

    def object(self, number: int, frame: int) -> Object | None:
        """One target on a frame; None where it is absent, and on frames that its run does not have."""
        track = self.tracks[number - 1]
        row = track.rows.get(frame)
        if row is None or row.fused.box_xyxy is None:
            return None
        box = clip_box(row.fused.box_xyxy, self.size_hw)
        if box is None:
            return None
        rle = track.run.masks.get(frame, {}).get("fused")
        if rle is not None:
            try:
                check_rle(rle, self.size_hw)
            except ValueError as error:
                raise LangTrackError(f"The mask of frame {frame} cannot be read: {error}.") from error
            rle = rle if coco_mask.area(rle) else None
        category = self.labels.index(track.label)
        return Object(number, track.label, category, box, row.fused.confidence, rle)

    def each_frame(self) -> Iterator[tuple[int, list[Object]]]:
        """All `frames` with the targets on them."""
        for frame in self.frames:
            yield frame, self.objects(frame)
            self.on_frame(frame)

    def pictures(self) -> Iterator[Frame]:
        """The pictures of all `frames`.

        Raises:
            LangTrackError: the video is not given, or ends before the runs do.
        """
        if self.video is None:
            raise LangTrackError(
                "The pictures are in the video, which a run does not keep: give --video too."
            )
        indices = set(self.frames)
        last = self.frames[-1]
        reader = read_frames(self.video, start=self.frames[0], on_damage=lambda sentence: None)
        with closing(reader) as pictures:
            for picture in pictures:
                if picture.index in indices:
                    yield picture
                    self.on_frame(picture.index)
                if picture.index == last:
                    return
        raise LangTrackError(f"{self.video.name} ends before frame {last}, the last one of the runs.")

    def union(self, frame: int) -> BoolMask:
        """Pixels of any target."""
        whole = np.zeros(self.size_hw, np.bool_)
        for one in self.objects(frame):
            mask = one.mask()
            if mask is not None:
                whole |= mask
        return whole
