"""Layers that take inputs of eight bits: what is rounded, by how much, and what a checkpoint says of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import Checkpoint
from langtrack_core.weights.int8 import is_exact, quantised

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def model():
    """Four values through a convolution and a matrix product of known weights."""
    from openvino import opset13

    picture = opset13.parameter([1, 2, 1, 2], np.float32)
    kernel = opset13.constant(np.array([[1.0, -0.25], [0.5, 0.125]], np.float32)[..., None, None])
    convolution = opset13.convolution(picture, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    convolution.set_friendly_name("convolution")
    flat = opset13.reshape(convolution, np.array([1, 4]), special_zero=False)
    product = opset13.matmul(flat, opset13.constant(np.full((3, 4), 0.3, np.float32)), False, True)
    product.set_friendly_name("product")
    return openvino.Model([convolution, product], [picture])


def run(model, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    convolution, product = compiled([picture.astype(np.float32)]).to_tuple()
    return convolution, product


PICTURE = np.array([[[[0.1, 0.9]], [[0.4, -0.6]]]])


def test_inputs_are_rounded_to_256_levels_of_their_span(model):
    exact, _ = run(model, PICTURE)
    coarse, _ = run(quantised(model, {"convolution": [(-1.0, 1.0), None]}), PICTURE)
    assert 0 < np.abs(coarse - exact).max() < 2 * 1.25 * (1 / 127)


def test_what_is_beyond_the_span_is_cut(model):
    coarse, _ = run(quantised(model, {"convolution": [(0.0, 0.5), None]}), PICTURE)
    exact, _ = run(model, PICTURE.clip(0, 0.5))
    assert np.allclose(coarse, exact, atol=0.01)


def test_a_layer_that_is_not_named_stays_as_it_is(model):
    ranges = {"convolution": [(-1.0, 1.0), None]}
    flat, product = run(quantised(model, ranges), PICTURE)
    assert np.allclose(product, flat.reshape(1, 4) @ np.full((4, 3), 0.3), atol=1e-6)


def test_weights_keep_their_own_span_by_output_channel(model):
    """A channel of small weights is not rounded by the steps of one with large ones."""
    halves = np.full((1, 2, 1, 2), 0.5)  # with ones, products overflow on a processor without VNNI
    coarse, _ = run(quantised(model, {"convolution": [(-1.0, 1.0), None]}), halves)
    expected = 64 / 127 * np.array([(127 - 32) / 127, (127 + 32) / 254])
    assert np.allclose(coarse[0, :, 0, 0], expected, atol=1e-4)


def test_the_model_itself_is_not_changed(model):
    before = run(model, PICTURE)
    quantised(model, {"product": [(-1.0, 1.0), None]})
    assert all(np.array_equal(a, b) for a, b in zip(before, run(model, PICTURE), strict=True))


def test_a_model_of_another_network_is_refused(model):
    with pytest.raises(LookupError, match="none of the layers"):
        quantised(model, {"another": [(0.0, 1.0), None]})


def test_the_ranges_stand_in_the_checkpoint(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"comb_visual.weight": torch.zeros(1)}, path, {"ranges": '{"layer": [[0.0, 6.0], null]}'})
    assert Checkpoint.read(path).ranges == {"layer": [[0.0, 6.0], None]}
    save_file({"comb_visual.weight": torch.zeros(1)}, path, {"arguments": "{}"})
    assert Checkpoint.read(path).ranges == {}
    save_file({"comb_visual.weight": torch.zeros(1)}, path, {"ranges": "[1"})
    with pytest.raises(LangTrackError, match="damaged metadata"):
        _ = Checkpoint.read(path).ranges


class Overflowing:
    """A core whose compiled models give half of the right sums, as sixteen bits do."""

    def compile_model(self, model, device, settings):
        assert settings["INFERENCE_PRECISION_HINT"] == "f32"  # a processor's bfloat16 has no say in it
        compiled = openvino.Core().compile_model(model, device, settings)
        return lambda inputs: SimpleNamespace(to_tuple=lambda: [compiled(inputs)[0] / 2])


def test_sums_that_overflow_are_noticed():
    assert not is_exact(Overflowing())
