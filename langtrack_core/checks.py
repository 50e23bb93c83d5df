"""Checks of the arguments of commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole_argument(low: int) -> Callable[[str], int]:
    """The ``type`` of an argparse argument that takes whole numbers from ``low`` on."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} on, got {text!r}")
        return int(text)

    return parse
