"""Numbers that come from outside."""

from __future__ import annotations

import pytest

from demo.annotation.checks import finite_number, whole_number
from langtrack_core.types import LangTrackError

NO_NUMBERS = (None, "x", "4", [], {}, True, float("inf"), float("nan"))


def test_whole_numbers() -> None:
    assert whole_number(3.0, "It") == 3 and isinstance(whole_number(3.0, "It"), int)
    for value in (*NO_NUMBERS, 1.5, -1, 10**400):
        with pytest.raises(LangTrackError, match="whole number from 0"):
            whole_number(value, "It")
    with pytest.raises(LangTrackError, match="from 1 to 30"):
        whole_number(31, "It", 1, 30)


def test_finite_numbers() -> None:
    assert finite_number(0.5, "It") == 0.5
    for value in (*NO_NUMBERS, 10**400):
        with pytest.raises(LangTrackError, match="finite number"):
            finite_number(value, "It")
