"""Ground truth dropped beside a run: read from masks or boxes, aligned to its frames, and each branch scored.

Absent frames follow LaSOT (Fan et al., CVPR 2019): where the target cannot be seen, nothing is counted for
success and overlap; how often a branch rightly reports "absent" there is a figure of its own.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.masks import RLE, BoolMask, enclosing_box, encode_rle
from langtrack_core.run.format import TRACKS
from langtrack_core.types import LangTrackError, shorten
from langtrack_core.video.pictures import is_picture
from langtrack_lab.metrics import THRESHOLDS, precision, success_curve
from langtrack_lab.metrics.masks import mask_iou
from langtrack_lab.runs import BranchBox, Row, Run, decode_rle
from langtrack_lab.truth.mask_files import MaskReading, clip_target, read_mask
from langtrack_lab.truth.track_files import SUFFIXES, read_tracks

from .safe_zip import Limits, is_clutter, unpack


@dataclass(frozen=True)
class Truth:
    """The truth of a run's frames, in the order of its rows; N of them.

    Attributes:
        boxes_xyxy: ``(N, 4)`` pixels, half-open; nan where absent or not annotated.
        absent: ``(N,)`` bool: the target cannot be seen.
        annotated: ``(N,)`` bool.
        masks: COCO run lengths by place in the run; empty for a file of boxes.
        voids: likewise, the pixels that count nowhere; only of masks that have some.
        notes: how the truth was read and aligned, in plain sentences.
    """

    boxes_xyxy: FloatArray
    absent: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    masks: dict[int, RLE]
    voids: dict[int, RLE]
    notes: tuple[str, ...]

    def mask(self, place: int) -> BoolMask | None:
        """The target's mask at a place in the run; None when the truth has none there."""
        return decode_rle(self.masks[place]) if place in self.masks else None


def read_truth(
    paths: Path | str | Sequence[Path | str], run: Run, target: str | None = None, pixel: int | None = None
) -> Truth:
    """Read dropped files for a run.

    Args:
        paths: a file of boxes that `read_tracks` knows, a ZIP of mask pictures, or mask pictures.
        target: which object, where the files hold several.
        pixel: what a text of boxes calls the first column and row: 0 or 1; None to recognise it.

    Raises:
        SeveralObjectsError: there are several objects, and none is named.
        LangTrackError: none of these, a line or picture that is wrong, a number of lines or masks that does
            not fit the run, masks of another size.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if not files:
        raise LangTrackError("Drop a ZIP of mask pictures, mask pictures, or a file of boxes.")
    frames = [row.frame for row in run.rows]
    video = run.manifest.get("video", {})
    size_hw = int(video.get("height", 0)), int(video.get("width", 0))
    if not frames:
        raise LangTrackError("The run has no frame to compare with.")
    whole, length = bool(run.manifest.get("complete")), frames[-1] + 1
    if not whole:
        length = max(length, int(video.get("frames_estimate", 0)))
    clip = _Clip(frames, size_hw, whole, length)
    if len(files) == 1 and files[0].suffix.lower() == ".zip":
        with _unpacked(files[0]) as masks:
            return _from_masks(masks, clip, target)
    if all(map(is_picture, files)):
        return _from_masks(files, clip, target)
    if len(files) == 1 and files[0].suffix.lower() in SUFFIXES:
        return _from_boxes(files[0], clip, target, pixel)
    raise LangTrackError(
        "Ground truth is mask pictures, a ZIP of them, or one file of boxes (x,y,w,h a line, boxes.csv, "
        f"CVAT XML, COCO JSON, MOT text); got {', '.join(shorten(path.name) for path in files[:3])}."
    )


_NOT_ANNOTATED = np.full(4, np.nan)
"""The box of a frame that the files say nothing of."""


class _Clip(NamedTuple):
    """The run's frames in order; ``whole``: it goes to the end of its video, which has ``length`` frames."""

    frames: list[int]
    size_hw: tuple[int, int]
    whole: bool
    length: int


# --- boxes -------------------------------------------------------------------------------------------------


