"""``python app.py`` as a process of its own, for benchmarks that measure it from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
START_S = 180.0
"""Seconds in which the server has to answer; a cold start compiles all networks."""


@dataclass(frozen=True)
class AppServer:
    """A server that answers.

    Attributes:
        url: with a slash at its end.
        process: for its memory.
        temporary: its folder for temporary files.
        start_s: seconds from the command to the first answer of the page.
    """

    url: str
    process: psutil.Process
    temporary: Path
    start_s: float

    def memory_mb(self) -> float:
        """Megabytes of memory that the server holds now."""
        return self.process.memory_info().rss / (1 << 20)

    def peak_mb(self) -> float:
        """The largest memory in megabytes since the start; on Linux alone, 0 elsewhere."""
        status = Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text("utf-8").splitlines() if status.exists() else []
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)

    def processor_s(self) -> float:
        """Seconds of processor time that the server has used."""
        times = self.process.cpu_times()
        return times.user + times.system

    def disk_mb(self) -> float:
        """Megabytes in its folder for temporary files."""
        return sum(path.stat().st_size for path in self.temporary.rglob("*") if path.is_file()) / 1e6


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def app_server(folder: Path, *flags: str, environ: dict[str, str] | None = None) -> Iterator[AppServer]:
    """Start ``python app.py`` with a folder for its temporary files, and stop it by SIGTERM.

    Raises:
        RuntimeError: it ends, or does not answer within `START_S`.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the server must not stay
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), *flags]
    variables = os.environ | {"TMPDIR": str(folder), "LANGTRACK_RELOAD_GRACE_S": "2"} | (environ or {})
    url, start = f"http://127.0.0.1:{port}/", time.monotonic()
    with (folder / "server.log").open("w") as log:
        running = subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=log, stderr=log)
        try:
            while not _answers(url):
                if running.poll() is not None or time.monotonic() - start > START_S:
                    raise RuntimeError(f"The server does not start:\n{(folder / 'server.log').read_text()}")
                time.sleep(0.02)
            yield AppServer(url, psutil.Process(running.pid), folder, time.monotonic() - start)
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
