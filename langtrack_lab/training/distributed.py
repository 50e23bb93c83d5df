"""One process or many: which one this is, and what they have to agree on.

``torchrun`` starts the processes, on one machine or on several, and tells each its place by environment
variables. Every process takes an equal share of each global batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from langtrack_core.types import LangTrackError

PATIENCE = timedelta(hours=4)
"""How long processes wait for another: the first one measures while the others wait."""


@dataclass(frozen=True)
class World:
    """This process among all of a training.

    Attributes:
        rank: 0 for the first one, which alone writes files and prints.
        size: how many there are.
        device: where this one computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, step: int, batch: int) -> range:
        """Numbers of the samples that this process takes in a step; all together are the global batch."""
        mine = batch // self.size
        start = step * batch + self.rank * mine
        return range(start, start + mine)

    def sum(self, values: Tensor) -> Tensor:
        """Of all processes; gradients do not go through it."""
        if self.size > 1:
            values = values.detach().clone()
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether it is so in one process at least."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str = "cpu") -> Iterator[World]:
    """The processes that torchrun started, or this one alone.

    Args:
        device: as PyTorch names it; of several GPUs each process takes its own.

    Raises:
        LangTrackError: there is no such device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda" and size > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise LangTrackError(f"The device {device!r} cannot be used here; try cpu.") from error
    place = torch.device(device)
    if size == 1:
        yield World(device=place)
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), size, place)
    finally:
        dist.destroy_process_group()


# --- batch norm over all processes -------------------------------------------------------------------------


class _Sum(torch.autograd.Function):
    """Sum over the processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the global batch. PyTorch's own exists for GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = values.new_tensor([values.numel() / values.shape[1]])
        total = _Sum.apply(torch.cat([values.sum((0, 2, 3)), count]))
        cells = total[-1].detach()
        mean = total[:-1] / cells
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / cells
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * cells / (cells - 1), self.momentum)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked += 1
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def share_statistics(network: nn.Module) -> None:
    """Put a `SharedBatchNorm` in the place of every batch norm; parameters and buffers stay the same ones."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
                shared.weight, shared.bias = child.weight, child.bias
                shared._buffers.update(child._buffers)
                shared.train(child.training)
                setattr(parent, name, shared)
