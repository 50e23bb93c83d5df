"""See before you run, in headless Chromium: words, regions, a drawn box, and every match followed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from app_helpers import FRAMES, HEIGHT, WIDTH, Server, counting_clip, serving
from contrast import pale
from fake_branches import fake_tracker
from playwright.sync_api import Browser, Page, expect
from two_things import LEFT, RIGHT, two_things

from langtrack_core.video import VideoWriter

pytestmark = pytest.mark.browser
DONE = '.lt-player[data-state="done"][data-frame]'
TEXT = "#text textarea, #text input"
ANSWER_S = 1.0
"""Seconds of computing, by this process, between the words and their regions: a visitor waits a second at
most. Processor time, which other work on the machine does not change."""


RED = """() => {
  const canvas = document.querySelector('[data-panel="mask"] canvas');
  const [x, y] = [canvas.width * 120 / 160, canvas.height * 60 / 90];
  const [r, g] = canvas.getContext('2d').getImageData(x, y, 1, 1).data;
  return r - g }"""
"""How red the mask view is in the middle of the thing on the right."""

CURVE = """() => {
  const strip = document.querySelector('.lt-strip'), context = strip.getContext('2d');
  const style = getComputedStyle(document.querySelector('.lt-player'));
  const ink = document.createElement('canvas').getContext('2d');
  ink.fillStyle = style.getPropertyValue('--lt-language-ink');
  ink.fillRect(0, 0, 1, 1);
  const [r, g, b] = ink.getImageData(0, 0, 1, 1).data;
  let drawn = 0;
  const [from, to] = [strip.width / 24, strip.width * 20 / 24].map(Math.round);
  for (let x = from; x < to; x++) {
    const column = context.getImageData(x, 14 * devicePixelRatio, 1, 46 * devicePixelRatio).data;
    const isInk = (k) => [r, g, b].every((value, channel) => Math.abs(column[k + channel] - value) < 20);
    for (let k = 0; k < column.length; k += 4) if (isInk(k)) { drawn += 1; break }
  }
  return drawn / (to - from) }"""
"""The share of the timeline, up to the last frame with words, on which the language curve is drawn."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counting_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tracker = fake_tracker(two_things, two_things, vocabulary=["the", "car", "red"])
    with serving(tmp_path_factory.mktemp("preview") / "root", tracker) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server, clip: Path) -> Iterator[Page]:
    """A visitor who has chosen a clip; every test goes on where the one before ended."""
    broken: list[str] = []
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(server.url)
    expect(page.locator("#examples")).to_contain_text("rendered, not filmed")
    page.locator("#video input[type=file]").set_input_files(clip)
    expect(page.locator(".lt-before-title")).to_contain_text("say what to follow")
    page.locator("#more button").click()
    yield page
    page.close()
    assert broken == []


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the clip is on the screen."""
    box = page.locator(".lt-before canvas").bounding_box()
    assert box is not None
    fit = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    left, top = (box["x"] + (box["width"] - WIDTH * fit) / 2, box["y"] + (box["height"] - HEIGHT * fit) / 2)
    return left + x * fit, top + y * fit


def test_words_show_their_regions_at_once_and_a_click_chooses(page: Page) -> None:
    begun = time.process_time()
    page.locator(TEXT).fill("the car")
    expect(page.locator(".lt-before-title")).to_have_text("2 regions on frame 0 fit “the car”")
    assert time.process_time() - begun < ANSWER_S
    expect(page.locator(".lt-number")).to_have_text(["1", "2"])
    expect(page.locator(".lt-before-note")).to_contain_text("80 % sure on this frame; a run looks at several")
    page.mouse.click(*place(page, 120, 60))
    expect(page.locator(".lt-number").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#box input, #box textarea")).to_have_value(RIGHT)
    assert pale(page) == []
    page.locator(".lt-number").nth(1).focus()
    page.keyboard.press("1")
    expect(page.locator("#box input, #box textarea")).to_have_value(LEFT)
    page.keyboard.press("1")
    expect(page.locator("#box input, #box textarea")).to_have_value("")


def test_a_box_is_drawn_to_the_pixel_in_the_zoomed_picture(page: Page) -> None:
    page.mouse.move(*place(page, 30, 40))
    for _ in range(8):
        page.mouse.wheel(0, -100)
    page.wait_for_function(
        "document.querySelector('.lt-before canvas').style.transform.includes('scale(5.96')"
    )
    (x1, y1), (x2, y2) = place(page, 25, 36), place(page, 37, 45)
    page.mouse.move(x1, y1)
    page.mouse.down()
    page.mouse.move(x1 + 20, y1 + 20)
    page.mouse.move(x2, y2)
    page.mouse.up()
    expect(page.locator("#box input, #box textarea")).to_have_value("25,36,37,45")
    page.locator(TEXT).fill("the red car")
    expect(page.locator(".lt-before-note")).to_contain_text("Your box stays; click beside it to take it out.")
    page.locator(TEXT).fill("the car")
    expect(page.locator(".lt-before-title")).to_have_text("2 regions on frame 0 fit “the car”")
    expect(page.locator("#box input, #box textarea")).to_have_value("25,36,37,45")
    page.locator('.lt-before [data-zoom="fit"]').click()
    page.wait_for_function("document.querySelector('.lt-before canvas').style.transform === ''")


def test_the_chosen_one_is_followed_and_other_words_lie_over_the_run(page: Page) -> None:
    page.locator(".lt-number").first.click()
    page.locator('.lt-before [data-do="follow"]').click()
    expect(page.locator(DONE)).to_be_visible()
    expect(page.locator(".lt-before")).to_be_hidden()
    expect(page.locator("#notice")).to_contain_text(f"Found in {FRAMES} of {FRAMES}")
    page.locator(TEXT).fill("the red car")
    expect(page.locator(".lt-before-title")).to_contain_text("fit “the red car”")
    expect(page.locator("#box input, #box textarea")).to_have_value("")
    expect(page.locator(".lt-before-note")).to_contain_text("You had chosen a region with other words.")
    expect(page.locator(".lt-grid")).to_be_hidden()
    page.locator(TEXT).fill("??")
    expect(page.locator(".lt-before-title")).to_contain_text("cannot be looked for")
    page.locator("#run").click()
    expect(page.locator("#notice [role=alert]")).to_contain_text("has no words in it")
    page.locator('.lt-before [data-do="back"]').click()
    expect(page.locator(DONE)).to_be_visible()
    expect(page.locator("#notice")).to_contain_text(f"Found in {FRAMES} of {FRAMES}")
    expect(page.locator("#notice [role=alert]")).to_have_count(0)


def test_one_click_on_a_wrong_thing_or_the_right_one_corrects(page: Page) -> None:
    page.locator("#lt-tab-correct").click()
    for mode, edits in (("not-this", 2), ("this", 3)):
        page.locator(f'[data-ask="{mode}"]').click()
        page.wait_for_function(  # the views come into sight
            "document.querySelector('[data-panel=tracker] canvas').getBoundingClientRect().top >= 0"
        )
        canvas = page.locator('[data-panel="tracker"] canvas').bounding_box()
        assert canvas
        fit = min(canvas["width"] / WIDTH, canvas["height"] / HEIGHT)
        left = canvas["x"] + (canvas["width"] - WIDTH * fit) / 2
        page.mouse.click(left + 30 * fit, canvas["y"] + 45 * fit)
        expect(page.locator(".lt-edits li")).to_have_count(edits)
        expect(page.locator(DONE)).to_be_visible()


def test_every_match_is_a_target_and_another_frame_may_be_the_first(page: Page) -> None:
    page.locator(TEXT).fill("the car the car")
    expect(page.locator(".lt-before-title")).to_contain_text("fit “the car the car”")
    slider = page.locator(".lt-before-seek input")
    slider.fill("3")
    slider.dispatch_event("change")
    expect(page.locator(".lt-before-title")).to_contain_text("on frame 3")
    page.locator('.lt-before [data-do="all"]').click()
    expect(page.locator(DONE)).to_be_visible()
    expect(page.locator(".lt-chip:not(.lt-remove)")).to_have_text(["1 the car the car", "2 the car the car"])
    notice = page.locator("#notice")  # this tracker sees the thing on the right alone, so both end on it
    expect(notice).to_contain_text("1 “the car the car”: found in 21 of 21 frames")
    expect(notice).to_contain_text("2 “the car the car”: found in 2 of 21 frames")
    expect(notice).to_contain_text("another target is on the same thing")


def test_a_frame_at_rest_has_the_pixels_of_the_clip(
    page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    large = tmp_path_factory.mktemp("large") / "large.mp4"
    with VideoWriter(large, 5) as writer:
        for _ in range(2):
            writer.write(np.full((720, 1280, 3), 90, np.uint8))
    page.locator("#video button[aria-label=Clear]").last.click()
    page.locator("#video input[type=file]").set_input_files(large)
    expect(page.locator(".lt-before-title")).to_contain_text("fit")
    expect(page.locator("#start input[type=number]")).to_have_value("0")  # of the clip before it was another
    page.locator(TEXT).press("Enter")
    expect(page.locator("#notice")).to_contain_text("of 2 frames")
    expect(page.locator(".lt-range")).to_have_attribute("max", "1")  # the player has the run, which may play
    page.locator(".lt-player").focus()
    page.keyboard.press("Home")
    page.keyboard.press("z")
    size = "[...document.querySelectorAll('.lt-big canvas')].map((canvas) => canvas.width)[0]"
    expect(page.locator('.lt-player[data-still="0"]')).to_be_visible()
    page.wait_for_function(f"{size} === 1280")
    page.keyboard.press("+")
    expect(page.locator(".lt-fit")).to_have_text("Whole picture (now 1.5×)")
    canvas = page.locator(".lt-big canvas").bounding_box()
    assert canvas
    page.mouse.move(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)
    page.mouse.wheel(0, -100)
    expect(page.locator(".lt-fit")).to_have_text("Whole picture (now 1.9×)")
    page.keyboard.press("0")
    expect(page.locator(".lt-fit")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    expect(page.locator('.lt-player[data-still="1"]')).to_be_visible()
    page.keyboard.press("z")


def test_words_that_are_read_on_every_fourth_frame_hold_their_mask_paler(page: Page, clip: Path) -> None:
    page.locator("#video button[aria-label=Clear]").last.click()
    page.locator("#video input[type=file]").set_input_files(clip)
    expect(page.locator(".lt-before-title")).to_contain_text("fit")
    page.locator("#every input[type=number]").fill("4")
    page.locator("#every input[type=number]").press("Tab")
    page.locator(TEXT).press("Enter")
    expect(page.locator("#notice")).to_contain_text(f"of {FRAMES} frames")
    expect(page.locator(".lt-range")).to_have_attribute("max", str(FRAMES - 1))
    page.locator(".lt-player").focus()
    page.keyboard.press("Home")
    reds = []
    for frame, note in ((0, "80 %"), (1, "80 % on frame 0"), (3, "80 % on frame 0"), (4, "80 %")):
        page.locator(".lt-range").fill(str(frame))
        expect(page.locator(f'{DONE}[data-frame="{frame}"]')).to_be_visible()
        expect(page.locator('[data-panel="mask"] .lt-note')).to_have_text(note)
        page.wait_for_function(f"({RED})() > 10")
        reds.append(page.evaluate(RED))
    first, held, also, again = reds
    assert again == pytest.approx(first, abs=8) and held == pytest.approx(also, abs=8)
    assert 10 < held < 0.7 * first
    page.wait_for_function(f"({CURVE})() > 0.95")
