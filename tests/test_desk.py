"""What the page asks for, without the page: runs, corrections, comparisons, projects, the line, the API."""

from __future__ import annotations

import errno
import gzip
import json
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_world import (
    FRAMES,
    HEIGHT,
    SETTINGS,
    WIDTH,
    PacedTracker,
    counting_clip,
    cut_clip,
    eventually,
    grey_of,
)

import demo.hosting
from demo.desk import Desk
from demo.endpoints import Endpoints
from demo.film import MapsWriter
from demo.hosting import check_mcp, device, on_gpu, on_zero_gpu, seconds_for
from demo.line import Line
from demo.sessions import Session, Sessions
from demo.task import make_comparison, whole_number
from demo.timeline import Timeline
from demo.work import Work
from langtrack_core.runs import read_run
from langtrack_core.types import LangTrackError
from langtrack_core.video import read_frames

COLUMNS = set(Timeline.__dataclass_fields__)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(PacedTracker(), SETTINGS, Sessions(tmp_path / "root", 3600.0, 0.0, Line(2, 3)))
    yield made
    made.sessions.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "langtrack-run"] == []
    assert list((tmp_path / "root").rglob("*")) == []


@pytest.fixture
def me(desk: Desk) -> Session:
    return desk.sessions.get("me")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counting_clip(tmp_path_factory.mktemp("clip") / "grey.mp4")


@pytest.fixture
def clip(tmp_path: Path, source: Path) -> str:
    (tmp_path / "upload").mkdir()
    return str(shutil.copy(source, tmp_path / "upload" / "grey.mp4"))


def done(work: Work) -> Work:
    assert work.wait(60)
    assert work.error is None
    return work


def target(session: Session, number: int = 1) -> dict[str, Any]:
    assert session.workspace is not None
    return session.workspace.target_state(number)


def film_of(session: Session) -> list[int]:
    """The grey of each frame of the film."""
    assert session.workspace is not None and session.workspace.film is not None
    return [round(float(frame.rgb.mean())) for frame in read_frames(session.workspace.film)]


def maps_of(state: dict[str, Any]) -> np.ndarray:
    width, height = state["maps"]["size"]
    with gzip.open(state["maps"]["file"]) as stream:
        return np.frombuffer(stream.read(), np.uint8).reshape(-1, 2, height, width)


# --- runs --------------------------------------------------------------------------------------------------


def test_a_run_leaves_a_target_a_film_maps_and_files(desk: Desk, me: Session, clip: str) -> None:
    work = desk.follow(me, clip, "the red zorp", "", 4, 2)
    assert desk.progress(me)["title"] == "“the red zorp”" and work.unknown == ("zorp",)
    done(work)
    now = desk.progress(me)
    assert now["stage"] == "done" and now["frames"] == now["total"] == FRAMES - 4 and now["position"] == 0
    state = target(me)
    assert set(state["run"]) == COLUMNS and state["run"]["index"] == list(range(4, FRAMES))
    assert state["run"]["lgm"][:3] == [0.8, None, 0.8]
    assert state["edits"][0]["frames"] == [4, FRAMES - 1] and not state["can_undo"] and not state["stale"]
    assert state["settings"] == state["recorded"] and state["settings"]["every"] == 2
    assert {path.name for path in state["files"]} >= {"boxes.csv", "fused.mp4", "manifest.json"}
    with zipfile.ZipFile(state["bundle"]) as archive:
        assert "grey/boxes.csv" in archive.namelist()
    # The film begins with the clip, whatever the start frame.
    assert film_of(me) == pytest.approx([grey_of(k) for k in range(FRAMES)], abs=3)
    maps = maps_of(state)
    assert maps.shape == (FRAMES - 4, 2, HEIGHT, WIDTH) and maps[0, 0].max() == 255 and maps[1, 0].max() == 0
    json.dumps(me.workspace.state(), default=str)  # type: ignore[union-attr]


