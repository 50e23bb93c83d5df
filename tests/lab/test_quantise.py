"""The ranges for int8: found on clips, stored in the checkpoint, and used."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluation_helpers import write_dev

from langtrack_core import cli
from langtrack_core.weights import openvino_compiler
from langtrack_core.weights.checkpoint import Checkpoint
from langtrack_core.weights.int8 import is_exact
from langtrack_core.weights.load import build_segmenter, build_tracker, choose
from langtrack_core.weights.openvino_compiler import openvino_core
from langtrack_lab.quantise import best_range

pytest.importorskip("openvino")


@pytest.fixture
def weights(lite_files: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lite_files, tmp_path / "weights"))


@pytest.mark.parametrize(
    ("branch", "file", "early", "others"),
    [
        (
            "language",
            "dmn-lite.safetensors",
            ("conv_stem", "blocks.1.0.conv_pw"),
            ("blocks.5.0.conv_pwl", "blocks.4.1.conv_pw"),
        ),
        (
            "tracker",
            "siammask-lite.safetensors",
            ("stem", "stages.1.0.expand"),
            ("cls.conv_search.0", "stages.4.1.expand"),
        ),
    ],
)
def test_big_layers_are_found_stored_and_used(
    branch, file, early, others, weights: Path, tmp_path, capsys, monkeypatch
):
    data = write_dev(tmp_path / "dev", absent=(), frames=3)
    path = weights / file
    before = Checkpoint.read(path)
    assert cli.main(["quantise", branch, "--data", str(data), "--weights", str(path), "--write"]) == 0
    assert "layers" in capsys.readouterr().out
    after = Checkpoint.read(path)
    assert dict(before.metadata).items() <= dict(after.metadata).items()
    ranges = after.ranges
    assert not any(part in name for part in early for name in ranges)
    for part in others:
        ((low, high), weights_span) = next(spans for name, spans in ranges.items() if part in name)
        assert weights_span is None and low <= 0 < high

    entry = choose(str(path))[branch]
    build = build_segmenter if branch == "language" else build_tracker
    _, info = build(entry, "cpu", "openvino", "int8")
    able = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    offered = "INT8" in able and is_exact(openvino_core())
    assert (info["backend"]["precision"] == "int8") == offered == ("note" not in info["backend"])

    monkeypatch.setattr(openvino_compiler, "is_exact", lambda core: False)
    _, info = build(entry, "cpu", "openvino", "int8")
    assert info["backend"]["precision"] != "int8" and "int8 is missing here" in info["backend"]["note"]


def test_clips_without_sentences_are_refused(weights: Path, tmp_path, capsys):
    data = write_dev(tmp_path / "dev", frames=3) / "boxes"
    (data / "gamma" / "nlp.txt").write_text("\n")
    arguments = ["--data", str(data), "--weights", str(weights / "dmn-lite.safetensors")]
    assert cli.main(["quantise", "language", *arguments]) == 1
    assert "boxes have no sentences" in capsys.readouterr().err


def test_a_range_gives_up_one_large_number_for_finer_steps():
    values = np.append(np.random.default_rng(0).normal(size=300_000), 10.0).astype(np.float32)
    low, high = best_range(values)
    assert 3 < high < 8 and low == pytest.approx(values.min() * high / 10)
    none_negative = best_range(np.abs(values))
    assert none_negative[0] >= 0 and 3 < none_negative[1] < 10


def test_a_range_covers_all_where_the_steps_cost_less():
    values = np.linspace(-1, 1, 257, dtype=np.float32)
    assert best_range(values) == pytest.approx((-1, 1), abs=0.05)
