"""What the golden values were computed from: weights that are a function of each entry's name, and waves."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


def filled(name: str, shape: Sequence[int]) -> Tensor:
    """The value of one entry of the state dict."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(int(np.prod(shape)))
    noise = noise.reshape(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    if name.endswith("running_var"):
        value = 1 + 0.1 * np.abs(noise)
    elif name.endswith("running_mean"):
        value = 0.1 * noise
    elif len(shape) == 1:
        value = 0.47 * (1 + 0.1 * noise) if name.endswith("weight") else 0.05 * noise
    else:
        value = noise * np.sqrt(1 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, np.float32))


def waves(height: int, width: int) -> NDArray[np.float64]:
    """``(height, width, 3)`` in [0, 255], channels in the order in which the network takes them."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return 127.5 + 127.5 * np.sin(0.13 * x + 0.07 * y + c) * np.cos(0.05 * x - 0.11 * y * (c + 1))
