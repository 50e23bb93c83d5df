"""A linear classifier that tells the target from its surroundings, trained while tracking.

The network compares with the first frame and knows nothing of what else is in the scene. `OnlineClassifier`
is a linear filter over the network's search features, fitted by ridge regression to be 1 on the target and 0
elsewhere, on the first frame and on a growing memory of later ones (Danelljan et al., "ATOM",
arXiv:1811.07628; beside a Siamese tracker: Zhou et al., arXiv:1909.02959). A neighbour of the same kind that
stood beside the target, a distractor, is thus known as "not it".

Features come at stride 8 and are averaged in pairs: cell j of a row is centred on the crop's pixel 16 j + 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..geometry import Float32Array, FloatArray
from .network import GRID, SEARCH_SIZE, STRIDE

CELL = 2 * STRIDE
"""Side of a cell of the averaged features, in pixels of the search crop."""

FILTER_SIZE = 5
"""The filter has this many cells a side: 80 pixels, a little more than a target takes of the search crop."""

RIDGE = 0.1
"""Weight of the squared filter in the regression; features have unit power, whatever the network."""

LABEL_WIDTH = 0.25
"""Standard deviation of the Gaussian that the filter is fitted to, as a share of the target's side."""

MEMORY = 20
"""Samples that are kept, the first frame's views among them; the time that a fit takes grows with them."""

FIRST_FRAME_SHARE = 0.3
"""The weight of the first frame's views stays above this share of all: the user pointed at these pixels."""

LEARNING_RATE = 0.02
"""Weight of a new sample as a share of all, and twice as much for one with a distractor."""

FIRST_ITERATIONS = 40
"""Steps of conjugate gradients on the first frame, where the filter starts from zero."""

ITERATIONS = 2
"""Steps of conjugate gradients after each new sample: from the filter before, 1 ms is enough."""

LEARN_EVERY = 5
"""A sample is taken on one frame out of so many: neighbouring frames show the same."""

LEARN_EVERY_WITH_DISTRACTOR = 3
"""The same while a distractor is in sight, when there is more to learn."""

LEAST_SCORE = 0.4
"""Nothing is learnt from a frame on which the target scores less: it may not be the target."""

DISTRACTOR_SHARE = 0.5
"""What scores over this share of the target's score may be a distractor."""

DISTRACTOR_DISTANCE = 0.7
"""A distractor is farther from the target than this share of the target's side: nearer, it is a part."""


