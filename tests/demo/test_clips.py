"""A list of clips on the page's server: opened from a folder or uploads, judged, left and found again."""

from __future__ import annotations

import errno
import html
import shutil
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import cv2
import gradio as gr
import numpy as np
import pytest
from app_helpers import SETTINGS, VERY_SLOW, counting_clip, eventually, grey_of, paced_tracker, serving
from clip_folders import clip_folder
from contrast import pale
from playwright.sync_api import Browser, Page, expect

from demo.annotation.clips import RESULT_NAME, Clip, read_result
from demo.annotation.clips_folder import clips_in
from demo.examples import Example
from demo.page_events import PageEvents, View
from demo.preview_events import PreviewEvents
from demo.service import Service
from demo.tool_events import ToolEvents
from langtrack_core.run.recorder import RunOptions, video_sha256
from langtrack_core.run.track_video import track_video
from langtrack_core.types import Query

PAGE: Any = SimpleNamespace(session_hash="page")


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[ToolEvents]:
    service = Service(paced_tracker(), replace(SETTINGS, reload_grace_s=0.0), tmp_path / "root")
    yield ToolEvents(PageEvents(service, {}))
    service.close()


def uploaded(tools: ToolEvents, path: Path) -> str:
    upload = (
        tools.service.sessions.root / (f"{len(list(tools.service.sessions.root.glob('*'))):064d}") / path.name
    )
    upload.parent.mkdir(parents=True)
    return str(shutil.copy(path, upload))


def ask(tools: ToolEvents, kind: str, do: str, **fields: Any) -> Any:
    return getattr(tools, kind)(SimpleNamespace(_data={"do": do, "n": 7, **fields}), PAGE)


def work(tools: ToolEvents, do: str, kind: str = "show", **fields: Any) -> View:
    """The page when the job of a question is over."""
    started = ask(tools, kind, do, **fields)
    if "reply" in started.player:
        return started
    view = list(tools.events.watch(PAGE))[-1]
    return started if view == View() else view


def frame_pictures(folder: Path, frames: int) -> Path:
    """The pictures of a `counting_clip`."""
    folder.mkdir(parents=True)
    for number in range(frames):
        cv2.imwrite(str(folder / f"{number:04d}.png"), np.full((90, 160, 3), grey_of(number), np.uint8))
    return folder


def follow_frames(tools: ToolEvents, tmp_path: Path, frames: int) -> None:
    """A ZIP of frames as a list of one clip, which is followed."""
    archive = shutil.make_archive(str(tmp_path / "frames"), "zip", frame_pictures(tmp_path / "seq", frames))
    work(tools, "open_clips", paths=[uploaded(tools, Path(archive))], names=["frames.zip"])
    assert work(tools, "open_clip", index=0, text="the red car").player["state"] == "done"


def test_a_run_on_a_folder_of_frames_is_saved_without_it_and_says_so(
    tools: ToolEvents, tmp_path: Path
) -> None:
    follow_frames(tools, tmp_path, 4)
    reply = ask(tools, "act", "save", target=1)["reply"]
    assert "folder of pictures" in reply["without_video"]
    saved = Path(reply["download"]["file"]["path"])
    with zipfile.ZipFile(saved) as archive:
        assert "verdicts/1.csv" in archive.namelist()
        assert not [name for name in archive.namelist() if name.startswith("video/")]
    you: Any = SimpleNamespace(session_hash="you")
    tools.open_saved(uploaded(tools, saved), you)
    opened = list(tools.events.watch(you))[-1]
    assert opened.player["state"] == "empty" and "saved without its video" in opened.notice


def test_a_folder_of_frames_is_corrected_clicked_compared_and_gets_targets(
    tools: ToolEvents, tmp_path: Path
) -> None:
    follow_frames(tools, tmp_path, 6)
    session = tools.service.sessions.get("page")
    questions: dict[str, dict[str, Any]] = {
        "correct": {"frame": 2, "text": "", "box": "64,50,94,80", "direction": "both"},
        "point": {"frame": 3, "x": 75, "y": 65, "right": True, "direction": "backward"},
        "add": {"frame": 0, "text": "the car", "box": ""},
        "compare": {"texts": ["the car", "the red car"]},
    }
    for do, fields in questions.items():
        player = work(tools, do, "work", target=1, **fields).player
        assert player["state"] == "done", player
        assert session.job is not None and session.job.outcome == "done"
    assert session.workspace is not None
    first, *others = session.workspace.project.targets
    assert (
        len(first.segments) == 4 and len(others) == 3
    )  # a correction both ways, a click, a target, two words


