"""Sessions: one for each visitor's page, with its files and its run. Sessions share nothing.

Every file of a visitor lies below one root folder, in a folder with a name that nobody can guess, because
Gradio serves any file below its upload folder to whoever knows the path.

A page that is reloaded sends the session's token, which only its own browser has kept, and finds its run
again. After a page was closed its run stops in a few seconds and its files are deleted; but what a person has
put work into, verdicts or corrections, waits for the same browser for as long as unused sessions are kept.
"""

from __future__ import annotations

import filecmp
import hmac
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from langtrack_core.types import LangTrackError

from .annotation.clips import ClipList
from .job import Job
from .job_queue import JobQueue
from .preview import Preview
from .workspace import Workspace

if TYPE_CHECKING:
    from .clips_job import OpenRunJob

AnyJob = TypeVar("AnyJob", bound=Job)

MAX_SHELVED = 20
"""Largest number of earlier videos that a page keeps: more than somebody compares in one sitting."""
MAX_SHELVED_FRAMES = 20_000
"""Largest number of frames in all of them together, as many as the longest clip has: boxes and masks of a run
are kept in memory. Each correction counts with the frames that it ran again."""
MAX_NAMED = 3
"""Largest number of runs that a warning names; of more it says how many."""
MAX_WAITING = 50
"""Largest number of sessions whose page has gone and whose work waits; then the oldest one ends."""


