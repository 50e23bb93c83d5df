"""Where the page is served: with a GPU on loan or without, as an MCP server or not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from app_helpers import PacedTracker, counting_clip, paced_tracker
from fake_branches import oracle_tracker

import demo.hosting
from demo.hosting import (
    WORKER_ERROR,
    check_mcp,
    device,
    frames_per_loan,
    on_gpu,
    on_zero_gpu,
    seconds_for,
    with_file_format,
)
from demo.late_tracker import LateTracker
from demo.track_job import row_source
from demo.track_request import TrackRequest
from langtrack_core.pipeline import LangTracker
from langtrack_core.types import LangTrackError, Query
from langtrack_core.video import probe

ZERO_GPU = {"SPACE_ID": "a/b", "SPACES_ZERO_GPU": "true"}


@pytest.fixture
def loans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A ZeroGPU Space whose longest loan is enough for ten frames; the seconds of each loan."""
    loans: list[int] = []

    class Spaces:
        @staticmethod
        def GPU(duration: Callable[..., int]) -> Any:
            def borrowed(function: Any) -> Any:
                return lambda *values: (loans.append(duration(*values)), function(*values))[1]

            return borrowed

    monkeypatch.setitem(sys.modules, "spaces", Spaces)
    for name, value in ZERO_GPU.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(demo.hosting, "MAX_LOAN_S", demo.hosting.START_S + 10)
    monkeypatch.setattr(demo.hosting, "FRAME_S", 1.0)
    return loans


def test_a_gpu_is_borrowed_on_zero_gpu_alone(loans: list[int]) -> None:
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    def frames(to: int) -> int:
        return 10 * to

    assert on_gpu(count, frames, {}) is count
    assert on_gpu(count, frames, {"SPACE_ID": "a/b"}) is count  # a Space with a CPU
    assert on_zero_gpu(ZERO_GPU) and not on_zero_gpu({"SPACES_ZERO_GPU": "true"})
    assert device(ZERO_GPU) == "cuda" and device({}) == "cpu"
    assert list(on_gpu(count, frames)(3)) == [0, 1, 2] and loans == [seconds_for(30)]