def test_the_run_of_a_batch_on_a_folder_of_frames_is_opened(tools: ToolEvents, tmp_path: Path) -> None:
    folder, frames = tmp_path / "batch", frame_pictures(tmp_path / "seq", 6)
    run = folder / "runs" / "seq-1"
    track_video(paced_tracker(), frames, Query("the red car"), out=run, options=RunOptions(video=False))
    (folder / "index.csv").write_text(f"run,video\nruns/seq-1,{frames}\n")
    tools.service.clips.folder = folder
    tools.events.on_load(None, PAGE)
    list(tools.events.watch(PAGE))
    view = work(tools, "open_clip", index=0)
    assert view.player["state"] == "done" and "Found in 6 of 6 frames" in view.notice


def test_a_zip_of_clips_is_followed_judged_and_gone_through(tools: ToolEvents, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "three.zip", "w") as archive:
        for number in range(3):
            archive.write(
                counting_clip(tmp_path / f"clip-{number}.mp4", frames=5 + number), f"clip-{number}.mp4"
            )
    upload = uploaded(tools, tmp_path / "three.zip")
    view = work(tools, "open_clips", paths=[upload], names=["three.zip"])
    assert view.player["fresh_clips"] and "3 clips are open" in view.notice
    assert not Path(upload).exists()  # it is unpacked
    refused = ask(tools, "show", "open_clip", step=1, filter="open", text=" ")
    assert "Say what to follow" in refused.player["reply"]["error"]
    for _ in range(2):  # a page that got its new list twice asks for its first clip twice
        first = work(tools, "open_clip", step=1, filter="open", first=True, text="the red car")
        assert first.player["clips"]["now"] == 0
    for number in range(3):
        view = work(tools, "open_clip", step=1, filter="open", first=number == 0, text="the red car")
        clips = view.player["clips"]
        assert clips["now"] == number and view.player["state"] == "done"
        assert clips["clips"][number]["expression"] == "the red car"
        if number == 0:
            change = {"first": 0, "last": 2, "verdict": "both", "note": None}
            ask(tools, "act", "verdicts", target=1, changes=[change])
        reply = ask(tools, "act", "clip_verdict", index=number, verdict="right")["reply"]
        assert reply["work"] == {"clip": "clip-0.mp4", "judged": 3 + number + 1}  # three frames and the clips
        assert reply["clips"]["judged"] == number + 1
    over = ask(tools, "show", "open_clip", step=1, filter="open", text="the red car")
    assert over.player["reply"]["error"] == "All clips are judged."
    back = work(tools, "open_clip", step=1, filter="all").player  # from the shelf, at once
    assert back["clips"]["now"] == 0 and '"judged"' not in back["run"]
    assert (
        tools.service.sessions.get("page").workspace.state()["targets"][0]["verdicts"]["counts"]["both"] == 3
    )  # type: ignore[union-attr]
    saved = ask(tools, "act", "clips_file", form="json")["reply"]["download"]
    document = read_result(Path(saved["file"]["path"]))
    assert [entry["verdict"] for entry in document["clips"]] == ["right"] * 3
    assert document["clips"][0]["sha256"]
    assert len(document["clips"][0]["targets"][0]["frame_verdicts"]["verdicts"]) == 3


