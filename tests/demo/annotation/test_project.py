"""Targets as stacks of runs and corrections, and projects in one ZIP that open again, or are refused."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_branches import oracle_tracker
from synthetic import moving_object, write_mp4

from demo.annotation.anchors import owners
from demo.annotation.project import COLOURS, MAX_SEGMENTS, MAX_TARGETS, Project, Segment, merge
from demo.annotation.project_zip import open_bundle, write_bundle
from demo.annotation.redecide import FusionOverrides
from demo.annotation.safe_zip import Limits
from demo.backward import read_backward
from langtrack_core.fusion import FusionConfig
from langtrack_core.masks import encode_rle
from langtrack_core.run.recorder import Recorder, RunOptions
from langtrack_core.types import LangTrackError, Query
from langtrack_core.video import probe, read_frames
from langtrack_lab.runs import Run

CLIP = moving_object(12, (48, 64))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mp4(CLIP, tmp_path_factory.mktemp("video") / "a clip.mp4")


def segment(folder: Path, video: Path, query: Query, *, backward: bool = False, frames: int = 99) -> Segment:
    tracker = oracle_tracker(CLIP.masks, vocabulary=None)
    source = read_backward(video, start=query.start) if backward else read_frames(video, start=query.start)
    about = {**tracker.info, "edit": 0, "direction": "backward" if backward else "forward"}
    options = RunOptions(video=False, overwrite=True)
    with Recorder(folder, probe(video), query, about, options) as recorder:
        for _, step in zip(range(frames), tracker.track(source, query), strict=False):
            recorder.add(step)
    return Segment.read(folder)


@pytest.fixture
def project(tmp_path: Path, video: Path) -> Project:
    return make_project(tmp_path, video)


def make_project(tmp_path: Path, video: Path) -> Project:
    """The first target is corrected at frame 6 in both directions, the second is a run alone."""
    first = segment(tmp_path / "r0", video, Query("the first words"))
    box = Query("better words", CLIP.boxes_xyxy[6], 6)
    new_project = Project(dict(first.run.manifest["video"]))
    one, two = new_project.add(), new_project.add()
    forward = segment(tmp_path / "r1", video, box, frames=3)  # cancelled after three frames
    one.segments += [first, forward, segment(tmp_path / "r2", video, box, backward=True)]
    two.segments.append(segment(tmp_path / "r3", video, Query("the second")))
    one.verdicts.give(2, 4, "tracker", "<script>")
    one.class_name = "<b>car</b>"
    two.overrides = FusionOverrides(FusionConfig(start=0.9), every=3)
    return new_project


# --- targets -----------------------------------------------------------------------------------------------


def test_corrections_cover_their_frames_and_nothing_else(project: Project) -> None:
    target = project.targets[0]
    run = target.run()
    assert [row.frame for row in run.rows] == list(range(12))
    table = owners([segment.run for segment in target.segments])
    assert [table[frame][0] for frame in range(12)] == [2] * 7 + [1] * 2 + [0] * 3
    assert [edit["frames"] for edit in run.manifest["edits"]] == [3, 2, 7]
    assert run.manifest["edits"][2] == {
        "direction": "backward",
        "start": 6,
        "expression": "better words",
        "box_xyxy": CLIP.boxes_xyxy[6].tolist(),
        "frames": 7,
    }
    assert run.manifest["counts"]["frames"] == 12 and run.manifest["counts"]["first_frame"] == 0
    assert sorted(run.masks) == list(range(12)) and "direction" not in run.manifest
    assert target.run() is run  # until something changes


def test_a_track_is_complete_when_a_run_reaches_the_videos_end(tmp_path: Path, video: Path) -> None:
    def made(name: str, query: Query, *, complete: bool, **how: Any) -> Run:
        run = segment(tmp_path / name, video, query, **how).run
        return replace(run, manifest={**run.manifest, "complete": complete})

    words, box = Query("the first words"), Query("better words", CLIP.boxes_xyxy[6], 6)
    stopped = made("stopped", words, complete=False, frames=7)
    forward = made("forward", box, complete=True)
    backward = made("backward", box, complete=True, backward=True)
    assert merge([stopped, forward]).manifest["complete"]
    assert merge(
        [made("whole", words, complete=True), made("short", box, complete=False, frames=3)]
    ).manifest["complete"]
    assert not merge([stopped, backward]).manifest["complete"]


def test_undo_takes_the_last_one_off(project: Project) -> None:
    target = project.targets[0]
    whole = target.run()
    last_segment = target.undo()
    assert last_segment.run.manifest["direction"] == "backward" and target.run() is not whole
    target.undo()
    assert target.run() is target.segments[0].run
    with pytest.raises(LangTrackError, match="no correction"):
        target.undo()


def test_other_settings_change_the_folded_track_and_are_recorded(project: Project) -> None:
    target = project.targets[0]
    before = target.run()
    target.overrides = FusionOverrides(FusionConfig(start=1.0), rule="language")
    after = target.run()
    assert {row.decision.source for row in after.rows if row.frame != 6} == {"language"}
    assert after.rows[6].decision.reason == "user_box"  # what a person drew is not decided
    assert "tracker" in {row.decision.source for row in before.rows}
    record = after.manifest["what_if"]
    assert record["changed"] == 11  # of the track's frames, not of the runs'
    assert record["rule"] == "language" and len(record["notes"]) == 1


def test_runs_of_other_videos_are_not_mixed(project: Project, tmp_path: Path) -> None:
    other = write_mp4(moving_object(3, (48, 64), seed=9), tmp_path / "other.mp4")
    strange = segment(tmp_path / "rx", other, Query("x"))
    with pytest.raises(LangTrackError, match="different videos"):
        merge([project.targets[0].run(), strange.run])
    with pytest.raises(LangTrackError, match="no run"):
        merge([])


def test_targets_have_their_own_colours_and_ids() -> None:
    project = Project({})
    targets = [project.add() for _ in range(MAX_TARGETS)]
    assert [t.colour for t in targets[: len(COLOURS)]] == list(COLOURS)
    with pytest.raises(LangTrackError, match="at most 20 targets"):
        project.add()
    project.remove(20)
    assert project.add().id == 21  # never used again
    with pytest.raises(LangTrackError, match="no target 20"):
        project.target(20)
    with pytest.raises(LangTrackError, match="has not been followed"):
        targets[3].run()


# --- bundles -----------------------------------------------------------------------------------------------


def assert_same(a: Project, b: Project) -> None:
    assert a.video == b.video and len(a.targets) == len(b.targets)
    for x, y in zip(a.targets, b.targets, strict=True):
        assert (x.id, x.class_name, x.colour, x.overrides, x.verdicts) == (
            y.id,
            y.class_name,
            y.colour,
            y.overrides,
            y.verdicts,
        )
        assert x.run().manifest == y.run().manifest and x.run().masks == y.run().masks
        for r, s in zip(x.run().rows, y.run().rows, strict=True):
            assert (r.frame, r.decision) == (s.frame, s.decision)
            np.testing.assert_equal(r.fused.box_xyxy, s.fused.box_xyxy)


@pytest.mark.parametrize("with_video", [False, True])
def test_a_bundle_opens_again_elsewhere(
    project: Project, tmp_path: Path, video: Path, with_video: bool
) -> None:
    saved = write_bundle(tmp_path / "p.zip", project, video=video if with_video else None)
    for name in ("r0", "r1", "r2", "r3"):
        shutil.rmtree(tmp_path / name)  # nothing of this machine is needed
    opened = open_bundle(saved, tmp_path / "there" / "opened")
    assert_same(opened.project, project)
    if with_video:
        assert opened.video is not None and opened.video.read_bytes() == video.read_bytes()
        assert opened.video.name == "a-clip.mp4"
    else:
        assert opened.video is None and saved.stat().st_size < 100_000
    again = write_bundle(tmp_path / "again.zip", opened.project, video=opened.video)
    assert_same(open_bundle(again, tmp_path / "again").project, project)
    with zipfile.ZipFile(saved) as archive:
        assert archive.read("verdicts/1.csv").decode().splitlines()[1] == "2,tracker,<script>,"


def test_a_project_from_before_there_were_classes_opens(project: Project, tmp_path: Path) -> None:
    def older(document: Any) -> None:
        for target in document["targets"]:
            del target["class"]
            target["name"] = f"Target {target['id']}"

    saved = write_bundle(tmp_path / "p.zip", project)
    opened = open_bundle(spoiled(saved, tmp_path / "old.zip", edit("project.json", older)), tmp_path / "o")
    assert [target.class_name for target in opened.project.targets] == ["", ""]


def test_a_video_of_before_1980_is_saved(project: Project, tmp_path: Path, video: Path) -> None:
    os.utime(video, (0, 0))
    saved = write_bundle(tmp_path / "p.zip", project, video=video)
    assert open_bundle(saved, tmp_path / "opened").video is not None


def test_what_cannot_be_saved(project: Project, tmp_path: Path, video: Path) -> None:
    other = write_mp4(moving_object(3, (48, 64), seed=9), tmp_path / "other.mp4")
    for options, why in [
        ({"video": other}, "not the video of the project"),
        ({"video": tmp_path}, "folder of pictures"),
        ({"video": video, "max_video_mb": 0.0001}, "up to 0.0001 MB"),
    ]:
        with pytest.raises(LangTrackError, match=why):
            write_bundle(tmp_path / "p.zip", project, **options)  # type: ignore[arg-type]
    with pytest.raises(LangTrackError, match="nothing to save"):
        write_bundle(tmp_path / "p.zip", Project(project.video))
    shutil.rmtree(tmp_path / "r3")
    with pytest.raises(LangTrackError, match="could not be saved"):
        write_bundle(tmp_path / "p.zip", project)
    assert not list(tmp_path.glob("*p.zip*"))


def test_hundreds_of_corrections_are_saved_and_opened(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = segment(tmp_path / "short", video, Query("it"), frames=1)
    project = Project(dict(short.run.manifest["video"]))
    project.add().segments = [short] * 250
    saved = write_bundle(tmp_path / "many.zip", project)
    assert len(open_bundle(saved, tmp_path / "many").project.targets[0].segments) == 250
    others = 2 + MAX_TARGETS  # project.json, the video, the verdicts of each target
    assert 3 * MAX_SEGMENTS + others <= Limits().files  # so those at the limit open, too
    monkeypatch.setattr("demo.annotation.project.MAX_SEGMENTS", 250)
    open_bundle(saved, tmp_path / "just")
    with pytest.raises(LangTrackError, match="at most 250 runs and corrections"):
        project.check_segments(1)
    monkeypatch.setattr("demo.annotation.project.MAX_SEGMENTS", 249)
    with pytest.raises(LangTrackError, match="at most 249"):
        open_bundle(saved, tmp_path / "more")


@pytest.mark.parametrize("what", ["three bands", "noise"])
def test_a_mask_of_a_4k_frame_is_saved_and_opened(tmp_path: Path, video: Path, what: str) -> None:
    """Also the most ragged one that a network can give: noise on its 127 cells."""
    folder, (height, width) = tmp_path / "run", (2160, 3840)
    made = segment(folder, video, Query("it"), frames=1)
    if what == "noise":
        cells = np.random.default_rng(0).random((72, 127), np.float32)
        mask = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) > 0.5
    else:
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        centre = (np.floor(y * 3 / height) + 0.5) * height / 3
        mask = abs(y - centre - 25 * np.sin(x / 60) - 10 * np.sin(x / 23)) < 70
    manifest = {
        **made.run.manifest,
        "video": {**made.run.manifest["video"], "width": width, "height": height},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "masks.json").write_text(json.dumps({"0": {"language": encode_rle(mask)}}))
    project = Project(manifest["video"])
    project.add().segments.append(Segment.read(folder))
    opened = open_bundle(write_bundle(tmp_path / "4k.zip", project), tmp_path / "opened")
    (only,) = opened.project.targets[0].segments
    assert np.array_equal(only.run.mask(0, "language"), mask)


def spoiled(saved: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(saved) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


def edit(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    def apply(files: dict[str, bytes]) -> None:
        document = json.loads(files[name])
        files[name] = json.dumps(change(document) or document).encode()

    return apply


def put(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({name: content})


def swap(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def apply(files: dict[str, bytes]) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return apply


def counts(text: str) -> Callable[[dict[str, bytes]], None]:
    return edit("runs/1-0/masks.json", lambda document: document["3"]["tracker"].update(counts=text))


BOXES, MASKS, MANIFEST = "runs/1-0/boxes.csv", "runs/1-0/masks.json", "runs/1-0/manifest.json"
HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "no project": (lambda files: files.pop("project.json") and None, "project.json is missing"),
    "another file": (put("evil.sh", b"#!"), "'evil.sh', which does not belong"),
    "a file in a run": (put("runs/1-0/run.py", b""), "does not belong"),
    "a deeper video": (put("video/a/b.mp4", b""), "does not belong"),
    "another video": (put("video/a.mp4", b"x"), "not the one that its runs were made of"),
    "broken json": (put("project.json", b"{"), "not valid JSON"),
    "deep json": (put(MASKS, b"[" * 200_000), "not valid JSON"),
    "not utf-8": (put("project.json", b"\xff\xfe{}"), "not valid JSON"),
    "another format": (edit("project.json", lambda p: p.update(format="x")), "not a project"),
    "a list": (put("project.json", b"[]"), "not a project"),
    "a later version": (edit("project.json", lambda p: p.update(format_version=2)), "version 2; this"),
    "a missing run": (edit("project.json", lambda p: p["targets"][0].update(segments=["runs/9-9"])), "9-9"),
    "a path for a run": (
        edit("project.json", lambda p: p["targets"][0].update(segments=["../x"])),
        "not there",
    ),
    "an id twice": (
        edit("project.json", lambda p: p["targets"][0].update(id=2)),
        "two targets with the id 2",
    ),
    "an odd id": (edit("project.json", lambda p: p["targets"][0].update(id="1")), "no proper id"),
    "a colour": (edit("project.json", lambda p: p["targets"][0].update(colour="url(x)")), "#rrggbb"),
    "a class": (
        edit("project.json", lambda p: p["targets"][0].update({"class": ["x"]})),
        "class is one line",
    ),
    "a long class": (edit("project.json", lambda p: p["targets"][0].update({"class": "x" * 81})), "up to 80"),
    "a what-if": (
        edit("project.json", lambda p: p["targets"][0].update(what_if={"start": 9})),
        "start must be",
    ),
    "verdicts": (edit("project.json", lambda p: p["targets"][0].update(verdicts=None)), "not verdicts"),
    "a size": (edit("project.json", lambda p: p["video"].update(width=10**9)), "how large its video is"),
    "nan": (swap("project.json", b'"id": 1', b'"id": NaN'), "not valid JSON"),
    "nan in a mask": (swap(MASKS, b'"size": [48', b'"size": [NaN'), "not valid JSON"),
    "nan in a box": (
        swap(BOXES, b"3,0.120000,tracking,tracker,", b"3,nan,tracking,tracker,"),
        "Frame 3",
    ),
    "a state": (swap(BOXES, b"tracking", b"<script>"), "not as a run of LangTrack has it"),
    "a frame twice": (swap(BOXES, b"\n3,", b"\n4,"), "a frame twice"),
    "columns": (swap(BOXES, b"frame,", b"frames,"), "not as a run of LangTrack has it"),
    "a long cell": (
        swap(BOXES, b"\n3,", b"\n" + b"3" * 200_000 + b","),
        "boxes.csv is not as a run of LangTrack has it",
    ),
    "a short row": (swap(BOXES, b"\n3,", b"\n3,1\n3,"), "not as a run|twice|Frame 3"),
    "a mask's size": (
        edit(MASKS, lambda m: m["3"]["tracker"].update(size=[10**5, 10**5])),
        "mask of frame 3 in the project is damaged",
    ),
    "a branch": (edit(MASKS, lambda m: m["3"].update(x=m["3"].pop("tracker"))), "mask of frame 3"),
    "a mask that is none": (edit(MASKS, lambda m: m["3"].update(tracker=[])), "mask of frame 3"),
    "masks that are none": (put(MASKS, b"[1, 2]"), "not as a run of LangTrack has it"),
    "too long runs": (counts("ooooooooooooooooooo"), "mask of frame 3 in the project is damaged"),
    "a mask of runs without end": (counts("PP3" + "0" * 20_000), "too ragged"),
    "runs too many": (counts("PPPPPPPPP0" * 3), "damaged"),
    "a run too few": (counts("1"), "damaged"),
    "no text": (counts("\u00e9\u0000"), "damaged"),
    "a version of a run": (edit(MANIFEST, lambda m: m.update(format_version=9)), "not as a run of LangTrack"),
    "a start": (edit(MANIFEST, lambda m: m.update(start=-1)), "not as LangTrack writes it"),
    "an edit": (edit(MANIFEST, lambda m: m.update(edit="x")), "not as LangTrack writes it"),
    "a box": (edit(MANIFEST, lambda m: m.update(box_xyxy=[1, 2, 3])), "not as LangTrack writes it"),
    "a large box": (
        edit(MANIFEST, lambda m: m.update(box_xyxy=[1, 2, 3, 10**400])),
        "not as LangTrack writes",
    ),
    "a large start": (edit(MANIFEST, lambda m: m.update(start=10**400)), "not as LangTrack writes it"),
    "settings": (edit(MANIFEST, lambda m: m.update(settings="x")), "not as LangTrack writes it"),
    "a fusion": (edit(MANIFEST, lambda m: m.update(settings={"fusion": [1]})), "not as LangTrack writes it"),
    "a margin": (edit(MANIFEST, lambda m: m.update(settings={"fusion": {"margin": "x"}})), "margin must be"),
    "weights": (edit(MANIFEST, lambda m: m.update(weights=[1])), "not as LangTrack writes it"),
    "a recorded what-if": (edit(MANIFEST, lambda m: m.update(what_if=3)), "not as LangTrack writes it"),
    "no rate": (edit(MANIFEST, lambda m: m["video"].pop("fps_fraction") and None), "not as a run"),
    "a rate": (edit(MANIFEST, lambda m: m["video"].update(fps_fraction="1/0")), "not as a run"),
    "a video that is none": (edit(MANIFEST, lambda m: m.update(video=[])), "not as a run"),
    "a hash": (edit(MANIFEST, lambda m: m["video"].update(sha256="0" * 64)), "another video"),
    "no run at all": (lambda files: files.pop(MASKS) and None, "not valid JSON"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    return write_bundle(folder / "good.zip", make_project(folder, video))


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_or_broken_bundle_is_refused_and_leaves_nothing(
    what: str, saved: Path, tmp_path: Path
) -> None:
    change, why = HOSTILE[what]
    bad = spoiled(saved, tmp_path / "bad.zip", change)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(LangTrackError, match=why) as caught:
        open_bundle(bad, place / "opened")
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)
    assert list(place.iterdir()) == []
