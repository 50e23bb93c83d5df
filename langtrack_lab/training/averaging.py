"""Averaged weights, which are the ones that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
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

    def averaged(self, network: nn.Module) -> dict[str, Tensor]:
        """The network's state dict with the averages in place of the trained parameters."""
        return {**network.state_dict(), **self.values}

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network with the averages in place of the trained parameters, to measure and to save it."""
        trained = {k: p for k, p in network.named_parameters() if k in self.values}
        kept = {name: parameter.data for name, parameter in trained.items()}
        for name, parameter in trained.items():
            parameter.data = self.values[name]
        try:
            yield
        finally:
            for name, parameter in trained.items():
                parameter.data = kept[name]