def test_a_correction_forward_keeps_what_was_before_and_undo_brings_it_back(
    desk: Desk, me: Session, clip: str
) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    first = target(me)
    work = done(desk.correct(me, 1, 10, "the car", "", "forward"))
    assert work.kind == "correct" and work.progress.total == FRAMES - 10
    state = target(me)
    assert state["run"]["index"] == list(range(FRAMES)) and state["stale"] and state["can_undo"]
    assert [edit["frames"] for edit in state["edits"]] == [[0, FRAMES - 1], [10, FRAMES - 1]]
    assert state["expression"] == "the car" and me.workspace.film_frames == FRAMES  # type: ignore[union-attr]
    np.testing.assert_array_equal(maps_of(state), maps_of(first))  # the oracle says the same again
    edited = [path for path in me.folder.rglob("boxes.csv")]
    back = me.workspace.undo(1)  # type: ignore[union-attr]
    assert back == first and len(list(me.folder.rglob("boxes.csv"))) == len(edited) - 1
    with pytest.raises(LangTrackError, match="no correction"):
        me.workspace.undo(1)  # type: ignore[union-attr]


def test_a_correction_in_both_directions_is_undone_as_one(desk: Desk, me: Session, clip: str) -> None:
    done(desk.follow(me, clip, "the red car", "", 8))
    done(desk.correct(me, 1, 12, None, "70,50,100,80", "both", 3))
    state = target(me)
    assert state["run"]["index"] == list(range(FRAMES))  # back to frames that the first run never saw
    assert [edit["direction"] for edit in state["edits"]] == ["forward", "forward", "backward"]
    assert [edit["edit"] for edit in state["edits"]] == [0, 1, 1]
    assert (
        state["edits"][2]["box_xyxy"] == [70, 50, 100, 80]
        and state["edits"][2]["expression"] == "the red car"
    )
    maps = maps_of(state)
    for k in (0, 9, FRAMES - 1):  # rising frames again, though computed backward
        assert maps[k, 1, 60, 60 + 2 * k + 5] > 250 and maps[k, 1, 60, 58 + 2 * k - 4] == 0
    assert target(me)["run"]["time_s"] == sorted(state["run"]["time_s"])
    assert len(me.workspace.undo(1)["edits"]) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((1, 5, None, "", "forward"), "Draw a box on this frame, or give better words"),
        ((1, 5, "", "", "forward"), "Draw a box"),
        ((1, 5, "the car", "", "sideways"), "forward, backward or both"),
        ((1, 5, "the car", "1,2,3", "both"), "four numbers"),
        ((1, 5, "the car", "nan,0,1,1", "both"), "four numbers"),
        ((1, 5, "the car", "900,900,999,999", "both"), "outside the 160x90"),
        ((1, -1, "the car", "", "both"), "The frame must be"),
        ((1, float("nan"), "the car", "", "both"), "The frame must be"),
        ((1, "x", "the car", "", "both"), "The frame must be"),
        ((1, 500, "the car", "", "both"), "The track ends at frame 23"),
        ((7, 5, "the car", "", "both"), "no target 7"),
        ((None, 5, "the car", "", "both"), "The target must be"),
    ],
)
def test_corrections_are_checked(desk: Desk, me: Session, clip: str, given: tuple, why: str) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    with pytest.raises(LangTrackError, match=why):
        desk.correct(me, *given)
    assert desk.progress(me)["stage"] == "done" and len(target(me)["edits"]) == 1


def test_several_targets_in_one_video_and_a_new_video_after_them(desk: Desk, me: Session, clip: str) -> None:
    done(desk.follow(me, clip, "the red car", "", name="Red", colour="#FF0000"))
    done(desk.follow(me, clip, "", "70,50,100,80", 3))
    state = me.workspace.state()  # type: ignore[union-attr]
    assert state["targets"][0]["name"] == "Red" and state["targets"][0]["colour"] == "#ff0000"
    assert state["targets"][1]["expression"] is None and state["targets"][1]["name"] == "Target 2"
    work = me.workspace
    work.rename(2, "<b>other</b>")  # type: ignore[union-attr]
    assert target(me, 2)["name"] == "<b>other</b>"
    left = work.remove(1)  # type: ignore[union-attr]
    assert [t["id"] for t in left["targets"]] == [2] and film_of(me)
    done(desk.follow(me, clip, "the car", "", fresh=True))
    assert me.workspace is not work and not work.folder.exists()  # type: ignore[union-attr]


