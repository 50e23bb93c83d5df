"""Frames of a track that consists of several runs: who owns them, and where two anchors meet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_branches import decided

from demo.annotation.anchors import newest_pass, owners
from langtrack_lab.runs import BranchBox, Row, Run

BOX = [0.0, 0.0, 10.0, 10.0]


def run(
    start: int,
    end: int,
    *,
    box: list[float] | None = BOX,
    left: Callable[[int], float | None] = lambda frame: 0.0,
) -> Run:
    """A run from a frame to another one, both included.

    Args:
        box: that was drawn on the first one.
        left: edge of the box on a frame; None: absent.
    """
    rows = []
    for frame in range(start, end + 1) if end >= start else range(start, end - 1, -1):
        x = left(frame)
        fused = BranchBox(None if x is None else np.array([x, 0, x + 10, 10]), 0.5)
        rows.append(Row(frame, frame / 10, decided("tracker"), fused, None, None))
    direction = "forward" if end >= start else "backward"
    return Run({"start": start, "direction": direction, "box_xyxy": box}, rows, {})


def owned(*runs: Run) -> str:
    """The number of the owner of each frame; where it is a run's row of that frame, too."""
    table = owners(runs)
    assert all(runs[number].rows[place].frame == frame for frame, (number, place) in table.items())
    return "".join(str(table[frame][0]) for frame in sorted(table))


WORDS = run(0, 9, box=None)


def test_a_later_run_replaces_the_frames_that_it_has() -> None:
    assert owned(WORDS) == "0000000000"
    assert owned(WORDS, run(4, 6, box=None)) == "0000111000"
    assert owned(WORDS, run(4, 0)) == "1111100000"


def test_nothing_overwrites_an_anchor_or_what_lies_beyond() -> None:
    anchored = run(6, 9)
    assert owned(WORDS, anchored, run(2, 9, box=None)) == "0022221111"
    assert owned(WORDS, anchored, run(8, 0, box=None)) == "0000001221"
    assert owned(WORDS, anchored, run(6, 9, box=None)) == "0000001222"
    assert owned(WORDS, anchored, run(6, 9)) == "0000002222"  # a new box there is a new anchor


def test_two_anchors_meet_in_the_middle_when_their_tracks_are_alike_or_never_overlap() -> None:
    assert owned(WORDS, run(1, 9), run(9, 2)) == "0111112222"
    assert owned(WORDS, run(1, 9), run(9, 2, left=lambda frame: 50.0)) == "0111112222"
    assert owned(WORDS, run(1, 9), run(9, 2, left=lambda frame: None)) == "0111112222"
    assert owned(WORDS, run(9, 2), run(1, 9)) == "0222221111"  # whichever came first


def test_two_anchors_meet_where_their_tracks_overlap_most() -> None:
    assert owned(WORDS, run(1, 9), run(9, 2, left=lambda frame: 2.0 * abs(frame - 3))) == "0111222222"
    assert owned(WORDS, run(1, 9), run(9, 2, left=lambda frame: 2.0 * abs(frame - 7))) == "0111111122"


def test_a_third_anchor_between_two_joins_both() -> None:
    runs = [WORDS, run(0, 9), run(9, 1), run(5, 8), run(5, 1)]
    assert owned(*runs[:3]) == "1111122222"
    assert owned(*runs) == "1114443322"
    assert owned(*runs[:3]) == "1111122222"  # as before: undone


def test_tracks_that_were_cancelled_give_what_they_have() -> None:
    assert owned(WORDS, run(0, 9), run(9, 7)) == "1111111122"
    assert owned(WORDS, run(0, 2), run(9, 7)) == "1110000222"


@pytest.mark.parametrize(("backward", "number"), [(False, 3), (True, None)])
def test_a_new_box_on_an_anchor_leaves_the_tracks_of_the_old_one_aside(
    backward: bool, number: int | None
) -> None:
    runs = [WORDS, run(5, 9), run(5, 0), run(5, 9, box=[1.0, 1.0, 9.0, 9.0])]
    assert newest_pass(runs, 5, backward=backward) == number
