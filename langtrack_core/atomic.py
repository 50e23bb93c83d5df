"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that becomes it when the block ends well, and is gone when it does not."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def written(path: Path, *, newline: str | None = None) -> Iterator[IO[str]]:
    """A UTF-8 text file that takes its name only when the block ends well.

    Raises:
        OSError: as writing does; nothing is left then.
    """
    with renamed(path) as temporary, temporary.open("w", encoding="utf-8", newline=newline) as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    with written(path) as stream:
        stream.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    with renamed(path) as temporary:
        temporary.write_bytes(content)
