"""Who is here: one session per open page, its files, and the run it has going. Nothing is shared between two.

Every file of a visitor lies below one root folder, in a folder with a name that nobody can guess, because
Gradio serves any file below its upload folder to whoever knows the path.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from langtrack_core.types import LangTrackError

from .jobs import Job


class Session:
    """What one page owns. ``lock`` guards every field."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.uploads: set[Path] = set()
        self.job: Job | None = None
        self.finished: list[Job] = []
        self.last_used = time.monotonic()
        self.closed = False

    def new_job(self, make: Callable[[Path], Job], runs_kept: int) -> Job:
        """Make the session's one unfinished job in a folder of its own; files of old runs go.

        Raises:
            LangTrackError: a run of this session is still going on, or its page was closed.
        """
        with self.lock:
            if self.closed:
                raise LangTrackError("This page was closed. Reload it to start again.")
            if self.job is not None and not self.job.over:
                raise LangTrackError("A run is going on in this page. Wait for it, or cancel it first.")
            if self.job is not None:
                self.finished.append(self.job)
            while len(self.finished) >= runs_kept:
                shutil.rmtree(self.finished.pop(0).folder, ignore_errors=True)
            folder = self.folder / secrets.token_hex(8)
            folder.mkdir(parents=True)
            self.job = make(folder)
            return self.job

    def close(self) -> None:
        """Stop computing, then delete the session's files."""
        with self.lock:
            self.closed = True
            job = self.job
        if job is not None:
            job.cancel(keep=False)
            job.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """All pages that are open, by Gradio's session hash."""

    def __init__(self, root: Path, keep_s: float) -> None:
        self.root = root
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}

    def get(self, key: str | None) -> Session:
        """The page's session, made at first use. A caller without a key gets one of its own."""
        self._sweep()
        with self._lock:
            key = key or secrets.token_hex(16)
            if key not in self._open:
                # The key comes from the browser, so it never becomes part of a path.
                self._open[key] = Session(self.root / f"session-{secrets.token_hex(16)}")
            session = self._open[key]
            session.last_used = time.monotonic()
            return session

    def drop(self, key: str | None) -> None:
        """The page was closed: end its run, delete its files and the uploads that nobody else uses."""
        with self._lock:
            session = self._open.pop(key, None) if key else None
            if session is None:
                return
            shared = set().union(*(other.uploads for other in self._open.values()))
        session.close()
        for upload in session.uploads - shared:
            upload.unlink(missing_ok=True)

    def close(self) -> None:
        """The server ends."""
        with self._lock:
            keys = list(self._open)
        for key in keys:
            self.drop(key)

    def __len__(self) -> int:
        return len(self._open)

    def _sweep(self) -> None:
        """Drop whoever left without a goodbye, as callers of the API may."""
        horizon = time.monotonic() - self._keep_s
        with self._lock:
            stale = [
                key
                for key, session in self._open.items()
                if session.last_used < horizon and (session.job is None or session.job.over)
            ]
        for key in stale:
            self.drop(key)
