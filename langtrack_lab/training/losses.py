"""The losses of the branches, as sums and divisors: processes add theirs up before anybody divides."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from langtrack_core.siammask.network import ANCHORS_CXCYWH


class LossTerm(NamedTuple):
    """One term of a loss: a weighted mean that is not divided yet.

    The mean over the masked cells, say, of two processes is not the mean of their means when one has more
    cells than the other.

    Attributes:
        total: scalar, the weighted sum.
        divisor: scalar, what the sum is to be divided by; 0 where there was nothing to learn from.
    """

    total: Tensor
    divisor: Tensor

    @classmethod
    def mean(cls, values: Tensor, weight: float = 1.0, where: Tensor | None = None) -> LossTerm:
        """``weight`` times the mean of ``values``, of those ``where`` (bool, same shape) alone."""
        values = values.float()
        if where is None:
            divisor = values.new_tensor(float(values.numel()))
        else:
            values, divisor = values * where, where.sum().float()
        return cls(weight * values.sum(), divisor)

    @property
    def value(self) -> Tensor:
        """The mean as this process alone sees it; 0 where there is nothing."""
        return self.total / self.divisor.clamp(min=1)


def stacked(terms: dict[str, LossTerm]) -> tuple[Tensor, Tensor]:
    """Totals and divisors of all terms, each ``(T,)`` in the order of the terms."""
    return torch.stack([t.total for t in terms.values()]), torch.stack([t.divisor for t in terms.values()])


# --- masks -------------------------------------------------------------------------------------------------


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of each cell, of the shape of both."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


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


def projection_loss(logits: Tensor, box: Tensor, smooth: float) -> Tensor:
    """Loss of masks of which the box alone is known (BoxInst, Tian et al., CVPR 2021).

    The mask's projections on both axes are the box's, nothing is outside, and at least half of the box is
    filled.

    Args:
        logits: ``(N, 1, h, w)`` mask logits.
        box: the filled box, of the same shape, in [0, 1].

    Returns:
        ``(N,)``.
    """
    projections = [dice_loss(logits.amax(axis), box.amax(axis), smooth * box.shape[axis]) for axis in (2, 3)]
    outside = (cross_entropy(logits, box) * (1 - box)).mean((1, 2, 3))
    size = box.sum((1, 2, 3))
    filled = ((logits.sigmoid() * box).sum((1, 2, 3)) / (size + 1)).clamp(max=0.5)
    return (projections[0] + projections[1]) / 2 + 2 * outside + (0.5 - filled) * (size > 0)


def box_agreement(mask: Tensor, box: Tensor) -> Tensor:
    """How well masks fit boxes, from 0 to 1: the product of the IoU of their shadows on both axes.

    Args:
        mask: ``(N, 1, h, w)`` bool.
        box: the filled box, of the same shape, bool.

    Returns:
        ``(N,)``.
    """
    shadows = [(mask.any(axis).flatten(1), box.any(axis).flatten(1)) for axis in (2, 3)]
    x, y = ((a & b).sum(1) / (a | b).sum(1).clamp(min=1) for a, b in shadows)
    return x * y


# --- classes and boxes -------------------------------------------------------------------------------------


def distillation_loss(teacher: Tensor, student: Tensor) -> Tensor:
    """``(B,)`` Kullback-Leibler divergence of log-probabilities ``(B, C, h, w)``, mean over the cells."""
    return (teacher.exp() * (teacher - student)).sum(1).mean((1, 2))


def anchor_class_loss(cls: Tensor, labels: Tensor, hard_negatives: int) -> dict[str, LossTerm]:
    """Cross entropy over positive anchors, and over the hardest negatives, one half each.

    Args:
        cls: ``(B, 2 * ANCHORS, GRID, GRID)`` logits.
        labels: ``(B, ANCHORS * GRID * GRID)`` 1, 0, or -1 for "does not count".
    """
    background, foreground = F.log_softmax(cls.reshape(len(cls), 2, -1), dim=1).neg().unbind(1)
    positive, negative = labels == 1, labels == 0
    hardest = (background * negative).topk(hard_negatives, dim=1).values
    count = positive.sum(1)
    target = (foreground * positive).sum(1) / count.clamp(min=1)
    return {"cls_other": LossTerm.mean(hardest, 0.5), "cls_target": LossTerm.mean(target, 0.5, count > 0)}


def anchor_box_loss(loc: Tensor, box: Tensor, labels: Tensor, weight: float = 1.0) -> LossTerm:
    """One minus the generalised IoU (arXiv:1902.09630) of the boxes that positive anchors predict.

    Args:
        loc: ``(B, 4 * ANCHORS, GRID, GRID)`` corrections of the anchors.
        box: ``(B, 4)`` the true box, centre and size like the anchors.
        labels: as for `anchor_class_loss`.
    """
    sample, anchor = torch.nonzero(labels == 1, as_tuple=True)
    delta = loc.reshape(len(loc), 4, -1)[sample, :, anchor]
    anchors = torch.from_numpy(ANCHORS_CXCYWH).float().to(loc.device)[:, anchor].T
    centre = delta[:, :2] * anchors[:, 2:] + anchors[:, :2]
    size = delta[:, 2:].clamp(-4, 4).exp() * anchors[:, 2:]
    truth = box[sample]
    a1, a2 = centre - size / 2, centre + size / 2
    b1, b2 = truth[:, :2] - truth[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2
    inter = (torch.minimum(a2, b2) - torch.maximum(a1, b1)).clamp(min=0).prod(1)
    hull = (torch.maximum(a2, b2) - torch.minimum(a1, b1)).prod(1)
    union = size.prod(1) + truth[:, 2:].prod(1) - inter
    giou = inter / union - (hull - union) / hull
    # Every object counts the same, however many anchors it has.
    per_sample = torch.bincount(sample, minlength=len(loc)).float()
    return LossTerm(weight * ((1 - giou) / per_sample[sample]).sum(), (per_sample > 0).sum().float())
