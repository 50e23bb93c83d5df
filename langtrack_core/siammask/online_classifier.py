"""What tells this target from its surroundings, learnt while tracking.

The network compares with the first frame and knows nothing of what else is in the scene. `Appearance` is a
linear filter over the network's search features, fitted by ridge regression to be 1 on the target and 0
elsewhere, on the first frame and on a growing memory of later ones (Danelljan et al., "ATOM",
arXiv:1811.07628; beside a Siamese tracker: Zhou et al., arXiv:1909.02959). A neighbour of the same kind
that stood beside the target is thus known as "not it".

Features come at stride 8 and are averaged in pairs: cell j of a row lies at the crop's pixel 16 j + 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import FloatArray
from .network import GRID, SEARCH_SIZE, STRIDE

CELL = 2 * STRIDE
KERNEL = 5
RIDGE = 0.1
WIDTH = 0.25
"""Width of the bell that the filter is fitted to, as a share of the target's side."""

MEMORY = 20
FIRST_SHARE = 0.3
"""Weight that the first frame's views keep: what the user pointed at."""

RATE = 0.02
FIRST_STEPS, STEPS = 40, 2
EVERY, RIVAL_EVERY = 5, 3
SURE = 0.4
"""Score under which nothing is learnt."""

RIVAL_SHARE, RIVAL_DISTANCE = 0.5, 0.7
"""A rival scores over this share of the target, so far from it (in shares of the target's side)."""

_Array = NDArray[np.float32]


class Appearance:
    """The filter of one target and the samples that it is fitted to.

    Args:
        features: ``(1, C, 32, 32)`` search features of views of the first frame, the target in the middle.
        side: of the target in crop pixels (the root of its area).
    """

    def __init__(self, features: Sequence[Tensor], side: float) -> None:
        self.first = len(features)
        first = np.stack([_pooled(feature) for feature in features])
        count, channels, height, width = first.shape
        self._samples: _Array = np.zeros((MEMORY, channels, height + 4, width + 4), np.float32)
        self._labels: _Array = np.zeros((MEMORY, height, width), np.float32)
        self._weights: _Array = np.zeros(MEMORY, np.float32)
        self._samples[:count, :, 2:-2, 2:-2] = first
        self._labels[:count] = _bell(np.zeros(2), side, (height, width))
        self._weights[:count] = 1.0 / count
        self.count, self._turn = count, 0
        self._filter: _Array = np.zeros((KERNEL * KERNEL, channels), np.float32)
        self._fit(FIRST_STEPS)

    def scores(self, feature: Tensor) -> FloatArray:
        """``(25, 25)``: about 1 where the target is, about 0 elsewhere, for each cell of the grid."""
        sample = np.pad(_pooled(feature), ((0, 0), (2, 2), (2, 2)))
        response = _correlate(self._filter, sample[None])[0]
        return _to_grid(response)

    def maybe_learn(
        self, feature: Tensor, scores: FloatArray, cell: tuple[int, int], box_cxcywh: FloatArray
    ) -> None:
        """Learns from a frame now and then, more often and more from one with a rival; not when in doubt.

        Args:
            scores: what `scores` gave.
            cell: row and column of the grid where the target was found.
            box_cxcywh: its box in crop pixels, from the middle of the crop.
        """
        self._turn += 1
        row, column = np.mgrid[:GRID, :GRID]
        side = float(np.sqrt(box_cxcywh[2] * box_cxcywh[3]))
        elsewhere = np.hypot(row - cell[0], column - cell[1]) * STRIDE > RIVAL_DISTANCE * side
        best = scores[cell]
        rival = elsewhere.any() and scores[elsewhere].max() > RIVAL_SHARE * best
        if best > SURE and self._turn % (RIVAL_EVERY if rival else EVERY) == 0:
            self._take(feature, box_cxcywh[:2], side, 2 * RATE if rival else RATE)
            self._fit(STEPS)

    def _take(self, feature: Tensor, centre_xy: FloatArray, side: float, rate: float) -> None:
        """Into the memory, with a weight of ``rate`` of the whole, in the place of the least weighty."""
        if self.count < len(self._weights):
            place = self.count
            self.count += 1
        else:
            place = self.first + int(np.argmin(self._weights[self.first :]))
        self._samples[place, :, 2:-2, 2:-2] = _pooled(feature)
        self._labels[place] = _bell(centre_xy, side, self._labels.shape[1:])
        self._weights *= 1 - rate
        self._weights[place] = rate
        first = self._weights[: self.first].sum()
        if first < FIRST_SHARE:  # what the user pointed at keeps its say
            self._weights[: self.first] *= FIRST_SHARE / first
            self._weights[self.first :] *= (1 - FIRST_SHARE) / self._weights[self.first :].sum()

    def _fit(self, iterations: int) -> None:
        """Some steps of conjugate gradients towards the best filter."""
        samples, labels = self._samples[: self.count], self._labels[: self.count]
        weights = self._weights[: self.count, None, None]

        def normal(w: _Array) -> _Array:
            return _gather(weights * _correlate(w, samples), samples) + RIDGE * w

        residual = _gather(weights * labels, samples) - normal(self._filter)
        direction, squared = residual.copy(), float((residual**2).sum())
        for _ in range(iterations):
            if squared < 1e-10:
                break
            turned = normal(direction)
            step = squared / float((direction * turned).sum())
            self._filter = self._filter + step * direction
            residual = residual - step * turned
            before, squared = squared, float((residual**2).sum())
            direction = residual + squared / before * direction


