"""What the inputs of a network's big layers span, for int8: measured on clips, stored in the checkpoint.

python -m langtrack_core quantise language --data DATA/train/davis [--write]
python -m langtrack_core quantise tracker --data DATA/train/davis [--write]

The network runs as it does in the product, in float32, with an eye on each layer that integers make faster:
one with at least a thousandth of the multiplications, and enough of them for each number that it reads or
writes. A range is the one that rounds best, not the widest that came: a few large numbers would make the
steps of all others coarse. ``evaluate --precision int8`` says what the result is worth.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from langtrack_core.dmn.segmenter import DMNSegmenter
from langtrack_core.geometry import Float32Array
from langtrack_core.siammask.tracker import SiamMaskTracker
from langtrack_core.types import LangTrackError
from langtrack_core.weights.int8 import Ranges, levels_between
from langtrack_core.weights.load import build_segmenter, build_tracker
from langtrack_core.weights.openvino_backend import CompiledLiteDMN, CompiledSiamMask
from langtrack_core.weights.openvino_compiler import TENSOR, Call, Compiler, openvino_core

from .calibrate import clips_of, readable, store
from .datasets import Sequence
from .evaluation.protocol import Item
from .weights.one_branch import choose_branch

LITE = ("dmn-lite", "siammask-lite")
"""The networks that have int8: the published ones come as pickles, which nothing can be stored in."""

LEAST = 0.001
"""Share of a model's multiplications from which on a layer is rounded."""

LEAST_INTENSITY = 70
"""Multiplications for each number read or written from which on a layer is rounded. Those with fewer, the
early ones, wait for the memory: in integers they gain little, and most of the error of the language branch's
score came from them (NOTEBOOK, Q1)."""

SAMPLES = 300
"""Numbers drawn of a layer's input in a call."""

SHARES = tuple(share / 40 for share in range(40, 11, -1))
"""Tried of the widest range."""

FRAMES = 5
"""Number of frames of a clip that the language branch sees, spread over its length."""

FOLLOWED = 12
"""Number of frames of a clip, its first ones, that the tracker sees."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder like dev, or a data set whose kind can be told, whose ranges are taken",
    )
    parser.add_argument("--weights", default="lite", help="a name from `weights list`, or a file")
    parser.add_argument("--write", action="store_true", help="store the ranges in the checkpoint")


def run(args: argparse.Namespace) -> int:
    """Measures the ranges of ``args.target``, "language" or "tracker"."""
    entry = choose_branch(args.weights, args.target)
    if entry.network not in LITE:
        raise LangTrackError(f"int8 is for the lite networks; {entry.path.name} is a {entry.network}.")
    clips = clips_of(args.data)
    if args.target == "language" and not any(clip.expressions for clip in clips):
        raise LangTrackError(f"The clips of {args.data} have no sentences, which the language branch needs.")
    if args.target == "language":
        segmenter, _ = build_segmenter(entry, "cpu", "torch")
        finder = RangeFinder(segmenter.network)
        shape = 4, *segmenter.config.preprocessing.input_hw((9, 16))
        segmenter.network = CompiledLiteDMN(segmenter.network, finder, shape)
        run_segmenter(segmenter, clips)
    else:
        new_tracker, _ = build_tracker(entry, "cpu", "torch")
        in_torch = new_tracker()
        finder = RangeFinder(in_torch.network)
        compiled: Any = CompiledSiamMask(in_torch.network, finder)
        run_tracker(SiamMaskTracker(compiled, in_torch.config), clips)
    ranges = finder.ranges()
    print(f"{len(ranges)} layers")
    if args.write:
        store(entry, "ranges", ranges)
    return 0


class RangeFinder(Compiler):
    """Compiles the calls in float32, and draws numbers from what comes to their big layers."""

    def __init__(self, network: Any) -> None:
        super().__init__(network, [], "float32")
        self._drawn: dict[str, list[list[Float32Array] | None]] = {}

    def compile(
        self, name: str, function: Callable[..., Any], arguments: Callable[[], tuple[Any, ...]], result: Any
    ) -> Call:
        """See `Compiler.compile`; nothing is kept on disk."""
        import openvino
        from openvino import opset13

        model = self.convert(function, arguments())
        drawn, watched = [], []
        for layer in big_layers(model):
            measured = [index for index in range(2) if not _is_weights(layer, index)]
            lists = self._drawn.setdefault(
                layer.get_friendly_name(), [[] if index in measured else None for index in range(2)]
            )
            drawn += [lists[index] for index in measured]
            watched += [opset13.result(layer.input_value(index)) for index in measured]
        both = openvino.Model([*model.get_results(), *watched], model.get_parameters())
        compiled = openvino_core().compile_model(both, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return _WatchedCall(compiled, result, drawn)

    def ranges(self) -> Ranges:
        """By what came in all calls so far."""
        return {
            name: [None if drawn is None else best_range(np.concatenate(drawn)) for drawn in inputs]
            for name, inputs in self._drawn.items()
        }


class _WatchedCall(Call):
    """Draws `SAMPLES` numbers of each of the model's last outputs into lists, one an output."""

    def __init__(self, compiled: Any, result: Any, drawn: list[Any]) -> None:
        super().__init__(compiled, (result, (TENSOR,) * len(drawn)))
        self._drawn, self._random = drawn, np.random.default_rng(0)

    def __call__(self, *arguments: Any) -> Any:
        result, values = super().__call__(*arguments)
        for drawn, value in zip(self._drawn, values, strict=True):
            drawn.append(self._random.choice(value.numpy().ravel(), SAMPLES))
        return result


