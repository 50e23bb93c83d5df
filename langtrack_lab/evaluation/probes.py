"""Three small tests that a benchmark of clips does not cover.

python -m langtrack_core evaluate refer --data DEV                   is the box of a sentence found on a photo
python -m langtrack_core evaluate refer --data TRAIN --held-out      the same on photos that no training sees
python -m langtrack_core evaluate absent --data DEV                  is an absent object reported as absent
python -m langtrack_core evaluate contrast --data DEV --pairs FILE   is the right one of two objects found
python -m langtrack_core evaluate contrast ... --swapped             does the order of the words count

DEV holds ``refer`` (images, expressions.json), ``davis`` and ``boxes``. FILE is a JSON list; each entry has
``expression``, the boxes of the right and of the other object (``box_xyxy``, ``other_box_xyxy``; or ``mask``
and ``other_mask``, pictures), and either ``picture`` or ``clip`` and ``frame``. Paths are relative to DEV.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from langtrack_core.dmn.segmenter import DMNSegmenter
from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask
from langtrack_core.pipeline import LangTracker
from langtrack_core.run.command import add_network_arguments, network_options, whole_argument
from langtrack_core.run.track_video import load_tracker
from langtrack_core.types import Frame, LangTrackError, check_box
from langtrack_core.weights.load import build_segmenter

from ..datasets import Referral, Sequence, held_out_photos, open_dataset
from ..datasets.files import read_json, read_picture
from ..datasets.pictures import box_to_mask
from ..metrics.boxes import box_ious
from ..metrics.masks import mask_iou
from ..truth.mask_files import read_mask
from ..weights.one_branch import choose_branch
from .protocol import Item, dev_sequences
from .runner import run_items
from .same_kind import same_kind
from .single_branch import language_records
from .tables import aligned, as_decimal, precision_line

RIGHT_OVER = 0.5
"""A box counts as right when its IoU with the true one is over this, as is usual for RefCOCO."""

ABSENT_FRAMES = 60
"""Number of frames of a clip that are searched for each sentence about an absent object."""


OPTIONS_OF = {"held_out": "refer", "pairs": "contrast", "swapped": "contrast", "frames": "absent"}
"""The test that each argument is for; the others have no use for it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with refer, davis and boxes in it")
    parser.add_argument(
        "--held-out", action="store_true",
        help="refer: the folder holds refcoco, of which the photos are measured that trainings leave out",
    )  # fmt: skip
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="contrast: the list of pairs")
    parser.add_argument(
        "--swapped", action="store_true",
        help='contrast: "A next to B" and "B next to A" of every two sentences about the same two objects',
    )  # fmt: skip
    parser.add_argument(
        "--frames",
        type=whole_argument(1),
        metavar="N",
        help=f"absent: of each clip the first N frames; default {ABSENT_FRAMES}",
    )
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the test ``args.target`` and prints its figures."""
    for name, target in OPTIONS_OF.items():
        if getattr(args, name) and args.target != target:
            option = f"--{name.replace('_', '-')}"
            raise LangTrackError(f"{option} is for evaluate {target}, not for evaluate {args.target}.")
    if args.target == "absent":
        tracker = load_tracker(**network_options(args))
        print(absence_table(absence(tracker, args.data, args.frames or ABSENT_FRAMES)))
        print(precision_line(tracker.info["weights"]))
        return 0
    if args.target == "contrast" and args.pairs is None:
        raise LangTrackError("Say with --pairs which file lists the contrasting sentences.")
    entry = choose_branch(args.weights, "language")
    segmenter, info = build_segmenter(entry, args.device, args.backend, args.precision)
    if args.target == "refer":
        folder = args.data / ("refcoco" if args.held_out else "refer")
        photos = held_out_photos(folder) if args.held_out else None
        for closer, how in ((True, "with closer views"), (False, "the whole picture alone")):
            ious = referral_ious(segmenter, folder, photos, closer=closer)
            right = np.mean(ious > RIGHT_OVER)
            figures = f"accuracy at IoU {RIGHT_OVER} {right:.3f}, mean IoU {ious.mean():.3f}"
            print(f"{len(ious)} sentences, {how}: {figures}")
    else:
        contrasts = contrasts_of(segmenter, args.data, args.pairs, args.swapped)
        for contrast in contrasts:
            if not contrast.right:
                print(f"wrong: {contrast}")
        right = np.mean([contrast.right for contrast in contrasts])
        print(f"{len(contrasts)} contrasting sentences: {right:.3f} right")
        if args.swapped:
            both = [a.right and b.right for a, b in zip(contrasts[::2], contrasts[1::2], strict=True)]
            print(f"{len(both)} pairs of the same words: {np.mean(both):.3f} right in both orders")
    print(precision_line([info]))
    return 0


# --- photos ------------------------------------------------------------------------------------------------


def referral_ious(
    segmenter: DMNSegmenter, folder: Path, photos: frozenset[str] | None = None, *, closer: bool = True
) -> FloatArray:
    """``(N,)`` IoU of the box of each sentence with the true one, 0 where none was found.

    Args:
        photos: file names of the photos to measure; None for all.
        closer: the surest of the whole picture and of closer views counts, `DMNSegmenter.look`, as on the
            page before a run; else what is seen in the whole.
    """
    items = []
    for referral in open_dataset("refer-boxes", folder):
        assert isinstance(referral, Referral)
        path, box = referral.picture.path, np.array([referral.instance.box_xyxy])
        if photos is not None and path.name not in photos:
            continue
        for sentence in referral.sentences:
            photo = Sequence(path.name, (path,), (sentence,), boxes=box)
            items.append(Item(path.name, photo, sentence, "sentence"))
    if not items:
        raise LangTrackError(f"{folder} has no photo to measure.")
    records = language_records(segmenter, items, closer=closer)
    return np.concatenate([box_ious(r.predictions["language"].boxes_xyxy, r.truth_xyxy) for r in records])


# --- absent objects ----------------------------------------------------------------------------------------


class Absence(NamedTuple):
    """On how many of a clip's frames an object that is not there was reported absent."""

    frames: int
    fused: int
    language: int


