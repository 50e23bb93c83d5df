"""The page in headless Chromium: what a visitor sees and does, end to end."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from app_helpers import (
    FRAMES,
    GREYS,
    VERY_SLOW,
    Server,
    counting_clip,
    eventually,
    expect_greys,
    grey_of,
    serving,
)
from formats import coded
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from demo.page_data import PAGE, page_data, program_path
from langtrack_core import LangTracker, probe, read_frames
from langtrack_core.video import VideoWriter

pytestmark = pytest.mark.browser
DONE = '.lt-player[data-state="done"][data-frame]'
TEXT = "#text textarea, #text input"
BEGUN = re.compile(r"\b[1-9]\d* of")
"""What the page says of a run that has followed a frame."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("browser") / "root") as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Opens a page as a visitor of its own; at the end no page may have asked the network for anything."""
    contexts, outside, broken = [], [], []

    def visit(width: int = 1300, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: outside.append(request.url) if is_outside(request.url) else None)
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(server.url)
        expect(page.locator('.lt-player[data-state="empty"]')).to_be_visible()
        expect(page.locator("#about")).to_have_text("Up to 500 MB, 60 seconds, 3840 pixels a side.")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert outside == [] and broken == []


def is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counting_clip(tmp_path_factory.mktemp("clips") / "grey.mp4")


def upload(page: Page, clip: Path) -> None:
    page.locator("#video input[type=file]").set_input_files(clip)
    expect(page.locator("#about")).to_contain_text("frames")


def follow(page: Page, clip: Path, text: str) -> None:
    upload(page, clip)
    page.locator(TEXT).fill(text)
    page.locator("#run").click()


def finished(page: Page) -> None:
    expect(page.locator(DONE)).to_be_visible()
    if page.locator(".lt-player").get_attribute("data-playing") == "true":
        page.locator('[data-do="play"]').click()


def at_frame(page: Page, k: int, *, falling: bool = False) -> None:
    """Frame k is shown, and every one of the four panels shows its picture."""
    expect(page.locator(f'.lt-player[data-frame="{k}"]')).to_be_visible()
    expect_greys(page, grey_of(k, falling=falling))


def near(grey: int) -> set[int]:
    return set(range(grey - 3, grey + 4))


