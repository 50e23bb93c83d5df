"""The batches of a run, in order, made ahead of time by data workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .distributed import DistributedContext, ignore_signals

BATCHES_AHEAD = 4
"""Batches that each worker makes in advance: enough for a few slow ones, and little memory."""


class StepBatches(IterableDataset):
    """For each of ``steps``, this process's share of the global batch.

    Args:
        sample: gives the sample of a number; it depends on nothing else. Runs in the workers.
        collate: makes a batch of a step's samples.
    """

    def __init__(
        self,
        sample: Callable[[int], Any],
        collate: Callable[[list[Any]], Any],
        steps: range,
        batch: int,
        context: DistributedContext,
    ) -> None:
        self.sample, self.collate, self.steps, self.batch = sample, collate, steps, batch
        self.context = context

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        # The loader takes from its workers in turn: worker w makes the steps w, w + workers, …
        for step in self.steps[worker::workers]:
            yield self.collate([self.sample(i) for i in self.context.sample_indices(step, self.batch)])


class PrefetchLoader:
    """Iterates over batches that worker processes prepare, on the device; counts the time it waits."""

    def __init__(self, batches: StepBatches, workers: int) -> None:
        self.device = batches.context.device
        self.loader = DataLoader(
            batches,
            batch_size=None,  # a batch comes whole
            num_workers=workers,
            prefetch_factor=BATCHES_AHEAD if workers else None,
            worker_init_fn=ignore_signals,
            pin_memory=self.device.type == "cuda",
        )
        self.waited, self.since = 0.0, time.monotonic()

    def __iter__(self) -> Iterator[Any]:
        iterator = iter(self.loader)
        while True:
            start = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.waited += time.monotonic() - start
            yield to_device(batch, self.device)

    def waiting_share(self) -> float:
        """The share of the time since the last call that was spent waiting for data."""
        now = time.monotonic()
        share = self.waited / max(now - self.since, 1e-9)
        self.waited, self.since = 0.0, now
        return share


def to_device(value: Any, device: torch.device) -> Any:
    """Move the tensors of a batch, in whatever dicts, lists and tuples they are, to the device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: to_device(v, device) for key, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(to_device(v, device) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(to_device(v, device) for v in value)
    return value
