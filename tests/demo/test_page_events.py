"""The page's handlers as plain functions and generators: no server, no browser."""

from __future__ import annotations

import dataclasses
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from app_helpers import FRAMES, SETTINGS, PacedTracker, counting_clip, cut_clip, paced_tracker
from clips import encode
from PIL import Image

import demo.track_request
from demo.page_events import Form, PageEvents, View, notice, outcome_notice
from demo.service import Service
from demo.settings import Settings
from demo.tool_events import ToolEvents
from langtrack_core.run.track_video import AHEAD
from langtrack_core.video import VideoInfo, probe, read_frames


def page(name: str = "page") -> Any:
    """What Gradio hands to a handler of one open page."""
    return SimpleNamespace(session_hash=name)


@contextmanager
def opened_events(root: Path, settings: Settings = SETTINGS, **changes: Any) -> Iterator[PageEvents]:
    """One job computes at a time; a page that has gone is gone at once."""
    settings = dataclasses.replace(settings, **{"concurrency": 1, "reload_grace_s": 0.0, **changes})
    service = Service(paced_tracker(), settings, root)
    yield PageEvents(service, {})
    service.close()


@pytest.fixture
def events(tmp_path: Path) -> Iterator[PageEvents]:
    with opened_events(tmp_path / "root") as events:
        yield events


def tracker_of(events: PageEvents) -> PacedTracker:
    assert isinstance(events.service.tracker, PacedTracker)
    return events.service.tracker


def filled_form(
    clip: str, text: str = "the red car", box: str = "", start: float = 0, every: float = 1
) -> tuple:
    return clip, text, box, start, every


def follow(events: PageEvents, clip: str, text: str = "the red car", who: Any = None) -> list[View]:
    who = who or page()
    started = events.begin(*filled_form(clip, text), who)
    assert started.player["state"] == "running" and not started.run_button["interactive"]
    return list(events.watch(who))


# --- what the video field does not take --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png", "a.zip", "a.ts"])
def test_pictures_and_other_videos_become_a_clip(events: PageEvents, tmp_path: Path, name: str) -> None:
    upload = events.service.sessions.root / ("c" * 64) / name
    upload.parent.mkdir(parents=True)
    pictures = [Image.fromarray(np.full((48, 64, 3), 40 * k, np.uint8)) for k in range(5)]
    if name == "a.zip":
        with zipfile.ZipFile(upload, "w") as archive:
            for number, picture in enumerate(pictures):
                picture.save(tmp_path / "frame.png")
                archive.write(tmp_path / "frame.png", f"clip/img/{number + 8}.png")
            archive.writestr("__MACOSX/._1.png", b"")
            archive.writestr("clip/notes.txt", b"hello")
    elif name == "a.ts":
        encode(upload, map(np.asarray, pictures))
    else:
        how = {} if name == "a.tif" else {"duration": 40}
        pictures[0].save(upload, save_all=True, append_images=pictures[1:], **how)
    video, message = events.take_file(str(upload), page())
    assert message == "" and video.endswith("a.followed.mp4") and probe(video).kind == "video"
    frames = list(read_frames(video))
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(5)], abs=1e-3)
    assert [int(frame.rgb.mean()) for frame in frames] == pytest.approx([40 * k for k in range(5)], abs=3)
    assert "Found in" in follow(events, video)[-1].notice
    events.service.sessions.close()
    assert not upload.exists() and not Path(video).exists()


def test_what_is_no_clip_is_told(events: PageEvents, tmp_path: Path) -> None:
    for name, content, why in (
        ("a.zip", b"PK", "not a ZIP"),
        ("a.txt", b"hello", "a.txt is not a video"),
        ("a.jpg", b"hello", "a.jpg is damaged or no picture"),
    ):
        (tmp_path / name).write_bytes(content)
        _, message = events.take_file(str(tmp_path / name), page())
        assert why in message and "Traceback" not in message and str(tmp_path) not in message
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a/1.png", b"x")
        archive.writestr("b/1.png", b"x")
    assert "pictures in 2 folders" in events.take_file(str(tmp_path / "b.zip"), page())[1]