def test_a_visit_from_upload_to_download(
    open_page: Callable[..., Page], server: Server, clip: Path, tmp_path: Path
) -> None:
    page = open_page()
    with server.tracker.held():
        follow(page, clip, "the slow car <img src=x onerror='window.hacked=1'>")
        expect(page.locator(".lt-stage")).to_contain_text(f"of {FRAMES}")
        expect(page.locator(".lt-figures")).to_contain_text("left")
        # The live picture reaches all four panels.
        assert eventually(lambda: len(set(page.evaluate(GREYS))) == 1), page.evaluate(GREYS)
    finished(page)
    expect(page.locator(".lt-title")).to_have_text("“the slow car <img src=x onerror='window.hacked=1'>”")
    expect(page.locator("#notice")).to_contain_text("Found in 24 of 24 frames")
    expect(page.locator("#notice")).to_contain_text("onerror='window.hacked=1'>")
    assert page.evaluate("window.hacked") is None and page.locator("img[src=x]").count() == 0

    page.locator("body").click(position={"x": 3, "y": 3})
    for key, frame in [
        ("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("Shift+ArrowRight", 12), ("ArrowLeft", 11),
        ("End", FRAMES - 1), ("ArrowRight", FRAMES - 1), ("Shift+ArrowLeft", FRAMES - 11), ("Home", 0),
    ]:  # fmt: skip
        page.keyboard.press(key)
        at_frame(page, frame)
    for _ in range(7):  # faster than the seeks can be
        page.keyboard.press("ArrowRight")
    at_frame(page, 7)
    page.locator(".lt-range").fill("17")
    at_frame(page, 17)
    page.keyboard.press(" ")
    expect(page.locator('.lt-player[data-playing="true"]')).to_be_visible()
    page.wait_for_function("document.querySelector('.lt-player').dataset.frame !== '17'")
    page.keyboard.press(" ")
    expect(page.locator('.lt-player[data-playing="false"]')).to_be_visible()
    shown = page.locator(".lt-player")  # a frame more may come after the pause
    assert eventually(
        lambda: set(page.evaluate(GREYS)) <= near(grey_of(int(shown.get_attribute("data-frame") or -1)))
    )
    page.keyboard.press("z")
    expect(page.locator(".lt-panel:visible")).to_have_count(1)
    page.keyboard.press("z")
    expect(page.locator(".lt-panel:visible")).to_have_count(4)

    with page.expect_download() as caught:
        page.locator(".lt-bundle").click()
    caught.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as bundle:
        assert bundle.testzip() is None and bundle.namelist()[0].startswith("grey-1-the-slow-car")
    with page.expect_download() as caught:
        page.locator(".lt-list a", has_text="boxes.csv").click()
    assert len(Path(caught.value.path()).read_text().splitlines()) == FRAMES + 1


def test_cancel_stops_the_computing_and_shows_what_is_done(
    open_page: Callable[..., Page], server: Server, clip: Path
) -> None:
    page = open_page()
    ended = len(server.tracker.closed)
    follow(page, clip, VERY_SLOW)
    expect(page.locator(".lt-stage")).to_contain_text(BEGUN)
    page.locator(".lt-cancel").click()
    expect(page.locator("#notice")).to_contain_text("Cancelled after")
    assert len(server.tracker.closed) == ended + 1
    finished(page)
    assert int(page.locator(".lt-range").get_attribute("max") or 0) < FRAMES - 1
    page.locator(TEXT).fill("the red car")
    page.locator("#run").click()
    expect(page.locator("#notice")).to_contain_text("Found in 24 of 24")


def test_the_pictures_of_the_run_before_are_paler_until_new_ones_come(
    open_page: Callable[..., Page], clip: Path
) -> None:
    page = open_page()
    follow(page, clip, "the red car")
    finished(page)
    expect(page.locator(".lt-player[data-stale]")).to_have_count(0)
    page.locator(TEXT).fill(VERY_SLOW)
    page.locator("#run").click()
    expect(page.locator(".lt-player[data-stale] canvas").first).to_have_css("opacity", "0.25")
    expect(page.locator(".lt-player:not([data-stale]) canvas").first).to_have_css("opacity", "1")
    page.locator(".lt-cancel").click()
    finished(page)


def test_wrong_input_is_told_beside_it(open_page: Callable[..., Page], clip: Path, tmp_path: Path) -> None:
    page = open_page()
    page.locator("#run").click()
    expect(page.locator("#notice [role=alert]")).to_contain_text("Choose a video first")
    fake = tmp_path / "holiday.mp4"
    fake.write_text("not a video")
    page.locator("#video input[type=file]").set_input_files(fake)
    expect(page.locator("#about [role=alert]")).to_contain_text("holiday.mp4")
    page.locator("#video button[aria-label=Clear]").last.click()
    expect(page.locator("#about [role=alert]")).to_have_count(0)
    coded("mpeg4")(tmp_path / "no browser plays this.avi")
    page.locator("#video input[type=file]").set_input_files(tmp_path / "no browser plays this.avi")
    expect(page.locator(".lt-before-title")).to_contain_text("Frame 0: say what to follow")
    expect(page.locator("#video video[data-unplayable]")).to_have_count(1)
    expect(page.get_by_text("not playable")).to_have_count(0)
    page.locator("#video button[aria-label=Clear]").last.click()
    expect(page.locator("#about")).to_contain_text("Up to 500 MB")
    upload(page, clip)
    page.locator("#run").click()
    expect(page.locator("#notice [role=alert]")).to_contain_text("Say what to follow")
    assert page.locator('.lt-player[data-state="empty"]').is_visible()
    assert "Traceback" not in page.content()


def test_an_animated_picture_is_followed(open_page: Callable[..., Page], clip: Path, tmp_path: Path) -> None:
    page = open_page()
    first, *rest = (Image.fromarray(frame.rgb) for frame in islice(read_frames(clip), 5))
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, duration=40)
    page.locator("#ask > input[type=file]").first.set_input_files(tmp_path / "a.webp")
    expect(page.locator("#about")).to_contain_text("· 25 fps · 5 frames")
    page.locator(TEXT).fill("the red car")
    page.locator("#run").click()
    expect(page.locator("#notice")).to_contain_text("Found in")


