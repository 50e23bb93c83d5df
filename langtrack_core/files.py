"""Files and folders that are either whole or not there; their hashes; names that every system takes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def hidden_sibling(path: Path) -> Path:
    """A new name in the same folder for what is to become ``path`` when it is whole."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


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
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside ``path`` that becomes it when the block ends well; an older one goes then.

    When the block fails nothing is left, not even the parents that were made for it.
    """
    parents = [parent for parent in path.parents if not parent.exists()]
    temporary, older = hidden_sibling(path), hidden_sibling(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.rename(older)
        temporary.rename(path)
    except BaseException:
        if older.exists():
            older.rename(path)
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in parents:
            with contextlib.suppress(OSError):  # someone else put a file there: theirs
                parent.rmdir()
        raise
    shutil.rmtree(older, ignore_errors=True)


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


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def plain_name(text: str, default: str, *, longest: int = 60) -> str:
    """Letters, digits, dashes and underscores of a text, for a file's name; ``default`` when none remain."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:longest] or default
