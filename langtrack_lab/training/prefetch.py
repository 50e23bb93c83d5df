"""The batches of a run, in order, and how long the trainer waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .distributed import World
from .process import leave_signals

AHEAD = 4
"""Batches that each worker makes in advance."""


class StepBatches(IterableDataset):
    """For each of ``steps``, this process's share of the global batch.

    Args:
        sample: number of a sample to the sample; it depends on nothing else. Runs in the workers.
        collate: a step's samples to a batch.
    """

    def __init__(
        self,
        sample: Callable[[int], Any],
        collate: Callable[[list[Any]], Any],
        steps: range,
        batch: int,
        world: World,
    ) -> None:
        self.sample, self.collate, self.steps, self.batch, self.world = sample, collate, steps, batch, world

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        # The loader takes from its workers in turn: worker w makes the steps w, w + workers, …
        for step in self.steps[worker::workers]:
            yield self.collate([self.sample(i) for i in self.world.share(step, self.batch)])


class Feed:
    """Iterates over batches that worker processes prepare, on the device; counts the time it waits."""

    def __init__(self, batches: StepBatches, workers: int) -> None:
        self.device = batches.world.device
        self.loader = DataLoader(
            batches,
            batch_size=None,  # a batch comes whole
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            worker_init_fn=leave_signals,
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
            yield moved(batch, self.device)

    def waiting_share(self) -> float:
        """Of the time since the last call, the share spent waiting for data."""
        now = time.monotonic()
        share = self.waited / max(now - self.since, 1e-9)
        self.waited, self.since = 0.0, now
        return share


def moved(value: Any, device: Any) -> Any:
    """Tensors of a batch, in whatever dicts, lists and tuples they lie, on the device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: moved(v, device) for key, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(moved(v, device) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(moved(v, device) for v in value)
    return value
