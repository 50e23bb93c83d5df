"""Verdicts of a person, and their files."""

from __future__ import annotations

import json

import pytest

from demo.annotation.reviews import Verdict, Verdicts
from langtrack_core.types import LangTrackError

NASTY = ['<script>alert("x")</script>', "=1+1, with a comma", "two\nlines", 'a "quote"', "ümläut 猫", " "]


def some() -> Verdicts:
    verdicts = Verdicts()
    verdicts.give(3, 9, "tracker")
    verdicts.give(7, 12, "tracker", runs={7: "abc", 8: "abc"})  # the track has no other frames
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
    assert verdicts.to_csv().splitlines()[:2] == ["frame,verdict,note,run", "3,tracker,,"]
    assert verdicts[7].run == "abc" and verdicts[3].run == ""
    assert Verdicts.from_csv("frame,verdict,note\n3,tracker,\n")[3] == Verdict("tracker")
    copy = verdicts.copy()
    copy.clear(0, 100)
    assert len(verdicts) > len(copy) == 0


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
        (entry(run=7), "run of a verdict"),
        (entry(run="x" * 65), "run of a verdict"),
        ("frame,verdict,note\n1,both,\n1,both,\n", "Line 3 of the verdicts is wrong: frame 1 occurs twice"),
        ("frame,verdict,note\n1,both\n", "Line 2 of the verdicts has 2 cells"),
        ("frame,verdict,note\nx,both,\n", "Line 2.*got 'x'"),
        ("frame,verdict,note\n" + "1" * 5000 + ",both,\n", "Line 2.*whole number"),
        ('frame,verdict,note\n1,both,"open', "not valid CSV"),
        ("frame,note\n", "need the columns"),
    ],
)
def test_what_is_not_verdicts_is_refused_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(LangTrackError, match=why):
        Verdicts.from_text(text)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((4, 3, "both"), "ends at frame 3, before it begins"),
        ((0, 5_000_000, "both"), "at most a million"),
        ((float("inf"), 3, "both"), "whole number"),
        ((0, 0, "left"), "A verdict is one of"),
    ],
)
def test_wrong_ranges_are_refused(arguments: tuple, why: str) -> None:
    verdicts = Verdicts()
    with pytest.raises(LangTrackError, match=why):
        verdicts.give(*arguments)
    assert len(verdicts) == 0
