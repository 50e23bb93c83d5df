"""Losses as sums and counts, so that processes can add theirs up before anybody divides."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Part(NamedTuple):
    """One part of a loss: a weighted mean that is not divided yet.

    The mean over the masked cells, say, of two processes is not the mean of their means when one has more
    cells than the other.

    Attributes:
        total: scalar, the weighted sum.
        counted: scalar, what it is to be divided by; 0 where there was nothing to learn from.
    """

    total: Tensor
    counted: Tensor

    @classmethod
    def mean(cls, values: Tensor, weight: float = 1.0, where: Tensor | None = None) -> Part:
        """``weight`` times the mean of ``values``, of those ``where`` (bool, same shape) alone if given."""
        values = values.float()
        if where is None:
            counted = values.new_tensor(float(values.numel()))
        else:
            values, counted = values * where, where.sum().float()
        return cls(weight * values.sum(), counted)

    @property
    def value(self) -> Tensor:
        """The mean as this process alone sees it; 0 where there is nothing."""
        return self.total / self.counted.clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor, smooth: float) -> Tensor:
    """One minus the soft overlap of whole masks: small objects count as much as large ones.

    Args:
        logits: ``(N, ...)`` mask logits.
        target: of the same shape, in [0, 1].
        smooth: cells added to overlap and sizes. An empty target asks for a mask that is small against it.

    Returns:
        ``(N,)`` in [0, 1].
    """
    prob, target = logits.float().sigmoid().flatten(1), target.float().flatten(1)
    overlap = (prob * target).sum(1)
    return 1 - (2 * overlap + smooth) / (prob.sum(1) + target.sum(1) + smooth)


def combined(parts: dict[str, Part]) -> tuple[Tensor, Tensor]:
    """Totals and counts of all parts, each ``(P,)`` in the order of the parts."""
    return torch.stack([p.total for p in parts.values()]), torch.stack([p.counted for p in parts.values()])
