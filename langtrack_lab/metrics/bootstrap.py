"""Whether a difference between two trackers is more than the luck of the sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SAMPLES = 10_000
"""How many sets of sequences are drawn: the ends of the interval then vary by under 1 % of its width."""

LEVEL = 0.95
"""Share of the drawn sets whose difference lies in the interval that is reported."""

LEAST = 6
"""Fewest sequences that can show a difference: of two equal trackers, one is ahead on all of five in one case
of sixteen, which is more often than `LEVEL` allows, and the interval of such a five never holds 0."""


@dataclass(frozen=True)
class Difference:
    """How far the means of two trackers over the same sequences are apart, second minus first.

    Attributes:
        mean: the difference.
        low, high: interval that holds `LEVEL` of the differences in resampled sets of sequences.
        sequences: how many there are.
    """

    mean: float
    low: float
    high: float
    sequences: int

    @property
    def is_noise(self) -> bool:
        """No difference, or one that other sequences of the same kind might well turn around, or too few."""
        return self.sequences < LEAST or self.low <= 0 <= self.high

    def sentence(self, first: str, second: str, measure: str) -> str:
        """One plain sentence."""
        ahead, behind = (second, first) if self.mean >= 0 else (first, second)
        low, high = sorted((self.low, self.high)) if self.mean >= 0 else sorted((-self.low, -self.high))
        if self.sequences < 2:
            return f"One sequence alone says nothing about {first} and {second}."
        ends = " to ".join(f"{round(end, 3) + 0.0:+.3f}" for end in (low, high))  # no -0.000
        interval = f"{LEVEL:.0%} interval {ends}, {self.sequences} sequences"
        if self.mean == self.low == self.high == 0:
            return f"{first} and {second} are equal in {measure} on all {self.sequences} sequences."
        if self.is_noise:
            gap = f"{ahead} is {abs(self.mean):.3f} ahead of {behind} in {measure}"
            few = self.sequences < LEAST and not self.low <= 0 <= self.high
            why = "on too few sequences to tell it from noise" if few else "which may be noise"
            return f"{gap}, {why} ({interval})."
        return f"{ahead} is better than {behind} in {measure} by {abs(self.mean):.3f} ({interval})."


def paired_bootstrap(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Difference:
    """Resample the sequences with replacement, both trackers always on the same ones.

    Args:
        first, second: ``(N,)`` a score for each sequence; pairs with a nan are left out. Average over the
            sentences of a sequence before: those are not independent.

    Raises:
        ValueError: lengths differ, or no sequence has both scores.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"scores must be paired, got shapes {a.shape} and {b.shape}")
    gains = (b - a)[~np.isnan(b - a)]
    if gains.size == 0:
        raise ValueError("no sequence has a score of both")
    samples = np.random.default_rng(seed).integers(0, gains.size, (SAMPLES, gains.size))
    low, high = np.quantile(gains[samples].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(float(gains.mean()), float(low), float(high), int(gains.size))
