"""Make the README's picture of the app: serve it, run a shipped example, photograph the result.

    python scripts/screenshot.py [--example NAME] [--out assets/app.png] [--dark]

Needs Debian's ``chromium`` and the packages of requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
EXAMPLES = ROOT / "assets" / "examples"
MOST_BYTES = 500_000


def main() -> int:
    flags = _flags()
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
            picture = _photograph(url, flags)
        finally:
            backend.sessions.close()
            page.close()
    flags.out.write_bytes(_small_png(picture))
    print(f"{flags.out}: {flags.out.stat().st_size / 1e3:.0f} kB")
    return 0


def _photograph(url: str, flags: argparse.Namespace) -> bytes:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        sys.exit("chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": flags.width, "height": flags.height},
            color_scheme="dark" if flags.dark else "light",
            reduced_motion="reduce",  # the player then waits at the first frame
        )
        page.goto(url)
        page.locator(f'.lt-card[data-name="{flags.example}"]').click()
        page.wait_for_selector('.lt-player[data-state="done"][data-frame]', timeout=600_000)
        last = int(page.locator(".lt-range").get_attribute("max") or 0)
        page.locator(".lt-range").fill(str(round(last * flags.at)))
        page.wait_for_timeout(1500)
        page.mouse.move(1, 1)
        picture = page.screenshot()
        browser.close()
    return picture


def _small_png(picture: bytes) -> bytes:
    """The picture as PNG below `MOST_BYTES`: with 256 colours where it has to be."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)  # the one that keeps rare colours
    for variant in (image, image.quantize(palette=palette), palette):
        packed = io.BytesIO()
        variant.save(packed, "PNG", optimize=True)
        if packed.tell() < MOST_BYTES:
            return packed.getvalue()
    sys.exit(f"the picture stays above {MOST_BYTES} bytes; choose a smaller --width and --height")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--example", default="boats-left-right", help="name of a clip in assets/examples")
    parser.add_argument("--weights", default="lite")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "app.png")
    parser.add_argument("--at", type=float, default=0.6, help="which moment of the run, 0 to 1")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=960)
    parser.add_argument("--dark", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
