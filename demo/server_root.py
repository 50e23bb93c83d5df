"""The folder for the files that visitors upload and runs write; it is removed with its server, however that
ends.

A server that ends normally removes its folder. One that was killed outright cannot, so the next one to start
does. A lock in the folder tells which servers still live: the system drops it with the process, whereas a
process number may be in use again, or mean another process in another container.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "langtrack-"
"""Beginning of the name of every server's folder, by which the next server finds it."""
LOCK = "server.lock"
FILES = "files"
"""Names of the lock and of the folder for visitors' files. The lock is beside that folder and not in it,
because Gradio serves everything in there."""


@contextmanager
def server_root() -> Iterator[Path]:
    """A new folder in the system's folder for temporary files, removed on leaving; stale ones go too.

    Ctrl-C and SIGTERM are ignored during the removal, so this is for the main thread.
    """
    remove_stale()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    # Take the lock before the file has its name, so that no other server ever sees it free.
    lock = os.open(folder / f"{LOCK}.new", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{LOCK}.new").rename(folder / LOCK)
        (folder / FILES).mkdir()
        yield folder / FILES
    finally:
        handlers = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
        }
        _remove(folder)
        os.close(lock)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def remove_stale() -> None:
    """Remove the folders of servers that are gone. Nothing without our lock file is ever touched."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # not a server's folder, or another user's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
        except OSError:  # its server lives
            continue
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a server's folder, its lock last: the next server can then remove what a thread still writes."""
    shutil.rmtree(folder / FILES, ignore_errors=True)
    if not (folder / FILES).exists():
        shutil.rmtree(folder, ignore_errors=True)
