"""What the words select on a frame before a run, what is chosen there, and what the run starts on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from app_helpers import FRAMES, HEIGHT, SETTINGS, WIDTH, counting_clip
from fake_branches import fake_tracker
from two_things import LEFT, RIGHT, two_things

from demo.examples import Example
from demo.page_events import PageEvents
from demo.preview import LOOK_SIDE, save_picture, selection
from demo.preview_events import OFF, Before, PreviewEvents
from demo.service import Service
from demo.tool_events import ToolEvents
from langtrack_core.types import Estimate, Frame

PAGE: Any = SimpleNamespace(session_hash="page")


@pytest.fixture
def events(tmp_path: Path) -> Iterator[PreviewEvents]:
    tracker = fake_tracker(two_things, two_things, vocabulary=["the", "car"])
    service = Service(tracker, SETTINGS, tmp_path / "root")
    example = counting_clip(tmp_path / "examples" / "grey.mp4", falling=True)
    yield PreviewEvents(PageEvents(service, {"grey": Example(example, "the car", "", b"")}))
    service.close()


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(counting_clip(tmp_path / "upload" / "clip.mp4"))


def on_video(events: PreviewEvents, video: str | None) -> Any:
    return events.on_video(video, "", "", 0, PAGE).preview


def event(**fields: Any) -> Any:
    return SimpleNamespace(_data=fields)


def finished(events: PreviewEvents) -> list[dict[str, Any]]:
    """The targets of the page's run, when it is over, and the manifests of their runs."""
    session = events.service.sessions.get("page")
    assert session.job is not None and session.job.wait(60) and session.job.error is None
    assert session.workspace is not None
    return [target.newest.run.manifest for target in session.workspace.project.targets]


def test_the_frame_comes_with_the_clip_and_the_regions_with_the_words(
    events: PreviewEvents, clip: str
) -> None:
    frame = on_video(events, clip)
    assert (frame["state"], frame["regions"], frame["map"], frame["size"]) == (
        "on",
        [],
        None,
        [WIDTH, HEIGHT],
    )
    words = events.on_text(clip, "the car", "", 0, PAGE).preview
    assert words["regions"] == [LEFT, RIGHT] and words["picture"] == frame["picture"]
    assert words["sure"] == 0.8 and frame["sure"] is None
    other = events.on_place(clip, "the red car", "", 5, PAGE).preview
    assert other["frame"] == 5 and "“red”" in other["note"] and other["picture"] != frame["picture"]
    assert "zorp" in events.on_text(clip, "zorp", "", 5, PAGE).preview["note"]
    assert on_video(events, None) == OFF
    past = events.on_place(clip, "the car", "", FRAMES, PAGE)
    assert past.preview == OFF and str(FRAMES) in past.notice


def test_a_region_that_is_chosen_is_an_estimate_and_a_drawn_box_is_the_truth(
    events: PreviewEvents, clip: str
) -> None:
    for box, exact in ((LEFT, False), ("22,30,50,60", True)):
        events.on_text(clip, "a car" if exact else "the car", "", 0, PAGE)
        assert events.choose(event(box=box), PAGE) == box
        events.events.begin(clip, "the car", box, 0, 1, PAGE)
        (manifest,) = finished(events)
        assert (manifest["hold"], manifest["exact"], manifest["expression"]) == (True, exact, "the car")
        assert ",".join(f"{value:.0f}" for value in manifest["box_xyxy"]) == box


