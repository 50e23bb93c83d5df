"""The command line: ``python -m langtrack_core track|batch|weights|train|evaluate|calibrate``.

Exit codes: 0 done; 1 something that the user can put right, told in one line; 2 wrong usage; 130 and 143
stopped by Ctrl-C and SIGTERM, with nothing half-written.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from .types import LangTrackError, Query

if TYPE_CHECKING:
    from .pipeline import LangTracker
    from .run.track_video import Outcome
    from .video import VideoInfo

PROG = "langtrack"

DISPATCHED = {
    "batch": {"": ("langtrack_lab.batch.command", "many videos, a run folder each and one index")},
    "train": {
        "dmn": ("langtrack_lab.training.language", "the language branch"),
        "siammask": ("langtrack_lab.training.tracker", "the tracker"),
    },
    "evaluate": {
        "": ("langtrack_lab.evaluation.command", "the whole tracker over a data set"),
        "lgm": ("langtrack_lab.evaluation.single_branch", "the language branch alone, frame by frame"),
        "siam": ("langtrack_lab.evaluation.single_branch", "the tracker alone, from the true first box"),
        "refer": ("langtrack_lab.evaluation.probes", "the language branch on single pictures"),
        "absent": ("langtrack_lab.evaluation.probes", "sentences that name what is not there"),
        "contrast": ("langtrack_lab.evaluation.probes", "sentences that tell two things apart"),
    },
    "report": {"": ("langtrack_lab.report.command", "result folders, side by side")},
    "calibrate": {
        "lgm": ("langtrack_lab.calibrate", "the language branch's confidence"),
        "siam": ("langtrack_lab.calibrate", "the tracker's confidence"),
    },
}
"""Commands whose modules have ``add_arguments(parser)`` and ``run(args) -> int``; loaded only when used.
Under the empty name is what runs when none of the others is given."""


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage in one line; its subcommands' parsers are of this class too."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help shows the usage.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; what it returns is the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        target = target_of(arguments)
        if target is not None:
            return _dispatch(arguments[0], target, arguments[2 if target else 1 :])
        args = _parser().parse_args(arguments)
        with _terminable():
            return args.run(args)
    except LangTrackError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROG}: stopped; nothing half-written is left.", file=sys.stderr)
        return 130
    except Exception as error:  # a fault of ours: still one line, and the traceback for whoever wants it
        if os.environ.get("LANGTRACK_DEBUG"):
            raise
        sentence = f"internal error ({type(error).__name__}: {error})"
        print(f"{PROG}: {sentence}; LANGTRACK_DEBUG=1 shows where.", file=sys.stderr)
        return 1


def target_of(arguments: Sequence[str]) -> str | None:
    """Which target of a dispatched command is meant, None when the command has no such target."""
    targets = DISPATCHED.get(arguments[0], {}) if arguments else {}
    if len(arguments) >= 2 and arguments[1] in targets:
        return arguments[1]
    return "" if "" in targets else None


def _parser() -> argparse.ArgumentParser:
    from .weights import command as weights_command

    parser = _Parser(PROG, description="Follow an object through a video by describing it.")
    commands = parser.add_subparsers(required=True, metavar="command")
    track = commands.add_parser(
        "track",
        help="follow an object and write a run folder",
        description="Follow what --text describes, what --box encloses on the first frame, or both.",
    )
    _add_track_arguments(track)
    track.set_defaults(run=run_track)
    weights = commands.add_parser("weights", help="list, verify or add weights")
    weights_command.add_arguments(weights)
    weights.set_defaults(run=weights_command.run)
    for command, targets in DISPATCHED.items():
        named = [f"{name}: {what}" if name else what for name, (_, what) in targets.items()]
        listing = "; ".join(named)
        dispatched = commands.add_parser(command, help=listing)
        dispatched.add_argument("target", choices=targets, help=f"{listing}; each has a --help of its own")
    return parser


def _dispatch(command: str, target: str, rest: Sequence[str]) -> int:
    name, what = DISPATCHED[command][target]
    module = importlib.import_module(name)
    others = [f"{command} {name}: {about}" for name, (_, about) in DISPATCHED[command].items() if name]
    parser = _Parser(
        f"{PROG} {command} {target}".rstrip(),
        description=f"{command.capitalize()}: {what}.",
        epilog=None if target else "; ".join(others),
    )
    module.add_arguments(parser)
    parser.set_defaults(target=target)
    args = parser.parse_args(rest)
    with contextlib.nullcontext() if command == "train" else _terminable():  # training saves before it ends
        return module.run(args)


# --- track -------------------------------------------------------------------------------------------------


def _add_track_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video", metavar="VIDEO", type=Path, help="a video file, a GIF, or a folder of frames"
    )
    parser.add_argument(
        "--text", metavar="TEXT", help='what to follow, for example "the white car on the left"'
    )
    parser.add_argument(
        "--box",
        type=_box,
        metavar="x1,y1,x2,y2",
        help="box on the first frame, in pixels, x2 and y2 exclusive",
    )
    parser.add_argument("--start", type=_count(0), default=0, metavar="N", help="first frame, from 0")
    parser.add_argument(
        "--every", type=_count(1), default=1, metavar="K", help="run the language branch on every K-th frame"
    )
    parser.add_argument(
        "--weights", default="lite", metavar="NAME|FILE", help="lite (default), paper, or a checkpoint"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    parser.add_argument(
        "--backend",
        choices=("auto", "openvino", "torch"),
        default="auto",
        help="what runs the networks; auto: OpenVINO on a CPU where it works, else PyTorch",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run, made new")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in that folder")
    parser.add_argument("--png", action="store_true", help="write every mask as a PNG too")
    parser.add_argument("--no-video", action="store_true", help="do not write the four videos")
    parser.add_argument("--rotated", action="store_true", help="draw the rotated rectangles too")
    parser.add_argument(
        "--keep-damaged", action="store_true", help="keep what can be decoded of a video that ends early"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _box(text: str) -> np.ndarray:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"expected four numbers x1,y1,x2,y2, got {text!r}")
    return np.array(numbers)


def _count(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, got {text!r}")
        return int(text)

    return parse


def run_track(args: argparse.Namespace) -> int:
    """Check everything that can be checked, load, follow, write."""
    from tqdm import tqdm

    from .run.recorder import check_out_dir
    from .run.render import Style
    from .run.track_video import Output, load_tracker, open_source, record

    query = Query(args.text, args.box, args.start)
    check_out_dir(args.out, overwrite=args.overwrite)
    source = open_source(args.video, query)
    tracker = load_tracker(args.weights, args.device, args.backend)
    _tell_unknown_words(tracker, query)
    output = Output(
        args.png, not args.no_video, args.overwrite, args.keep_damaged, Style(rotated=args.rotated)
    )
    total = source.info.frames_estimate and max(1, source.info.frames_estimate - query.start)
    with tqdm(total=total, unit="frame", disable=args.quiet, dynamic_ncols=True) as bar:
        outcome = record(
            tracker,
            source,
            query,
            args.out,
            every=args.every,
            output=output,
            on_step=lambda step: bar.update(),
        )
    if outcome.damage:
        print(f"{PROG}: {outcome.damage}", file=sys.stderr)
    if not args.quiet:
        print(_summary(source.info, query, outcome, tracker.info))
    return 0


def _tell_unknown_words(tracker: LangTracker, query: Query) -> None:
    """Before the run, which may be long."""
    unknown = () if query.text is None else tracker.describe(query.text).unknown
    if unknown:
        print(f"{PROG}: unknown words, left out: {', '.join(unknown)}", file=sys.stderr)


def _summary(info: VideoInfo, query: Query, outcome: Outcome, tracker_info: dict) -> str:
    target = f'"{query.text}"' if query.text is not None else "the box"
    states = outcome.states
    parts = [
        f"Followed {target} through {states.total()} frames of {info.path.name}: "
        f"found in {states['tracking']}, lost in {states['lost']}, still searching in {states['searching']}."
    ]
    if outcome.unknown:
        parts.append(f"Unknown words: {', '.join(outcome.unknown)}.")
    used = [f"{w['branch']} {w['name']} ({', '.join(w['files'])})" for w in tracker_info["weights"]]
    parts.append(f"Weights: {'; '.join(used)}.")
    parts.append(f"The run is in {outcome.folder}.")
    return " ".join(parts)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the block by an exception, so that files are cleaned up as after Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever runs it there handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