def test_comparing_expressions_decodes_once(desk: Desk, me: Session, clip: str) -> None:
    done(desk.compare(me, clip, ["the red car", " ", "the car", "the red car"], 0, 2))
    state = me.workspace.state()  # type: ignore[union-attr]
    assert [t["name"] for t in state["targets"]] == ["the red car", "the car"]
    assert len(desk.tracker.started) == 2  # type: ignore[attr-defined]
    found = me.workspace.agreement()  # type: ignore[union-attr]
    assert found["matrix"] == [[1.0, 1.0], [1.0, 1.0]] and found["targets"] == [1, 2]
    for texts in ([], ["one"], ["a", "a"], [f"{k}" for k in range(7)], [None, 3]):
        with pytest.raises(LangTrackError, match="2 to 6 different expressions"):
            make_comparison(desk.tracker, SETTINGS, clip, texts, 0, 1)  # type: ignore[arg-type]


def test_an_export_is_of_the_track_as_it_stands(desk: Desk, me: Session, clip: str) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    old = target(me)["bundle"]
    done(desk.correct(me, 1, 10, "the car", "", "backward"))
    me.workspace.what_if(1, {"rule": "language", "every": 2, "rectangle": "rotated"})  # type: ignore[union-attr]
    assert target(me)["stale"]
    done(desk.export(me, 1))
    state = target(me)
    assert not state["stale"] and state["bundle"] != old
    run = read_run(state["bundle"].parent / "grey")
    assert run.manifest["what_if"]["rule"] == "language" and run.manifest["what_if"]["changed"] == FRAMES
    assert len(run.manifest["edits"]) == 2 and run.manifest["weights"]
    assert {row.source for row in run.rows} == {"lgm", "none"}
    assert [row.frame for row in run.rows] == list(range(FRAMES))
    corners = (state["bundle"].parent / "grey" / "rotated.csv").read_text().splitlines()
    assert corners[2] == "1,,,,,,,," and sorted(map(float, corners[1].split(",")[1::2]))[::3] == [60, 90]
    assert run.mask(1, "fused").any() == (run.rows[1].source == "lgm")  # type: ignore[union-attr]
    me.workspace.what_if(1, None)  # type: ignore[union-attr]
    assert target(me)["stale"]


# --- stopping ----------------------------------------------------------------------------------------------


def test_cancel_keeps_what_is_done_and_the_next_run_completes_the_film(
    desk: Desk, me: Session, clip: str
) -> None:
    work = desk.follow(me, clip, "the slow car", "")
    assert eventually(lambda: work.progress.frames >= 3)
    assert desk.progress(me, picture=True)["picture"].startswith(b"\xff\xd8")
    assert desk.progress(me)["fps"] > 0 and desk.progress(me)["left_s"] is not None
    assert desk.cancel(me) and work.outcome == "cancelled"
    state = target(me)
    frames = len(state["run"]["index"])
    assert 3 <= frames < FRAMES and state["edits"][0]["complete"] is False and len(film_of(me)) == frames
    done(desk.correct(me, 1, frames, "the car", "", "forward"))
    assert target(me)["run"]["index"] == list(range(FRAMES)) and len(film_of(me)) == FRAMES


def test_cancelling_a_correction_keeps_its_frames(desk: Desk, me: Session, clip: str) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    work = desk.correct(me, 1, 20, "the slow car", "", "backward")
    assert eventually(lambda: work.progress.frames >= 2)
    assert desk.cancel(me)
    state = target(me)
    first, last = state["edits"][1]["frames"]
    assert last == 20 and 0 < first < 20 and state["run"]["index"] == list(range(FRAMES))