def test_two_visitors_at_once_each_get_their_own(
    open_page: Callable[..., Page], clip: Path, tmp_path: Path
) -> None:
    other = counting_clip(tmp_path / "grey.mp4", falling=True)  # the same name on purpose
    first, second = open_page(), open_page()
    follow(first, clip, "the slow car")
    follow(second, other, "the slow red car")
    for page, text, falling in ((first, "slow car", False), (second, "slow red car", True)):
        finished(page)
        expect(page.locator(".lt-title")).to_contain_text(text)
        page.locator("body").click(position={"x": 3, "y": 3})
        page.keyboard.press("Home")
        at_frame(page, 0, falling=falling)
    assert first.locator(".lt-bundle").get_attribute("href") != second.locator(".lt-bundle").get_attribute(
        "href"
    )


def test_many_clicks_start_one_run(open_page: Callable[..., Page], server: Server, clip: Path) -> None:
    page = open_page()
    runs = len(server.tracker.started)
    upload(page, clip)
    page.locator(TEXT).fill("the slow slow car")
    page.evaluate("() => { for (let k = 0; k < 20; k++) document.querySelector('#run').click(); }")
    finished(page)
    page.wait_for_timeout(300)
    assert len(server.tracker.started) == runs + 1


def test_closing_the_tab_stops_the_run_and_removes_its_files(
    open_page: Callable[..., Page], server: Server, tmp_path: Path
) -> None:
    clip = counting_clip(tmp_path / "mine.mp4", falling=True)
    assert eventually(lambda: server.sessions() == [])  # of the visitors before
    page = open_page()
    ended, frames = len(server.tracker.closed), server.tracker.frames_done
    follow(page, clip, VERY_SLOW)
    expect(page.locator(".lt-stage")).to_contain_text(BEGUN)
    assert len(server.sessions()) == 1
    page.close()
    assert eventually(lambda: len(server.tracker.closed) == ended + 1)
    assert server.tracker.frames_done < frames + FRAMES
    assert eventually(lambda: server.sessions() == [])
    assert list(server.root.rglob("mine*.mp4")) == []


def test_an_example_is_one_click_on_a_phone(open_page: Callable[..., Page]) -> None:
    page = open_page(360, 740, has_touch=True, color_scheme="dark", reduced_motion="reduce")
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    page.locator(".lt-card", has_text="the red car").tap()
    finished(page)
    expect(page.locator(".lt-title")).to_have_text("“the red car”")
    page.locator('[data-do="last"]').tap()
    at_frame(page, FRAMES - 1)
    assert page.evaluate(fits)
    page.set_viewport_size({"width": 1024, "height": 500})  # where the example lies below the views
    page.locator(".lt-card").evaluate("card => card.scrollIntoView({ block: 'start' })")
    assert page.locator(".lt-player").bounding_box()["y"] < 0  # type: ignore[index]
    page.locator(".lt-card").tap()
    expect(page.locator(".lt-player[data-frame='0']")).to_be_visible()  # another run
    assert page.locator(".lt-player").bounding_box()["y"] >= -1  # type: ignore[index]


