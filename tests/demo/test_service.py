"""What the page asks for, without the page: runs, corrections, comparisons and exports."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from app_helpers import (
    FRAMES,
    HEIGHT,
    WIDTH,
    eventually,
    grey_of,
)
from service_helpers import (
    COLUMNS,
    done,
    follow,
    maps_of,
    opened_service,
    player_video_greys,
    target,
)

from demo.service import Service
from demo.sessions import Session
from langtrack_core.types import LangTrackError
from langtrack_lab.runs import read_run


def test_a_run_leaves_a_target_maps_a_video_and_files(service: Service, me: Session, clip: str) -> None:
    job = follow(service, me, clip, "the red zorp", "", 4, 2)
    assert service.progress(me)["title"] == "“the red zorp”" and job.unknown_words == ("zorp",)
    done(job)
    now = service.progress(me)
    assert now["stage"] == "done" and now["frames"] == now["total"] == FRAMES - 4 and now["position"] == 0
    state = target(me)
    assert set(state["run"]) == COLUMNS and state["run"]["index"] == list(range(4, FRAMES))
    assert state["run"]["language"][:3] == [0.8, None, 0.8]
    assert state["edits"][0]["frames"] == [4, FRAMES - 1] and not state["can_undo"] and not state["stale"]
    assert state["settings"] == state["recorded"] and state["settings"]["every"] == 2
    assert {path.name for path in state["files"]} >= {"boxes.csv", "fused.mp4", "manifest.json"}
    with zipfile.ZipFile(state["bundle"]) as archive:
        assert "grey-1-the-red-zorp/boxes.csv" in archive.namelist()
    # The player's video begins with the clip, whatever the start frame.
    assert player_video_greys(me) == pytest.approx([grey_of(k) for k in range(FRAMES)], abs=3)
    maps = maps_of(state)
    assert maps.shape == (FRAMES - 4, 2, HEIGHT, WIDTH) and maps[0, 0].max() == 255 and maps[1, 0].max() == 0
    json.dumps(me.workspace.state(), default=str)  # type: ignore[union-attr]


def test_a_correction_forward_keeps_what_was_before_and_undo_brings_it_back(
    service: Service, me: Session, clip: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    first = target(me)
    job = done(service.correct(me, 1, 10, "the car", "", "forward"))
    assert job.kind == "correct" and job.progress.total == FRAMES - 10
    state = target(me)
    assert state["run"]["index"] == list(range(FRAMES)) and state["stale"] and state["can_undo"]
    assert [edit["frames"] for edit in state["edits"]] == [[0, FRAMES - 1], [10, FRAMES - 1]]
    assert state["expression"] == "the car" and me.workspace.player_video.frames == FRAMES  # type: ignore[union-attr]
    np.testing.assert_array_equal(maps_of(state), maps_of(first))  # the oracle says the same again
    edited = [path for path in me.folder.rglob("boxes.csv")]
    back = me.workspace.undo(1)  # type: ignore[union-attr]
    assert back == first and len(list(me.folder.rglob("boxes.csv"))) == len(edited) - 1
    with pytest.raises(LangTrackError, match="no correction"):
        me.workspace.undo(1)  # type: ignore[union-attr]


def test_a_correction_in_both_directions_is_undone_as_one(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car", "", 8))
    done(service.correct(me, 1, 12, None, "84,50,114,80", "both"))
    state = target(me)
    assert state["run"]["index"] == list(range(FRAMES))  # back to frames that the first run never saw
    assert [edit["direction"] for edit in state["edits"]] == ["forward", "forward", "backward"]
    assert [edit["edit"] for edit in state["edits"]] == [0, 1, 1]
    assert (
        state["edits"][2]["box_xyxy"] == [84, 50, 114, 80]
        and state["edits"][2]["expression"] == "the red car"
    )
    maps = maps_of(state)
    for k in (0, 9, FRAMES - 1):  # rising frames again, though computed backward
        assert maps[k, 1, 60, 60 + 2 * k + 5] > 250 and maps[k, 1, 60, 58 + 2 * k - 4] == 0
    assert target(me)["run"]["time_s"] == sorted(state["run"]["time_s"])
    assert len(me.workspace.undo(1)["edits"]) == 1  # type: ignore[union-attr]


def test_words_that_mean_something_else_than_the_drawn_box_are_left_out(
    service: Service, me: Session, clip: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    job = done(service.correct(me, 1, 10, None, "20,10,60,40", "forward"))
    assert job.warning == service.progress(me)["warning"]
    assert "something else than your box on frame 10" in str(job.warning)
    state = target(me)
    assert state["expression"] is None and state["edits"][1]["expression"] is None
    run = state["run"]
    assert run["language"][9] == 0.8 and set(run["language"][10:]) == {None}
    assert (run["reason"][10], run["fused"][10], run["fused_box"][10]) == ("user_box", 1.0, [20, 10, 60, 40])
    assert set(run["reason"][11:]) == {"tracker_only"}
    job = done(service.correct(me, 1, 15, "the red car", "90,50,120,80", "forward"))
    assert job.warning is None and target(me)["expression"] == "the red car"
    assert target(me)["run"]["language"][20] == 0.8


def test_a_drawn_box_stays_with_other_settings_and_in_the_exported_files(
    service: Service, me: Session, clip: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    done(service.correct(me, 1, 10, "", "20,10,60,40", "forward"))
    me.workspace.what_if(1, {"rule": "language", "rectangle": "rotated"})  # type: ignore[union-attr]
    done(service.export(me))
    state = target(me)
    folder = state["bundle"].parent / "grey"
    row = read_run(folder).rows[10]
    assert state["run"]["reason"][10] == row.decision.reason == "user_box"
    assert row.fused.confidence == 1 and row.fused.box_xyxy.tolist() == [20, 10, 60, 40]  # type: ignore[union-attr]
    assert (folder / "otb.txt").read_text().splitlines()[10] == "21.000,11.000,40.000,30.000"
    corners = (folder / "rotated.csv").read_text().splitlines()[11]
    assert corners == "10,20.0,10.0,60.0,10.0,60.0,40.0,20.0,40.0"


def test_between_two_drawn_boxes_the_track_is_made_from_both(
    service: Service, me: Session, clip: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    done(service.correct(me, 1, 6, "", "72,50,102,80", "backward"))
    before = target(me)
    done(service.correct(me, 1, 16, "", "92,50,122,80", "backward"))
    state = target(me)
    runs = [(edit["direction"], edit["start"], edit["frames"]) for edit in state["edits"]]
    assert runs[1:] == [
        ("backward", 6, [0, 6]),
        ("backward", 16, [7, 16]),
        ("forward", 6, [6, 15]),  # nobody had gone on from the first box yet
    ]
    user_frames = [frame for frame, reason in enumerate(state["run"]["reason"]) if reason == "user_box"]
    assert user_frames == [6, 16] and state["run"]["language"][17] == 0.8
    run = me.workspace.project.target(1).run()  # type: ignore[union-attr]
    assert [edit["frames"] for edit in run.manifest["edits"]] == [7, 6, 5, 6]  # they meet in the middle
    assert np.count_nonzero(maps_of(state)[16, 1]) and len(maps_of(state)) == FRAMES

    done(service.correct(me, 1, 11, "the car", "", "both"))  # words stop at both boxes
    state = target(me)
    assert [edit["frames"] for edit in state["edits"][4:]] == [[11, 15], [7, 11]]
    assert [state["run"]["language"][frame] for frame in (6, 7, 15, 16)] == [None, 0.8, 0.8, None]
    me.workspace.undo(1)  # type: ignore[union-attr]
    assert me.workspace.undo(1) == before  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((1, 5, None, "", "forward"), "Draw a box on this frame, or write better words"),
        ((1, 5, "", "", "forward"), "Draw a box"),
        ((1, 5, "the car", "", "sideways"), "forward, backward or both"),
        ((1, 5, "the car", "1,2,3", "both"), "four numbers"),
        ((1, 5, "the car", "nan,0,1,1", "both"), "four numbers"),
        ((1, 5, "the car", "900,900,999,999", "both"), "outside .* 160x90"),
        ((1, -1, "the car", "", "both"), "The frame must be"),
        ((1, float("nan"), "the car", "", "both"), "The frame must be"),
        ((1, "x", "the car", "", "both"), "The frame must be"),
        ((1, 500, "the car", "", "both"), "The track ends at frame 23"),
        ((7, 5, "the car", "", "both"), "no target 7"),
        ((None, 5, "the car", "", "both"), "The target must be"),
    ],
)
def test_corrections_are_checked(
    service: Service, me: Session, clip: str, arguments: tuple, why: str
) -> None:
    done(follow(service, me, clip, "the red car", ""))
    with pytest.raises(LangTrackError, match=why):
        service.correct(me, *arguments)
    assert service.progress(me)["stage"] == "done" and len(target(me)["edits"]) == 1


def test_several_targets_in_one_video_and_a_new_video_after_them(
    service: Service, me: Session, clip: str
) -> None:
    done(follow(service, me, clip, "the red car"))
    done(follow(service, me, clip, "", "70,50,100,80", 3))
    state = me.workspace.state()  # type: ignore[union-attr]
    assert state["targets"][0]["expression"] == "the red car"
    assert state["targets"][0]["colour"] != state["targets"][1]["colour"]
    assert state["targets"][1]["expression"] is None
    space = me.workspace
    rest = space.remove(1)  # type: ignore[union-attr]
    assert [t["id"] for t in rest["targets"]] == [2] and player_video_greys(me)
    assert rest["removed"] == "the red car"
    space.restore()  # type: ignore[union-attr]
    assert [t["id"] for t in space.state()["targets"]] == [1, 2]  # type: ignore[union-attr]
    assert maps_of(target(me)).shape[0] == FRAMES
    with pytest.raises(LangTrackError, match="No target was removed"):
        space.restore()  # type: ignore[union-attr]
    done(follow(service, me, clip, "the car", "", fresh=True))
    assert me.workspace is not space and not space.folder.exists()  # type: ignore[union-attr]


def test_comparing_expressions_decodes_once(service: Service, me: Session, clip: str) -> None:
    done(service.compare(me, clip, ["the red car", " ", "the car", "the red car"], every=2))
    state = me.workspace.state()  # type: ignore[union-attr]
    assert [t["expression"] for t in state["targets"]] == ["the red car", "the car"]
    assert len(service.tracker.started) == 2  # type: ignore[attr-defined]
    agreement = me.workspace.judgement.agreement()  # type: ignore[union-attr]
    assert agreement["matrix"] == [[1.0, 1.0], [1.0, 1.0]] and agreement["targets"] == [1, 2]
    for texts in ([], ["one"], ["a", "a"], [f"{k}" for k in range(7)], [None, 3]):
        with pytest.raises(LangTrackError, match="2 to 6"):
            service.compare(me, clip, texts)


def test_an_export_is_of_the_track_as_it_stands(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car", ""))
    old = target(me)["bundle"]
    done(service.correct(me, 1, 10, "the car", "", "backward"))
    me.workspace.what_if(1, {"rule": "language", "every": 2, "rectangle": "rotated"})  # type: ignore[union-attr]
    assert target(me)["stale"]
    done(service.export(me))
    state = target(me)
    assert not state["stale"] and state["bundle"] != old
    with zipfile.ZipFile(state["bundle"]) as archive:
        assert archive.namelist()[0].startswith("grey-1-the-car/")  # the newest words
    run = read_run(state["bundle"].parent / "grey")
    assert run.manifest["what_if"]["rule"] == "language" and run.manifest["what_if"]["changed"] == FRAMES - 1
    assert run.manifest["expression"] == "the car"
    assert len(run.manifest["edits"]) == 2 and run.manifest["weights"]
    assert {row.decision.source for row in run.rows} == {"language", None}
    assert [row.frame for row in run.rows] == list(range(FRAMES))
    corners = (state["bundle"].parent / "grey" / "rotated.csv").read_text().splitlines()
    assert corners[2] == "1,,,,,,,," and sorted(map(float, corners[1].split(",")[1::2]))[::3] == [60, 90]
    assert run.mask(1, "fused").any() == (run.rows[1].decision.source == "language")  # type: ignore[union-attr]
    me.workspace.what_if(1, None)  # type: ignore[union-attr]
    assert target(me)["stale"]


def test_an_export_says_what_was_asked_and_what_was_found(service: Service, me: Session, clip: str) -> None:
    request = service.check_request(clip, "the red car", "76,50,106,80", 8)
    region = replace(request.queries[0], exact=False)  # offered by the page, not drawn
    done(service.follow(me, replace(request, queries=(region,))))
    manifest = me.workspace.project.target(1).run().manifest  # type: ignore[union-attr]
    done(service.correct(me, 1, 12, None, "84,50,114,80", "both"))
    done(service.export(me))
    folder = target(me)["bundle"].parent / "grey"
    run = read_run(folder)
    asked = ("expression", "box_xyxy", "start", "hold", "exact", "complete")
    assert {name: run.manifest[name] for name in asked} == {name: manifest[name] for name in asked}
    assert (run.manifest["start"], run.manifest["hold"], run.manifest["exact"]) == (8, True, False)
    assert [row.frame for row in run.rows] == list(range(FRAMES))
    boxes = np.array([row.fused.box_xyxy for row in run.rows])
    for name in ("otb.txt", "lasot.txt", "got10k.txt"):
        lines = np.loadtxt(folder / name, delimiter=",")
        assert lines[:, :2] == pytest.approx(boxes[:, :2] + 1, abs=0.01)
        assert lines[:, 2:] == pytest.approx(boxes[:, 2:] - boxes[:, :2], abs=0.01)


def test_an_export_of_a_cancelled_track_says_so(service: Service, me: Session, clip: str) -> None:
    job = follow(service, me, clip, "the slow car", "")
    assert eventually(lambda: job.progress.frames >= 4)
    assert service.cancel(me)
    frames = len(target(me)["run"]["index"])
    me.workspace.what_if(1, {"rule": "language"})  # type: ignore[union-attr]
    done(service.export(me))
    run = read_run(target(me)["bundle"].parent / "grey")
    assert run.manifest["complete"] is False and len(run.rows) == frames < FRAMES


def test_one_zip_has_the_files_of_all_targets_as_they_stand(service: Service, me: Session, clip: str) -> None:
    done(follow(service, me, clip, "the red car"))
    space = me.workspace
    assert space is not None and space.state()["bundle"] == target(me)["bundle"]
    done(follow(service, me, clip, "the car"))
    done(service.correct(me, 2, 10, "the red car", "", "forward"))
    assert space.state()["bundle"] is None
    done(service.export(me))
    with zipfile.ZipFile(space.state()["bundle"]) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"grey-1-the-red-car", "grey-2-the-red-car"}
    assert len([name for name in names if name.endswith("fused.mp4")]) == 2
    space.undo(2)
    assert space.state()["bundle"] is None


def test_targets_that_were_removed_long_ago_leave_no_files(service: Service, me: Session, clip: str) -> None:
    for _ in range(8):
        done(follow(service, me, clip, "the red car"))
    space = me.workspace
    assert space is not None
    for number in range(1, 8):
        space.remove(number)
    runs = [path for path in space.folder.iterdir() if (path / "grey").exists()]
    assert len(runs) == 7  # the one that is left, five that can come back, and one with the player's video


def test_all_targets_go_into_the_format_of_another_tool(service: Service, me: Session, clip: str) -> None:
    workspace = done(follow(service, me, clip, "the red car", "")) and me.workspace
    assert workspace is not None and workspace.state()["exports"] == {}
    done(follow(service, me, clip, "the red", ""))
    done(service.correct(me, 2, 10, "the car", "", "forward"))
    done(service.export_format(me, "coco"))
    bundle = workspace.state()["exports"]["coco"]
    assert bundle.name == "langtrack-grey-coco.zip" and [p.name for p in bundle.parent.iterdir()] == [
        bundle.name
    ]
    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
        assert sum(name.endswith(".jpg") for name in names) == FRAMES
        document = json.loads(archive.read("grey-coco/annotations/instances_default.json"))
    assert [category["name"] for category in document["categories"]] == ["the red car", "the car"]
    done(service.export_format(me, "coco"))
    assert not bundle.exists() and workspace.state()["exports"]["coco"].exists()
    job = done(service.export_format(me, "cutout-webm"))
    assert job.progress.total == job.progress.frames == FRAMES
    done(service.export_format(me, "cvat"))
    assert [path.suffix for path in workspace.state()["exports"].values()] == [".zip", ".webm", ".xml"]
    workspace.what_if(1, {"rule": "language"})  # they show other tracks now
    assert workspace.state()["exports"] == {}
    workspace.what_if(1, None)
    workspace.remove(2)
    assert workspace.state()["exports"] == {}
    with pytest.raises(LangTrackError, match="no format 'png'"):
        service.export_format(me, "png")


def test_a_person_names_the_classes_of_other_formats(service: Service, me: Session, clip: str) -> None:
    def classes() -> list[str]:
        with zipfile.ZipFile(workspace.state()["exports"]["coco"]) as archive:
            document = json.loads(archive.read("grey-coco/annotations/instances_default.json"))
        return [category["name"] for category in document["categories"]]

    done(follow(service, me, clip, "the red car", ""))
    done(follow(service, me, clip, "the red", ""))
    workspace = me.workspace
    assert workspace is not None and not workspace.has_work
    assert target(me)["class"] == {"name": "", "words": "the red car"}
    done(service.export(me))
    done(service.export_format(me, "coco"))
    assert classes() == ["the red car", "the red"]
    workspace.set_class(1, "  car ")
    workspace.set_class(2, "car")
    assert target(me)["class"]["name"] == "car" and workspace.has_unsaved_work
    assert (
        workspace.state()["exports"] == {} and workspace.state()["bundle"] is not None
    )  # of the tracks alone
    done(service.export_format(me, "coco"))
    assert classes() == ["car"]
    workspace.set_class(2, "")
    done(service.export_format(me, "coco"))
    assert classes() == ["car", "the red"]
    with pytest.raises(LangTrackError, match="one line of up to 80"):
        workspace.set_class(1, "x" * 81)


def test_a_target_keeps_its_class_where_a_box_takes_the_place_of_its_words(
    service: Service, me: Session, clip: str
) -> None:
    """The words mean the square, and the box is elsewhere."""

    def classes() -> list[str]:
        done(service.export_format(me, "coco"))
        assert me.workspace is not None
        with zipfile.ZipFile(me.workspace.state()["exports"]["coco"]) as archive:
            document = json.loads(archive.read("grey-coco/annotations/instances_default.json"))
        return [category["name"] for category in document["categories"]]

    done(follow(service, me, clip, "the red car", ""))
    done(service.correct(me, 1, 10, None, "4,4,20,20", "both"))
    assert target(me)["expression"] is None and classes() == ["the red car"]
    done(service.correct(me, 1, 20, "the car", "6,6,20,20"))
    assert target(me)["expression"] is None and classes() == ["the car"]
    done(service.export(me))
    manifest = next(path for path in target(me)["files"] if path.name == "manifest.json")
    assert json.loads(manifest.read_text())["expression"] == "the car"
    done(service.correct(me, 1, 22, None, "6,6,20,20"))
    assert classes() == ["the car"]
    done(follow(service, me, clip, "", "4,4,20,20"))
    assert classes() == ["the car", "object"]


def test_a_run_that_was_corrected_often_is_saved_and_opened(
    tmp_path: Path, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each correction has all frames after it once more: together six times what a clip may have here."""
    with opened_service(tmp_path, max_frames=FRAMES) as service:
        me, you = service.sessions.get("me"), service.sessions.get("you")
        done(follow(service, me, clip, "the red car", ""))
        for frame in range(1, 6):
            done(service.correct(me, 1, frame, "", f"{60 + 2 * frame},50,{90 + 2 * frame},80"))
        assert me.workspace is not None and me.workspace.frames > 5 * FRAMES
        saved = me.workspace.save_bundle(True, 500.0)
        done(service.open_bundle(you, saved))
        assert target(you)["run"]["index"] == list(range(FRAMES)) and len(target(you)["edits"]) == 6
        monkeypatch.setattr("demo.annotation.project.MAX_SEGMENTS", 6)
        with pytest.raises(LangTrackError, match="at most 6 runs and corrections"):
            service.correct(me, 1, 7, "", "74,50,104,80")
