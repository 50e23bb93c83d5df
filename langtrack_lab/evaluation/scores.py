"""Records to figures, for each branch and for the oracle that takes the better of the two on every frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from langtrack_core.geometry import FloatArray

from ..metrics import GOT10K, Convention, davis_statistics, referral_overlaps, referring_scores, score_boxes
from ..metrics.boxes import box_ious
from ..metrics.masks import PRECISION_AT
from .runner import Predictions, Record

ORACLE = "oracle"
"""Name of what takes the better of both branches on every frame: no fusion can be better."""

BRANCHES = ("fused", "language", "tracker", ORACLE)
"""The order of the branches in tables: the result first."""


class Measure(NamedTuple):
    """One column of a table.

    Attributes:
        title: short, for the head of the column.
        about: one line, for whoever points at it.
        pooled: mean over all frames of all sequences; else the mean of the sequences' values.
        higher_is_better: False for decay alone.
    """

    title: str
    about: str
    pooled: bool = False
    higher_is_better: bool = True


MEASURES: dict[str, Measure] = {
    "auc": Measure("AUC", "success: area under the share of frames over 21 thresholds of box IoU"),
    "precision": Measure("P 20", "precision: share of frames whose centre is at most 20 pixels off"),
    "normalised": Measure("P norm", "normalised precision at 0.20, in widths and heights of the true box"),
    "normalised_auc": Measure("P norm AUC", "area under normalised precision from 0 to 0.5"),
    "ao": Measure("AO", "GOT-10k: average overlap of the boxes, over all frames", True),
    "sr50": Measure("SR .5", "GOT-10k: share of frames whose box IoU is over 0.5", True),
    "sr75": Measure("SR .75", "GOT-10k: share of frames whose box IoU is over 0.75", True),
    "jf": Measure("J&F", "DAVIS: mean of J and F"),
    "j": Measure("J", "DAVIS: mean IoU of the masks"),
    "j_recall": Measure("J rec", "DAVIS: share of frames with J over 0.5"),
    "j_decay": Measure("J dec", "DAVIS: J of the first quarter minus J of the last", False, False),
    "f": Measure("F", "DAVIS: mean F of the boundaries"),
    "f_recall": Measure("F rec", "DAVIS: share of frames with F over 0.5"),
    "f_decay": Measure("F dec", "DAVIS: F of the first quarter minus F of the last", False, False),
    "mean_iou": Measure("mIoU", "referring segmentation: mean mask IoU over all frames", True),
    "overall_iou": Measure("oIoU", "referring segmentation: all intersections over all unions", True),
    **{
        f"p{round(t * 100)}": Measure(
            f"P@{t:.1f}", f"referring segmentation: share of frames with mask IoU at least {t:.1f}", True
        )
        for t in PRECISION_AT
    },
    "referral": Measure(
        "VOT", "VOT referral: overlap, 1 where target and prediction are both absent, 0 where one is", True
    ),
}
"""All figures of merit, by the key that results and tables have for them."""


class Value(NamedTuple):
    """A figure, and how much it weighs when frames are pooled."""

    value: float
    weight: float


@dataclass(frozen=True, eq=False)
class Scores:
    """One record, one branch.

    Attributes:
        values: by key of `MEASURES`; what the truth does not allow is not there.
        success, precision, normalised: curves as in `metrics.BoxScores`; empty without boxes.
        overlaps: ``(N,)`` for curves over time: IoU of the masks, or of the boxes where there are none; nan
            where nothing is annotated.
    """

    values: Mapping[str, Value]
    success: FloatArray = field(default_factory=lambda: np.empty(0))
    precision: FloatArray = field(default_factory=lambda: np.empty(0))
    normalised: FloatArray = field(default_factory=lambda: np.empty(0))
    overlaps: FloatArray = field(default_factory=lambda: np.empty(0))


def scores_of(record: Record, convention: Convention) -> dict[str, Scores]:
    """Figures of every branch, and of the oracle where there are two to choose from."""
    predictions = dict(record.predictions)
    if {"language", "tracker"} <= predictions.keys():
        predictions[ORACLE] = _better(record, predictions["language"], predictions["tracker"])
    return {name: _scores(record, predictions[name], convention) for name in BRANCHES if name in predictions}


def overall(scores: Iterable[Scores]) -> dict[str, float]:
    """The figures of a whole set, by key of `MEASURES`; what no sequence has is not there."""
    by_key: dict[str, list[Value]] = {}
    for score in scores:
        for key, value in score.values.items():
            if not np.isnan(value.value):
                by_key.setdefault(key, []).append(value)
    figures = {}
    for key, measure in MEASURES.items():
        if key in by_key:
            values, weights = np.array(by_key[key]).T
            pooled = measure.pooled and weights.sum() > 0
            figures[key] = float(np.average(values, weights=weights) if pooled else values.mean())
    return figures


def mean_curve(scores: Iterable[Scores], name: str) -> FloatArray:
    """Mean over the sequences of "success", "precision" or "normalised"; empty when no sequence has it."""
    curves = [curve for score in scores if len(curve := getattr(score, name))]
    return np.mean(curves, axis=0) if curves else np.empty(0)


def by_sequence(pairs: Iterable[tuple[Record, Scores]], key: str) -> dict[str, float]:
    """A measure for each sequence, its sentences averaged: what a bootstrap may resample."""
    by_name: dict[str, list[float]] = {}
    for record, score in pairs:
        if key in score.values:
            by_name.setdefault(record.name, []).append(score.values[key].value)
    return {name: float(np.mean(values)) for name, values in by_name.items()}


def _scores(record: Record, predictions: Predictions, convention: Convention) -> Scores:
    from_box = record.init != "sentence"
    values: dict[str, Value] = {}
    boxes, truth = predictions.boxes_xyxy, record.truth_xyxy
    curves: dict[str, FloatArray] = {}
    overlaps = box_ious(boxes, np.where(record.absent[:, None], np.nan, truth))
    if not np.isnan(overlaps[1 if from_box else 0 :]).all():
        options = {"by_box": from_box, "absent": record.absent, "size_hw": record.size_hw}
        ope = score_boxes(boxes, truth, convention, **options)  # type: ignore[arg-type]
        got10k = score_boxes(boxes, truth, GOT10K, **options)  # type: ignore[arg-type]
        curves = {"success": ope.success, "precision": ope.precision, "normalised": ope.normalised}
        values["auc"] = Value(ope.auc, ope.counted)
        values["precision"] = Value(ope.precision_20, ope.counted)
        values["normalised"] = Value(ope.normalised_20, ope.counted)
        values["normalised_auc"] = Value(ope.normalised_auc, ope.counted)
        values["ao"] = Value(got10k.average_overlap, got10k.counted)
        values["sr50"] = Value(got10k.success_rate(0.5), got10k.counted)
        values["sr75"] = Value(got10k.success_rate(0.75), got10k.counted)
    if len(predictions.unions):
        overlaps = predictions.mask_ious
        values |= _of_masks(predictions, from_box)
        referral = overlaps
    else:
        referral = referral_overlaps(boxes, truth, record.absent)
    counted = int(np.count_nonzero(~np.isnan(referral)))
    if counted:
        values["referral"] = Value(float(np.nanmean(referral)), counted)
    return Scores(values, overlaps=overlaps, **curves)


def _of_masks(predictions: Predictions, from_box: bool) -> dict[str, Value]:
    """DAVIS leaves the first and the last frame out when an annotation was given."""
    values: dict[str, Value] = {}
    counted_frames = slice(1, -1) if from_box else slice(None)
    j, f = predictions.mask_ious[counted_frames], predictions.boundaries[counted_frames]
    if not np.isnan(j).all():
        of_j, of_f = davis_statistics(j), davis_statistics(f)
        counted = int(np.count_nonzero(~np.isnan(j)))
        values["jf"] = Value((of_j.mean + of_f.mean) / 2, counted)
        for name, of in (("j", of_j), ("f", of_f)):
            values[name] = Value(of.mean, counted)
            values[f"{name}_recall"] = Value(of.recall, counted)
            values[f"{name}_decay"] = Value(of.decay, counted)
    union = predictions.unions[~np.isnan(predictions.unions)]
    if union.size:
        table = referring_scores(predictions.intersections, predictions.unions)
        values["mean_iou"] = Value(table.mean_iou, union.size)
        values["overall_iou"] = Value(table.overall_iou, float(union.sum()))
        for threshold, share in zip(PRECISION_AT, table.precision_at, strict=True):
            values[f"p{round(threshold * 100)}"] = Value(share, union.size)
    return values


def _better(record: Record, a: Predictions, b: Predictions) -> Predictions:
    """On each frame the prediction that overlaps more, ``a`` where they are equal.

    Boxes are chosen by their overlap and masks by theirs, so that it is the bound of both kinds of figures.
    """
    by_box = [referral_overlaps(x.boxes_xyxy, record.truth_xyxy, record.absent) for x in (a, b)]
    take = by_box[1] > by_box[0]
    boxes = np.where(take[:, None], b.boxes_xyxy, a.boxes_xyxy)
    confidence = np.where(take, b.confidence, a.confidence)
    if not len(a.unions):
        return Predictions(boxes, confidence)
    take = b.mask_ious > a.mask_ious
    return Predictions(
        boxes,
        confidence,
        tuple(y if t else x for t, x, y in zip(take, a.masks, b.masks, strict=True)),
        np.where(take, b.intersections, a.intersections),
        np.where(take, b.unions, a.unions),
        np.where(take, b.boundaries, a.boundaries),
    )
