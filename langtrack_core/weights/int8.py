"""Eight-bit integers for the big layers of a converted network, by ranges that stand in its checkpoint.

``quantise`` measures the ranges once, on real pictures; they hold for every picture shape and length of
expression. A layer's inputs are rounded to 256 levels here (``FakeQuantize``); OpenVINO runs it in integers.
The layers between stay as they are: rounded too, they cost the score two units of a logit.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Ranges = Mapping[str, Sequence[Sequence[float] | None]]
"""Layers by their names in the converted model; of each input the least and the largest value that came, or
None for weights, whose range is seen from themselves."""


def quantised(model: Any, ranges: Ranges) -> Any:
    """A copy of a converted model, one call of the network, whose named layers take inputs of eight bits;
    LookupError where it has none of them."""
    copy = model.clone()
    layers = [layer for layer in copy.get_ops() if layer.get_friendly_name() in ranges]
    if not layers:
        raise LookupError("none of the layers for int8 is there")
    for layer in layers:
        for index, span in enumerate(ranges[layer.get_friendly_name()]):
            _round(layer, index, span)
    copy.validate_nodes_and_infer_types()
    return copy


@functools.cache
def is_exact(core: Any) -> bool:
    """Whether the processor of an `openvino.Core` adds up products of eight bits rightly: without VNNI it
    adds two of them in sixteen bits, where large ones overflow without a word."""
    model, ones = layer_of_ones()
    model, float32 = quantised(model, {"sums": [(0.0, 1.0), None]}), {"INFERENCE_PRECISION_HINT": "f32"}
    [sums] = core.compile_model(model, "CPU", float32)([ones]).to_tuple()
    return bool(np.allclose(sums, 256, rtol=0.01))


def layer_of_ones() -> tuple[Any, Any]:
    """One layer that adds up 256 channels, and its input, to try a processor with."""
    import openvino
    from openvino import opset13

    ones = np.ones((1, 256, 32, 32), np.float32)
    weights = opset13.constant(np.ones((256, 256, 1, 1), np.float32))
    picture = opset13.parameter(ones.shape, np.float32)
    layer = opset13.convolution(picture, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    layer.set_friendly_name("sums")
    return openvino.Model([layer], [picture]), ones


def levels_between(low: float, high: float) -> tuple[Any, Any]:
    """The first and the last of the 256 levels for a range; what is never negative has all above zero."""
    largest = np.float32(max(-low, high, 1e-8))
    return np.float32(0 if low >= 0 else -largest * 128 / 127), largest


def _round(layer: Any, index: int, span: Sequence[float] | None) -> None:
    """Let a layer take one of its inputs rounded."""
    from openvino import opset13

    source = layer.input_value(index)
    if span is None:  # weights: symmetric, by output channel
        weights = source.get_node().get_data()
        summed = tuple(range(1, weights.ndim))
        if layer.get_type_name() == "MatMul":
            summed = (weights.ndim - 1,) if layer.get_attributes()["transpose_b"] else (weights.ndim - 2,)
        high = np.abs(weights).max(summed, keepdims=True).clip(1e-8)
        low, levels = -high, 255
    else:
        low, high, levels = *levels_between(*span), 256
    limits = [opset13.constant(np.asarray(value, np.float32)) for value in (low, high)]
    layer.input(index).replace_source_output(
        opset13.fake_quantize(source, *limits, *limits, levels).output(0)
    )
