"""The folder for everything that visitors bring and runs make; it ends with its server, however that ends.

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
LOCK = "server.lock"
FILES = "files"
"""The lock stands beside the visitors' files, not among them: Gradio serves what is there."""


@contextmanager
def server_root() -> Iterator[Path]:
    """A new folder in the system's folder for temporary files, removed on leaving; stale ones go too.

    Ctrl-C and SIGTERM are ignored during the removal, so this is for the main thread.
    """
    remove_stale()
    home = Path(tempfile.mkdtemp(prefix=PREFIX))
    # Locked before it has its name, so that nobody ever sees it free.
    lock = os.open(home / f"{LOCK}.new", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (home / f"{LOCK}.new").rename(home / LOCK)
        (home / FILES).mkdir()
        yield home / FILES
    finally:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        _remove(home)
        os.close(lock)
        for number, handler in before.items():
            signal.signal(number, handler)


def remove_stale() -> None:
    """Remove the folders of servers that are gone. Nothing without our lock file is ever touched."""
    for home in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            lock = os.open(home / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # not a server's folder, or another user's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(home)
        except OSError:  # its server lives
            continue
        finally:
            os.close(lock)


def _remove(home: Path) -> None:
    """The lock file goes last: what a thread still writes now, the next server can remove."""
    shutil.rmtree(home / FILES, ignore_errors=True)
    if not (home / FILES).exists():
        shutil.rmtree(home, ignore_errors=True)
