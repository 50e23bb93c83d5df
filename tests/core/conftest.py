"""What the tests of the command line share: a made-up clip, and a tracker that knows the truth of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_branches import oracle_tracker
from synthetic import Clip, moving_object, write_mp4

from langtrack_core.pipeline import LangTracker
from langtrack_core.run import command


@pytest.fixture(scope="module")
def clip() -> Clip:
    return moving_object(10, (64, 96), absent=(0, 7))


@pytest.fixture(scope="module")
def video(clip: Clip, tmp_path_factory) -> Path:
    return write_mp4(clip, tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def oracle(clip: Clip, monkeypatch) -> list[tuple[str, str]]:
    """The tracker that knows the truth in place of the networks; the list says how often one was loaded."""
    loaded: list[tuple[str, str]] = []

    def load(weights: str, device: str, **options: object) -> LangTracker:
        loaded.append((weights, device))
        return oracle_tracker(clip.masks)

    monkeypatch.setattr(command, "load_tracker", load)
    return loaded
