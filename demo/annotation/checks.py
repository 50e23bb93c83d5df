"""Checks of numbers that come from a page or from a file."""

from __future__ import annotations

import sys

from langtrack_core.types import LangTrackError


def finite_number(value: object, name: str) -> float:
    """A number that is neither nan nor infinite.

    Raises:
        LangTrackError: no number, or nan or infinity; ``name`` begins the sentence.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # `math.isfinite` raises for a whole number of 400 digits.
    if not is_number or not abs(value) <= sys.float_info.max:  # type: ignore[arg-type]
        raise LangTrackError(f"{name} must be a finite number, got {value!r:.40}.")
    return value  # type: ignore[return-value]


def whole_number(value: object, name: str, low: int = 0, high: int | None = None) -> int:
    """A whole number within bounds, both included; a float such as 3.0 counts.

    Raises:
        LangTrackError: not a whole number from ``low`` to ``high``; ``name`` begins the sentence.
    """
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    bounds = low, sys.maxsize if high is None else high
    if not whole or isinstance(value, bool) or not bounds[0] <= value <= bounds[1]:  # type: ignore[operator]
        span = f"from {low} on" if high is None else f"from {low} to {high}"
        raise LangTrackError(f"{name} must be a whole number {span}, got {value!r:.40}.")
    return int(value)  # type: ignore[call-overload]
