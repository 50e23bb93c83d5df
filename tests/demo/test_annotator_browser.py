"""What an annotator relies on in the page, in headless Chromium: messages, keys, and what is in sight."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_helpers import FRAMES, SETTINGS, Server, counting_clip, expect_greys, serving
from playwright.sync_api import Browser, Page, expect
from tools_visit import keys

pytestmark = pytest.mark.browser
DONE = '.lt-player[data-state="done"][data-frame]'
TEXT = "#text textarea, #text input"
NOT_OVERWRITTEN_MS = 1200
"""Milliseconds after which a message still has to stand there: what painted over it came within a second."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = dataclasses.replace(SETTINGS, reload_grace_s=30.0)
    with serving(tmp_path_factory.mktemp("annotator") / "root", settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A visitor who has followed the example; every test goes on where the one before ended."""
    broken: list[str] = []
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(server.url)
    page.locator("#more button").click()  # now: what is typed while Gradio draws it may be lost
    page.locator(".lt-card").click()
    expect(page.locator(DONE)).to_be_visible()
    yield page
    context.close()
    assert broken == []


def stays(page: Page, text: str) -> None:
    """An error is there, and still there a second later."""
    expect(page.locator("#notice [role=alert]")).to_contain_text(text)
    page.wait_for_timeout(NOT_OVERWRITTEN_MS)
    expect(page.locator("#notice [role=alert]")).to_contain_text(text)
    expect(page.locator("#run")).to_be_enabled()


def test_an_error_after_a_run_stays(page: Page) -> None:
    page.locator(TEXT).fill(" ")
    page.locator("#run").click()
    stays(page, "Say what to follow")
    page.locator(TEXT).fill("the red car")
    page.locator("#box input, #box textarea").fill("1,2,3")
    page.locator("#run").click()
    stays(page, "four numbers")
    page.locator("#box input, #box textarea").fill("")


def test_an_error_after_a_saved_run_stays(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as caught:
        page.locator('[data-ask="save"]').click()
    caught.value.save_as(tmp_path / "saved.zip")
    page.locator("#ask > input[accept='.zip']").set_input_files(tmp_path / "saved.zip")
    expect(page.locator("#notice")).to_contain_text("The saved run is open")
    expect(page.locator(TEXT)).to_have_value("the red car")
    expect(page.locator("#about")).to_contain_text(f"{FRAMES} frames")
    expect(page.locator(DONE)).to_be_visible()
    status = page.locator("#notice .lt-notice", has_text="The saved run is open")
    page.locator(TEXT).fill("the car")  # a look at other words: the status is not about them
    expect(page.locator(".lt-before-title")).to_contain_text("“the car”")
    expect(status).to_be_hidden()
    page.locator('.lt-before [data-do="back"]').click()
    expect(status).to_be_visible()
    page.locator(TEXT).fill(" ")
    page.locator("#run").click()
    stays(page, "Say what to follow")


def test_keys_belong_to_the_player_when_the_run_ends(page: Page) -> None:
    page.locator(TEXT).fill("the red car")
    page.locator(TEXT).press("Enter")
    expect(page.locator("#notice")).to_contain_text(f"Found in {FRAMES} of {FRAMES}")
    expect(page.locator(".lt-player")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("t")
    expect(page.locator(".lt-marks button")).to_have_count(1)
    expect(page.locator(TEXT)).to_have_value("the red car")
    page.keyboard.press("?")
    expect(page.locator(".lt-help")).to_contain_text("next disagreement")
    page.keyboard.press("?")
    expect(page.locator(".lt-help")).to_be_hidden()
    page.keyboard.press("x")
    expect(page.locator(".lt-marks button")).to_have_count(0)


def test_work_stays_after_a_new_run_and_after_the_tab_was_closed(page: Page, server: Server) -> None:
    page.locator(".lt-player").focus()
    page.keyboard.press("Home")
    page.keyboard.press("t")
    expect(page.locator(".lt-saved")).to_have_text("Saved")
    page.locator(TEXT).fill("the car")
    page.locator(TEXT).press("Enter")
    expect(page.locator(".lt-title")).to_have_text("“the car”")
    expect(page.locator(DONE)).to_be_visible()
    expect(page.locator(".lt-marks button")).to_have_count(0)
    page.locator(".lt-shelf:not(.lt-many) summary").click()
    page.locator(".lt-shelf button", has_text="“the red car” · 24 frames · 1 judged").click()
    expect(page.locator(".lt-marks button")).to_have_text("Frame 0 tracker right")
    expect(page.locator("#notice .lt-notice:visible")).to_have_count(1)  # of this run, not of the last one

    tab = page.context.new_page()  # the same browser: another page of this visitor
    tab.goto(server.url)
    tab.locator(".lt-shelf button", has_text="1 judged").click()
    expect(tab.locator(".lt-marks button")).to_have_text("Frame 0 tracker right")
    tab.close()

    page.locator(TEXT).fill("the red car")  # the same again: the browser has a copy
    page.locator(TEXT).press("Enter")
    expect(page.locator(".lt-restore")).to_contain_text("earlier verdicts on 1 frame")
    page.locator(".lt-restore button", has_text="Bring").click()
    expect(page.locator(".lt-marks button")).to_have_text("Frame 0 tracker right")
    page.locator(".lt-player").focus()
    page.keyboard.press("Home")
    page.keyboard.press("x")
    expect(page.locator(".lt-saved")).to_have_text("Saved")


def test_who_types_while_a_run_goes_on_keeps_the_text_box(page: Page, server: Server) -> None:
    with server.tracker.held():
        page.locator(TEXT).fill("the slow car")
        page.locator(TEXT).press("Enter")
        expect(page.locator('.lt-player[data-state="running"]')).to_be_visible()
        expect(page.locator(".lt-stage")).to_contain_text(f"of {FRAMES} frames")
        page.keyboard.type("  ")  # other words would show what they mean, over the run
    expect(page.locator(DONE)).to_be_visible()
    expect(page.locator(TEXT)).to_be_focused()
    assert page.locator(TEXT).input_value() == "the slow car  "


def test_keys_leave_a_run_alone_that_is_hidden_while_another_one_computes(page: Page, server: Server) -> None:
    keys(page, "Home", "t")
    expect(page.locator(".lt-saved")).to_have_text("Saved")
    with server.tracker.held():
        page.locator(TEXT).fill("the car")
        page.locator(TEXT).press("Enter")
        expect(page.locator('.lt-player[data-state="running"]')).to_be_visible()
        keys(page, "End", "l", "Home", "x")
    expect(page.locator(DONE)).to_be_visible()
    page.locator(".lt-shelf:not(.lt-many) button", has_text="“the slow car”").click()
    expect(page.locator(".lt-marks button")).to_have_text("Frame 0 tracker right")
    keys(page, "Home", "x")
    expect(page.locator(".lt-saved")).to_have_text("Saved")


def test_play_verdicts_and_timeline_are_in_sight_and_a_verdict_is_seen(page: Page) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    for name in (
        ".lt-strip",
        ".lt-play",
        '[data-verdict="language"]',
        '[data-verdict=""]',
        '[data-ask="next"]',
    ):
        box = page.locator(name).bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= 900, name
    page.locator(".lt-player").focus()
    page.keyboard.press("Home")
    page.keyboard.press("l")
    badges = page.locator(".lt-badge")
    expect(badges).to_have_text(["✓ right", "✓ right", "✗ wrong", "language right"])
    page.keyboard.press("a")
    expect(badges).to_have_text(["absent"] * 4)
    page.keyboard.press("ArrowRight")
    expect(badges).to_have_text([""] * 4)


def test_a_verdict_on_a_frame_that_the_track_lacks_is_not_said_to_be_saved(page: Page) -> None:
    page.locator("#start input").fill("3")
    page.locator("#start input").press("Tab")
    page.locator(TEXT).fill("the red car")
    page.locator(TEXT).press("Enter")
    expect(page.locator("#notice")).to_contain_text(f"of {FRAMES - 3} frames")
    expect(page.locator(DONE)).to_be_visible()
    keys(page, "Home", "t")
    expect(page.locator(".lt-saved")).to_have_text("Frame 0 is not in this track")
    keys(page, "]", "End", "b")
    expect(page.locator(".lt-saved")).to_have_text("Frame 0 is not in this track")
    keys(page, "\\", "t")
    expect(page.locator(".lt-marks button")).to_have_text(f"Frame {FRAMES - 1} tracker right")
    expect(page.locator(".lt-saved")).to_have_text("Saved")
    page.locator("#start input").fill("0")
    page.locator("#start input").press("Tab")


def test_a_clip_of_one_frame_is_shown(page: Page, tmp_path: Path) -> None:
    page.locator(".lt-player").focus()
    page.keyboard.press("Home")  # a clip that is opened on frame 0 plays by itself
    page.locator("#video button[aria-label=Clear]").last.click()
    page.locator("#video input[type=file]").set_input_files(counting_clip(tmp_path / "one.mp4", frames=1))
    expect(page.locator("#about")).to_contain_text("1 frame ·")
    page.locator(TEXT).fill("the red car")
    page.locator(TEXT).press("Enter")
    expect(page.locator("#notice")).to_contain_text("Found in 1 of 1 frame,")
    expect(page.locator(f'{DONE}[data-frame="0"]')).to_be_visible()
    expect_greys(page, 40)
    expect(page.locator(".lt-clock")).to_contain_text("frame 0 (0 to 0)")


def test_a_verdict_without_an_answer_is_sent_again_and_asks_on_leaving_only_if_lost(page: Page) -> None:
    asks = """() => { const event = new Event('beforeunload', { cancelable: true });
        window.dispatchEvent(event); return event.defaultPrevented }"""
    page.route(re.compile("/run/predict|/queue/join"), lambda route: None)  # a server that does not answer
    page.locator(".lt-player").focus()
    page.keyboard.press("n")
    expect(page.locator(".lt-saved")).to_contain_text("kept in this browser")
    assert not page.evaluate(asks)
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full') } }")
    page.keyboard.press("b")
    assert page.evaluate(asks)
    page.unroute_all()  # what is sent again arrives
    expect(page.locator(".lt-saved")).to_have_text("Saved")
    assert not page.evaluate(asks)
