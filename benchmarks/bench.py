"""Milliseconds per stage and peak memory, on the shipped 640x360 example clip.

    make bench            (or .venv/bin/python -m benchmarks.bench --weights lite --every 1)

Each stage is timed alone over the whole clip after a warm-up; the last two lines are the product's own loop,
without and with the run folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from langtrack_core import LangTracker
from langtrack_core.export import Recorder
from langtrack_core.geometry import xywh_to_xyxy
from langtrack_core.loading import load_branches
from langtrack_core.siammask.tracker import SiamMaskTracker
from langtrack_core.types import Frame, Query
from langtrack_core.video import probe, read_frames

CLIP = Path(__file__).resolve().parent.parent / "assets" / "examples" / "crossing-cars.mp4"
TEXT = "the red car"
WARM_UP = 5  # frames that are not counted: caches fill, threads start


def timed_items(items: Iterable[Any]) -> Iterator[float]:
    """Milliseconds that each item of a stream took to come."""
    iterator = iter(items)
    while True:
        start = time.perf_counter()
        try:
            next(iterator)
        except StopIteration:
            return
        yield (time.perf_counter() - start) * 1000


def per_frame(run: Callable[[Frame], object], frames: Iterable[Frame]) -> list[float]:
    """Milliseconds of a stage on each frame, decoding not counted."""
    taken = []
    for frame in frames:
        start = time.perf_counter()
        run(frame)
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def show(name: str, milliseconds: list[float]) -> None:
    counted = np.array(milliseconds[WARM_UP:])
    print(
        f"{name:<34}{counted.mean():>9.1f} ms mean {np.median(counted):>8.1f} median "
        f"{np.percentile(counted, 95):>8.1f} p95 {1000 / counted.mean():>8.1f} frames/s"
    )


def peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="lite")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--every", type=int, default=1, help="language branch on every K-th frame")
    arguments = parser.parse_args()

    info = probe(CLIP)
    first_row = CLIP.with_suffix(".groundtruth.txt").read_text(encoding="utf-8").splitlines()[0]
    first_box = xywh_to_xyxy([float(value) for value in first_row.split(",")])
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, PyTorch {torch.__version__}, "
        f"{torch.get_num_threads()} threads; {CLIP.name}, {info.width}x{info.height}; {arguments.weights}"
    )

    show("decode", list(timed_items(read_frames(CLIP))))
    branches = load_branches(arguments.weights, arguments.device)
    encoded = branches.segmenter.encode(TEXT)
    show(
        "language branch",
        per_frame(lambda frame: branches.segmenter.segment(frame, encoded), read_frames(CLIP)),
    )
    follower = SiamMaskTracker(branches.siam_network, branches.siam_config, branches.siam_calibration)
    frames = read_frames(CLIP)
    follower.init(next(frames), first_box)
    show("visual branch", per_frame(follower.update, frames))

    tracker = LangTracker.from_pretrained(arguments.weights, device=arguments.device)
    query = Query(text=TEXT)
    steps = tracker.track(read_frames(CLIP), query, every=arguments.every)
    show("track: decode, branches, fusion", list(timed_items(steps)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        with Recorder(out, info=info, query=query, tracker_info=tracker.info) as recorder:
            steps = tracker.track(read_frames(CLIP), query, every=arguments.every)
            show("track and export, four videos", list(timed_items(map(recorder.add, steps))))
    print(f"peak memory {peak_memory_mb():.0f} MB")


if __name__ == "__main__":
    main()