def _pooled(feature: Tensor) -> _Array:
    pooled = F.avg_pool2d(feature.float(), 2)[0]
    pooled = pooled / pooled.square().sum(0).mean().sqrt().clamp(min=1e-6)
    return np.ascontiguousarray(pooled.cpu().numpy())


def _bell(centre_xy: FloatArray, side: float, size_hw: tuple[int, ...]) -> _Array:
    place = (np.asarray(centre_xy) + (SEARCH_SIZE - 1) / 2 - CELL / 4) / CELL
    sigma = max(WIDTH * side / CELL, 0.5)
    y, x = (
        np.exp(-((np.arange(n) - c) ** 2) / (2 * sigma**2)) for n, c in zip(size_hw, place[::-1], strict=True)
    )
    return np.outer(y, x).astype(np.float32)


def _correlate(w: _Array, samples: _Array) -> _Array:
    """``(N, H, W)``: the filter over padded samples ``(N, C, H + 4, W + 4)``."""
    n, channels, height, width = samples.shape
    parts = (w @ samples.reshape(n, channels, -1)).reshape(n, KERNEL, KERNEL, height, width)
    h, v = height - KERNEL + 1, width - KERNEL + 1
    return np.sum(
        [parts[:, i, j, i : i + h, j : j + v] for i in range(KERNEL) for j in range(KERNEL)], axis=0
    )


def _gather(values: _Array, samples: _Array) -> _Array:
    """The transpose of `_correlate` in ``w``: ``(25, C)``."""
    n, channels, height, width = samples.shape
    h, v = values.shape[1:]
    spread = np.zeros((n, KERNEL, KERNEL, height, width), np.float32)
    for i in range(KERNEL):
        for j in range(KERNEL):
            spread[:, i, j, i : i + h, j : j + v] = values
    flat = samples.reshape(n, channels, -1).transpose(0, 2, 1)
    return np.matmul(spread.reshape(n, KERNEL * KERNEL, -1), flat).sum(0)


def _to_grid(response: _Array) -> FloatArray:
    """Bilinear, at the pixels that the grid's cells look at."""
    place = ((SEARCH_SIZE - 1) / 2 + STRIDE * (np.arange(GRID) - GRID // 2) - CELL / 4) / CELL
    low = np.floor(place).astype(int)
    share = place - low
    rows = response[low] * (1 - share)[:, None] + response[low + 1] * share[:, None]
    return (rows[:, low] * (1 - share) + rows[:, low + 1] * share).astype(np.float64)