def _from_boxes(path: Path, clip: _Clip, target: str | None, pixel: int | None) -> Truth:
    file = read_tracks(path, pixel=pixel, size_hw=clip.size_hw)
    track = file.of(target)
    frames, notes = clip.frames, []
    if file.lines:
        frames, note = _aligned(len(track), clip, "line")
        notes.append(note)
    notes.append(f"Read as {file.form}.")
    boxes = np.array([track.get(frame, _NOT_ANNOTATED) for frame in frames])
    annotated = np.array([frame in track for frame in frames])
    if not annotated.any():
        raise LangTrackError(f"{path.name} has no box for any of the frames {frames[0]} to {frames[-1]}.")
    if not annotated.all():
        notes.append(f"{annotated.sum()} of {len(frames)} frames are annotated; the others are not counted.")
    absent: NDArray[np.bool_] = annotated & np.isnan(boxes).any(axis=1)
    return Truth(boxes, absent, annotated, {}, {}, tuple(notes))


def _aligned(count: int, clip: _Clip, what: str) -> tuple[list[int], str]:
    """The entry of the file for each frame of the run, and a sentence that says how they were aligned."""
    frames = clip.frames
    first, last = frames[0], frames[-1]
    if count == len(frames):
        return list(range(count)), f"Taken in order: a {what} for each frame of the run."
    # A run that was cancelled, or that starts late, gets its part of the whole video's truth.
    if count == last + 1 or (count > last and not clip.whole):
        return list(frames), f"Taken by frame number: {what} 1 is frame 0 of the video."
    raise LangTrackError(
        f"The truth has {count} {what}s, but the run has {len(frames)} frames, {first} to {last}; "
        f"a {what} is needed for each frame of the run or of the whole video."
    )


# --- masks -------------------------------------------------------------------------------------------------


@contextmanager
def _unpacked(archive: Path) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(prefix="truth-", dir=archive.parent) as folder:
        names = unpack(archive, Path(folder) / "masks", Limits(total_mb=1000, ratio=1000))
        masks = [Path(folder) / "masks" / name for name in names if not is_clutter(name)]
        others = [path.name for path in masks if not is_picture(path)]
        if others or not masks:
            content = f"but it holds {shorten(others[0])}" if others else "but there are none in it"
            raise LangTrackError(f"A ZIP of ground truth holds mask pictures alone, {content}.")
        folders = {path.parent for path in masks}
        if len(folders) > 1:
            raise LangTrackError(
                f"The masks are in {len(folders)} folders; put those of this video into one."
            )
        yield masks


def _from_masks(paths: Sequence[Path], clip: _Clip, target: str | None) -> Truth:
    frames = clip.frames
    target = clip_target(paths, target)
    files = sorted(paths, key=lambda path: (_number_in(path), path.name))
    place_of, notes = _places(files, clip)
    boxes = np.full((len(frames), 4), np.nan)
    absent = np.zeros(len(frames), np.bool_)
    annotated = np.zeros(len(frames), np.bool_)
    masks: dict[int, RLE] = {}
    voids: dict[int, RLE] = {}
    reading = MaskReading()
    for path, place in zip(files, place_of, strict=True):
        if place is None:
            continue
        picture = read_mask(path, target, size_hw=clip.size_hw)
        mask, void = picture.mask, picture.void
        reading.add(picture)
        if void.any():
            voids[place] = encode_rle(void)
        box = enclosing_box(mask)
        annotated[place], absent[place] = True, box is None
        if box is not None:
            boxes[place] = box
        masks[place] = encode_rle(mask)
    notes.append(str(reading))
    return Truth(boxes, absent, annotated, masks, voids, tuple(notes))


def _places(files: Sequence[Path], clip: _Clip) -> tuple[list[int | None], list[str]]:
    """The place in the run for each mask, None when the run lacks its frame; and notes."""
    numbers = [_number_in(path) for path in files]
    # 1, 6, 11, …: whoever annotates every fifth frame begins with the first; and FFmpeg numbers from 1.
    steps = {b - a for a, b in pairwise(numbers)}
    from_one = len(numbers) > 2 and numbers[0] == 1 and len(steps) == 1 and min(steps) > 0
    numbers = [number - from_one for number in numbers]
    frames = clip.frames
    by_number = {frame: place for place, frame in enumerate(frames)}
    are_frames = min(numbers) >= 0 and max(numbers) < clip.length and len(set(numbers)) == len(numbers)
    sparse = max(numbers) - min(numbers) >= len(numbers)  # else they may count the run's own frames
    if are_frames and (sparse or (len(files) < len(frames) and set(numbers) <= set(by_number))):
        there = [by_number.get(number) for number in numbers]
        count = len(there) - there.count(None)
        if not count:
            raise LangTrackError(
                f"No mask is of the frames {frames[0]} to {frames[-1]}, by the numbers in their names."
            )
        note = (
            f"{count} of {len(frames)} frames have a mask, by the number in its name"
            f"{', which counts from 1' if from_one else ''}; the others are not counted."
        )
        return there, [note]
    places, note = _aligned(len(files), clip, "mask")
    place_of: list[int | None] = [None] * len(files)
    for place, entry in enumerate(places):
        place_of[entry] = place
    return place_of, [note]


