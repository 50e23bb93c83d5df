"""What each stage costs in every precision of this machine, its share of the peak, and memory, on an example.

    make bench            (or .venv/bin/python -m benchmarks.bench --backend torch --every 2)
    make bench ARGS="--precision bfloat16"                one precision of OpenVINO
    make bench ARGS="--json bench.json"                   all figures as JSON too
    make bench ARGS="--table bench.json --into docs/evaluation.md"   the document's table from such a file
    make bench ARGS="--against ../older --rounds 3"       beside another checkout, in turns

Every variant runs in a process of its own. Each stage is timed alone over the whole clip after a warm-up:
wall time, and the processor time of all threads, which other work on the machine disturbs less. Then the
whole tracker, and `track_video`, which draws and encodes the files of a run beside it. The share of the peak
is by processor time: the networks' multiplications and additions, counted in PyTorch, against the fastest
matrix product of this machine in the same precision. That of the big layers alone is from OpenVINO's counters
(`benchmarks.layers`). The peak of memory is that of `langtrack track`, with all files, in a process without
any of this.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # before NumPy is imported, as the command line does
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import importlib.util
import json
import math
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.layers import big_layers_share
from langtrack_core import LangTracker
from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import track_video
from langtrack_core.siammask.network import SEARCH_SIZE, TEMPLATE_SIZE
from langtrack_core.types import Query
from langtrack_core.video import probe, read_frames
from langtrack_core.weights.load import choose
from langtrack_core.weights.openvino_compiler import PRECISIONS, able_precisions, in_precision
from langtrack_lab.truth.box_files import xywh_to_xyxy

CLIP = Path(__file__).resolve().parent.parent / "assets" / "examples" / "crossing-cars.mp4"
TEXT = "the red car"
"""What is followed: a sentence that fits one thing of the example clip."""

MARKS = "<!-- bench -->", "<!-- /bench -->"
"""What stands before and after the table in a document."""

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


def figures(times: Times, flops: float = 0.0, peak: float = 0.0) -> dict[str, float]:
    """Milliseconds of a frame. Means are over all frames, since a stage does more on some than on others."""
    wall, cpu = (np.array(values[WARM_UP:]) for values in times)
    share = {"gflop": flops / 1e9, "share": flops / (cpu.mean() / 1000) / peak} if peak else {}
    return {
        "wall_ms": float(wall.mean()),
        "median_ms": float(np.median(wall)),
        "p95_ms": float(np.percentile(wall, 95)),
        "cpu_ms": float(cpu.mean()),
        **share,
    }


def matmul_peak(precision: str, device: str, backend: str, size: int = 1536, repeats: int = 8) -> float:
    """Operations in a second of processor time of the fastest square matrix product; on a GPU in a second."""
    products: list[Callable[[], object]] = []
    if precision != "int8":  # which PyTorch multiplies many times slower
        a, b = (torch.randn(size, size).to(device, getattr(torch, precision)) for _ in range(2))
        products.append(lambda: (a @ b)[0, 0].item())  # which waits for a GPU
    if backend == "openvino":
        products.append(_openvino_product(precision, size))
    clock = time.process_time if device == "cpu" else time.perf_counter
    fastest = float("inf")
    for product in products:
        for _ in range(repeats):
            start = clock()
            product()
            fastest = min(fastest, clock() - start)
    return 2 * size**3 / fastest


def _openvino_product(precision: str, size: int) -> Callable[[], object]:
    import openvino
    from openvino import opset13

    left = opset13.parameter([size, size], np.float32)
    right = opset13.constant(np.random.default_rng(0).random((size, size), np.float32))
    product = opset13.matmul(left, right, False, False)
    product.set_friendly_name("product")
    ranges = {"product": [(0.0, 1.0), None]}
    model, hint = in_precision(openvino.Model([product], [left]), precision, ranges)
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    picture = np.ones((size, size), np.float32)
    return lambda: request.infer([picture], share_inputs=True, share_outputs=True)


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


def bench(arguments: argparse.Namespace, backend: str, precision: str) -> dict[str, Any]:
    """All figures of one backend in one precision."""
    start = time.perf_counter()
    device, every = arguments.device, arguments.every
    tracker = LangTracker.from_pretrained(arguments.weights, device, backend=backend, precision=precision)
    loaded = time.perf_counter() - start
    used = tracker.info["weights"][0]["backend"]
    peak = matmul_peak(used["precision"], device, backend)
    language_flops, tracker_flops = network_flops(tracker)
    stages = {"decode": figures(timed(read_frames(CLIP)))}

    encoded = tracker.segmenter.encode(TEXT)
    pictures = list(read_frames(CLIP))
    language = timed(tracker.segmenter.segment(frame, encoded) for frame in pictures)
    stages["language"] = figures(language, language_flops, peak)
    follower = tracker.new_tracker()
    follower.init(pictures[0], first_box())
    stages["tracker"] = figures(timed(map(follower.update, pictures[1:])), tracker_flops, peak)
    del pictures

    query = Query(text=TEXT)
    stages["track"] = figures(timed(tracker.track(read_frames(CLIP), query, every=every)))
    marks: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        track_video(
            tracker,
            CLIP,
            query,
            out=Path(folder) / "run",
            options=RunOptions(every=every),
            on_step=lambda step: marks.append((time.perf_counter(), time.process_time())),
        )
    wall, cpu = (np.diff(values) * 1000 for values in zip(*marks, strict=True))
    stages["track and files"] = figures(Times(wall.tolist(), cpu.tolist()))
    if backend == "openvino" and arguments.weights == "lite":
        saved_models = {"language": "dmn-4-256x448", "tracker": "siammask-search"}
        for branch, entry in choose("lite").items():
            share = big_layers_share(saved_models[branch], used["precision"], entry.read().ranges, peak)
            stages[branch]["big_layers"] = share
    return {
        **{name: used[name] for name in ("name", "version", "precision")},
        "loaded_s": loaded,
        "peak_gflops": peak / 1e9,
        "stages": stages,
    }


def in_child(options: list[str], variant: str, tree: Path) -> dict[str, Any]:
    """The figures of a variant from fresh processes, with the packages of a checkout."""
    command = [sys.executable, "-P", str(Path(__file__).resolve()), *options, "--variant", variant]
    here = Path(__file__).resolve().parents[1]  # for what is imported of the benchmarks
    environment = os.environ | {"PYTHONPATH": f"{tree}{os.pathsep}{here}"}
    child = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    run = json.loads(child.stdout.splitlines()[-1])
    return dict(run) | {"memory_mb": peak_of_a_run_mb(options, variant, environment)}


def peak_of_a_run_mb(options: list[str], variant: str, environment: Mapping[str, str]) -> float:
    """The most that ``langtrack track`` ever held in a process of its own, with all files, and with networks
    that are converted already; NaN on Windows, which does not tell."""
    if sys.platform == "win32":
        return math.nan
    backend, precision = variant.split(":")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "langtrack_core", "track", str(CLIP), f"--text={TEXT}"]
        command += [*options, f"--backend={backend}", f"--precision={precision}", f"--out={folder}/run"]
        # A child of the measuring process would begin with all that that one holds.
        _, status, usage = os.wait4(os.posix_spawn(command[0], [*command, "--quiet"], environment), 0)
    if status:
        sys.exit("langtrack track failed, so its memory is not known.")
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of several runs' numbers."""
    first = runs[0]
    result: dict[str, Any] = {}
    for name, value in first.items():
        values = [run[name] for run in runs]
        if isinstance(value, dict):
            result[name] = median(values)
        else:
            result[name] = value if isinstance(value, str) else float(np.median(values))
    return result


