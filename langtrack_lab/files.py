"""Files that are either whole or not there, and names that every system takes."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from langtrack_core.files import hidden_sibling, replacing_folder, why
from langtrack_core.types import LangTrackError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside ``path`` that becomes it when the block ends well, and is gone when it fails."""
    temporary = hidden_sibling(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Makes an OSError of the block one sentence: ``what``, such as "X cannot be written", and why.

    Raises:
        LangTrackError: that sentence.
    """
    try:
        yield
    except OSError as error:
        raise LangTrackError(f"{what}: {why(error)}.") from error


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """As `replacing_folder`: it has its name when the block ends well, and nothing is left when it fails.

    Raises:
        LangTrackError: it cannot be written.
    """
    with explained(f"{path} cannot be written"), replacing_folder(path) as folder:
        yield folder


@contextlib.contextmanager
def text_file(path: Path) -> Iterator[IO[str]]:
    """A UTF-8 text file, with the same line ends on every system; it has its name when the block ends well.

    Raises:
        OSError: as writing does; nothing is left then.
    """
    # File names may hold bytes that are no text; they are written as "?".
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "replace", "newline": ""}
    with replacing(path) as temporary, temporary.open("w", **how) as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    with text_file(path) as stream:
        stream.write(text)


def read_text(path: Path) -> tuple[str, bool]:
    """A text file as people's programs write them.

    Returns:
        The text, and whether its encoding was guessed: Windows-1252, in which old programs of Western Europe
        write. Others tell themselves: UTF-16 by its first bytes, UTF-8 by fitting.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: none of these.
    """
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16"), False
    if b"\0" in data[:2]:  # UTF-16 without a mark: one byte of the first letter is zero
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le"), False
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return data.decode("cp1252"), True


def plain_name(text: str, default: str, *, longest: int = 60) -> str:
    """Letters, digits, dashes and underscores of a text, for a file's name; ``default`` when none remain."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:longest] or default