def test_cancelled_before_its_first_frame_leaves_nothing(desk: Desk, me: Session, clip: str) -> None:
    others = [desk.sessions.get(name) for name in "ab"]
    for other in others:
        desk.follow(other, clip, "the slow car", "")
    work = desk.follow(me, clip, "the car", "")
    assert desk.progress(me)["stage"] == "waiting" and desk.progress(me)["position"] == 1
    assert desk.cancel(me) and work.outcome == "cancelled" and desk.progress(me)["position"] == 0
    assert me.workspace.state()["targets"] == []  # type: ignore[union-attr]
    assert all(desk.cancel(other) for other in others)
    done(desk.follow(me, clip, "the car", ""))
    assert [t["id"] for t in me.workspace.state()["targets"]] == [2]  # type: ignore[union-attr]


def test_a_run_that_fails_changes_nothing(
    desk: Desk, me: Session, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    before = target(me)
    files = sorted(me.folder.rglob("*"))

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MapsWriter, "add", full)
    work = desk.correct(me, 1, 5, "the car", "", "both")
    assert work.wait(20) and work.outcome == "failed"
    assert work.error == "The server could not read or write a file: its disk is full."
    assert target(me) == before and sorted(me.folder.rglob("*")) == files
    monkeypatch.setattr(MapsWriter, "add", lambda *args: 1 / 0)
    work = desk.correct(me, 1, 5, "the car", "", "forward")
    assert work.wait(20) and "Something went wrong" in str(work.error)
    assert sorted(me.folder.rglob("*")) == files


def test_a_disk_that_is_nearly_full_begins_nothing(desk: Desk, me: Session, clip: str) -> None:
    poor = Desk(desk.tracker, type(SETTINGS)(min_free_mb=10**9), desk.sessions)
    with pytest.raises(LangTrackError, match="disk is nearly full"):
        poor.follow(me, clip, "the car", "")
    assert me.workspace is None and me.work is None


def test_a_damaged_clip_is_followed_to_its_end_with_a_warning(
    desk: Desk, me: Session, tmp_path: Path
) -> None:
    work = done(desk.follow(me, str(cut_clip(tmp_path / "cut.mp4")), "the car", ""))
    assert "cut.mp4 ends early" in str(work.warning)
    assert target(me)["edits"][0]["complete"] is False


def test_limits_hold_while_decoding(desk: Desk, me: Session, clip: str) -> None:
    strict = Desk(desk.tracker, type(SETTINGS)(max_seconds=1, preview_hz=20), desk.sessions)
    with pytest.raises(LangTrackError, match="takes up to 1"):
        strict.follow(me, clip, "the car", "")
    few = Desk(desk.tracker, type(SETTINGS)(max_frames=10, preview_hz=20), desk.sessions)
    with pytest.raises(LangTrackError, match="24 frames; this server takes up to 10"):
        few.follow(me, clip, "the car", "")


# --- the annotator's tools ---------------------------------------------------------------------------------


