"""Verdicts of a person, their files, and the queue of frames to judge."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from fake_branches import decided

from demo.annotation.reviews import Verdict, Verdicts, differ, disagreement, review_queue
from langtrack_core.run.format import BranchBox, Row, Run
from langtrack_core.types import LangTrackError

NASTY = ['<script>alert("x")</script>', "=1+1, with a comma", "two\nlines", 'a "quote"', "ümläut 猫", " "]


def some() -> Verdicts:
    verdicts = Verdicts()
    verdicts.give(3, 9, "tracker")
    verdicts.give(5, 5, "absent", "behind the tree")
    for frame, note in enumerate(NASTY, 20):
        verdicts.give(frame, frame, None, note)
    return verdicts


def test_a_range_a_later_verdict_and_a_note_alone() -> None:
    verdicts = some()
    assert verdicts[4] == Verdict("tracker") and verdicts[5] == Verdict("absent", "behind the tree")
    verdicts.give(5, 6, None, "sure")
    assert verdicts[5] == Verdict("absent", "sure") and verdicts[6] == Verdict("tracker", "sure")
    verdicts.give(5, 5, "both")
    assert verdicts[5] == Verdict("both", "sure")
    assert verdicts.counts() == {"language": 0, "tracker": 6, "both": 1, "neither": 0, "absent": 0}
    verdicts.clear(4, 8)
    assert list(verdicts)[:3] == [3, 9, 20] and 4 not in verdicts
    verdicts.give(20, 20, None, "")
    assert 20 not in verdicts  # nothing is left of it


def test_json_and_csv_bring_back_what_was_written() -> None:
    verdicts = some()
    assert Verdicts.from_json(json.loads(json.dumps(verdicts.to_json()))) == verdicts
    assert Verdicts.from_csv(verdicts.to_csv()) == verdicts
    assert Verdicts.from_text(json.dumps(verdicts.to_json())) == verdicts
    assert Verdicts.from_text("\ufeff" + verdicts.to_csv()) == verdicts
    assert Verdicts.from_text(Verdicts().to_csv()) == Verdicts()
    assert verdicts.to_csv().splitlines()[:2] == ["frame,verdict,note", "3,tracker,"]


def entry(**changes: object) -> str:
    entry = {"frame": 1, "verdict": "both", "note": ""} | changes
    return json.dumps({"format": "langtrack-verdicts", "format_version": 1, "verdicts": [entry]})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "need the columns frame,verdict,note"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "another format"),
        ('{"format": "langtrack-run"}', "another format"),
        ('{"format": "langtrack-verdicts", "format_version": 2}', "version 2 cannot be read"),
        ('{"format": "langtrack-verdicts", "format_version": 1}', "need a list"),
        (entry(frame=-1), "Entry 1 .*whole number"),
        (entry(frame=float("nan")), "got nan"),
        (entry(frame=1e300), "whole number"),
        (entry(frame=True), "got True"),
        (entry(frame="1"), "got '1'"),
        (entry(verdict="yes"), "one of language, tracker, both, neither, absent"),
        (entry(verdict=["both"]), "A verdict is one of"),
        (entry(note=3), "A note is a text"),
        (entry(note="x" * 3000), "at most 2000 characters"),
        ("frame,verdict,note\n1,both,\n1,both,\n", "Line 3 of the verdicts is wrong: frame 1 occurs twice"),
        ("frame,verdict,note\n1,both\n", "Line 2 of the verdicts has 2 cells"),
        ("frame,verdict,note\nx,both,\n", "Line 2.*got 'x'"),
        ('frame,verdict,note\n1,both,"open', "not valid CSV"),
        ("frame,note\n", "need the columns"),
    ],
)
def test_what_is_not_verdicts_is_refused_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(LangTrackError, match=why):
        Verdicts.from_text(text)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((4, 3, "both"), "ends at frame 3, before it begins"),
        ((0, 5_000_000, "both"), "at most a million"),
        ((float("inf"), 3, "both"), "whole number"),
        ((0, 0, "left"), "A verdict is one of"),
    ],
)
def test_wrong_ranges_are_refused(given: tuple, why: str) -> None:
    verdicts = Verdicts()
    with pytest.raises(LangTrackError, match=why):
        verdicts.give(*given)
    assert len(verdicts) == 0


# --- the queue ---------------------------------------------------------------------------------------------


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
    assert scores == sorted(scores) and scores[0] == 0 and len(set(scores)) == 4
    assert disagreement(far).why == "both sure, at different places"
    assert disagreement(row(4, None)) == (4, pytest.approx(0.75 * 0.9), "only the language sees it")
    alone = Row(5, 0.2, decided("tracker"), BranchBox(None, 0.5), None, BranchBox(np.ones(4), 0.5))
    assert 0 < disagreement(alone).score < 0.3
    nothing = Row(
        6, 0.2, decided(None, "lost"), BranchBox(None, 0.0), BranchBox(None, 0.1), BranchBox(None, 0.1)
    )
    assert disagreement(nothing).score == 0


def test_the_queue_is_the_worst_first_and_never_neighbours() -> None:
    rng = np.random.default_rng(0)
    shifts = np.where(np.arange(1000) // 100 == 4, 14 + rng.uniform(0, 5, 1000), rng.uniform(0, 12, 1000))
    run = Run({}, [row(k, float(s)) for k, s in enumerate(shifts)], {})
    queue = review_queue(run, limit=20)
    assert len(queue) == 20
    assert [d.score for d in queue] == sorted((d.score for d in queue), reverse=True)
    assert queue[0].frame == int(np.argmax(shifts))
    gap = 1000 // 80
    frames = sorted(d.frame for d in queue)
    assert all(b - a >= gap for a, b in itertools.pairwise(frames))
    assert sum(400 <= frame < 500 for frame in frames) < 10  # not one bad stretch alone


def test_judged_frames_and_their_neighbours_are_left_out() -> None:
    run = Run({}, [row(k, 20) for k in range(100)], {})
    done = range(0, 60)
    frames = [d.frame for d in review_queue(run, limit=5, apart=10, exclude=done)]
    assert len(frames) == 4 and min(frames) >= 69
    assert review_queue(run, limit=5, apart=1, exclude=range(100)) == []


def test_frames_without_disagreement_are_not_proposed() -> None:
    assert review_queue(Run({}, [row(k, 0) for k in range(50)], {})) == []
    nearly = Run({}, [row(k, 5) for k in range(50)], {})  # boxes with an IoU of 0.6
    assert review_queue(nearly) == [] and not any(map(differ, nearly.rows))
    apart = Run({}, [row(0, 0), row(1, 40), row(2, None)], {})
    assert list(map(differ, apart.rows)) == [False, True, True]
    assert review_queue(Run({}, [], {})) == []
