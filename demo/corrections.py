"""Corrections: the passes that bring a track to what a person drew or wrote, and the job that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from langtrack_core.geometry import box_iou
from langtrack_core.types import Estimate, Frame, Query
from langtrack_core.video import read_frames
from langtrack_lab.runs import Run

from .annotation.anchors import anchor_of, newest_pass, next_anchor
from .annotation.project import LEFT_OUT
from .track_job import TrackJob
from .track_request import TrackRequest

Direction = Literal["forward", "backward"]
DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "forward": ("forward",),
    "backward": ("backward",),
    "both": ("forward", "backward"),
}
"""The passes of a correction, for each direction that the page can send."""


def correction_passes(
    runs: Sequence[Run], request: TrackRequest, directions: Sequence[Direction]
) -> list[TrackRequest]:
    """The passes of a correction: none goes beyond the next anchor, and a box is joined with both neighbours.

    Args:
        runs: of the target so far.
        request: with the words or the box that begin on its start frame.
        directions: those that the person asked for.
    """
    start, has_box = request.start, request.queries[0].box_xyxy is not None and request.queries[0].exact
    anchors = {anchor for run in runs if (anchor := anchor_of(run)) is not None}
    passes, from_neighbours = [], []
    for backward in (False, True):
        end = next_anchor(anchors, start, backward=backward)
        joined = has_box and end is not None and abs(end - start) > 1
        if joined or ("backward" if backward else "forward") in directions:
            passes.append(replace(request, backward=backward, end=end))
        if not joined or end is None:
            continue
        number = newest_pass(runs, end, backward=not backward)
        frames = set() if number is None else {row.frame for row in runs[number].rows}
        if not frames.issuperset(range(min(start, end) + 1, max(start, end))):
            from_neighbours.append(_pass_from(runs, end, request, backward=not backward))
    return passes + from_neighbours


def _pass_from(runs: Sequence[Run], anchor: int, request: TrackRequest, *, backward: bool) -> TrackRequest:
    """A pass from another anchor to the request's start frame, with the box and the words that it has."""
    manifest = next(run for run in reversed(runs) if anchor_of(run) == anchor).manifest
    query = Query(manifest.get("expression"), np.array(manifest["box_xyxy"]), anchor, hold=True)
    every = manifest.get("every", 1)
    return TrackRequest(request.info, (query,), every, backward, end=request.start)


class CorrectionJob(TrackJob):
    """A correction. Words stay beside a drawn box only where they mean what is in it.

    Args:
        segment: the language branch on one frame.
        overlap: IoU of its box with the drawn one from which they mean the same.
    """

    def __init__(
        self, *arguments: Any, segment: Callable[[Frame, str], Estimate], overlap: float, **more: Any
    ) -> None:
        super().__init__(*arguments, kind="correct", videos=False, **more)
        self._segment = segment
        self._overlap = overlap

    def compute(self) -> None:
        request = self._passes[0][0]
        without_words = not self._words_fit(request)
        if without_words:
            query = replace(request.queries[0], text=None)
            self._about = {LEFT_OUT: request.queries[0].text}
            self.unknown_words = ()
            self._passes = [
                (replace(one, queries=(query,)) if one.start == request.start else one, targets)
                for one, targets in self._passes
            ]
        super().compute()
        if without_words:
            sentence = (
                f"The words mean something else than your box on frame {request.start}, so the track goes "
                "on by the box alone."
            )
            self.warning = f"{sentence} {self.warning or ''}".strip()

    def _words_fit(self, request: TrackRequest) -> bool:
        """Whether the words mean what the person drew on the start frame; True unless both are there.

        A region is one that the words fit.
        """
        (query,) = request.queries
        if query.text is None or query.box_xyxy is None or not query.exact:
            return True
        with closing(
            read_frames(request.info.path, start=query.start, on_damage=lambda sentence: None)
        ) as frames:
            box = self._segment(next(frames), query.text).box_xyxy
        return box is not None and box_iou(box, query.box_xyxy) >= self._overlap
