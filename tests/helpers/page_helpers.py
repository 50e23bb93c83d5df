"""The page's handlers without Gradio: what it hands to them, and a run from the form to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from app_helpers import SETTINGS, PacedTracker, paced_tracker

from demo.page_events import PageEvents, View
from demo.service import Service
from demo.settings import Settings


def page(name: str = "page") -> Any:
    """What Gradio hands to a handler of one open page."""
    return SimpleNamespace(session_hash=name)


@contextmanager
def opened_events(root: Path, settings: Settings = SETTINGS, **changes: Any) -> Iterator[PageEvents]:
    """One job computes at a time; a page that has gone is gone at once."""
    settings = dataclasses.replace(settings, **{"concurrency": 1, "reload_grace_s": 0.0, **changes})
    service = Service(paced_tracker(), settings, root)
    yield PageEvents(service, {})
    service.close()


def tracker_of(events: PageEvents) -> PacedTracker:
    assert isinstance(events.service.tracker, PacedTracker)
    return events.service.tracker


def filled_form(
    clip: str, text: str = "the red car", box: str = "", start: float = 0, every: float = 1
) -> tuple:
    return clip, text, box, start, every


def follow(events: PageEvents, clip: str, text: str = "the red car", who: Any = None) -> list[View]:
    who = who or page()
    started = events.begin(*filled_form(clip, text), who)
    assert started.player["state"] == "running" and not started.run_button["interactive"]
    return list(events.watch(who))
