"""Clips with one target each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, enclosing_box
from langtrack_core.types import Frame, LangTrackError
from langtrack_core.video.pictures import FOLDER_FPS, Pictures, is_picture, pictures_in

from ..truth.box_files import read_boxes
from ..truth.mask_files import MaskPicture, MaskReading, SeveralObjectsError, clip_target, read_mask
from ..truth.track_files import SUFFIXES, read_tracks
from .files import (
    entries,
    folders_in,
    masks_for,
    read_json,
    read_lines,
    read_picture,
)


@dataclass(frozen=True, eq=False)
class Sequence:
    """A clip as a folder of frames with one target.

    Attributes:
        name: unique in its set; with a number behind it where one clip has several targets.
        frames: the pictures in order, N of them.
        expressions: sentences that single out the target; none where nobody wrote any.
        masks: N mask pictures, None for a frame without annotation; empty when the set has no masks.
        boxes: ``(N, 4)`` xyxy pixels, half-open, from 0, nan where there is no box; None to take them from
            the masks.
        absent: ``(N,)`` bool, True where the set says that the target is not to be seen (occluded, out of
            view). A nan box that is not absent was not annotated. None to take it from the masks: an empty
            mask is an absent target.
        attributes: what the set says of the whole clip, such as "occlusion".
        object_id: value of the target in the masks; None when they hold one object.

    Raises:
        ValueError: masks, boxes or absent are not N.
    """

    name: str
    frames: tuple[Path, ...]
    expressions: tuple[str, ...]
    masks: tuple[Path | None, ...] = ()
    boxes: FloatArray | None = field(default=None, repr=False)
    absent: NDArray[np.bool_] | None = field(default=None, repr=False)
    attributes: frozenset[str] = frozenset()
    object_id: int | str | None = None

    def __post_init__(self) -> None:
        n = len(self.frames)
        if self.masks and len(self.masks) != n:
            raise ValueError(f"{self.name}: {len(self.masks)} masks for {n} frames")
        if self.boxes is not None and self.boxes.shape != (n, 4):
            raise ValueError(f"{self.name}: boxes must be ({n}, 4), got {self.boxes.shape}")
        if self.absent is not None and self.absent.shape != (n,):
            raise ValueError(f"{self.name}: absent must be ({n},), got {self.absent.shape}")

    def read_frames(self, start: int = 0) -> Iterator[Frame]:
        """The pictures from ``start`` on, decoded one by one; data sets do not say their frame rates.

        Raises:
            LangTrackError: a picture cannot be read, or, where there are masks, is of another size than the
                first one here; a few clips of GOT-10k, which has boxes alone, change their size.
        """
        levels = Pictures(self.frames).levels
        size_hw: tuple[int, int] | None = None
        for index, path in enumerate(self.frames[start:], start):
            frame = Frame(index, float(index / FOLDER_FPS), read_picture(path, levels))
            size_hw = size_hw or frame.size_hw
            if self.masks and frame.size_hw != size_hw:
                sizes = " and ".join(f"{width}x{height}" for height, width in (size_hw, frame.size_hw))
                raise LangTrackError(
                    f"The pictures of {self.name} differ in size ({sizes}, from {path} on); all of a clip "
                    "must have one size."
                )
            yield frame

    def mask(self, index: int) -> BoolMask | None:
        """The target's pixels in a frame, ``(H, W)`` bool; None where there is no annotation."""
        annotation = self.annotation(index)
        return None if annotation is None else annotation.mask

    def annotation(self, index: int) -> MaskPicture | None:
        """The target's pixels in a frame, and those that nobody is to judge; None without annotation.

        Raises:
            SeveralObjectsError: the masks hold several objects, and ``object_id`` is None.
        """
        path = self.masks[index] if self.masks else None
        return None if path is None else read_mask(path, self._target)

    @cached_property
    def _target(self) -> int | str | None:
        if self.object_id is not None:
            return self.object_id
        try:
            return clip_target(path for path in self.masks if path is not None)
        except SeveralObjectsError as error:
            raise SeveralObjectsError(f"The masks of {self.name}", error.objects) from error

    @property
    def mask_reading(self) -> str | None:
        """How the masks are read, for people; None without masks. The first look reads all of them."""
        return str(self._from_masks[2]) if self.masks else None

    @cached_property
    def boxes_xyxy(self) -> FloatArray:
        """``(N, 4)`` pixels, half-open, nan where there is no box; the first look may read all masks."""
        return self.boxes if self.boxes is not None else self._from_masks[0]

    @cached_property
    def absent_frames(self) -> NDArray[np.bool_]:
        """``(N,)`` True where the set says that the target is not to be seen; may read all masks."""
        return self.absent if self.absent is not None else self._from_masks[1]

    @cached_property
    def _from_masks(self) -> tuple[FloatArray, NDArray[np.bool_], MaskReading]:
        boxes = np.full((len(self.frames), 4), np.nan)
        absent = np.zeros(len(self.frames), bool)
        reading = MaskReading()
        for i in range(len(self.masks)):
            annotation = self.annotation(i)
            if annotation is not None:
                reading.add(annotation)
                box = enclosing_box(annotation.mask)
                absent[i] = box is None
                if box is not None:
                    boxes[i] = box
        return boxes, absent, reading


