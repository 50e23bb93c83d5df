"""The API's four calls, without Gradio: submit, progress, cancel, results.

A run that is submitted belongs to nobody's page. It has a session of its own, named by the run's id, which
nobody can guess; it computes whether or not anybody asks, and goes `Settings.keep_hours` after its last use.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError

from .service import Service
from .sessions import Session
from .track_job import TrackJob


class Api:
    """What the named endpoints do; the docstrings are their documentation.

    Every LangTrackError is one sentence for the caller.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    def submit(
        self,
        video: str | None,
        text: str | None = "",
        box: str | None = "",
        start: float | None = 0,
        every: float | None = 1,
    ) -> dict[str, Any]:
        """Begin to follow what an expression or a box says through a video; returns at once.

        Args:
            video: the clip, uploaded by the client (`handle_file`).
            text: referring expression, at most 500 characters; may be empty when there is a box.
            box: "x1,y1,x2,y2" in pixels of the start frame, x2 and y2 exclusive; may be empty.
            start: index of the first frame to look at, from 0.
            every: run the language branch on every that many frames, 1 to 30.

        Returns:
            ``run``: the id for the other calls; ``position`` in the line, 0 when it computes;
            ``unknown_words``: words that are left out.
        """
        key = f"run-{secrets.token_hex(16)}"
        session = self.service.sessions.get(key)
        try:
            job = self.service.follow(session, video, text, box, start, every)
        except BaseException:
            self.service.sessions.drop(key)
            raise
        if video:
            session.own(Path(video))
        position = self.service.queue.position(job)
        return {"run": session.token, "position": position, "unknown_words": list(job.unknown)}

    def progress(self, run: str) -> dict[str, Any]:
        """How far a run is.

        Args:
            run: the id that submit gave.

        Returns:
            ``stage``: "waiting", "opening", "following", "writing", "stopping", "done", "cancelled" or
            "failed"; ``position`` in the line; ``frames`` done and ``total`` (null when the file does not
            say); ``fps``; ``left_s`` or null; ``error`` and ``warning``: a sentence or null.
        """
        said = self.service.progress(self._session(run))
        return {key: value for key, value in said.items() if key not in ("kind", "title")}

    def cancel(self, run: str) -> dict[str, Any]:
        """Stop a run; what is done so far stays and can be fetched.

        Args:
            run: the id that submit gave.

        Returns:
            As progress.
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
        session = self._session(run)
        job = session.job
        if not isinstance(job, TrackJob) or not job.over:
            raise LangTrackError("The run is not over yet; ask for its progress.")
        if job.error is not None:
            raise LangTrackError(job.error)
        workspace = session.workspace
        targets = [] if workspace is None else workspace.state()["targets"]
        if not targets or targets[0]["bundle"] is None:
            raise LangTrackError("The run was cancelled before its first frame.")
        columns = targets[0]["run"]
        report = {
            "stage": job.outcome,
            "frames": len(columns["index"]),
            "found": sum(said != "absent" for said in columns["fused"]),
            "unknown_words": list(job.unknown),
            "seconds": round(columns["time_s"][-1] - columns["time_s"][0], 3),
            "warning": job.warning,
        }
        return report, str(targets[0]["bundle"])

    def _session(self, run: str) -> Session:
        session = self.service.sessions.find(run)
        if session is None:
            raise LangTrackError("There is no such run: its id is wrong, or its time is over.")
        return session
