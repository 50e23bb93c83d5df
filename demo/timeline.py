"""What the page's player shows beside the pictures: columns of plain values, one entry per frame in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from langtrack_core.fusion import Said
from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.run.format import Row, Run
from langtrack_core.types import Step

from .annotation.redecide import rotated_rectangle

Confidence = float | Literal["absent"] | None
Numbers = list[float] | None


@dataclass
class Timeline:
    """One run, or a track put together of several.

    Attributes:
        index, time_s: of the frame in the clip.
        state: "searching", "tracking" or "lost".
        source: "lgm", "siam" or "none", of the fused estimate.
        fused, lgm, siam: confidence in [0, 1] of what was found, "absent", or None: the branch did not run.
        reason: why the fusion decided so.
        fused_box, lgm_box, siam_box: x1, y1, x2, y2 in pixels of the clip, half-open; None where nothing was
            found, or the branch did not run.
        lgm_corners, siam_corners: of the rotated rectangle, x, y of four corners in pixels, or None.
        agree: IoU of the two branches' boxes; None unless both found something.
    """

    index: list[int] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    fused: list[Confidence] = field(default_factory=list)
    lgm: list[Confidence] = field(default_factory=list)
    siam: list[Confidence] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    fused_box: list[Numbers] = field(default_factory=list)
    lgm_box: list[Numbers] = field(default_factory=list)
    siam_box: list[Numbers] = field(default_factory=list)
    lgm_corners: list[Numbers] = field(default_factory=list)
    siam_corners: list[Numbers] = field(default_factory=list)
    agree: list[float | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def found(self) -> int:
        """Frames with the object."""
        return sum(said != "absent" for said in self.fused)

    def add(self, step: Step) -> None:
        lgm, siam, fused = step.grounded, step.tracked, step.fused
        self._add(
            (step.frame.index, step.frame.time_s, step.state, step.reason),
            fused.source if fused.present else "none",
            (fused, lgm, siam),
            None if lgm is None else lgm.corners_xy,
            None if siam is None else siam.corners_xy,
        )

    @classmethod
    def of_run(cls, run: Run) -> Timeline:
        """From a run that was read back; the rotated rectangles come from its masks, about 1 ms a frame."""
        timeline = cls()
        for row in run.rows:
            said = (row.fused, row.lgm, row.siam)
            corners = (rotated_rectangle(run, row.frame, branch) for branch in ("lgm", "siam"))
            timeline._add((row.frame, row.time_s, row.state, row.reason), row.source, said, *corners)
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
        about: tuple[int, float, str, str],
        source: str,
        said: tuple[Said, Said | None, Said | None],
        lgm_corners: FloatArray | None,
        siam_corners: FloatArray | None,
    ) -> None:
        index, time_s, state, reason = about
        self.index.append(index)
        self.time_s.append(round(time_s, 4))
        self.state.append(state)
        self.reason.append(reason)
        self.source.append(source)
        boxes = [None if one is None else one.box_xyxy for one in said]
        for branch, one, box in zip(("fused", "lgm", "siam"), said, boxes, strict=True):
            getattr(self, branch).append(confidence_of(one))
            getattr(self, f"{branch}_box").append(numbers(box))
        self.lgm_corners.append(numbers(lgm_corners))
        self.siam_corners.append(numbers(siam_corners))
        _, lgm_box, siam_box = boxes
        both = lgm_box is not None and siam_box is not None
        self.agree.append(round(box_iou(lgm_box, siam_box), 3) if both else None)  # type: ignore[arg-type]


def decided_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns of a timeline that a what-if changes, from replayed rows."""
    return {
        "state": [row.state for row in rows],
        "source": [row.source for row in rows],
        "reason": [row.reason for row in rows],
        "fused": [confidence_of(row.fused) for row in rows],
        "fused_box": [numbers(row.fused.box_xyxy) for row in rows],
        "lgm": [confidence_of(row.lgm) for row in rows],
        "siam": [confidence_of(row.siam) for row in rows],
    }


def confidence_of(said: Said | None) -> Confidence:
    if said is None:
        return None
    return round(said.confidence, 3) if said.box_xyxy is not None else "absent"


def numbers(points: FloatArray | None) -> Numbers:
    """Pixels to a tenth, in one list."""
    return None if points is None else np.round(points, 1).ravel().tolist()
