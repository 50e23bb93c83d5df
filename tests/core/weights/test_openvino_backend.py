"""The compiled networks against PyTorch: same masks to a stated tolerance; what is stored; what is told."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from langtrack_core.dmn.lite import LiteConfig, LiteDMN
from langtrack_core.dmn.network import DMN, DMNConfig
from langtrack_core.geometry import box_iou
from langtrack_core.pipeline import LangTracker
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.paper import PaperNetwork
from langtrack_core.types import Frame, LangTrackError
from langtrack_core.video import read_frames
from langtrack_core.weights import openvino_compiler
from langtrack_core.weights.load import home
from langtrack_core.weights.openvino_backend import (
    WHOLE,
    WORD_COUNTS,
    CompiledDMN,
    CompiledLiteDMN,
    CompiledSiamMask,
    on_backend,
    smooth_noise,
)
from langtrack_core.weights.openvino_compiler import CannotCompile, Compiler, is_faster
from langtrack_lab.metrics.masks import mask_iou
from langtrack_lab.truth.box_files import xywh_to_xyxy

EXAMPLES = Path(__file__).resolve().parents[3] / "assets" / "examples"

# The tolerance of bfloat16 and int8, on the shipped weights and examples. Float32 stays far inside it.
LEAST_IOU, MEAN_IOU = 0.93, 0.97
LARGEST_SHARE_FLIPPED = 0.01  # of a frame's pixels
LARGEST_RAW_SCORE = 0.5  # a logit, of the language branch
LARGEST_SCORE = 0.05  # a probability, of the tracker

SMALL_HW = (64, 96)
SMALL = (WORD_COUNTS[0], *SMALL_HW)


@pytest.fixture(scope="module")
def reference():
    return LangTracker.from_pretrained("lite", backend="torch")


@pytest.fixture(scope="module")
def ours():
    return LangTracker.from_pretrained("lite", backend="openvino")


@pytest.fixture(scope="module")
def in_int8():
    return LangTracker.from_pretrained("lite", backend="openvino", precision="int8")


def example(name: str) -> tuple[str, list[Frame], np.ndarray]:
    """Expression, every 20th frame, and their true boxes."""
    text = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))["expression"]
    rows = (EXAMPLES / f"{name}.groundtruth.txt").read_text(encoding="utf-8").splitlines()
    frames = list(islice(read_frames(EXAMPLES / f"{name}.mp4"), 0, 81, 20))
    boxes = np.array([[float(value) for value in rows[frame.index].split(",")] for frame in frames])
    return text, frames, xywh_to_xyxy(boxes)


# --- the same results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["ours", "in_int8"])
def test_the_language_branch_is_the_same(reference, precision, request):
    ours = request.getfixturevalue(precision)
    ious = []
    for name in ("crossing-cars", "boats-left-right"):
        text, frames, _ = example(name)
        theirs, mine = (branches.segmenter.encode(text) for branches in (reference, ours))
        for frame in frames:
            [(expected, score)] = reference.segmenter.predict([(frame, None)], theirs)
            [(result, result_score)] = ours.segmenter.predict([(frame, None)], mine)
            expected, result = expected > 0.5, result > 0.5
            ious.append(mask_iou(expected, result))
            assert np.mean(expected != result) <= LARGEST_SHARE_FLIPPED
            assert abs(score - result_score) <= LARGEST_RAW_SCORE
    assert min(ious) >= LEAST_IOU and np.mean(ious) >= MEAN_IOU


@pytest.mark.parametrize("precision", ["ours", "in_int8"])
def test_the_tracker_is_the_same(reference, precision, request):
    """One step from the same state: further on, each follows its own mask."""
    ours = request.getfixturevalue(precision)
    ious = []
    for name in ("crossing-cars", "boats-left-right"):
        _, frames, boxes = example(name)
        for frame, box in zip(frames, boxes, strict=True):
            if np.ptp(box) == 0:  # the truth says absent
                continue
            both = []
            for branches in (reference, ours):
                both.append(branches.new_tracker().init(frame, box))
            expected, result = both
            ious.append(mask_iou(expected.mask, result.mask))
            assert np.mean(expected.mask != result.mask) <= LARGEST_SHARE_FLIPPED
            assert abs(expected.confidence - result.confidence) <= LARGEST_SCORE
            assert box_iou(expected.box_xyxy, result.box_xyxy) >= 0.9
    assert min(ious) >= LEAST_IOU and np.mean(ious) >= MEAN_IOU


def test_the_published_siammask_is_the_same():
    torch.manual_seed(0)
    network = PaperNetwork().eval()
    ours = CompiledSiamMask(network, Compiler(network, ["of the published form"], "float32"))
    assert ours.backend["precision"] == "float32" and "note" not in ours.backend
    crops = [network.preprocess(np.full((side, side, 3), 90, np.uint8)) for side in (127, 255)]
    cells = torch.tensor([[0, 12, 7]])
    with torch.inference_mode():
        expected, result = (
            one.refine(one.search(one.template(crops[0]), crops[1]), cells) for one in (network, ours)
        )
    assert torch.allclose(expected, result, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("resolution", ["high", "low"])
def test_the_published_dmn_is_the_same(langtrack_home: Path, resolution):
    torch.manual_seed(0)
    sizes = {"embedding": 6, "hidden": 6, "filters": 2, "mixed": 8, "mixed_hidden": 8}
    switches = {"align_corners": True, "batch_statistics": True, "resolution": resolution}
    network = DMN(DMNConfig(20, **sizes, **switches)).eval()
    ours = CompiledDMN(network, Compiler(network, [resolution], "float32"), SMALL_HW)
    assert ours.backend["precision"] == "float32" and "note" not in ours.backend
    image = smooth_noise(*SMALL_HW)
    with torch.inference_mode():
        for count in (1, 5):
            language = ours.encode(torch.arange(count))
            (expected, _), (result, score) = (one.segment(image, language) for one in (network, ours))
            assert score is None and result.shape == expected.shape
            assert torch.allclose(expected, result, atol=1e-3 * float(expected.abs().max()))


def test_threads_share_what_is_compiled(ours):
    text, frames, _ = example("crossing-cars")
    encoded = ours.segmenter.encode(text)
    alone = [ours.segmenter.segment(frame, encoded).mask_prob for frame in frames]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda frame: ours.segmenter.segment(frame, encoded).mask_prob, frames * 3))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 3, together, strict=True))


def tiny(seed: int = 0) -> LiteDMN:
    torch.manual_seed(seed)
    words, classes = (torch.nn.functional.normalize(torch.randn(n, 16), dim=1) for n in (50, 1000))
    return LiteDMN(words, classes, LiteConfig(channels=16, hidden=16, filters=2, skip8=8, skip4=8)).eval()


class Plain(torch.nn.Module):
    """The calls of `LiteDMN` with two layers: what is kept, and in which precision, is the same for any
    network, and this one is converted in a tenth of the time."""

    late_backbone = None

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.words = torch.nn.Embedding(50, 32)
        self.see, self.out = torch.nn.Conv2d(3, 32, 4, stride=4), torch.nn.Conv2d(32, 1, 1)

    def encode(self, ids):
        return self.encode_text(ids[None], torch.tensor([len(ids)]))

    def encode_text(self, word_ids, lengths):
        return (self.words(word_ids).mean(1) * lengths[:, None],)

    def segment(self, image, text, view=WHOLE):
        logits = self.out(torch.relu(self.see(image)) + text[0][:, :, None, None])
        return logits, logits.mean()[None] + view.sum()


def compiled(
    network: LiteDMN | Plain | None = None,
    shape: tuple[int, ...] = SMALL,
    precision: str = "auto",
    name: str = "of plain",
) -> CompiledLiteDMN:
    network = network or Plain().eval()
    return CompiledLiteDMN(network, Compiler(network, [name], precision), shape)


@pytest.fixture(scope="module")
def grounding() -> CompiledLiteDMN:
    return compiled(tiny(), name="of tiny")


@pytest.fixture(scope="module")
def kept() -> CompiledLiteDMN:
    return compiled()


@pytest.mark.parametrize("count", [1, WORD_COUNTS[0], WORD_COUNTS[0] + 1, WORD_COUNTS[-1] + 1])
def test_expressions_of_any_length(grounding: CompiledLiteDMN, count: int):
    image = smooth_noise(*SMALL_HW)
    ids = torch.arange(count) % 50
    with torch.inference_mode():
        expected = grounding.network.segment(image, grounding.network.encode(ids))
        result = grounding.segment(image, grounding.encode(ids))
    for theirs, mine in zip(expected, result, strict=True):
        assert theirs.shape == mine.shape
        assert torch.allclose(theirs, mine, atol=0.05 * float(theirs.abs().max()) + 0.05)


def test_a_picture_of_another_shape_is_compiled_when_it_comes(grounding: CompiledLiteDMN):
    ids, image = torch.tensor([3, 1, 4]), smooth_noise(96, 64)
    with torch.inference_mode():
        expected = grounding.network.segment(image, grounding.network.encode(ids))[0]
        logits = grounding.segment(image, grounding.encode(ids))[0]
    assert logits.shape == expected.shape == (1, 1, 24, 16)
    assert torch.allclose(logits, expected, atol=0.05 * float(expected.abs().max()) + 0.05)


def test_only_the_last_shapes_stay_in_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))  # where they take the place of no other models
    names, compile_call = [], Compiler.compile

    def noted(self, name, *rest):
        names.append(name)
        return compile_call(self, name, *rest)

    monkeypatch.setattr(Compiler, "compile", noted)
    monkeypatch.setattr(CompiledLiteDMN, "shapes_in_memory", 2)
    tidy = compiled()
    encoded = tidy.encode(torch.tensor([3, 1, 4]))
    with torch.inference_mode():
        for height, width in (SMALL_HW, (64, 128), SMALL_HW, (96, 64), SMALL_HW, (64, 128)):
            mask_logits, _ = tidy.segment(smooth_noise(height, width), encoded)
            assert mask_logits.shape[2:] == (height // 4, width // 4)
    assert names == ["dmn-4-64x96", "dmn-4-64x128", "dmn-4-96x64", "dmn-4-64x128"]


def test_a_shape_that_cannot_be_converted_runs_in_pytorch(monkeypatch, caplog):
    late = compiled()
    no_conversion(monkeypatch)
    ids, image = torch.tensor([3, 1, 4]), smooth_noise(64, 64)
    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        encoded = late.encode(ids)
        logits = [late.segment(image, encoded)[0] for _ in range(2)][-1]
        padded = late.network.segment(image, encoded.language)[0]
    assert torch.equal(logits, padded)
    assert caplog.text.count("PyTorch runs instead") == 1


# --- what is kept on disk ----------------------------------------------------------------------------------


def no_conversion(monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("converted again")

    monkeypatch.setattr(torch.jit, "trace", refuse)


def test_the_second_start_converts_nothing(kept: CompiledLiteDMN, monkeypatch):
    no_conversion(monkeypatch)
    again = compiled()
    image, ids = smooth_noise(*SMALL_HW), torch.tensor([3, 1, 4])
    for mine, theirs in zip(
        again.segment(image, again.encode(ids)), kept.segment(image, kept.encode(ids)), strict=True
    ):
        assert torch.equal(mine, theirs)
    with pytest.raises(CannotCompile, match="converted again"):
        compiled(Plain(seed=1), name="of another")


def test_the_second_start_makes_what_comes_first_and_no_backbone(ours, monkeypatch):
    text, frames, _ = example("boats-left-right")
    [(mask, score)] = ours.segmenter.predict([(frames[0], None)], ours.segmenter.encode(text))
    names, compile_call = [], Compiler.compile

    def noted(self, name, *rest):
        names.append(name)
        return compile_call(self, name, *rest)

    monkeypatch.setattr(Compiler, "compile", noted)
    no_conversion(monkeypatch)
    again = LangTracker.from_pretrained("lite", backend="openvino", example=(frames[0].size_hw, text))
    [(again_mask, again_score)] = again.segmenter.predict([(frames[0], None)], again.segmenter.encode(text))
    assert np.array_equal(mask, again_mask) and score == again_score
    networks = 1 if again.segmenter.finer is None else 2  # in int8 the one that a run starts in, too
    assert [name for name in names if name.startswith("dmn")] == ["dmn-8-256x448"] * networks
    assert again.segmenter.network.network.late_backbone is not None


def test_one_process_at_a_time_works_on_the_saved_models(kept: CompiledLiteDMN, monkeypatch):
    locked, read = [], openvino_compiler.load_file

    def noted(path):
        with pytest.raises(Timeout), FileLock(home() / "openvino.lock", blocking=False):
            pass
        locked.append(path)
        return read(path)

    monkeypatch.setattr(openvino_compiler, "load_file", noted)
    compiled()
    assert len(locked) == 1
    with FileLock(home() / "openvino.lock", blocking=False):
        pass  # free again


def test_a_process_that_holds_the_lock_for_ever_stops_nobody(kept: CompiledLiteDMN, monkeypatch):
    waited = []

    def lock(path: Path, timeout: float) -> FileLock:
        waited.append(timeout)
        return FileLock(path, timeout=0)

    monkeypatch.setattr(openvino_compiler, "FileLock", lock)
    with FileLock(home() / "openvino.lock"):
        compiled()
    assert waited == [120]


def test_where_pytorch_runs_the_backbone_is_there_before_the_first_frame():
    assert LangTracker.from_pretrained("lite", backend="torch").segmenter.network.late_backbone is None


def test_without_files_the_result_is_the_same(kept: CompiledLiteDMN, tmp_path: Path, monkeypatch):
    """A file where the folder should be: nothing can be saved, and what was converted runs at once.

    Float32 may add up in another order than what was read back; anything coarser would differ by 1e-3.
    """
    (tmp_path / "openvino").write_text("not a folder")
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    unsaved = compiled()
    assert unsaved.backend["name"] == "openvino"
    assert [p.name for p in tmp_path.iterdir()] == ["openvino"]
    image, ids = smooth_noise(*SMALL_HW), torch.tensor([3, 1, 4])
    with torch.inference_mode():
        mine, theirs = (one.segment(image, one.encode(ids))[0] for one in (unsaved, kept))
    assert torch.allclose(mine, theirs, rtol=0, atol=1e-6)


@pytest.fixture
def copied(kept: CompiledLiteDMN, langtrack_home: Path, tmp_path: Path, monkeypatch) -> Path:
    """The folder of models of a home of its own, with that of `kept` and its precision in it."""
    model = langtrack_home / "openvino" / f"dmn-4-64x96-{kept._compiler._key}"
    shutil.copytree(model, tmp_path / "openvino" / model.name)
    shutil.copy(model.with_name(f"precision-{model.name.rpartition('-')[2]}.json"), tmp_path / "openvino")
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    return tmp_path / "openvino"


@pytest.mark.parametrize("suffix", [".xml", ".bin", ".blob", ".safetensors"])
def test_damaged_files_are_written_anew(suffix: str, copied: Path, monkeypatch):
    (damaged,) = copied.rglob(f"*{suffix}")
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    compiled()
    no_conversion(monkeypatch)
    compiled()
    assert len(list(copied.glob("*/"))) == 1


def test_models_of_another_user_are_read(copied: Path, monkeypatch):
    """In a home that one user fills and others only read, the time of a folder cannot be set by these."""

    def refuse(*_: object, **__: object) -> None:  # root, who may run this test, is refused nothing
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(openvino_compiler.os, "utime", refuse)
    no_conversion(monkeypatch)
    assert compiled().backend["name"] == "openvino"


def test_models_that_were_not_used_for_longest_are_deleted(copied: Path, monkeypatch):
    """The precision of their network stays, or it would be another one from then on."""
    monkeypatch.setattr(openvino_compiler, "SAVED_MODELS", 2)
    for shape in ((64, 64), SMALL_HW, (96, 64)):
        compiled(shape=(WORD_COUNTS[0], *shape))
    left = sorted(path.name.rpartition("-")[0] for path in copied.iterdir())
    assert left == ["dmn-4-64x96", "dmn-4-96x64", "precision"]


# --- the precision ----------------------------------------------------------------------------------------


def two_precisions(monkeypatch, tolerance: float) -> None:
    """Float32, and "bfloat16", which here is float32 too, with a bound of its own: every processor has it."""
    both = {"float32": ("f32", "FP32", 1e-3), "bfloat16": ("f32", "FP32", tolerance)}
    monkeypatch.setattr(openvino_compiler, "PRECISIONS", both)
    monkeypatch.setattr(openvino_compiler, "is_faster", lambda core: True)
    monkeypatch.setattr(openvino_compiler, "MEASURED_S", 0.05)


def test_the_fastest_precision_is_kept_with_the_name_of_the_machine(tmp_path: Path, monkeypatch):
    two_precisions(monkeypatch, 1e-3)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    network = compiled()
    (path,) = tmp_path.glob("openvino/precision-*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["precision"] == network.backend["precision"] and set(record["seconds"]) == set(
        openvino_compiler.PRECISIONS
    )
    for precision in ("bfloat16", "float32"):
        path.write_text(json.dumps(record | {"precision": precision}), encoding="utf-8")
        assert compiled().backend["precision"] == precision
    for other in (record | {"machine": "another"}, record | {"precision": "half"}, {}, [], "float32"):
        path.write_text(json.dumps(other), encoding="utf-8")
        compiled()
        assert json.loads(path.read_text(encoding="utf-8")).keys() == record.keys()
        assert json.loads(path.read_text(encoding="utf-8"))["machine"] == record["machine"]


@pytest.mark.parametrize("bfloat16", ["fast", "slow", "missing"])
def test_int8_is_timed_where_the_processor_gains_nothing_by_bfloat16(bfloat16, tmp_path: Path, monkeypatch):
    two_precisions(monkeypatch, 1e-3)
    monkeypatch.setitem(openvino_compiler.PRECISIONS, "int8", ("", "FP32", 1e-3))
    if bfloat16 == "missing":
        monkeypatch.setitem(openvino_compiler.PRECISIONS, "bfloat16", ("bf16", "none has it", 1e-3))
    monkeypatch.setattr(openvino_compiler, "is_faster", lambda core: bfloat16 != "slow")
    monkeypatch.setattr(openvino_compiler, "is_exact", lambda core: True)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    monkeypatch.setattr(openvino_compiler, "quantised", lambda model, ranges: model)
    network = Plain().eval()
    compiler = Compiler(network, ["auto"], "auto", {"a layer": [(0.0, 1.0), None]})
    CompiledLiteDMN(network, compiler, (WORD_COUNTS[0], *SMALL_HW))
    (path,) = tmp_path.glob("openvino/precision-*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    timed = {"float32", "bfloat16" if bfloat16 == "fast" else "int8"}
    assert set(record["seconds"]) == timed and record["precision"] == compiler.backend["precision"] in timed
    # What int8 leaves alone, and what a run begins on, runs in the faster of the two others.
    monkeypatch.setitem(openvino_compiler.PRECISIONS, "bfloat16", ("bf16", "FP32", 1e-3))
    monkeypatch.setattr(openvino_compiler, "is_faster", lambda core: bfloat16 == "fast")
    assert openvino_compiler.in_precision("a model", "int8", {})[1] == (
        "bf16" if bfloat16 == "fast" else "f32"
    )


@pytest.mark.parametrize(("float32_ms", "bfloat16_ms"), [(1, 3), (3, 1), (2, 2)])
def test_bfloat16_counts_where_the_processor_is_faster_in_it(float32_ms, bfloat16_ms):
    class Core:
        def compile_model(self, model, device, settings):
            assert settings["INFERENCE_NUM_THREADS"] == 1
            work_ms = {"f32": float32_ms, "bf16": bfloat16_ms}[settings["INFERENCE_PRECISION_HINT"]]

            def call(inputs) -> None:
                with ThreadPoolExecutor(1) as other:  # of another visitor, who must not count
                    other.submit(burn, float32_ms + bfloat16_ms - work_ms)
                burn(work_ms)

            return call

    def burn(milliseconds: float) -> None:
        end = time.thread_time() + milliseconds / 1000
        while time.thread_time() < end:
            pass

    assert is_faster(Core()) == (bfloat16_ms < float32_ms)


def test_a_processor_may_be_said_to_have_what_fails_there(tmp_path: Path, monkeypatch):
    """As where ``ONEDNN_MAX_CPU_ISA`` hides AVX-512 from OpenVINO, which names bfloat16 all the same."""

    class Core:
        def compile_model(self, model, device, settings):
            if settings["INFERENCE_PRECISION_HINT"] == "bf16":
                raise RuntimeError("object is not initialized")
            return lambda inputs: None

    assert not is_faster(Core())
    two_precisions(monkeypatch, 1e-3)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    compared = Compiler._compared

    def failing(self, model, example, result, folder, precision):
        if precision == "bfloat16":
            raise RuntimeError("object is not initialized")
        return compared(self, model, example, result, folder, precision)

    monkeypatch.setattr(Compiler, "_compared", failing)
    assert compiled().backend["precision"] == "float32"


def test_in_int8_a_run_starts_in_a_finer_precision(in_int8, ours):
    for branches in (in_int8, ours):  # which a processor may have in int8 both, or neither
        segmenter, precision = branches.segmenter, branches.info["weights"][0]["backend"]["precision"]
        assert (segmenter.finer is not None) == (precision == "int8")
        if segmenter.finer is not None:
            text, frames, _ = example("crossing-cars")
            encoded = segmenter.encode(text)
            scores = [s.predict([(frames[0], None)], encoded)[0][1] for s in (segmenter, segmenter.finer)]
            assert scores[0] != scores[1] and abs(scores[0] - scores[1]) < LARGEST_RAW_SCORE
            assert segmenter.finer.network.backend["precision"] != "int8"


def test_a_precision_that_is_asked_for_is_not_measured(tmp_path: Path, monkeypatch):
    two_precisions(monkeypatch, 1e-3)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    for precision in ("bfloat16", "float32"):
        assert compiled(precision=precision).backend["precision"] == precision
    assert not list(tmp_path.glob("openvino/precision-*.json"))


def test_a_precision_that_is_not_had_here_is_told_in_the_manifest(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(openvino_compiler, "is_faster", lambda core: False)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    about = compiled(precision="bfloat16").backend
    assert about["precision"] == "float32" and about["note"] == "bfloat16 is missing here, or no faster"
    for precision in ("auto", "float32"):
        assert "note" not in compiled(precision=precision).backend


def test_an_unknown_precision_is_one_sentence():
    with pytest.raises(LangTrackError, match=r"auto, float32, bfloat16, int8; got 'half'"):
        LangTracker.from_pretrained("lite", precision="half")


def test_what_was_compiled_in_one_precision_is_not_read_in_another(tmp_path: Path, monkeypatch):
    two_precisions(monkeypatch, 1e-3)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    for precision in ("float32", "bfloat16"):
        compiled(precision=precision)
    assert sorted(path.parent.name for path in tmp_path.rglob("*.blob")) == ["bfloat16", "float32"]


def test_outside_its_tolerance_float32_runs_and_never_pytorch(tmp_path: Path, monkeypatch, caplog):
    two_precisions(monkeypatch, -1.0)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    assert compiled().backend["precision"] == "float32"
    with caplog.at_level(logging.WARNING):
        network = compiled(precision="bfloat16")
    assert network.backend["name"] == "openvino"
    assert network.backend["note"].startswith("float32 for dmn-4-64x96") and "off by" in caplog.text
    no_conversion(monkeypatch)
    image, encoded = smooth_noise(*SMALL_HW), network.encode(torch.tensor([3, 1, 4]))
    with torch.inference_mode():
        expected = network.network.segment(image, encoded.language)[0]
        assert torch.allclose(network.segment(image, encoded)[0], expected, atol=1e-3)


# --- nothing is reported -----------------------------------------------------------------------------------


def test_openvino_reports_nothing(tmp_path: Path):
    """It would send an event at its import, from a child process, and leave an id in the user's home."""
    code = (
        "import sys; from langtrack_core.weights.openvino_compiler import openvino_core\n"
        "openvino_core(); from openvino.tools import ovc; assert 'stub' in type(ovc.telemetry).__module__\n"
        "assert not any(name.startswith('openvino_telemetry.') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.iterdir())


# --- which one runs ----------------------------------------------------------------------------------------


def test_the_manifest_tells(reference, ours):
    for info in ours.info["weights"]:
        assert info["backend"]["name"] == "openvino" and info["backend"]["version"]
        assert info["backend"]["precision"] in openvino_compiler.PRECISIONS
    assert all(info["backend"]["name"] == "torch" for info in reference.info["weights"])
    json.dumps(ours.info["weights"])


def test_without_openvino_pytorch_runs_and_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openvino", None)
    network = Plain().eval()
    with caplog.at_level(logging.WARNING):
        running, about = on_backend("auto", "cpu", "auto", network, lambda: compiled(network))
    assert "OpenVINO is not installed" in caplog.text
    assert running is network and about["note"] == "OpenVINO is not installed"
    with pytest.raises(LangTrackError, match=r"not installed.*--backend torch"):
        on_backend("openvino", "cpu", "auto", network, lambda: compiled(network))


def test_what_cannot_be_converted_runs_in_pytorch(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path))
    network = Plain().eval()
    network.segment = lambda image, language, view: (torch.linalg.pinv(image[0, 0])[None, None], image.sum())
    running, about = on_backend("auto", "cpu", "auto", network, lambda: compiled(network))
    assert running is network and "cannot convert" in about["note"]


