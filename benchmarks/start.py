"""How long it takes from a command to the first answer, with OpenVINO's models new and kept from before.

    .venv/bin/python -m benchmarks.start

Each start is a process of its own. "Cold" has an empty folder of kept models (``LANGTRACK_HOME``), "warm" is
the same once more. Seconds by the clock, and of processor time, which tells more on a busy machine.

| line | from | to |
|---|---|---|
| track | ``langtrack track`` | the first frame of a clip |
| page | ``python app.py`` | the first answer of the page |
| first mask | the click on *Follow it*, at once after that | the first frame of an example is done |
| from start | ``python app.py`` | the same |
| next run | a second click | the first frame is done |
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from gradio_client import Client, handle_file

from .app_server import REPOSITORY, app_server

TEXT = "the red car"
"""What is followed: a sentence that fits one thing of the example clip."""

FIRST_FRAME = re.compile(rb"\b[1-9]\d*/\d+ \[")
"""The progress bar of ``langtrack track`` when at least one frame is done."""


def show(when: str, what: str, seconds: float, processor_s: float) -> None:
    print(f"{when:5} {what:12} {seconds:6.1f} s  {processor_s:6.1f} s of processor time", flush=True)


def processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def track(clip: Path, out: Path, when: str) -> None:
    command = [sys.executable, "-m", "langtrack_core", "track", str(clip), "--text", TEXT, "--out", str(out)]
    start = time.monotonic()
    with subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as running:
        assert running.stderr is not None
        output, process = b"", psutil.Process(running.pid)
        while not FIRST_FRAME.search(output):
            piece = os.read(running.stderr.fileno(), 1 << 16)
            if not piece:
                raise RuntimeError(f"langtrack track ended before a frame: {output.decode()}")
            output += piece
        show(when, "track", time.monotonic() - start, processor_s(process))
        running.kill()


def page(clip: Path, folder: Path, when: str) -> None:
    folder.mkdir()
    start = time.monotonic()
    with app_server(folder) as server:
        show(when, "page", server.start_s, server.processor_s())
        client = Client(server.url, verbose=False, httpx_kwargs={"timeout": 120}, analytics_enabled=False)
        for what in ("first mask", "next run"):
            begin, used_s = time.monotonic(), server.processor_s()
            run = client.predict(handle_file(clip), TEXT, "", 0, 1, api_name="/submit")["run"]
            while not client.predict(run, api_name="/progress")["frames"]:
                time.sleep(0.02)
            if what == "first mask":
                show(when, "from start", time.monotonic() - start, server.processor_s())
            show(when, what, time.monotonic() - begin, server.processor_s() - used_s)
            client.predict(run, api_name="/cancel")
        client.close()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="langtrack-start-") as temporary:
        folder = Path(temporary)
        os.environ["LANGTRACK_HOME"] = str(folder / "home")
        clip = min((REPOSITORY / "assets" / "examples").glob("*.mp4"))
        for when in ("cold", "warm"):
            track(clip, folder / f"run-{when}", when)
        os.environ["LANGTRACK_HOME"] = str(folder / "home-of-the-page")
        for when in ("cold", "warm"):
            page(clip, folder / f"server-{when}", when)
    return 0


if __name__ == "__main__":
    sys.exit(main())
