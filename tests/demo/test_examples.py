"""The examples of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_helpers import counting_clip

from demo.examples import load_examples
from langtrack_core.types import LangTrackError


def test_examples_are_a_folder_listing(tmp_path: Path) -> None:
    assert load_examples(tmp_path) == {}
    counting_clip(tmp_path / "one.mp4")
    assert load_examples(tmp_path) == {}
    (tmp_path / "one.json").write_text('{"expression": "the red car"}')
    (example,) = load_examples(tmp_path).values()
    assert example.expression == "the red car" and example.poster.startswith(b"\xff\xd8")
    (tmp_path / "one.json").write_text("[]")
    with pytest.raises(LangTrackError, match=r"one\.json"):
        load_examples(tmp_path)
