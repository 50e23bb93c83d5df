"""The page's handlers as plain functions and generators: no server, no browser."""

from __future__ import annotations

import dataclasses
import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from app_helpers import FRAMES, counting_clip, cut_clip
from page_helpers import filled_form, follow, opened_events, page, tracker_of

import demo.track_request
from demo.page_events import Form, PageEvents, View, outcome_notice
from demo.tool_events import ToolEvents
from langtrack_core.run.track_video import AHEAD
from langtrack_core.video import VideoInfo, VideoWriter, probe, read_frames


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
        ({"found": FRAMES // 2 - 1}, f"Found in {FRAMES // 2 - 1} of {FRAMES} frames", "lt-warning"),
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


def test_the_page_has_the_time_of_every_frame_also_before_the_track(
    events: PageEvents, tmp_path: Path
) -> None:
    """As a phone records: some frames are longer than others. The page shows the frame that it names."""
    clip = tmp_path / "upload" / "phone.mp4"
    clip.parent.mkdir()
    times_s = [0.1 * k if k < 4 else 0.3 + (k - 3) / 30 for k in range(FRAMES)]
    with VideoWriter(clip, 30) as writer:
        for k, time_s in enumerate(times_s):
            writer.write(np.full((90, 160, 3), 40 + 8 * k, np.uint8), time_s)
    events.begin(*filled_form(str(clip), "the red car", "", 10), page())
    view = list(events.watch(page()))[-1]
    assert run_of(view)["index"][0] == 10
    assert json.loads(view.player["run"])["time_s"] == pytest.approx(times_s, abs=1e-3)
    shown = [frame.time_s for frame in read_frames(view.player["player_video"]["path"])]
    assert shown == pytest.approx(times_s, abs=1e-3)


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
    assert 'role="alert"' in end.notice and end.run_button["interactive"]
    assert run_of(end)["index"] == [FRAMES - 2, FRAMES - 1]  # the run before stays


def test_a_run_that_leaves_no_track_leaves_the_run_before_in_view(events: PageEvents, clip: str) -> None:
    before = follow(events, clip)[-1]
    session = events.service.sessions.get("page")
    events.begin(*filled_form(clip, start=500), page())
    failed = list(events.watch(page()))[-1]
    with tracker_of(events).held():
        events.begin(*filled_form(clip), page("other"))
        events.begin(*filled_form(clip, "the slow car"), page())
        cancelled = events.cancel(page())
    for view in (failed, cancelled, View(*events.on_load(session.token, page("reloaded"))[5:])):
        assert view.player["run"] == before.player["run"] and view.player["shelf"] == []
    assert not failed.player["newest"] and not cancelled.player["newest"]  # the page stays at its target
    assert "frame 500" in failed.notice and "before the first frame" in cancelled.notice


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


def test_a_reloaded_page_says_nothing_of_a_run_that_was_changed_since(events: PageEvents, clip: str) -> None:
    token = follow(events, clip)[-1].player["token"]
    session = events.service.sessions.get("page")
    assert session.job is not None
    session.job.warning = "It ends early."

    def notice_after_reload() -> str:
        return View(*events.on_load(token, page())[5:]).notice

    assert "Found in" in notice_after_reload() and "It ends early." in notice_after_reload()
    changed = events.shown_view(session)  # as after an undone correction
    assert "Found in" in changed.notice and notice_after_reload() == changed.notice


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


def run_of(view: View) -> dict[str, Any]:
    """The newest target's numbers."""
    return json.loads(view.player["run"])["targets"][-1]


def bundle_of(view: View) -> Path:
    return Path(view.player["bundle"]["file"]["path"])


def manifest_of(view: View) -> dict[str, Any]:
    files = view.player["files"][-1]
    (path,) = (file["file"]["path"] for file in files if file["name"] == "manifest.json")
    return json.loads(Path(path).read_text())