def test_what_if_verdicts_queue_and_truth(desk: Desk, me: Session, clip: str, tmp_path: Path) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    space = me.workspace
    assert space is not None
    changed = space.what_if(1, {"rule": "language", "every": 3})
    assert changed["what_if"] and changed["changed"] == FRAMES and len(changed["notes"]) == 1
    assert set(changed["columns"]) < COLUMNS and changed["columns"]["lgm"][:4] == [0.8, None, None, 0.8]
    assert target(me)["run"]["source"] == changed["columns"]["source"]
    with pytest.raises(LangTrackError, match="no what-if setting"):
        space.what_if(1, {"magic": 1})
    back = space.what_if(1, None)
    assert not back["what_if"] and back["columns"]["source"] == ["siam"] * FRAMES

    given = space.give_verdict(1, 2, 4, "tracker", "<i>")
    assert given["counts"]["tracker"] == 3 and given["frames"]["3"] == {"verdict": "tracker", "note": "<i>"}
    files = {form: space.verdicts_file(1, form) for form in ("json", "csv")}
    assert space.clear_verdicts(1, 0, 99)["frames"] == {}
    for path in files.values():
        assert space.import_verdicts(1, path) == given
    (tmp_path / "v.csv").write_text("frame,verdict,note\n99,both,\n")
    with pytest.raises(LangTrackError, match="frame 99, which this track does not have"):
        space.import_verdicts(1, tmp_path / "v.csv")
    assert space.queue(1) == []  # the oracle's branches agree

    lines = [f"{60 + 2 * k},50,30,30" for k in range(FRAMES)]
    (tmp_path / "gt.txt").write_text("\n".join(lines))
    assert space.truth(1, [tmp_path / "gt.txt"])["branches"]["fused"]["mean_iou"] == 1
    space.what_if(1, {"start": 1.0, "lost": 1.0})
    assert space.scored_again(1)["branches"]["fused"]["mean_iou"] == 0  # type: ignore[index]
    space.forget_truth(1)
    assert space.scored_again(1) is None


def test_a_closer_look_at_one_frame(desk: Desk, me: Session, clip: str) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    words = desk.words(me, 1, 3)
    assert [word["word"] for word in words["words"]] == ["the", "red", "car"] and words["decisive"] is None
    found = desk.regions(me, 1, 3, "the car")
    assert found["count"] == 1 and found["regions"][0]["means"] == 0
    assert found["regions"][0]["box_xyxy"] == [66, 50, 96, 80]
    with pytest.raises(LangTrackError, match="past the end"):
        desk.words(me, 1, 300)
    done(desk.follow(me, clip, "", "70,50,100,80"))
    with pytest.raises(LangTrackError, match="by its box alone"):
        desk.regions(me, 2, 3)
    with pytest.raises(LangTrackError, match="Follow something first"):
        desk.words(desk.sessions.get("other"), 1, 0)


@pytest.mark.parametrize("with_video", [True, False])
def test_a_saved_project_opens_in_another_session(
    desk: Desk, me: Session, clip: str, with_video: bool, tmp_path: Path
) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    done(desk.correct(me, 1, 10, "the car", "", "both"))
    me.workspace.give_verdict(1, 2, 4, "tracker", "<i>")  # type: ignore[union-attr]
    me.workspace.what_if(1, {"rule": "language"})  # type: ignore[union-attr]
    saved = shutil.copy(me.workspace.save_bundle(with_video, 10), tmp_path / "p.zip")  # type: ignore[union-attr]
    before = target(me)
    desk.sessions.drop("me")
    you = desk.sessions.get("you")
    done(desk.open_bundle(you, Path(saved)))
    after = target(you)
    for part in ("id", "name", "colour", "edits", "settings", "verdicts", "notes", "changed", "can_undo"):
        assert after[part] == before[part]
    for column in COLUMNS - {"lgm_corners", "siam_corners", "time_s"}:
        assert after["run"][column] == before["run"][column], column
    assert maps_of(after).shape == (FRAMES, 2, HEIGHT, WIDTH) and len(you.workspace.undo(1)["edits"]) == 1  # type: ignore[union-attr]
    if with_video:
        assert len(film_of(you)) == FRAMES
        done(desk.correct(you, 1, 3, "the car", "", "forward"))
        assert len(target(you)["edits"]) == 2
    else:
        assert you.workspace.film is None  # type: ignore[union-attr]
        with pytest.raises(LangTrackError, match="The video is not here"):
            desk.correct(you, 1, 3, "the car", "", "forward")


def test_a_bad_project_leaves_the_workspace_as_it_was(
    desk: Desk, me: Session, clip: str, tmp_path: Path
) -> None:
    done(desk.follow(me, clip, "the red car", ""))
    files = sorted(me.folder.rglob("*"))
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    work = desk.open_bundle(me, tmp_path / "bad.zip")
    assert work.wait(20) and work.outcome == "failed" and "not a ZIP" in str(work.error)
    assert target(me)["id"] == 1 and sorted(me.folder.rglob("*")) == files


