"""How what the page asks for ends before its end: cancelled, failed, refused, or left by its visitor."""

from __future__ import annotations

import errno
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from app_helpers import (
    FRAMES,
    cut_clip,
    eventually,
)
from service_helpers import done, follow, opened_service, player_video_greys, target

from demo import track_job
from demo.player_video import MapsWriter
from demo.service import Service
from demo.sessions import Session
from demo.workspace import Workspace
from langtrack_core.types import Frame, LangTrackError


def test_cancel_keeps_what_is_done_and_the_next_run_completes_the_video(
    service: Service, me: Session, clip: str
) -> None:
    job = follow(service, me, clip, "the slow car", "")
    assert eventually(lambda: job.progress.frames >= 3)
    assert service.progress(me, picture=True)["picture"].startswith(b"\xff\xd8")
    assert service.progress(me)["fps"] > 0 and service.progress(me)["left_s"] is not None
    assert service.cancel(me) and job.outcome == "cancelled"
    state = target(me)
    frames = len(state["run"]["index"])
    assert job.progress.frames == frames  # what the page says of it
    assert (
        3 <= frames < FRAMES
        and state["edits"][0]["complete"] is False
        and len(player_video_greys(me)) == frames
    )
    done(service.correct(me, 1, frames, "the car", "", "forward"))
    assert target(me)["run"]["index"] == list(range(FRAMES)) and len(player_video_greys(me)) == FRAMES


def test_cancelling_a_correction_keeps_its_frames(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car", ""))
    job = service.correct(me, 1, 20, "the slow car", "", "backward")
    assert eventually(lambda: job.progress.frames >= 2)
    assert service.cancel(me)
    state = target(me)
    first, last = state["edits"][1]["frames"]
    assert last == 20 and 0 < first < 20 and state["run"]["index"] == list(range(FRAMES))


def test_a_second_cancelled_pass_does_not_shorten_the_players_video(
    service: Service, me: Session, clip: str
) -> None:
    job = follow(service, me, clip, "the slow car", "")
    assert eventually(lambda: job.progress.frames >= 10)
    assert service.cancel(me)
    frames = len(player_video_greys(me))
    assert frames >= 10 and target(me)["run"]["index"] == list(range(frames))
    job = service.correct(me, 1, 2, "the slow slow car", "", "forward")
    assert eventually(lambda: job.progress.frames >= 2)
    assert service.cancel(me)
    assert target(me)["edits"][1]["frames"][1] < frames - 1
    assert len(player_video_greys(me)) == frames
    assert len(list(me.folder.rglob("player-*.mp4"))) == 1


def test_cancelled_before_its_first_frame_leaves_nothing(service: Service, me: Session, clip: str) -> None:
    others = [service.sessions.get(name) for name in "ab"]
    for other in others:
        follow(service, other, clip, "the slow car", "")
    job = follow(service, me, clip, "the car", "")
    assert service.progress(me)["stage"] == "waiting" and service.progress(me)["position"] == 1
    assert service.cancel(me) and job.outcome == "cancelled" and service.progress(me)["position"] == 0
    assert me.workspace.state()["targets"] == []  # type: ignore[union-attr]
    assert all(service.cancel(other) for other in others)
    done(follow(service, me, clip, "the car", ""))
    assert [t["id"] for t in me.workspace.state()["targets"]] == [2]  # type: ignore[union-attr]


@pytest.mark.parametrize("late", [False, True])
def test_a_run_that_is_aborted_while_it_is_put_away_is_whole_or_not_there(
    service: Service, me: Session, clip: str, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """As by whoever goes on to the next clip: no track without its files."""
    owner, name = (Workspace, "set_files") if late else (track_job, "zip_run")
    put_away = getattr(owner, name)

    def aborted(*arguments: Any) -> Any:
        assert me.job is not None
        me.job.cancel(keep=False)
        return put_away(*arguments)

    monkeypatch.setattr(owner, name, aborted)
    job = follow(service, me, clip, "the car", "")
    assert job.wait(20) and job.outcome == "cancelled" and job.aborted is not late
    workspace = me.workspace
    assert workspace is not None and workspace.frames == (FRAMES if late else 0)
    runs = [segment.folder for owner in workspace.project.targets for segment in owner.segments]
    assert len(runs) == late and all(run.is_dir() for run in runs)
    assert workspace.player_video is None or workspace.player_video.path.is_file()


def test_a_run_that_fails_changes_nothing(
    service: Service, me: Session, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    before = target(me)
    files = sorted(me.folder.rglob("*"))

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MapsWriter, "add", full)
    job = service.correct(me, 1, 5, "the car", "", "both")
    assert job.wait(20) and job.outcome == "failed"
    assert "disk is full" in str(job.error)
    assert target(me) == before and sorted(me.folder.rglob("*")) == files
    monkeypatch.setattr(MapsWriter, "add", lambda *args: 1 / 0)
    job = service.correct(me, 1, 5, "the car", "", "forward")
    assert job.wait(20) and "Something went wrong" in str(job.error)
    assert sorted(me.folder.rglob("*")) == files


def test_a_disk_that_is_nearly_full_begins_nothing(clip: str, tmp_path: Path) -> None:
    with opened_service(tmp_path, min_free_mb=10**9) as poor:
        me = poor.sessions.get("me")
        with pytest.raises(LangTrackError, match="disk is nearly full"):
            follow(poor, me, clip, "the car", "")
        assert me.workspace is None and me.job is None


def test_a_damaged_clip_is_followed_to_its_end_with_a_warning(
    service: Service, me: Session, tmp_path: Path
) -> None:
    job = done(follow(service, me, str(cut_clip(tmp_path / "cut.mp4")), "the car", ""))
    assert "cut.mp4 ends early" in str(job.warning)
    assert target(me)["edits"][0]["complete"] is False


@pytest.mark.parametrize(
    ("limits", "why"),
    [({"max_seconds": 1}, "takes up to 1"), ({"max_frames": 10}, "24 frames; this server takes up to 10")],
)
def test_limits_hold(clip: str, tmp_path: Path, limits: dict[str, Any], why: str) -> None:
    with opened_service(tmp_path, **limits) as strict, pytest.raises(LangTrackError, match=why):
        follow(strict, strict.sessions.get("me"), clip, "the car", "")


def test_visitors_who_wait_hold_no_frames_and_those_who_leave_nothing(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Frame]] = []
    check = Frame.__post_init__

    def note(frame: Frame) -> None:
        check(frame)
        made.append(weakref.ref(frame))

    monkeypatch.setattr(Frame, "__post_init__", note)

    def frames() -> int:
        gc.collect()
        return sum(ref() is not None for ref in made)

    def visits(small: Service) -> list[weakref.ref[Any]]:
        visitors = [small.sessions.get(f"visitor {number}") for number in range(4)]
        jobs = [follow(small, visitor, clip, "the slow car", "") for visitor in visitors]
        assert eventually(lambda: jobs[0].progress.frames > 2)
        # One run computes: those that are read early, those that are written, and those between.
        assert 0 < frames() <= 8
        for job in jobs:
            job.cancel(keep=True)
        assert all(done(job).outcome == "cancelled" for job in jobs)
        for visitor in visitors:
            small.sessions.end(visitor)
        return [weakref.ref(job.workspace) for job in jobs]

    with opened_service(tmp_path, concurrency=1) as small:
        workspaces = visits(small)
        assert eventually(lambda: frames() == 0 and not any(ref() for ref in workspaces))
