"""The folder for the files that visitors upload and runs write; it is removed with its server, however that
ends.

A server that ends normally removes its folder. One that was killed outright cannot, so the next one to start
does. A lock in the folder tells which servers still live: the system drops it with the process, whereas a
process number may be in use again, or mean another process in another container.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

PREFIX = "langtrack-"
"""Beginning of the name of every server's folder, by which the next server finds it."""
LOCK = "server.lock"
"""Name of the lock. It is beside the folder of files and not in it: Gradio serves everything in there."""
FILES = "files"
"""Name of the folder for visitors' files."""


@contextmanager
def server_root() -> Iterator[Path]:
    """A new folder in the system's folder for temporary files, removed on leaving; stale ones go too.

    Ctrl-C and SIGTERM are ignored during the removal, so this is for the main thread.
    """
    remove_stale()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()  # the paths of its files are compared as text
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire()
        (folder / FILES).mkdir()  # after the lock, so that nobody ever sees it free
        yield folder / FILES
    finally:
        handlers = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
        }
        _remove(folder, lock)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def remove_stale() -> None:
    """Remove the folders of servers that are gone. Nothing without our lock file is ever touched."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not (folder / LOCK).is_file() or not (folder / FILES).is_dir():
            continue  # not a server's folder
        lock = FileLock(folder / LOCK, blocking=False)
        with suppress(OSError):  # its server lives, or it is another user's
            lock.acquire()
            _remove(folder, lock)


def _remove(folder: Path, lock: FileLock) -> None:
    """Remove a server's folder, its lock last: the next server can then remove what a thread still writes."""
    shutil.rmtree(folder / FILES, ignore_errors=True)
    is_empty = not (folder / FILES).exists()
    lock.release()  # before its file goes: Windows does not remove an open file
    if is_empty:
        shutil.rmtree(folder, ignore_errors=True)
