"""Make the README's pictures of the page: serve it, follow shipped examples, take screenshots.

    python scripts/screenshot.py [--out assets] [--only NAME …]

Needs Debian's ``chromium`` and the packages of requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
EXAMPLES = ROOT / "assets" / "examples"
MAX_BYTES = 500_000
"""Largest size of a picture file, so that the README loads quickly."""


@dataclass(frozen=True)
class Screenshot:
    """One picture of the page.

    Attributes:
        name: stem of the file's name.
        example: name of a clip in assets/examples; None for the page as it opens.
        width, height: size of the browser's window, in pixels.
        at: moment of the run that is shown, 0 to 1.
        dark: whether the page is in its dark colours.
        tab: name of the tool that is open below the player.
        keys: keys that are pressed before the picture is taken.
    """

    name: str
    example: str | None
    width: int = 1400
    height: int = 960
    at: float = 0.6
    dark: bool = False
    tab: str | None = None
    keys: tuple[str, ...] = ()


SCREENSHOTS = (
    Screenshot("app", "boats-left-right", height=1100),
    Screenshot("app-timeline", "dog-comes-back", height=1200, at=0.4, dark=True, tab="whatif", keys=("h",)),
    Screenshot("app-phone", "crossing-cars", width=360, height=900, at=0.3),
)


def main() -> int:
    flags = _flags()
    shots = [shot for shot in SCREENSHOTS if not flags.only or shot.name in flags.only]
    with tempfile.TemporaryDirectory(prefix="langtrack-") as root:
        os.environ["GRADIO_TEMP_DIR"] = root
        from demo.layout import build_app, launch_options
        from demo.settings import Settings
        from langtrack_core import LangTracker

        tracker = LangTracker.from_pretrained(flags.weights)
        page, backend = build_app(tracker, Settings(), Path(root), EXAMPLES)
        options = launch_options(Settings(), EXAMPLES)
        _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **options)
        try:
            pictures = _screenshots(url, shots)
        finally:
            backend.sessions.close()
            page.close()
    for shot, picture in zip(shots, pictures, strict=True):
        path = flags.out / f"{shot.name}.png"
        path.write_bytes(_small_png(picture))
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
    return 0


def _screenshots(url: str, shots: Sequence[Screenshot]) -> list[bytes]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        sys.exit("chromium is missing: apt-get install chromium")
    pictures = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for shot in shots:
            page = browser.new_page(
                viewport={"width": shot.width, "height": shot.height},
                color_scheme="dark" if shot.dark else "light",
                reduced_motion="reduce",  # the player then waits at the first frame
            )
            page.goto(url)
            page.wait_for_selector(".lt-player")
            if shot.example is not None:
                _follow(page, shot)
            page.wait_for_timeout(1500)
            page.mouse.move(1, 1)
            pictures.append(page.screenshot())
            page.close()
        browser.close()
    return pictures


def _follow(page: Page, shot: Screenshot) -> None:
    page.locator(f'.lt-card[data-name="{shot.example}"]').click()
    page.wait_for_selector('.lt-player[data-state="done"][data-frame]', timeout=600_000)
    last = int(page.locator(".lt-range").get_attribute("max") or 0)
    page.locator(".lt-range").fill(str(round(last * shot.at)))
    if shot.tab is not None:
        page.locator(f"#lt-tab-{shot.tab}").click()
    page.locator(".lt-player").focus()
    for key in shot.keys:
        page.keyboard.press(key)
    part = "#top" if shot.width > 640 else ".lt-player"  # on a phone the player is below the form
    page.locator(part).evaluate("part => part.scrollIntoView()")


def _small_png(picture: bytes) -> bytes:
    """The picture as a PNG below `MAX_BYTES`, with 256 colours where more do not fit."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)  # the one that keeps rare colours
    for variant in (image, image.quantize(palette=palette), palette):
        packed = io.BytesIO()
        variant.save(packed, "PNG", optimize=True)
        if packed.tell() < MAX_BYTES:
            return packed.getvalue()
    sys.exit(f"the picture stays above {MAX_BYTES} bytes; give it a smaller width and height")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="lite")
    parser.add_argument("--out", type=Path, default=ROOT / "assets", help="folder for the pictures")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=", ".join(s.name for s in SCREENSHOTS))
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