# --- a run -------------------------------------------------------------------------------------------------


def test_a_run_shows_progress_and_ends_with_every_file(events: PageEvents, clip: str) -> None:
    views = follow(events, clip, "the slow car")
    states = [view.player["state"] for view in views]
    assert states[-1] == "done" and set(states[:-1]) == {"running"}
    following = [view.player for view in views[:-1] if view.player["stage"] == "following"]
    assert following[-1]["total"] == FRAMES and 0 < following[-1]["frames"] <= FRAMES
    assert following[-1]["fps"] > 0 and following[-1]["left_s"] is not None and following[-1]["picture"]
    last = views[-1].player
    target = run_of(views[-1])
    assert target["index"] == list(range(FRAMES)) and target["map"]["frames"] == FRAMES
    assert target["state"] == ["tracking"] * FRAMES
    assert target["source"] == ["language"] + ["tracker"] * (FRAMES - 1)
    assert target["reason"] == ["found"] + ["agree"] * (FRAMES - 1)
    assert target["reanchor"] == [True] + [False] * (FRAMES - 1)
    assert target["overlap"] == [1.0] * FRAMES and target["language_box"][0] == target["tracker_box"][0]
    names = {"manifest.json", "boxes.csv", "masks.json", "otb.txt", "lasot.txt", "got10k.txt"}
    names |= {"mask.mp4", "rectangle.mp4", "tracker.mp4", "fused.mp4"}
    (downloads,) = last["files"]
    assert {file["name"] for file in downloads} == names
    assert all(file["note"] for file in downloads)
    assert {file["save_as"] for file in downloads} == {f"grey-1-the-slow-car-{name}" for name in names}
    with zipfile.ZipFile(bundle_of(views[-1])) as bundle:
        assert set(bundle.namelist()) == {f"grey-1-the-slow-car/{name}" for name in names}
    assert f"Found in {FRAMES} of {FRAMES} frames" in views[-1].notice
    assert views[-1].run_button["interactive"]


def test_unknown_words_are_named_and_the_run_goes_on(events: PageEvents, clip: str) -> None:
    started = events.begin(*filled_form(clip, "the <b>zorp</b> car"), page())
    assert "“&lt;b&gt;zorp&lt;/b&gt;”" in started.notice and "<b>" not in started.notice
    views = list(events.watch(page()))
    assert views[-1].player["state"] == "done" and "zorp" in views[-1].notice
    assert "Found in" in views[-1].notice and "lt-good" not in views[-1].notice


def test_the_outcome_says_how_sure_and_where_the_branches_differ(events: PageEvents, clip: str) -> None:
    end = follow(events, clip)[-1]
    (outcome,) = end.player["outcomes"]
    assert f"on average {100 * outcome['sure']:.0f}\u00a0% sure." in end.notice and "lt-good" in end.notice
    assert outcome["differ"] == 0 and "differ" not in end.notice
    session = events.service.sessions.get("page")
    job, value = session.job, dict(end.player)
    assert job is not None
    for changes, sentence, kind in (
        ({"differ": 1}, "The two branches differ on 1 of them.", "lt-good"),
        ({"differ": FRAMES}, f"The two branches differ on {FRAMES} of them.", "lt-warning"),
        ({"same": [4, 5]}, "On 2 frames, from frame 4 on, it counts as lost: another target", "lt-warning"),
        (
            {"coincidences": [{"number": 2, "first": 3, "frames": 5}]},
            "From frame 3 on it is on the same thing as target 2, 5 frames in all.",
            "lt-warning",
        ),
        ({"sure": 0.3}, "on average 30\u00a0% sure.", "lt-warning"),
        ({"found": 0, "sure": None}, "Not found in any frame.", "lt-warning"),
    ):
        value["outcomes"] = [{**outcome, **changes}]
        text = outcome_notice(job, value)
        assert sentence in text and kind in text


