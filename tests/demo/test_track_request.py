"""Requests are checked, boxes are read as people type them, and paths of the server are not told."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from app_helpers import SETTINGS, paced_tracker

from demo.service import Service
from demo.track_request import check_request, join_requests, open_video, parse_box, without_paths
from langtrack_core.types import LangTrackError


def test_a_request_is_what_to_follow_through_which_video(service: Service, clip: str) -> None:
    request = service.check_request(clip, " the red zorp ", "70 50 100 80", 5, None)
    (query,) = request.queries
    assert query.text == "the red zorp" and query.box_xyxy is not None and request.start == 5
    assert request.every == 1 and request.unknown_words == ("zorp",) and request.clip_name == "grey"
    assert request.title == "“the red zorp”" and request.frames_expected == 19
    both = join_requests([request, service.check_request(clip, "the blue car", "", 5)])
    assert [query.text for query in both.queries] == ["the red zorp", "the blue car"]
    assert both.unknown_words == ("zorp", "blue")


def test_a_request_needs_a_video() -> None:
    with pytest.raises(LangTrackError, match="Choose a video"):
        check_request(paced_tracker(), SETTINGS, None, "the car", "", 0, 1)


def test_a_folder_of_frames_is_taken_from_this_server_and_from_no_caller(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((90, 160, 3), np.uint8))
    assert open_video(tmp_path, SETTINGS).width == 160
    with pytest.raises(LangTrackError, match="not on the server"):
        open_video(str(tmp_path), SETTINGS)


def test_boxes_are_read_as_people_type_them() -> None:
    for text in ("1,2,3,4", " 1, 2, 3, 4 ", "1 2 3 4", "[1;2;3;4]", "(1.0,2,3,4)"):
        assert np.array_equal(parse_box(text), [1, 2, 3, 4])  # type: ignore[arg-type]
    assert parse_box(None) is None and parse_box("  ") is None


def test_names_and_paths_are_harmless() -> None:
    assert without_paths("no /a/b/c.mp4 here") == "no c.mp4 here"
    windows = r"C:\Users\First Last\Temp\1.png is 4x4, but D:\2.png is 3x3"
    assert without_paths(windows) == "1.png is 4x4, but 2.png is 3x3"
    assert without_paths("/srv/my own clips/day 1/c d.mp4 ends early") == "c d.mp4 ends early"
    assert (
        without_paths("'/srv/a b/c.mp4' and 1/2, or /d/e.mp4 and/or x")
        == "'c.mp4' and 1/2, or e.mp4 and/or x"
    )
    assert without_paths("1/2 and/or 25 km/h") == "1/2 and/or 25 km/h"
