"""Several targets through one decoding: a run folder each, entries of their own, stopped by the caller."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_branches import oracle_tracker
from synthetic import Clip, moving_object, write_mp4

from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import Rows, track_targets
from langtrack_core.types import LangTrackError, Query
from langtrack_lab.runs import read_run

FRAMES = 6
QUIET = RunOptions(video=False)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return moving_object(FRAMES, (64, 96))


@pytest.fixture(scope="module")
def source(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mp4(clip, tmp_path_factory.mktemp("clip") / "clip.mp4")


def test_each_target_gets_its_folder_and_its_own_entries(clip: Clip, source: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    queries = {a: Query("the red zebra"), b: Query("the ellipse")}
    runs = track_targets(oracle_tracker(clip.masks), source, queries, QUIET, about={b: {"edit": 3}})
    assert [run.folder for run in runs] == [a, b] and runs[0].unknown_words == ("zebra",)
    assert "edit" not in read_run(a).manifest and read_run(b).manifest["edit"] == 3
    assert all(run.states.total() == FRAMES and not run.stopped for run in runs)


def test_a_drawn_box_is_the_truth_on_its_frame_and_no_further(
    clip: Clip, source: Path, tmp_path: Path
) -> None:
    box = clip.boxes_xyxy[2] + 3
    query = {tmp_path / "a": Query("red", box, 2)}
    (run,) = track_targets(oracle_tracker(clip.masks), source, query, QUIET)
    first, second = read_run(run.folder).rows[:2]
    assert first.decision.reason == "user_box" and first.fused.confidence == 1
    assert first.fused.box_xyxy == pytest.approx(box) and second.decision.reason == "agree"
    assert first.language is not None and first.tracker is not None


def test_the_caller_stops_it_and_what_is_done_is_kept(clip: Clip, source: Path, tmp_path: Path) -> None:
    tracker, queries = oracle_tracker(clip.masks), {tmp_path / "a": Query("red")}
    (run,) = track_targets(tracker, source, queries, QUIET, on_steps=lambda steps: steps[0].frame.index < 2)
    assert run.stopped and run.states.total() == 3
    assert read_run(run.folder).manifest["complete"] is False


def test_steps_may_come_from_elsewhere_and_an_error_leaves_nothing(
    clip: Clip, source: Path, tmp_path: Path
) -> None:
    def damaged() -> Rows:
        yield from ()
        yield "It ends early."

    queries = {tmp_path / "runs" / "a": Query("red", start=5)}
    for keep, error in ((False, "ends early"), (True, None)):
        options = RunOptions(video=False, keep_damaged=keep)
        if error is None:
            assert track_targets(oracle_tracker(clip.masks), source, queries, options, rows=damaged()) == []
        else:
            with pytest.raises(LangTrackError, match=error):
                track_targets(oracle_tracker(clip.masks), source, queries, options, rows=damaged())
        assert list(tmp_path.iterdir()) == []