def _number_in(path: Path) -> int:
    """The last number in a file's name, -1 when it has none."""
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1][-12:]) if numbers else -1


# --- scores ------------------------------------------------------------------------------------------------


def score_run(run: Run, truth: Truth) -> dict[str, Any]:
    """Every branch against the truth, as JSON for a page.

    Returns:
        ``thresholds`` (21); ``frames``, ``absent`` (frame numbers), ``notes``; and ``branches``: for
        ``language``, ``tracker`` and ``fused`` the ``counted`` frames, ``auc``, ``precision`` (20 px),
        ``mean_iou``, ``success`` (21 shares), ``overlap`` (box IoU per frame, null where nothing is counted),
        with masks also ``mask_overlap`` and ``mean_mask_iou``; and ``absence``: on how many absent frames the
        branch ran (``frames``) and reported the absence (``recognised``). A figure is null when no frame
        counts. A branch is not counted on frames on which it did not run; one that found nothing has an
        overlap of 0.
    """
    branches = {branch: _score_branch(run, truth, branch) for branch in TRACKS}
    return {
        "thresholds": [round(float(value), 2) for value in THRESHOLDS],
        "frames": [row.frame for row in run.rows],
        "absent": [row.frame for row, absent in zip(run.rows, truth.absent, strict=True) if absent],
        "branches": branches,
        "notes": list(truth.notes),
    }


def _score_branch(run: Run, truth: Truth, branch: str) -> dict[str, Any]:
    estimates = [_estimate(row, branch) for row in run.rows]
    ran = np.array([estimate is not None for estimate in estimates], np.bool_)
    counts = ran & truth.annotated & ~truth.absent
    boxes = [None if estimate is None else estimate.box_xyxy for estimate in estimates]
    overlap = np.array(
        [
            np.nan if not count else 0.0 if box is None else box_iou(box, true)
            for count, box, true in zip(counts, boxes, truth.boxes_xyxy, strict=True)
        ]
    )
    where_absent = [e for e, absent in zip(estimates, truth.absent, strict=True) if absent and e is not None]
    report: dict[str, Any] = {
        "counted": int(counts.sum()),
        "auc": None,
        "precision": None,
        "mean_iou": _mean(overlap),
        "success": None,
        "overlap": _with_nulls(overlap),
        "absence": {
            "frames": len(where_absent),
            "recognised": sum(estimate.box_xyxy is None for estimate in where_absent),
        },
    }
    if counts.any():
        curve = success_curve(overlap)
        counted_truth = np.where(counts[:, None], truth.boxes_xyxy, np.nan)
        report |= {
            "auc": round(float(curve.mean()), 4),
            "precision": round(precision(boxes, counted_truth), 4),
            "success": [round(float(value), 4) for value in curve],
        }
    if truth.masks:
        masks = np.array([_mask_overlap(run, truth, branch, at, bool(c)) for at, c in enumerate(counts)])
        report |= {"mask_overlap": _with_nulls(masks), "mean_mask_iou": _mean(masks)}
    return report


def _mask_overlap(run: Run, truth: Truth, branch: str, place: int, counts: bool) -> float:
    true = truth.mask(place) if counts else None
    if true is None:
        return math.nan
    mask = run.mask(run.rows[place].frame, branch)
    if mask is not None and place in truth.voids:
        mask &= ~decode_rle(truth.voids[place])
    return 0.0 if mask is None else mask_iou(mask, true)


def _estimate(row: Row, branch: str) -> BranchBox | None:
    return {"language": row.language, "tracker": row.tracker, "fused": row.fused}[branch]


def _mean(values: FloatArray) -> float | None:
    numbers = values[~np.isnan(values)]
    return round(float(numbers.mean()), 4) if numbers.size else None


def _with_nulls(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 3) for value in values]
