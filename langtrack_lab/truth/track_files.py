"""Boxes of one target or several, by frame, from the files of annotation tools and from our own.

| file | frames | boxes |
|---|---|---|
| ``boxes.csv`` of a run | the column ``frame`` | the fused ones |
| CVAT XML (for video, for images) | from 0 | boxes; what encloses turned ones and other shapes |
| COCO JSON | ``frame_id``, else the clip's pictures, else `_frames_of` | ``bbox``, else around the polygons |
| YouTube-VIS JSON | the clip's pictures of these names, else numbers, else order | ``bboxes`` |
| MOT text: frame,id,x,y,w,h,… | from 1 | from 1; those whose seventh number is 0 do not count |
| ``x,y,w,h`` a line, or corners as in VOT | a line each | from 0 or from 1, see `first_pixel` |

Everything is ``xyxy`` in pixels from 0 then, nan where the target is absent or its box has no area; what is
not listed is absent in CVAT, COCO and MOT up to the last frame that is listed, and not annotated elsewhere.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from langtrack_core.geometry import FloatArray
from langtrack_core.types import LangTrackError, shorten
from langtrack_core.video.pictures import natural_key

from ..files import read_text
from .box_files import MAX_LINES, numbers_in, read_boxes, read_lines, xywh_to_xyxy
from .mask_files import SeveralObjectsError

SUFFIXES = (".txt", ".csv", ".tsv", ".xml", ".json")
"""Endings, in small letters, of the files that may hold boxes; what is in them tells the format."""

MAX_BYTES = 200_000_000
"""Largest annotation file that is read: COCO's largest has twice that, for 118,000 pictures."""

_ONE_BASED_NAMES = ("otb.txt", "lasot.txt", "got10k.txt")
"""What a run leaves for the toolkits whose pixels count from 1."""

Boxes = Mapping[int, FloatArray]
"""``(4,)`` xyxy by frame."""

_ABSENT = np.full(4, np.nan)
"""The box of a frame without the target."""


class TrackFile(NamedTuple):
    """What a file holds.

    Attributes:
        form: what it was taken for, for people.
        tracks: boxes by the name of the target.
        lines: its frames are the numbers of its lines, so they count from the beginning of the run or of the
            video, whichever fits.
    """

    form: str
    tracks: Mapping[str, Boxes]
    lines: bool = False

    def of(self, target: str | None = None) -> Boxes:
        """The boxes of one target; of the only one when none is named.

        Raises:
            SeveralObjectsError: there are several targets, and none is named.
            LangTrackError: there is none of that name.
        """
        names = sorted(self.tracks, key=natural_key)
        if target is None and len(names) > 1:
            raise SeveralObjectsError("The boxes", names)
        if target is None or names == [""]:
            return self.tracks[names[0]]
        if target not in names:
            raise LangTrackError(f"The boxes hold no object {target}; they hold {shorten(', '.join(names))}.")
        return self.tracks[target]


def read_tracks(
    path: Path,
    *,
    pixel: int | None = None,
    size_hw: tuple[int, int] | None = None,
    pictures: Iterable[str] = (),
) -> TrackFile:
    """Read a file of any of the forms above; its content tells which.

    Args:
        pixel: what plain lines call the first column and row, 0 or 1; None to recognise it.
        size_hw: of the pictures, to recognise it by.
        pictures: names without suffix of the clip's frames, in order, where it is a folder of pictures.

    Raises:
        LangTrackError: none of these, malformed, or without any box.
    """
    if path.exists() and path.stat().st_size > MAX_BYTES:
        raise LangTrackError(f"{path} has over {MAX_BYTES // 1_000_000} MB; annotations are smaller.")
    lines = read_lines(path)
    head = next((line.strip() for line in lines if line.strip()), "")
    reader: Callable[[Path], TrackFile] | None = None
    if head.startswith("<"):
        reader = _cvat
    elif head.startswith(("{", "[")):
        reader = partial(_coco, places={name: place for place, name in enumerate(pictures)})
    elif head.startswith("frame,time_s,"):
        reader = _own
    elif _is_mot(head):
        reader = _mot
    if reader is None:
        boxes = read_boxes(path)
        first = (
            pixel
            if pixel is not None
            else 1
            if path.name in _ONE_BASED_NAMES
            else first_pixel(boxes, size_hw)
        )
        note = f"text of boxes, a line a frame, pixels from {first or 0}"
        if first is None:
            note += " (OTB, LaSOT and GOT-10k count from 1; say so if these do)"
        return TrackFile(note, {"": dict(enumerate(boxes - (first or 0)))}, lines=True)
    try:
        tracks = reader(path)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, csv.Error,
            ElementTree.ParseError) as error:  # fmt: skip
        raise LangTrackError(f"{path} cannot be read as boxes: {error!r:.100}.") from error
    if not tracks.tracks:
        raise LangTrackError(f"{path} ({tracks.form}) holds no boxes.")
    return tracks


