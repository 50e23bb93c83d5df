"""From raw scores to probabilities: fitted on clips, stored in the checkpoint's metadata.

python -m langtrack_core calibrate language --data DEV [--write]
python -m langtrack_core calibrate tracker --data DEV --data CLIPS --check OTHERS [--write] [--plot FILE.html]

An estimate is right when the IoU of its mask with the true one, or of the boxes where no masks are
annotated, is above 0.5. The language branch is asked every sentence of a clip and also sentences of other
clips, of which nothing is to be found: there every box is wrong. The tracker starts on the first true box and
follows to the end. Printed is the expected calibration error before (the bare sigmoid, or the raw score),
after, on each clip by the curve that the other clips give, and on the clips of ``--check``, which nothing is
fitted to. The third and the fourth are what a new clip may expect.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from langtrack_core.dmn.segmenter import DMNSegmenter, EncodedText
from langtrack_core.files import sha256_of
from langtrack_core.fusion import Calibration
from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.masks import binarise, enclosing_box, prob_to_u8
from langtrack_core.siammask.tracker import SiamMaskTracker
from langtrack_core.types import LangTrackError, UnreadableText
from langtrack_core.weights.load import SHIPPED, Entry, build_segmenter, build_tracker

from .datasets import Sequence, davis_sequences, guess_kind, held_out_clips, open_sequences
from .datasets.held_out import MIN_CLIPS
from .evaluation.protocol import Item, dev_sequences
from .evaluation.same_kind import same_kind
from .evaluation.single_branch import overlaps_after_start, tracker_records
from .evaluation.tables import precision_line
from .files import write_text
from .metrics.boxes import has_area
from .metrics.masks import mask_iou
from .report.charts import Line, legend, line_chart
from .report.page import page_style
from .training.checkpoints import store_metadata
from .weights.one_branch import choose_branch

LANGUAGE_STRIDE = 8
"""The language branch gets every eighth frame of a clip: neighbouring frames are nearly the same."""

OWN_PER_FOREIGN = 4
"""Sentences that fit the clip, for each that does not: people mostly ask for what is there."""

FOREIGN_FRAMES = 8
"""Number of frames of another clip on which the tracker has no target: what it must learn to score low."""

FOREIGN_CLIPS = 6
"""Number of other clips that the tracker is shown so. With `FOREIGN_FRAMES` of each, about a third of all
frames are without the target."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="folder with davis and boxes in it, or a data set that its files give away, such as one in the "
        "layout of DAVIS with expressions.json; may be given several times",
    )
    parser.add_argument(
        "--check",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="such a folder, which is measured and not fitted to",
    )
    parser.add_argument(
        "--held-out", action="store_true",
        help="the folder holds davis, of which the clips are taken that trainings of language leave out",
    )  # fmt: skip
    parser.add_argument("--weights", default="lite", help="a name from `weights list`, or a file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16", "int8"), default="float32",
        help="of the network in OpenVINO; float32 (default) is the same on every machine",
    )  # fmt: skip
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.html", help="draw the reliability before and after"
    )
    parser.add_argument("--write", action="store_true", help="store the result in the checkpoint")


def run(args: argparse.Namespace) -> int:
    """Fits ``args.target``, "language" or "tracker"."""
    if args.plot is not None and (args.plot.is_dir() or not args.plot.absolute().parent.is_dir()):
        raise LangTrackError(f"--plot cannot be {args.plot}: a file in a folder that is there is needed.")
    entry = choose_branch(args.weights, args.target)
    read = _held_out if args.held_out else clips_of
    sequences = [sequence for folder in args.data for sequence in read(folder)]
    unseen = [sequence for folder in args.check for sequence in clips_of(folder)]
    if args.target == "language":
        segmenter, info = build_segmenter(entry, args.device, precision=args.precision)
        clips, others = language_scores(segmenter, sequences), language_scores(segmenter, unseen)
    else:
        new_tracker, info = build_tracker(entry, args.device, precision=args.precision)
        tracker = new_tracker()
        uncalibrated = SiamMaskTracker(tracker.network, tracker.config, device=args.device)
        clips, others = tracker_scores(uncalibrated, sequences), tracker_scores(uncalibrated, unseen)
    scores, right = joined(clips)
    calibration = fit(clips)
    raw, fitted = (
        scores if args.target == "tracker" else apply(Calibration(), scores),
        apply(calibration, scores),
    )
    print(f"{len(scores)} boxes, {np.mean(right):.1%} right; {calibration}")
    before, after = calibration_error(raw, right), calibration_error(fitted, right)
    print(f"expected calibration error {before:.3f} -> {after:.3f}")
    print_reliability(fitted, right)
    if len(clips) > 1:
        left_out = left_out_probabilities(clips)
        print(f"each clip by the others' curve: error {calibration_error(left_out, right):.3f}")
        print_reliability(left_out, right)
    if others:
        scores_there, right_there = joined(others)
        there = apply(calibration, scores_there)
        print(f"{len(there)} boxes of --check: error {calibration_error(there, right_there):.3f}")
        print_reliability(there, right_there)
    print(precision_line([info]))
    if args.plot:
        errors = (before, after)
        write_text(args.plot, reliability_page(args.target, raw, fitted, right, errors))
        print(f"reliability drawn in {args.plot}")
    if args.write:
        store(entry, "calibration", [calibration.slope, calibration.intercept])
    return 0