@pytest.mark.parametrize(
    ("backend", "device", "precision"),
    [
        *(("tensorrt", "cpu", "auto"), ("openvino", "cuda", "auto")),
        *(("torch", "cpu", "int8"), ("auto", "cuda", "int8"), ("torch", "cpu", "half")),
    ],
)
def test_a_backend_that_cannot_be_had_is_one_sentence(backend, device, precision):
    with pytest.raises(LangTrackError) as caught:
        on_backend(backend, device, precision, Plain(), lambda: pytest.fail("compiled"))
    assert "\n" not in str(caught.value)


def off_by(result, expected) -> float:
    """Root mean square of the difference, as a share: what `openvino_compiler.PRECISIONS` bounds."""
    error = (result.float() - expected).square().mean() / (expected.square().mean() + 1e-12)
    return float(error.sqrt())


@pytest.mark.parametrize("form", ["lite", "published"])
@torch.inference_mode()
def test_bfloat16_in_pytorch_is_near_float32(form):
    """A GPU has no OpenVINO, and takes the same road as PyTorch here."""
    torch.manual_seed(0)
    sizes = {"embedding": 6, "hidden": 6, "filters": 2, "mixed": 8, "mixed_hidden": 8}
    dmn = tiny() if form == "lite" else DMN(DMNConfig(20, **sizes, batch_statistics=True)).eval()
    siammask = LiteNetwork().eval() if form == "lite" else PaperNetwork().eval()
    crops = [siammask.preprocess(np.full((side, side, 3), 90, np.uint8)) for side in (127, 255)]

    def answers() -> list[torch.Tensor]:
        language = dmn.encode(torch.arange(3))
        assert all(tensor.dtype != torch.bfloat16 for tensor in openvino_compiler._leaves(language))
        logits, _ = dmn.segment(smooth_noise(*SMALL_HW), language)
        response = siammask.search(siammask.template(crops[0]), crops[1])
        return [logits, response.cls, response.loc, siammask.refine(response, torch.tensor([[0, 12, 7]]))]

    expected = answers()
    for network in (dmn, siammask):
        running, about = on_backend("torch", "cpu", "bfloat16", network, lambda: pytest.fail("compiled"))
        assert running is network and about["name"] == "torch" and about["precision"] == "bfloat16"
    errors = [off_by(ours, theirs) for ours, theirs in zip(answers(), expected, strict=True)]
    assert all(0 < error <= openvino_compiler.PRECISIONS["bfloat16"][2] for error in errors), errors


def test_torch_is_left_alone_when_asked_for():
    network = Plain()
    for precision in ("auto", "float32"):
        running, about = on_backend("torch", "cpu", precision, network, lambda: pytest.fail("compiled"))
        assert running is network and about["name"] == "torch"