def first_pixel(boxes: FloatArray, size_hw: tuple[int, int] | None) -> int | None:
    """What boxes (read as if from 0) call the first pixel: 0 or 1, or None when they fit both.

    A box that begins before pixel 1 counts from 0; one that ends a pixel after the picture, from 1.
    """
    boxes = boxes[~np.isnan(boxes).any(axis=1)]
    if not len(boxes) or boxes[:, :2].min() < 1:
        return 0
    height, width = size_hw or (np.inf, np.inf)
    beyond = (boxes[:, 2:] - [width, height]).max()
    return 1 if 0 < beyond <= 1 else None


def _is_mot(line: str) -> bool:
    """Six numbers or more, but not the eight of a polygon; frame and id are whole numbers."""
    try:
        numbers = numbers_in(line)
    except ValueError:
        return False
    return len(numbers) in (6, 7, 9, 10) and all(number.is_integer() for number in numbers[:2])


def _frame(number: str | float) -> int:
    """The number of a frame; ValueError above all that a video can have: a time stamp, or another number."""
    frame = int(number)
    if frame >= MAX_LINES:
        raise ValueError(f"frame {frame:.10g} is beyond the {MAX_LINES:,} that are read")
    return frame


class _Track(Mapping[int, FloatArray]):
    """Absent where a frame is listed and the target is not in it, or its box has no area.

    Listed frames are not written out: each target of a small file may be absent on a million.
    """

    def __init__(self, boxes: Boxes, listed: range | set[int]) -> None:
        if any(np.isinf(box).any() for box in boxes.values()):
            raise ValueError("a box is infinite")
        self._boxes, self._listed = boxes, listed

    def __getitem__(self, frame: int) -> FloatArray:
        box = self._boxes.get(frame, _ABSENT) if frame in self._listed else self._boxes[frame]
        return box if (box[2:] > box[:2]).all() else _ABSENT

    def __iter__(self) -> Iterator[int]:
        return iter({*self._listed, *self._boxes})

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _filled(tracks: Mapping[str, Boxes], listed: range | set[int]) -> dict[str, Boxes]:
    return {name: _Track(dict(boxes), listed) for name, boxes in tracks.items()}


def _own(path: Path) -> TrackFile:
    rows = list(csv.DictReader(read_lines(path)))
    corners = ("x1", "y1", "x2", "y2")
    boxes = {_frame(row["frame"]): np.array([float(row[c] or "nan") for c in corners]) for row in rows}
    return TrackFile("boxes.csv of a run", _filled({"": boxes} if boxes else {}, set()))


def _mot(path: Path) -> TrackFile:
    tracks: dict[str, dict[int, FloatArray]] = defaultdict(dict)
    last = 0
    for number, line in enumerate(read_lines(path), 1):
        frame, target, *xywh = numbers_in(line)
        if len(xywh) < 4 or frame < 1:
            raise ValueError(f"line {number} is not frame,id,x,y,w,h")
        last = max(last, _frame(frame))
        if len(xywh) == 4 or xywh[4] != 0:
            tracks[f"{target:g}"][int(frame) - 1] = xywh_to_xyxy(np.array(xywh[:4])) - 1
    return TrackFile("MOT text, frames and pixels from 1", _filled(tracks, range(last)))


def _cvat(path: Path) -> TrackFile:
    root = ElementTree.parse(path).getroot()
    tracks: dict[str, dict[int, FloatArray]] = defaultdict(dict)
    listed: set[int] = set()
    for track in root.iter("track"):
        name = f"{track.get('label')} {track.get('id')}"
        for shape in track:
            frame = _frame(shape.attrib["frame"])
            listed.add(frame)
            if shape.get("outside") != "1":
                tracks[name][frame] = _cvat_box(shape)
    listed = set(range(max(listed, default=-1) + 1))
    for image in root.iter("image"):
        frame = _frame(image.attrib["id"])
        listed.add(frame)
        for shape in image:
            if shape.get("label") is not None and shape.tag != "tag":
                _add_once(tracks[str(shape.get("label"))], frame, _cvat_box(shape), path)
    return TrackFile("CVAT XML", _filled(tracks, listed))


