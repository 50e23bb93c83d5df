"""The format of a run folder: its files, and how a frame is written.

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

import numpy as np

from ..geometry import FloatArray, xyxy_to_xywh
from ..types import BRANCHES, Step

FORMAT = "langtrack-run"
"""Name of the format in a manifest: a folder without it is not read as a run."""
FORMAT_VERSION = 2
"""Version of the format; it rises when an older program could not read a run any more."""

TRACKS = ("language", "tracker", "fused")
"""What has a mask in ``masks.json``: both branches, and the fused track."""

BOX_COLUMNS = ("x1", "y1", "x2", "y2", "confidence")
"""Columns of a box in ``boxes.csv``; a branch's have its name before them."""
COLUMNS = (
    *("frame", "time_s", "state", "source", "agree", "reanchor", "reason"),
    *BOX_COLUMNS,
    *(f"{branch}_{name}" for branch in BRANCHES for name in BOX_COLUMNS),
)
"""Columns of ``boxes.csv``. ``source`` is empty when the target is absent; ``agree`` and ``reanchor``
are 0 or 1; ``reason`` is the code of a `Reason`."""

TOOLKIT_DECIMALS = {"otb.txt": 3, "lasot.txt": 3, "got10k.txt": 4}
"""Files for other toolkits, with the number of decimals that each of them writes itself."""


def csv_row(step: Step) -> list[str]:
    """The cells of `COLUMNS` for one step; boxes to a thousandth of a pixel."""
    decision = step.decision
    row = [str(step.frame.index), f"{step.frame.time_s:.6f}", decision.state, decision.source or ""]
    row += [str(int(decision.agree)), str(int(decision.reanchor)), decision.reason]
    for estimate in (step.fused, step.language, step.tracker):
        box = None if estimate is None else estimate.box_xyxy
        row += [""] * 4 if box is None else [f"{value:.3f}" for value in box]
        row.append("" if estimate is None else f"{estimate.confidence:.4f}")
    return row


def toolkit_line(box_xyxy: FloatArray | None, decimals: int) -> str:
    """``x,y,w,h`` as the toolkits of OTB, LaSOT and GOT-10k read results.

    All three come from Matlab and count pixels from 1, so the top left pixel has x = y = 1 (LaSOT's authors
    in issue 14 of their toolkit; GOT-10k's author names his own trackers' boxes "1-indexed").

    An absent target is ``0,0,0,0``. The LaSOT toolkit reads a box without an area, and NaN too, as "keep the
    last box"; its Python descendants refuse NaN; in the GOT-10k toolkit NaN spoils the mean, and a box of
    zeros overlaps by 0."""
    numbers = [0.0] * 4 if box_xyxy is None else np.add(xyxy_to_xywh(box_xyxy), (1, 1, 0, 0)).tolist()
    return ",".join(f"{number:.{decimals}f}" for number in numbers)
