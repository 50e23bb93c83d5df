"""One branch alone, measured on the dev sets: two tables, one number below each.

python -m langtrack_core evaluate tracker --data DEV      success AUC of the tracker, from the first true box
python -m langtrack_core evaluate language --data DEV     mean IoU of the language branch, frame by frame

DEV holds ``davis`` (DAVIS layout with sentences) and, for the tracker, ``boxes`` (LaSOT layout).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from langtrack_core.dmn.segmenter import DMNSegmenter
from langtrack_core.geometry import FloatArray
from langtrack_core.masks import mask_iou
from langtrack_core.siammask.tracker import SiamMaskTracker
from langtrack_core.types import LangTrackError
from langtrack_core.weights.load import build_segmenter, build_tracker, choose

from ..datasets import Sequence, box_sequences, davis_sequences
from ..metrics import frame_ious, mean_mask_iou, precision, success_auc


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with davis and boxes in it")
    parser.add_argument("--weights", default="lite", help="a name from `weights list`, or a file")
    parser.add_argument("--device", default="cpu")


def run(args: argparse.Namespace) -> int:
    """Prints the table of ``args.target``, "tracker" or "language"."""
    chosen = choose(args.weights)[args.target]
    if args.target == "tracker":
        tracker = build_tracker(chosen, args.device).new_tracker()
        print_tracks([follow(tracker, s) for s in tracking_sequences(args.data)])
    else:
        segmenter = build_segmenter(chosen, args.device).segmenter
        print_language(segmenter, davis_sequences(args.data / "davis"))
    return 0


# --- the tracker -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Track:
    """Predictions of the tracker on the frames after the one it was started on.

    Attributes:
        predicted: a box for each frame, None where it had none.
        truth_xyxy: ``(N, 4)``, nan where the target is absent.
        confidences, mask_ious: ``(N,)``, the latter nan where there are no masks.
    """

    name: str
    predicted: list[FloatArray | None]
    truth_xyxy: FloatArray
    confidences: FloatArray
    mask_ious: FloatArray

    @property
    def ious(self) -> FloatArray:
        return frame_ious(self.predicted, self.truth_xyxy)


def tracking_sequences(folder: Path) -> list[Sequence]:
    return davis_sequences(folder / "davis") + box_sequences(folder / "boxes")


def follow(tracker: SiamMaskTracker, sequence: Sequence) -> Track:
    """Starts on the first true box and follows to the end; that first frame is not counted."""
    truth = sequence.boxes_xyxy
    annotated = np.flatnonzero(~np.isnan(truth).any(axis=1))
    if len(annotated) == 0:
        raise LangTrackError(f"Sequence {sequence.name} has no true box to start the tracker on.")
    start = int(annotated[0])
    predicted: list[FloatArray | None] = []
    rows = []
    for frame in tqdm(sequence.read_frames(start), sequence.name, len(truth) - start, leave=False):
        if frame.index == start:
            tracker.reanchor(frame, truth[start], exact=True)
            continue
        estimate = tracker.update(frame)
        predicted.append(estimate.box_xyxy)
        iou = np.nan
        mask = sequence.mask(frame.index)
        if mask is not None and not np.isnan(truth[frame.index]).any():
            iou = mask_iou(estimate.mask, mask)
        rows.append((estimate.confidence, iou))
    confidences, mask_ious = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    return Track(sequence.name, predicted, truth[start + 1 :], confidences, mask_ious)


def print_tracks(tracks: list[Track]) -> None:
    rows = []
    for track in tracks:
        masks = np.nan if np.isnan(track.mask_ious).all() else float(np.nanmean(track.mask_ious))
        rows.append((success_auc(track.ious), precision(track.predicted, track.truth_xyxy), masks))
    print(f"{'sequence':<14}{'frames':>7}{'AUC':>8}{'prec 20':>9}{'mask IoU':>10}")
    for track, (auc, near, masks) in zip(tracks, rows, strict=True):
        count = int(np.count_nonzero(~np.isnan(track.ious)))
        print(f"{track.name:<14}{count:>7}{auc:>8.3f}{near:>9.3f}{_shown(masks):>10}")
    auc, near = np.mean([row[:2] for row in rows], axis=0)
    print(f"{'mean':<14}{'':>7}{auc:>8.3f}{near:>9.3f}")


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


# --- the language branch -----------------------------------------------------------------------------------


def print_language(segmenter: DMNSegmenter, sequences: list[Sequence]) -> None:
    """Mean IoU of every sentence of every sequence, each frame for itself."""
    means = []
    print(f"{'sequence':<14}{'frames':>7}{'IoU':>8}  sentence")
    for sequence in sequences:
        for sentence in sequence.expressions:
            mean = language_iou(segmenter, sequence, sentence)
            means.append(mean)
            print(f"{sequence.name:<14}{len(sequence.frames):>7}{mean:>8.3f}  {sentence}")
    print(f"{'mean':<14}{'':>7}{np.mean(means):>8.3f}")


def language_iou(segmenter: DMNSegmenter, sequence: Sequence, sentence: str) -> float:
    """Mean over a sequence's frames of the IoU of the binary mask with the true one."""
    encoded = segmenter.encode(sentence)
    frames = tqdm(sequence.read_frames(), sequence.name, len(sequence.frames), leave=False)
    predicted = (segmenter.segment(frame, encoded).mask for frame in frames)
    masks = (sequence.mask(index) for index in range(len(sequence.masks)))
    return mean_mask_iou(predicted, (mask for mask in masks if mask is not None))