def test_an_error_after_a_run_is_the_last_word(events: PageEvents, clip: str, tmp_path: Path) -> None:
    follow(events, clip)
    saved = tmp_path / "bad.zip"
    saved.write_bytes(b"not a run")
    for text, box in (("", ""), ("the car", "1,2,3")):
        view = events.begin(*filled_form(clip, text, box), page())
        assert 'role="alert"' in view.notice and view.player == gr.skip()
        assert list(events.watch(page())) == [View()]  # which changes nothing on the page
    started = ToolEvents(events).open_saved(str(saved), page())
    assert started.player["state"] == "running"
    (*_, refused) = events.watch(page())
    assert 'role="alert"' in refused.notice and refused.player["state"] == "done"
    view = events.begin(*filled_form(clip, ""), page())
    assert 'role="alert"' in view.notice and list(events.watch(page())) == [View()]


def test_a_clip_of_one_frame_is_followed(events: PageEvents, tmp_path: Path) -> None:
    clip = str(counting_clip(tmp_path / "upload" / "one.mp4", frames=1))
    assert "1 frame ·" in events.inspect(clip, page())
    end = follow(events, clip)[-1]
    assert run_of(end)["index"] == [0] and "Found in 1 of 1 frame," in end.notice


def test_a_box_alone_and_a_later_start(events: PageEvents, clip: str) -> None:
    events.begin(*filled_form(clip, "", "70 50 100 80", 5, 3), page())
    run = run_of(list(events.watch(page()))[-1])
    assert run["index"] == list(range(5, FRAMES)) and run["time_s"][0] == pytest.approx(5 / 12, abs=1e-3)
    query = tracker_of(events).started[-1]
    assert query.text is None and np.array_equal(query.box_xyxy, [70, 50, 100, 80])


def test_cancel_stops_the_computing_and_keeps_what_is_done(events: PageEvents, clip: str) -> None:
    events.begin(*filled_form(clip, "the slow car"), page())
    views = events.watch(page())
    next(view for view in views if view.player["frames"] >= 2)
    ended = events.cancel(page())
    tracker = tracker_of(events)
    assert len(tracker.closed) == 1 and tracker.frames_done < FRAMES
    done = tracker.frames_done
    assert "Cancelled after" in ended.notice
    indices = run_of(ended)["index"]
    assert indices == list(range(len(indices))) and done - AHEAD - 1 <= len(indices) <= done
    assert list(views)[-1].player == ended.player  # the run's own event ends the same way
    assert tracker.frames_done == done and tracker_of(events).computing == 0


def test_a_clip_that_ends_early_is_followed_to_there_with_a_warning(
    events: PageEvents, tmp_path: Path
) -> None:
    end = follow(events, str(cut_clip(tmp_path / "upload" / "cut.mp4")))[-1]
    frames = len(run_of(end)["index"])
    assert 0 < frames < FRAMES and f"Found in {frames} of {frames} frames" in end.notice
    assert "lt-warning" in end.notice and f"cut.mp4 ends early: {frames} frames could be read" in end.notice
    assert manifest_of(end)["complete"] is False


def test_the_manifest_tells_a_whole_run_from_a_cancelled_one(events: PageEvents, clip: str) -> None:
    assert manifest_of(follow(events, clip)[-1])["complete"] is True
    events.begin(*filled_form(clip, "the slow car"), page())
    views = events.watch(page())
    next(view for view in views if view.player["frames"] >= 2)
    assert manifest_of(events.cancel(page()))["complete"] is False


