"""Where the branches disagree: how much, and the episodes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_branches import decided

from demo.annotation.episodes import differ, disagreement, episodes
from langtrack_lab.runs import BranchBox, Row, Run


def row(frame: int, shift: float | None, language: float = 0.9, tracker: float = 0.9) -> Row:
    """The tracker's box is ``shift`` pixels beside the language's, or not there at all."""
    box = np.array([10.0, 10, 30, 30])
    other = None if shift is None else box + np.array([shift, 0, shift, 0])
    return Row(
        frame,
        frame / 25,
        decided("language"),
        BranchBox(box, language),
        BranchBox(box, language),
        BranchBox(other, tracker),
    )


def test_disagreement_rises_with_distance_and_with_both_confidences() -> None:
    agreeing, near, far, unsure = row(0, 0), row(1, 5), row(2, 40), row(3, 40, tracker=0.1)
    scores = [disagreement(one).score for one in (agreeing, near, unsure, far)]
    assert scores[:2] == [0, 0] and 0 < scores[2] < scores[3]
    assert disagreement(far).why == "both sure, at different places"
    assert disagreement(row(4, None)) == (pytest.approx(0.75 * 0.9), "only the language sees it")
    alone = Row(5, 0.2, decided("tracker"), BranchBox(None, 0.5), None, BranchBox(np.ones(4), 0.5))
    assert disagreement(alone).score == 0
    nothing = Row(
        6, 0.2, decided(None, "lost"), BranchBox(None, 0.0), BranchBox(None, 0.1), BranchBox(None, 0.1)
    )
    assert disagreement(nothing).score == 0


def test_frames_in_a_row_are_one_episode_and_a_short_touch_does_not_end_it() -> None:
    shifts = [0.0] * 60
    shifts[10:20] = [40.0] * 10
    shifts[14:16] = [0.0, 0.0]  # they touch for two frames
    shifts[24:27] = [30.0, 60.0, 30.0]
    result = episodes(Run({}, [row(k, shift) for k, shift in enumerate(shifts)], {}))
    assert [(one.first, one.last) for one in result] == [(10, 19), (24, 26)]
    assert result[1].peak in range(24, 27) and result[1].why == "both sure, at different places"


def test_the_peak_is_the_frame_with_the_largest_disagreement() -> None:
    (episode,) = episodes(Run({}, [row(k, 40, tracker=0.5 + k / 100) for k in range(5)], {}))
    assert episode.peak == 4 and episode.score == disagreement(row(0, 40, tracker=0.54)).score


def test_frames_on_which_a_branch_did_not_look_interrupt_no_episode() -> None:
    rows = [row(k, 40) if k % 10 == 0 else replace(row(k, 40), language=None) for k in range(31)]
    assert [(one.first, one.last) for one in episodes(Run({}, rows, {}))] == [(0, 30)]


def test_frames_without_disagreement_make_no_episode() -> None:
    nearly = Run({}, [row(k, 5) for k in range(50)], {})  # boxes with an IoU of 0.6
    assert episodes(nearly) == [] and not any(map(differ, nearly.rows))
    assert episodes(Run({}, [row(k, None, language=0.05) for k in range(50)], {})) == []  # hardly believed
    apart = Run({}, [row(0, 0), row(1, 40), row(2, None)], {})
    assert list(map(differ, apart.rows)) == [False, True, True]
    assert episodes(Run({}, [], {})) == []
