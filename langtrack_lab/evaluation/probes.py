"""Three small tests that a benchmark of clips does not cover.

python -m langtrack_core evaluate refer --data DEV                   is the box of a sentence found on a photo
python -m langtrack_core evaluate absent --data DEV                  is an absent object reported as absent
python -m langtrack_core evaluate contrast --data DEV --pairs FILE   is the right one of two objects found

DEV holds ``refer`` (images, expressions.json), ``davis`` and ``boxes``. FILE is a JSON list; each entry has
``expression``, the boxes of the right and of the other object (``box_xyxy``, ``other_box_xyxy``; or ``mask``
and ``other_mask``, pictures), and either ``picture`` or ``clip`` and ``frame``. Paths are relative to DEV.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from langtrack_core.dmn.segmenter import DMNSegmenter
from langtrack_core.geometry import box_iou
from langtrack_core.masks import BoolMask, box_to_mask, mask_iou
from langtrack_core.pipeline import LangTracker
from langtrack_core.types import Frame, LangTrackError, Query
from langtrack_core.video import read_picture
from langtrack_core.weights.load import build_segmenter, choose

from ..datasets import Referral, open_dataset
from ..datasets.files import read_json
from ..truth.mask_files import read_mask
from .same_kind import same_kind
from .single_branch import tracking_sequences

RIGHT_OVER = 0.5
"""A box counts as right when its IoU with the true one is over this, as is usual for RefCOCO."""

ABSENT_FRAMES = 60
"""Number of frames of a clip that are searched for each sentence about an absent object."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with refer, davis and boxes in it")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="contrast: the list of pairs")
    parser.add_argument(
        "--frames",
        type=int,
        default=ABSENT_FRAMES,
        metavar="N",
        help=f"absent: of each clip the first N frames; default {ABSENT_FRAMES}",
    )
    parser.add_argument("--weights", default="lite", help="a name from `weights list`, or a file")
    parser.add_argument("--device", default="cpu")


def run(args: argparse.Namespace) -> int:
    """Runs the test ``args.target`` and prints its figures."""
    if args.target == "absent":
        print_absent(LangTracker.from_pretrained(args.weights, args.device), args.data, args.frames)
        return 0
    if args.target == "contrast" and args.pairs is None:
        raise LangTrackError("Say with --pairs which file lists the contrasting sentences.")
    segmenter = build_segmenter(choose(args.weights)["language"], args.device).segmenter
    if args.target == "refer":
        print_refer(segmenter, args.data / "refer")
    else:
        print_contrast(segmenter, args.data, args.pairs)
    return 0


# --- photos ------------------------------------------------------------------------------------------------


def print_refer(segmenter: DMNSegmenter, folder: Path) -> None:
    """Prints the share of sentences whose box is right, and the mean IoU with the true box."""
    ious = []
    referrals = [r for r in open_dataset("refer-boxes", folder) if isinstance(r, Referral)]
    for referral in tqdm(referrals, "refer", leave=False):
        frame = Frame(0, 0.0, read_picture(referral.picture.path))
        for sentence in referral.sentences:
            box = segmenter.segment(frame, segmenter.encode(sentence)).box_xyxy
            ious.append(0.0 if box is None else box_iou(box, referral.instance.box_xyxy))
    right = np.mean(np.array(ious) > RIGHT_OVER)
    print(f"{len(ious)} sentences: accuracy at IoU {RIGHT_OVER} {right:.3f}, mean IoU {np.mean(ious):.3f}")


# --- absent objects ----------------------------------------------------------------------------------------


def print_absent(tracker: LangTracker, folder: Path, frames: int = ABSENT_FRAMES) -> None:
    """Prints the share of frames on which the fused track, and the language branch alone, reports absence.

    Every clip is searched for the first sentence of every other clip that shows nothing of the same kind.
    """
    clips = tracking_sequences(folder)
    fused, alone, total = Counter[str](), Counter[str](), Counter[str]()
    pairs = [(clip, other) for clip in clips for other in clips if not same_kind(clip, other)]
    for clip, other in tqdm(pairs, "absent", leave=False):
        pictures = itertools.islice(clip.read_frames(), frames)
        for step in tracker.track(pictures, Query(other.expressions[0])):
            sure = step.language is not None and step.language.present
            sure = sure and step.language.confidence >= tracker.fusion.start  # type: ignore[union-attr]
            total[clip.name] += 1
            fused[clip.name] += step.decision.state != "tracking"
            alone[clip.name] += not sure
    print(f"{'clip':<14}{'frames':>8}{'fused':>8}{'language':>10}")
    for name, count in total.items():
        print(f"{name:<14}{count:>8}{fused[name] / count:>8.3f}{alone[name] / count:>10.3f}")
    count = total.total()
    print(f"{'said absent':<14}{count:>8}{fused.total() / count:>8.3f}{alone.total() / count:>10.3f}")


# --- one of two --------------------------------------------------------------------------------------------


def print_contrast(segmenter: DMNSegmenter, folder: Path, pairs: Path) -> None:
    """Prints the share of sentences whose mask overlaps the right object more than the other."""
    entries = read_json(pairs, "a list of contrasting sentences")
    clips = {clip.name: clip.frames for clip in tracking_sequences(folder)} if _any_clip(entries) else {}
    wrong = []
    for number, entry in enumerate(tqdm(entries, "contrast", leave=False), 1):
        try:
            path = folder / entry["picture"] if "picture" in entry else clips[entry["clip"]][entry["frame"]]
            expression = entry["expression"]
            frame = Frame(0, 0.0, read_picture(path))
            target, other = (_region(entry, which, folder, frame.size_hw) for which in ("", "other_"))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise LangTrackError(f"Entry {number} of {pairs} cannot be used: {error!r}.") from error
        mask = segmenter.segment(frame, segmenter.encode(expression)).mask
        overlaps = mask_iou(mask, target), mask_iou(mask, other)
        if not (mask.any() and overlaps[0] > overlaps[1]):
            wrong.append(f"{expression} ({path.name}): {overlaps[0]:.2f} against {overlaps[1]:.2f}")
    if not entries:
        raise LangTrackError(f"{pairs} lists no pairs.")
    for line in wrong:
        print(f"wrong: {line}")
    right = len(entries) - len(wrong)
    print(f"{len(entries)} contrasting sentences: {right / len(entries):.3f} right")


def _any_clip(entries: Any) -> bool:
    return isinstance(entries, list) and any("clip" in entry for entry in entries)


def _region(entry: dict[str, Any], which: str, folder: Path, size_hw: tuple[int, int]) -> BoolMask:
    if f"{which}mask" in entry:
        return read_mask(folder / entry[f"{which}mask"]).mask
    return box_to_mask(entry[f"{which}box_xyxy"], size_hw)