def test_the_start_is_held_against_the_frames_that_there_are(
    events: PageEvents, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_few(path: str) -> VideoInfo:
        return dataclasses.replace(probe(path), frames_estimate=3)

    monkeypatch.setattr(demo.track_request, "probe", too_few)
    events.begin(*filled_form(clip, start=FRAMES - 2), page())
    assert run_of(list(events.watch(page()))[-1])["index"] == [FRAMES - 2, FRAMES - 1]
    events.begin(*filled_form(clip, start=FRAMES), page())
    end = list(events.watch(page()))[-1]
    assert "past the end" in end.notice and "24 frames" in end.notice
    assert 'role="alert"' in end.notice and end.player["state"] == "empty" and end.run_button["interactive"]


def test_a_run_that_waits_can_be_cancelled(events: PageEvents, clip: str) -> None:
    events.begin(*filled_form(clip, "the slow slow car"), page("first"))
    started = events.begin(*filled_form(clip), page())
    assert started.player["stage"] == "waiting" and started.player["position"] == 1
    ended = events.cancel(page())
    assert ended.player["state"] == "empty" and "before the first frame" in ended.notice
    assert list(events.watch(page()))[-1] == ended
    events.on_unload(page("first"))
    assert [query.text for query in tracker_of(events).started] == ["the slow slow car"]


def test_a_reloaded_page_finds_its_run_and_its_form_again(events: PageEvents, clip: str) -> None:
    started = events.begin(*filled_form(clip, "the slow car"), page("before"))
    views = events.watch(page("before"))
    next(views)
    views.close()  # the page has gone, and comes back at once
    arrived = events.on_load(started.player["token"], page("after"))
    form, view = Form(*arrived[:5]), View(*arrived[5:])
    assert form.video == clip and view.player["state"] == "running"
    end = list(events.watch(page("after")))[-1]
    assert end.player["state"] == "done" and len(tracker_of(events).started) == 1
    again = events.on_load(started.player["token"], page("third"))
    assert Form(*again[:5]).text == "the slow car" and View(*again[5:]).player["state"] == "done"
    assert events.on_load("a wrong token", page("stranger")) == (*Form(), *View())


def test_leaving_stops_the_run_and_removes_every_file(events: PageEvents, clip: str) -> None:
    events.inspect(clip, page())
    events.begin(*filled_form(clip, "the slow car"), page())
    views = events.watch(page())
    next(views)
    events.on_unload(page())  # without a grace in these tests
    assert tracker_of(events).computing == 0 and not Path(clip).exists()
    assert list((events.service.sessions.root).rglob("*")) == []
    list(views)


def test_twenty_clicks_make_one_run(events: PageEvents, clip: str) -> None:
    views = [events.begin(*filled_form(clip, "the slow car"), page()) for _ in range(20)]
    assert ["state" in view.player for view in views] == [True] + [False] * 19
    assert all("run is going on" in view.notice for view in views[1:])
    for _ in range(20):
        list(events.watch(page()))
    assert len(tracker_of(events).started) == 1


def test_two_pages_do_not_disturb_each_other(events: PageEvents, clip: str, tmp_path: Path) -> None:
    other = str(counting_clip(tmp_path / "other" / "grey.mp4", falling=True))
    ends: dict[str, View] = {}

    def visit(name: str, path: str, text: str) -> None:
        ends[name] = follow(events, path, text, page(name))[-1]

    threads = [
        threading.Thread(target=visit, args=("a", clip, "the slow car")),
        threading.Thread(target=visit, args=("b", other, "the slow red car")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run_of(ends[name])["expression"] for name in "ab"] == ["the slow car", "the slow red car"]
    bundles = [bundle_of(ends[name]) for name in "ab"]
    assert bundles[0].name == bundles[1].name and bundles[0].parent != bundles[1].parent
    events.on_unload(page("a"))
    assert not bundles[0].exists() and bundles[1].exists() and Path(other).exists()


def test_runs_before_the_newest_stay_in_a_list(events: PageEvents, clip: str) -> None:
    for text in ("the car", "the slow car", "the red car"):
        (*_, view) = follow(events, clip, text)
    (session,) = events.service.sessions.root.iterdir()
    assert len(list(session.iterdir())) == 3
    assert [one["targets"] for one in view.player["shelf"]] == [["the slow car"], ["the car"]]


def test_an_upload_that_two_pages_use_stays_for_the_second(events: PageEvents, clip: str) -> None:
    events.inspect(clip, page("a"))
    events.inspect(clip, page("b"))
    events.on_unload(page("a"))
    assert Path(clip).exists()
    events.on_unload(page("b"))
    assert not Path(clip).exists()


def test_who_never_says_goodbye_is_swept(tmp_path: Path, clip: str) -> None:
    with opened_events(tmp_path / "root", keep_hours=1e-9) as events:
        follow(events, clip, who=page("a"))
        events.service.sessions.get("b")
        assert len(events.service.sessions) == 1 and not Path(clip).exists()


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "box", "start", "every", "why"),
    [
        ("", "", 0, 1, "Say what to follow"),
        ("  ", " , ", 0, 1, "Say what to follow"),
        ("the car", "1,2,3", 0, 1, "four numbers"),
        ("the car", "a,b,c,d", 0, 1, "four numbers"),
        ("the car", "1,2,nan,4", 0, 1, "four numbers"),
        ("the car", "50,50,20,20", 0, 1, "x2 &gt; x1"),
        ("the car", "500,500,600,600", 0, 1, "outside the picture"),
        ("the car", "", -1, 1, "whole number from 0"),
        ("the car", "", float("nan"), 1, "whole number from 0"),
        ("the car", "", 0, 0, "whole number from 1 to 30"),
        ("the car", "", 0, 2.5, "whole number from 1 to 30"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(
    events: PageEvents, clip: str, text: str, box: str, start: float, every: float, why: str
) -> None:
    view = events.begin(*filled_form(clip, text, box, start, every), page())
    assert why in view.notice and 'role="alert"' in view.notice
    assert list(events.watch(page())) == [View()]


def test_a_text_file_named_mp4_is_refused_without_telling_where_it_lies(
    events: PageEvents, tmp_path: Path
) -> None:
    fake = tmp_path / "holiday.mp4"
    fake.write_text("this is not a video")
    for why in (events.inspect(str(fake), page()), events.begin(*filled_form(str(fake)), page()).notice):
        assert "holiday.mp4" in why and 'role="alert"' in why and str(tmp_path) not in why


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"max_seconds": 1}, "lasts 2 seconds"),
        ({"max_side": 100}, "160x90"),
        ({"max_file_mb": 1}, "24 frames"),
    ],
)
def test_limits_are_told(tmp_path: Path, clip: str, limits: dict[str, Any], why: str) -> None:
    with opened_events(tmp_path / "root", Settings(), **limits) as events:
        assert why in events.inspect(clip, page())


