"""What the tests of the app share: clips that tell their frame number, a tracker that waits, and a server."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from fake_branches import oracle_tracker
from playwright.sync_api import Browser, Page, expect, sync_playwright
from synthetic import Clip, write_mp4

from demo.layout import build_app, launch_options
from demo.service import Service
from demo.settings import Settings
from langtrack_core.pipeline import LangTracker
from langtrack_core.types import Frame, Query, Step
from langtrack_core.video import VideoWriter

FLAGS = ("no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update")
FLAGS += ("disable-sync", "no-first-run")
FRAMES, FPS, HEIGHT, WIDTH = 24, 12, 90, 160
ZORP_REPORT = {
    "stage": "done",
    "frames": FRAMES,
    "found": FRAMES,
    "unknown_words": ["zorp"],
    "seconds": 1.917,
    "warning": None,
}
"""What the API reports of a whole run on `counting_clip` with one word that nobody knows."""
VERY_SLOW = "the " + 12 * "slow " + "car"
"""Followed for half a minute by a `paced_tracker`: what stops it has the time to come."""
SETTINGS = Settings(concurrency=2, preview_hz=20, player_side=160, max_seconds=60, reload_grace_s=1.0)


def counting_clip(path: Path, *, falling: bool = False, frames: int = FRAMES) -> Path:
    """Frame k is a flat grey, `grey_of` (k); a falling clip gets darker instead of lighter."""
    pictures = [
        Frame(k, k / FPS, np.full((HEIGHT, WIDTH, 3), grey_of(k, falling=falling), np.uint8))
        for k in range(frames)
    ]
    nothing = np.zeros((frames, HEIGHT, WIDTH), bool)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_mp4(Clip(pictures, nothing, np.full((frames, 4), np.nan), Fraction(FPS)), path)


def cut_clip(path: Path) -> Path:
    """A clip of `FRAMES` frames of noise whose file ends in the middle, as after a broken copy."""
    noise = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, FPS) as writer:
        for _ in range(FRAMES):
            writer.write(noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def grey_of(k: int, *, falling: bool = False) -> int:
    return 235 - 8 * k if falling else 40 + 8 * k


class PacedTracker(LangTracker):
    """Each "slow" in an expression is a tenth of a second a frame; notes what was started and closed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.started: list[Query] = []
        self.closed: list[Query] = []
        self.frames_done = 0
        self._lock = threading.Lock()
        self._gate = threading.Event()
        self._gate.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """For the length of the block no run goes on to its last frame."""
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    @property
    def computing(self) -> int:
        """Targets that are being followed now."""
        return len(self.started) - len(self.closed)

    def track_all(
        self, frames: Iterable[Frame], queries: Sequence[Query], *, every: int = 1
    ) -> Generator[tuple[Step, ...]]:
        with self._lock:
            self.started.extend(queries)
        slow = sum((query.text or "").count("slow") for query in queries)
        try:
            with closing(super().track_all(frames, queries, every=every)) as rows:
                for steps in rows:
                    time.sleep(0.1 * slow)
                    if steps[0].frame.index == FRAMES - 1:
                        self._gate.wait()
                    self.frames_done += 1
                    yield steps
        finally:
            with self._lock:
                self.closed.extend(queries)


def paced_tracker() -> PacedTracker:
    """Knows a square that moves right."""
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    for k in range(FRAMES):
        masks[k, 50:80, 60 + 2 * k : 90 + 2 * k] = True
    return oracle_tracker(masks, vocabulary=("the", "red", "car", "slow"), cls=PacedTracker)


@dataclass
class Server:
    url: str
    root: Path
    tracker: Any
    service: Service

    def sessions(self) -> list[Path]:
        return sorted(self.root.glob("session-*"))


@contextmanager
def serving(
    root: Path,
    tracker: LangTracker | None = None,
    settings: Settings = SETTINGS,
    examples: Path | None = None,
    root_path: str | None = None,
    clips_folder: Path | None = None,
) -> Iterator[Server]:
    """The page on a free port of this machine, with one example; a `paced_tracker` unless told otherwise."""
    if examples is None:
        examples = root.parent / "examples"
        counting_clip(examples / "grey.mp4")
        (examples / "grey.json").write_text(json.dumps({"expression": "the red car"}))
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    tracker = tracker or paced_tracker()
    page, service = build_app(tracker, settings, root, examples, clips_folder)
    try:
        _, url, _ = page.launch(
            server_name="127.0.0.1",
            prevent_thread_lock=True,
            quiet=True,
            root_path=root_path,
            **launch_options(settings, examples),
        )
        yield Server(url, root, tracker, service)
    finally:
        service.close()
        page.close()
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "install Debian's chromium: apt-get install chromium"
    expect.set_options(timeout=60_000)  # milliseconds, for a busy machine
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=[f"--{flag}" for flag in FLAGS])
        yield running
        running.close()


GREYS = """() => [...document.querySelectorAll('.lt-panel canvas')].map((canvas) =>
    canvas.getContext('2d').getImageData(canvas.width / 8, canvas.height / 8, 1, 1).data[0])"""
"""The grey of each panel of the player, beside what is painted over the clip."""


def expect_greys(page: Page, grey: int) -> None:
    """All four panels come to show a picture of this grey."""

    def match() -> bool:
        greys = page.evaluate(GREYS)
        return len(greys) == 4 and all(abs(value - grey) <= 3 for value in greys)

    assert eventually(match), f"the panels show {page.evaluate(GREYS)}, not {grey}"


def eventually(true: Callable[[], bool], within_s: float = 60.0) -> bool:
    """Wait for something that happens elsewhere; False when it did not. The time is for a busy machine."""
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