def best_range(values: Float32Array) -> tuple[float, float]:
    """The range, a share of what the values span, that rounds them with the least mean squared error.

    Args:
        values: ``(N,)`` of a layer's inputs.
    """
    widest = float(values.min()), float(values.max())
    ranges = [(widest[0] * share, widest[1] * share) for share in SHARES]
    return min(ranges, key=lambda span: float(np.mean((_rounded(values, *span) - values) ** 2)))


def _rounded(values: Float32Array, low: float, high: float) -> Float32Array:
    """To the nearest of the levels for a range."""
    low, high = levels_between(low, high)
    step = (high - low) / 255
    return np.clip(values / step, low / step, high / step).round() * step


def big_layers(model: Any) -> list[Any]:
    """The convolutions and matrix products of a model that are worth it, see the top of this file."""
    counted = [(layer, _multiplications(layer)) for layer in model.get_ordered_ops()]
    least = LEAST * sum(count for _, count in counted)
    big = [(layer, count) for layer, count in counted if count >= least]
    return [layer for layer, count in big if count >= LEAST_INTENSITY * _numbers_moved(layer)]


def _multiplications(layer: Any) -> int:
    """Multiplications of a convolution that is not depth-wise, or of a matrix product; 0 for other layers."""
    kind, outputs = layer.get_type_name(), math.prod(layer.output(0).get_shape())
    if kind == "Convolution":
        return outputs * math.prod(list(layer.input_value(1).get_shape())[1:])
    if kind == "MatMul":
        return outputs * layer.input_value(0).get_shape()[-2 if layer.get_attributes()["transpose_a"] else -1]
    return 0


def _numbers_moved(layer: Any) -> int:
    """Numbers of a layer's inputs, but for weights, and outputs."""
    inputs = [layer.input(index) for index in range(2) if not _is_weights(layer, index)]
    return sum(math.prod(port.get_shape()) for port in [*inputs, layer.output(0)])


def _is_weights(layer: Any, index: int) -> bool:
    return layer.input_value(index).get_node().get_type_name() == "Constant"


def run_segmenter(segmenter: DMNSegmenter, clips: list[Sequence]) -> None:
    """Ask each sentence of a clip on `FRAMES` of its frames."""
    for clip in clips:
        wanted = set(np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int))
        encoded = list(readable(segmenter, clip))
        for frame in clip.read_frames():
            for text in encoded if frame.index in wanted else ():
                segmenter.predict([(frame, None)], text)


def run_tracker(tracker: SiamMaskTracker, clips: list[Sequence]) -> None:
    """Follow from the true box through the first frames of each clip."""
    for clip in clips:
        start = Item(clip.name, clip, None, "box").start
        frames = itertools.islice(clip.read_frames(start), FOLLOWED)
        tracker.reanchor(next(frames), clip.boxes_xyxy[start], exact=True)
        for frame in frames:
            tracker.update(frame)
