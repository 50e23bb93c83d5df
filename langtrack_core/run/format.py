"""The format of a run folder: its files, how a frame is written, and how a run is read back.

| file | content |
|---|---|
| ``manifest.json`` | what was asked of which video, with which weights and settings, and what came of it |
| ``boxes.csv`` | a row a frame, `COLUMNS`; pixels of the original video, x2 and y2 exclusive |
| ``masks.json`` | frame number -> branch (``lgm``, ``siam``, ``fused``) -> COCO RLE ``size`` and ``counts`` |
| ``mask.mp4`` ``rectangle.mp4`` ``siammask.mp4`` ``fused.mp4`` | the panels of `render` |
| ``otb.txt`` ``lasot.txt`` ``got10k.txt`` | the fused box as ``x,y,w,h``, a line a frame, for the toolkits |
| ``masks/<branch>/%06d.png`` | on request: 0 or 255 |

A branch that did not run on a frame leaves its cells empty and has no mask; one that ran and found nothing
has a confidence, no box, and an empty mask. Frames before ``Query.start`` are not in the run; ``frame`` is
always the index in the video.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import FloatArray, xyxy_to_xywh
from ..masks import RLE, BoolMask, decode_rle
from ..types import Estimate, LangTrackError, Step

FORMAT = "langtrack-run"
FORMAT_VERSION = 1
BRANCHES = ("lgm", "siam", "fused")
_BOX = ("x1", "y1", "x2", "y2", "confidence")
COLUMNS = (
    *("frame", "time_s", "state", "source", "reason"),
    *_BOX,
    *(f"lgm_{name}" for name in _BOX),
    *(f"siam_{name}" for name in _BOX),
)

TOOLKIT_DECIMALS = {"otb.txt": 3, "lasot.txt": 3, "got10k.txt": 4}


# --- one frame as text -------------------------------------------------------------------------------------


def csv_row(step: Step) -> list[str]:
    """The cells of `COLUMNS` for one step."""
    row = [str(step.frame.index), f"{step.frame.time_s:.6f}", step.state, step.fused.source, step.reason]
    for estimate in (step.fused, step.grounded, step.tracked):
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
class BoxOf:
    """What one branch said of one frame; ``box_xyxy`` is None where it found nothing."""

    box_xyxy: FloatArray | None
    confidence: float


@dataclass(frozen=True)
class Row:
    """One line of ``boxes.csv``; ``lgm`` and ``siam`` are None where that branch did not run."""

    frame: int
    time_s: float
    state: str
    source: str
    reason: str
    fused: BoxOf
    lgm: BoxOf | None
    siam: BoxOf | None


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
    def said(prefix: str) -> BoxOf | None:
        values = [cells[prefix + name] for name in _BOX]
        if values[4] == "":
            return None
        return BoxOf(None if values[0] == "" else np.array(values[:4], dtype=np.float64), float(values[4]))

    fused = said("")
    if fused is None:
        raise ValueError(f"frame {cells['frame']} has no confidence")
    words = (cells["state"], cells["source"], cells["reason"])
    return Row(int(cells["frame"]), float(cells["time_s"]), *words, fused, said("lgm_"), said("siam_"))