def test_a_browser_that_lets_no_page_keep_anything_shows_the_run(browser: Browser, server: Server) -> None:
    """As with all cookies blocked: to ask for the storage is an error there."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.add_init_script("""
        const get = () => { throw new DOMException("denied", "SecurityError") };
        for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { get });
    """)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(server.url)
    page.locator(".lt-card").click()
    finished(page)
    page.locator('[data-verdict="both"]').click()
    expect(page.locator(".lt-saved")).to_have_text("Saved")
    page.close()
    assert errors == []


def test_every_module_of_the_page_stands_alone(browser: Browser, server: Server) -> None:
    """Each is valid, and finds every name that it imports; eslint looks for names that nobody declares."""
    page = browser.new_page()
    page.goto(server.url + "theme.css")  # any address of the server: modules come from there alone
    modules = [f"{program_path()}/{path.name}" for path in sorted(PAGE.glob("*.js"))]
    failed = page.evaluate(
        """async (modules) => {
            const failed = [];
            for (const address of modules)
                await import(address).then(
                    (module) => Object.keys(module).length || failed.push(address + " exports nothing"),
                    (error) => failed.push(address + ": " + error));
            return failed }""",
        modules,
    )
    page.close()
    assert len(modules) > 10 and failed == []


def test_a_component_that_is_mounted_again_has_a_state_of_its_own(open_page: Callable[..., Page]) -> None:
    page = open_page()
    titles = page.evaluate(
        """async (page) => {
            const { mount } = await import(page.program.url);
            const again = ["first run", "second run"].map((title) => {
                const element = document.querySelector("#player").cloneNode(true);
                element.querySelector(".lt-settings").replaceChildren();
                document.body.append(element);
                const value = { state: "running", title, stage: "opening" };
                mount({ element, props: { page, value }, trigger() {}, upload() {}, watch() {} });
                return element });
            return [document.querySelector("#player"), ...again].map((element) => [
                element.querySelector(".lt-title").textContent,
                element.querySelector(".lt-player").dataset.state,
                element.querySelector(".lt-setting") !== null]) }""",
        page_data(),
    )
    assert titles == [
        ["What you get: four views of one run", "empty", True],
        ["first run", "running", True],
        ["second run", "running", True],
    ]


def test_behind_a_proxy_the_modules_come_from_its_path(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "root", root_path="/tools/langtrack") as server:
        page = browser.new_page()
        outside: list[str] = []

        def forward(route: Route) -> None:
            url = route.request.url
            inside = url.startswith(f"{server.url}tools/langtrack/") and "/heartbeat" not in url
            if not inside:
                outside.extend([url] * ("/heartbeat" not in url))
                return route.abort()
            return route.fulfill(response=route.fetch(url=url.replace("/tools/langtrack/", "/", 1)))

        page.route("**/*", forward)
        page.goto(f"{server.url}tools/langtrack/")
        expect(page.locator('.lt-player[data-state="empty"]')).to_be_visible()
        page.close()
        assert outside == []


@pytest.mark.slow
def test_the_shipped_weights_follow_a_shipped_example(browser: Browser, tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "assets" / "examples" / "crossing-cars.mp4"
    clip = tmp_path / "cars.mp4"
    with VideoWriter(clip, probe(example).fps) as writer:
        for frame in islice(read_frames(example), 20):
            writer.write(frame.rgb, frame.time_s)
    with serving(tmp_path / "root", LangTracker.from_pretrained("lite")) as server:
        page = browser.new_page()
        page.goto(server.url)
        page.locator("#more button").click()
        upload(page, clip)
        page.locator(TEXT).fill(json.loads(example.with_suffix(".json").read_text())["expression"])
        expect(page.locator(".lt-before-title")).to_contain_text("on frame 0")  # other words empty the box
        page.locator("#box textarea, #box input").fill("0,203,178,277")  # the truth of frame 0
        page.locator("#run").click()
        expect(page.locator(DONE)).to_be_visible(timeout=120_000)
        expect(page.locator("#notice")).to_contain_text(re.compile(r"Found in (1[5-9]|20) of 20 frames"))
        with page.expect_download() as caught:
            page.locator(".lt-list a", has_text="manifest.json").click()
        manifest = json.loads(Path(caught.value.path()).read_text())
        assert manifest["complete"] and manifest["weights"] and manifest["counts"]["frames"] == 20
        page.close()