def test_the_words_in_the_form_are_for_the_clip_that_is_shown(tools: ToolEvents, tmp_path: Path) -> None:
    paths = [counting_clip(tmp_path / f"clip-{number}.mp4", frames=5) for number in range(2)]
    names = [path.name for path in paths]
    work(tools, "open_clips", paths=[uploaded(tools, path) for path in paths], names=names)
    session, looks = tools.service.sessions.get("page"), PreviewEvents(tools.events)

    def follow(video: str | None, text: str, box: str = "") -> Any:
        started = tools.events.begin(video, text, box, 0, 1, PAGE)
        if "alert" in str(started.notice):
            return started
        return list(tools.events.watch(PAGE))[-1].player["clips"]

    assert looks.on_text(None, "the car", "", 0, PAGE).preview["frames"] == 5  # of the first clip
    clips = follow(None, "the car")
    assert clips["now"] == 0 and clips["clips"][0]["expression"] == "the car"
    ask(tools, "act", "clip_verdict", index=0, verdict="wrong")
    ask(
        tools, "act", "verdicts", target=1, changes=[{"first": 0, "last": 2, "verdict": "both", "note": None}]
    )
    clips = follow(None, "the red car")  # another track, of which nobody has said anything
    assert clips["now"] == 0 and clips["judged"] == 0 and clips["clips"][0]["expression"] == "the red car"
    assert session.workspace and len(session.workspace.state()["targets"][0]["verdicts"]["frames"]) == 0
    looks.on_place(None, "the red car", "70,50,100,80", 0, PAGE)
    work(tools, "open_clip", step=1, filter="all", text="the car")
    assert "of another clip" in follow(None, "the car", "70,50,100,80").notice
    other = uploaded(tools, counting_clip(tmp_path / "other.mp4", frames=4))
    clips = follow(other, "the car")  # a video that was chosen in the form since
    assert clips["now"] is None and session.workspace and str(session.workspace.video) == other
    clips = work(tools, "open_clip", step=1, filter="all").player["clips"]
    assert clips["now"] == 1  # where the list was left
    assert follow(other, "the red car")["now"] == 1  # the form has it still; the list was gone to since
    example: Any = SimpleNamespace(_data={"name": "grey"})
    tools.events.examples = {"grey": Example(Path(other), "the car", "", b"")}
    assert tools.events.fill_example(example, PAGE).video == other
    assert follow(other, "the car")["now"] is None
    assert work(tools, "open_clip", index=1).player["clips"]["now"] == 1
    session.take_up(session.shelf[0].key)  # as a saved run that is opened: the page shows no clip of the list
    assert tools.events.page_value(session)["clips"]["now"] is None


def test_a_clip_that_could_not_be_followed_anew_keeps_its_track_and_its_verdict(
    tools: ToolEvents, tmp_path: Path
) -> None:
    paths = [counting_clip(tmp_path / f"clip-{number}.mp4", frames=5) for number in range(2)]
    names = [path.name for path in paths]
    work(tools, "open_clips", paths=[uploaded(tools, path) for path in paths], names=names)
    before = work(tools, "open_clip", index=0, text="the red car").player
    ask(tools, "act", "clip_verdict", index=0, verdict="right")
    tools.events.begin(None, "the red car", "", 500, 1, PAGE)
    failed = list(tools.events.watch(PAGE))[-1]
    assert "frame 500" in failed.notice and failed.player["run"] == before["run"]
    assert failed.player["clips"]["now"] == 0 and failed.player["clips"]["clips"][0]["verdict"] == "right"
    tools.events.begin(None, "the red car", "", 500, 1, PAGE)
    session = tools.service.sessions.get("page")
    assert session.job is not None and session.job.wait(60)  # and the page has not heard of it
    tools.events.begin(None, VERY_SLOW, "", 0, 1, PAGE)
    work(tools, "open_clip", index=1, text="the red car")  # before there is a track
    back = work(tools, "open_clip", index=0).player
    assert back["run"] == before["run"] and back["clips"]["clips"][0]["verdict"] == "right"
    tools.events.begin(None, "the car", "", 0, 1, PAGE)
    again = list(tools.events.watch(PAGE))[-1].player
    assert again["run"] != before["run"] and again["clips"]["clips"][0]["verdict"] is None


