"""The app's named endpoint, called with gradio_client against a real server."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from app_helpers import FRAMES, VERY_SLOW, ZORP_REPORT, Server, counting_clip, cut_clip, eventually, serving
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("api") / "root") as running:
        yield running


@pytest.fixture
def client(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the client leaves an empty folder a file
    return Client(server.url, verbose=False, download_files=str(tmp_path / "downloads"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counting_clip(tmp_path_factory.mktemp("clips") / "grey.mp4")


def test_track_reports_progress_and_gives_the_files(client: Client, clip: Path) -> None:
    job = client.submit(handle_file(clip), "the slow zorp", "", 0, 1, api_name="/track")
    report, bundle = job.result(timeout=60)
    assert report == ZORP_REPORT
    before = [report for report, files in job.outputs() if files is None]
    assert any(report["stage"] == "following" and report["total"] == FRAMES for report in before)
    with zipfile.ZipFile(bundle) as files:
        assert "grey-1-the-slow-zorp/boxes.csv" in files.namelist() and files.testzip() is None


def test_a_damaged_video_and_a_start_past_its_end_are_reported(client: Client, tmp_path: Path) -> None:
    cut = handle_file(cut_clip(tmp_path / "cut.mp4"))
    report, bundle = client.predict(cut, "the red car", "", 0, 1, api_name="/track")
    assert report["stage"] == "done" and 0 < report["frames"] < FRAMES
    assert f"cut.mp4 ends early: {report['frames']} frames" in report["warning"] and Path(bundle).exists()
    with pytest.raises(
        AppError, match=f"Start frame 23 is past the end: cut.mp4 has {report['frames']} frames"
    ):
        client.predict(cut, "the red car", "", 23, 1, api_name="/track")


def test_a_run_by_the_four_calls(client: Client, server: Server, clip: Path) -> None:
    submitted = client.predict(handle_file(clip), VERY_SLOW, api_name="/submit")
    progress = client.predict(submitted["run"], api_name="/progress")
    assert progress["stage"] in ("waiting", "opening", "following") and progress["total"] == FRAMES
    with pytest.raises(AppError, match="not over yet"):
        client.predict(submitted["run"], api_name="/results")
    stopped = client.predict(submitted["run"], api_name="/cancel")
    assert stopped["stage"] == "cancelled" and stopped["frames"] < FRAMES
    submitted = client.predict(handle_file(clip), "the red car", "", 3, 1, api_name="/submit")
    assert eventually(lambda: client.predict(submitted["run"], api_name="/progress")["stage"] == "done")
    report, bundle = client.predict(submitted["run"], api_name="/results")
    assert report["frames"] == FRAMES - 3 and Path(bundle).stat().st_size > 1000
    with pytest.raises(AppError, match="no such run"):
        client.predict("guessed", api_name="/progress")


def test_only_the_documented_endpoints_are_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]  # type: ignore[index]
    assert list(endpoints) == ["/track", "/submit", "/progress", "/cancel", "/results"]
    assert [entry["parameter_name"] for entry in endpoints["/track"]["parameters"]] == [
        "video",
        "text",
        "box",
        "start",
        "every",
    ]
    assert [entry["label"] for entry in endpoints["/track"]["returns"]] == ["Report", "Files of the run, ZIP"]


def test_cancelling_the_job_stops_the_computing(server: Server, client: Client, clip: Path) -> None:
    ended, frames = len(server.tracker.closed), server.tracker.frames_done
    job = client.submit(handle_file(clip), VERY_SLOW, "", 0, 1, api_name="/track")
    # Before the first report the client does not know the id of what it would cancel.
    assert eventually(lambda: len(job.outputs()) > 0)
    assert eventually(lambda: server.tracker.started[-1].text == VERY_SLOW)  # it may have waited in line
    job.cancel()
    assert eventually(lambda: len(server.tracker.closed) == ended + 1)
    assert server.tracker.frames_done < frames + FRAMES


def test_a_client_that_leaves_takes_its_files_along(
    server: Server, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "GRADIO_IS_E2E_TEST", "1"
    )  # the client listens for a heartbeat; four a second, not one in 15
    client = Client(server.url, verbose=False)
    client.predict(handle_file(clip), "the red car", "", 0, 1, api_name="/track")
    mine = server.service.sessions.get(client.session_hash).folder
    assert list(mine.rglob("*.zip"))
    client.close()
    assert eventually(lambda: not mine.exists())


@pytest.mark.parametrize(
    ("text", "box", "start", "every", "why"),
    [
        ("", "", 0, 1, "Say what to follow"),
        ("the car", "1,2,3", 0, 1, "four numbers"),
        ("the car", "", -5, 1, "minimum value|whole number|0"),
        ("the car", "", 0, 1e9, "maximum value|whole number"),
        ("the car", "", float("nan"), 1, "."),
    ],
)
def test_wrong_values_are_refused(
    client: Client, clip: Path, text: str, box: str, start: float, every: float, why: str
) -> None:
    with pytest.raises((AppError, ValueError), match=why):
        client.predict(handle_file(clip), text, box, start, every, api_name="/track")


@pytest.mark.parametrize(
    "path",
    [
        "{secret}",
        "/etc/hostname",
        "app.py",
        "{root}/../secret.mp4",
        "http://127.0.0.1:9/x.mp4",
        "file:///etc/hostname",
    ],
)
def test_paths_and_addresses_in_a_raw_call_are_refused(server: Server, tmp_path: Path, path: str) -> None:
    secret = counting_clip(tmp_path / "secret.mp4")
    runs = len(server.tracker.started)
    video = {"path": path.format(secret=secret, root=server.root), "meta": {"_type": "gradio.FileData"}}
    call = f"{server.url}gradio_api/call/track"
    event = httpx.post(call, json={"data": [video, "the red car", "", 0, 1]}).json()["event_id"]
    answer = httpx.get(f"{call}/{event}", timeout=20).text
    assert "event: error" in answer and "event: complete" not in answer
    assert str(tmp_path) not in answer and "Traceback" not in answer
    assert len(server.tracker.started) == runs


def test_the_server_hands_out_no_file_of_its_own(server: Server) -> None:
    for path in (__file__, "app.py", f"{server.root}/../api", f"{server.root}"):
        assert httpx.get(f"{server.url}gradio_api/file={path}").status_code in (403, 404)


def test_the_snippets_of_the_api_page_are_not_what_the_server_refuses(server: Server) -> None:
    calls = httpx.get(f"{server.url}gradio_api/info", timeout=20).json()["named_endpoints"]
    for name in ("/track", "/submit"):
        values = {p["parameter_name"]: p["example_input"] for p in calls[name]["parameters"]}
        assert values["video"]["path"] == "clip.mp4" and "http" not in str(values["video"])
        assert (values["text"], values["box"], values["start"], values["every"]) == ("the red car", "", 0, 1)
    assert calls["/progress"]["parameters"][0]["example_input"] == "the id that submit gave"
