"""The whole tracker over a data set, by branch, resumable.

python -m langtrack_core evaluate --data DEV --kind dev --init sentence --out RESULTS

A rerun measures only what is missing; another protocol, other weights, settings or code go into a folder of
their own. `report` compares the folders.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from langtrack_core.pipeline import LangTracker
from langtrack_core.run.command import add_network_arguments, network_options, whole_argument
from langtrack_core.run.track_video import load_tracker
from langtrack_core.types import LangTrackError

from ..datasets import KINDS, Sequence, guess_kind
from ..files import explained, write_text
from ..memory import usual_workers
from .protocol import DEV, DEV_PARTS, INITS, SENTENCES, Protocol, items_of, startable
from .results import ResultFolder, read_results
from .runner import Follow, run_items, run_items_at_once
from .tables import (
    Summary,
    as_csv,
    as_json,
    as_text,
    attribute_rows,
    branch_rows,
    precision_line,
    sequence_rows,
    speed_line,
    summarise,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--kind", metavar="KIND", help=f"its layout: {', '.join([DEV, *sorted(KINDS)])}; guessed if it can be"
    )
    parser.add_argument("--split", metavar="NAME", help="a part of it, such as test")
    parser.add_argument(
        "--init", choices=INITS, default="sentence", help="what is given on the first frame; default sentence"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RESULTS", help="where result folders go")
    parser.add_argument("--sentences", choices=SENTENCES, default="first", help="of each sequence")
    parser.add_argument(
        "--frames", type=whole_argument(1), metavar="N", help="only the first N frames of each sequence"
    )
    parser.add_argument(
        "--every",
        type=whole_argument(1),
        default=1,
        metavar="K",
        help="run the language branch on every K-th frame",
    )
    add_network_arguments(parser)
    parser.add_argument(
        "--workers",
        type=whole_argument(1),
        metavar="N",
        help="sequences at once, in processes of one thread; one for each core with memory unless told "
        "otherwise, and with 1 the speed is that of the machine",
    )
    parser.add_argument("--label", help="name in reports; the name of the weights unless given")


def run(args: argparse.Namespace) -> int:
    """Measure what is missing, then print the tables and write ``summary.csv`` and ``summary.json``."""
    kind = args.kind or _guessed(args.data)
    protocol = Protocol(kind, args.split, args.init, args.sentences, args.frames, args.every)
    items = items_of(protocol, args.data)
    can_start = {item.key for item in startable(items)}
    load = partial(load_tracker, **network_options(args), prefetch=0)  # in turn, to be timed
    tracker = load()
    label = args.label or Path(args.weights).stem
    info = {**tracker.info, "device": args.device}
    folder = ResultFolder(args.out, protocol, info, items, data=args.data, label=label)
    missing = [item for item in items if item.key in can_start and not folder.has(item)]
    print(f"{protocol.title}: {len(can_start) - len(missing)} of {len(items)} are in {folder.path} already.")
    for line in mask_readings(item.sequence for item in missing):
        print(line)
    workers = min(args.workers or usual_workers(args.device), len(missing))
    if workers > 1:
        make = partial(_follow, load, args.every)
        records = run_items_at_once(make, missing, workers)
    else:
        records = run_items(partial(tracker.track, every=args.every), missing)
    for item, record in records:
        folder.save(item, record)
    summary = summarise(read_results(folder.path))
    print_summary(summary)
    with explained(f"The summary cannot be written to {folder.path}"):
        write_text(folder.path / "summary.csv", as_csv([summary]))
        write_text(folder.path / "summary.json", json.dumps(as_json([summary])[0], indent=1) + "\n")
    return 0


def _follow(load: Callable[[], LangTracker], every: int) -> Follow:
    return partial(load().track, every=every)


def mask_readings(sequences: Iterable[Sequence]) -> list[str]:
    """How the masks of sequences are read, a line for those that are read alike."""
    names: dict[str, dict[str, None]] = {}
    for sequence in sequences:
        if sequence.mask_reading is not None:
            names.setdefault(sequence.mask_reading, {})[sequence.name] = None
    return [f"Masks of {', '.join(alike)}: {reading}" for reading, alike in names.items()]


def print_summary(summary: Summary) -> None:
    """The fused track by sequence, then all branches, then attributes, speed, memory and precision."""
    print("\n" + as_text(("sequence", "sentence", "frames"), sequence_rows(summary)))
    print("\n" + as_text(("tracker", "branch"), branch_rows([summary])))
    attributes = attribute_rows([summary])
    if attributes:
        print("\n" + as_text(("attribute", "tracker", "sequences"), attributes))
    print("\n" + speed_line(summary.label, summary))
    print(precision_line(summary.results.run["tracker"]["weights"]))
    for record in summary.records:
        if record.note:
            print(f"{record.key}: nothing was answered: {record.note}")


def _guessed(folder: Path) -> str:
    if all((folder / part).is_dir() for part in DEV_PARTS):
        return DEV
    kind = guess_kind(folder)
    if kind is None:
        raise LangTrackError(f"What kind of data set {folder} is cannot be told; say it with --kind.")
    return kind