@pytest.mark.parametrize("generates", [False, True])
def test_errors_of_a_loan_are_told_as_without_one(
    generates: bool, loans: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package hands on Gradio's errors alone; of any other one it tells the class, as its own error."""
    refusals = ["You have exceeded your quota."]

    def gpu(duration: Callable[..., int]) -> Any:
        def borrowed(function: Any) -> Any:
            def handler(*values: Any) -> Any:
                if refusals:
                    raise gr.Error(refusals.pop(), title="ZeroGPU quota exceeded")
                try:
                    return list(function(*values)) if generates else function(*values)
                except gr.Error:
                    raise
                except Exception as error:
                    raise gr.Error(type(error).__name__, title=WORKER_ERROR) from None

            return handler

        return borrowed

    monkeypatch.setattr(sys.modules["spaces"], "GPU", staticmethod(gpu))

    def fails(error: Exception) -> None:
        raise error

    def fails_later(error: Exception) -> Iterator[int]:
        yield 1
        raise error

    lent = on_gpu(fails_later if generates else fails, lambda error: 1)

    def ask(error: Exception) -> None:
        list(lent(error)) if generates else lent(error)

    with pytest.raises(LangTrackError, match="exceeded your quota"):
        ask(LangTrackError("There is no frame 500."))
    with pytest.raises(LangTrackError, match="There is no frame 500"):
        ask(LangTrackError("There is no frame 500."))
    with pytest.raises(gr.Error, match="RuntimeError"):  # for the operator's log
        ask(RuntimeError("of CUDA"))


def test_a_loan_is_as_long_as_the_clip_asks_and_below_300_seconds() -> None:
    assert seconds_for(10) < seconds_for(1000) < seconds_for(10**9) == seconds_for(10**8) < 300
    assert seconds_for(frames_per_loan()) == seconds_for(10**9) > seconds_for(frames_per_loan() - 100)


@pytest.mark.parametrize(
    "start, backward, end, parts",
    [
        (0, False, None, [(0, 10), (10, 10), (20, 4)]),
        (19, False, None, [(19, 5)]),
        (3, False, 13, [(3, 10)]),
        (3, False, 15, [(3, 10), (13, 2)]),
        (21, True, None, [(21, 10), (11, 10), (1, 2)]),
        (21, True, 9, [(21, 10), (11, 2)]),
    ],
)
def test_a_pass_longer_than_a_loan_is_computed_in_parts(
    loans: list[int],
    tmp_path: Path,
    start: int,
    backward: bool,
    end: int | None,
    parts: list[tuple[int, int]],
) -> None:
    tracker = paced_tracker()
    clip = probe(counting_clip(tmp_path / "grey.mp4"))
    request = TrackRequest(clip, (Query("the red car", start=start),), backward=backward, end=end)
    steps = [row[0] for row in row_source(tracker)(request) if not isinstance(row, str)]
    frames = list(range(start, -1, -1)) if backward else list(range(start, 24))
    if end is not None:
        frames = [frame for frame in frames if (frame > end if backward else frame < end)]
    assert [step.frame.index for step in steps][: len(frames)] == frames
    assert loans == [demo.hosting.START_S + count for _, count in parts]
    assert [query.start for query in tracker.started] == [first for first, _ in parts]
    # A later part learns the target on the box that the part before it ended on.
    boxes = {step.frame.index: step.fused.box_xyxy for step in steps}
    for query in tracker.started[1:]:
        before = boxes[query.start + 1 if backward else query.start - 1]
        assert not query.exact and query.box_xyxy is not None and before is not None
        assert query.box_xyxy.tolist() == before.tolist()


def test_a_target_out_of_sight_where_a_part_ends_is_found_again(loans: list[int], tmp_path: Path) -> None:
    """By its words; where a box says what it is, the next part begins where it was in sight."""
    masks = np.zeros((24, 90, 160), bool)
    masks[:7, 50:80, 60:90] = masks[12:, 50:80, 60:90] = True
    box = np.array([60.0, 50, 90, 80])
    clip = probe(counting_clip(tmp_path / "grey.mp4"))
    for query, starts, second in (
        (Query("the car"), [0, 10, 20], None),
        (Query(box_xyxy=box), [0, 6, 16], box),
        (Query("the car", box, hold=True), [0, 6, 16], box),
    ):
        tracker = oracle_tracker(masks, vocabulary=None, cls=PacedTracker)
        steps = [
            row[0] for row in row_source(tracker)(TrackRequest(clip, (query,))) if not isinstance(row, str)
        ]
        assert [step.frame.index for step in steps] == list(range(24))
        assert [other.start for other in tracker.started] == starts
        given = tracker.started[1].box_xyxy
        assert given is None if second is None else np.array_equal(given, second)
        assert all(step.fused.box_xyxy is not None for step in steps if masks[step.frame.index].any())


def test_two_targets_share_a_loan_and_a_lost_one_keeps_its_last_box(loans: list[int], tmp_path: Path) -> None:
    masks = np.zeros((24, 90, 160), bool)
    masks[:4, 50:80, 60:90] = True
    tracker = oracle_tracker(masks, vocabulary=None, cls=PacedTracker)
    clip = probe(counting_clip(tmp_path / "grey.mp4"))
    queries = (Query("the car"), Query(box_xyxy=np.array([60.0, 50, 90, 80])))
    rows = list(row_source(tracker)(TrackRequest(clip, queries)))
    assert [row[0].frame.index for row in rows if not isinstance(row, str)] == list(range(24))
    assert [query.start for query in tracker.started[::2]] == [0, 3, 8, 13, 18, 23] and len(loans) == 6
    assert all(query.box_xyxy is not None for query in tracker.started[1::2])  # it has no words
    assert all(query.box_xyxy is None for query in tracker.started[4::2])


def test_a_missing_mcp_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.hosting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LangTrackError, match="gradio"):
        check_mcp()


def test_an_mcp_tool_asks_for_files_as_they_are_taken() -> None:
    schema = {
        "properties": {"video": {"type": "string", "format": "Gradio File Input - a http or https url"}}
    }
    changed = with_file_format({"tools": [schema], "every": 1})
    (tool,) = changed["tools"]
    assert "data:video/mp4;base64" in tool["properties"]["video"]["format"] and changed["every"] == 1


def test_whoever_comes_before_the_networks_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LangTracker, "from_pretrained", lambda weights, device: paced_tracker())
    late = LateTracker("lite", "cpu")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: late.proxy.read_text("the red zorp").unknown)
        assert not reading.done()
        late.load()
        assert reading.result(20) == ("zorp",)
    tracker = late.proxy.segmenter
    late.load()  # once is enough
    assert late.proxy.segmenter is tracker


def test_networks_that_cannot_be_loaded_fail_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(weights: str, device: str) -> None:
        raise LangTrackError("A file is missing.")

    monkeypatch.setattr(LangTracker, "from_pretrained", fail)
    late = LateTracker("lite", "cpu")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: late.proxy.read_text("the red car"))
        with pytest.raises(LangTrackError, match="missing"):
            late.load()
        with pytest.raises(LangTrackError, match="missing"):
            reading.result(20)
