"""Folders that are either whole or not there, hashes of files, and why a file cannot be written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


def hidden_sibling(path: Path) -> Path:
    """A new name in the same folder for what is to become ``path`` when it is whole."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside ``path`` that becomes it when the block ends well; an older one goes then.

    When the block fails nothing is left, not even the parents that were made for it."""
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


def why(error: Exception) -> str:
    """Why a file could not be written, in a few words for people."""
    code = getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the folder may not be written to"
    if code in (errno.ENOENT, errno.ENOTDIR):
        return "the folder does not exist"
    return (getattr(error, "strerror", None) or str(error)).lower()


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