# --- sessions and the line ---------------------------------------------------------------------------------


def test_a_reloaded_page_finds_its_run_and_a_closed_one_ends(tmp_path: Path, clip: str) -> None:
    desk = Desk(PacedTracker(), SETTINGS, Sessions(tmp_path / "root", 3600.0, 0.3, Line(1, 3)))
    sessions = desk.sessions
    first = sessions.get("page-1")
    first.uploads.add(Path(clip))
    work = desk.follow(first, clip, "the slow slow car", "")
    assert eventually(lambda: work.progress.frames > 0)
    sessions.leave("page-1")
    empty = sessions.get("page-2")
    assert sessions.resume("page-2", "wrong") is None and sessions.resume("page-2", None) is None
    assert sessions.resume("page-2", first.token) is first and sessions.get("page-2") is first
    assert empty is not first and len(sessions) == 1
    done_before = desk.tracker.frames_done  # type: ignore[attr-defined]
    assert eventually(lambda: desk.tracker.frames_done > done_before + 4)  # type: ignore[attr-defined]
    assert not work.over  # it goes on, well beyond the time in which a page may come back

    assert sessions.resume("page-3", first.token) is first  # a duplicated tab
    sessions.leave("page-2")
    assert not eventually(lambda: work.over, 0.6)
    sessions.leave("page-3")
    assert eventually(lambda: len(sessions) == 0 and not Path(clip).exists())
    assert work.over and list((tmp_path / "root").rglob("*")) == []
    assert sessions.resume("page-4", first.token) is None
    sessions.close()


def test_one_run_a_session_and_a_full_line(desk: Desk, clip: str) -> None:
    sessions = [desk.sessions.get(f"{k}") for k in range(6)]
    works = [desk.follow(session, clip, "the slow car", "") for session in sessions[:5]]  # 2 compute, 3 wait
    for _ in range(20):
        with pytest.raises(LangTrackError, match="A run is going on in this page"):
            desk.follow(sessions[0], clip, "the car", "")
    with pytest.raises(LangTrackError, match="3 others are waiting"):
        desk.follow(sessions[5], clip, "the car", "")
    assert sessions[5].workspace is None and sessions[5].work is None
    assert not sessions[5].folder.exists() or list(sessions[5].folder.rglob("*")) == []
    assert [desk.sessions.line.position(work) for work in works] == [0, 0, 1, 2, 3]
    desk.cancel(sessions[2])
    assert [desk.sessions.line.position(work) for work in works] == [0, 0, 0, 1, 2]
    desk.cancel(sessions[0])
    assert eventually(lambda: works[3].started) and not works[4].started


def test_the_line_serves_in_order() -> None:
    class Told:
        def __init__(self) -> None:
            self.over, self.started, self._end = False, False, threading.Event()

        def start(self) -> None:
            self.started = True

        def wait(self, timeout_s: float | None = None) -> bool:
            return self._end.wait(timeout_s)

        def end(self) -> None:
            self.over = True
            self._end.set()

    line, jobs = Line(1, 10), [Told() for _ in range(5)]
    for job in jobs:
        line.enter(job)
    assert eventually(lambda: jobs[0].started)
    assert [line.position(job) for job in jobs] == [0, 1, 2, 3, 4]
    jobs[1].over = True  # cancelled while it waited
    jobs[0].end()
    for job in jobs[2:]:
        assert eventually(lambda job=job: job.started and line.position(job) == 0)
        assert not any(later.started for later in jobs[jobs.index(job) + 1 :])
        job.end()
    assert not jobs[1].started


# --- the API and hosting -----------------------------------------------------------------------------------


