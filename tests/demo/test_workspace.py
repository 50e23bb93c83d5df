"""The annotator's tools on the tracks of a video, and projects that open again."""

from __future__ import annotations

import json
import shutil
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app_helpers import (
    FRAMES,
    HEIGHT,
    VERY_SLOW,
    WIDTH,
)
from service_helpers import COLUMNS, done, follow, maps_of, player_video_greys, target

from demo.annotation.anchors import run_key
from demo.annotation.reviews import Verdicts
from demo.service import Service
from demo.sessions import Session
from langtrack_core.types import LangTrackError


def verdict(first: int, last: int, side: str, note: str | None = None) -> dict[str, Any]:
    return {"first": first, "last": last, "verdict": side, "note": note}


# --- the annotator's tools ---------------------------------------------------------------------------------


def test_a_comparison_leaves_only_the_targets_that_are_kept(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car", ""))
    done(service.compare(me, clip, ["the car", "the red car"]))
    space = me.workspace
    assert space is not None
    assert [(one["id"], one["compared"]) for one in space.state()["targets"]] == [
        (1, False),
        (2, True),
        (3, True),
    ]
    with zipfile.ZipFile(space.save_bundle(False, 10)) as bundle:
        assert len([name for name in bundle.namelist() if name.startswith("verdicts/")]) == 1
    space.keep(3)
    space.end_comparison()
    assert [(one["id"], one["compared"]) for one in space.state()["targets"]] == [(1, False), (3, False)]
    done(service.compare(me, clip, ["the car", "the red car"]))
    done(service.follow(me, service.check_request(clip, "the slow car")))
    assert [one["id"] for one in space.state()["targets"]] == [1, 3, 6]


@pytest.mark.parametrize(("name", "arguments"), [("read_truth", (1, [])), ("agreement", ())])
def test_a_verdict_does_not_wait_for_long_comparisons(
    service: Service, me: Session, clip: str, monkeypatch: pytest.MonkeyPatch, name: str, arguments: Any
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    assert me.workspace is not None
    judgement = me.workspace.judgement

    def compute(*_: Any) -> Any:
        thread = threading.Thread(target=judgement.judge, args=(1, [verdict(0, 3, "both")]))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        raise LangTrackError("compared")

    monkeypatch.setattr(f"demo.annotation.judgement.{name}", compute)
    with pytest.raises(LangTrackError, match="compared"):
        getattr(judgement, name.removeprefix("read_"))(*arguments)
    assert target(me)["verdicts"]["counts"]["both"] == 4


def test_a_verdict_does_not_wait_until_a_large_video_is_packed(
    service: Service, me: Session, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    space = me.workspace
    assert space is not None
    space.judgement.judge(1, [verdict(0, 3, "both")])

    def pack(path: Path, project: Any, **_: Any) -> None:
        thread = threading.Thread(target=space.judgement.judge, args=(1, [verdict(4, 9, "both")]))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert project.targets[0].judged.counts()["both"] == 4

    monkeypatch.setattr("demo.workspace.write_bundle", pack)
    space.save_bundle(True, 10)
    assert target(me)["verdicts"]["counts"]["both"] == 10 and space.has_unsaved_work


def test_a_compared_target_with_work_stays_after_the_comparison(
    service: Service, me: Session, clip: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    done(service.compare(me, clip, ["the car", "the red"]))
    space = me.workspace
    assert space is not None and not space.has_work
    space.judgement.judge(2, [verdict(0, 3, "both")])
    assert space.has_unsaved_work and me.work() == {"clip": "grey.mp4", "judged": 4}
    space.end_comparison()
    assert [one["id"] for one in space.state()["targets"]] == [1, 2]
    space.judgement.judge(2, [{"first": 0, "last": 3, "clear": True}])
    done(service.compare(me, clip, ["the car", "the red"]))
    assert [one["compared"] for one in space.state()["targets"]] == [False, False, True, True]


@pytest.mark.parametrize("why", ["others are waiting", "disk is nearly full", "at most 20 targets"])
def test_a_refused_request_leaves_the_comparison_as_it_is(
    service: Service, me: Session, clip: str, why: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    done(service.compare(me, clip, ["the car", "the red"]))
    space = me.workspace
    assert space is not None
    before = space.state()
    if why.startswith("others"):
        for number in range(5):
            follow(service, service.sessions.get(f"other {number}"), clip, VERY_SLOW, "")
    elif why.startswith("disk"):
        service.settings = replace(service.settings, min_free_mb=10**9)
    else:
        many = service.check_request(clip, "the car")
        many = replace(many, queries=many.queries * 20)
        with pytest.raises(LangTrackError, match=why):
            service.follow(me, many)
    if not why.startswith("at most"):
        with pytest.raises(LangTrackError, match=why):
            service.compare(me, clip, ["the car", "red"])
    assert space.state() == before
    assert all(one["maps"]["file"].exists() for one in before["targets"])


def test_what_if_verdicts_queue_and_truth(service: Service, me: Session, clip: str, tmp_path: Path) -> None:
    done(follow(service, me, clip, "the red car", ""))
    space = me.workspace
    assert space is not None
    changed = space.what_if(1, {"rule": "language", "every": 3})
    assert changed["what_if"] and changed["changed"] == FRAMES - 1 and len(changed["notes"]) == 1
    assert set(changed["columns"]) < COLUMNS and changed["columns"]["language"][:4] == [0.8, None, None, 0.8]
    assert target(me)["run"]["source"] == changed["columns"]["source"]
    with pytest.raises(LangTrackError, match="no what-if setting"):
        space.what_if(1, {"magic": 1})
    back = space.what_if(1, None)
    assert not back["what_if"] and back["columns"]["source"] == ["language"] + ["tracker"] * (FRAMES - 1)

    verdicts = space.judgement.judge(1, [verdict(2, 4, "tracker", "<i>")])
    assert verdicts["counts"]["tracker"] == 3 and verdicts["frames"]["3"] == {
        "verdict": "tracker",
        "note": "<i>",
        "run": run_key(space.project.target(1).segments[0].run),
        "stale": False,
    }
    files = {form: space.judgement.verdicts_file(1, form) for form in ("json", "csv")}
    assert space.judgement.judge(1, [{"first": 0, "last": 99, "clear": True}])["frames"] == {}
    for path in files.values():
        assert space.judgement.import_verdicts(1, path) == {**verdicts, "skipped": 0}
    assert space.project.video["sha256"] in files["csv"].read_text()
    document = json.loads(files["json"].read_text())
    assert document["origin"] == {
        "clip": "grey.mp4",
        "sha256": space.project.video["sha256"],
        "expression": "the red car",
        "weights": "tracker oracle",
    }
    assert files["json"].name == "verdicts-grey-1-the-red-car.json"
    for form, path in files.items():
        other = tmp_path / f"other.{form}"
        other.write_text(path.read_text().replace(space.project.video["sha256"], "0" * 64))
        with pytest.raises(LangTrackError, match=r"for the clip 'grey.mp4'.*Nothing was changed"):
            space.judgement.import_verdicts(1, other)
    (tmp_path / "v.csv").write_text("frame,verdict,note\n99,both,\n")
    with pytest.raises(LangTrackError, match="frame 99"):
        space.judgement.import_verdicts(1, tmp_path / "v.csv")
    assert space.judgement.episodes(1) == []  # the oracle's branches agree

    lines = [f"{60 + 2 * k},50,30,30" for k in range(FRAMES)]
    (tmp_path / "gt.txt").write_text("\n".join(lines))
    assert space.judgement.truth(1, [tmp_path / "gt.txt"])["branches"]["fused"]["mean_iou"] == 1
    space.what_if(1, {"start": 1.0, "lost": 1.0})
    assert space.judgement.truth(1, [tmp_path / "gt.txt"])["branches"]["fused"]["mean_iou"] == 0


def test_verdicts_on_frames_that_a_correction_ran_again_are_stale(
    service: Service, me: Session, clip: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    space = me.workspace
    assert space is not None
    space.judgement.judge(1, [verdict(2, 12, "language"), verdict(20, 20, "both")])
    done(service.correct(me, 1, 10, "the car", "", "forward"))

    def stale() -> list[int]:
        return [int(frame) for frame, one in target(me)["verdicts"]["frames"].items() if one["stale"]]

    assert stale() == [10, 11, 12, 20]
    space.judgement.judge(1, [verdict(11, 11, "tracker"), {"first": 12, "last": 12, "note": "a note alone"}])
    assert stale() == [10, 12, 20]
    space.undo(1)
    assert stale() == [11]  # judged on the correction that is gone
    done(service.correct(me, 1, 10, "the car", "", "forward"))
    assert stale() == [10, 12, 20]  # the same correction again


def test_only_frames_of_the_track_are_judged(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car", "", 8))
    assert me.workspace is not None
    judgement = me.workspace.judgement
    verdicts = judgement.judge(1, [verdict(0, 10, "both"), {**verdict(5, 8, "absent"), "run": "x"}])
    assert list(verdicts["frames"]) == ["8", "9", "10"] and verdicts["frames"]["8"]["run"] == "x"
    verdicts = judgement.judge(1, [verdict(0, 3, "both", "a note"), verdict(0, 99, "both")])
    assert verdicts["counts"]["both"] == 16
    for form in ("json", "csv"):  # what is saved is read again
        judgement.import_verdicts(1, judgement.verdicts_file(1, form))


def test_verdicts_on_frames_of_an_undone_correction_wait_for_it(
    service: Service, me: Session, clip: str, tmp_path: Path
) -> None:
    done(follow(service, me, clip, "the red car", "", 8))
    space = me.workspace
    assert space is not None
    done(service.correct(me, 1, 8, "the car", "", "backward"))
    space.judgement.judge(1, [verdict(3, 5, "both"), verdict(10, 11, "tracker")])
    both = space.judgement.verdicts_file(1, "csv")
    both = both.rename(tmp_path / both.name)
    verdicts = space.undo(1)["verdicts"]
    assert list(verdicts["frames"]) == ["10", "11"] and verdicts["counts"]["both"] == 0 and space.judged == 2
    for form in ("json", "csv"):  # what is saved is read again
        path = space.judgement.verdicts_file(1, form)
        assert space.project.target(1).judged == Verdicts.from_text(path.read_text())
    done(service.correct(me, 1, 8, "the car", "", "backward"))
    assert space.judged == 5
    space.undo(1)
    loaded = space.judgement.import_verdicts(1, both)
    assert loaded["skipped"] == 3 and list(loaded["frames"]) == ["10", "11"]


def test_changes_of_verdicts_count_all_or_none(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car", ""))
    space = me.workspace
    assert space is not None
    for changes in (
        [],
        "x",
        [7],
        [verdict(0, 3, "both"), verdict(3, 0, "both")],
        [{**verdict(0, 3, "both"), "run": 5}],
    ):
        with pytest.raises(LangTrackError):
            space.judgement.judge(1, changes)  # type: ignore[arg-type]
    assert target(me)["verdicts"]["frames"] == {}
    restored = space.judgement.judge(1, [{**verdict(0, 1, "both"), "run": "of another day"}])
    assert restored["frames"]["1"]["stale"]


def test_a_closer_look_at_one_frame(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car", ""))
    words = service.frames.words(me, 1, 3)
    assert [word["word"] for word in words["words"]] == ["the", "red", "car"] and words["decisive"] is None
    answer = service.frames.regions(me, 1, 3)
    assert answer["count"] == 1 and answer["regions"][0]["means"] == 0
    assert answer["regions"][0]["box_xyxy"] == [66, 50, 96, 80]
    with pytest.raises(LangTrackError, match="past the end"):
        service.frames.words(me, 1, 300)
    done(follow(service, me, clip, "", "70,50,100,80"))
    with pytest.raises(LangTrackError, match="by its box alone"):
        service.frames.regions(me, 2, 3)
    with pytest.raises(LangTrackError, match="Follow something first"):
        service.frames.words(service.sessions.get("other"), 1, 0)


@pytest.mark.parametrize("with_video", [True, False])
def test_a_saved_project_opens_in_another_session(
    service: Service, me: Session, clip: str, with_video: bool, tmp_path: Path
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    done(service.correct(me, 1, 10, "the car", "", "both"))
    me.workspace.judgement.judge(1, [verdict(2, 4, "tracker", "<i>")])  # type: ignore[union-attr]
    me.workspace.what_if(1, {"rule": "language"})  # type: ignore[union-attr]
    me.workspace.set_class(1, "car")  # type: ignore[union-attr]
    saved = shutil.copy(me.workspace.save_bundle(with_video, 10), tmp_path / "p.zip")  # type: ignore[union-attr]
    before = target(me)
    service.sessions.drop("me")
    you = service.sessions.get("you")
    done(service.open_bundle(you, Path(saved)))
    after = target(you)
    for part in ("id", "class", "colour", "edits", "settings", "verdicts", "notes", "changed", "can_undo"):
        assert after[part] == before[part]
    for column in COLUMNS - {"language_corners", "tracker_corners", "time_s"}:
        assert after["run"][column] == before["run"][column], column
    assert maps_of(after).shape == (FRAMES, 2, HEIGHT, WIDTH) and len(you.workspace.undo(1)["edits"]) == 1  # type: ignore[union-attr]
    if with_video:
        assert len(player_video_greys(you)) == FRAMES
        done(service.correct(you, 1, 3, "the car", "", "forward"))
        assert len(target(you)["edits"]) == 2
    else:
        assert you.workspace.player_video is None  # type: ignore[union-attr]
        with pytest.raises(LangTrackError, match="video is not here"):
            service.correct(you, 1, 3, "the car", "", "forward")


def test_a_project_with_a_frame_beyond_every_clip_is_refused(
    service: Service, me: Session, clip: str, tmp_path: Path
) -> None:
    """A table of all frames up to it, for each target, would fill the memory."""
    done(follow(service, me, clip, "the red car", ""))
    saved, far = me.workspace.save_bundle(False, 10), tmp_path / "far.zip"  # type: ignore[union-attr]
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(far, "w") as changed:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("boxes.csv"):
                content = content.replace(f"\n{FRAMES - 1},".encode(), b"\n9999999,")
            changed.writestr(name, content)
    job = service.open_bundle(me, far)
    assert job.wait(20) and job.error == "The run goes beyond the number of frames that this server takes."


def test_a_bad_project_leaves_the_workspace_as_it_was(
    service: Service, me: Session, clip: str, tmp_path: Path
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    files = sorted(me.folder.rglob("*"))
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    job = service.open_bundle(me, tmp_path / "bad.zip")
    assert job.wait(20) and job.outcome == "failed" and "not a ZIP" in str(job.error)
    assert target(me)["id"] == 1 and sorted(me.folder.rglob("*")) == files
