"""Result files of other trackers, in the text forms of the toolkits.

| form | file | a line is |
|---|---|---|
| otb, lasot | ``DIR/NAME.txt`` | ``x,y,w,h``, or with tabs or blanks |
| got10k | ``DIR/NAME/NAME_001.txt`` | ``x,y,w,h``; of several repetitions the first is read |
| vot | ``DIR/NAME/NAME_001.txt``, ``NAME_<object>_001.txt`` | a region or a code |

A region of VOT is ``x,y,w,h``, a polygon ``x1,y1,x2,y2,…``, or a mask ``m`` and ``x,y,w,h,run,run,…``, from
pixel 0. Of its codes 1 stands for the region the tracker was started with, the others for none. Elsewhere
pixels count as in the truth of the data set, from 1 in those of Matlab's times. There is a line for each
frame of the sequence, and no more, but for LaSOT, whose toolkit cuts off what is beyond the last true box,
and where a file that is too short leaves its sequence out; nan, or a box without an area, is "absent". Where
the truth is masks a box counts as filled, as in VOT. Seconds are read from ``NAME/NAME_time.txt`` or
``times/NAME_time.txt`` where they are.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, enclosing_box
from langtrack_core.types import LangTrackError, shorten

from ..datasets import ONE_BASED
from ..datasets.files import read_picture
from ..datasets.pictures import box_to_mask
from ..metrics import LASOT
from ..truth.box_files import numbers_in, read_boxes, read_lines
from .protocol import Init, Item, items_of, startable
from .results import Results, file_name
from .runner import Collector, Record

FORMS = ("otb", "lasot", "got10k", "vot")
"""The forms of result files; the table above says what each looks like."""

_START = 1.0
"""VOT's code for the frame whose region the tracker was started with."""


class _TooShortError(LangTrackError):
    """A file of results ends before its sequence."""


class Region(NamedTuple):
    """One prediction: a box ``(4,)`` xyxy from 0 and, where the file has one, a mask ``(H, W)``."""

    box: FloatArray | None = None
    mask: BoolMask | None = None


def read_external(
    name: str,
    folder: Path,
    like: Results,
    init: Init,
    *,
    form: str | None = None,
    origin: int | None = None,
    data: Path | None = None,
) -> Results:
    """Predictions of another tracker on what ``like`` was measured on.

    Args:
        name: name of the tracker in reports.
        folder: folder of its files.
        like: results with the same data set and protocol, but for ``init``.
        init: what that tracker got on the first frame.
        form: one of `FORMS`; found from the files when None.
        origin: number of the first pixel in its files; as in the truth of the data set when None.
        data: folder of the data set, when it has moved since ``like`` was measured.

    Raises:
        LangTrackError: no file fits a sequence, or one is malformed, too short or too long. By LaSOT's
            rules, a sequence whose file is too short is left out instead, and named.
    """
    if not folder.is_dir():
        raise LangTrackError(f"There is no folder {folder} with results of {name}.")
    protocol = replace(like.protocol, init=init, sentences="first", every=1)
    items = items_of(protocol, data or Path(like.run["data"]))
    can_start = {item.key for item in startable(items)}
    form = form or _form_of(folder, items)
    if origin is None:
        origin = int(protocol.kind in ONE_BASED and form != "vot")
    may_go_on = protocol.frames is not None or protocol.convention is LASOT
    records, missing = [], []
    for item in items:
        path = _file_of(folder, item.sequence.name, form)
        if path is None or item.key not in can_start:
            missing.append(item.key)
            continue
        try:
            records.append(_record(item, path, form, origin, may_go_on=may_go_on))
        except _TooShortError as error:
            if protocol.convention is not LASOT:
                raise
            missing.append(item.key)
            print(f"{item.key} is left out of {name}: {error}", file=sys.stderr)
    if not records:
        raise LangTrackError(
            f"{folder} has no {form} results for any sequence of the data, such as {items[0].key}."
        )
    run = {
        "label": name,
        "protocol": protocol.as_json(),
        "tracker": {"files": form},
        "fingerprint": "",
        "data": str(data or like.run["data"]),
        "sequences": {item.key: file_name(item) for item in items},
    }
    return Results(folder, run, tuple(records), tuple(missing))


def _form_of(folder: Path, items: list[Item]) -> str:
    for item in items:
        if _file_of(folder, item.sequence.name, "otb"):
            return "otb"
        path = _file_of(folder, item.sequence.name, "vot")
        if path is not None:
            first = path.read_text(encoding="utf-8", errors="replace").strip().partition("\n")[0]
            four = re.fullmatch(r"[^m,;\s]+([,;\s]+[^,;\s]+){3}", first.strip())
            return "got10k" if four else "vot"
    raise LangTrackError(
        f"{folder} has results in no known form; expected {items[0].key}.txt, or "
        f"{items[0].key}/{items[0].key}_001.txt."
    )


