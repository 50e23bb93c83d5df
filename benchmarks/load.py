"""Many visitors at once: does the server stay small and quick, and mix nothing up?

    .venv/bin/python -m benchmarks.load
    .venv/bin/python -m benchmarks.load --alone 5 --rounds 20 20

Starts ``python app.py`` and sends it clips as callers of the API do, by gradio_client with its default
time-outs: first one after the other, then in rounds of several at once. Each clip has a size, a length and
words of its own; the files that come back have to name that clip, by its hash, and those words. Meanwhile
another process asks for what needs no computing: the page, its configuration, an earlier result, and a call
that is refused.

The program fails when a caller fails without a refusal, gets another one's files, or when after the last
caller the memory is above `MEMORY_MB`, files are left, or an answer took longer than `ANSWER_S`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import multiprocessing
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from langtrack_core.video import VideoWriter

from .app_server import AppServer, app_server

MEMORY_MB = 2000.0
"""Largest memory of the server in megabytes after all visitors have gone."""
ANSWER_S = 1.0
"""Longest time in seconds for an answer that needs no computing."""
LEFT_S = 20.0
"""Seconds in which the files of visitors who have gone have to be deleted."""
SIZES_WH = ((320, 240), (426, 240), (240, 426), (288, 288), (256, 320))
"""Sizes of the clips: each of the shapes that the language branch has."""
COLOURS = ("red", "green", "blue", "white", "yellow", "black")
"""Words that make the sentences of the visitors differ."""


class Clip(NamedTuple):
    """A clip, and what its run must say."""

    path: Path
    text: str
    frames: int
    sha256: str


class Visit(NamedTuple):
    """How a visitor fared: "done", "refused", "mixed up" or "failed", and why.

    Attributes:
        connect_s: seconds until the client had read what the server offers.
        answer_s: seconds from there to the result or the refusal, the upload included.
    """

    outcome: str
    connect_s: float
    answer_s: float
    detail: str = ""


def write_clip(folder: Path, number: int) -> Clip:
    """A square that moves over noise; size, length and words depend on the number."""
    width, height = SIZES_WH[number % len(SIZES_WH)]
    frames, rng = 10 + number % 21, np.random.default_rng(number)
    still = rng.integers(60, 190, (height, width, 3), dtype=np.uint8)
    path = folder / f"clip-{number}.mp4"
    with VideoWriter(path, 25) as writer:
        for index in range(frames):
            picture = still.copy()
            x, y = 20 + 4 * index, 30 + 2 * index + number
            picture[y : y + 60, x : x + 60] = (220, 10 * (number % 20), 30)
            writer.write(picture)
    text = f"the {COLOURS[number % len(COLOURS)]} square number {number}"
    return Clip(path, text, frames, hashlib.sha256(path.read_bytes()).hexdigest())


def visit(url: str, clip: Clip, folder: Path) -> Visit:
    """Sends a clip as a visitor does that has never been here."""
    begin = start = time.monotonic()

    def ended(outcome: str, detail: str = "") -> Visit:
        now = time.monotonic()
        return Visit(outcome, start - begin, now - start, detail)

    client = None
    try:
        client = Client(url, verbose=False, download_files=str(folder), analytics_enabled=False)
        start = time.monotonic()
        report, archive = client.predict(handle_file(clip.path), clip.text, "", 0, 1, api_name="/track")
        wrong = difference(clip, report, Path(archive))
        return ended("mixed up", wrong) if wrong else ended("done")
    except AppError as error:
        return ended("refused", str(error))
    except Exception as error:  # a benchmark counts whatever happens to a visitor
        return ended("failed", f"{type(error).__name__}: {error}")
    finally:
        if client is not None:
            client.close()


def difference(clip: Clip, report: dict[str, object], archive: Path) -> str:
    """What in the result is not of this clip; empty when all is."""
    with zipfile.ZipFile(archive) as files:
        names = {Path(name).name: name for name in files.namelist()}
        manifest = json.loads(files.read(names["manifest.json"]))
        rows = list(csv.DictReader(io.StringIO(files.read(names["boxes.csv"]).decode())))
    pairs = {
        "clip": (manifest["video"]["sha256"], clip.sha256),
        "words": (manifest["expression"], clip.text),
        "rows": (len(rows), clip.frames),
        "frames": (report["frames"], clip.frames),
    }
    return ", ".join(f"{name} {got}" for name, (got, expected) in pairs.items() if got != expected)


# --- what needs no computing ------------------------------------------------------------------------------


def ask_on(url: str, result: str, pipe: Connection) -> None:
    """Asks in a process of its own until told to stop; sends the time of each answer by kind."""
    join = {"data": ["no such run"], "session_hash": "prober", "api_name": "progress"}
    times: dict[str, list[float]] = {}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:

        def refusal() -> None:
            event = client.post("gradio_api/call/progress", json={"data": join["data"]}).json()["event_id"]
            answer = client.get(f"gradio_api/call/progress/{event}").text
            if "event: error" not in answer:
                raise RuntimeError(f"A call that had to be refused was answered: {answer}")

        kinds = {
            "page": lambda: client.get("").raise_for_status(),
            "config": lambda: client.get("config").raise_for_status(),
            "API page": lambda: client.get("gradio_api/info").raise_for_status(),
            "download": lambda: client.get(f"gradio_api/file={result}").raise_for_status(),
            "refusal": refusal,
        }
        while not pipe.poll(0.1):
            for kind, ask in kinds.items():
                start = time.perf_counter()
                ask()
                times.setdefault(kind, []).append(time.perf_counter() - start)
    pipe.send(times)


# --- rounds -------------------------------------------------------------------------------------------------


def show(what: str, server: AppServer, seconds: float, visits: list[Visit]) -> None:
    counts = Counter(visit.outcome for visit in visits)
    text = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "-"
    print(
        f"{what:24} {seconds:6.1f} s  {server.memory_mb():6.0f} MB  peak {server.peak_mb():6.0f} MB  {text}",
        flush=True,
    )
    for outcome in counts:
        some = [visit for visit in visits if visit.outcome == outcome]
        connect_s, answer_s = (max(visit[place] for visit in some) for place in (1, 2))
        print(
            f"    {outcome}: connected in {connect_s:.1f} s at most, answered in {answer_s:.1f} s", flush=True
        )
        if some[0].detail:
            print(f"      {some[0].detail}", flush=True)


def together(server: AppServer, clips: list[Clip], folder: Path) -> list[Visit]:
    """All clips at the same moment, each by a visitor of its own."""
    barrier = threading.Barrier(len(clips))

    def arrive(clip: Clip) -> Visit:
        barrier.wait()
        return visit(server.url, clip, folder / clip.path.stem)

    with ThreadPoolExecutor(len(clips)) as pool:
        return list(pool.map(arrive, clips))


def wait_for_files(server: AppServer, before_mb: float) -> float:
    """Megabytes that are left on disk when everybody has gone."""
    end = time.monotonic() + LEFT_S
    while server.disk_mb() > before_mb + 0.01 and time.monotonic() < end:
        time.sleep(0.5)
    return server.disk_mb() - before_mb


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--alone", type=int, default=12, help="visitors one after the other, first")
    parser.add_argument("--rounds", type=int, nargs="*", default=[4, 10, 20, 20], help="visitors at once")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="langtrack-load-") as temporary:
        folder = Path(temporary)
        for name in ("clips", "results", "server"):
            (folder / name).mkdir()
        clips = [write_clip(folder / "clips", number) for number in range(max([flags.alone, *flags.rounds]))]
        with app_server(folder / "server") as server:
            return measure(server, clips, flags.alone, flags.rounds, folder / "results")


def measure(server: AppServer, clips: list[Clip], alone: int, rounds: list[int], folder: Path) -> int:
    show("after the start", server, server.start_s, [])
    before_mb = server.disk_mb()
    visits: list[Visit] = []
    start = time.monotonic()
    for clip in clips[:alone]:
        visits.append(visit(server.url, clip, folder / clip.path.stem))
    show(f"{alone} one after the other", server, time.monotonic() - start, visits)
    # One visitor stays, so that there is a result to fetch.
    guest = Client(server.url, verbose=False, download_files=False, analytics_enabled=False)
    _, archive = guest.predict(handle_file(clips[0].path), clips[0].text, "", 0, 1, api_name="/track")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    prober = multiprocessing.get_context("spawn").Process(
        target=ask_on, args=(server.url, archive["path"], theirs)
    )
    prober.start()
    for count in rounds:
        start = time.monotonic()
        round_visits = together(server, clips[:count], folder)
        visits += round_visits
        show(f"{count} at once", server, time.monotonic() - start, round_visits)
    ours.send("stop")
    times: dict[str, list[float]] = ours.recv()
    prober.join()
    guest.close()
    left_mb = wait_for_files(server, before_mb)
    for kind, seconds in times.items():
        print(
            f"{kind:10} {len(seconds):4} answers, median {np.median(seconds):.3f} s, max {max(seconds):.3f} s"
        )
    memory_mb = server.memory_mb()
    print(f"at the end {memory_mb:.0f} MB, peak {server.peak_mb():.0f} MB, {left_mb:.1f} MB of files left")
    counts = Counter(visit.outcome for visit in visits)
    slow = any(max(seconds) > ANSWER_S for seconds in times.values())
    faults = counts["failed"] + counts["mixed up"]
    return int(faults > 0 or slow or memory_mb > MEMORY_MB or left_mb > 1)


if __name__ == "__main__":
    sys.exit(main())
