"""The processes of a training: which one this is, what they agree on, its signals and its memory.

``torchrun`` starts the processes, on one machine or on several, and gives each its rank by environment
variables. Every process takes an equal share of each global batch.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from langtrack_core.types import LangTrackError

TIMEOUT = timedelta(hours=4)
"""How long a process waits for another one: the first process measures while the others wait."""


@dataclass(frozen=True)
class DistributedContext:
    """This process among all processes of a training.

    Attributes:
        rank: 0 for the main process, which alone writes files and prints.
        size: number of processes.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sample_indices(self, step: int, batch: int) -> range:
        """Numbers of the samples that this process takes in a step; all together are the global batch."""
        count = batch // self.size
        start = step * batch + self.rank * count
        return range(start, start + count)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes; gradients do not go through it."""
        if self.size > 1:
            values = values.detach().clone()
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in one process at least."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def max(self, value: float) -> float:
        """The largest of all processes' values."""
        if self.size == 1:
            return value
        largest = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return float(largest)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def init_distributed(device: str = "cpu") -> Iterator[DistributedContext]:
    """Join the processes that torchrun started, or be the only one.

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
        yield DistributedContext(device=place)
        return
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield DistributedContext(dist.get_rank(), size, place)
    finally:
        dist.destroy_process_group()


# --- batch norm over all processes -------------------------------------------------------------------------


class _Sum(torch.autograd.Function):
    """Sum over the processes; its gradient is summed over them, too."""

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


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the global batch. PyTorch's own exists for GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = values.new_tensor([values.numel() / values.shape[1]])
        total = _Sum.apply(torch.cat([values.sum((0, 2, 3)), count]))
        cells = total[-1].detach().clamp(min=1)  # a layer that sees masked cells alone may see none
        mean = total[:-1] / cells
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / cells
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                momentum = self.momentum * (cells > 1)  # a single cell has no variance
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * cells / (cells - 1).clamp(min=1), momentum)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked += 1
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def synchronise_batch_norms(network: nn.Module) -> None:
    """Put a `SyncBatchNorm` in the place of every batch norm; parameters and buffers stay the same ones."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                synchronised = SyncBatchNorm(child.num_features, child.eps, child.momentum)
                synchronised.weight, synchronised.bias = child.weight, child.bias
                synchronised._buffers.update(child._buffers)
                synchronised.train(child.training)
                setattr(parent, name, synchronised)


# --- signals and memory ------------------------------------------------------------------------------------


class StopSignal:
    """True once SIGTERM or SIGINT has come: the trainer saves and ends after the step at hand."""

    def __init__(self) -> None:
        self.received = False
        self.before = {
            number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def __enter__(self) -> StopSignal:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def __bool__(self) -> bool:
        return self.received


def ignore_signals(worker: int) -> None:
    """Make a data worker ignore SIGTERM and SIGINT, which go to the whole group: the trainer ends it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""The numbers of glibc's ``mallopt`` parameters, from its malloc.h."""


def tune_malloc() -> None:
    """Tell glibc to keep freed memory for the rest of this process; for a command that trains on a CPU.

    A step frees and takes gigabytes of activations. By default glibc gives large blocks back to the kernel,
    which fills them with zeros, page by page, when they are taken again: 0.6 to 1.0 s of the 4.8 s of CPU
    time of a step of the language branch (8 pictures, two threads); 0.05 s with this.
    """
    if sys.platform != "linux" or torch.cuda.is_available():
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # other C libraries have none
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # never
        libc.mallopt(M_TOP_PAD, 256 << 20)
