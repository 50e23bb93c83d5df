"""Where the page is served: with a GPU on loan or without, as an MCP server or not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import demo.hosting
from demo.hosting import check_mcp, device, on_gpu, on_zero_gpu, seconds_for
from langtrack_core.types import LangTrackError


def test_a_gpu_is_borrowed_on_zero_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    def frames(to: int) -> int:
        return 10 * to

    assert on_gpu(count, frames, {}) is count
    assert on_gpu(count, frames, {"SPACE_ID": "a/b"}) is count  # a Space with a CPU
    loans_s: list[int] = []

    class Spaces:
        @staticmethod
        def GPU(duration: Callable[[int], int]) -> Any:
            def borrowed(function: Any) -> Any:
                return lambda *values: (loans_s.append(duration(*values)), function(*values))[1]

            return borrowed

    monkeypatch.setitem(sys.modules, "spaces", Spaces)
    zero = {"SPACE_ID": "a/b", "SPACES_ZERO_GPU": "true"}
    assert on_zero_gpu(zero) and not on_zero_gpu({"SPACES_ZERO_GPU": "true"})
    assert device(zero) == "cuda" and device({}) == "cpu"
    assert list(on_gpu(count, frames, zero)(3)) == [0, 1, 2] and loans_s == [seconds_for(30)]
    assert seconds_for(10) < seconds_for(1000) < seconds_for(10**9) == seconds_for(10**8) < 300


def test_a_missing_mcp_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.hosting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LangTrackError, match="gradio"):
        check_mcp()
