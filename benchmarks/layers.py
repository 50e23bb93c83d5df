"""How near the big layers of the compiled networks come to the machine's fastest matrix product.

The models are those that LangTrack keeps (``~/.cache/langtrack/openvino``), compiled once more with counters.
Each layer's time is its shortest of many calls, so that other work on the machine counts little.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from langtrack_core.weights.int8 import Ranges
from langtrack_core.weights.load import home
from langtrack_core.weights.openvino_compiler import in_precision

BIG = 0.01
"""Share of a network's multiplications from which on a layer is a big one."""

CALLS = 40
"""Number of calls of a network, of which the shortest time of each layer counts."""


def big_layers_share(model: str, precision: str, ranges: Ranges, peak: float) -> float:
    """Operations in a second of the big layers of a network, as a share of the peak.

    Args:
        model: what the names of the saved models begin with; the last used of them counts.
        ranges: of the network, for int8.
        peak: operations in a second.
    """
    import openvino

    folders = (home() / "openvino").glob(f"{model}-*")
    folder = max(folders, key=lambda path: path.stat().st_mtime)
    core = openvino.Core()
    network, hint = in_precision(core.read_model(folder / "model.xml"), precision, ranges)
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "PERF_COUNT": True}
    compiled = core.compile_model(network, "CPU", settings)
    operations = {node.friendly_name: _operations(node) for node in compiled.get_runtime_model().get_ops()}

    random = np.random.default_rng(0)
    inputs = [
        random.random(list(port.shape)).astype(port.element_type.to_dtype()) for port in compiled.inputs
    ]
    request = compiled.create_infer_request()
    seconds: dict[str, float] = {}
    for _ in range(CALLS):
        request.infer(inputs)
        for layer in request.profiling_info:
            elapsed = layer.real_time.total_seconds()
            if elapsed > 0:
                seconds[layer.node_name] = min(elapsed, seconds.get(layer.node_name, math.inf))
    least = BIG * sum(operations.values())
    big = [name for name, count in operations.items() if count >= least and name in seconds]
    return sum(operations[name] for name in big) / sum(seconds[name] for name in big) / peak


def _operations(node: Any) -> float:
    """Multiplications and additions of a layer; 0 for what is neither a convolution nor a matrix product."""
    kind = node.get_rt_info()["layerType"]
    kind = getattr(kind, "value", kind)
    if kind not in ("Convolution", "GroupConvolution", "MatMul", "FullyConnected"):
        return 0.0
    output = list(node.output(0).shape)
    left, right = (math.prod(node.input(i).get_source_output().get_shape()) for i in range(2))
    if "Convolution" in kind:
        return 2.0 * math.prod(output) / output[1] * right
    return 2.0 * left * output[-1]
