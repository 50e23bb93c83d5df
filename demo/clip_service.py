"""The service behind a list of clips: opens it, shows its clips one by one, and prepares the next one.

Nothing here knows Gradio.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langtrack_core.types import LangTrackError

from .annotation.checks import whole_number
from .annotation.clips import Clip, ClipList
from .clips_job import OpenClipsJob, OpenRunJob, note_clip, show_clip
from .job import CANCEL_WAIT_S, Job
from .job_queue import JobQueue
from .sessions import Session
from .settings import Settings
from .workspace import Workspace

if TYPE_CHECKING:
    from .track_job import TrackJob


class ClipService:
    """The lists of clips of all visitors. Each session has one; every LangTrackError is a sentence for it.

    Args:
        follow: `Service.follow_clip`, for clips that nobody has followed yet.
        folder: a folder of clips that every page begins with.
        release: deletes an upload that a session does not need any more.
    """

    def __init__(
        self,
        follow: Callable[[Session, Path | None, str], TrackJob],
        settings: Settings,
        queue: JobQueue,
        folder: Path | None,
        release: Callable[[Session, Path], None],
    ) -> None:
        self.settings = settings
        self.queue = queue
        self.folder = folder
        self._follow = follow
        self._release = release

    def open_list(self, session: Session, files: Sequence[tuple[str, Path]]) -> OpenClipsJob:
        """Make a list of uploads: several files, a folder, a ZIP, what `batch` left."""
        release = partial(self._release, session)
        return session.submit(lambda: OpenClipsJob(session, self.settings, files, release), self.queue)

    def open_folder(self, session: Session) -> OpenClipsJob:
        """Make a list of `folder`, which also gets the result."""
        return session.submit(lambda: OpenClipsJob(session, self.settings, folder=self.folder), self.queue)

    def show(self, session: Session, index: int, text: str) -> Job | None:
        """Show a clip of the session's list; None when it is there already.

        Args:
            text: the words for a clip that nobody has followed yet.
        """
        with session.going_on:
            job = self._shown(session, index, text)
            if job is None and session.job is not None:
                session.job.superseded = True
            return job

    def _shown(self, session: Session, index: int, text: str) -> Job | None:
        clips = self.refresh_list(session)
        clip = clips.clip(index)
        clips.video = session.form_video
        if session.busy and session.job is not None:  # somebody has gone on before the last clip was there
            session.job.cancel(keep=False)
            session.job.wait(CANCEL_WAIT_S)
            self.put_back(session)
        before = session.workspace_of(clip.key)
        if before is not None and before.frames:
            session.take_up(clip.key)
            clips.now = index
            return None
        ahead = self._taken_ahead(session, clip)
        job: Job | None
        if ahead is not None:
            job = None if ahead.over else ahead
        elif clip.run is not None:
            job = session.submit(lambda: OpenRunJob(session, clip, self.settings), self.queue)
        else:
            job = self._follow(session, clip.video, clip.expression or text)
            if session.workspace is not None:
                show_clip(clip, session.workspace)
        clips.now = index
        return job

    def take_up(self, session: Session, key: str) -> None:
        """Show an earlier run of the session again; the list goes to its clip, where it is of one."""
        session.take_up(key)
        if session.clips is not None:
            session.clips.leave()
            keys = [clip.key for clip in session.clips.clips]
            session.clips.now = keys.index(key) if key in keys else None

    def put_back(self, session: Session) -> bool:
        """Show the run before again, where the newest one has left no track; whether that was so.

        A clip that was followed for the first time stays where it is: nothing is shown then.
        """
        empty, before = session.workspace, session.left
        if session.busy or empty is None or empty.frames:
            return False
        if session.clips is not None and not session.clips.put_back(empty.key):
            return False
        if before is None or session.workspace_of(before.key) is None:
            return False
        dropped = session.dropped
        with suppress(LangTrackError):  # another run has begun meanwhile
            self.take_up(session, before.key)
            session.dropped = dropped
            return True
        return False

    def on_page(self, session: Session) -> tuple[Workspace | None, list[Workspace]]:
        """The run that the page shows, and the earlier ones, the newest last.

        It shows none while the list is at a clip that could not be opened: a verdict would be on another clip
        than the one that a person sees. The run before is an earlier one then.
        """
        clips, workspace = session.clips, session.workspace
        if workspace is None or clips is None or clips.now is None:
            return workspace, session.shelf
        if clips.clip(clips.now).key == workspace.key:
            return workspace, session.shelf
        return None, [*session.shelf, workspace]

    def judge(self, session: Session, index: Any, side: Any) -> ClipList:
        """Give the shown clip its verdict, or none, save the result, and give the list.

        Raises:
            LangTrackError: it is not shown, no such clip or verdict, or the result could not be written.
        """
        clips = self.refresh_list(session)
        clip = clips.clip(whole_number(index, "The clip"))
        workspace = session.workspace
        if workspace is None or workspace.key != clip.key or not workspace.frames:
            raise LangTrackError(f"{clip.name} is not shown, so it gets no verdict; open it first.")
        clips.judge(index, side)
        self.hand_on(session)
        return clips

    def chosen(self, session: Session, video: str | None) -> Clip | None:
        """The clip that the words in the form are for: the shown one, or the first without a verdict.

        Args:
            video: the one in the form.

        Returns:
            None without a list, and when that video was chosen since a clip was opened.
        """
        session.form_video = video = video or None
        clips = session.clips
        if clips is None or video not in (None, clips.video):
            return None
        with suppress(LangTrackError):
            return clips.clip(clips.neighbour(1, "open") if clips.now is None else clips.now)
        return None

    def followed(self, session: Session, clip: Clip | None) -> None:
        """Note that a clip of the list, or something else (None), is followed by the words in the form."""
        if session.clips is None:
            return
        session.clips.leave()
        if clip is not None and session.workspace is not None:
            show_clip(clip, session.workspace, again=True)
            session.clips.now = next(k for k, one in enumerate(session.clips.clips) if one is clip)
            session.clips.note_followed(session.clips.now)

    def note_change(self, session: Session, workspace: Workspace, *, save: bool) -> None:
        """Note what a person has changed in a run, shown or on the shelf, where it is of a clip of the list.

        Args:
            save: write the result too.

        Raises:
            LangTrackError: the result could not be written.
        """
        clips = session.clips
        if clips is None:
            return
        for clip in clips.clips:
            if clip.key == workspace.key:
                note_clip(clip, workspace)
                if save:
                    clips.save()
                    self.hand_on(session)

    def hand_on(self, session: Session) -> None:
        """Give the open runs the verdicts on frames that others have written into the result, see `Clip`."""
        for clip in session.clips.clips if session.clips is not None else ():
            workspace = session.workspace_of(clip.key) if clip.key and clip.waiting else None
            if workspace is not None:
                note_clip(clip, workspace)

    def prepare_next(self, session: Session) -> None:
        """Open the run of the clip that is probably shown next, while nobody else waits for the place."""
        clips = session.clips
        index = None if clips is None else clips.expected()
        clip = None if clips is None or index is None else clips.clip(index)
        if session.ahead is not None and session.ahead.clip is not clip:
            session.ahead.discard()
            session.ahead = None
        if clip is None or clip.run is None or session.ahead is not None or session.busy:
            return
        if session.workspace_of(clip.key) is not None or not self.queue.has_free_place:
            return
        ahead = OpenRunJob(session, clip, self.settings, ahead=True)
        with suppress(LangTrackError):
            self.queue.submit(ahead)
            session.ahead = ahead

    def _taken_ahead(self, session: Session, clip: Clip) -> OpenRunJob | None:
        """The job that has prepared a clip, or is about to, which the session shows now; other ones end."""
        ahead, session.ahead = session.ahead, None
        if ahead is None:
            return None
        if ahead.clip is not clip or (ahead.over and ahead.workspace is None):
            ahead.discard()
            return None
        ahead.show()
        if not ahead.over:
            session.job = ahead
        return ahead

    def refresh_list(self, session: Session) -> ClipList:
        """Note in the session's list what the shown clip has become, and give the list.

        The clip is left when the session shows a saved run that was opened meanwhile.

        Raises:
            LangTrackError: the session has no list.
        """
        clips, workspace = session.clips, session.workspace
        if clips is None:
            raise LangTrackError("Open some clips first.")
        if workspace is None:
            return clips
        for clip in clips.clips:
            if clip.key == workspace.key:
                note_clip(clip, workspace)
        if (
            clips.now is not None
            and not session.busy
            and clips.clip(clips.now).key not in ("", workspace.key)
        ):
            clips.leave()  # a verdict would be on a clip that nobody sees
        return clips