def test_submit_progress_cancel_results(desk: Desk, clip: str) -> None:
    api = Endpoints(desk)
    begun = api.submit(clip, "the red zorp", "", 0, 1)
    assert begun["unknown_words"] == ["zorp"] and begun["position"] in (0, 1)
    assert eventually(lambda: api.progress(begun["run"])["stage"] == "done")
    report, bundle = api.results(begun["run"])
    assert report == {
        "stage": "done",
        "frames": FRAMES,
        "found": FRAMES,
        "unknown_words": ["zorp"],
        "seconds": 1.917,
        "warning": None,
    }
    with zipfile.ZipFile(bundle) as files:
        assert "grey/boxes.csv" in files.namelist()
    json.dumps([begun, report, api.progress(begun["run"])])

    slow = api.submit(clip, "the slow car")["run"]
    with pytest.raises(LangTrackError, match="not over yet"):
        api.results(slow)
    assert eventually(lambda: api.progress(slow)["frames"] >= 2)
    assert api.cancel(slow)["stage"] == "cancelled"
    report, _ = api.results(slow)
    assert report["stage"] == "cancelled" and 2 <= report["frames"] < FRAMES


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((None, "the car"), "Choose a video"),
        (("/nowhere/secret.mp4", "the car"), "not on the server any more"),
        (("http://example.org/a.mp4", "the car"), "not on the server any more"),
        (("{clip}", "", ""), "Say what to follow"),
        (("{clip}", "the car", "nan,1,2,3"), "four numbers"),
        (("{clip}", "the car", "", float("nan")), "The start frame must be a whole number"),
        (("{clip}", "the car", "", -1), "The start frame must be"),
        (("{clip}", "the car", "", 0, float("inf")), "The language cadence must be"),
        (("{clip}", "the car", "", 0, 10**9), "from 1 to 30"),
        (("{clip}", "x" * 501, ""), "at most 500 characters"),
    ],
)
def test_what_the_api_refuses(desk: Desk, clip: str, given: tuple, why: str) -> None:
    api = Endpoints(desk)
    given = tuple(clip if one == "{clip}" else one for one in given)
    with pytest.raises(LangTrackError, match=why) as caught:
        api.submit(*given)
    assert "/nowhere" not in str(caught.value)
    assert len(desk.sessions) == 0
    for call in (api.progress, api.cancel, api.results):
        for run in ("", "me", None, "ü", "a" * 10_000):
            with pytest.raises(LangTrackError, match="no such run"):
                call(run)  # type: ignore[arg-type]


def test_numbers_from_outside() -> None:
    assert whole_number(3.0, "It") == 3 and whole_number("4", "It") == 4
    for value in (None, "x", [], {}, float("inf"), 1.5, -1):
        with pytest.raises(LangTrackError, match="It must be a whole number from 0 up"):
            whole_number(value, "It")


def test_a_gpu_is_borrowed_on_zero_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    def frames(to: int) -> int:
        return 10 * to

    assert on_gpu(count, frames, {}) is count
    assert on_gpu(count, frames, {"SPACE_ID": "a/b"}) is count  # a Space with a CPU
    asked: list[int] = []

    class Spaces:
        @staticmethod
        def GPU(duration: Callable[[int], int]) -> Any:
            def borrowed(function: Any) -> Any:
                return lambda *given: (asked.append(duration(*given)), function(*given))[1]

            return borrowed

    monkeypatch.setitem(sys.modules, "spaces", Spaces)
    zero = {"SPACE_ID": "a/b", "SPACES_ZERO_GPU": "true"}
    assert on_zero_gpu(zero) and not on_zero_gpu({"SPACES_ZERO_GPU": "true"})
    assert device(zero) == "cuda" and device({}) == "cpu"
    assert list(on_gpu(count, frames, zero)(3)) == [0, 1, 2] and asked == [seconds_for(30)]
    assert seconds_for(10) < seconds_for(1000) < seconds_for(10**9) == seconds_for(10**8)


def test_a_missing_mcp_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.hosting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LangTrackError, match="gradio"):
        check_mcp()
