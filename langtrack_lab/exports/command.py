"""``langtrack export RUN… --format NAME --out OUT``: tracks in the formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from langtrack_core.types import LangTrackError

from ..runs import read_run
from .clip import Clip, Track
from .formats import FORMATS, export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    listing = "; ".join(f"{name}: {form.about}" for name, form in FORMATS.items())
    parser.epilog = f"Formats. {listing}."
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folders of one video, a target each"
    )
    parser.add_argument("--format", required=True, choices=FORMATS, metavar="NAME", help="listed below")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help="a folder or a file, made new; see the manual"
    )
    parser.add_argument(
        "--video",
        type=Path,
        metavar="VIDEO",
        help="the video of the runs: its frames are written beside the labels, and cut-outs are made of it",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="TEXT",
        help="class of the targets: once for all, or once for each run; default: the expression of each run",
    )
    parser.add_argument(
        "--tolerance",
        type=_pixels,
        default=0.0,
        metavar="PIXELS",
        help="polygons may leave the edge of the mask by so much and have fewer points; default 0, exact",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def run(args: argparse.Namespace) -> int:
    """Read everything, then write."""
    labels = args.label if len(args.label) != 1 else args.label * len(args.runs)
    if labels and len(labels) != len(args.runs):
        raise LangTrackError(f"Give --label once, or once for each of the {len(args.runs)} runs.")
    tracks = [
        Track(read_run(folder), label)
        for folder, label in zip(args.runs, labels or [""] * len(args.runs), strict=True)
    ]
    with tqdm(unit="frame", disable=args.quiet, dynamic_ncols=True) as bar:
        clip = Clip(tracks, args.video, args.tolerance, lambda frame: bar.update())
        export(clip, args.format, args.out)
    if not args.quiet:
        targets = "1 target" if len(tracks) == 1 else f"{len(tracks)} targets"
        print(f"{targets} on {len(clip.frames)} frames as {args.format}: {args.out}.")
    return 0


def _pixels(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected a number of pixels from 0 to 100, got {text!r}")
    return value
