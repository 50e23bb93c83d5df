"""Runs read back: what `langtrack_core.run.Recorder` wrote, in memory; and masks from run lengths."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pycocotools import mask as coco_mask

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import RLE, BoolMask
from langtrack_core.run.format import BOX_COLUMNS, COLUMNS, FORMAT, FORMAT_VERSION
from langtrack_core.types import BRANCHES, Decision, LangTrackError, Reason, State

MAX_PIXELS = 1 << 27
"""Largest mask that is decoded, in pixels: a foreign file must not take all memory. One takes 134 MB."""


@dataclass(frozen=True)
class BranchBox:
    """What one branch says of one frame; ``box_xyxy`` is None where it finds nothing."""

    box_xyxy: FloatArray | None
    confidence: float


@dataclass(frozen=True)
class Row:
    """One line of ``boxes.csv``; ``language`` and ``tracker`` are None where that branch did not run."""

    frame: int
    time_s: float
    decision: Decision
    fused: BranchBox
    language: BranchBox | None
    tracker: BranchBox | None


@dataclass(frozen=True)
class Run:
    """A run folder in memory. ``masks`` are kept encoded: frame number -> branch -> COCO RLE."""

    manifest: dict[str, Any]
    rows: list[Row]
    masks: dict[int, dict[str, RLE]]

    def mask(self, frame: int, branch: str) -> BoolMask | None:
        """``(H, W)`` bool, or None where that branch did not run.

        Raises:
            LangTrackError: what the run holds is not a mask.
        """
        rle = self.masks.get(frame, {}).get(branch)
        try:
            return None if rle is None else decode_rle(rle)
        except ValueError as error:
            raise LangTrackError(f"The mask of frame {frame} in the run cannot be read: {error}.") from error


def read_run(folder: Path | str) -> Run:
    """Read what `Recorder` wrote; a missing or malformed file names itself in a LangTrackError."""
    folder = Path(folder)
    name = "manifest.json"
    try:
        manifest = json.loads((folder / name).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["format_version"] != FORMAT_VERSION:
            raise ValueError(f"expected {FORMAT} {FORMAT_VERSION}")
        _check_video(manifest["video"])
        name = "boxes.csv"
        with (folder / name).open(encoding="utf-8", newline="") as stream:
            table = csv.DictReader(stream)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise ValueError(f"expected the columns {','.join(COLUMNS)}")
            rows = [_row(cells) for cells in table]
            if len({row.frame for row in rows}) < len(rows):
                raise ValueError("it holds a frame twice")
        name = "masks.json"
        masks = json.loads((folder / name).read_text(encoding="utf-8"))
        return Run(manifest, rows, {int(frame): dict(branches) for frame, branches in masks.items()})
    except OSError as error:
        raise LangTrackError(f"{folder / name} cannot be read: {error.strerror or error}.") from error
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, csv.Error) as error:
        raise LangTrackError(f"{folder / name} is not as a run of LangTrack has it: {error}.") from error


def _check_video(video: Mapping[str, Any]) -> None:
    """What others rely on; a missing field is a KeyError."""
    for kind, names in (
        (str, ("name", "sha256", "fps_fraction")),
        (int, ("width", "height", "frames_estimate")),
    ):
        for name in names:
            if type(video[name]) is not kind:
                raise ValueError(f"the video has the {name} {video[name]!r:.40}")
    if Fraction(video["fps_fraction"]) <= 0:
        raise ValueError(f"the video has {video['fps_fraction']} frames a second")


def _row(cells: Mapping[str, str]) -> Row:
    fused = _branch_box(cells, "")
    if fused is None:
        raise ValueError(f"frame {cells['frame']} has no confidence")
    decision = Decision(
        source=_one_of(cells["source"], BRANCHES) if cells["source"] else None,
        state=_one_of(cells["state"], get_args(State)),
        confidence=fused.confidence,
        agree=_flag(cells["agree"]),
        reanchor=_flag(cells["reanchor"]),
        reason=Reason(cells["reason"]),
    )
    language, tracker = (_branch_box(cells, f"{branch}_") for branch in BRANCHES)
    row = Row(int(cells["frame"]), float(cells["time_s"]), decision, fused, language, tracker)
    if row.frame < 0:
        raise ValueError(f"there is no frame {row.frame}")
    # Exports write the numbers into JSON, which knows neither nan nor infinity.
    branches = [branch for branch in (fused, language, tracker) if branch is not None]
    boxes = [branch.box_xyxy for branch in branches if branch.box_xyxy is not None]
    numbers = itertools.chain([row.time_s], (branch.confidence for branch in branches), *boxes)
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"Frame {row.frame} has a number that is not finite")
    return row


def _branch_box(cells: Mapping[str, str], prefix: str) -> BranchBox | None:
    values = [cells[prefix + name] for name in BOX_COLUMNS]
    if values[4] == "":
        return None
    box = None if values[0] == "" else np.array(values[:4], dtype=np.float64)
    return BranchBox(box, float(values[4]))


def _one_of(cell: str, allowed: Sequence[Any]) -> Any:
    if cell not in allowed:
        raise ValueError(f"expected one of {', '.join(allowed)}, got {cell!r:.40}")
    return cell


def _flag(cell: str) -> bool:
    return bool(_one_of(cell, ("0", "1")) == "1")


# --- COCO run-length encoding ------------------------------------------------------------------------------


def decode_rle(rle: Mapping[str, Any]) -> BoolMask:
    """The inverse of `encode_rle`: ``(H, W)`` bool.

    Raises:
        ValueError: as `check_rle`.
    """
    check_rle(rle)
    return coco_mask.decode({"size": list(rle["size"]), "counts": rle["counts"].encode()}).astype(np.bool_)


def check_rle(rle: Mapping[str, Any], size_hw: tuple[int, int] | None = None) -> None:
    """Check a foreign encoding before pycocotools, whose C code trusts it, unpacks it.

    Five bits a character, least first, bit 6 for "goes on", the highest of a number's bits its sign; from the
    fourth number on, differences to the one before the last (pycocotools, maskApi.c).

    Raises:
        ValueError: ``size`` or ``counts`` is missing or of a wrong type, the mask is larger than
            `MAX_PIXELS` or not of ``size_hw``, or its runs do not add up to the picture.
    """
    if not isinstance(rle, Mapping):
        raise ValueError("run lengths are an object of size and counts")
    size, counts = rle.get("size"), rle.get("counts")
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int for n in size)):
        raise ValueError(f"the size of run lengths is a height and a width, got {size!r:.40}")
    pixels = size[0] * size[1]
    if min(size) < 1 or pixels > MAX_PIXELS:
        raise ValueError(f"run lengths of a mask of {size[0]}x{size[1]} pixels are not read")
    if not isinstance(counts, str) or _sum_of_runs(counts) != pixels:
        raise ValueError("the run lengths do not add up to the mask")
    if size_hw is not None and tuple(size) != size_hw:
        raise ValueError(f"run lengths of a mask of {size_hw[0]}x{size_hw[1]} pixels are needed, got {size}")


def _sum_of_runs(counts: str) -> int | None:
    """The pixels of all runs; None for a text that is no such code."""
    codes = np.frombuffer(counts.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 0x20) == 0)
    if not ends.size or codes.min() < 0 or codes.max() > 63 or ends[-1] != codes.size - 1:
        return None
    begins = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - begins + 1
    if digits.max() > 7:
        return None
    shifts = 5 * (np.arange(codes.size) - np.repeat(begins, digits))
    lengths = np.add.reduceat((codes & 0x1F) << shifts, begins)
    lengths -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * digits), 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return int(lengths.sum()) if lengths.min() >= 0 else None
