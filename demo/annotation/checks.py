"""Checks of numbers that come from a page or from a file."""

from __future__ import annotations

import math

from langtrack_core.types import LangTrackError


def finite_number(value: object, name: str) -> float:
    """A number that is neither nan nor infinite.

    Raises:
        LangTrackError: no number, or nan or infinity; ``name`` begins the sentence.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LangTrackError(f"{name} must be a finite number, got {value!r:.40}.")
    return value


def whole_number(value: object, name: str, low: int = 0, high: int | None = None) -> int:
    """A whole number within bounds, both included; a float such as 3.0 counts.

    Raises:
        LangTrackError: not a whole number from ``low`` to ``high``; ``name`` begins the sentence.
    """
    whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator]
        span = f"from {low} on" if high is None else f"from {low} to {high}"
        raise LangTrackError(f"{name} must be a whole number {span}, got {value!r:.40}.")
    return int(value)  # type: ignore[call-overload]