def _cvat_box(shape: ElementTree.Element) -> FloatArray:
    def numbers(*names: str) -> list[float]:
        return [float(shape.attrib[name]) for name in names]

    if shape.tag == "mask":
        return xywh_to_xyxy(np.array(numbers("left", "top", "width", "height")))
    if shape.tag in ("box", "ellipse"):
        turn = np.radians(float(shape.get("rotation", 0)))  # about the centre; the sign plays no part
        turned = np.abs([[np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        if shape.tag == "box":
            low, high = np.array(numbers("xtl", "ytl", "xbr", "ybr")).reshape(2, 2)
            centre, half = (low + high) / 2, turned @ (high - low) / 2
        else:
            centre, radii = np.array(numbers("cx", "cy", "rx", "ry")).reshape(2, 2)
            half = np.linalg.norm(turned * radii, axis=1)
        return np.concatenate([centre - half, centre + half])
    points = np.array([pair.split(",") for pair in shape.attrib["points"].split(";")], float)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _coco(path: Path, places: Mapping[str, int]) -> TrackFile:
    data = json.loads(read_text(path)[0])
    if "videos" in data:
        return _youtube_vis(data, path, places)
    images = sorted(data["images"], key=lambda image: natural_key(image["file_name"]))
    stems = [Path(image["file_name"]).stem for image in images]
    numbers, form = _frames_of_clip(stems, places), "by the clip's pictures of their names"
    if numbers is None:
        numbers, form = _frames_of(stems), "by their names' numbers"
    if numbers is None:
        numbers, form = list(range(len(images))), "in the order of their names"
    if all("frame_id" in image or "frame" in image for image in images):
        form = "by their frame_id"
    # Our own exports of before November 2026 say "frame".
    frames = {
        image["id"]: _frame(image.get("frame_id", image.get("frame", number)))
        for image, number in zip(images, numbers, strict=True)
    }
    labels = _labels(data)
    tracks: dict[str, dict[int, FloatArray]] = defaultdict(dict)
    for entry in data["annotations"]:
        name = labels.get(entry.get("category_id"), "object")
        attributes: Mapping[str, Any] = {**(entry.get("attributes") or {}), **entry}
        track = attributes.get("track_id", attributes.get("instance_id"))
        name = name if track is None else f"{name} {track}"
        _add_once(tracks[name], frames[entry["image_id"]], _coco_box(entry), path)
    return TrackFile(f"COCO JSON, pictures {form}", _filled(tracks, set(frames.values())))


def _frames_of_clip(stems: Sequence[str], places: Mapping[str, int]) -> list[int] | None:
    """The frames of the clip's pictures of these names; None where some are not its own."""
    known = len(set(stems)) == len(stems) and places.keys() >= set(stems)
    return [places[stem] for stem in stems] if known else None


def _frames_of(stems: Sequence[str]) -> list[int] | None:
    """Numbers of frames in the names of pictures, which differ in their last number alone.

    None where they differ otherwise, as by a hash, and where they count from 1 on without a gap, as FFmpeg's
    do: then they are frames in order.
    """
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", stem) for stem in stems]
    numbers = [int(part[2]) for part in parts if part]
    around = {(part[1], part[3]) if part else None for part in parts}
    if len(around) > 1 or None in around or len(set(numbers)) < len(numbers):
        return None
    return None if sorted(numbers) == list(range(1, len(numbers) + 1)) else numbers


def _youtube_vis(data: Mapping[str, Any], path: Path, places: Mapping[str, int]) -> TrackFile:
    if len(data["videos"]) != 1:
        raise LangTrackError(
            f"{path} is of {len(data['videos'])} videos; a file of this one alone is needed."
        )
    stems = [Path(name).stem for name in data["videos"][0]["file_names"]]
    frames = _frames_of_clip(stems, places)
    if frames is None:
        numbered = all(stem.isdecimal() for stem in stems)
        frames = [_frame(stem) for stem in stems] if numbered else list(range(len(stems)))
    labels = _labels(data)
    tracks = {}
    for entry in data["annotations"]:
        name = f"{labels.get(entry.get('category_id'), 'object')} {entry['id']}"
        boxes = zip(frames, entry["bboxes"], strict=True)
        tracks[name] = {frame: xywh_to_xyxy(np.array(box, float)) for frame, box in boxes if box}
    return TrackFile("YouTube-VIS JSON", _filled(tracks, set(frames)))


def _labels(data: Mapping[str, Any]) -> dict[Any, str]:
    """Names of the categories by their numbers."""
    return {category["id"]: str(category["name"]) for category in data.get("categories", [])}


def _coco_box(entry: Mapping[str, Any]) -> FloatArray:
    if entry.get("bbox"):
        return xywh_to_xyxy(np.array(entry["bbox"], float))
    points = np.concatenate([np.array(polygon, float).reshape(-1, 2) for polygon in entry["segmentation"]])
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _add_once(boxes: dict[int, FloatArray], frame: int, box: FloatArray, path: Path) -> None:
    if frame in boxes:
        raise LangTrackError(
            f"{path} has two objects of one label on frame {frame} and no track_id to tell them apart; "
            "export them as tracks."
        )
    boxes[frame] = box
