"""The calls of the API without a server: submit, progress, cancel, results."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from app_helpers import FRAMES, ZORP_REPORT, eventually

import demo.service
from demo.api import Api
from demo.service import Service
from langtrack_core.types import LangTrackError


def test_submit_progress_cancel_results(service: Service, clip: str) -> None:
    api = Api(service)
    submitted = api.submit(clip, "the red zorp", "", 0, 1)
    assert submitted["unknown_words"] == ["zorp"] and submitted["position"] in (0, 1)
    assert eventually(lambda: api.progress(submitted["run"])["stage"] == "done")
    report, bundle = api.results(submitted["run"])
    assert report == ZORP_REPORT
    with zipfile.ZipFile(bundle) as files:
        assert "grey-1-the-red-zorp/boxes.csv" in files.namelist()
    json.dumps([submitted, report, api.progress(submitted["run"])])

    slow = api.submit(clip, "the slow car")["run"]
    with pytest.raises(LangTrackError, match="not over yet"):
        api.results(slow)
    assert eventually(lambda: api.progress(slow)["frames"] >= 2)
    assert api.cancel(slow)["stage"] == "cancelled"
    report, _ = api.results(slow)
    assert report["stage"] == "cancelled" and 2 <= report["frames"] < FRAMES


def test_a_full_queue_refuses_before_a_clip_is_looked_into(service: Service, clip: str) -> None:
    api, request = Api(service), SimpleNamespace(session_hash="caller")
    with service.tracker.held():  # type: ignore[attr-defined]
        places = service.settings.concurrency + service.settings.queue_size
        runs = [api.submit(clip, "the car")["run"] for _ in range(places)]
        for call in (
            lambda: api.submit("/nowhere.mp4", "the car"),
            lambda: next(api.track("/nowhere.mp4", "the car", "", 0, 1, request)),  # type: ignore[arg-type]
        ):
            with pytest.raises(LangTrackError, match="others are waiting"):
                call()
        for run in runs:
            service.sessions.find(run).job.cancel(keep=False)  # type: ignore[union-attr]


def test_zips_are_made_into_clips_as_many_at_a_time_as_runs(
    service: Service, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of a call that is refused no clip stays."""
    api, settings = Api(service), service.settings
    places, active, most = settings.concurrency + settings.queue_size, [], []

    def convert(upload: Path, _: Any) -> tuple[Path, tuple[str, ...]]:
        active.append(upload)
        most.append(len(active))
        time.sleep(0.05)
        active.pop()
        return Path(shutil.copy(clip, Path(upload).with_suffix(".mp4"))), ()

    def submit(upload: Path) -> str | None:
        try:
            return str(api.submit(str(upload), "the car")["run"])
        except LangTrackError as error:
            assert "others are waiting" in str(error)
            return None

    monkeypatch.setattr(demo.service, "playable", convert)
    uploads = [tmp_path / f"{number}.zip" for number in range(places + 4)]
    for upload in uploads:
        upload.touch()
    with pytest.raises(LangTrackError, match="four numbers"):
        api.submit(str(uploads[0]), "the car", "nan,1,2,3")
    assert uploads[0].exists() and not list(tmp_path.glob("*.mp4"))
    with service.tracker.held(), ThreadPoolExecutor(len(uploads)) as pool:  # type: ignore[attr-defined]
        runs = list(pool.map(submit, uploads))
        assert max(most) == settings.concurrency
        assert len([run for run in runs if run]) == places
        assert [upload.with_suffix(".mp4").exists() for upload in uploads] == [bool(run) for run in runs]
        for run in filter(None, runs):
            service.sessions.find(run).job.cancel(keep=False)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((None, "the car"), "Choose a video"),
        (("/nowhere/secret.mp4", "the car"), "not on the server any more"),
        (("http://example.org/a.mp4", "the car"), "not on the server any more"),
        (("{clip}", "", ""), "Say what to follow"),
        (("{clip}", "the car", "nan,1,2,3"), "four numbers"),
        (("{clip}", "the car", "", float("nan")), "The start frame must be a whole number"),
        (("{clip}", "the car", "", -1), "The start frame must be"),
        (("{clip}", "the car", "", 0, float("inf")), "The stride of the language branch must be"),
        (("{clip}", "the car", "", 0, 10**9), "from 1 to 30"),
        (("{clip}", "x" * 501, ""), "at most 500 characters"),
    ],
)
def test_what_the_api_refuses(service: Service, clip: str, arguments: tuple, why: str) -> None:
    api = Api(service)
    arguments = tuple(clip if value == "{clip}" else value for value in arguments)
    with pytest.raises(LangTrackError, match=why) as caught:
        api.submit(*arguments)
    assert "/nowhere" not in str(caught.value)
    assert len(service.sessions) == 0
    for call in (api.progress, api.cancel, api.results):
        for run in ("", "me", None, "ü", "a" * 10_000):
            with pytest.raises(LangTrackError, match="no such run"):
                call(run)  # type: ignore[arg-type]
