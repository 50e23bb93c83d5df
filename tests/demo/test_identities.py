"""Two targets of one run that meet: who is who afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from demo.annotation.coincidence import coincidences
from demo.identities import Identities
from langtrack_core.types import Decision, Estimate, Frame, Reason, Step
from langtrack_lab.runs import BranchBox, Row

RED, BLUE = (220, 30, 30), (30, 40, 210)
FRAMES = 40


def left_of(thing: str, frame: int) -> int:
    """The red thing goes to the right; the blue one goes to the left and passes in front of it."""
    return 4 + 3 * frame if thing == "red" else 124 - 3 * frame


def steps_on(frame: int, things: tuple[str, str]) -> tuple[Step, ...]:
    """A frame, with two tracks that are on these things."""
    rgb = np.full((40, 160, 3), 120, np.uint8)
    for thing, colour in (("red", RED), ("blue", BLUE)):
        rgb[10:30, left_of(thing, frame) : left_of(thing, frame) + 30] = colour
    steps = []
    for thing in things:
        prob = np.zeros((40, 160), np.float32)
        prob[10:30, left_of(thing, frame) : left_of(thing, frame) + 30] = 1
        estimate = Estimate.from_mask(prob, 0.9)
        decision = Decision("tracker", "tracking", 0.9, False, False, Reason.HELD)
        steps.append(Step(Frame(frame, frame / 25, rgb), None, estimate, estimate, decision))
    return tuple(steps)


MEET, PART = 16, 25
"""Frames on which the things begin to overlap by half, and on which they have parted."""


@pytest.mark.parametrize(
    ("after", "end"),
    [
        (("blue", "blue"), (None, "blue")),  # the hidden one's track goes on with the thing in front
        (("red", "blue"), ("red", "blue")),
        (("blue", "red"), ("red", "blue")),  # they have changed places
    ],
)
def test_two_targets_that_meet_stay_who_they_are(after: tuple[str, str], end: tuple[str | None, str]) -> None:
    identities = Identities(2)
    for frame in range(FRAMES):
        tracks = ("red", "blue") if frame < MEET else ("blue", "blue") if frame < PART else after
        red, blue = identities.settle(steps_on(frame, tracks))
        assert blue.fused.box_xyxy is not None
        if MEET + 3 <= frame < PART:
            assert (red.decision.state, red.decision.reason) == ("lost", Reason.SAME_TARGET)
            assert red.fused.box_xyxy is None and red.tracker is not None
    for step, thing in ((red, end[0]), (blue, end[1])):
        if thing is None:
            assert step.decision.reason is Reason.SAME_TARGET
        else:
            assert step.fused.box_xyxy is not None
            assert step.fused.box_xyxy[0] == left_of(thing, FRAMES - 1)


def test_neighbours_that_pass_each_other_beside_are_left_alone() -> None:
    identities = Identities(2)
    for frame in range(MEET - 1):
        steps = steps_on(frame, ("red", "blue"))
        assert all(one is other for one, other in zip(identities.settle(steps), steps, strict=True))


def test_tracks_on_the_same_thing_are_told() -> None:
    def rows(shift: int, frames: range) -> list[Row]:
        decision = Decision("tracker", "tracking", 0.9, False, False, Reason.TRACKER_ONLY)
        boxes = [BranchBox(np.array([0.0, 0, 10, 10]) + (shift if k < 5 else 1), 0.9) for k in frames]
        return [Row(k, k / 25, decision, box, None, box) for k, box in zip(frames, boxes, strict=True)]

    tracks = {
        1: rows(0, range(12)),
        2: rows(40, range(2, 10)),  # from frame 5 on, on the same thing as 1
        3: rows(80, range(4, 6)),  # on one frame alone
        4: rows(120, range(5)),
    }
    assert coincidences(tracks) == {1: [(2, 5, 5)], 2: [(1, 5, 5)], 3: [], 4: []}
