"""The named endpoints of the API; their docstrings are its documentation. Nothing here knows the page.

A run that is submitted belongs to no page. It has a session of its own, whose token is the run's id and
cannot be guessed; it computes whether or not anybody asks, and is deleted `Settings.keep_hours` after its
last use.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import gradio as gr

from langtrack_core.types import LangTrackError

from .service import Service
from .sessions import Session
from .uploads import is_zip


class Api:
    """The endpoints. Every LangTrackError is one sentence for the caller."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def track(
        self,
        video: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        request: gr.Request,
    ) -> Iterator[tuple[dict[str, Any], str | None]]:
        """Follow the target of an expression or a box through a video.

        Args:
            video: the clip or a ZIP of its frames, uploaded by the client (`handle_file`).
            text: referring expression, at most 500 characters; may be empty when there is a box.
            box: "x1,y1,x2,y2" in pixels of the start frame, x2 and y2 exclusive; may be empty.
            start: index of the first frame to look at.
            every: run the language branch on every that many frames.

        Returns:
            A report, and the run's files in one ZIP. While it computes the report has ``stage``, ``frames``,
            ``total``, ``fps`` and ``left_s``, and there is no ZIP yet; the last one has ``stage`` "done",
            ``frames``, ``found`` (frames with the object), ``unknown_words``, ``seconds`` and ``warning``:
            None, or a sentence when the video is damaged or ends early; the files are of what could be read.
        """
        session = self.service.sessions.get(request.session_hash)
        session.claim_upload(video)
        self.service.queue.check_room()  # before a clip is looked into, or a ZIP is made into one
        video = self._unzipped(video)
        session.claim_upload(video)
        track_request = self.service.check_request(video, text, box, start, every)
        job = self.service.follow(session, track_request, fresh=True)
        try:
            while not job.wait(1.0 / self.service.settings.preview_hz):
                progress = self.service.progress(session)
                yield {name: progress[name] for name in ("stage", "frames", "total", "fps", "left_s")}, None
            if job.outcome == "cancelled":
                raise LangTrackError("The run was cancelled.")
            report, archive = self.service.results(session)
            yield report, str(archive)
        finally:
            if not job.over:  # the caller has left, or has cancelled
                job.cancel(keep=False)

    def _unzipped(self, video: str | None) -> str | None:
        """A ZIP of frames as an MP4; anything else as it is."""
        return str(self.service.playable(video)[0]) if is_zip(video) else video

    def submit(
        self,
        video: str | None,
        text: str | None = "",
        box: str | None = "",
        start: float | None = 0,
        every: float | None = 1,
    ) -> dict[str, Any]:
        """Begin to follow the target of an expression or a box through a video, and return at once.

        Args:
            video: the clip or a ZIP of its frames, uploaded by the client (`handle_file`).
            text: referring expression, at most 500 characters; may be empty when there is a box.
            box: "x1,y1,x2,y2" in pixels of the start frame, x2 and y2 exclusive; may be empty.
            start: index of the first frame to look at, from 0.
            every: run the language branch on every that many frames, 1 to 30.

        Returns:
            ``run``: the id for the other calls; ``position`` in the queue, 0 when it computes;
            ``unknown_words``: words that are left out.
        """
        self.service.queue.check_room()
        key = f"run-{secrets.token_hex(16)}"
        upload, video = video, self._unzipped(video)
        session = self.service.sessions.get(key)
        if video != upload:
            session.claim_upload(video)  # an MP4 that was made here goes with a refusal
        try:
            job = self.service.follow(session, self.service.check_request(video, text, box, start, every))
        except BaseException:
            self.service.sessions.drop(key)
            raise
        session.claim_upload(upload)
        position = self.service.queue.position(job)
        return {"run": session.token, "position": position, "unknown_words": list(job.unknown_words)}

    def progress(self, run: str) -> dict[str, Any]:
        """The progress of a run.

        Args:
            run: the id that submit gave.

        Returns:
            ``stage``: "waiting", "opening", "following", "writing", "stopping", "done", "cancelled" or
            "failed"; ``position`` in the queue; ``wait_s`` until it starts or null; ``frames`` done and
            ``total`` (null when the file does not say); ``fps``; ``left_s`` or null; ``error`` and
            ``warning``: a sentence or null.
        """
        progress = self.service.progress(self._session(run))
        return {key: value for key, value in progress.items() if key not in ("kind", "title")}

    def cancel(self, run: str) -> dict[str, Any]:
        """Stop a run; what is done so far stays and can be fetched.

        Args:
            run: the id that submit gave.

        Returns:
            The same as progress.
        """
        self.service.cancel(self._session(run))
        return self.progress(run)

    def results(self, run: str) -> tuple[dict[str, Any], str]:
        """The report and the files of a run that is done or was cancelled.

        Args:
            run: the id that submit gave.

        Returns:
            The report: ``stage`` "done" or "cancelled", ``frames``, ``found`` (frames with the object),
            ``unknown_words``, ``seconds``, ``warning``; and all files of the run in one ZIP.
        """
        report, archive = self.service.results(self._session(run))
        return report, str(archive)

    def _session(self, run: str) -> Session:
        session = self.service.sessions.find(run)
        if session is None:
            raise LangTrackError("There is no such run: its id is wrong, or its time is over.")
        return session