def test_a_region_goes_with_its_words_and_a_box_of_ones_own_stays(
    events: PreviewEvents, clip: str, tmp_path: Path
) -> None:
    """Whatever becomes of a choice is said on the page."""
    events.on_text(clip, "the car", "", 0, PAGE)
    events.choose(event(box=LEFT), PAGE)
    gone = events.on_text(clip, "a car", LEFT, 0, PAGE)
    assert gone.box == "" and gone.preview["choice"] == ""
    assert "Choose again" in gone.preview["remark"]
    again = events.on_text(clip, "a car", "", 0, PAGE)  # Gradio asks again when it draws the form
    assert again.preview["remark"] == gone.preview["remark"]
    own = "1,2,30,40"
    for change in ("typed", "asked again"):
        typed = events.on_place(clip, "a car", own, 0, PAGE)
        assert typed.preview["choice"] == own and typed.preview["remark"] == "", change
    for text, start, remark in (
        ("the car", 0, "Your box stays"),
        ("the car", 5, "Your box is of frame 0"),
    ):
        kept = events.on_text(clip, text, own, start, PAGE)
        assert kept.preview["choice"] == own and kept.box == typed.box
        assert kept.preview["remark"].startswith(remark)
    events.events.begin(clip, "the car", own, 5, 1, PAGE)
    assert finished(events)[0]["exact"]
    events.choose(event(box=LEFT), PAGE)
    other_frame = events.on_place(clip, "the car", LEFT, 0, PAGE)
    assert other_frame.box == "" and "on another frame" in other_frame.preview["remark"]
    events.choose(event(box=own), PAGE)
    other = str(counting_clip(tmp_path / "upload" / "other.mp4", falling=True))
    new = events.on_video(other, "the car", own, 0, PAGE)
    assert new.box == "" and "another clip" in new.preview["remark"]