def absence(tracker: LangTracker, folder: Path, frames: int = ABSENT_FRAMES) -> dict[str, Absence]:
    """Search every clip for the first sentence of every other clip that shows nothing of the same kind.

    Returns:
        by clip: counts of the fused track, and of the language branch alone, which counts as reporting
        absence when it is not sure enough to start the tracker.

    Raises:
        LangTrackError: no sentence of a clip is about what is not in another.
    """
    clips = dev_sequences(folder)
    items = []
    for clip in clips:
        pictures = clip.frames[:frames]
        nowhere, absent = np.full((len(pictures), 4), np.nan), np.ones(len(pictures), bool)
        search = Sequence(clip.name, pictures, (), boxes=nowhere, absent=absent)
        sentences = [other.expressions[0] for other in clips if not same_kind(clip, other)]
        items += [Item(f"{clip.name}: {text}", search, text, "sentence") for text in sentences]
    if not items:
        raise LangTrackError(
            f"{folder} has no two clips of different kinds, so no sentence of one names what another lacks."
        )
    counts: dict[str, Absence] = {}
    for _, record in run_items(tracker.track, items):
        language = record.predictions["language"]
        sure = ~np.isnan(language.boxes_xyxy[:, 0]) & (language.confidence >= tracker.fusion.start)
        lost_frames = sum(state != "tracking" for state in record.states)
        new = (len(sure), lost_frames, int(np.count_nonzero(~sure)))
        counts[record.name] = Absence(*np.add(counts.get(record.name, (0, 0, 0)), new).tolist())
    return counts


