"""Milliseconds of each stage, share of the machine's peak, and memory, on the shipped 640x360 example clip.

    make bench            (or .venv/bin/python -m benchmarks.bench --backend torch --every 2)
    make bench ARGS="--precision bfloat16"     one precision of OpenVINO
    make bench ARGS="--long 2000"              memory on a long run

Each stage is timed alone over the whole clip after a warm-up: wall time, and the processor time of all
threads, which other work on the machine disturbs less. The last lines time the whole tracker, without and
with a run folder. The share of the peak compares the networks' multiplications and additions, counted in
PyTorch, with the fastest matrix product that PyTorch reaches on this machine in the same precision.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # before NumPy is imported, as the command line does
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from langtrack_core import LangTracker
from langtrack_core.run.recorder import Recorder
from langtrack_core.siammask.network import SEARCH_SIZE, TEMPLATE_SIZE
from langtrack_core.types import Frame, Query
from langtrack_core.video import probe, read_frames
from langtrack_lab.memory import memory_mb
from langtrack_lab.truth.box_files import xywh_to_xyxy

CLIP = Path(__file__).resolve().parent.parent / "assets" / "examples" / "crossing-cars.mp4"
TEXT = "the red car"
WARM_UP = 5
"""Number of first frames that are not counted: caches fill and threads start there."""


class Times(NamedTuple):
    """Milliseconds of each frame: wall time, and processor time of all threads."""

    wall: list[float]
    cpu: list[float]


def timed(items: Iterable[Any]) -> Times:
    """Times between the items of a stream."""
    times = Times([], [])
    iterator = iter(items)
    while True:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            next(iterator)
        except StopIteration:
            return times
        times.wall.append((time.perf_counter() - wall) * 1000)
        times.cpu.append((time.process_time() - cpu) * 1000)


def show(name: str, times: Times, flops: float = 0.0, peak: float = 0.0) -> None:
    """Prints a line. Means are over all frames, since a stage may do more on some than on others."""
    wall, cpu = (np.array(values[WARM_UP:]) for values in times)
    share = f"{flops / 1e9:>8.2f} GFLOP {flops / (wall.mean() / 1000) / peak:>6.1%} of peak" if peak else ""
    print(
        f"{name:<34}{wall.mean():>7.1f} ms {np.median(wall):>7.1f} median {np.percentile(wall, 95):>7.1f} p95"
        f"{cpu.mean():>8.1f} ms CPU {1000 / wall.mean():>7.1f} frames/s{share}"
    )


def matmul_peak(dtype: torch.dtype, device: str, size: int = 1536, repeats: int = 8) -> float:
    """Operations a second of the fastest of some square matrix products, with all threads."""
    a, b = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    fastest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for a GPU
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * size**3 / fastest


def flops_of(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


def network_flops(tracker: LangTracker) -> tuple[float, float]:
    """Operations for a frame of the language branch and of the tracker, counted in PyTorch."""
    segmenter = tracker.segmenter
    language: Any = getattr(segmenter.network, "network", segmenter.network)  # inside the compiled one
    visual: Any = tracker.new_tracker().network
    visual = getattr(visual, "network", visual)
    ids = torch.tensor(segmenter.vocabulary.read(TEXT)[0], device=segmenter.device)
    image = segmenter.config.preprocessing(next(read_frames(CLIP)).rgb, segmenter.device)
    crops = [torch.zeros(1, 3, size, size, device=segmenter.device) for size in (TEMPLATE_SIZE, SEARCH_SIZE)]

    def track() -> None:
        visual.refine(visual.search(template, crops[1]), torch.tensor([[0, 12, 12]]))

    with torch.no_grad():
        encoded, template = language.encode(ids), visual.template(crops[0])
    return flops_of(lambda: language.segment(image, encoded)), flops_of(track)


def bench(weights: str, device: str, backend: str, precision: str, every: int) -> None:
    """Prints all lines of one backend in one precision."""
    start = time.perf_counter()
    tracker = LangTracker.from_pretrained(weights, device, backend=backend, precision=precision)
    loaded = time.perf_counter() - start
    used = tracker.info["weights"][0]["backend"]
    print(f"\n{used['name']} {used['version']}, {used['precision']}; loaded in {loaded:.1f} s")
    peak = matmul_peak(getattr(torch, used["precision"]), device)
    print(f"fastest matrix product {peak / 1e9:.0f} GFLOP/s")
    language_flops, tracker_flops = network_flops(tracker)

    encoded = tracker.segmenter.encode(TEXT)
    pictures = list(read_frames(CLIP))
    language = timed(tracker.segmenter.segment(frame, encoded) for frame in pictures)
    show("language branch", language, language_flops, peak)
    follower = tracker.new_tracker()
    follower.init(pictures[0], first_box())
    show("tracker branch", timed(map(follower.update, pictures[1:])), tracker_flops, peak)
    del pictures

    query = Query(text=TEXT)
    show("track: decode, branches, fusion", timed(tracker.track(read_frames(CLIP), query, every=every)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        with Recorder(out, probe(CLIP), query, tracker.info) as recorder:
            steps = tracker.track(read_frames(CLIP), query, every=every)
            show("track and export, four videos", timed(map(recorder.add, steps)))
    print(f"memory {memory_mb():.0f} MB")


def first_box() -> np.ndarray:
    first_row = CLIP.with_suffix(".groundtruth.txt").read_text(encoding="utf-8").splitlines()[0]
    return xywh_to_xyxy([float(value) for value in first_row.split(",")])


def repeated(count: int) -> Iterator[Frame]:
    """The clip forward and backward again and again, so that nothing jumps."""
    pictures = list(read_frames(CLIP))
    turn = 2 * len(pictures) - 2
    for index in range(count):
        place = index % turn
        picture = pictures[min(place, turn - place)]
        yield replace(picture, index=index, time_s=index / 25)


def bench_long(weights: str, device: str, backend: str, count: int) -> None:
    """Prints the memory at each quarter of a long run that writes all files."""
    tracker = LangTracker.from_pretrained(weights, device, backend=backend)
    query = Query(text=TEXT)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        with Recorder(out, probe(CLIP), query, tracker.info) as recorder:
            for step in tracker.track(repeated(count), query):
                recorder.add(step)
                done = step.frame.index + 1
                if done % max(1, count // 4) == 0:
                    pace = done / (time.perf_counter() - start)
                    print(f"{done:>6} frames: memory {memory_mb():.0f} MB, {pace:.1f} frames/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="lite")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", choices=("openvino", "torch", "both"), default="both")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        action="append",
        help="of OpenVINO, may be given several times; float32 and what auto takes unless told otherwise",
    )
    parser.add_argument("--every", type=int, default=1, help="language branch on every K-th frame")
    parser.add_argument("--long", type=int, metavar="N", help="only memory, on a run of N frames")
    arguments = parser.parse_args()

    info = probe(CLIP)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, PyTorch {torch.__version__}, "
        f"{torch.get_num_threads()} threads; {CLIP.name}, {info.width}x{info.height}; {arguments.weights}"
    )
    backends = ("openvino", "torch") if arguments.backend == "both" else (arguments.backend,)
    if arguments.device != "cpu":
        backends = ("torch",)
    if arguments.long:
        bench_long(arguments.weights, arguments.device, backends[0], arguments.long)
        return
    show("decode", timed(read_frames(CLIP)))
    for backend in backends:
        precisions = arguments.precision or ("float32", "auto")
        for precision in precisions if backend == "openvino" else ("auto",):
            bench(arguments.weights, arguments.device, backend, precision, arguments.every)


if __name__ == "__main__":
    main()