def test_the_page_knows_how_many_verdicts_of_a_list_are_in_no_file(
    tools: ToolEvents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks before another list takes its place: nothing else has them."""
    path = counting_clip(tmp_path / "clip.mp4", frames=5)
    work(tools, "open_clips", paths=[uploaded(tools, path)], names=[path.name])
    work(tools, "open_clip", index=0, text="the red car")

    def unsaved(do: str, **fields: Any) -> int:
        return int(ask(tools, "act", do, **fields)["reply"]["clips"]["unsaved"])

    assert unsaved("clip_verdict", index=0, verdict="right") == 1
    assert unsaved("clips_file", form="csv") == 0
    assert unsaved("clip_verdict", index=0, verdict="wrong") == 1
    with monkeypatch.context() as full:
        full.setattr("demo.clip_events.write_text", Mock(side_effect=OSError(errno.ENOSPC, "No space")))
        refused = ask(tools, "act", "clips_file", form="json")["reply"]["error"]
        assert refused == "langtrack-clips-1-files.json cannot be written: the disk is full."
    session = tools.service.sessions.get("page")
    assert session.clips is not None and session.clips.unsaved == 1
    session.clips.result = tmp_path / RESULT_NAME  # which each verdict is written to
    assert unsaved("clip_verdict", index=0, verdict="right") == 0


def test_verdicts_on_frames_are_in_the_result_at_any_time(tools: ToolEvents, tmp_path: Path) -> None:
    other = uploaded(tools, counting_clip(tmp_path / "other.mp4", frames=6))
    tools.events.begin(other, "the red car", "", 0, 1, PAGE)
    list(tools.events.watch(PAGE))
    session = tools.service.sessions.get("page")
    assert session.workspace is not None
    key = session.workspace.key
    path = counting_clip(tmp_path / "clip.mp4", frames=5)
    work(tools, "open_clips", paths=[uploaded(tools, path)], names=[path.name])
    work(tools, "open_clip", index=0, text="the red car")
    assert session.clips is not None
    session.clips.result = result = tmp_path / RESULT_NAME
    shown = session.workspace.key

    def judged(document: Any) -> int:
        return len(document["clips"][0]["targets"][0]["frame_verdicts"]["verdicts"])

    change = {"first": 0, "last": 2, "verdict": "both", "note": None}
    ask(tools, "act", "verdicts", run=shown, target=1, changes=[change])
    assert judged(read_result(result)) == 3
    view = work(tools, "take_up", run=key)
    assert view.player["clips"]["now"] is None
    ask(tools, "act", "verdicts", run=shown, target=1, changes=[{**change, "last": 3}])  # was on its way
    assert judged(read_result(result)) == 4
    saved = ask(tools, "act", "clips_file", form="json")["reply"]["download"]
    assert judged(read_result(Path(saved["file"]["path"]))) == 4


def test_a_list_whose_opening_was_cancelled_is_not_opened(
    tools: ToolEvents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def held(*args: Any, **options: Any) -> Iterator[Clip]:
        assert gate.wait(60)
        yield from clips_in(*args, **options)

    monkeypatch.setattr("demo.clips_job.clips_in", held)
    paths = [counting_clip(tmp_path / f"clip-{number}.mp4", frames=2) for number in range(2)]
    uploads = [uploaded(tools, path) for path in paths]
    ask(tools, "show", "open_clips", paths=uploads, names=[path.name for path in paths])
    session = tools.service.sessions.get("page")
    assert session.job is not None
    session.job.cancel(keep=True)
    gate.set()
    assert session.job.wait(60)
    view = list(tools.events.watch(PAGE))[-1]
    assert "Cancelled" in view.notice and session.clips is None
    assert "clips" not in view.player and "fresh_clips" not in view.player


def test_another_person_goes_on_with_frames_and_all(tools: ToolEvents, tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "batch", 2)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    work(tools, "open_clips", paths=[uploaded(tools, path) for path in files], names=names)
    work(tools, "open_clip", index=1)
    change = {"first": 0, "last": 2, "verdict": "both", "note": None}
    ask(tools, "act", "verdicts", target=1, changes=[change])
    ask(tools, "act", "clip_verdict", index=1, verdict="partly")
    work(tools, "open_clip", index=0)
    key = tools.service.sessions.get("page").workspace.key  # type: ignore[union-attr]
    work(tools, "add", "work", key=key, frame=0, box="60,50,90,80", text="")
    ask(tools, "act", "verdicts", target=2, changes=[change])
    saved = ask(tools, "act", "clips_file", form="json")["reply"]["download"]["file"]["path"]
    assert ask(tools, "act", "clips_file", form="csv")["reply"]["download"]["name"].endswith(".csv")
    shutil.copy(saved, tmp_path / "result.json")
    tools.service.sessions.drop("page")

    work(tools, "open_clips", paths=[uploaded(tools, path) for path in files], names=names)
    work(tools, "open_clip", index=0)  # as the page does at once: its one target gets no verdict of the box
    reply = ask(tools, "act", "load_clips", paths=[uploaded(tools, tmp_path / "result.json")])["reply"]
    assert reply["taken"] == 1 and [one["verdict"] for one in reply["clips"]["clips"]] == [None, "partly"]
    again = ask(tools, "act", "clips_file", form="json")["reply"]["download"]["file"]["path"]
    judged = [
        [len(target["frame_verdicts"]["verdicts"]) for target in entry["targets"]]
        for entry in read_result(Path(again))["clips"]
    ]
    assert judged == [[0, 3], [3]]
    view = work(tools, "open_clip", index=1)
    assert view.player["state"] == "done"
    workspace = tools.service.sessions.get("page").workspace
    assert workspace is not None and workspace.state()["targets"][0]["verdicts"]["counts"]["both"] == 3


def test_two_people_at_one_folder_see_what_the_other_has_judged(tools: ToolEvents, tmp_path: Path) -> None:
    tools.service.clips.folder = folder = tmp_path / "clips"
    for number in range(2):
        counting_clip(folder / f"clip-{number}.mp4", frames=5)
    you: Any = SimpleNamespace(session_hash="you")
    change = {"first": 0, "last": 2, "verdict": "both", "note": None}

    def opened(who: Any, index: int) -> Any:
        question = {"do": "open_clip", "n": 1, "index": index, "text": "the red car"}
        tools.show(SimpleNamespace(_data=question), who)
        list(tools.events.watch(who))
        session = tools.service.sessions.get(who.session_hash)
        assert session.workspace is not None and session.workspace.frames == 5
        return session.workspace

    for who in (PAGE, you):
        tools.events.on_load(None, who)
        list(tools.events.watch(who))
    opened(PAGE, 0)
    workspace = opened(you, 0)
    ask(tools, "act", "clip_verdict", index=0, verdict="wrong")
    ask(tools, "act", "verdicts", target=1, changes=[change])
    opened(you, 1)
    act = {"do": "clip_verdict", "n": 1, "index": 1, "verdict": "absent"}
    reply = tools.act(SimpleNamespace(_data=act), you)["reply"]
    assert [clip["verdict"] for clip in reply["clips"]["clips"]] == ["wrong", "absent"]
    assert workspace.judged == 3  # in the run that is open, where the next verdict joins them

    opened(you, 0)
    tools.events.begin(None, "the red car", "60,50,90,80", 0, 1, you)  # the same words, on another thing
    list(tools.events.watch(you))
    opened(you, 1)
    reply = tools.act(SimpleNamespace(_data={**act, "verdict": "right"}), you)["reply"]
    assert [clip["verdict"] for clip in reply["clips"]["clips"]] == [None, "right"]
    entries = read_result(folder / RESULT_NAME)["clips"]
    assert [entry["verdict"] for entry in entries] == [None, "right"]
    assert entries[0]["targets"][0]["frame_verdicts"]["verdicts"] == []


def test_the_next_run_is_open_before_it_is_asked_for(tools: ToolEvents, tmp_path: Path) -> None:
    tools.service.clips.folder = clip_folder(tmp_path / "batch", 4)
    tools.events.on_load(None, PAGE)
    list(tools.events.watch(PAGE))
    session = tools.service.sessions.get("page")
    work(tools, "open_clip", step=1, filter="open")
    first, prepared = session.workspace, session.ahead
    assert prepared is not None and prepared.wait(60) and session.workspace is first
    ask(tools, "act", "clip_verdict", index=0, verdict="right")
    shown = ask(tools, "show", "open_clip", step=1, filter="open", unjudged=True)
    assert shown.player["state"] == "done" and shown.player["clips"]["now"] == 1  # at once, without a job
    assert "Found in" in shown.notice
    assert session.workspace is prepared.workspace and first in session.shelf
    assert session.ahead is not None and session.ahead.wait(60)
    unused = session.ahead
    assert unused.workspace is not None and unused.workspace.folder.exists()
    view = work(tools, "open_clip", index=3)  # another one than was expected
    assert view.player["clips"]["now"] == 3 and not unused.folder.exists()
    assert eventually(lambda: len(list(session.folder.iterdir())) <= 5)  # list, three clips, the next


def test_a_verdict_on_a_corrected_track_does_not_stay_when_that_track_is_gone(
    tools: ToolEvents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.sessions.MAX_SHELVED", 1)
    tools.service.clips.folder = clip_folder(tmp_path / "batch", 4, frames=4)
    tools.events.on_load(None, PAGE)
    list(tools.events.watch(PAGE))
    session = tools.service.sessions.get("page")
    notices = []
    for index in range(4):
        notices.append(work(tools, "open_clip", index=index).notice)
        if index < 3:
            work(tools, "correct", kind="work", target=1, frame=1, box="62,50,92,80", direction="forward")
        ask(tools, "act", "clip_verdict", index=index, verdict="right")
    assert "earlier runs" not in notices[0]
    assert "may remove, with what you judged and corrected: “the red car” in runs/clip-1." in notices[1]
    assert "Removed with what you judged and corrected: “the red car” in runs/clip-1." in notices[2]
    view = work(tools, "open_clip", index=0)
    assert [clip["verdict"] for clip in view.player["clips"]["clips"]] == [None, "right", "right", "right"]
    assert "The verdict “right” on runs/clip-1 was on a track that had been changed" in view.notice
    result = tmp_path / "batch" / RESULT_NAME
    view = work(tools, "open_clip", index=3)  # was not corrected: opened anew, it has the same track
    assert view.player["clips"]["clips"][3]["verdict"] == "right" and "changed" not in view.notice
    ask(tools, "act", "clip_verdict", index=3, verdict="wrong")  # the file has the old verdict until now
    assert read_result(result)["clips"][0]["verdict"] is None
    work(tools, "open_clip", index=0)
    ask(tools, "act", "clip_verdict", index=0, verdict="partly")
    assert session.clips is not None and session.clips.judged == 4


def test_verdicts_do_not_stay_when_another_video_has_the_clips_name(
    tools: ToolEvents, tmp_path: Path
) -> None:
    tools.service.clips.folder = folder = tmp_path / "clips"
    video, result = folder / "clip.mp4", folder / RESULT_NAME
    change = {"first": 0, "last": 2, "verdict": "both", "note": None}
    you: Any = SimpleNamespace(session_hash="you")
    hashes, notices = [], []
    for who, falling in ((PAGE, False), (you, True)):
        video.unlink(missing_ok=True)
        counting_clip(video, falling=falling, frames=5)
        tools.events.on_load(None, who)
        list(tools.events.watch(who))
        question = {"do": "open_clip", "n": 1, "index": 0, "text": "the red car"}
        tools.show(SimpleNamespace(_data=question), who)
        notices.append(list(tools.events.watch(who))[-1].notice)
        session = tools.service.sessions.get(who.session_hash)
        assert session.workspace is not None and session.workspace.judged == 0
        assert session.clips is not None and session.clips.judged == 0
        for act in ({"do": "verdicts", "target": 1, "changes": [change]}, {"do": "clip_verdict", "index": 0}):
            tools.act(SimpleNamespace(_data={**act, "n": 1, "verdict": "right"}), who)
        [entry] = read_result(result)["clips"]
        assert entry["verdict"] == "right" and len(entry["targets"][0]["frame_verdicts"]["verdicts"]) == 3
        hashes.append(entry["sha256"])
    assert hashes[0] != hashes[1] == video_sha256(video)
    assert "another video" not in notices[0]
    assert "The verdict “right” was on another video, which had the name clip.mp4 before" in notices[1]


def test_a_run_is_not_shown_on_another_video_of_the_same_name(tools: ToolEvents, tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "batch", 2)
    counting_clip(folder / "videos" / "clip-2.mp4", falling=True, frames=8)  # of the same size
    tools.service.clips.folder = folder
    tools.events.on_load(None, PAGE)
    list(tools.events.watch(PAGE))
    assert work(tools, "open_clip", index=0).player["state"] == "done"
    view = work(tools, "open_clip", index=1)
    assert "clip-2.mp4 is not the video of the run runs/clip-2" in view.notice


def test_a_clip_that_cannot_be_opened_is_not_judged_by_the_one_before(
    tools: ToolEvents, tmp_path: Path
) -> None:
    tools.service.clips.folder = folder = clip_folder(tmp_path / "batch", 3)
    (folder / "videos" / "clip-2.mp4").unlink()
    tools.events.on_load(None, PAGE)
    list(tools.events.watch(PAGE))
    assert work(tools, "open_clip", index=0).player["state"] == "done"
    session = tools.service.sessions.get("page")
    assert session.workspace is not None
    saved = ask(tools, "act", "save", target=1)["reply"]["download"]["file"]["path"]

    view = work(tools, "open_clip", step=1, filter="open")
    assert "not here" in view.notice and view.player["clips"]["now"] == 1
    assert view.player["state"] == "empty"  # not the clip before, which a verdict would not be on
    assert [run["key"] for run in view.player["shelf"]] == [session.workspace.key]
    for verdict in ("right", None):
        refused = ask(tools, "act", "clip_verdict", index=1, verdict=verdict)["reply"]
        assert "clip-2 is not shown" in refused["error"]
    assert not (folder / RESULT_NAME).exists()
    reloaded = tools.events.on_load(session.token, PAGE)[5]
    assert reloaded["state"] == "empty" and reloaded["clips"]["now"] == 1

    view = work(tools, "open_clip", step=1, filter="open")  # the list goes on behind it
    assert view.player["state"] == "done" and view.player["clips"]["now"] == 2
    assert ask(tools, "act", "clip_verdict", index=2, verdict="right")["reply"]["clips"]["judged"] == 1
    work(tools, "open_clip", index=1)
    view = work(tools, "take_up", run=view.player["shelf"][0]["key"])  # the run before, from the earlier ones
    assert view.player["state"] == "done" and view.player["clips"]["now"] == 0
    work(tools, "open_clip", index=1)
    tools.open_saved(uploaded(tools, Path(saved)), PAGE)
    view = list(tools.events.watch(PAGE))[-1]
    assert view.player["state"] == "done" and view.player["clips"]["now"] is None


def test_a_clip_whose_run_was_cancelled_at_once_is_not_judged(tools: ToolEvents, tmp_path: Path) -> None:
    path = counting_clip(tmp_path / "clip.mp4")
    work(tools, "open_clips", paths=[uploaded(tools, path)], names=[path.name])
    ask(tools, "show", "open_clip", index=0, text=VERY_SLOW)
    session = tools.service.sessions.get("page")
    assert session.job is not None
    session.job.cancel(keep=False)
    assert list(tools.events.watch(PAGE))[-1].player["state"] == "empty"
    assert "is not shown" in ask(tools, "act", "clip_verdict", index=0, verdict="absent")["reply"]["error"]


@pytest.mark.parametrize("there", [False, True])
def test_a_clip_that_was_left_before_it_was_followed_says_nothing_more(
    tools: ToolEvents, tmp_path: Path, there: bool
) -> None:
    paths = [uploaded(tools, counting_clip(tmp_path / f"{name}.mp4")) for name in "ab"]
    work(tools, "open_clips", paths=paths, names=["a.mp4", "b.mp4"])
    if there:
        work(tools, "open_clip", index=1, text="the red car")
    ask(tools, "show", "open_clip", index=0, text=VERY_SLOW)
    watching = tools.events.watch(PAGE)
    next(watching)
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(lambda: list(watching)[-1])
        shown = ask(tools, "show", "open_clip", index=1, text=VERY_SLOW)
        assert shown.player["state"] == ("done" if there else "running")
        assert last.result(30) == View(run_button=gr.update(interactive=True) if there else gr.skip())
    tools.events.cancel(PAGE)


@pytest.mark.parametrize("name", ["../x.mp4", "a/../../x.mp4", "", "a\nb.mp4"])
def test_a_name_leads_nowhere_else(tools: ToolEvents, tmp_path: Path, name: str) -> None:
    path = uploaded(tools, counting_clip(tmp_path / "clip.mp4", frames=3))
    view = work(tools, "open_clips", paths=[path], names=[name])
    assert "not a name" in view.notice


def test_a_zip_does_not_take_the_place_of_the_folder_beside_it(tools: ToolEvents, tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "one" / "one.mp4", frames=3)
    archive = Path(shutil.make_archive(str(tmp_path / "day"), "zip", clip.parent))
    other = counting_clip(tmp_path / "other.mp4", frames=4)
    paths = [uploaded(tools, path) for path in (other, archive)]
    view = work(tools, "open_clips", paths=paths, names=["clips/day/other.mp4", "clips/day.zip"])
    assert "There are two files with the name 'clips/day.zip'" in html.unescape(view.notice)
    work(tools, "open_clips", paths=paths[::-1], names=["clips/day.zip", "clips/day/other.mp4"])
    clips = tools.service.sessions.get("page").clips
    assert clips is not None
    assert [clip.name for clip in clips.clips] == ["clips/day/one.mp4", "clips/day/other.mp4"]


def test_what_no_page_sends_is_one_sentence(tools: ToolEvents, tmp_path: Path) -> None:
    for do in ("open_clips", "open_clip"):
        assert ask(tools, "show", do, step=1).player["reply"]["error"].endswith(".")
    for do in ("clip_verdict", "clips_file", "load_clips"):
        assert ask(tools, "act", do)["reply"]["error"] == "Open some clips first."
    path = uploaded(tools, counting_clip(tmp_path / "clip.mp4", frames=3))
    work(tools, "open_clips", paths=[path], names=["clip.mp4"])
    for fields in ({"index": 5}, {"index": "0"}, {"index": 0, "verdict": "yes"}, {"index": 0, "verdict": {}}):
        assert ask(tools, "act", "clip_verdict", **fields)["reply"]["error"].endswith(".")
    assert ask(tools, "show", "open_clip", index=3).player["reply"]["error"].endswith(".")
    assert ask(tools, "show", "open_clip", step=1, filter="x").player["reply"]["error"].endswith(".")


# --- in Chromium -------------------------------------------------------------------------------------------


IN_SIGHT = (".lt-clips-progress", ".lt-clips-list [aria-current=true]", '[data-clip-step="1"]')
IN_SIGHT += ('[data-clip-verdict="right"]', '[data-clip-verdict="unclear"]')
IN_SIGHT += tuple(f'[data-panel="{panel}"]' for panel in ("mask", "rectangle", "tracker", "fused"))
IN_SIGHT += (".lt-strip", ".lt-play", '[data-verdict="language"]', '[data-verdict=""]', '[data-ask="next"]')
"""What somebody who judges hundreds of clips looks at and presses, from the top of the page."""


def assert_in_sight(page: Page) -> None:
    """All of `IN_SIGHT` is on the screen at the same time."""
    assert page.evaluate("scrollY") == 0 and page.viewport_size
    for name in IN_SIGHT:
        box = page.locator(name).bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"], name


@pytest.mark.browser
def test_thirty_clips_are_judged_with_thirty_keys(browser: Browser, tmp_path: Path) -> None:
    """Without a click or scrolling. The result lies in the folder, where another person finds it."""
    folder = clip_folder(tmp_path / "batch", 30, lost=(7, 9), frames=2)
    settings = replace(SETTINGS, reload_grace_s=30.0)
    with serving(tmp_path / "root", settings=settings, clips_folder=folder) as server:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        page = context.new_page()
        broken: list[str] = []
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(server.url)
        current = page.locator(".lt-clips-list [aria-current=true] span")
        player = page.locator('.lt-player[data-state="done"][data-frame]')
        judging = 0
        for number in range(1, 31):
            expect(current).to_have_text(f"clip-{number} · “the red car”")
            expect(page.locator(".lt-player[data-frame='0']")).to_be_visible()  # of another clip than before
            page.keyboard.press("End")
            expect(page.locator(".lt-player[data-frame='1']")).to_be_visible()
            page.keyboard.press("3" if number in (7, 9) else "1")
            judging += 1
            expect(page.locator(".lt-clips-progress")).to_have_text(f"{number} of 30 judged")
        assert judging == 30  # the other thirty looked at the clip's end
        assert pale(page) == []
        assert_in_sight(page)
        page.set_viewport_size({"width": 1024, "height": 768})
        assert_in_sight(page)
        page.keyboard.press("k")
        expect(current).to_have_text("clip-29 · “the red car”")
        page.locator(".lt-clips-filter").select_option("lost")
        expect(page.locator(".lt-clips-list button")).to_have_count(3)  # and the one that is shown
        page.locator(".lt-player").focus()
        page.keyboard.press("j")
        expect(current).to_have_text("clip-7 · “the red car”")
        verdicts = [clip["verdict"] for clip in read_result(folder / RESULT_NAME)["clips"]]
        assert [k for k, verdict in enumerate(verdicts, 1) if verdict == "wrong"] == [7, 9]
        assert verdicts.count("right") == 28
        phone = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        other = phone.new_page()  # somebody else goes on
        other.goto(server.url)
        expect(other.locator(".lt-clips-progress")).to_have_text("30 of 30 judged")
        other.locator(".lt-clips-list button").first.tap()
        expect(other.locator('.lt-player[data-state="done"][data-frame]')).to_be_visible()
        expect(other.locator(".lt-clips-list [aria-current=true] span")).to_contain_text("clip-1 ")
        assert_in_sight(other)
        assert other.locator("#video").bounding_box()["y"] > 844  # type: ignore[index]
        page.keyboard.press("6")
        assert eventually(lambda: read_result(folder / RESULT_NAME)["clips"][6]["verdict"] is None)
        page.locator("#text textarea, #text input").fill("the car")  # a look at the clip with other words
        expect(page.locator(".lt-before-title")).to_contain_text("“the car”")
        page.locator(".lt-before-seek input").press("1")  # a region, not a verdict
        page.locator('.lt-before [data-do="back"]').click()
        page.locator(".lt-player").focus()
        page.keyboard.press("2")
        assert eventually(lambda: read_result(folder / RESULT_NAME)["clips"][6]["verdict"] == "partly")
        expect(page.locator(".lt-clips-message")).to_have_text("All clips are judged.")
        page.locator("#text textarea, #text input").fill("the red red car")
        expect(page.locator(".lt-before-title")).to_contain_text("“the red red car”")
        page.locator(".lt-before-seek input").press("j")  # the next clip lies over no frame of the one before
        expect(current).to_have_text("clip-9 · “the red car”")
        expect(player).to_be_visible()
        context.close()
        other.context.close()
        assert broken == []
