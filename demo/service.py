"""Everything that handlers and the API ask for, checked and brought on its way; nothing here knows Gradio.

A request makes a piece of `Job` in the visitor's session, which enters the line and starts by itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from langtrack_core.checks import whole_number
from langtrack_core.types import Frame, LangTrackError
from langtrack_core.video import read_frames

from .annotation.compare import attribute, check_completions, regions
from .annotation.project import Target
from .hosting import on_gpu
from .job_queue import JobQueue
from .open_job import OpenProjectJob
from .sessions import Session, Sessions
from .settings import Settings
from .track_job import ExportJob, TrackJob, step_source
from .track_request import Tracker, TrackRequest, check_comparison, check_request, parse_box
from .workspace import Workspace

CANCEL_WAIT_S = 5.0


class Service:
    """What all visitors share; what belongs to one is in the `Session` that every call names.

    Args:
        tracker: its `track_all` keeps all state of a run in the run.
        root: folder for all files of all visitors.
    """

    def __init__(self, tracker: Tracker, settings: Settings, root: Path) -> None:
        self.tracker = tracker
        self.settings = settings
        self.sessions = Sessions(root, settings.keep_hours * 3600, settings.reload_grace_s)
        self.queue = JobQueue(settings.concurrency, settings.queue_size)
        self._source = step_source(tracker)
        self._attribute = on_gpu(partial(attribute, tracker), lambda frame, text: len(text.split()))
        self._regions = on_gpu(partial(_regions, tracker), lambda frame, text: 4)

    def close(self) -> None:
        """The server ends: stop all jobs and delete all files of all visitors."""
        self.sessions.close()
        self.queue.close()

    # --- runs -----------------------------------------------------------------------------------------------

    def follow(
        self,
        session: Session,
        path: str | None,
        text: str | None,
        box: str | None,
        start: float | None = 0,
        every: float | None = 1,
        *,
        name: str | None = None,
        colour: str | None = None,
        fresh: bool = False,
    ) -> TrackJob:
        """Follow a target from the start; with the session's video it joins those that are there.

        Args:
            path: of the upload.
            text, box, start, every: see `check_request`.
            name, colour: of the target, made up when left out.
            fresh: begin a new workspace, also with the same video.

        Raises:
            LangTrackError: one sentence for the user; nothing was begun then.
        """
        task = check_request(self.tracker, self.settings, path, text, box, start, every)
        return self._begin(session, task, [name], colour, "follow", fresh=fresh)

    def compare(
        self,
        session: Session,
        path: str | None,
        texts: Sequence[str],
        start: float | None = 0,
        every: float | None = 1,
    ) -> TrackJob:
        """Follow several expressions through one decoding, a target each, named by its expression.

        Raises:
            LangTrackError: one sentence for the user; nothing was begun then.
        """
        task = check_comparison(self.tracker, self.settings, path, texts, start, every)
        names = [(query.text or "")[:80] for query in task.queries]
        return self._begin(session, task, list(names), None, "compare")

    def correct(
        self,
        session: Session,
        target: int,
        frame: float,
        text: str | None,
        box: str | None,
        direction: str = "forward",
        every: float | None = None,
    ) -> TrackJob:
        """Run again from a frame, with a new box or a new sentence; the other frames stay as they are.

        Args:
            frame: where the box lies, or from where the sentence counts.
            text: None keeps the target's expression, "" drops it.
            box: "x1,y1,x2,y2"; may be empty when there is a new text.
            direction: to the end of the clip, to its beginning, or both.
            every: None keeps the cadence.

        Raises:
            LangTrackError: one sentence for the user; nothing was begun then.
        """
        workspace = self._workspace(session)
        with workspace.lock:
            owner = workspace.project.target(whole_number(target, "The target"))
            run = owner.run()
        if direction not in ("forward", "backward", "both"):
            raise LangTrackError(f"The direction is forward, backward or both, got {direction!r:.20}.")
        box_xyxy = parse_box(box)
        if box_xyxy is None and not (text or "").strip():
            raise LangTrackError("Draw a box on this frame, or give better words, to correct the track.")
        known = {row.frame for row in run.rows}
        at = whole_number(frame, "The frame")
        if at > max(known) + 1:
            raise LangTrackError(
                f"The track ends at frame {max(known)}; it cannot be corrected at frame {at}."
            )
        before = owner.segments[-1].run.manifest
        words = before.get("expression") if text is None else text
        cadence = before.get("every", 1) if every is None else every
        if workspace.video is None:
            raise LangTrackError("The video is not here; open it together with the project to go on.")
        task = check_request(self.tracker, self.settings, str(workspace.video), words, box, at, cadence)
        passes = [replace(task, backward=way == "backward") for way in _ways(direction)]
        return self._enter(session, workspace, [(one, [owner.id]) for one in passes], "correct", videos=False)

    def export(self, session: Session, target: int) -> ExportJob:
        """Make the files of a track as it stands: corrections and other settings included."""
        workspace = self._workspace(session)
        number = whole_number(target, "The target")
        self._check_room(workspace.folder)

        return session.submit(lambda: ExportJob(workspace, number, self.settings), self.queue)

    def open_bundle(self, session: Session, path: Path) -> OpenProjectJob:
        """Open a saved project; it becomes the session's workspace when it is done."""
        self._check_room(self.sessions.root)

        return session.submit(lambda: OpenProjectJob(session, Path(path), self.settings), self.queue)

    # --- while it computes ----------------------------------------------------------------------------------

    def progress(self, session: Session, *, picture: bool = False) -> dict[str, Any]:
        """Where the session's newest work is.

        Returns:
            ``stage``: "idle", "waiting", "opening", "following", "writing", "stopping", "done", "cancelled"
            or "failed"; ``kind``, ``title``; ``position`` in the line, 0 when it computes; ``frames``,
            ``total``, ``fps``, ``left_s``; ``error``, ``warning``; and, if asked for, ``picture`` (JPEG).
        """
        job = session.job
        if job is None:
            return {"stage": "idle"}
        now = job.progress
        said: dict[str, Any] = {
            "stage": job.outcome or now.stage,
            "kind": job.kind,
            "title": job.title,
            "position": self.queue.position(job),
            "frames": now.frames,
            "total": now.total,
            "fps": round(now.fps, 2),
            "left_s": None if now.left_s is None else round(now.left_s, 1),
            "error": job.error,
            "warning": job.warning,
        }
        return {**said, "picture": now.picture} if picture else said

    def cancel(self, session: Session) -> bool:
        """Stop and keep what is done; True when nothing computes any more."""
        job = session.job
        if job is None:
            return True
        job.cancel(keep=True)
        return job.wait(CANCEL_WAIT_S)

    # --- looking closer -------------------------------------------------------------------------------------

    def words(self, session: Session, target: int, frame: float, text: str | None = None) -> dict[str, Any]:
        """Which word moved the mask on a frame; see `demo.annotation.compare.Attribution`.

        Args:
            text: None for the target's expression.
        """
        workspace, owner, picture = self._picture(session, target, frame)
        return asdict(self._attribute(picture, self._words_of(workspace, owner, text)))

    def regions(self, session: Session, target: int, frame: float, text: str | None = None) -> dict[str, Any]:
        """The separate strong regions on a frame, and sentences that would mean each of them.

        Returns:
            ``count`` and ``regions``: each as `demo.annotation.compare.Region`, with ``means``: the index of
            the region that the completed sentence really selects, None when the network does not follow it.
        """
        workspace, owner, picture = self._picture(session, target, frame)
        found = self._regions(picture, self._words_of(workspace, owner, text))
        return {"count": len(found), "regions": found}

    # --- shared ---------------------------------------------------------------------------------------------

    def _begin(
        self,
        session: Session,
        task: TrackRequest,
        names: list[str | None],
        colour: str | None,
        kind: Literal["follow", "compare"],
        *,
        fresh: bool = False,
    ) -> TrackJob:
        self._check_room(self.sessions.root)
        session.check_free()
        workspace, video = session.workspace, task.info.path
        if fresh or workspace is None or workspace.video != video:
            workspace = Workspace(session.new_folder(), video, task.info)
        new = workspace is not session.workspace
        try:
            numbers = [target.id for target in workspace.add_targets(names, colour)]
            job = self._enter(session, workspace, [(task, numbers)], kind, videos=kind == "follow")
        except LangTrackError:
            if new:
                workspace.close()
            raise
        session.adopt(workspace)
        return job

    def _enter(
        self,
        session: Session,
        workspace: Workspace,
        passes: Sequence[tuple[TrackRequest, list[int]]],
        kind: Literal["follow", "compare", "correct"],
        *,
        videos: bool,
    ) -> TrackJob:
        edits = {number: workspace.next_edit(number) for _, numbers in passes for number in numbers}
        return session.submit(
            lambda: TrackJob(
                self.tracker,
                workspace,
                passes,
                self.settings,
                source=self._source,
                kind=kind,
                edits=edits,
                videos=videos,
            ),
            self.queue,
        )

    def _workspace(self, session: Session) -> Workspace:
        if session.workspace is None:
            raise LangTrackError("Follow something first.")
        return session.workspace

    def _picture(self, session: Session, target: int, frame: float) -> tuple[Workspace, Target, Frame]:
        workspace = self._workspace(session)
        owner = workspace.project.target(whole_number(target, "The target"))
        if workspace.video is None:
            raise LangTrackError("The video is not here; open it together with the project.")
        at = whole_number(frame, "The frame")
        with closing(read_frames(workspace.video, start=at, on_damage=lambda text: None)) as frames:
            return workspace, owner, next(iter(frames))

    def _words_of(self, workspace: Workspace, owner: Target, text: str | None) -> str:
        words = (text or "").strip() or next(
            (
                str(segment.run.manifest["expression"])
                for segment in reversed(owner.segments)
                if segment.run.manifest.get("expression")
            ),
            "",
        )
        if not words:
            raise LangTrackError("This target was followed by its box alone; give words to look at.")
        return words

    def _check_room(self, folder: Path) -> None:
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free_mb = shutil.disk_usage(nearest).free / 1e6
        if free_mb < self.settings.min_free_mb:
            raise LangTrackError("This server's disk is nearly full. Try again later.")


def _regions(tracker: Tracker, frame: Frame, text: str) -> list[dict[str, Any]]:
    found = regions(tracker, frame, text)
    means = check_completions(tracker, frame, found) if len(found) > 1 else [0] * len(found)
    return [{**asdict(region), "means": meant} for region, meant in zip(found, means, strict=True)]


def _ways(direction: str) -> tuple[Literal["forward", "backward"], ...]:
    if direction == "both":
        return "forward", "backward"
    return ("backward",) if direction == "backward" else ("forward",)
