"""Numbers among the arguments of commands."""

from __future__ import annotations

import argparse

import pytest

from langtrack_core.run.command import whole_argument


def test_arguments_of_a_command() -> None:
    assert whole_argument(1)("12") == 12
    for text in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="from 1 on"):
            whole_argument(1)(text)
