"""The annotator's tools in headless Chromium, end to end on a shipped example: one server, one run."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from app_helpers import SETTINGS, VERY_SLOW, Server, counting_clip, eventually, serving
from contrast import pale
from long_clips import long_workspace
from playwright.sync_api import Browser, Page, expect
from tools_visit import ASSETS, DONE, FRAMES, at, finished, go, keys, scripted_tracker, visit

from demo.page_data import page_data
from langtrack_core import probe, read_frames
from langtrack_core.video import VideoWriter

pytestmark = pytest.mark.browser
PIXELS = """(panel) => { const canvas = document.querySelector(`[data-panel="${panel}"] canvas`);
  const bytes = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let [white, sum] = [0, 0];
  for (let k = 0; k < bytes.length; k += 4) { white += bytes[k] === 255; sum += bytes[k] * (k % 251) }
  return {white, sum, first: bytes[0]} }"""
"""What a panel shows, briefly: its white pixels, a sum over all, its first pixel."""

INKS = """(branches) => branches.map((branch) => {
  const style = getComputedStyle(document.querySelector('.lt-player'));
  const context = document.createElement('canvas').getContext('2d');
  context.fillStyle = style.getPropertyValue(`--lt-${branch}-ink`);
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data.slice(0, 3).join() })"""
"""The colours of the branches on the page."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With the first frames of a shipped example."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "examples").mkdir()
    shipped = ASSETS / "crossing-cars.mp4"
    with VideoWriter(folder / "examples" / shipped.name, probe(shipped).fps) as writer:
        for frame in islice(read_frames(shipped), FRAMES):
            writer.write(frame.rgb, frame.time_s)
    note = json.loads(shipped.with_suffix(".json").read_text())
    (folder / "examples" / "crossing-cars.json").write_text(json.dumps(note))
    boxes = np.loadtxt(shipped.with_suffix(".groundtruth.txt"), delimiter=",")
    tracker = scripted_tracker(boxes[:FRAMES])
    settings = replace(SETTINGS, reload_grace_s=30.0)
    with serving(folder / "root", tracker, settings, folder / "examples") as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A visitor who has followed the example; every test goes on where the one before ended."""
    broken: list[str] = []
    page = visit(browser, server, broken)
    page.locator(".lt-card").click()
    finished(page)
    yield page
    page.close()
    assert broken == []


def test_the_timeline_tells_gaps_and_jumps_to_a_click(page: Page) -> None:
    strip = page.locator(".lt-range").bounding_box()
    assert strip
    page.mouse.click(strip["x"] + strip["width"] * (23.5 / FRAMES), strip["y"] + 70)
    at(page, 23)  # lost after several improbable frames in a row
    expect(page.locator(".lt-reason")).to_have_text("lost · both branches improbable")
    page.mouse.move(strip["x"] + strip["width"] * (35.5 / FRAMES), strip["y"] + 40)
    expect(page.locator(".lt-tip")).to_contain_text("Frame 35 · language 70 %, tracker 90 %")
    page.mouse.down()
    page.mouse.move(strip["x"] + strip["width"] * (5.5 / FRAMES), strip["y"] + 40, steps=3)
    page.mouse.up()
    at(page, 5)
    inks = """() => {
        const strip = document.querySelector('.lt-strip'), inks = new Set();
        const row = strip.getContext('2d').getImageData(0, 75 * devicePixelRatio, strip.width, 1).data;
        for (let k = 0; k < row.length; k += 4) inks.add(row.slice(k, k + 3).join());
        return [...inks] }"""
    branches = set(page.evaluate(INKS, ["language", "tracker"]))
    assert eventually(lambda: branches <= set(page.evaluate(inks)))


def test_the_mask_as_heat_map_binary_and_at_another_threshold(page: Page) -> None:
    def pixels() -> dict[str, int]:
        return page.evaluate(PIXELS, "mask")

    def there_and_back() -> bool:
        overlay = pixels()
        keys(page, "h")
        heat = pixels()
        keys(page, "h")
        return heat != overlay == pixels()

    assert eventually(there_and_back)  # again when the frame's own picture came meanwhile
    page.locator(".lt-choice label", has_text="binary").click()
    assert eventually(lambda: pixels()["first"] == 0)
    usual = pixels()["white"]
    page.locator(".lt-threshold").fill("240")  # the mask is 0.9 of 255
    assert eventually(lambda: pixels()["white"] < usual) and pixels()["first"] == 0
    page.locator(".lt-threshold").fill("128")
    page.locator(".lt-choice label", has_text="overlay").click()
    expect(page.locator(".lt-threshold-value")).to_have_text("over 128")


def test_a_range_loops_and_gets_a_verdict_that_is_saved_and_loaded(page: Page, tmp_path: Path) -> None:
    go(page, 4)
    keys(page, "[")
    go(page, 9)
    keys(page, "]", "t")
    expect(page.locator(".lt-loop-text")).to_have_text("frames 4 to 9")
    keys(page, " ")
    page.wait_for_function("['5', '6', '7'].includes(document.querySelector('.lt-player').dataset.frame)")
    keys(page, " ", "\\")
    go(page, 20)
    keys(page, "a")
    page.locator("#lt-tab-judge").click()
    page.locator(".lt-note-text").fill("<img src=x onerror='window.hacked=1'>")
    page.locator(".lt-note-text").press("Enter")
    marks = page.locator(".lt-marks button")
    expect(marks).to_have_text(["Frames 4–9 tracker right", re.compile("Frame 20 absent: <img src=x")])
    expect(page.locator('[data-verdict="absent"]')).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("window.hacked") is None
    saved = {}
    for form in ("json", "csv"):
        with page.expect_download() as caught:
            page.locator(f'[data-ask="{form}"]').click()
        saved[form] = tmp_path / f"verdicts.{form}"
        caught.value.save_as(saved[form])
    assert len(saved["csv"].read_text().splitlines()) == 8
    keys(page, "x")
    expect(marks).to_have_count(1)
    page.locator('[data-upload="verdicts"]').set_input_files(saved["json"])
    expect(marks).to_have_count(2)


def test_a_note_goes_with_the_frame_on_which_it_is_begun(page: Page) -> None:
    page.locator("#lt-tab-judge").click()
    keys(page, "Home", " ")
    expect(page.locator('.lt-player[data-playing="true"]')).to_be_visible()
    page.locator(".lt-note-text").focus()
    expect(page.locator('.lt-player[data-playing="false"]')).to_be_visible()


def test_the_queue_goes_by_episodes_and_moves_on_after_a_verdict(page: Page) -> None:
    """The language branch alone sees the car on some frames, and then the tracker is astray."""
    keys(page, "Home", "d")
    line = page.locator(".lt-queue")
    expect(line).to_contain_text("Frames 30 to 39: both sure, at different places. 1 of 1 to judge.")
    expect(page.locator(".lt-loop-text")).to_have_text("frames 30 to 39")
    expect(page.locator(".lt-player")).to_have_attribute("data-frame", re.compile("^3[0-9]$"))  # in ASTRAY
    keys(page, "l")
    expect(line).to_have_text("All disagreements are judged.")
    expect(page.locator(".lt-loop-text")).to_have_text("whole clip")
    go(page, 33)
    keys(page, "x", "d")
    expect(line).to_contain_text("1 of 1 to judge")
    keys(page, "x", "\\")


def test_other_settings_decide_at_once_and_go_back(page: Page) -> None:
    go(page, 31)
    expect(page.locator(".lt-who")).to_have_text("language")
    page.locator("#lt-tab-whatif").click()
    page.locator('[data-setting="rule"] label', has_text="tracker").click()
    expect(page.locator(".lt-who")).to_have_text("tracker")
    expect(page.locator(".lt-changed")).to_contain_text(re.compile(r"\d+ frames of 48 change"))
    page.locator('[data-ask="reset"]').click()
    expect(page.locator(".lt-changed")).to_have_text("As recorded.")
    expect(page.locator(".lt-who")).to_have_text("language")
    page.locator("#lt-tab-files").click()
    expect(page.locator(".lt-list li").first).to_be_visible()
    expect(page.locator(".lt-stale")).to_be_hidden()  # the files are of this track again


def test_a_box_drawn_on_a_frame_corrects_from_there_and_is_undone(page: Page) -> None:
    go(page, 30)
    page.locator("#lt-tab-correct").click()
    page.locator('[data-ask="correct"]').click()
    expect(page.locator(".lt-message")).to_contain_text("Draw a box")
    page.keyboard.press("r")
    expect(page.locator('[data-ask="draw"]')).to_have_attribute("aria-pressed", "true")
    screen = page.locator('[data-panel="fused"] canvas').bounding_box()
    assert screen
    page.mouse.move(screen["x"] + screen["width"] * 0.3, screen["y"] + screen["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(screen["x"] + screen["width"] * 0.6, screen["y"] + screen["height"] * 0.8, steps=3)
    page.mouse.up()
    expect(page.locator(".lt-box")).to_have_value(re.compile(r"\d+,\d+,\d+,\d+"))
    x1, y1, x2, y2 = map(int, page.locator(".lt-box").input_value().split(","))
    assert 100 < x1 < x2 < 500 and 150 < y1 < y2 < 320
    page.keyboard.press("ArrowRight")
    at(page, 31)
    page.keyboard.press("Enter")
    expect(page.locator(".lt-message")).to_contain_text("The box was drawn on frame 30.")
    page.keyboard.press("ArrowLeft")
    at(page, 30)
    page.keyboard.press("Enter")
    expect(page.locator(".lt-edits li")).to_have_count(2)
    expect(page.locator(".lt-message")).to_have_text("")
    at(page, 30)  # where the work goes on
    expect(page.locator(".lt-reason")).to_have_text(re.compile("^your box"))
    expect(page.locator(".lt-who")).to_have_text("you")
    expect(page.locator("#notice")).to_contain_text("mean something else than your box on frame 30")
    amber = """(frame) => {
        const strip = document.querySelector('.lt-strip'), ratio = devicePixelRatio;
        const at = [((frame + 0.5) / 48) * strip.width, 17 * ratio];
        return strip.getContext('2d').getImageData(...at, 1, 1).data.slice(0, 3).join() }"""
    assert eventually(lambda: page.evaluate(amber, 30) == "248,173,13" != page.evaluate(amber, 29))
    page.keyboard.press("u")
    expect(page.locator(".lt-edits li")).to_have_count(1)
    expect(page.locator(".lt-reason")).to_contain_text("branches differ")
    expect(page.locator("#notice")).not_to_contain_text("your box on frame 30")
    assert eventually(lambda: page.evaluate(amber, 30) != "248,173,13")


def test_which_word_mattered_and_what_else_was_meant(page: Page) -> None:
    go(page, 3)
    page.locator("#lt-tab-words").click()
    page.locator('[data-ask="words"]').click()
    figures = page.locator(".lt-word small")
    expect(page.locator(".lt-decisive")).to_contain_text("red")
    expect(figures).to_have_text(["0 %", re.compile(r"[5-9]\d\s%|100\s%"), "0 %"])  # higher: more important
    expect(page.locator(".lt-regions button")).to_have_text(["A on the left", "B on the right"])
    expect(page.locator(".lt-regions")).to_contain_text("2 separate regions fit the words on frame 3")


def test_sentences_beside_each_other_with_their_agreement(page: Page) -> None:
    page.locator(".lt-sentences").fill("the car on the left\nthe red car")
    page.locator('[data-ask="compare"]').click()
    expect(page.locator(".lt-compared figure")).to_have_count(3)
    expect(page.locator(".lt-matrix td")).to_have_count(9)
    expect(page.locator(".lt-chip")).to_have_count(0)  # a comparison alone makes no targets
    expect(page.locator(".lt-title")).to_have_text("“the red car”")
    for text, pressed in (("“the car on the left”", 1), ("“the red car”", 0)):  # with the keyboard alone
        page.locator(".lt-compared").get_by_role("button", name=text).first.press("Enter")
        expect(page.locator(".lt-title")).to_have_text(text)
        names = page.locator(".lt-compared [aria-pressed]")
        expect(names.nth(pressed)).to_have_attribute("aria-pressed", "true")
    page.locator(".lt-compared figure", has_text="the car on the left").get_by_text("Keep").click()
    expect(page.locator(".lt-chip:not(.lt-remove)")).to_have_count(2)
    page.locator('[data-ask="end-comparison"]').click()
    expect(page.locator(".lt-compared figure")).to_have_count(2)
    expect(page.locator(".lt-chip:not(.lt-remove)")).to_have_count(2)
    page.locator(".lt-chip").nth(1).click()
    expect(page.locator(".lt-title")).to_have_text("“the car on the left”")
    notice = page.locator("#notice .lt-notice:visible")
    expect(notice).to_contain_text("“the car on the left”: found")
    page.locator(".lt-remove").click()
    expect(page.locator(".lt-chip")).to_have_text(["Undo: remove the car on the left"])
    page.locator(".lt-chip").click()
    expect(page.locator(".lt-chip:not(.lt-remove)")).to_have_count(2)
    page.locator(".lt-chip").first.click()
    expect(page.locator("#notice .lt-notice:visible", has_text="the car on the left")).to_have_count(0)
    page.locator("#lt-tab-files").click()
    page.locator('[data-ask="export"]').click()
    expect(page.locator(".lt-bundle")).to_be_visible()
    expect(page.locator(".lt-bundle")).to_have_attribute("download", "langtrack-crossing-cars-all.zip")
    page.locator("#lt-tab-words").click()


def test_ground_truth_gives_figures_and_curves(page: Page, tmp_path: Path) -> None:
    lines = (ASSETS / "crossing-cars.groundtruth.txt").read_text().splitlines()[:FRAMES]
    (tmp_path / "groundtruth.txt").write_text("\n".join(lines))
    page.locator("#lt-tab-truth").click()
    page.locator('[data-upload="truth"]').set_input_files(tmp_path / "groundtruth.txt")
    expect(page.locator("#lt-truth tr")).to_have_count(5)
    expect(page.locator("#lt-truth canvas")).to_have_count(2)
    auc = [float(cell) for cell in page.locator("#lt-truth tr:nth-child(2) td").all_inner_texts()]
    assert len(auc) == 3 and all(0.5 < value <= 1 for value in auc)
    page.set_viewport_size({"width": 700, "height": 1000})
    fits = "chart => chart.width === Math.round(chart.clientWidth * devicePixelRatio)"
    for chart in page.locator("#lt-truth canvas").all():
        page.wait_for_function(fits, arg=chart.element_handle())  # drawn again for the new width
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(
        "(place => place.scrollWidth <= place.clientWidth)(document.querySelector('.lt-truth-result'))"
    )
    page.set_viewport_size({"width": 1400, "height": 1000})
    (tmp_path / "mot.txt").write_text(
        "".join(f"{k},{n},{line}\n" for k, line in enumerate(lines, 1) for n in (1, 2))
    )
    page.locator('[data-upload="truth"]').set_input_files(tmp_path / "mot.txt")
    expect(page.locator(".lt-truth-object option")).to_have_text(["", "1", "2"])
    expect(page.locator(".lt-message")).to_contain_text("choose one")
    page.locator(".lt-truth-object").select_option("2")
    expect(page.locator("#lt-truth p.lt-hint").last).to_contain_text("MOT text")
    expect(page.locator(".lt-message")).to_have_text("")


def test_a_narrow_phone_cuts_no_reason_off_and_breaks_no_choice(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    cut = page.evaluate(
        """(reasons) => {
            const line = document.querySelector('.lt-reason'), before = line.textContent;
            const cut = reasons.filter((reason) => {
                line.textContent = `language chosen · ${reason} · overlap of the branches 0.85`;
                return line.scrollHeight > line.clientHeight;
            });
            line.textContent = before;
            return cut;
        }""",
        list(page_data()["reasons"].values()),
    )
    assert cut == []
    choices = page.locator(".lt-look .lt-choice span")
    heights = choices.evaluate_all("all => all.map((one) => one.clientHeight)")
    assert len(heights) == 3 and len(set(heights)) == 1
    page.set_viewport_size({"width": 1400, "height": 1000})


def test_texts_and_icons_stand_out_in_light_and_dark(page: Page) -> None:
    for tab in ("files", "judge", "correct", "whatif", "words", "truth"):
        page.locator(f"#lt-tab-{tab}").click()
        expect(page.locator(f"#lt-{tab}")).to_be_visible()
        if tab == "judge":
            page.locator('[data-verdict="both"]').click()  # pressed, and the mouse is over it
            expect(page.locator('[data-verdict="both"]')).to_have_attribute("aria-pressed", "true")
        assert pale(page) == []
    keys(page, "x", "?")
    expect(page.locator(".lt-help")).to_be_visible()
    assert pale(page) == []
    page.keyboard.press("Escape")


def test_a_saved_run_opens_for_somebody_else(
    page: Page, browser: Browser, server: Server, tmp_path: Path
) -> None:
    page.locator("#lt-tab-files").click()
    with page.expect_download() as caught:
        page.locator('[data-ask="save"]').click()
    caught.value.save_as(tmp_path / "saved.zip")
    broken: list[str] = []
    other = visit(browser, server, broken)
    saved = other.locator("#ask > input[type=file]").last
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 not a bundle")
    saved.set_input_files(tmp_path / "bad.zip")
    expect(other.locator("#notice [role=alert]")).to_be_visible()
    saved.set_input_files(tmp_path / "saved.zip")
    finished(other)
    expect(other.locator(".lt-chip:not(.lt-remove)")).to_have_count(2)
    other.locator(".lt-chip").first.click()
    other.locator("#lt-tab-judge").click()
    expect(other.locator(".lt-marks button")).to_have_count(2)
    other.close()
    assert broken == []


def test_all_targets_in_a_format_of_another_tool(page: Page, tmp_path: Path) -> None:
    page.locator("#lt-tab-files").click()
    page.locator(".lt-formats").select_option("yolo")
    field = page.locator('[data-field="class"]')
    expect(field).to_have_attribute("placeholder", re.compile(r"."))
    field.fill("sports car")
    page.locator('[data-ask="format"]').click()  # which is what ends the typing
    link = page.locator(".lt-list a", has_text="crossing-cars-yolo.zip")
    expect(link).to_be_visible()
    expect(link).to_contain_text("YOLO detection: boxes")
    with page.expect_download() as caught:
        link.click()
    caught.value.save_as(tmp_path / "yolo.zip")
    with zipfile.ZipFile(tmp_path / "yolo.zip") as archive:
        labels = archive.read("crossing-cars-yolo/labels/train/000000.txt").decode().splitlines()
        assert "sports car" in archive.read("crossing-cars-yolo/data.yaml").decode()
    assert len(labels) == max(1, page.locator(".lt-chip:not(.lt-remove)").count())
    field.fill("")
    field.press("Enter")
    expect(link).to_have_count(0)  # it has the class of before


def test_a_reload_finds_the_run_and_cancel_keeps_what_is_done(page: Page) -> None:
    page.reload()
    finished(page)
    expect(page.locator(".lt-chip:not(.lt-remove)")).to_have_count(2)
    page.locator("#text textarea, #text input").fill(VERY_SLOW.replace("car", "red car"))
    page.locator("#run").click()
    expect(page.locator(".lt-stage")).to_contain_text(re.compile(r"\b[1-9]\d* of"))
    page.reload()
    expect(page.locator(".lt-stage")).to_contain_text("of 48")
    page.locator(".lt-cancel").click()
    finished(page)
    expect(page.locator("#notice")).to_contain_text(re.compile(r"Cancelled after \d+ frames?"))
    assert int(page.locator(".lt-range").get_attribute("max") or 0) < FRAMES - 1


def test_ten_thousand_frames_are_drawn_by_the_column(page: Page, server: Server, tmp_path: Path) -> None:
    frames = 10_000
    session = server.service.sessions.find(page.evaluate("sessionStorage.getItem('langtrack')"))
    assert session is not None
    clip = counting_clip(tmp_path / "tiny.mp4", frames=2)
    session.adopt(long_workspace(session.new_folder(), clip, frames, lost=7777))
    page.reload()
    expect(page.locator(DONE)).to_be_visible()
    expect(page.locator(".lt-range")).to_have_attribute("max", str(frames - 1))
    keys(page, "End")
    at(page, frames - 1)
    calls, columns = page.evaluate("""async () => {
        let calls = 0;
        const fill = CanvasRenderingContext2D.prototype.fillRect;
        CanvasRenderingContext2D.prototype.fillRect = function (...at) { calls += 1; fill.apply(this, at) };
        document.body.classList.toggle('repaint');
        const pause = () => new Promise((done) => setTimeout(done, 300));
        while (!calls) await pause();
        await pause();
        return [calls, document.querySelector('.lt-strip').width] }""")
    assert 0 < calls < 8 * columns  # by the screen's width, not by the number of frames
    lost = page.evaluate("""() => { const strip = document.querySelector('.lt-strip');
        const at = Math.floor(7777.5 / 10000 * strip.width), row = (x) => [...strip.getContext('2d')
          .getImageData(x, 65, 1, 20).data].join(); return row(at) !== row(at - 3) }""")
    assert lost  # one lost frame among ten thousand is seen


def test_twenty_targets_ask_for_each_map_once(page: Page, server: Server, tmp_path: Path) -> None:
    """More maps are needed for one frame than the page usually keeps."""
    session = server.service.sessions.find(page.evaluate("sessionStorage.getItem('langtrack')"))
    assert session is not None
    clip = counting_clip(tmp_path / "tiny.mp4", frames=2)
    session.adopt(long_workspace(session.new_folder(), clip, 100, lost=50, targets=20))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.reload()
    finished(page)
    at(page, 0)
    keys(page, "End")
    at(page, 99)
    keys(page, "ArrowLeft", "ArrowLeft", "l", "x")
    at(page, 97)
    page.wait_for_timeout(500)
    assert len([url for url in requests if "maps-" in url]) == 2 * 20  # two chunks of each
    assert len(requests) < 200