def test_a_choice_that_is_made_while_a_look_is_on_its_way_is_not_lost_and_not_taken_for_a_drawn_box(
    events: PreviewEvents, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = events.on_text(clip, "the car", "", 0, PAGE).preview
    look, choice = events.service.frames.look, LEFT

    def choosing_look(*arguments: Any) -> Any:
        assert events.choose(event(box=choice, look=old["look"]), PAGE) == choice
        return look(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(events.service.frames, "look", choosing_look)
        new = events.on_text(clip, "a car", "", 0, PAGE)  # sent before the form had the box
        assert new.box == "" and "Choose again" in new.preview["remark"]
        old, choice = new.preview, "1,2,30,40"
        new = events.on_place(clip, "a car", "", 5, PAGE)
        assert new.preview["choice"] == choice and "of frame 0" in new.preview["remark"]
    late = event(box=LEFT, look=old["look"])  # this look had come, and the page did not have it yet
    assert events.choose(late, PAGE) == gr.skip()
    assert "Choose again" in events.follow(clip, "a car", "", 5, 1, late, PAGE).notice
    session = events.service.sessions.get("page")
    assert session.job is None and session.preview is not None and session.preview.choice == choice


def test_no_run_is_held_to_a_region_of_other_words(events: PreviewEvents, clip: str) -> None:
    """Where the look that would take it out of the form does not come, or comes later than the run."""
    session = events.service.sessions.get("page")

    def begun(text: str, start: int) -> str:
        return str(events.events.begin(clip, text, LEFT, start, 1, PAGE).notice)

    events.on_text(clip, "the car", "", 0, PAGE)
    events.choose(event(box=LEFT), PAGE)
    for text, start in (("a car", 0), ("the car", 5)):
        assert "with other words, or on another frame" in begun(text, start)
    assert session.job is None
    assert events.on_text(clip, "a car", LEFT, 0, PAGE).box == ""
    assert "with other words" in begun("a car", 0)  # asked before the page knew
    events.choose(event(box=LEFT), PAGE)  # one of these words, too
    begun("a car", 0)
    assert finished(events)[0]["exact"] is False
    events.on_text(clip, "the car", "", 0, PAGE)
    events.choose(event(box=RIGHT), PAGE)
    assert events.on_text(clip, "a car", RIGHT, 0, PAGE) == Before(OFF, "")  # the words of the run
    for box in (LEFT, "1,2,30,40", ""):
        assert events.on_text(clip, "a car", box, 0, PAGE) == Before(OFF)


def test_a_look_that_comes_after_a_whole_run_shows_nothing(
    events: PreviewEvents, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lie over the run: with an example the look and the run begin at the same time."""
    look = events.service.frames.look

    def slow_look(*arguments: Any) -> Any:
        events.events.begin(clip, "the car", "", 0, 1, PAGE)
        finished(events)
        return look(*arguments)

    monkeypatch.setattr(events.service.frames, "look", slow_look)
    assert events.on_text(clip, "the car", "", 0, PAGE) == Before()


def test_a_look_at_a_clip_that_was_taken_out_meanwhile_shows_nothing(
    events: PreviewEvents, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stay there, with a button to follow a clip that the form does not have."""
    on_video(events, clip)
    look = events.service.frames.look

    def slow_look(*arguments: Any) -> Any:
        assert on_video(events, None) == OFF
        return look(*arguments)

    monkeypatch.setattr(events.service.frames, "look", slow_look)
    assert events.on_text(clip, "the car", "", 0, PAGE) == Before()


@pytest.mark.parametrize("newer", ["words", "no video"])
def test_a_look_that_ends_after_a_newer_one_is_not_shown(
    events: PreviewEvents, clip: str, monkeypatch: pytest.MonkeyPatch, newer: str
) -> None:
    """Words and frames are looked at side by side, and while the networks are loaded all of them wait."""
    first = on_video(events, clip)
    frames, begun, go_on = events.service.frames, threading.Event(), threading.Event()
    select = frames._select

    def slow(frame: Frame, text: str) -> Any:
        if text == "a car":
            begun.set()
            assert go_on.wait(20)
        return select(frame, text)

    monkeypatch.setattr(frames, "_select", slow)
    with ThreadPoolExecutor() as pool:
        old = pool.submit(events.on_place, clip, "a car", "", 9, PAGE)
        assert begun.wait(20)
        shown = events.on_text(clip if newer == "words" else None, "the car", "", 0, PAGE).preview
        go_on.set()
        assert old.result() == Before()
    assert shown == OFF or (shown["text"], shown["frame"]) == ("the car", 0)
    pictures = list(events.service.sessions.root.rglob("frame-*.jpg"))
    assert [str(picture) for picture in pictures] == [first["picture"]["path"]]
    assert events.service.sessions.get("page").preview.text == ("the car" if shown != OFF else "")


def test_an_error_about_the_form_goes_when_the_form_is_another_one(
    events: PreviewEvents, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Say what to follow" in events.events.begin(clip, "", "", 0, 1, PAGE).notice
    assert events.on_text(clip, "", "", 0, PAGE).notice == gr.skip()  # of the same form: it stays
    assert events.on_text(clip, "the car", "", 0, PAGE).notice == ""
    assert events.on_text(clip, "a car", "", 0, PAGE).notice == gr.skip()
    assert "past the end" in events.on_place(clip, "a car", "", FRAMES, PAGE).notice
    assert events.on_place(clip, "a car", "", 1, PAGE).notice == ""
    (tmp_path / "no-clip.txt").write_text("hello")
    assert 'role="alert"' in events.events.take_file(str(tmp_path / "no-clip.txt"), PAGE)[1]
    assert events.on_video(clip, "a car", "", 1, PAGE).notice == ""
    look = events.service.frames.look

    def slow_look(*arguments: Any) -> Any:
        events.events.begin(clip, "", "", 0, 1, PAGE)
        return look(*arguments)

    monkeypatch.setattr(events.service.frames, "look", slow_look)
    assert events.on_text(clip, "the car", "", 0, PAGE).notice == gr.skip()  # it began before the error


def test_back_at_the_run_the_page_says_what_became_of_it(events: PreviewEvents, clip: str) -> None:
    events.events.begin(clip, "the car", "", 0, 1, PAGE)
    finished(events)
    events.on_text(clip, "??", "", 0, PAGE)
    assert events.back(PAGE) == gr.skip()
    assert "has no words in it" in events.events.begin(clip, "??", "", 0, 1, PAGE).notice
    assert "Found in" in events.back(PAGE)
    assert events.on_text(clip, "a car", "", 0, PAGE).notice == gr.skip()  # the error is not there any more


def test_a_look_that_ends_after_its_page_was_closed_leaves_no_file(
    events: PreviewEvents, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = events.service.sessions

    def saved_late(*arguments: Any) -> Any:
        sessions.drop(PAGE.session_hash)
        return save_picture(*arguments)

    monkeypatch.setattr("demo.preview.save_picture", saved_late)
    assert events.on_text(clip, "the car", "", 0, PAGE) == Before()
    assert list(sessions.root.rglob("*")) == [] and len(sessions) == 0


def test_follow_all_is_a_target_for_each_region(events: PreviewEvents, clip: str) -> None:
    events.on_text(clip, "the car", "", 0, PAGE)
    assert events.follow_all(clip, "a car", "", 0, 1, PAGE).notice.count("Look at the frame") == 1
    assert events.follow_all(clip, "the car", LEFT, 0, 1, PAGE).player["state"] == "running"
    manifests = finished(events)
    assert [m["box_xyxy"] for m in manifests] == [[20, 30, 50, 60], [100, 40, 140, 80]]
    workspace = events.service.sessions.get("page").workspace
    assert workspace is not None
    assert [target.words for target in workspace.project.targets] == ["the car", "the car"]
    assert len({target.colour for target in workspace.project.targets}) == 2


def test_the_networks_get_ready_in_an_event_that_shows_nothing(events: PreviewEvents, clip: str) -> None:
    """Else its end would show the frame without words once more, over the words that were typed meanwhile."""
    asked = events.service.tracker.segmenter.frames  # type: ignore[attr-defined]
    assert on_video(events, clip)["state"] == "on" and asked == []
    assert events.warm_up(PAGE) is None and asked == [0]


def test_follow_all_keeps_the_run_before_as_the_form_does(events: PreviewEvents, clip: str) -> None:
    events.events.begin(clip, "a car", "", 0, 1, PAGE)
    finished(events)
    events.on_text(clip, "the car", "", 0, PAGE)
    events.follow_all(clip, "the car", "", 0, 1, PAGE)
    finished(events)
    (before,) = events.service.sessions.get("page").shelf
    assert [target.newest.run.manifest["expression"] for target in before.project.targets] == ["a car"]


def test_the_preview_does_not_lie_over_a_run_that_it_belongs_to(events: PreviewEvents, clip: str) -> None:
    example = events.events.examples["grey"].path
    copy, namesake = (Path(clip).parent / folder / example.name for folder in ("cache", "own"))
    for path, source in ((copy, example), (namesake, Path(clip))):
        path.parent.mkdir()
        path.write_bytes(source.read_bytes())
    assert on_video(events, str(copy)) == OFF
    assert on_video(events, str(namesake))["state"] == "on"  # a visitor's own clip, whatever its name
    events.events.begin(clip, "the car", "", 0, 1, PAGE)
    finished(events)
    assert on_video(events, clip) == OFF
    for words in ("", "the car "):
        assert events.on_text(clip, words, "", 0, PAGE).preview == OFF
    assert events.on_text(clip, "a car", "", 0, PAGE).preview["run"]


def test_regions_of_a_large_frame_are_in_its_own_pixels() -> None:
    scale = 12
    frame = Frame(0, 0.0, np.zeros((HEIGHT * scale, WIDTH * scale, 3), np.uint8))
    sizes = []

    def segment(small: Frame, text: str, *, every_region: bool = False) -> Estimate:
        sizes.append(small.size_hw)
        return two_things(small, text, every_region=every_region)

    tracker: Any = SimpleNamespace(segment=segment, read_text=lambda text: SimpleNamespace(unknown=()))
    boxes = selection(tracker, frame, "the car").boxes
    assert boxes == [(240, 360, 600, 720), (1200, 480, 1680, 960)] and max(sizes[0]) == LOOK_SIDE


def test_a_click_on_the_right_thing_or_a_wrong_one_makes_the_track_anew_from_there(
    events: PreviewEvents, clip: str
) -> None:
    tools = ToolEvents(events.events)
    events.events.begin(clip, "the car", "", 0, 1, PAGE)
    finished(events)

    def click(x: float, y: float, right: bool) -> Any:
        question = event(
            do="point", n=1, target=1, frame=6, x=x, y=y, right=right, direction="forward"
        )  # fmt: skip
        return tools.work(question, PAGE).player

    for (x, y), right, box in (((120, 60), False, LEFT), ((30, 40), False, RIGHT), ((30, 40), True, LEFT)):
        assert click(x, y, right)["state"] == "running"
        (manifest,) = finished(events)
        assert ",".join(f"{value:.0f}" for value in manifest["box_xyxy"]) == box
        assert (manifest["start"], manifest["hold"], manifest["exact"], manifest["expression"]) == (
            *(6, True, False, "the car"),
        )
    assert "nothing there on frame 6" in click(5, 5, True)["reply"]["error"]
    assert "finite number" in click(float("nan"), 5, True)["reply"]["error"]