class OnlineClassifier:
    """The filter of one target and the samples that it is fitted to.

    Args:
        views: `averaged` search features of views of the first frame, the target in the middle.
        side: of the target in crop pixels (the root of its area).
    """

    def __init__(self, views: Sequence[Float32Array], side: float) -> None:
        first = np.stack(views)
        self._first, channels, height, width = first.shape
        self._samples: Float32Array = np.zeros((MEMORY, channels, height + 4, width + 4), np.float32)
        self._labels: Float32Array = np.zeros((MEMORY, height, width), np.float32)
        self._weights: Float32Array = np.zeros(MEMORY, np.float32)
        self._samples[: self._first, :, 2:-2, 2:-2] = first
        self._labels[: self._first] = _gaussian_label(np.zeros(2), side, (height, width))
        self._weights[: self._first] = 1.0 / self._first
        self._count, self._frames = self._first, 0
        self._filter: Float32Array = np.zeros((FILTER_SIZE * FILTER_SIZE, channels), np.float32)
        self._fit(FIRST_ITERATIONS)

    def scores(self, features: Float32Array) -> FloatArray:
        """``(25, 25)``: bilinear, about 1 where the target is and 0 elsewhere, at each cell of the grid."""
        sample = np.pad(features, ((0, 0), (2, 2), (2, 2)))
        response = correlate(self._filter, sample[None])[0].astype(np.float64)
        places = ((SEARCH_SIZE - 1) / 2 + STRIDE * (np.arange(GRID) - GRID // 2) - CELL / 4) / CELL
        return interpolated(interpolated(response, places, axis=0), places, axis=1)

    def learn(
        self, features: Float32Array, scores: FloatArray, cell: tuple[int, int], box_cxcywh: FloatArray
    ) -> None:
        """Train on a frame now and then, more often and more with a distractor in sight; not when in doubt.

        Args:
            scores: what `scores` gave for this frame.
            cell: row and column of the grid where the target was found.
            box_cxcywh: its box in crop pixels, from the middle of the crop.
        """
        self._frames += 1
        row, column = np.mgrid[:GRID, :GRID]
        side = float(np.sqrt(box_cxcywh[2] * box_cxcywh[3]))
        elsewhere = np.hypot(row - cell[0], column - cell[1]) * STRIDE > DISTRACTOR_DISTANCE * side
        score = scores[cell]
        distractor = elsewhere.any() and scores[elsewhere].max() > DISTRACTOR_SHARE * score
        every = LEARN_EVERY_WITH_DISTRACTOR if distractor else LEARN_EVERY
        if score > LEAST_SCORE and self._frames % every == 0:
            rate = 2 * LEARNING_RATE if distractor else LEARNING_RATE
            self._remember(features, box_cxcywh[:2], side, rate)
            self._fit(ITERATIONS)

    def _remember(self, features: Float32Array, centre_xy: FloatArray, side: float, rate: float) -> None:
        """Put a sample into the memory, in the place of the one with the least weight when it is full."""
        least = self._first + int(np.argmin(self._weights[self._first :]))
        place, self._count = (least, MEMORY) if self._count == MEMORY else (self._count, self._count + 1)
        self._samples[place, :, 2:-2, 2:-2] = features
        self._labels[place] = _gaussian_label(centre_xy, side, self._labels.shape[1:])
        self._weights *= 1 - rate
        self._weights[place] = rate
        first = self._weights[: self._first].sum()
        if first < FIRST_FRAME_SHARE:
            self._weights[: self._first] *= FIRST_FRAME_SHARE / first
            self._weights[self._first :] *= (1 - FIRST_FRAME_SHARE) / self._weights[self._first :].sum()

    def _fit(self, iterations: int) -> None:
        """Some steps of conjugate gradients towards the best filter."""
        samples, labels = self._samples[: self._count], self._labels[: self._count]
        weights = self._weights[: self._count, None, None]

        def normal(w: Float32Array) -> Float32Array:
            return correlate_transposed(weights * correlate(w, samples), samples) + RIDGE * w

        residual = correlate_transposed(weights * labels, samples) - normal(self._filter)
        direction, squared = residual.copy(), float((residual**2).sum())
        for _ in range(iterations):
            if squared < 1e-10:
                break
            image = normal(direction)
            step = squared / float((direction * image).sum())
            self._filter = self._filter + step * direction
            residual = residual - step * image
            before, squared = squared, float((residual**2).sum())
            direction = residual + squared / before * direction


def averaged(feature: Tensor) -> Float32Array:
    """The search features ``(1, C, 32, 32)`` as ``(C, 16, 16)`` means of 2x2 cells, scaled to unit power.

    In NumPy: PyTorch's threads would wait for each other beside the language branch, for many times as long.
    """
    cells: Float32Array = feature[0].float().cpu().numpy()
    height, width = (size // 2 * 2 for size in cells.shape[1:])
    rows = cells[:, 0:height:2] + cells[:, 1:height:2]
    pooled = (rows[:, :, 0:width:2] + rows[:, :, 1:width:2]) * np.float32(0.25)
    power = float(np.square(pooled).sum(0).mean())
    return pooled / np.float32(max(power**0.5, 1e-6))


def _gaussian_label(centre_xy: FloatArray, side: float, size_hw: tuple[int, ...]) -> Float32Array:
    """1 at the target's centre, in crop pixels from the middle, and falling to 0 around it."""
    place = (np.asarray(centre_xy) + (SEARCH_SIZE - 1) / 2 - CELL / 4) / CELL
    sigma = max(LABEL_WIDTH * side / CELL, 0.5)
    y, x = (
        np.exp(-((np.arange(n) - c) ** 2) / (2 * sigma**2)) for n, c in zip(size_hw, place[::-1], strict=True)
    )
    return np.outer(y, x).astype(np.float32)


def correlate(w: Float32Array, samples: Float32Array) -> Float32Array:
    """``(N, H, W)``: the filter ``(25, C)`` over padded samples ``(N, C, H + 4, W + 4)``."""
    n, channels, height, width = samples.shape
    parts = (w @ samples.reshape(n, channels, -1)).reshape(n, FILTER_SIZE, FILTER_SIZE, height, width)
    h, v = height - FILTER_SIZE + 1, width - FILTER_SIZE + 1
    cells = np.ndindex(FILTER_SIZE, FILTER_SIZE)
    return np.sum([parts[:, i, j, i : i + h, j : j + v] for i, j in cells], axis=0)


def correlate_transposed(values: Float32Array, samples: Float32Array) -> Float32Array:
    """The transpose of `correlate` in ``w``: ``(25, C)``."""
    n, channels, height, width = samples.shape
    h, v = values.shape[1:]
    spread = np.zeros((n, FILTER_SIZE, FILTER_SIZE, height, width), np.float32)
    for i, j in np.ndindex(FILTER_SIZE, FILTER_SIZE):
        spread[:, i, j, i : i + h, j : j + v] = values
    flat = samples.reshape(n, channels, -1).transpose(0, 2, 1)
    return np.matmul(spread.reshape(n, FILTER_SIZE * FILTER_SIZE, -1), flat).sum(0)


def interpolated(values: FloatArray, places: FloatArray, axis: int) -> FloatArray:
    """Linear interpolation along an axis, in the precision of the values; outside, the outermost value."""
    last = values.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = np.minimum(places.astype(int), last - 1)
    shape = [1] * values.ndim
    shape[axis] = len(places)
    share = (places - low).astype(values.dtype).reshape(shape)
    return values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share
