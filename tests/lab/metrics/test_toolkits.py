"""Whole figures against `got10k`, and against the published toolkits' loops written out plainly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from got10k.experiments import ExperimentGOT10k, ExperimentOTB
from got10k.utils.metrics import center_error, rect_iou
from PIL import Image

from langtrack_lab.metrics import GOT10K, LASOT, OTB, PLAIN, score_boxes
from langtrack_lab.metrics.boxes import box_ious, centre_errors
from langtrack_lab.truth.box_files import xywh_to_xyxy

SIZE_HW = (120, 160)


def tracks(seed: int, frames: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Truth and answer, x, y, w, h from 1: drifting, leaving the picture, now and then lost or flat."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-5, 120, (frames, 2)).cumsum(0) / np.arange(1, frames + 1)[:, None]
    truth = np.concatenate([corners, rng.uniform(8, 60, (frames, 2))], axis=1)
    answer = truth + rng.normal(0, 6, truth.shape)
    answer[:, 2:] = np.maximum(answer[:, 2:], 0)
    answer[rng.integers(0, frames, 6)] = [1, 1, 30, 40]
    answer[rng.integers(1, frames, 4)] = 0
    return truth, answer


def from_zero(xywh: np.ndarray) -> np.ndarray:
    return xywh_to_xyxy(xywh) - 1


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_and_errors_are_those_of_got10k(seed: int):
    truth, answer = tracks(seed)
    assert box_ious(from_zero(answer), from_zero(truth)) == pytest.approx(rect_iou(answer, truth), abs=1e-12)
    theirs = center_error(answer, truth)
    assert centre_errors(from_zero(answer), from_zero(truth)) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_otb_curves_are_those_of_got10k(seed: int):
    """Its OTB experiment has no rule for missing boxes, so here there are none."""
    truth, answer = tracks(seed)
    answer[:, 2:] = np.maximum(answer[:, 2:], 1)
    ours = score_boxes(from_zero(answer), from_zero(truth), OTB, by_box=True)
    answer[0] = truth[0]
    otb = object.__new__(ExperimentOTB)  # the constructor would fetch the data set
    otb.nbins_iou, otb.nbins_ce = 21, 51
    success, precision = otb._calc_curves(*otb._calc_metrics(answer, truth))
    assert ours.success == pytest.approx(success, abs=1e-12)
    assert ours.precision == pytest.approx(precision, abs=1e-12)


def test_a_got10k_report_says_the_same(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(ExperimentGOT10k, "plot_curves", lambda *args: None)
    names = ["GOT-10k_Val_000001", "GOT-10k_Val_000002"]
    ious, rates = [], []
    for seed, name in enumerate(names):
        truth, answer = tracks(seed)
        cover = np.random.default_rng(seed).integers(0, 9, len(truth))  # 0: out of sight
        folder = tmp_path / "val" / name
        folder.mkdir(parents=True)
        for index in range(len(truth)):
            Image.new("L", (1, 1)).save(folder / f"{index + 1:08d}.jpg")
        np.savetxt(folder / "groundtruth.txt", truth, fmt="%.4f", delimiter=",")
        np.savetxt(folder / "cover.label", cover, fmt="%d")
        for label in ("absence", "cut_by_image"):
            np.savetxt(folder / f"{label}.label", np.zeros(len(truth)), fmt="%d")
        (folder / "meta_info.ini").write_text(f"[METAINFO]\nresolution: {SIZE_HW[::-1]}\n")
        target = tmp_path / "results" / "GOT-10k" / "ours" / name
        target.mkdir(parents=True)
        np.savetxt(target / f"{name}_001.txt", answer, fmt="%.4f", delimiter=",")
        np.savetxt(target / f"{name}_time.txt", np.full(len(truth), 0.05), fmt="%.4f", delimiter=",")
        scores = score_boxes(
            from_zero(answer.round(4)),
            from_zero(truth.round(4)),
            GOT10K,
            by_box=True,
            absent=cover == 0,
            size_hw=SIZE_HW,
        )
        ious.append(scores.ious[~np.isnan(scores.ious)])
        rates.append(scores)
    (tmp_path / "val" / "list.txt").write_text("\n".join(names) + "\n")
    experiment = ExperimentGOT10k(tmp_path, "val", tmp_path / "results", tmp_path / "reports")
    experiment.report(["ours"])
    report = json.loads((tmp_path / "reports" / "GOT-10k" / "ours" / "performance.json").read_text())["ours"]
    for name, scores in zip(names, rates, strict=True):
        assert scores.average_overlap == pytest.approx(report["seq_wise"][name]["ao"], abs=1e-9)
        assert scores.success_rate(0.5) == pytest.approx(report["seq_wise"][name]["sr"], abs=1e-9)
    assert np.concatenate(ious).mean() == pytest.approx(report["overall"]["ao"], abs=1e-9)


# --- LaSOT, TNL2K: no package has them, so their loop once more, frame by frame ----------------------------


def plain_lasot(
    answer: np.ndarray, truth: np.ndarray, absent: np.ndarray
) -> tuple[list[float], list[float], list[float]]:
    """Success, precision, normalised precision over x, y, w, h, with the toolkit's fixes in its order."""
    fixed = [row.copy() for row in answer]
    for i in range(1, len(fixed)):
        if np.isnan(fixed[i]).any() or fixed[i][2] <= 0 or fixed[i][3] <= 0:
            fixed[i] = fixed[i - 1]
    fixed[0] = truth[0]
    overlaps, errors, normalised = [], [], []
    for i in range(len(truth)):
        if absent[i]:
            continue
        (x, y, w, h), (tx, ty, tw, th) = fixed[i], truth[i]
        shared = max(0.0, min(x + w, tx + tw) - max(x, tx)) * max(0.0, min(y + h, ty + th) - max(y, ty))
        overlaps.append(shared / (w * h + tw * th - shared))
        dx, dy = x + (w - 1) / 2 - tx - (tw - 1) / 2, y + (h - 1) / 2 - ty - (th - 1) / 2
        errors.append((dx**2 + dy**2) ** 0.5)
        normalised.append(((dx / tw) ** 2 + (dy / th) ** 2) ** 0.5)
    n, tiny = len(truth), 1e-9  # an overlap of one that comes out above one is one
    return (
        [sum(o > k * 0.05 + tiny for o in overlaps) / n for k in range(21)],
        [sum(e <= k + tiny for e in errors) / n for k in range(51)],
        [sum(e <= k / 100 + tiny for e in normalised) / n for k in range(51)],
    )


@pytest.mark.parametrize("seed", range(4))
def test_lasot_equals_its_loop(seed: int):
    truth, answer = tracks(seed)
    rng = np.random.default_rng(seed)
    answer[rng.integers(1, len(answer), 5)] = np.nan
    absent = rng.random(len(truth)) < 0.2
    absent[0] = False
    truth[absent] = 0
    ours = score_boxes(from_zero(answer), from_zero(truth), LASOT, by_box=True, absent=absent)
    success, precision, normalised = plain_lasot(answer, truth, absent)
    assert ours.success == pytest.approx(success, abs=1e-12)
    assert ours.precision == pytest.approx(precision, abs=1e-12)
    assert ours.normalised == pytest.approx(normalised, abs=1e-12)


def test_a_perfect_tracker_is_perfect_everywhere():
    truth = from_zero(tracks(0)[0])
    for convention in (PLAIN, OTB, LASOT, GOT10K):
        for by_box in (True, False):
            scores = score_boxes(
                from_zero(truth), from_zero(truth), convention, by_box=by_box, size_hw=(900, 900)
            )
            assert scores.auc == pytest.approx(20 / 21)
            assert scores.precision_20 == scores.normalised_20 == scores.average_overlap == 1.0