# --- layouts of our own ------------------------------------------------------------------------------------


def davis_sequences(folder: Path, *, sentences: bool = True) -> list[Sequence]:
    """``JPEGImages/NAME``, ``Annotations/NAME`` (0 and 255), ``expressions.json`` with sentences by NAME.

    Without ``sentences`` that file may be missing.
    """
    path = Path(folder) / "expressions.json"
    if sentences or path.exists():
        expressions = read_json(path, "sentences by sequence name")
    else:
        expressions = {clip.name: [] for clip in folders_in(Path(folder) / "JPEGImages", "sequences")}
    if not isinstance(expressions, dict) or not all(_is_text_list(v) for v in expressions.values()):
        raise LangTrackError(f"{path} is not a list of sentences for each sequence name.")
    sequences = []
    for name, texts in sorted(expressions.items()):
        frames = pictures_in(Path(folder) / "JPEGImages" / name)
        masks = pictures_in(Path(folder) / "Annotations" / name)
        if [p.stem for p in frames] != [p.stem for p in masks]:
            raise LangTrackError(
                f"{folder}: sequence {name} has {len(frames)} frames and {len(masks)} masks; "
                "each frame needs a mask of the same name."
            )
        sequences.append(Sequence(name, tuple(frames), tuple(texts), tuple(masks)))
    return sequences


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def box_sequences(folder: Path, *, sentences: bool = True) -> list[Sequence]:
    """``NAME/img``, ``NAME/groundtruth_rect.txt`` (x,y,w,h from 0, nan absent), ``NAME/nlp.txt`` (a sentence
    a line), which may be missing without ``sentences``."""
    sequences = []
    for directory in folders_in(Path(folder), "sequences"):
        frames = pictures_in(directory / "img")
        boxes = _boxes_of(directory / "groundtruth_rect.txt", len(frames))
        path = directory / "nlp.txt"
        texts = read_lines(path, "one sentence") if sentences or path.exists() else []
        absent = np.isnan(boxes[:, 0])
        sequences.append(Sequence(directory.name, tuple(frames), tuple(texts), boxes=boxes, absent=absent))
    return sequences


def plain_sequences(folder: Path) -> list[Sequence]:
    """One clip or many, with as much annotation as there is.

    ``NAME/*.jpg`` (or the pictures in `folder` itself), and of these what is there, in the same folder:
    ``expressions.txt`` (a sentence a line); ``groundtruth`` as ``.txt`` (x,y,w,h from 0 a line, nan absent),
    ``.csv``, ``.xml`` or ``.json`` (see `track_files`); ``masks/STEM.png`` (empty means absent, no file not
    annotated); and ``target.txt``, the name of the object where truth or masks hold several.
    """
    folder = Path(folder)
    what = "a folder of pictures, or a folder of such folders"
    alone = any(is_picture(path) for path in entries(folder, what))
    clips = [folder.resolve()] if alone else folders_in(folder, what)
    sequences = []
    for clip in clips:
        frames = pictures_in(clip)
        sentences, target, masks = clip / "expressions.txt", clip / "target.txt", clip / "masks"
        truth = next((p for s in SUFFIXES if (p := clip / f"groundtruth{s}").exists()), None)
        name = " ".join(read_lines(target, "the name of the target")) if target.exists() else None
        boxes, absent = (None, None) if truth is None else _boxes_of_any(truth, frames, name)
        sequences.append(
            Sequence(
                clip.name,
                tuple(frames),
                tuple(read_lines(sentences, "a sentence a line")) if sentences.exists() else (),
                masks_for(frames, masks) if masks.exists() else (),
                boxes,
                absent,
                object_id=name,
            )
        )
    return sequences


def _boxes_of_any(
    path: Path, pictures: list[Path], target: str | None
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The boxes, and where the target is said to be absent."""
    frames = len(pictures)
    file = read_tracks(path, pixel=0, pictures=(picture.stem for picture in pictures))
    if file.lines:
        boxes = _boxes_of(path, frames)
        return boxes, np.isnan(boxes[:, 0])
    try:
        track = file.of(target)
    except SeveralObjectsError as error:
        raise SeveralObjectsError(f"The boxes of {path}", error.objects) from error
    if (last := max(track, default=0)) >= frames:
        raise LangTrackError(f"{path} has a box on frame {last}, but there are {frames} frames.")
    boxes = np.full((frames, 4), np.nan)
    absent = np.zeros(frames, np.bool_)
    for frame, box in track.items():
        boxes[frame], absent[frame] = box, np.isnan(box).any()
    return boxes, absent


def _boxes_of(path: Path, frames: int) -> FloatArray:
    boxes = read_boxes(path)
    if len(boxes) != frames:
        raise LangTrackError(f"{path} has {len(boxes)} lines for {frames} frames.")
    return boxes
