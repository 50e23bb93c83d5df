"""Costs of a batch: speed of one and two workers, time per item, storage, and an estimate.

python -m benchmarks.batch [--clips 8] [--ray] [--frames 300]

Lines that begin with "measured" are of this machine with the shipped examples, after the networks are loaded.
Lines that begin with "computed" are estimates for a million clips from these figures.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # before NumPy is imported, as the command line has it
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import load_tracker
from langtrack_core.video import VideoWriter, probe, read_frames
from langtrack_lab.batch.ledger import Entry, Ledger
from langtrack_lab.batch.manifest import Item
from langtrack_lab.batch.process_pool import LocalPool
from langtrack_lab.batch.ray_pool import RayPool
from langtrack_lab.batch.scheduler import Pool, run_items
from langtrack_lab.batch.worker import Task

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
MILLION = 1_000_000
"""Number of clips for which the time on many machines is computed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=int, default=8, help="items of a measurement")
    parser.add_argument("--ray", action="store_true", help="measure a local Ray cluster too")
    parser.add_argument("--frames", type=int, default=300, help="frames of a clip in the plan")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        clips = sorted(EXAMPLES.glob("*.mp4"))
        items = [
            Item(f"clip{n}", str(clip), _expression(clip), None, 0)
            for n, clip in enumerate((clips * args.clips)[: args.clips])
        ]
        info = probe(clips[0])
        print(f"{args.clips} clips of {info.width}x{info.height}, {os.cpu_count()} cores")
        best: dict[bool, Cost] = {}
        for video in (True, False):
            for workers in (1, 2):
                cost = measure(items, base / "measured", workers, video=video)
                best[video] = max(best.get(video, cost), cost)
                what = "with videos" if video else "no videos"
                print(
                    f"measured  {workers} worker(s), {what}: {cost.rate:.1f} frames/s, "
                    f"{cost.frame_bytes / 1e3:.1f} kB a frame"
                )
        tiny = base / "tiny.mp4"
        with VideoWriter(tiny, 25) as writer:
            writer.write(next(read_frames(clips[0])).rgb)
        short = [Item(f"short{n}", str(tiny), items[0].expression, None, 0) for n in range(4 * args.clips)]
        local_s = overhead(short, base / "short", None)
        print(f"measured  an item of one frame, local: {1e3 * local_s:.0f} ms")
        if args.ray:
            ray_s = overhead(short, base / "short-ray", "local")
            print(f"measured  an item of one frame, Ray: {1e3 * ray_s:.0f} ms")
        for video, cost in best.items():
            plan("with videos" if video else "no videos", cost, args.frames)
    return 0


def _expression(clip: Path) -> str:
    return str(json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))["expression"])


class Cost(NamedTuple):
    """Speed of one machine in frames a second, and bytes that are written for each frame."""

    rate: float
    frame_bytes: float


def measure(items: list[Item], out: Path, workers: int, *, video: bool) -> Cost:
    """The cost of these items, with all workers together."""
    entries, seconds = _run(items, out, workers, None, video=video)
    frames = sum(entry.frames for entry in entries.values())
    size = sum(p.stat().st_size for p in (out / "runs").rglob("*") if p.is_file())
    shutil.rmtree(out)
    return Cost(frames / seconds, size / frames)


def overhead(items: list[Item], out: Path, ray: str | None) -> float:
    """Seconds for each item with one worker."""
    _, seconds = _run(items, out, 1, ray, video=False)
    shutil.rmtree(out)
    return seconds / len(items)


def _run(
    items: list[Item], out: Path, workers: int, ray: str | None, *, video: bool
) -> tuple[dict[str, Entry], float]:
    """Runs all items: their entries, and the seconds since every worker had loaded its networks."""
    runs = out / "runs"
    options = RunOptions(video=video, overwrite=True)
    task = Task(functools.partial(load_tracker, "lite", "cpu"), runs, options=options)
    start = _CommonStart()
    with Ledger(out) as ledger:
        runs.mkdir()
        pool: Pool = LocalPool(task, workers) if ray is None else RayPool(task, workers, ray)
        try:
            run_items(items, start.wrap(pool), ledger, runs)
        finally:
            pool.close()  # type: ignore[attr-defined]
        failed = [entry for entry in ledger.entries.values() if entry.status == "failed"]
        if failed:
            sys.exit(f"{failed[0].id} failed: {failed[0].reason}")
        return ledger.entries, time.perf_counter() - start.since


class _CommonStart:
    """Delays the first items of a pool until all workers are ready, and notes that time."""

    def __init__(self) -> None:
        self.since = 0.0

    def wrap(self, pool: Any) -> Any:
        poll, events = pool.poll, []

        def all_at_once(timeout_s: float) -> list[Any]:
            if self.since:
                return poll(timeout_s)
            events.extend(poll(timeout_s))
            if len(events) < len(pool):
                return []
            self.since = time.perf_counter()
            return events

        pool.poll = all_at_once
        return pool


def plan(what: str, cost: Cost, frames: int) -> None:
    """Prints the estimate for a million clips on machines like this one."""
    hours = MILLION * frames / cost.rate / 3600
    terabytes = MILLION * frames * cost.frame_bytes / 1e12
    print(f"computed  {MILLION:,} clips of {frames} frames, {what}: {hours:,.0f} machine hours,")
    print(
        f"          {hours / 24 / 100:,.1f} days on 100 machines like this one; {terabytes:.1f} TB of results"
    )


if __name__ == "__main__":
    sys.exit(main())