def absence_table(counts: Mapping[str, Absence]) -> str:
    """The shares of the frames, by clip and over all frames."""
    rows = {**counts, "said absent": Absence(*np.sum(list(counts.values()), axis=0).tolist())}
    lines = [["clip", "frames", "fused", "language"]]
    for name, (frames, fused, language) in rows.items():
        lines.append([name, f"{frames}", as_decimal(fused / frames), as_decimal(language / frames)])
    return aligned(lines, 1)


# --- one of two --------------------------------------------------------------------------------------------


class Contrast(NamedTuple):
    """A sentence about one of two objects, and how much its mask overlaps each of them."""

    expression: str
    picture: str
    target_iou: float
    other_iou: float

    @property
    def right(self) -> bool:
        return self.target_iou > self.other_iou

    def __str__(self) -> str:
        return f"{self.expression} ({self.picture}): {self.target_iou:.2f} against {self.other_iou:.2f}"


def contrasts_of(segmenter: DMNSegmenter, folder: Path, pairs: Path, swapped: bool = False) -> list[Contrast]:
    """Segment the picture of every entry of the list ``pairs`` by its sentence.

    Args:
        swapped: ask what `swapped_sentences` makes of them instead.
    """
    entries = read_json(pairs, "a list of contrasting sentences")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LangTrackError(f"{pairs} is not a list of contrasting sentences: each entry is an object.")
    if swapped:
        entries = swapped_sentences(entries)
    if not entries:
        raise LangTrackError(f"{pairs} lists no pairs.")
    with_clips = any("clip" in entry for entry in entries)
    clips = {clip.name: clip.frames for clip in dev_sequences(folder)} if with_clips else {}
    contrasts = []
    for number, entry in enumerate(tqdm(entries, "contrast", leave=False), 1):
        try:
            path = folder / entry["picture"] if "picture" in entry else _frame_of(entry, clips)
            expression = entry["expression"]
            frame = Frame(0, 0.0, read_picture(path))
            target, other = (_region(entry, which, folder, frame.size_hw) for which in ("", "other_"))
            encoded = segmenter.encode(expression)
        except LangTrackError as error:
            raise LangTrackError(f"Entry {number} of {pairs} cannot be used: {error}") from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise LangTrackError(f"Entry {number} of {pairs} cannot be used: {error!r}.") from error
        mask = segmenter.segment(frame, encoded).mask
        overlaps = (mask_iou(mask, target), mask_iou(mask, other)) if mask.any() else (0.0, 0.0)
        contrasts.append(Contrast(expression, path.name, *overlaps))
    return contrasts


def swapped_sentences(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two by two, "A next to B" and "B next to A", of every two sentences that contrast the same objects.

    Both have the same words: who does not heed their order finds one thing twice, and is wrong once.
    """
    pairs = []
    for first, second in itertools.combinations(entries, 2):
        if _objects_of(first) == _objects_of(second)[::-1] and _picture_of(first) == _picture_of(second):
            for a, b in ((first, second), (second, first)):
                pairs.append({**a, "expression": f"{a['expression']} next to {b['expression']}"})
    return pairs


def _objects_of(entry: dict[str, Any]) -> tuple[Any, Any]:
    own, other = (entry.get(f"{which}mask", entry.get(f"{which}box_xyxy")) for which in ("", "other_"))
    return own, other


def _picture_of(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry.get("picture"), entry.get("clip"), entry.get("frame")


def _frame_of(entry: dict[str, Any], clips: Mapping[str, tuple[Path, ...]]) -> Path:
    if entry["frame"] < 0:  # of which Python would make one from the end
        raise IndexError(f"there is no frame {entry['frame']}")
    return clips[entry["clip"]][entry["frame"]]


def _region(entry: dict[str, Any], which: str, folder: Path, size_hw: tuple[int, int]) -> BoolMask:
    if f"{which}mask" in entry:
        return read_mask(folder / entry[f"{which}mask"]).mask
    return box_to_mask(check_box(entry[f"{which}box_xyxy"], size_hw), size_hw)
