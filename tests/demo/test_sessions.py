"""Visitors: reloads, the line, the API's calls, and where the page is served."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_helpers import (
    FRAMES,
    eventually,
)
from service_helpers import follow, opened_service, upload

import demo.hosting
from demo.api import Api
from demo.hosting import check_mcp, device, on_gpu, on_zero_gpu, seconds_for
from demo.service import Service
from demo.sessions import Sessions
from langtrack_core.types import LangTrackError


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with opened_service(tmp_path) as made:
        yield made


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return upload(tmp_path)


# --- sessions and the queue ---------------------------------------------------------------------------------


def test_a_reloaded_page_finds_its_run_and_a_closed_one_ends(tmp_path: Path, clip: str) -> None:
    with opened_service(tmp_path, reload_grace_s=0.3) as service:
        sessions = service.sessions
        first = sessions.get("page-1")
        first.claim_upload(clip)
        job = follow(service, first, clip, "the slow slow car", "")
        assert eventually(lambda: job.progress.frames > 0)
        sessions.leave("page-1")
        empty = sessions.get("page-2")
        assert sessions.resume("page-2", "wrong") is None and sessions.resume("page-2", None) is None
        assert sessions.resume("page-2", first.token) is first and sessions.get("page-2") is first
        assert empty is not first and len(sessions) == 1
        before = job.progress.frames
        assert eventually(lambda: job.progress.frames > before + 4)
        assert not job.over  # it goes on, well beyond the time in which a page may come back

        assert sessions.resume("page-3", first.token) is first  # a duplicated tab
        sessions.leave("page-2")
        assert not eventually(lambda: job.over, 0.6)
        sessions.leave("page-3")
        assert eventually(lambda: len(sessions) == 0 and not Path(clip).exists())
        assert job.over and list((tmp_path / "root").rglob("*")) == []
        assert sessions.resume("page-4", first.token) is None


def test_a_clip_that_somebody_else_has_just_uploaded_stays(tmp_path: Path, clip: str) -> None:
    sessions = Sessions(tmp_path / "root", 3600.0, 0.3)
    sessions.get("page-1").claim_upload(clip)
    again = tmp_path / "arriving"
    again.write_bytes(Path(clip).read_bytes())
    again.rename(clip)  # as Gradio does; the second page has not said so yet
    sessions.drop("page-1")
    assert Path(clip).exists()
    sessions.get("page-2").claim_upload(clip)
    sessions.drop("page-2")
    assert not Path(clip).exists()


def test_one_run_a_session_and_a_full_queue(service: Service, clip: str) -> None:
    sessions = [service.sessions.get(f"{k}") for k in range(6)]
    jobs = [
        follow(service, session, clip, "the slow slow car", "") for session in sessions[:5]
    ]  # 3 of them wait
    for _ in range(20):
        with pytest.raises(LangTrackError, match="A run is going on in this page"):
            follow(service, sessions[0], clip, "the car", "")
    with pytest.raises(LangTrackError, match="3 others are waiting"):
        follow(service, sessions[5], clip, "the car", "")
    assert sessions[5].workspace is None and sessions[5].job is None
    assert not sessions[5].folder.exists() or list(sessions[5].folder.rglob("*")) == []
    assert [service.queue.position(job) for job in jobs] == [0, 0, 1, 2, 3]
    service.cancel(sessions[2])
    assert [service.queue.position(job) for job in jobs] == [0, 0, 0, 1, 2]
    service.cancel(sessions[0])
    assert eventually(lambda: jobs[3].progress.frames > 0) and jobs[4].progress.stage == "waiting"


# --- the API and hosting -----------------------------------------------------------------------------------


def test_submit_progress_cancel_results(service: Service, clip: str) -> None:
    api = Api(service)
    begun = api.submit(clip, "the red zorp", "", 0, 1)
    assert begun["unknown_words"] == ["zorp"] and begun["position"] in (0, 1)
    assert eventually(lambda: api.progress(begun["run"])["stage"] == "done")
    report, bundle = api.results(begun["run"])
    assert report == {
        "stage": "done",
        "frames": FRAMES,
        "found": FRAMES,
        "unknown_words": ["zorp"],
        "seconds": 1.917,
        "warning": None,
    }
    with zipfile.ZipFile(bundle) as files:
        assert "grey/boxes.csv" in files.namelist()
    json.dumps([begun, report, api.progress(begun["run"])])

    slow = api.submit(clip, "the slow car")["run"]
    with pytest.raises(LangTrackError, match="not over yet"):
        api.results(slow)
    assert eventually(lambda: api.progress(slow)["frames"] >= 2)
    assert api.cancel(slow)["stage"] == "cancelled"
    report, _ = api.results(slow)
    assert report["stage"] == "cancelled" and 2 <= report["frames"] < FRAMES


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((None, "the car"), "Choose a video"),
        (("/nowhere/secret.mp4", "the car"), "not on the server any more"),
        (("http://example.org/a.mp4", "the car"), "not on the server any more"),
        (("{clip}", "", ""), "Say what to follow"),
        (("{clip}", "the car", "nan,1,2,3"), "four numbers"),
        (("{clip}", "the car", "", float("nan")), "The start frame must be a whole number"),
        (("{clip}", "the car", "", -1), "The start frame must be"),
        (("{clip}", "the car", "", 0, float("inf")), "The language cadence must be"),
        (("{clip}", "the car", "", 0, 10**9), "from 1 to 30"),
        (("{clip}", "x" * 501, ""), "at most 500 characters"),
    ],
)
def test_what_the_api_refuses(service: Service, clip: str, given: tuple, why: str) -> None:
    api = Api(service)
    given = tuple(clip if one == "{clip}" else one for one in given)
    with pytest.raises(LangTrackError, match=why) as caught:
        api.submit(*given)
    assert "/nowhere" not in str(caught.value)
    assert len(service.sessions) == 0
    for call in (api.progress, api.cancel, api.results):
        for run in ("", "me", None, "ü", "a" * 10_000):
            with pytest.raises(LangTrackError, match="no such run"):
                call(run)  # type: ignore[arg-type]


def test_a_gpu_is_borrowed_on_zero_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    def frames(to: int) -> int:
        return 10 * to

    assert on_gpu(count, frames, {}) is count
    assert on_gpu(count, frames, {"SPACE_ID": "a/b"}) is count  # a Space with a CPU
    asked: list[int] = []

    class Spaces:
        @staticmethod
        def GPU(duration: Callable[[int], int]) -> Any:
            def borrowed(function: Any) -> Any:
                return lambda *given: (asked.append(duration(*given)), function(*given))[1]

            return borrowed

    monkeypatch.setitem(sys.modules, "spaces", Spaces)
    zero = {"SPACE_ID": "a/b", "SPACES_ZERO_GPU": "true"}
    assert on_zero_gpu(zero) and not on_zero_gpu({"SPACES_ZERO_GPU": "true"})
    assert device(zero) == "cuda" and device({}) == "cpu"
    assert list(on_gpu(count, frames, zero)(3)) == [0, 1, 2] and asked == [seconds_for(30)]
    assert seconds_for(10) < seconds_for(1000) < seconds_for(10**9) == seconds_for(10**8)


def test_a_missing_mcp_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.hosting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LangTrackError, match="gradio"):
        check_mcp()