def _file_of(folder: Path, name: str, form: str) -> Path | None:
    if form in ("otb", "lasot"):
        candidates = [folder / f"{name}.txt"]
    else:
        candidates = [folder / name / f"{name}_001.txt"]
        if form == "vot":  # newer versions have the object's name in it
            candidates += sorted(p for p in (folder / name).glob("*_001.txt") if p.stem.startswith(name))
    return next((path for path in candidates if path.is_file()), None)


def _record(item: Item, path: Path, form: str, origin: int, *, may_go_on: bool) -> Record:
    sequence, start = item.sequence, item.start
    height, width, _ = read_picture(sequence.frames[start]).shape
    size_hw = height, width
    truth = sequence.boxes_xyxy
    if form == "vot":
        regions = _vot_regions(path, origin, size_hw, truth)
    else:
        regions = [
            Region(None if np.isnan(box).any() else box) for box in read_boxes(path, first_pixel=origin)
        ]
    if len(regions) < len(truth) or (len(regions) > len(truth) and not may_go_on):
        kind = _TooShortError if len(regions) < len(truth) else LangTrackError
        raise kind(
            f"{path} has {len(regions)} lines, but {sequence.name} has {len(truth)} frames; "
            "a line is needed for each."
        )
    collector = Collector(item)
    for index, (box, mask) in enumerate(regions[start : len(truth)], start):
        if mask is None and box is not None:
            mask = box_to_mask(box, size_hw)
        collector.add_region(box, mask, np.nan, sequence.annotation(index))
    seconds = _seconds(path, sequence.name, len(truth) - start)
    return Record.of(item, size_hw, {"fused": collector.predictions()}, seconds=seconds)


def _vot_regions(path: Path, origin: int, size_hw: tuple[int, int], truth_xyxy: FloatArray) -> list[Region]:
    regions = []
    for number, line in enumerate(read_lines(path), 1):
        box = truth_xyxy[number - 1] if number <= len(truth_xyxy) else np.full(4, np.nan)
        try:
            regions.append(_vot_region(line.strip(), origin, size_hw, box))
        except ValueError as error:
            raise LangTrackError(
                f"Line {number} of {path} is not a region in vot form, got {shorten(line)!r}."
            ) from error
    return regions


def _vot_region(line: str, origin: int, size_hw: tuple[int, int], truth_xyxy: FloatArray) -> Region:
    """The region of a line in VOT's form; ValueError for any other text."""
    if line.startswith("m"):
        mask = _vot_mask([int(n) for n in numbers_in(line[1:])], size_hw)
        return Region(enclosing_box(mask), mask)
    numbers = numbers_in(line)
    if len(numbers) == 1:
        is_start = numbers[0] == _START and not np.isnan(truth_xyxy).any()
        return Region(truth_xyxy.copy()) if is_start else Region()
    if len(numbers) > 4 and len(numbers) % 2 == 0:
        xs, ys = numbers[::2], numbers[1::2]
        numbers = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    x, y, w, h = numbers
    if any(map(math.isnan, numbers)) or w <= 0 or h <= 0:
        return Region()
    return Region(np.array([x, y, x + w, y + h]) - origin)


def _vot_mask(numbers: list[int], size_hw: tuple[int, int]) -> BoolMask:
    """Corner and size of a window, then the lengths of its runs row by row, of nothing first."""
    left, top, width, height = numbers[:4]
    runs = numbers[4:]
    if min(width, height, *runs, 0) < 0 or width * height > 1 << 27 or sum(runs) > width * height:
        raise ValueError("impossible sizes")
    values = np.zeros(width * height, np.bool_)
    ends = np.cumsum(runs)
    for begin, end in zip(ends[::2], ends[1::2], strict=False):
        values[begin:end] = True
    mask = np.zeros(size_hw, np.bool_)
    y1, y2 = max(top, 0), min(top + height, size_hw[0])
    x1, x2 = max(left, 0), min(left + width, size_hw[1])
    if y2 > y1 and x2 > x1:
        window = values.reshape(height, width)
        mask[y1:y2, x1:x2] = window[y1 - top : y2 - top, x1 - left : x2 - left]
    return mask


def _seconds(path: Path, name: str, frames: int) -> float:
    """Time of tracking; 0 when there are no usable times beside the results."""
    for times in (path.with_name(f"{name}_time.txt"), path.parent / "times" / f"{name}_time.txt"):
        try:
            values = np.genfromtxt(times, delimiter=",", ndmin=2)[:, 0]
        except (OSError, ValueError):
            continue
        values = values[values > 0]
        if len(values):
            return float(values.mean() * frames)
    return 0.0
