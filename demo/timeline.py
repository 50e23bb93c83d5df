"""What the page's player shows beside the pictures: columns of plain values, one entry per frame in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from langtrack_core.fusion import BranchResult
from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.run.format import Row, Run
from langtrack_core.types import Decision, Step

from .annotation.redecide import rotated_rectangle

Confidence = float | Literal["absent"] | None
Numbers = list[float] | None


@dataclass
class Timeline:
    """One run, or a track put together of several.

    Attributes:
        index, time_s: of the frame in the clip.
        state: "searching", "tracking" or "lost".
        source: the branch that is believed, "language" or "tracker"; None when the target is absent.
        agree: the fused mask is the mean of both branches' masks.
        reanchor: the tracker was started anew on the language box.
        reason: code of the reason, see `Reason`.
        fused, language, tracker: confidence in [0, 1], "absent", or None: the branch did not run.
        fused_box, language_box, tracker_box: x1, y1, x2, y2 in pixels of the clip, half-open; None where
            nothing was found, or the branch did not run.
        language_corners, tracker_corners: of the rotated rectangle, x, y of four corners in pixels, or None.
        overlap: IoU of the two branches' boxes; None unless both found something.
    """

    index: list[int] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    source: list[str | None] = field(default_factory=list)
    agree: list[bool] = field(default_factory=list)
    reanchor: list[bool] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    fused: list[Confidence] = field(default_factory=list)
    language: list[Confidence] = field(default_factory=list)
    tracker: list[Confidence] = field(default_factory=list)
    fused_box: list[Numbers] = field(default_factory=list)
    language_box: list[Numbers] = field(default_factory=list)
    tracker_box: list[Numbers] = field(default_factory=list)
    language_corners: list[Numbers] = field(default_factory=list)
    tracker_corners: list[Numbers] = field(default_factory=list)
    overlap: list[float | None] = field(default_factory=list)

    def add(self, step: Step) -> None:
        language, tracker, fused = step.language, step.tracker, step.fused
        self._add(
            (step.frame.index, step.frame.time_s),
            step.decision,
            (fused, language, tracker),
            None if language is None else language.corners_xy,
            None if tracker is None else tracker.corners_xy,
        )

    @classmethod
    def of_run(cls, run: Run) -> Timeline:
        """From a run that was read back; the rotated rectangles come from its masks, about 1 ms a frame."""
        timeline = cls()
        for row in run.rows:
            said = (row.fused, row.language, row.tracker)
            corners = (rotated_rectangle(run, row.frame, branch) for branch in ("language", "tracker"))
            timeline._add((row.frame, row.time_s), row.decision, said, *corners)
        return timeline

    @classmethod
    def merged(cls, parts: Sequence[Timeline], owners: Mapping[int, tuple[int, int]]) -> Timeline:
        """Entries by rising frame; ``owners`` says of which part, and where in it, each frame is."""
        whole = cls()
        order = [owners[frame] for frame in sorted(owners)]
        for column in fields(cls):
            lists = [getattr(part, column.name) for part in parts]
            setattr(whole, column.name, [lists[number][place] for number, place in order])
        return whole

    def _add(
        self,
        about: tuple[int, float],
        decision: Decision,
        said: tuple[BranchResult, BranchResult | None, BranchResult | None],
        language_corners: FloatArray | None,
        tracker_corners: FloatArray | None,
    ) -> None:
        index, time_s = about
        self.index.append(index)
        self.time_s.append(round(time_s, 4))
        self.state.append(decision.state)
        self.source.append(decision.source)
        self.agree.append(decision.agree)
        self.reanchor.append(decision.reanchor)
        self.reason.append(decision.reason)
        boxes = [None if one is None else one.box_xyxy for one in said]
        for branch, one, box in zip(("fused", "language", "tracker"), said, boxes, strict=True):
            getattr(self, branch).append(confidence_of(one))
            getattr(self, f"{branch}_box").append(numbers(box))
        self.language_corners.append(numbers(language_corners))
        self.tracker_corners.append(numbers(tracker_corners))
        _, language_box, tracker_box = boxes
        both = language_box is not None and tracker_box is not None
        self.overlap.append(round(box_iou(language_box, tracker_box), 3) if both else None)  # type: ignore[arg-type]


def decided_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns of a timeline that a what-if changes, from rows that were decided again."""
    return {
        "state": [row.decision.state for row in rows],
        "source": [row.decision.source for row in rows],
        "agree": [row.decision.agree for row in rows],
        "reanchor": [row.decision.reanchor for row in rows],
        "reason": [row.decision.reason for row in rows],
        "fused": [confidence_of(row.fused) for row in rows],
        "fused_box": [numbers(row.fused.box_xyxy) for row in rows],
        "language": [confidence_of(row.language) for row in rows],
        "tracker": [confidence_of(row.tracker) for row in rows],
    }


def confidence_of(said: BranchResult | None) -> Confidence:
    if said is None:
        return None
    return round(said.confidence, 3) if said.box_xyxy is not None else "absent"


def numbers(points: FloatArray | None) -> Numbers:
    """Pixels to a tenth, in one list."""
    return None if points is None else np.round(points, 1).ravel().tolist()
