"""A visit to the page with its tools: a tracker that is wrong where tests want it, a hand on the keys."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from app_helpers import Server
from fake_branches import fake_tracker
from playwright.sync_api import Browser, Page, expect

from langtrack_core.pipeline import LangTracker
from langtrack_core.types import Estimate, Frame

ASSETS = Path(__file__).parents[2] / "assets" / "examples"
FRAMES = 48
GONE, ASTRAY = range(18, 24), range(30, 40)
"""Frames on which nobody sees the car, and on which the tracker is somewhere else."""
DONE = '.lt-player[data-state="done"][data-frame]'


def scripted_tracker(boxes_xywh: np.ndarray) -> LangTracker:
    """The truth of a shipped example, but for `GONE` and `ASTRAY`; "left" in a sentence shifts its mask."""

    def square(frame: Frame, shift: int) -> np.ndarray:
        x, y, width, height = boxes_xywh[frame.index].astype(int)
        mask = np.zeros(frame.size_hw, np.float32)
        mask[y : y + height, max(0, x + shift) : max(1, x + shift + width)] = 0.9
        return mask

    def language(frame: Frame, text: str, *, every_region: bool = False) -> Estimate:
        time.sleep(0.1 * text.count("slow"))
        if frame.index in GONE:
            return Estimate.absent(frame.size_hw, 0.1)
        mask = square(frame, -120 if "left" in text or "red" not in text else 0)
        return Estimate.from_mask(np.maximum(mask, square(frame, 300)) if every_region else mask, 0.7)

    def drawn(frame: Frame, shift: int = 0) -> Estimate:
        return Estimate.from_mask(square(frame, shift), 0.05 if frame.index in GONE else 0.9)

    def tracker(frame: Frame) -> Estimate:
        return drawn(frame, 150 if frame.index in ASTRAY else 0)

    words = ["the", "red", "car", "on", "left", "slow"]
    return fake_tracker(language, tracker, on_user_box=drawn, vocabulary=words)


def visit(browser: Browser, server: Server, broken: list[str]) -> Page:
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(server.url)
    expect(page.locator('.lt-player[data-state="empty"]')).to_be_visible()
    return page


def finished(page: Page) -> None:
    expect(page.locator(DONE)).to_be_visible()


def at(page: Page, frame: int) -> None:
    expect(page.locator(f'.lt-player[data-frame="{frame}"]')).to_be_visible()


def keys(page: Page, *names: str) -> None:
    page.locator(".lt-player").focus()
    for name in names:
        page.keyboard.press(name)


def go(page: Page, frame: int) -> None:
    page.locator(".lt-range").fill(str(frame))
    at(page, frame)
