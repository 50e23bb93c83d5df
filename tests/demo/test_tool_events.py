"""What the page's tools ask for, as plain calls: answers, and what does not come from the page."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from app_helpers import FRAMES, SETTINGS, VERY_SLOW, counting_clip, eventually, paced_tracker

from demo.page_events import PageEvents, View
from demo.service import Service
from demo.tool_events import ToolEvents

PAGE: Any = SimpleNamespace(session_hash="page")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolEvents]:
    """The tools of a page that has followed a clip."""
    root = tmp_path_factory.mktemp("tools") / "root"
    service = Service(paced_tracker(), SETTINGS, root)
    events = PageEvents(service, {})
    clip = counting_clip(root / ("a" * 64) / "grey.mp4")
    events.begin(str(clip), "the red car", "", 0, 1, PAGE)
    (*_, end) = events.watch(PAGE)
    assert end.player["state"] == "done"
    yield ToolEvents(events)
    service.close()


def event(do: Any, **fields: Any) -> Any:
    return SimpleNamespace(_data={"do": do, "n": 7, "target": 1, **fields})


def answer(tools: ToolEvents, do: Any, **fields: Any) -> dict[str, Any]:
    reply = tools.act(event(do, **fields), PAGE)["reply"]
    assert reply["n"] == 7
    return reply


def test_verdicts_other_settings_and_agreement_answer_by_number(tools: ToolEvents) -> None:
    change = {"first": 2, "last": 4, "verdict": "both", "note": "<b>n</b>"}
    verdicts = answer(tools, "verdicts", changes=[change])["verdicts"]
    assert verdicts["counts"]["both"] == 3 and verdicts["frames"]["3"]["note"] == "<b>n</b>"
    clear = {"first": 0, "last": FRAMES - 1, "clear": True}
    assert answer(tools, "verdicts", changes=[clear])["verdicts"]["frames"] == {}
    assert answer(tools, "episodes")["episodes"] == []
    changed = answer(tools, "what_if", settings={"rule": "language"})
    assert changed["what_if"] and set(changed["columns"]["source"]) == {"language"}
    assert not answer(tools, "what_if", settings=None)["what_if"]
    assert answer(tools, "verdicts_file", form="csv")["download"]["name"] == "verdicts-grey-1-the-red-car.csv"
    assert answer(tools, "class", name=" a  car")["name"] == "a car"
    assert answer(tools, "class", name="a\u00a0car\u200b")["name"] == "a car"  # as copied from a web page
    assert answer(tools, "class", name="👩\u200d🚀\n")["name"] == "👩\u200d🚀"
    assert "up to 80 characters" in answer(tools, "class", name="x" * 81)["error"]


def test_a_correction_another_target_and_undo_go_through_the_line(tools: ToolEvents) -> None:
    for fields in (
        {"do": "correct", "box": "10,10,60,60", "direction": "forward"},
        {"do": "add", "text": "the car"},
    ):
        started = tools.work(event(frame=6, **fields), PAGE)
        assert started.player["state"] == "running"
        (*_, end) = tools.events.watch(PAGE)
        assert end.player["state"] == "done"
    assert len(end.player["maps"]) == 2 and end.player["newest"]
    assert answer(tools, "agreement")["agreement"]["targets"] == [1, 2]
    undone = tools.show(event("undo"), PAGE)
    assert undone.player["state"] == "done" and not undone.player["newest"]
    assert "Found in" in undone.notice or ": found in" in undone.notice
    removed = tools.show(event("remove", target=2), PAGE).player
    assert len(removed["maps"]) == 1
    looked = tools.look(event("words", frame=3), PAGE)["reply"]
    assert [word["word"] for word in looked["words"]] == ["the", "red", "car"]


def test_a_format_is_ready_and_the_other_files_are_not(tools: ToolEvents) -> None:
    tools.work(event("correct", frame=6, box="10,10,60,60", direction="forward"), PAGE)
    list(tools.events.watch(PAGE))  # the files of the run show another track now
    for do, sentence in (
        ("format", "“MOTChallenge text: boxes with identities” is ready."),
        ("export", "The files of"),
    ):
        tools.work(event(do, format="mot"), PAGE)
        (*_, end) = tools.events.watch(PAGE)
        assert sentence in end.notice


def test_a_refused_correction_leaves_what_is_drawn_on_the_page(tools: ToolEvents) -> None:
    refused = tools.work(event("correct", frame=6, box="", direction="forward"), PAGE)
    assert "Draw a box" in refused.player["reply"]["error"]
    assert list(tools.events.watch(PAGE)) == [View()]  # no value anew, which would clear the drawing


@pytest.mark.parametrize(
    ("do", "fields"),
    [
        ("__class__", {}),
        (None, {}),
        ("verdicts", {"changes": [{"first": float("nan"), "last": 2, "verdict": "both"}]}),
        ("verdicts", {"changes": [{"first": "0", "last": 2, "verdict": "both"}]}),
        ("verdicts", {"changes": [{"first": True, "last": 2, "verdict": "both"}]}),
        ("verdicts", {"changes": [{"first": -5, "last": 2, "verdict": "both"}]}),
        ("verdicts", {"changes": [{"first": 0, "last": 10**12, "verdict": "both"}]}),
        ("verdicts", {"changes": [{"first": 0, "last": 2, "verdict": "<script>"}]}),
        ("verdicts", {"target": 99, "changes": [{"first": 0, "last": 0, "clear": True}]}),
        ("verdicts", {"changes": [5]}),
        ("resume", {"token": "x"}),
        ("what_if", {"settings": {"lost": "NaN"}}),
        ("what_if", {"settings": {"__init__": 1}}),
        ("verdicts_file", {"form": "../x"}),
        ("truth", {"paths": []}),
        ("truth", {"paths": "x"}),
    ],
)
def test_what_no_page_sends_is_one_sentence(tools: ToolEvents, do: Any, fields: dict[str, Any]) -> None:
    error = answer(tools, do, **fields)["error"]
    assert error.endswith(".") and "Traceback" not in error


def test_an_earlier_run_comes_with_what_became_of_it(tools: ToolEvents) -> None:
    workspace = tools.service.sessions.get(PAGE.session_hash).workspace
    assert workspace is not None
    shown = tools.show(event("take_up", run=workspace.key), PAGE)
    assert shown.player["state"] == "done" and list(tools.events.watch(PAGE)) == [View()]
    assert f'<div data-run="{workspace.key}">' in shown.notice and "Found in" in shown.notice
    refused = tools.show(event("take_up", run="../x"), PAGE)
    assert "not here any more" in refused.player["reply"]["error"]


def test_a_tab_that_shows_another_run_changes_nothing(tmp_path: Path) -> None:
    service = Service(paced_tracker(), SETTINGS, tmp_path / "root")
    tools = ToolEvents(PageEvents(service, {}))
    session, second = service.sessions.get(PAGE.session_hash), SimpleNamespace(session_hash="second")
    keys = []
    for page in (PAGE, second):
        tools.events.on_load(session.token, page)  # a duplicated tab has the token too
        clip = str(counting_clip(tmp_path / page.session_hash / "grey.mp4"))
        tools.events.begin(clip, "the red car", "", 0, 1, page)
        list(tools.events.watch(page))
        assert session.workspace is not None
        keys.append(session.workspace.key)
    first, shown = keys
    for kind, do in (("work", "correct"), ("work", "export"), ("show", "remove"), ("look", "words")):
        asked = getattr(tools, kind)(
            event(do, run=first, frame=6, box="10,10,60,60", direction="forward"), PAGE
        )
        reply = asked["reply"] if kind == "look" else asked.player["reply"]
        assert "Another tab shows another run now." in reply["error"]
    assert [len(session.workspace_of(key).target_state(1)["edits"]) for key in keys] == [1, 1]  # type: ignore[union-attr]
    assert answer(tools, "episodes", run=first)["episodes"] == []  # of the run on the shelf
    assert "not here any more" in answer(tools, "episodes", run="gone")["error"]
    assert tools.look(event("words", run=shown, frame=6), second)["reply"]["words"]
    assert tools.show(event("take_up", run=first), PAGE).player["state"] == "done"
    service.close()


def test_only_uploads_are_read(tools: ToolEvents, tmp_path: Path) -> None:
    root = tools.service.sessions.root
    others = root / "session-other" / "boxes.csv"
    others.parent.mkdir()
    others.write_text("0,0,1,1")
    secret = tmp_path / "secret.txt"
    secret.write_text("0,0,1,1")
    (root / "link").mkdir()
    (root / "link" / "truth.txt").symlink_to(secret)
    upload = root / ("b" * 64) / "truth.txt"
    upload.parent.mkdir()
    upload.write_text("60,50,30,30\n" * FRAMES)
    for path in (
        secret,
        others,
        root / "link" / "truth.txt",
        f"{root}/../secret.txt",
        "/etc/hostname",
        None,
        5,
    ):
        for do in ("truth", "load_verdicts"):
            reply = answer(tools, do, paths=[path if path is None else str(path)])
            assert "did not arrive" in reply["error"]
    scored = answer(tools, "truth", paths=[str(upload)])
    assert scored["branches"]["fused"]["counted"] == FRAMES
    upload.write_text("".join(f"{k},{n},60,50,30,30\n" for k in range(1, FRAMES + 1) for n in (1, 2)))
    assert answer(tools, "truth", paths=[str(upload)])["objects"] == ["1", "2"]
    scored = answer(tools, "truth", paths=[str(upload)], object="2", pixel="1")
    assert scored["branches"]["fused"]["counted"] == FRAMES and "objects" not in scored


def test_a_question_that_fails_on_the_disk_is_answered(
    tools: ToolEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the page waits for its answer, and asks for no frame's own pixels any more."""
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left", "/secret/frame.jpg"))
    monkeypatch.setattr("demo.frame_service.save_picture", full)
    assert answer(tools, "still", frame=0)["error"].endswith("its disk is full.")
    monkeypatch.setattr("demo.service.ExportJob", full)
    reply = tools.work(event("export"), PAGE).player["reply"]
    assert reply["error"].endswith("its disk is full.")


