"""From raw scores to probabilities, on scores whose truth is known."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import safe_open, save_file
from tiny_training import write_data

from langtrack_core import cli
from langtrack_core.fusion import Calibration
from langtrack_core.types import LangTrackError, UnreadableText
from langtrack_core.weights import load as weights
from langtrack_core.weights.checkpoint import Checkpoint
from langtrack_core.weights.load import build_tracker, choose
from langtrack_lab import calibrate
from langtrack_lab.calibrate import (
    ClipScores,
    apply,
    calibration_error,
    fit,
    fit_calibration,
    foreign_scores,
    joined,
    language_scores,
    left_out_probabilities,
    reliability,
    reliability_page,
    store,
)
from langtrack_lab.datasets import Sequence
from langtrack_lab.quantise import run_segmenter, run_tracker
from langtrack_lab.training.checkpoints import store_metadata
from langtrack_lab.weights.add import add


def test_the_fit_finds_the_curve_that_made_the_data():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(1.7 * scores - 0.6)))
    slope, intercept = fit_calibration(scores, right)
    assert slope == pytest.approx(1.7, abs=0.08) and intercept == pytest.approx(-0.6, abs=0.06)


def test_separable_scores_stay_finite():
    assert np.isfinite(fit_calibration([0.0, 0.1, 0.9, 1.0], [0, 0, 1, 1])).all()


def test_calibration_error_by_hand():
    # Two bins: 0.25 said and half right (gap 0.25), 0.95 said and all right (gap 0.05).
    assert calibration_error([0.25, 0.25, 0.95, 0.95], [1, 0, 1, 1]) == pytest.approx((0.25 + 0.05) / 2)
    with pytest.raises(LangTrackError, match="nothing to calibrate"):
        calibration_error([], [])


def test_fitting_lowers_the_error_of_over_confident_scores():
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 4, 4000)
    right = (rng.random(4000) < 1 / (1 + np.exp(-0.4 * scores))).astype(float)
    bare, fitted = Calibration(), Calibration(*fit_calibration(scores, right))
    before = calibration_error([bare(s) for s in scores], right)
    assert calibration_error([fitted(s) for s in scores], right) < 0.3 * before


def test_storing_keeps_tensors_and_other_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"x": torch.arange(3), "half": torch.ones(2).half(), "whole": torch.tensor([1.2345678, 1e6])}
    save_file(tensors, path, {"network": "siammask-lite", "arguments": "{}"})
    store_metadata(path, "calibration", [2.0, -1.0])
    with safe_open(path, "pt") as stream:
        assert stream.metadata() == {
            "network": "siammask-lite", "arguments": "{}", "calibration": "[2.0, -1.0]"
        }  # fmt: skip
        for name, tensor in tensors.items():
            assert (
                torch.equal(stream.get_tensor(name), tensor) and stream.get_tensor(name).dtype == tensor.dtype
            )
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_command_fits_and_stores(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.arange(3)}, path, {"network": "dmn-lite", "arguments": "{}"})
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 2, 200)
    clips = [ClipScores(s, (s > 0).astype(float)) for s in np.split(scores, 4)]
    entry = SimpleNamespace(path=path, folder=tmp_path)
    monkeypatch.setattr(calibrate, "choose_branch", lambda name, branch: entry)

    def build(entry, device, precision):
        return None, {"branch": "language", "backend": {"precision": precision}}

    monkeypatch.setattr(calibrate, "build_segmenter", build)
    monkeypatch.setattr(calibrate, "dev_sequences", lambda folder: [folder])
    monkeypatch.setattr(calibrate, "language_scores", lambda segmenter, sequences: clips if sequences else [])
    arguments = ["calibrate", "language", "--data", str(tmp_path)]
    assert cli.main(arguments) == 0 and Checkpoint.read(path).calibration is None
    assert cli.main([*arguments, "--write", "--plot", str(tmp_path / "curve.html")]) == 0
    assert Checkpoint.read(path).calibration == fit(clips)
    output = capsys.readouterr().out
    assert (
        "200 boxes" in output
        and "Precision: language float32." in output
        and (tmp_path / "curve.html").stat().st_size > 1000
    )
    assert cli.main([*arguments, "--precision", "bfloat16"]) == 0
    assert "Precision: language bfloat16." in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    ["calibrate tracker --write", "quantise tracker --write", "evaluate tracker"],
)
def test_a_file_of_the_other_branch_is_refused(command: str, lite_files, tmp_path, capsys, monkeypatch):
    shipped = shutil.copytree(lite_files, tmp_path / "shipped")
    monkeypatch.setattr(weights, "SHIPPED", shipped)
    monkeypatch.setattr(calibrate, "SHIPPED", shipped)
    before = {path.name: path.read_bytes() for path in shipped.iterdir()}
    trained = shutil.copy(shipped / "dmn-lite.safetensors", tmp_path / "trained.safetensors")
    arguments = ["--data", str(write_data(tmp_path / "data") / "davis"), "--weights", str(trained)]
    assert cli.main([*command.split(), *arguments]) == 1
    assert "trained.safetensors has no weights of the tracker branch" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in shipped.iterdir()} == before


@pytest.mark.parametrize("plot", [".", "nowhere/curve.html"])
def test_a_plot_that_cannot_be_is_told_before_the_work(plot: str, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibrate, "choose_branch", lambda name, branch: pytest.fail("it has begun"))
    arguments = ["--data", str(tmp_path), "--plot", str(tmp_path / plot), "--write"]
    assert cli.main(["calibrate", "language", *arguments]) == 1
    assert "--plot cannot be" in capsys.readouterr().err


def test_clips_that_a_training_sees_are_never_called_held_out(tmp_path, capsys):
    arguments = ["calibrate", "language", "--data", str(write_data(tmp_path)), "--held-out"]
    assert cli.main(arguments) == 1
    assert (
        "1 clips, and trainings leave four out only where there are more than 16" in capsys.readouterr().err
    )


def test_only_safetensors_can_hold_a_calibration(tmp_path):
    with pytest.raises(LangTrackError, match=r"\.safetensors only"):
        store_metadata(tmp_path / "a.pth", "calibration", [1.0, 0.0])


def test_reliability_by_hand_and_drawn():
    confidence, right = np.array([0.04, 0.12, 0.14, 0.97, 0.99]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    shares = reliability(confidence, right)
    assert shares[[0, 1, 9]].tolist() == [0.0, 0.5, 1.0] and np.isnan(shares[2:9]).all()
    page = reliability_page("tracker", confidence, confidence, right, (0.2, 0.1))
    assert "Reliability of the tracker" in page and "error 0.100" in page and page.count("<path") >= 3
    assert "http" not in page


def made_clip(seed, slope, n=400):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, n)
    return ClipScores(scores, (rng.random(n) < 1 / (1 + np.exp(-slope * scores))).astype(float))


def test_a_clip_left_out_is_judged_by_the_curve_of_the_others():
    clips = [made_clip(seed, 1.0) for seed in range(3)] + [made_clip(3, -1.0)]  # the last one is unlike them
    left_out = left_out_probabilities(clips)
    scores, right = joined(clips)
    assert left_out.shape == scores.shape
    np.testing.assert_allclose(left_out[1200:], apply(fit(clips[:3]), clips[3].scores))
    within = apply(fit(clips), scores)
    assert calibration_error(left_out[1200:], right[1200:]) > calibration_error(within[1200:], right[1200:])


@pytest.fixture
def clip(tmp_path) -> Sequence:
    """A clip of five frames: its target is annotated on the second and fourth, and absent on the fifth."""
    frames = tuple(tmp_path / f"{i}.png" for i in range(5))
    for path in frames:
        Image.new("RGB", (32, 24)).save(path)
    boxes = np.full((5, 4), np.nan)
    boxes[[1, 3]] = 4, 4, 12, 12
    return Sequence("late", frames, ("the box",), boxes=boxes, absent=np.arange(5) == 4)


def test_frames_that_nobody_annotated_do_not_count(clip):
    mask = np.zeros((24, 32), np.float32)
    mask[4:12, 4:12] = 1

    def predict(looks, text):
        return [(mask, frame.index) for frame, _ in looks]

    segmenter = SimpleNamespace(encode=lambda text: text, predict=predict)
    [found] = language_scores(segmenter, [clip], stride=1)
    assert found.scores.tolist() == [1, 3, 4] and found.right.tolist() == [1, 1, 0]


def test_a_sentence_that_cannot_be_read_is_passed_over(clip):
    def encode(text):
        if text == "???":
            raise UnreadableText("no words")
        return text

    texts = []
    answer = np.zeros((24, 32), np.float32), 0.0
    segmenter = SimpleNamespace(encode=encode, predict=lambda looks, text: (texts.append(text), [answer])[1])
    clips = [replace(clip, name="a", expressions=("the dog", "???")), replace(clip, expressions=("???",))]
    language_scores(segmenter, clips, stride=1)
    run_segmenter(segmenter, clips)
    assert set(texts) == {"the dog"} and len(texts) > 4


def test_a_tracker_starts_where_the_target_is_first_annotated(clip):
    starts = []
    tracker = SimpleNamespace(
        reanchor=lambda frame, box, exact: starts.append((frame.index, box.tolist())),
        update=lambda frame: SimpleNamespace(confidence=0.5),
    )
    assert len(foreign_scores(tracker, clip, [clip])) == 5
    run_tracker(tracker, [clip])
    assert starts == [(1, [4, 4, 12, 12])] * 2


def test_weights_that_were_added_stay_usable(lite_files, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    add(str(lite_files / "siammask-lite.safetensors"), name="mine")
    store(choose("mine")["tracker"], "calibration", [2.0, -1.0])
    assert "seal" not in capsys.readouterr().out
    entry = choose("mine")["tracker"]
    build_tracker(entry, "cpu", "torch")
    assert entry.read().calibration == Calibration(2.0, -1.0)