def store(entry: Entry, name: str, value: Any) -> None:
    """Write a value into an entry's checkpoint, and the new hash beside weights that were added by name."""
    store_metadata(entry.path, name, value)
    note = entry.folder / "entry.json"
    if note.exists():
        added = json.loads(note.read_text(encoding="utf-8"))
        added["files"][entry.path.name] = sha256_of(entry.path)
        write_text(note, json.dumps(added, indent=2) + "\n")
    is_shipped = entry.path.resolve().parent == SHIPPED.resolve()
    print(f"stored in {entry.path}" + is_shipped * "; now seal: python -m langtrack_core weights seal")


def clips_of(folder: Path) -> list[Sequence]:
    """The clips of a folder like dev, or of a data set whose kind can be told, see `guess_kind`."""
    kind = guess_kind(folder)
    return dev_sequences(folder) if kind is None else open_sequences(kind, folder)


def _held_out(folder: Path) -> list[Sequence]:
    """The clips of a training set's ``davis`` that no training of the language branch sees.

    Raises:
        LangTrackError: trainings see all of them.
    """
    sequences = davis_sequences(folder / "davis")
    names = held_out_clips(sequence.name for sequence in sequences)
    if not names:
        raise LangTrackError(
            f"{folder / 'davis'} has {len(sequences)} clips, and trainings leave four out only where there "
            f"are more than {MIN_CLIPS}: calibrate on clips of another folder, without --held-out."
        )
    return [sequence for sequence in sequences if sequence.name in names]


class ClipScores(NamedTuple):
    """Raw scores of one clip, and whether the box of each was right (1) or not (0)."""

    scores: FloatArray
    right: FloatArray


def joined(clips: Iterable[ClipScores]) -> ClipScores:
    """All clips as one."""
    scores, right = zip(*clips, strict=True)
    return ClipScores(np.concatenate(scores), np.concatenate(right))


def fit(clips: Iterable[ClipScores]) -> Calibration:
    return Calibration(*fit_calibration(*joined(clips)))


def apply(calibration: Calibration, scores: FloatArray) -> FloatArray:
    return np.array([calibration(score) for score in scores])


def left_out_probabilities(clips: list[ClipScores]) -> FloatArray:
    """Probabilities in the order of `joined`, each clip's by the curve that all others give."""
    curves = [fit(clips[:i] + clips[i + 1 :]) for i in range(len(clips))]
    return np.concatenate([apply(curve, clip.scores) for curve, clip in zip(curves, clips, strict=True)])


def language_scores(
    segmenter: DMNSegmenter, sequences: list[Sequence], stride: int = LANGUAGE_STRIDE
) -> list[ClipScores]:
    """Scores of each clip, asked its own sentences and foreign ones alike."""
    clips = []
    for sequence in tqdm(sequences, "language", leave=False):
        scores, right = [], []
        truth = sequence.boxes_xyxy
        own = list(readable(segmenter, sequence))
        others = [other for other in sequences if not same_kind(other, sequence)]
        foreign = [encoded for other in others for encoded in readable(segmenter, other)]
        guests = itertools.cycle(foreign)
        queries = 0
        for frame in sequence.read_frames():
            if frame.index % stride:
                continue
            true_mask = sequence.mask(frame.index)
            there = has_area(truth[frame.index][None])[0] or sequence.absent_frames[frame.index]
            if true_mask is None and not there:
                continue  # nobody annotated it
            before, queries = queries // OWN_PER_FOREIGN, queries + len(own)
            turns = queries // OWN_PER_FOREIGN - before
            for encoded in own + list(itertools.islice(guests, turns)):
                [(mask_prob, score)] = segmenter.predict([(frame, None)], encoded)
                mask = binarise(prob_to_u8(mask_prob))
                box = enclosing_box(mask)
                if box is None:  # absent: there is no box to be right or wrong
                    continue
                scores.append(score)
                if true_mask is not None:
                    overlap = mask_iou(mask, true_mask)
                else:
                    overlap = box_iou(box, np.nan_to_num(truth[frame.index]))
                right.append(float(encoded in own and overlap > 0.5))
        clips.append(ClipScores(np.array(scores), np.array(right)))
    return clips


