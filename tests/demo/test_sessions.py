"""Visitors: reloads, uploads that two of them use, one run a page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from app_helpers import FRAMES, SETTINGS, counting_clip, eventually, paced_tracker
from gradio.route_utils import delete_files_created_by_app
from service_helpers import done, follow, opened_service, target

from demo.layout import build_app
from demo.service import Service
from demo.sessions import Sessions
from langtrack_core.types import LangTrackError


def test_a_reloaded_page_finds_its_run_and_a_closed_one_ends(tmp_path: Path, clip: str) -> None:
    with opened_service(tmp_path, reload_grace_s=0.3) as service:
        sessions = service.sessions
        first = sessions.get("page-1")
        first.claim_upload(clip)
        job = follow(service, first, clip, "the slow slow car", "")
        assert eventually(lambda: job.progress.frames > 0)
        sessions.leave("page-1")
        empty = sessions.get("page-2")
        assert sessions.resume("page-2", "wrong") is None and sessions.resume("page-2", None) is None
        assert sessions.resume("page-2", first.token) is first and sessions.get("page-2") is first
        assert empty is not first and len(sessions) == 1
        before = job.progress.frames
        assert eventually(lambda: job.progress.frames > before + 4)
        assert not job.over  # it goes on, well beyond the time in which a page may come back

        assert sessions.resume("page-3", first.token) is first  # a duplicated tab
        sessions.leave("page-2")
        assert not eventually(lambda: job.over, 0.6)
        sessions.leave("page-3")
        assert eventually(lambda: len(sessions) == 0 and not Path(clip).exists())
        assert job.over and list((tmp_path / "root").rglob("*")) == []
        assert sessions.resume("page-4", first.token) is None


def test_work_of_a_closed_page_waits_for_it_and_nothing_else_does(tmp_path: Path, clip: str) -> None:
    with opened_service(tmp_path, reload_grace_s=0.2, keep_hours=1.5 / 3600) as service:
        sessions = service.sessions
        worker, visitor = sessions.get("worker"), sessions.get("visitor")
        for session in (worker, visitor):
            done(follow(service, session, clip, "the red car", ""))
        done(follow(service, worker, clip, "the car", "", fresh=True, shelve=True))
        key = worker.shelf[0].key
        worker.shelf[0].judgement.judge(1, [{"first": 0, "last": 3, "verdict": "both", "note": None}])
        job = follow(service, worker, clip, "the slow slow slow car", "", fresh=True, shelve=True)
        sessions.leave("worker")
        sessions.leave("visitor")
        assert eventually(lambda: len(sessions) == 1 and job.over)  # the visitor has judged nothing
        assert sessions.resume("back", worker.token) is worker
        assert [one.frames for one in worker.shelf] == [FRAMES, FRAMES] and worker.workspace is not None
        assert worker.work() == {"clip": "grey.mp4", "judged": 4} and visitor.work() is None
        worker.take_up(key)
        assert target(worker)["verdicts"]["counts"]["both"] == 4
        with pytest.raises(LangTrackError, match="not here any more"):
            worker.take_up("../x")
        sessions.leave("back")
        assert eventually(lambda: not list((tmp_path / "root").glob("*")), 5)  # its time is over


def test_an_event_that_comes_after_its_page_has_gone_keeps_nothing(tmp_path: Path, clip: str) -> None:
    sessions = Sessions(tmp_path / "root", 3600.0, 0.3)
    session = sessions.get("page")
    sessions.leave("page")
    late = sessions.get("page")
    late.claim_upload(clip)
    assert late is session and sessions.has_left("page")
    assert eventually(lambda: len(sessions) == 0 and not Path(clip).exists(), 5)
    session = sessions.get("page-1")
    sessions.leave("page-1")
    assert sessions.resume("page-2", session.token) is session  # reloaded
    assert sessions.get("page-1") is session and len(sessions) == 1
    assert sessions.resume("page-1", session.token) is session and not sessions.has_left("page-1")


def test_the_shelf_is_bounded_and_keeps_what_has_been_judged(
    service: Service, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.sessions.MAX_SHELVED", 2)
    me = service.sessions.get("me")
    for number in range(5):
        done(follow(service, me, clip, "the red car", "", fresh=True, shelve=True))
        if number == 0 and me.workspace is not None:
            me.workspace.judgement.judge(1, [{"first": 0, "last": 3, "verdict": "both", "note": None}])
    assert sorted(one.has_work for one in me.shelf) == [False, True]
    assert len(list(me.folder.iterdir())) == 3
    done(follow(service, me, clip, "the red car", "", fresh=True))  # as the API does
    assert me.shelf == [] and len(list(me.folder.iterdir())) == 1


def test_work_goes_from_the_shelf_only_after_a_warning_that_names_it(
    service: Service, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.sessions.MAX_SHELVED", 2)
    me = service.sessions.get("me")

    def run_and_judge(text: str) -> list[str]:
        done(follow(service, me, clip, text, "", fresh=True, shelve=True))
        before = me.shelf_warnings()
        assert me.workspace is not None
        me.workspace.judgement.judge(1, [{"first": 0, "last": 3, "verdict": "both", "note": None}])
        return before

    assert run_and_judge("the red car") == run_and_judge("the car") == []
    first = me.shelf[0].key
    (warning,) = run_and_judge("red car")  # two on the shelf, and this one would be the third
    assert "may remove, with what you judged and corrected: “the red car” in grey.mp4." in warning
    assert "Save run with verdicts" in warning
    me.take_up(first)  # to save it; as many runs as before, so none goes
    assert len(me.shelf) == 2 and me.dropped == []
    me.take_up(me.shelf[1].key)
    gone, warning = run_and_judge("the car")
    assert "Removed with what you judged and corrected: “the car” in grey.mp4." in gone
    assert "may remove" in warning and "“the red car” in grey.mp4" in warning
    done(follow(service, me, clip, "car", "", fresh=True, shelve=True))
    assert "“the red car” in grey.mp4" in me.shelf_warnings()[0]
    assert me.workspace_of(first) is None


def test_a_run_that_is_too_long_to_be_shelved_is_named_before_it_goes(
    service: Service, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.sessions.MAX_SHELVED_FRAMES", FRAMES)
    me = service.sessions.get("me")
    done(follow(service, me, clip, "the red car", ""))
    assert me.shelf_warnings() == []
    done(service.correct(me, 1, 2, "", "64,50,94,80"))
    (warning,) = me.shelf_warnings()
    assert "may remove" in warning and "a box in grey.mp4" in warning
    assert me.workspace is not None
    me.workspace.save_bundle(False, 500.0)
    assert me.shelf_warnings() == []
    me.workspace.judgement.judge(1, [{"first": 0, "last": 0, "verdict": "both", "note": None}])
    assert me.shelf_warnings() == [warning]  # that is not in the ZIP


def test_a_clip_that_somebody_else_has_just_uploaded_stays(tmp_path: Path, clip: str) -> None:
    sessions = Sessions(tmp_path / "root", 3600.0, 0.3)
    sessions.get("page-1").claim_upload(clip)
    again = tmp_path / "arriving"
    again.write_bytes(Path(clip).read_bytes())
    again.rename(clip)  # as Gradio does; the second page has not said so yet
    sessions.drop("page-1")
    assert Path(clip).exists()
    sessions.get("page-2").claim_upload(clip)
    sessions.drop("page-2")
    assert not Path(clip).exists()


@pytest.mark.parametrize("order", [("page-1", "page-2"), ("page-2", "page-1")])
def test_a_clip_that_two_have_uploaded_goes_with_the_last_of_them(
    tmp_path: Path, clip: str, order: tuple[str, str]
) -> None:
    sessions = Sessions(tmp_path / "root", 3600.0)
    for page in ("page-1", "page-2"):
        again = tmp_path / "arriving"
        again.write_bytes(Path(clip).read_bytes())
        again.rename(clip)
        sessions.get(page).claim_upload(clip)
    first, last = order
    sessions.drop(first)
    assert Path(clip).exists()
    sessions.drop(last)
    assert not Path(clip).exists()


def test_a_session_whose_time_is_over_ends_although_nobody_comes(tmp_path: Path, clip: str) -> None:
    """Gradio asks now and then which files it has to keep."""
    sessions = Sessions(tmp_path / "root", 3600.0)
    session = sessions.get("run")
    session.claim_upload(clip)
    assert sessions.files_in_use() == {clip}
    session.last_used -= 3601
    assert sessions.files_in_use() == set() and len(sessions) == 0 and not Path(clip).exists()


def test_the_time_of_a_session_begins_when_its_run_has_ended(service: Service, clip: str) -> None:
    sessions, keep_s = service.sessions, SETTINGS.keep_hours * 3600
    session = sessions.get("run")
    job = follow(service, session, clip, "the slow car", "")
    session.last_used -= keep_s + 1
    sessions.files_in_use()  # Gradio asks now and then
    assert eventually(lambda: job.over)
    sessions.get("another")
    assert not session.closed
    session.last_used -= keep_s + 1
    sessions.get("another")
    assert session.closed


def test_the_copy_of_an_example_is_nobodys(tmp_path: Path, clip: str) -> None:
    original = tmp_path / "examples" / Path(clip).name
    original.parent.mkdir()
    original.write_bytes(Path(clip).read_bytes())
    namesake = tmp_path / "upload" / "other" / original.name
    namesake.parent.mkdir(parents=True)
    namesake.write_bytes(b"another clip with the name of an example")
    sessions = Sessions(tmp_path / "root", 3600.0, examples=[original])
    for upload in (clip, original, namesake):
        sessions.get("page-1").claim_upload(upload)
    sessions.drop("page-1")  # while the next page begins with the same example
    assert Path(clip).exists() and original.exists()
    assert not namesake.exists()


def files_in(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_files_of_a_session_in_use_are_not_deleted_by_their_age(tmp_path: Path) -> None:
    root = tmp_path / "root"
    example = counting_clip(tmp_path / "examples" / "grey.mp4")
    example.with_suffix(".json").write_text('{"expression": "the red car"}')
    page, service = build_app(paced_tracker(), SETTINGS, root, example.parent)
    mine = counting_clip(root / f"{1:064d}" / "mine.mp4", falling=True)
    forgotten = counting_clip(root / f"{2:064d}" / "forgotten.mp4")
    copied = root / f"{3:064d}" / example.name
    copied.parent.mkdir()
    shutil.copy(example, copied)
    me, other = service.sessions.get("me"), service.sessions.get("other")
    me.claim_upload(mine)
    for session, video in ((me, mine), (other, copied)):
        done(follow(service, session, str(video), "the red car", ""))
    before = files_in(root)
    page.upload_file_set.update(map(str, before))
    delete_files_created_by_app(page, age=-1)  # as if all of them were older than the limit
    assert before - files_in(root) == {forgotten}
    service.correct(me, 1, 2, "", "62,50,92,80").wait()
    assert me.job is not None and me.job.error is None
    service.sessions.drop("other")
    service.sessions.drop("me")
    assert files_in(root) == {copied}  # nobody's, so a session does not delete it
    delete_files_created_by_app(page, age=-1)
    assert files_in(root) == set()
    service.close()


def test_one_run_a_session_and_a_full_queue(service: Service, clip: str) -> None:
    sessions = [service.sessions.get(f"{k}") for k in range(6)]
    jobs = [
        follow(service, session, clip, "the slow slow car", "") for session in sessions[:5]
    ]  # 3 of them wait
    for _ in range(20):
        with pytest.raises(LangTrackError, match="run is going on"):
            follow(service, sessions[0], clip, "the car", "")
    with pytest.raises(LangTrackError, match="3 others are waiting"):
        follow(service, sessions[5], clip, "the car", "")
    assert sessions[5].workspace is None and sessions[5].job is None
    assert not sessions[5].folder.exists() or list(sessions[5].folder.rglob("*")) == []
    assert [service.queue.position(job) for job in jobs] == [0, 0, 1, 2, 3]
    service.cancel(sessions[2])
    assert [service.queue.position(job) for job in jobs] == [0, 0, 0, 1, 2]
    service.cancel(sessions[0])
    assert eventually(lambda: jobs[3].progress.frames > 0) and jobs[4].progress.stage == "waiting"
