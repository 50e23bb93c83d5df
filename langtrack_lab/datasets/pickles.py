"""Pickle files of strangers, as data sets ship them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError

from ..safe_pickle import Refused, load_plain
from .files import existing


def read_plain_pickle(path: Path, what: str) -> Any:
    """What `load_plain` gives of a file.

    Raises:
        LangTrackError: the file is missing, damaged, or holds more than plain values; nothing in it is run.
    """
    with existing(path, what).open("rb") as file:
        try:
            return load_plain(file)
        except Refused as error:
            raise LangTrackError(
                f"{path} is not read: expected {what} of plain lists, numbers and strings, but it asks for "
                f"{error}."
            ) from error
        # Damaged bytes end in whatever error the damaged opcode causes.
        except Exception as error:
            raise LangTrackError(
                f"{path} is damaged: expected {what}, got {type(error).__name__}: {error}."
            ) from error
