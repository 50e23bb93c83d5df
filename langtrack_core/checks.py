"""Checks of the arguments of commands."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole_argument(low: int, high: float = math.inf) -> Callable[[str], int]:
    """The ``type`` of an argparse argument that takes whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            span = f"from {low} on" if high == math.inf else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"expected a whole number {span}, got {text!r}")
        return int(text)

    return parse
