"""The format of a run folder: its files, how a frame is written, and how a run is read back.

| file | content |
|---|---|
| ``manifest.json`` | what was asked of which video, with which weights and settings, and what came of it |
| ``boxes.csv`` | a row a frame, `COLUMNS`; pixels of the original video, x2 and y2 exclusive |
| ``masks.json`` | frame number -> ``language``, ``tracker``, ``fused`` -> COCO RLE ``size``, ``counts`` |
| ``mask.mp4`` ``rectangle.mp4`` ``tracker.mp4`` ``fused.mp4`` | the panels of `render` |
| ``otb.txt`` ``lasot.txt`` ``got10k.txt`` | the fused box as ``x,y,w,h``, a line a frame, for the toolkits |
| ``masks/<branch>/%06d.png`` | on request: 0 or 255 |

A branch that did not run on a frame leaves its cells empty and has no mask; one that ran and found nothing
has a confidence, no box, and an empty mask. Frames before ``Query.start`` are not in the run; ``frame`` is
always the index in the video.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..geometry import FloatArray, xyxy_to_xywh
from ..masks import RLE, BoolMask, decode_rle
from ..types import BRANCHES, Decision, Estimate, LangTrackError, Reason, State, Step

FORMAT, FORMAT_VERSION = "langtrack-run", 2
"""A folder is read as a run only when its manifest names this format and this version."""

TRACKS = ("language", "tracker", "fused")
"""What has a mask in ``masks.json``: both branches, and the fused track."""

_BOX = ("x1", "y1", "x2", "y2", "confidence")
COLUMNS = (
    *("frame", "time_s", "state", "source", "agree", "reanchor", "reason"),
    *_BOX,
    *(f"{branch}_{name}" for branch in BRANCHES for name in _BOX),
)
"""Columns of ``boxes.csv``. ``source`` is empty when the target is absent; ``agree`` and ``reanchor``
are 0 or 1; ``reason`` is the code of a `Reason`."""

TOOLKIT_DECIMALS = {"otb.txt": 3, "lasot.txt": 3, "got10k.txt": 4}
"""Files for other toolkits, with the number of decimals that each of them writes itself."""


# --- one frame as text -------------------------------------------------------------------------------------


def csv_row(step: Step) -> list[str]:
    """The cells of `COLUMNS` for one step."""
    decision = step.decision
    row = [str(step.frame.index), f"{step.frame.time_s:.6f}", decision.state, decision.source or ""]
    row += [str(int(decision.agree)), str(int(decision.reanchor)), decision.reason]
    for estimate in (step.fused, step.language, step.tracker):
        row += _box_cells(estimate)
    return row


def _box_cells(estimate: Estimate | None) -> list[str]:
    """x1, y1, x2, y2 to a thousandth of a pixel and the confidence; empty where there is none."""
    if estimate is None:
        return [""] * len(_BOX)
    box = [""] * 4 if estimate.box_xyxy is None else [f"{value:.3f}" for value in estimate.box_xyxy]
    return [*box, f"{estimate.confidence:.4f}"]


def toolkit_line(box_xyxy: FloatArray | None, decimals: int) -> str:
    """``x,y,w,h`` as the toolkits of OTB, LaSOT and GOT-10k read results.

    All three come from Matlab and count pixels from 1, so the top left pixel has x = y = 1 (LaSOT's authors
    in issue 14 of their toolkit; GOT-10k's author names his own trackers' boxes "1-indexed").

    An absent target is ``0,0,0,0``. The LaSOT toolkit reads a box without an area, and NaN too, as "keep the
    last box"; its Python descendants refuse NaN; in the GOT-10k toolkit NaN spoils the mean, and a box of
    zeros overlaps by 0.
    """
    if box_xyxy is None:
        numbers = [0.0] * 4
    else:
        x, y, w, h = xyxy_to_xywh(box_xyxy).tolist()
        numbers = [x + 1, y + 1, w, h]
    return ",".join(f"{number:.{decimals}f}" for number in numbers)


# --- a run in memory ---------------------------------------------------------------------------------------


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
        name = "boxes.csv"
        with (folder / name).open(encoding="utf-8", newline="") as stream:
            table = csv.DictReader(stream)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise ValueError(f"expected the columns {','.join(COLUMNS)}")
            rows = [_row(cells) for cells in table]
        name = "masks.json"
        masks = json.loads((folder / name).read_text(encoding="utf-8"))
        return Run(manifest, rows, {int(frame): dict(branches) for frame, branches in masks.items()})
    except OSError as error:
        raise LangTrackError(f"{folder / name} cannot be read: {error.strerror or error}.") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LangTrackError(f"{folder / name} is not as a run of LangTrack has it: {error}.") from error


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
    return Row(int(cells["frame"]), float(cells["time_s"]), decision, fused, language, tracker)


def _branch_box(cells: Mapping[str, str], prefix: str) -> BranchBox | None:
    values = [cells[prefix + name] for name in _BOX]
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