def test_a_page_without_a_run_is_told_so(tools: ToolEvents) -> None:
    session = tools.service.sessions.get(PAGE.session_hash)
    back: Any = SimpleNamespace(session_hash="back")  # its leaving was noted, and it stayed
    assert tools.act(event("episodes", token=session.token), back)["reply"]["episodes"] == []
    stranger: Any = SimpleNamespace(session_hash="stranger")
    assert "Follow something first" in tools.show(event("undo"), stranger).player["reply"]["error"]
    for do in ("verdicts", "save", "truth"):
        assert tools.act(event(do), stranger)["reply"]["error"] == "Follow something first."
    assert "Follow something first" in tools.work(event("export"), stranger).player["reply"]["error"]


def test_work_comes_back_also_when_the_newest_run_was_stopped(tmp_path: Path) -> None:
    service = Service(paced_tracker(), replace(SETTINGS, reload_grace_s=0.1), tmp_path / "root")
    tools = ToolEvents(PageEvents(service, {}))
    clip = str(counting_clip(tmp_path / "grey.mp4"))
    tools.events.begin(clip, "the red car", "", 0, 1, PAGE)
    list(tools.events.watch(PAGE))
    answer(tools, "verdicts", changes=[{"first": 0, "last": 5, "verdict": "both", "note": None}])
    session = service.sessions.get(PAGE.session_hash)
    assert answer(tools, "episodes")["work"] == {"clip": "grey.mp4", "judged": 6}
    tools.events.begin(clip, VERY_SLOW, "", 0, 1, PAGE)
    job = session.job
    assert job is not None and eventually(lambda: job.progress.frames > 0)
    tools.events.on_unload(PAGE)
    assert job.wait(60)
    other: Any = SimpleNamespace(session_hash="other")
    value = tools.act(event("resume", token=session.token), other)["value"]
    assert value["work"] == {"clip": "grey.mp4", "judged": 6}  # of a run that is not shown
    assert value["state"] == "empty" and [run["judged"] for run in value["shelf"]] == [6]
    said = str(tools.events.on_load(session.token, other))
    assert "Nothing of it was kept." in said and "What was done" not in said
    service.close()