def readable(segmenter: DMNSegmenter, sequence: Sequence) -> Iterator[EncodedText]:
    """A clip's sentences, read; but for those without any known word, which no run takes."""
    for text in sequence.expressions:
        with contextlib.suppress(UnreadableText):
            yield segmenter.encode(text)


def tracker_scores(tracker: SiamMaskTracker, sequences: list[Sequence]) -> list[ClipScores]:
    """Scores of each clip: all annotated frames, and frames of other clips, where every box is wrong.

    Args:
        tracker: without a calibration, so that its confidences are its raw scores.
    """
    clips = []
    records = tracker_records(tracker, [Item(s.name, s, None, "box") for s in sequences])
    for place, (sequence, record) in enumerate(zip(sequences, records, strict=True)):
        ious = overlaps_after_start(record)
        counted = ~np.isnan(ious)
        later = sequences[place + 1 :] + sequences[:place]
        others = [other for other in later if not same_kind(other, sequence)]
        foreign = foreign_scores(tracker, sequence, others[:FOREIGN_CLIPS])
        own = record.predictions["tracker"].confidence[1:][counted]
        right = np.concatenate([ious[counted] > 0.5, np.zeros(len(foreign))])
        clips.append(ClipScores(np.concatenate([own, foreign]), right))
    return clips


def foreign_scores(tracker: SiamMaskTracker, sequence: Sequence, others: list[Sequence]) -> FloatArray:
    """Raw scores where the target is gone: started on one clip, the tracker looks at others for a moment."""
    scores = []
    start = Item(sequence.name, sequence, None, "box").start
    first = next(sequence.read_frames(start))
    for other in others:
        tracker.reanchor(first, sequence.boxes_xyxy[start], exact=True)
        for frame in itertools.islice(other.read_frames(), FOREIGN_FRAMES):
            scores.append(tracker.update(frame).confidence)
    return np.array(scores)


def fit_calibration(scores: ArrayLike, correct: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of the logistic curve from raw score to the probability of being correct.

    Logistic regression by Newton's method, with a little ridge so that separable data stay finite.
    """
    design = np.stack([np.asarray(scores, np.float64), np.ones(np.size(scores))], axis=1)
    target = np.asarray(correct, np.float64)
    weights = np.zeros(2)
    ridge = 1e-3 * np.eye(2)
    for _ in range(50):
        probability = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (probability - target) + ridge @ weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + ridge
        weights -= np.linalg.solve(curvature, gradient)
    return float(weights[0]), float(weights[1])


def calibration_error(probability: ArrayLike, right: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean gap between probability and frequency over equal bins, by share."""
    p, y = np.asarray(probability, np.float64), np.asarray(right, np.float64)
    if p.size == 0:
        raise LangTrackError("There is nothing to calibrate on: no box was predicted.")
    index = _bin_of(p, bins)
    gaps = [abs(p[index == b].sum() - y[index == b].sum()) for b in range(bins)]
    return float(sum(gaps) / p.size)


def _bin_of(probability: FloatArray, bins: int) -> NDArray[np.int64]:
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def print_reliability(probability: FloatArray, right: FloatArray, bins: int = 10) -> None:
    """How often boxes of each probability were right."""
    print("probability   boxes   right")
    counts = np.bincount(_bin_of(probability, bins), minlength=bins)
    for b, share in enumerate(reliability(probability, right, bins)):
        if counts[b]:
            print(f"{b / bins:.1f} to {(b + 1) / bins:.1f}{counts[b]:>9}{share:>8.3f}")


def reliability(probability: FloatArray, right: FloatArray, bins: int = 10) -> FloatArray:
    """``(bins,)``: of the boxes in each bin, the share that was right; nan for an empty bin."""
    index = _bin_of(probability, bins)
    return np.array([right[index == b].mean() if (index == b).any() else np.nan for b in range(bins)])


def reliability_page(
    branch: str, raw: FloatArray, fitted: FloatArray, right: FloatArray, errors: tuple[float, float]
) -> str:
    """A self-contained HTML page: how often boxes of each probability were right, before and after."""
    centres = np.arange(0.05, 1, 0.1)
    lines = [
        Line("before", reliability(raw, right), "language"),
        Line("calibrated", reliability(fitted, right), "fused"),
        Line("as it should be", centres, "oracle"),
    ]
    title = f"Reliability of the {'language branch' if branch == 'language' else 'tracker'}"
    chart = line_chart(lines, centres, label=title, x_title="probability given")
    notes = [f"error {errors[0]:.3f}", f"error {errors[1]:.3f}", ""]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{page_style()} svg.chart {{ max-width: 560px; }}</style></head><body>"
        f"<h1>{title}</h1><p>Of the boxes with each probability, the share whose IoU with the truth is over "
        f"0.5; {len(right)} boxes, in tenths.</p>{chart}{legend(lines, notes)}</body></html>\n"
    )
