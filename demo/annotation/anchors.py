"""Boxes that a person drew: anchors of a track. Runs that start on them are joined where both say the same.

A target is a stack of runs. A later run replaces the frames that it has, but never the frame of an anchor,
nor what lies beyond it. Between two anchors the track runs forward from the first and backward from the
second.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from langtrack_core.fusion import overlap
from langtrack_lab.runs import Run


def anchor_of(run: Run) -> int | None:
    """The frame on which the box was drawn that a run started on; None for words, and for a chosen region."""
    is_drawn = run.manifest.get("box_xyxy") is not None and run.manifest.get("exact", True)
    return run.manifest.get("start", 0) if is_drawn else None


def is_backward(run: Run) -> bool:
    return bool(run.manifest.get("direction") == "backward")


RUN_KEY_FIELDS = ("edit", "start", "direction", "expression", "box_xyxy", "every", "weights")
"""Names of the entries of a manifest that tell apart the runs of one video."""


def run_key(run: Run) -> str:
    """A short text for what a run was asked and with which weights: equal for the same run made again."""
    fields = {name: run.manifest.get(name) for name in RUN_KEY_FIELDS}
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()[:12]


def next_anchor(anchors: Iterable[int], start: int, *, backward: bool) -> int | None:
    """The first anchor that a pass from a frame comes to; None when it is free to the end of the clip."""
    if backward:
        return max((frame for frame in anchors if frame < start), default=None)
    return min((frame for frame in anchors if frame > start), default=None)


def newest_pass(runs: Sequence[Run], anchor: int, *, backward: bool) -> int | None:
    """The index of the newest run in a direction from the box that was last drawn on a frame."""
    box = None
    for number in reversed(range(len(runs))):
        run = runs[number]
        if anchor_of(run) != anchor:
            continue
        box = box or run.manifest["box_xyxy"]
        if run.manifest["box_xyxy"] == box and is_backward(run) == backward:
            return number
    return None


def owners(runs: Sequence[Run]) -> dict[int, tuple[int, int]]:
    """A table from frame numbers to the run that owns the frame (its index) and the row's place there."""
    table: dict[int, tuple[int, int]] = {}
    anchors: set[int] = set()
    for number, run in enumerate(runs):
        anchor, backward = anchor_of(run), is_backward(run)
        start = run.manifest.get("start", 0)
        end = next_anchor(anchors, start, backward=backward)
        for place, row in enumerate(run.rows):
            beyond = end is not None and (row.frame <= end if backward else row.frame >= end)
            if not beyond and (row.frame not in anchors or row.frame == anchor):
                table[row.frame] = number, place
        if anchor is None:
            continue
        anchors.add(anchor)
        partner = None if end is None else newest_pass(runs[:number], end, backward=not backward)
        if partner is not None:
            table |= _joined(runs, partner, number) if backward else _joined(runs, number, partner)
    return table


def _joined(runs: Sequence[Run], forward: int, backward: int) -> dict[int, tuple[int, int]]:
    """Owners of the frames between two anchors: one run up to the meeting frame, the other one from there.

    They meet where their boxes overlap most, to a tenth: of frames that are alike the one nearest the middle,
    since a track is the surer the nearer its box is. Nothing is decided here when no frame has both.
    """
    places = [{row.frame: place for place, row in enumerate(runs[n].rows)} for n in (forward, backward)]
    first, last = (int(runs[n].manifest.get("start", 0)) for n in (forward, backward))
    gap = range(first + 1, last)

    def closeness(frame: int) -> tuple[float, float]:
        boxes = [runs[n].rows[at[frame]].fused for n, at in zip((forward, backward), places, strict=True)]
        return round(overlap(*boxes) or 0.0, 1), -abs(frame - (first + last) / 2)

    meeting = max((frame for frame in gap if all(frame in at for at in places)), key=closeness, default=None)
    if meeting is None:
        return {}
    joined = {frame: (backward, places[1][frame]) for frame in gap if frame in places[1]}
    onward = {frame: (forward, at) for frame, at in places[0].items() if frame in gap}
    return joined | {f: owner for f, owner in onward.items() if f <= meeting or f not in joined}
