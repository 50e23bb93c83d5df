"""The examples of a folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from app_helpers import counting_clip
from synthetic import moving_object, write_mp4

from demo.examples import POSTER_WIDTH, RENDERED, cards, load_examples
from langtrack_core.types import LangTrackError


def test_the_poster_of_a_large_clip_is_shrunk(tmp_path: Path) -> None:
    write_mp4(moving_object(4, (360, 640)), tmp_path / "clip.mp4")
    (tmp_path / "clip.json").write_text('{"expression": "the red square"}')
    (example,) = load_examples(tmp_path).values()
    poster = cv2.imdecode(np.frombuffer(example.poster, np.uint8), cv2.IMREAD_COLOR)
    assert poster.shape == (180, POSTER_WIDTH, 3)


def test_examples_are_a_folder_listing(tmp_path: Path) -> None:
    assert load_examples(tmp_path) == {}
    counting_clip(tmp_path / "one.mp4")
    assert load_examples(tmp_path) == {}
    (tmp_path / "one.json").write_text('{"expression": "the red car"}')
    (example,) = load_examples(tmp_path).values()
    assert example.expression == "the red car" and example.poster.startswith(b"\xff\xd8")
    assert RENDERED not in cards({"one": example})
    (tmp_path / "one.json").write_text('{"expression": "the red car", "rendered": true}')
    assert RENDERED in cards(load_examples(tmp_path))
    (tmp_path / "one.json").write_text("[]")
    with pytest.raises(LangTrackError, match=r"one\.json"):
        load_examples(tmp_path)