def test_an_error_while_computing_is_one_sentence(
    events: PageEvents, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")
        yield

    monkeypatch.setattr(events.service.tracker, "track_all", fail)
    end = follow(events, clip)[-1]
    assert end.player["state"] == "empty" and "Something went wrong" in end.notice
    assert "secret" not in end.notice and "Traceback" not in end.notice
    (session,) = events.service.sessions.root.iterdir()
    assert [path for path in session.rglob("*") if path.is_file()] == []


def test_a_full_queue_is_told_and_leaves_no_waiting_run(tmp_path: Path, clip: str) -> None:
    with opened_events(tmp_path / "root", queue_size=1) as events:
        views = [events.begin(*filled_form(clip, "the slow slow car"), page(str(k))) for k in range(3)]
        assert "state" in views[0].player and "state" in views[1].player
        assert "waiting" in views[2].notice and 'role="alert"' in views[2].notice
    assert tracker_of(events).computing == 0


def test_what_broke_leaves_the_page_ready(events: PageEvents, clip: str) -> None:
    events.begin(*filled_form(clip), page())
    view = events.failed(page())
    assert 'role="alert"' in view.notice and view.run_button["interactive"]


def test_messages_are_text() -> None:
    assert notice("error", "<script>x</script>") == (
        '<div class="lt-notice lt-error" role="alert"><p>&lt;script&gt;x&lt;/script&gt;</p></div>'
    )
    assert notice("good", "") == ""


def test_an_unknown_example_is_refused(events: PageEvents) -> None:
    with pytest.raises(gr.Error, match="no such example"):
        events.fill_example(SimpleNamespace(_data={"name": "../../etc/passwd"}), page())  # type: ignore[arg-type]


def run_of(view: View) -> dict[str, Any]:
    """The newest target's numbers."""
    return json.loads(view.player["run"])["targets"][-1]


def bundle_of(view: View) -> Path:
    return Path(view.player["bundle"]["file"]["path"])


def manifest_of(view: View) -> dict[str, Any]:
    files = view.player["files"][-1]
    (path,) = (file["file"]["path"] for file in files if file["name"] == "manifest.json")
    return json.loads(Path(path).read_text())
