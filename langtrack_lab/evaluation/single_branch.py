"""One branch alone on the dev sets: two tables, one number below each.

python -m langtrack_core evaluate tracker --data DEV      success AUC of the tracker, from the first true box
python -m langtrack_core evaluate language --data DEV     mean IoU of the language branch, frame by frame

DEV holds ``davis`` (DAVIS layout with sentences) and, for the tracker, ``boxes`` (LaSOT layout).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from langtrack_core.dmn.segmenter import DMNSegmenter
from langtrack_core.geometry import FloatArray
from langtrack_core.run.command import add_network_arguments
from langtrack_core.siammask.tracker import SiamMaskTracker
from langtrack_core.types import Branch, Decision, Estimate, Frame, Query, Reason, State, Step
from langtrack_core.weights.load import build_segmenter, build_tracker

from ..metrics import PLAIN
from ..weights.one_branch import choose_branch
from .protocol import DEV, Item, Protocol, items_of, startable
from .runner import Record, run_items
from .scores import scores_of
from .tables import aligned, as_decimal, precision_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with davis and boxes in it")
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the table of ``args.target``, "tracker" or "language"."""
    entry = choose_branch(args.weights, args.target)
    if args.target == "tracker":
        new_tracker, info = build_tracker(entry, args.device, args.backend, args.precision)
        items = startable(items_of(Protocol(DEV, init="box"), args.data))
        print(tracker_table(tracker_records(new_tracker(), items)))
    else:
        segmenter, info = build_segmenter(entry, args.device, args.backend, args.precision)
        items = items_of(Protocol("davis", sentences="all"), args.data / "davis")
        print(language_table(language_records(segmenter, items)))
    print(precision_line([info]))
    return 0


# --- the tracker -------------------------------------------------------------------------------------------


def tracker_records(tracker: SiamMaskTracker, items: Iterable[Item]) -> list[Record]:
    """Start on each item's first true box, and follow to the end."""
    return [record for _, record in run_items(partial(follow_box, tracker), items, ["tracker"])]


def follow_box(tracker: SiamMaskTracker, frames: Iterable[Frame], query: Query) -> Iterator[Step]:
    """The tracker alone. It does not search the frame of the given box, which no figure counts."""
    for frame in frames:
        if frame.index == query.start:
            assert query.box_xyxy is not None
            tracker.reanchor(frame, query.box_xyxy, exact=True)
            yield _step(frame, "tracker", Estimate.absent(frame.size_hw))
        else:
            yield _step(frame, "tracker", tracker.update(frame))


def overlaps_after_start(record: Record) -> FloatArray:
    """``(N - 1,)`` IoU of the tracker's masks, or of its boxes where there are no true masks.

    Of the frames after the one with the given box; nan where the target is absent or not annotated.
    """
    overlaps = scores_of(record, PLAIN)["tracker"].overlaps
    return np.where(record.absent, np.nan, overlaps)[1:]


def tracker_table(records: Sequence[Record]) -> str:
    """AUC, precision and, where there are masks, their IoU, by sequence; the means are of the sequences.

    A sequence without a true box after the given one has no figures.
    """
    lines, figures = [["sequence", "frames", "AUC", "P 20", "mask IoU"]], []
    for record in records:
        values = scores_of(record, PLAIN)["tracker"].values
        if "auc" not in values:
            lines.append([record.key, "0", "", "", ""])
            continue
        auc, precision = values["auc"], values["precision"]
        has_masks = len(record.predictions["tracker"].masks) > 0
        mask_iou = float(np.nanmean(overlaps_after_start(record))) if has_masks else np.nan
        figures.append((auc.value, precision.value))
        lines.append([record.key, f"{auc.weight}", *map(as_decimal, (*figures[-1], mask_iou))])
    means = np.mean(figures, axis=0) if figures else (None, None)
    lines.append(["mean", "", *map(as_decimal, means), ""])
    return aligned(lines, 1)


# --- the language branch -----------------------------------------------------------------------------------


def language_records(segmenter: DMNSegmenter, items: Iterable[Item], *, closer: bool = False) -> list[Record]:
    """Segment every frame of each item for itself; with ``closer`` as a picture of its own, see
    `DMNSegmenter.look`."""
    alone = partial(segment_frames, segmenter, closer=closer)
    return [record for _, record in run_items(alone, items, ["language"])]


def segment_frames(
    segmenter: DMNSegmenter, frames: Iterable[Frame], query: Query, *, closer: bool = False
) -> Iterator[Step]:
    """The language branch alone."""
    assert query.text is not None
    encoded, look = segmenter.encode(query.text), segmenter.look if closer else segmenter.segment
    for frame in frames:
        yield _step(frame, "language", look(frame, encoded))


def language_table(records: Sequence[Record]) -> str:
    """Mean mask IoU of every sentence of every sequence, and the mean of these."""
    ious = [scores_of(record, PLAIN)["language"].values["mean_iou"].value for record in records]
    lines = [["sequence", "sentence", "frames", "IoU"]]
    for record, iou in zip(records, ious, strict=True):
        lines.append([record.name, record.sentence or "", f"{len(record.truth_xyxy)}", as_decimal(iou)])
    lines.append(["mean", "", "", as_decimal(float(np.mean(ious)))])
    return aligned(lines, 2)


def _step(frame: Frame, branch: Branch, estimate: Estimate) -> Step:
    """A step in which one branch ran, and is believed."""
    language, tracker = (estimate, None) if branch == "language" else (None, estimate)
    state: State = "tracking" if estimate.box_xyxy is not None else "searching"
    reason = Reason.LANGUAGE_ONLY if branch == "language" else Reason.TRACKER_ONLY
    decision = Decision(branch, state, estimate.confidence, False, False, reason)
    return Step(frame, language, tracker, estimate, decision)
