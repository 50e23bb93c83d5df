"""``python app.py`` as a process: how it ends, what it says, and that no file stays."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import foreign_system
import httpx
import pytest
from app_helpers import eventually
from ports import free_port

import app
from demo.hosting import check_address
from demo.server_root import FILES, LOCK, server_root
from langtrack_core.types import LangTrackError

# A proxy that nobody answers at, and one of a kind that httpx has no package for.
PROXIES = {
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "all_proxy": "socks5://127.0.0.1:9",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_until_stopped_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """The first time with proxies set, the second time without what only Linux has."""
    # In place of the real pipeline, so that this test does not wait for torch and weights. Ctrl-C is set as
    # in a terminal: a shell's background jobs, this test's perhaps, ignore it.
    program = (
        "import signal, sys, types; import app\n"
        "pipeline = types.ModuleType('langtrack_core.pipeline')\n"
        "def loaded(*_, **__):\n"  # imported late: Gradio comes with it, which reads the proxies at once
        "    del sys.modules['langtrack_core.pipeline']\n"
        "    import app_helpers; return app_helpers.paced_tracker()\n"
        "pipeline.LangTracker = types.SimpleNamespace(from_pretrained=loaded)\n"
        "sys.modules['langtrack_core.pipeline'] = pipeline\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(app.main(sys.argv[1:]))"
    )
    port = free_port()
    environ = PROXIES if number == signal.SIGTERM else foreign_system.environ(tmp_path)
    with child(program, tmp_path, "--port", str(port), environ=environ) as server:
        assert eventually(lambda: answers(f"http://127.0.0.1:{port}/"), 180.0)
        (home,) = tmp_path.glob("langtrack-*")
        (home / FILES / "upload.mp4").write_bytes(b"a visitor's")
        server.send_signal(number)
        output, _ = server.communicate(timeout=120)
    assert server.returncode == 0, output
    assert "Traceback" not in output and list(tmp_path.glob("langtrack-*")) == []


def test_what_a_killed_server_left_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import time; from demo.server_root import server_root\n"
        "with server_root() as root: (root / 'upload.mp4').touch(); print(root, flush=True); time.sleep(600)"
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "langtrack-results").mkdir()  # somebody's own
    (tmp_path / "langtrack-notes.txt").touch()
    with child(program, tmp_path) as killed, child(program, tmp_path) as living:
        abandoned, used = (Path(server.stdout.readline().strip()) for server in (killed, living))  # type: ignore
        killed.kill()
        killed.wait()
        assert (abandoned / "upload.mp4").exists()
        with server_root() as mine:
            assert not abandoned.parent.exists() and (used / "upload.mp4").exists()
            assert (mine.parent / LOCK).exists() and list(mine.iterdir()) == []
        assert not mine.parent.exists() and used.exists()
    assert (tmp_path / "langtrack-results").exists() and (tmp_path / "langtrack-notes.txt").exists()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (LangTrackError("No such weights."), 1, "langtrack: No such weights.\n"),
        (KeyboardInterrupt(), 0, ""),
    ],
)
def test_the_program_tells_errors_as_the_command_line_does(
    error: BaseException,
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("langtrack_core.weights.load.choose", fail)  # before anything is served
    for name in (
        "GRADIO_TEMP_DIR",
        "GRADIO_ANALYTICS_ENABLED",
        "TORCHINDUCTOR_CACHE_DIR",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.setenv(name, "")  # so that they are put back at the end
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert app.main(["--port", str(free_port())]) == code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == message and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_busy_port_is_told_at_once_with_another_that_is_free(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        try:
            assert app.main(["--host", host, "--port", str(port)]) == 1
        finally:
            signal.signal(signal.SIGTERM, before)
    match = re.fullmatch(
        rf"langtrack: Port {port} is in use, .*; choose another .*--port (\d+)\.\n", capsys.readouterr().err
    )
    assert match is not None
    check_address(host, int(match[1]))


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(LangTrackError, match=r"192\.0\.2\.1.*--host"):
        check_address("192.0.2.1", 7860)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_an_impossible_port_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        app.main(["--port", port])
    assert "from 1 to 65535" in capsys.readouterr().err


@contextmanager
def child(
    program: str, temp: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A Python of its own with ``temp`` as folder for temporary files; it never outlives its test."""
    search = os.pathsep.join(map(str, (Path.cwd(), Path(__file__).parents[1] / "helpers")))
    environ = {**os.environ, "TMPDIR": str(temp), "PYTHONPATH": search, **(environ or {})}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
