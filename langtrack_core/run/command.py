"""``langtrack track VIDEO``: follow one target through one video and write a run folder."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import PROG
from ..types import Query
from .recorder import RunOptions, check_out_dir
from .render import Style
from .track_video import check_video, load_tracker, track_video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.description = "Follow what --text describes, what --box encloses on the first frame, or both."
    add("video", metavar="VIDEO", type=Path, help="a video file, an animated picture, or a folder of frames")
    add("--text", metavar="TEXT", help='what to follow, for example "the white car on the left"')
    add(
        "--box", type=_box, metavar="x1,y1,x2,y2",
        help="box on the first frame, in pixels, x2 and y2 exclusive; with --text it says which one is meant",
    )  # fmt: skip
    add("--start", type=whole_argument(0), default=0, metavar="N", help="first frame, from 0")
    add_run_arguments(parser)
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the run, made new")
    add("--overwrite", action="store_true", help="replace an earlier run in that folder")
    add("--quiet", action="store_true", help="no progress, no summary")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `RunOptions` and of the networks, for every command that runs videos."""
    add = parser.add_argument
    add("--every", type=whole_argument(1), default=1, metavar="K", help="ask language on every K-th frame")
    add_network_arguments(parser)
    add("--png", action="store_true", help="write every mask as a PNG too")
    add("--no-video", action="store_true", help="do not write the four videos")
    add("--rotated", action="store_true", help="draw the rotated rectangles too")
    add("--keep-damaged", action="store_true", help="keep what can be decoded of a video that ends early")


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that choose the networks and say how they run, see `LangTracker.from_pretrained`."""
    add = parser.add_argument
    add("--weights", default="lite", metavar="NAME|FILE", help="lite (default), paper, or a checkpoint")
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    add(
        "--backend", choices=("auto", "openvino", "torch"), default="auto",
        help="what runs the networks; auto: OpenVINO on a CPU where it works, else PyTorch",
    )  # fmt: skip
    add(
        "--precision", choices=("auto", "float32", "bfloat16", "int8"), default="auto",
        help="of the networks; auto: on a CPU the fastest of OpenVINO's here, timed once; on a GPU float32",
    )  # fmt: skip


def network_options(args: argparse.Namespace) -> dict[str, str]:
    """The arguments of `load_tracker` that the flags of `add_network_arguments` say."""
    return {name: getattr(args, name) for name in ("weights", "device", "backend", "precision")}


def run_options(args: argparse.Namespace) -> RunOptions:
    """The options that the flags of `add_run_arguments` say."""
    style = Style(rotated=args.rotated)
    return RunOptions(args.every, args.png, not args.no_video, keep_damaged=args.keep_damaged, style=style)


def whole_argument(low: int, high: float = math.inf) -> Callable[[str], int]:
    """The ``type`` of an argparse argument that takes whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            span = f"from {low} on" if high == math.inf else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"expected a whole number {span}, got {text!r}")
        return int(text)

    return parse


def _box(text: str) -> np.ndarray:
    try:
        x1, y1, x2, y2 = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected four numbers x1,y1,x2,y2, got {text!r}") from error
    return np.array([x1, y1, x2, y2])


def run(args: argparse.Namespace) -> int:
    """Check everything that can be checked, load, follow, write."""
    from tqdm import tqdm

    query = Query(args.text, args.box, args.start, hold=args.box is not None)
    options = replace(run_options(args), overwrite=args.overwrite)
    check_out_dir(args.out, overwrite=args.overwrite)
    info = check_video(args.video, query)
    for note in () if args.quiet else info.notes:
        print(f"{PROG}: {info.path.name}: {note}", file=sys.stderr)
    tracker = load_tracker(**network_options(args), example=((info.height, info.width), query.text))
    if unknown := () if query.text is None else tracker.read_text(query.text).unknown:
        print(f"{PROG}: unknown words, left out: {', '.join(unknown)}", file=sys.stderr)
    total = max(1, info.frames_estimate - query.start)
    with tqdm(total=total, unit="frame", disable=args.quiet, dynamic_ncols=True) as bar:
        summary = track_video(
            tracker, args.video, query, out=args.out, options=options, on_step=lambda step: bar.update()
        )
    if summary.damage:
        print(f"{PROG}: {summary.damage}", file=sys.stderr)
    if args.quiet:
        return 0
    target, states = f'"{query.text}"' if query.text is not None else "the box", summary.states
    weights = [f"{w['branch']} {w['name']} ({', '.join(w['files'])})" for w in tracker.info["weights"]]
    words = f"Unknown words: {', '.join(summary.unknown_words)}. " if summary.unknown_words else ""
    print(
        f"Followed {target} through {states.total()} frames of {info.path.name}: "
        f"found in {states['tracking']}, lost in {states['lost']}, still searching in {states['searching']}. "
        f"{words}Weights: {'; '.join(weights)}. The run is in {summary.folder}."
    )
    return 0