def table(document: dict[str, Any]) -> str:
    """The figures as Markdown: a column for each variant."""
    runs = document["runs"]
    base = next((run for run in runs if run["precision"] == "float32"), runs[0])

    def row(name: str, value: Callable[[dict[str, Any]], str]) -> str:
        return f"| {name} | {' | '.join(value(run) for run in runs)} |"

    def stage(name: str) -> Callable[[dict[str, Any]], str]:
        def cell(run: dict[str, Any]) -> str:
            here = run["stages"][name]
            parts = [f"{here['wall_ms']:.0f} ms, {here['cpu_ms']:.0f} of processor time"]
            if run is not base:
                parts.append(f"{here['cpu_ms'] / base['stages'][name]['cpu_ms']:.2f} of float32's")
            if "share" in here:
                parts.append(f"{here['share']:.0%} of the peak")
            if name.startswith("track") and name != "tracker":
                parts.append(f"**{1000 / here['wall_ms']:.0f} frames a second**")
            return ", ".join(parts)

        return cell

    def rest(run: dict[str, Any]) -> str:
        cpu = {name: values["cpu_ms"] for name, values in run["stages"].items()}
        return f"{cpu['track'] - cpu['decode'] - cpu['language'] - cpu['tracker']:.0f} of processor time"

    def extra(run: dict[str, Any]) -> str:
        here, without = run["stages"]["track and files"], run["stages"]["track"]
        wall, cpu = (here[key] / without[key] - 1 for key in ("wall_ms", "cpu_ms"))
        return f"{wall:+.0%}, {cpu:+.0%} of processor time"

    def big_layers(run: dict[str, Any]) -> str:
        shares = [run["stages"][name].get("big_layers") for name in ("language", "tracker")]
        return " and ".join(f"{share:.0%}" for share in shares if share is not None)

    lines = [
        document["machine"],
        "",
        f"| mean of a frame | {' | '.join(label(run) for run in runs)} |",
        f"|---|{'---:|' * len(runs)}",
        row("decode", stage("decode")),
        row("language branch", stage("language")),
        row("tracker branch", stage("tracker")),
        row("big layers of both networks, of the peak", big_layers),
        row("fusion, and what else `track` does", rest),
        row("`track`: decoding, both branches, fusion", stage("track")),
        row("the same with the four videos and all files", stage("track and files")),
        row("extra for videos and files", extra),
        row("peak memory of `langtrack track`", lambda run: f"{run['memory_mb']:.0f} MB"),
        row("fastest matrix product", lambda run: f"{run['peak_gflops']:.0f} GFLOP/s of a core"),
    ]
    for name in ("language", "tracker", "track", "track and files"):
        if all("against" in run for run in runs):
            lines.append(row(f"{name}: processor time of the other checkout over this one's", _gain(name)))
    return "\n".join(lines)


