"""Pickle files of strangers: read as data, never run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from langtrack_core.types import LangTrackError

from .files import existing


class _PlainUnpickler(pickle.Unpickler):
    """Containers, numbers and strings need no names; whoever asks for one is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it asks for an object outside of the file")


def read_plain_pickle(path: Path, what: str) -> Any:
    """Lists, tuples, dicts, numbers, strings, bytes, True, False and None from a pickle file.

    Strings of Python 2 are read as Latin-1.

    Raises:
        LangTrackError: the file is missing, damaged, or holds anything else, of which nothing is run.
    """
    with existing(path, what).open("rb") as file:
        try:
            return _PlainUnpickler(file, encoding="latin-1").load()
        except pickle.UnpicklingError as error:
            raise LangTrackError(
                f"{path} is not read: expected {what} of plain lists, numbers and strings, but {error}."
            ) from error
        # Damaged bytes end in whatever error the damaged opcode causes.
        except Exception as error:
            raise LangTrackError(
                f"{path} is damaged: expected {what}, got {type(error).__name__}: {error}."
            ) from error
