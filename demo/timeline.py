"""The timeline of the page's player: columns of plain values, one entry per frame in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from langtrack_core.fusion import BranchResult, overlap
from langtrack_core.geometry import FloatArray
from langtrack_core.masks import enclosing_rectangle
from langtrack_core.types import Step
from langtrack_lab.runs import Row, Run

from .annotation.redecide import rotated_rectangle

Numbers = list[float] | None


class FrameGeometry(NamedTuple):
    """Geometry of a frame that the page shows and a `Row` lacks; it is computed once for each run.

    Attributes:
        language_corners, tracker_corners: of the rotated rectangle around a branch's mask, x, y of four
            corners in pixels; None where nothing was found, or the branch did not run.
        fused_corners: of the one around the fused mask, where the branches agree; elsewhere it is a branch's.
        overlap: IoU of the two branches' boxes; None unless both found something.
    """

    language_corners: Numbers
    tracker_corners: Numbers
    fused_corners: Numbers
    overlap: float | None

    @classmethod
    def of_step(cls, step: Step) -> FrameGeometry:
        """The geometry of a frame that was just tracked."""
        language, tracker = step.language, step.tracker
        return cls(
            _numbers(None if language is None else language.corners_xy),
            _numbers(None if tracker is None else tracker.corners_xy),
            _numbers(enclosing_rectangle(step.fused.mask) if step.decision.agree else None),
            _overlap(language, tracker),
        )

    @classmethod
    def of_run(cls, run: Run) -> dict[int, FrameGeometry]:
        """The geometry of every frame; the rectangles come from the run's masks, about 1 ms a frame."""
        return {
            row.frame: cls(
                _numbers(rotated_rectangle(run, row.frame, "language")),
                _numbers(rotated_rectangle(run, row.frame, "tracker")),
                _numbers(rotated_rectangle(run, row.frame, "fused") if row.decision.agree else None),
                _overlap(row.language, row.tracker),
            )
            for row in run.rows
        }


def timeline(rows: Sequence[Row], geometry: Mapping[int, FrameGeometry]) -> dict[str, list[Any]]:
    """The columns of a track, from its rows as they were recorded.

    Returns:
        ``index``, ``time_s`` of the frame in the clip; `decided_columns`; ``language_box``, ``tracker_box``:
        x1, y1, x2, y2 in pixels of the clip, half-open, None where nothing was found or the branch did not
        run; and the fields of `FrameGeometry`.
    """
    shapes = [geometry[row.frame] for row in rows]
    return {
        "index": [row.frame for row in rows],
        "time_s": [round(row.time_s, 4) for row in rows],
        **decided_columns(rows),
        "language_box": [_box(row.language) for row in rows],
        "tracker_box": [_box(row.tracker) for row in rows],
        "language_corners": [shape.language_corners for shape in shapes],
        "tracker_corners": [shape.tracker_corners for shape in shapes],
        "fused_corners": [shape.fused_corners for shape in shapes],
        "overlap": [shape.overlap for shape in shapes],
    }


def decided_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns of a timeline that other settings change.

    Returns:
        ``state``, ``source``, ``agree``, ``reanchor``, ``reason``: see `Decision`; ``fused``, ``language``,
        ``tracker``: confidence in [0, 1], "absent", or None where the branch did not run; ``fused_box``.
    """
    return {
        "state": [row.decision.state for row in rows],
        "source": [row.decision.source for row in rows],
        "agree": [row.decision.agree for row in rows],
        "reanchor": [row.decision.reanchor for row in rows],
        "reason": [row.decision.reason for row in rows],
        "fused": [_confidence(row.fused) for row in rows],
        "language": [_confidence(row.language) for row in rows],
        "tracker": [_confidence(row.tracker) for row in rows],
        "fused_box": [_box(row.fused) for row in rows],
    }


def _confidence(result: BranchResult | None) -> float | Literal["absent"] | None:
    if result is None:
        return None
    return round(result.confidence, 3) if result.box_xyxy is not None else "absent"


def _box(result: BranchResult | None) -> Numbers:
    return None if result is None else _numbers(result.box_xyxy)


def _overlap(language: BranchResult | None, tracker: BranchResult | None) -> float | None:
    iou = overlap(language, tracker)
    return None if iou is None else round(iou, 3)


def _numbers(points: FloatArray | None) -> Numbers:
    """Coordinates in one list, rounded to a tenth of a pixel."""
    return None if points is None else np.round(points, 1).ravel().tolist()