def _gain(name: str) -> Callable[[dict[str, Any]], str]:
    def cell(run: dict[str, Any]) -> str:
        then, now = run["against"]["stages"][name], run["stages"][name]
        cpu, wall = (then[key] / now[key] for key in ("cpu_ms", "wall_ms"))
        return f"{cpu:.2f} ({wall:.2f} by the clock)"

    return cell


def first_box() -> np.ndarray:
    first_row = CLIP.with_suffix(".groundtruth.txt").read_text(encoding="utf-8").splitlines()[0]
    return xywh_to_xyxy([float(value) for value in first_row.split(",")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="lite")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", choices=("openvino", "torch", "both"), default="both")
    parser.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        action="append",
        help="of OpenVINO, may be given several times; all that this machine offers unless told otherwise",
    )
    parser.add_argument("--every", type=int, default=1, help="language branch on every K-th frame")
    parser.add_argument(
        "--rounds", type=int, default=1, help="runs of each variant, of which the median counts"
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, to be run in turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the table of such a file")
    parser.add_argument(
        "--into", type=Path, metavar="DOC", help="put the table between the marks of this file"
    )
    parser.add_argument("--variant", help=argparse.SUPPRESS)  # in a child: backend:precision
    arguments = parser.parse_args()

    if arguments.table:
        put(table(json.loads(arguments.table.read_text("utf-8"))), arguments.into)
        return
    if arguments.variant:
        print(json.dumps(bench(arguments, *arguments.variant.split(":"))))
        return
    backends = ("openvino", "torch") if arguments.backend == "both" else (arguments.backend,)
    if arguments.device != "cpu":
        backends = ("torch",)
    has_openvino = importlib.util.find_spec("openvino") is not None
    precisions = arguments.precision or (able_precisions() if has_openvino else [])
    variants = [f"openvino:{precision}" for precision in precisions if "openvino" in backends]
    variants += ["torch:auto"] * ("torch" in backends)
    passed = [f"--{name}={getattr(arguments, name)}" for name in ("weights", "device", "every")]
    here = Path(__file__).resolve().parents[1]
    trees = [here, *([arguments.against.resolve()] if arguments.against else [])]
    runs: dict[tuple[str, Path], list[dict[str, Any]]] = {}
    for _ in range(arguments.rounds):
        for variant in variants:
            for tree in trees:  # in turns, so that what disturbs one disturbs the other
                runs.setdefault((variant, tree), []).append(in_child(passed, variant, tree))
    results = [
        median(runs[variant, here])
        | ({"against": median(runs[variant, trees[1]])} if arguments.against else {})
        for variant in variants
    ]
    info = probe(CLIP)
    machine = (
        f"{processor()}, {os.cpu_count()} cores, PyTorch {torch.__version__}; "
        f"{CLIP.name}, {info.width}x{info.height}; {arguments.weights}"
    )
    document = {"machine": machine, "rounds": arguments.rounds, "runs": results}
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    put(table(document), arguments.into)


def put(text: str, path: Path | None) -> None:
    """Prints a table, and puts it between the marks of a document."""
    print(text)
    if path is not None:
        before, start, rest = path.read_text("utf-8").partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if not end:
            sys.exit(f"{path} has no {MARKS[0]} and {MARKS[1]} to put the table between.")
        path.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")


def label(run: dict[str, Any]) -> str:
    return f"{run['name']}, {run['precision']}"


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