class Session:
    """Everything that one page owns. ``lock`` guards every field.

    Attributes:
        token: whoever sends it gets the session; only the page's own tab keeps it.
        job: the newest job, over or not.
        workspace: the video that is worked on, None before the first run.
        preview: the frame that the visitor looks at before a run.
        looks: how many looks at frames have begun; one that ends after the next has begun is not shown.
        left: the one that the page showed before.
        shelf: the videos before it, the newest last.
        dropped: the names of those with unsaved work that had to go when the workspace came.
        refused: the form that the error on the page is about, see `PageEvents.begin`; None without one.
        form_video: the video that was chosen in the form.
        clips: the list of clips that is worked through.
        ahead: the job that prepares the clip that is probably opened next.
        going_on: held while a job is stopped and another one, or an earlier run, takes its place.
        examples: clips that every page offers. Gradio has one copy of each for all pages.
    """

    def __init__(self, folder: Path, examples: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.examples = examples
        self.token = secrets.token_urlsafe(24)
        self.lock = threading.Lock()
        self.going_on = threading.Lock()
        self.uploads: dict[Path, int | None] = {}
        self.job: Job | None = None
        self.workspace: Workspace | None = None
        self.left: Workspace | None = None
        self.preview: Preview | None = None
        self.looks = 0
        self.shelf: list[Workspace] = []
        self.dropped: list[str] = []
        self.refused: tuple[Any, ...] | None = None
        self.form_video: str | None = None
        self.clips: ClipList | None = None
        self.ahead: OpenRunJob | None = None
        self.last_used = time.monotonic()
        self.closed = False

    def claim_upload(self, path: Path | str | None) -> None:
        """Note an upload that is deleted with the session: this very file, by its inode.

        Gradio gives a clip one path for everybody and renames each upload onto it, so that the file may be
        another visitor's by the time this session ends. The copy of an example is nobody's.
        """
        if path and not is_copy(Path(path), self.examples):
            with self.lock:
                self.uploads[Path(path)] = _inode(Path(path))

    def files_in_use(self) -> set[str]:
        """Paths of its uploads, of the videos that it works on (an example's copy too), and in its folder."""
        videos = [space.video for space in self._workspaces() if space.video is not None]
        with self.lock:
            uploads = list(self.uploads)
        made = [Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names]
        return {str(path) for path in (*uploads, *videos, *made)}

    def check_free(self) -> None:
        """Check that a new run may start.

        Raises:
            LangTrackError: a run of this session is still going on, or its page was closed.
        """
        if self.closed:
            raise LangTrackError("This page was closed. Reload it to start again.")
        if self.busy:
            raise LangTrackError("A run is going on in this page. Wait for it, or cancel it first.")

    def submit(self, make: Callable[[], AnyJob], queue: JobQueue) -> AnyJob:
        """Make the session's one unfinished job and put it into the queue.

        Raises:
            LangTrackError: as `check_free`, or the queue is full.
        """
        with self.lock:
            self.check_free()
            job = make()
            try:
                queue.submit(job)
            except LangTrackError:
                shutil.rmtree(job.folder, ignore_errors=True)
                raise
            self.job = job
            return job

    def begin_look(self) -> int:
        """The number of a new look at a frame, with which those before it are overtaken."""
        with self.lock:
            self.looks += 1
            return self.looks

    def new_folder(self) -> Path:
        """A path for a new folder of the session, with a name that nobody can guess; not made yet."""
        return self.folder / secrets.token_hex(8)

    def adopt(self, workspace: Workspace, *, shelve: bool = True) -> None:
        """Set the workspace that the page shows from now on.

        Args:
            shelve: keep the one before with its tracks; otherwise its files are deleted.
        """
        with self.lock:
            before, self.workspace = self.workspace, workspace
            exchanged = workspace in self.shelf  # so that there are no more of them than before
            self.shelf = [one for one in self.shelf if one is not workspace]
            if before is not None and before is not workspace:
                self.left = before
                self.shelf.append(before)
            if self.closed or not shelve:
                dropped = self.shelf
            elif exchanged:
                dropped = [one for one in self.shelf if one.frames == 0]
            else:
                dropped = self._too_many(self.shelf)
            self.dropped = [self._name_of(one) for one in dropped if one.has_unsaved_work]
            self.shelf = [one for one in self.shelf if one not in dropped]
            if self.closed:
                dropped = [*dropped, workspace]
        for one in dropped:
            one.close()

    def _too_many(self, shelf: Sequence[Workspace]) -> list[Workspace]:
        """The workspaces that have to go from a shelf, those first without work or whose work was saved.

        The shown one counts as one with unsaved work: it may still be judged.
        """
        dropped = [one for one in shelf if one.frames == 0]
        full = [one for one in shelf if one.frames > 0]
        # A stable order: among those with such work, and among those without, the oldest comes first.
        full.sort(key=lambda one: one.has_unsaved_work or one is self.workspace)
        while len(full) > MAX_SHELVED or sum(one.frames for one in full) > MAX_SHELVED_FRAMES:
            dropped.append(full.pop(0))
        return dropped

    def shelf_warnings(self) -> list[str]:
        """Sentences about a person's work in earlier runs: which of it is gone, and which goes next."""
        with self.lock:
            shown = [] if self.workspace is None else [self.workspace]
            next_ones = [one for one in self._too_many([*self.shelf, *shown]) if one.has_unsaved_work]
            next_names = [self._name_of(one) for one in next_ones]
            dropped = self.dropped
        sentences = []
        if dropped:
            sentences.append(
                "The list of earlier runs was full. Removed with what you judged and corrected: "
                f"{_listed(dropped)}."
            )
        if next_names:
            sentences.append(
                "The list of earlier runs is full. The next run may remove, with what you judged and "
                f"corrected: {_listed(next_names)}. To keep it, open it and use “Save run with verdicts”."
            )
        return sentences

    def _name_of(self, workspace: Workspace) -> str:
        """What people call a run: its words, and the clip as the list of clips names it."""
        clips = [] if self.clips is None else self.clips.clips
        names = [clip.name for clip in clips if clip.key == workspace.key]
        words = [f"“{text}”" if text else "a box" for text in workspace.about()["targets"]]
        return f"{', '.join(words)} in {names[0] if names else workspace.clip_name}"

    def workspace_of(self, key: str) -> Workspace | None:
        """The workspace with a key, shown or on the shelf; None when there is none with it."""
        return next((one for one in self._workspaces() if one.key == key), None)

    def _workspaces(self) -> list[Workspace]:
        """Those on the shelf, the oldest first, and the shown one."""
        with self.lock:
            return [*self.shelf, *([] if self.workspace is None else [self.workspace])]

    def take_up(self, key: str) -> None:
        """Show a workspace from the shelf again.

        Raises:
            LangTrackError: a job is going on, or there is no such workspace.
        """
        self.check_free()
        workspace = self.workspace_of(key)
        if workspace is None:
            raise LangTrackError("That run is not here any more.")
        self.adopt(workspace)

    @property
    def has_work(self) -> bool:
        """Whether a person has judged or corrected anything here."""
        judged = self.clips is not None and self.clips.judged > 0
        return judged or any(space.has_work for space in self._workspaces())

    def work(self) -> dict[str, Any] | None:
        """What a person has judged or corrected in all runs and clips; None when there is nothing.

        Returns:
            ``clip``: the name of the newest video with work, or of the list of clips; ``judged``: the number
            of frames and of clips with a verdict.
        """
        if not self.has_work:
            return None
        worked = [space for space in self._workspaces() if space.has_work]
        clips = self.clips.judged if self.clips is not None else 0
        name = worked[-1].clip_name if worked else self.clips.name if self.clips is not None else ""
        return {"clip": name, "judged": clips + sum(space.judged for space in worked)}

    def stop(self) -> None:
        """Stop computing; what is done already stays."""
        jobs = [job for job in (self.job, self.ahead) if job is not None]
        for job in jobs:
            job.cancel(keep=False)
        for job in jobs:
            job.wait()

    def close(self) -> None:
        """Stop computing, then delete the session's files."""
        with self.lock:
            self.closed = True
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def busy(self) -> bool:
        """Whether a job computes, or waits for its turn."""
        return self.job is not None and not self.job.over


class Sessions:
    """The sessions of all open pages, by Gradio's session hash.

    Args:
        root: folder for all files of all visitors.
        keep_s: seconds after which a session without use and without a run ends.
        grace_s: seconds in which a page that has gone may come back, as a reload does.
        examples: clips that every page offers; no session deletes them or a copy of them.
    """

    def __init__(
        self, root: Path, keep_s: float, grace_s: float = 0.0, examples: Sequence[Path] = ()
    ) -> None:
        self.root = root
        self._examples = examples
        self._keep_s = keep_s
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}
        self._leaving: dict[str, tuple[Session, threading.Timer]] = {}
        """Sessions whose last page has gone, by token, with the timers that end them."""
        self._left: dict[str, str] = {}
        """Tokens of the sessions of pages that have gone, by Gradio's session hash."""

    def get(self, key: str | None) -> Session:
        """The page's session, made at first use. A caller without a key gets a new one.

        An event that comes after its page has gone gets the session that the page had; that ends no later.
        """
        self._sweep()
        with self._lock:
            key = key or secrets.token_hex(16)
            session = self._open.get(key) or self._by_token(self._left.get(key))
            if session is None:
                # The key comes from the browser, so it never becomes part of a path.
                session = Session(self.root / f"session-{secrets.token_hex(16)}", self._examples)
                self._open[key] = session
            session.last_used = time.monotonic()
            return session

    def resume(self, key: str | None, token: str | None) -> Session | None:
        """Give a reloaded page its session back.

        Returns:
            None when no session has this token: it has ended, or the server was restarted. Two pages may
            share one session (a duplicated tab); it ends with the last of them.
        """
        if not key or not token:
            return None
        with self._lock:
            session = self._by_token(token)
            if session is None or session.closed:
                return None
            self._stop_timer(session)
            self._left.pop(key, None)
            before = self._open.get(key)
            self._open[key] = session
            session.last_used = time.monotonic()
            unused = before is not None and before is not session and before not in self._open.values()
        if unused and before is not None:
            self.end(before)
        return session

    def find(self, token: str | None) -> Session | None:
        """The session with a token, for callers of the API; None when there is none."""
        with self._lock:
            session = self._by_token(token)
            if session is not None:
                session.last_used = time.monotonic()
            return session

    def leave(self, key: str | None) -> None:
        """Note that a page has gone. Its session ends after ``grace_s``, unless its token comes back; with a
        person's work in it, it waits for ``keep_s``."""
        with self._lock:
            if key in self._open:
                self._left[key] = self._open[key].token
            session = self._pop(key)
            if session is not None and self._grace_s > 0:
                self._wait(session, self._grace_s, self._expire)
                return
        if session is not None:
            self.end(session)

    def has_left(self, key: str | None) -> bool:
        """Whether a page has gone, or was about to go and stays."""
        with self._lock:
            return key in self._left

    def drop(self, key: str | None) -> None:
        """End the session of a page that does not come back, at once, unless another page shares it."""
        with self._lock:
            session = self._pop(key)
        if session is not None:
            self.end(session)

    def end(self, session: Session) -> None:
        """End a session at once: its run, its files, and the uploads that nobody else uses."""
        with self._lock:
            self._open = {key: other for key, other in self._open.items() if other is not session}
            self._left = {key: token for key, token in self._left.items() if token != session.token}
            self._stop_timer(session)
        session.close()
        for upload in list(session.uploads):
            self.release(session, upload)

    def release(self, session: Session, upload: Path) -> None:
        """Delete an upload that a session does not need any more, unless somebody else uses it."""
        with session.lock:
            inode = session.uploads.pop(upload, None)
        if inode is None or _inode(upload) != inode:
            return
        with self._lock:
            users = [other for other in self._all() if upload in other.uploads]
        for user in users:
            user.claim_upload(upload)  # this newer file, with the same content, is theirs now
        if not users:
            upload.unlink(missing_ok=True)

    def files_in_use(self) -> set[str]:
        """Paths of the files of all sessions that have not ended.

        Gradio asks every few minutes; so those whose time is over end, also where nobody comes any more.
        """
        self._sweep()
        with self._lock:
            sessions = self._all()
        return set().union(*(session.files_in_use() for session in sessions))

    def close(self) -> None:
        """End all sessions, at the end of the server."""
        with self._lock:
            sessions = self._all()
        for session in sessions:
            self.end(session)

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> list[Session]:
        leaving = (session for session, _ in self._leaving.values())
        return list({session.token: session for session in (*self._open.values(), *leaving)}.values())

    def _by_token(self, token: str | None) -> Session | None:
        key = token.encode() if isinstance(token, str) else b""
        return next((s for s in self._all() if hmac.compare_digest(s.token.encode(), key)), None)

    def _pop(self, key: str | None) -> Session | None:
        """Forget a page, and return its session when that was the session's last page."""
        session = self._open.pop(key, None) if key else None
        return None if session in self._open.values() else session

    def _stop_timer(self, session: Session) -> None:
        departure = self._leaving.pop(session.token, None)
        if departure is not None:
            departure[1].cancel()

    def _wait(self, session: Session, seconds: float, then: Callable[[str], None]) -> None:
        """Keep a session without a page for some time."""
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), then, (session.token,))
        timer.daemon = True
        self._leaving[session.token] = session, timer
        timer.start()

    def _expire(self, token: str) -> None:
        """The end of the time in which a reloaded page comes back."""
        with self._lock:
            session, _ = self._leaving.get(token, (None, None))
        if session is None:
            return
        if not session.has_work:
            return self.end_waiting(token)
        session.stop()
        with self._lock:
            if self._leaving.pop(token, None) is None:
                return  # the page came back meanwhile
            self._wait(session, self._keep_s, self.end_waiting)
            oldest = list(self._leaving)[: max(0, len(self._leaving) - MAX_WAITING)]
        for other in oldest:
            self.end_waiting(other)

    def end_waiting(self, token: str) -> None:
        """End a session whose page has gone."""
        with self._lock:
            session, timer = self._leaving.pop(token, (None, None))
        if timer is not None:
            timer.cancel()
        if session is not None:
            self.end(session)

    def _sweep(self) -> None:
        """End the sessions of pages that left without a message, as callers of the API may."""
        now = time.monotonic()
        with self._lock:
            for session in self._open.values():
                if session.busy:
                    session.last_used = now  # a page that watches a long run asks for nothing else
            keys = [key for key, session in self._open.items() if session.last_used < now - self._keep_s]
        for key in keys:
            self.drop(key)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return "; ".join(names[:MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")


def is_copy(path: Path, originals: Iterable[Path]) -> bool:
    """Whether a file has the name and the content of another one."""
    try:
        return any(path.name == other.name and filecmp.cmp(path, other, shallow=False) for other in originals)
    except OSError:
        return False


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
