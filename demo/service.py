"""The service behind the page and the API: each method checks a request and starts its job, or answers at
once.

Nothing here knows Gradio. A job belongs to the visitor's session, enters the queue, and starts by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langtrack_core.types import LangTrackError

from .annotation.checks import whole_number
from .clip_service import ClipService
from .corrections import DIRECTIONS, CorrectionJob, correction_passes
from .export_job import ExportJob, FormatJob
from .frame_service import FrameService, video_of, workspace_of
from .job import CANCEL_WAIT_S, check_disk
from .job_queue import JobQueue
from .open_job import OpenProjectJob
from .preview import box_text
from .sessions import Session, Sessions
from .settings import Settings
from .track_job import TrackJob, row_source
from .track_request import TrackRequest, check_request, different_texts, join_requests, parse_box
from .uploads import playable
from .workspace import Workspace

if TYPE_CHECKING:
    from langtrack_core.pipeline import LangTracker


class Service:
    """Everything that all visitors share. What belongs to one is in the `Session` that every call names.

    Every LangTrackError is one sentence for the visitor, and nothing was started then.

    Args:
        tracker: its `track_all` keeps all state of a run in the run.
        root: folder for all files of all visitors.
        clips_folder: a folder of clips that every page begins with.
        examples: clips that every page offers.

    Attributes:
        frames: what the networks say of single frames.
        clips: the lists of clips that visitors work through.
        check_request: `track_request.check_request` with this tracker and these settings.
    """

    def __init__(
        self,
        tracker: LangTracker,
        settings: Settings,
        root: Path,
        clips_folder: Path | None = None,
        examples: Sequence[Path] = (),
    ) -> None:
        self.tracker = tracker
        self.settings = settings
        self.sessions = Sessions(root, settings.keep_hours * 3600, settings.reload_grace_s, examples)
        self.queue = JobQueue(settings.concurrency, settings.queue_size)
        self.frames = FrameService(tracker, settings)
        self.clips = ClipService(self.follow_clip, settings, self.queue, clips_folder, self.sessions.release)
        self.check_request = partial(check_request, tracker, settings)
        self._source = row_source(tracker)
        self._converting = threading.Semaphore(settings.concurrency)

    def close(self) -> None:
        """Stop all jobs and delete all files of all visitors, at the end of the server."""
        self.sessions.close()
        self.queue.close()

    def playable(self, upload: str | Path | None) -> tuple[Path, tuple[str, ...]]:
        """See `uploads.playable`; as many at a time as runs, the others wait.

        Raises:
            LangTrackError: as there, or the queue would take no run of it.
        """
        with self._converting:
            self.queue.check_room()
            return playable(upload, self.settings)

    # --- jobs -----------------------------------------------------------------------------------------------

    def follow(
        self,
        session: Session,
        request: TrackRequest,
        *,
        fresh: bool = False,
        shelve: bool = False,
        videos: bool = True,
    ) -> TrackJob:
        """Follow the targets of a request; on the session's own video they join the other targets.

        Args:
            fresh: begin a new workspace, also with the same video.
            shelve: keep the workspace before it, see `Session.adopt`.
            videos: make the four videos of each target.
        """
        return self._track(session, request, "follow", fresh=fresh, shelve=shelve, videos=videos)

    def follow_clip(self, session: Session, video: Path | None, text: str) -> TrackJob:
        """Follow a clip of a list in a new workspace, without videos of the panels."""
        request = self.check_request(video, text)
        return self._track(session, request, "follow", fresh=True, videos=False)

    def compare(
        self, session: Session, video: str | Path | None, texts: Sequence[Any], *, every: int = 1
    ) -> TrackJob:
        """Follow several expressions through one decoding, a target each."""
        expressions = different_texts(texts)
        requests = [self.check_request(video, text, every=every) for text in expressions]
        return self._track(session, join_requests(requests), "compare")

    def correct(
        self,
        session: Session,
        target: int,
        frame: float,
        text: str | None,
        box: str | None,
        direction: str = "forward",
        *,
        exact: bool = True,
    ) -> TrackJob:
        """Run again from a frame, with a new box or a new sentence.

        A drawn box is an anchor. Between two of them the track is made anew from both sides; the other frames
        stay as they are.

        Args:
            frame: the frame of the box, or the one from which the sentence counts.
            text: None keeps the target's expression, "" drops it.
            box: "x1,y1,x2,y2"; may be empty when there is a new text. With a box the text is kept only when
                it means what is in the box.
            direction: "forward" to the end of the clip, "backward" to its beginning, or "both".
            exact: the box is drawn, and an anchor; False for a region that was clicked.
        """
        workspace = workspace_of(session)
        with workspace.lock:
            owner = workspace.project.target(whole_number(target, "The target"))
            last_frame = max(row.frame for row in owner.run().rows)
            manifest = owner.newest.run.manifest
            runs = [segment.run for segment in owner.segments]
        if direction not in DIRECTIONS:
            raise LangTrackError(f"The direction is forward, backward or both, got {direction!r:.20}.")
        if parse_box(box) is None and not (text or "").strip():
            raise LangTrackError("Draw a box on this frame, or write better words, to correct the track.")
        start = whole_number(frame, "The frame")
        if start > last_frame + 1:
            raise LangTrackError(
                f"The track ends at frame {last_frame}; it cannot be corrected at frame {start}."
            )
        request = self.check_request(
            video_of(workspace),
            manifest.get("expression") if text is None else text,
            box,
            start,
            manifest.get("every", 1),
        )
        request = replace(request, queries=tuple(replace(query, exact=exact) for query in request.queries))
        passes = [(one, [owner.id]) for one in correction_passes(runs, request, DIRECTIONS[direction])]
        workspace.project.check_segments(len(passes))

        def make() -> CorrectionJob:
            return CorrectionJob(
                *(self.tracker, workspace, passes, self.settings),
                source=self._source,
                segment=self.frames.segment,
                overlap=self.tracker.info["settings"]["fusion"]["overlap"],
            )

        return session.submit(make, self.queue)

    def point(
        self,
        session: Session,
        target: int,
        frame: float,
        place_xy: tuple[float, float],
        right: bool,
        direction: str,
    ) -> TrackJob:
        """Run again from a frame on which a person clicked on the right thing, or on a wrong one.

        Args:
            place_xy: of the click, in pixels of the clip.
            right: the region there is meant; otherwise the largest other one that the words fit.
        """
        box = self.frames.region_at(session, target, frame, place_xy, right=right)
        return self.correct(session, target, frame, None, box_text(box), direction, exact=False)

    def export(self, session: Session) -> ExportJob:
        """Make the files of all tracks with their corrections and their other settings."""
        workspace = workspace_of(session)
        return session.submit(lambda: ExportJob(workspace, self.settings), self.queue)

    def export_format(self, session: Session, name: str) -> FormatJob:
        """Put all targets as they stand into the format of another tool."""
        workspace = workspace_of(session)
        return session.submit(lambda: FormatJob(workspace, name, self.settings), self.queue)

    def open_bundle(self, session: Session, path: Path) -> OpenProjectJob:
        """Open a saved project; it becomes the session's workspace when it is done."""
        return session.submit(lambda: OpenProjectJob(session, path, self.settings), self.queue)

    # --- while a job computes, and after it -----------------------------------------------------------------

    def progress(self, session: Session, *, picture: bool = False) -> dict[str, Any]:
        """Progress of the session's newest job.

        Returns:
            ``stage``: "idle", "waiting", "opening", "following", "writing", "stopping", "done", "cancelled"
            or "failed"; ``kind``, ``title``; ``position`` in the queue, 0 when it computes; ``wait_s`` until
            it starts, None when that is not known; ``frames``,
            ``total``, ``fps``, ``left_s``; ``error``, ``warning``; and, if asked for, ``picture`` (JPEG).
        """
        job = session.job
        if job is None:
            return {"stage": "idle"}
        now, wait_s = job.progress, self.queue.wait_s(job)
        progress: dict[str, Any] = {
            "stage": job.outcome or now.stage,
            "kind": job.kind,
            "title": job.title,
            "position": self.queue.position(job),
            "wait_s": None if wait_s is None else round(wait_s),
            "frames": now.frames,
            "total": now.total,
            "fps": round(now.fps, 2),
            "left_s": None if now.left_s is None else round(now.left_s, 1),
            "error": job.error,
            "warning": job.warning,
        }
        return {**progress, "picture": now.picture} if picture else progress

    def cancel(self, session: Session) -> bool:
        """Stop the session's job and keep what is done; True when nothing computes any more."""
        job = session.job
        if job is None:
            return True
        job.cancel(keep=True)
        return job.wait(CANCEL_WAIT_S)

    def results(self, session: Session) -> tuple[dict[str, Any], Path]:
        """The report of the session's first target and the ZIP of its files, after a run that was followed.

        Returns:
            The report has ``stage`` "done" or "cancelled", ``frames``, ``found`` (frames with the object),
            ``unknown_words``, ``seconds`` of video, and ``warning``: a sentence or None.
        """
        job = session.job
        if not isinstance(job, TrackJob) or not job.over:
            raise LangTrackError("The run is not over yet; ask for its progress.")
        if job.error is not None:
            raise LangTrackError(job.error)
        targets = [] if session.workspace is None else session.workspace.state()["targets"]
        if not targets or targets[0]["bundle"] is None:
            raise LangTrackError("The run was cancelled before its first frame.")
        times_s = targets[0]["run"]["time_s"]
        report = {
            "stage": job.outcome,
            "frames": len(times_s),
            "found": targets[0]["found"],
            "unknown_words": list(job.unknown_words),
            "seconds": round(times_s[-1] - times_s[0], 3),
            "warning": job.warning,
        }
        return report, targets[0]["bundle"]

    # --- shared ---------------------------------------------------------------------------------------------

    def _track(
        self,
        session: Session,
        request: TrackRequest,
        kind: Literal["follow", "compare"],
        *,
        fresh: bool = False,
        shelve: bool = True,
        videos: bool = True,
    ) -> TrackJob:
        """Follow new targets in the session's workspace, or in a new one for another video."""
        session.check_free()
        self.queue.check_room()
        check_disk(session.new_folder(), self.settings)  # now: new targets end the comparison on the page
        workspace, video = session.workspace, request.info.path
        if fresh or workspace is None or workspace.video != video:
            workspace = Workspace(session.new_folder(), video, request.info)
        try:
            targets = workspace.add_targets(len(request.queries), compared=kind == "compare")
            numbers = [target.id for target in targets]
            job = session.submit(
                lambda: TrackJob(
                    *(self.tracker, workspace, [(request, numbers)], self.settings),
                    source=self._source,
                    kind=kind,
                    videos=videos and kind == "follow",
                ),
                self.queue,
            )
        except LangTrackError:
            if workspace is not session.workspace:
                workspace.close()
            raise
        session.adopt(workspace, shelve=shelve or not fresh)
        return job
