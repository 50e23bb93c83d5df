"""What the page's events do: plain functions and generators over a `Backend`, tested without a server.

Run is two events: `begin` checks the request and answers at once; `run` waits in Gradio's line for a free
place and then watches the job. So wrong input never waits, and twenty clicks make one job.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from langtrack_core.types import LangTrackError

from . import player
from .examples import Example
from .jobs import Job, Result
from .sessions import Session, Sessions
from .settings import Settings
from .task import Task, Tracker, make_task, open_video

CANCEL_WAIT_S = 30.0
"""A frame of the largest network takes seconds on a CPU, and its files are closed after that."""


class View(NamedTuple):
    """Everything a run changes on the page, in the order of the events' outputs."""

    player: Any = gr.skip()
    notice: Any = gr.skip()
    run_button: Any = gr.skip()
    cancel_button: Any = gr.skip()


class ExampleView(NamedTuple):
    """What a click on an example fills in."""

    video: Any
    text: Any
    box: str
    start: int
    about: str


@dataclass
class Backend:
    """The parts that all handlers share; everything of one visitor is in its `Session`."""

    tracker: Tracker
    settings: Settings
    sessions: Sessions
    examples: dict[str, Example]

    # --- the page ---------------------------------------------------------------------------------------

    def inspect(self, path: str | None, request: gr.Request) -> str:
        """A line about the chosen video, or what is wrong with it, beside the upload."""
        if not path:
            return ""
        self._remember(path, request)
        try:
            info = open_video(path, self.settings)
        except LangTrackError as error:
            return notice("error", str(error))
        facts = [f"{info.width}×{info.height}", f"{float(info.fps):.4g} fps"]
        if info.frames_estimate is not None:
            facts.append(f"{info.frames_estimate} frames")
        if info.duration_s is not None:
            facts.append(f"{info.duration_s:.1f} s")
        return notice("facts", " · ".join(facts))

    def fill_example(self, event: gr.EventData) -> ExampleView:
        """One click on an example: its clip and its sentence."""
        example = self.examples.get(str(event._data.get("name")))
        if example is None:
            raise gr.Error("There is no such example.", print_exception=False)
        return ExampleView(str(example.path), example.expression, "", 0, "")

    def begin(
        self,
        path: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        request: gr.Request,
    ) -> View:
        """Check the request and make the job, which then waits for its turn."""
        try:
            job = self._new_job(path, text, box, start, every, request)
        except LangTrackError as error:
            return View(notice=notice("error", str(error)))
        return View(
            player=player.waiting(job.task),
            notice=_unknown_words(job.task),
            run_button=gr.update(interactive=False),
            cancel_button=gr.update(interactive=True),
        )

    def run(self, request: gr.Request) -> Iterator[View]:
        """Its turn has come: compute, and show how far it is. Does nothing when there is nothing to start."""
        job = self.sessions.get(request.session_hash).job
        if job is None or job.started or job.over:
            yield View()
            return
        try:
            job.start()
            for progress in job.watch():
                yield View(player=player.running(job.task, progress))
            yield _end(job)
        finally:
            if not job.over:  # the page has gone
                job.cancel(keep=False)

    def cancel(self, request: gr.Request) -> View:
        """Stop the session's run, or take it out of the line, and show what was done so far."""
        job = self.sessions.get(request.session_hash).job
        if job is None:
            return _idle(View())
        job.cancel(keep=True)
        if not job.wait(CANCEL_WAIT_S):
            return View(notice=notice("warning", "The run stops as soon as its frame is done."))
        return _end(job)

    def failed(self, request: gr.Request) -> View:
        """The line was full, or something broke: the page must not stay in its waiting state."""
        job = self.sessions.get(request.session_hash).job
        if job is not None:
            job.cancel(keep=False)
        text = "The run could not start; the line may be full. Try again in a minute."
        return _idle(View(player=player.EMPTY, notice=notice("error", text)))

    def leave(self, request: gr.Request) -> None:
        """The tab was closed or reloaded."""
        self.sessions.drop(request.session_hash)

    # --- the API ----------------------------------------------------------------------------------------

    def track(
        self,
        video: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        request: gr.Request,
    ) -> Iterator[tuple[dict[str, Any], str | None]]:
        """Follow what an expression or a box says through a video.

        Args:
            video: the clip, uploaded by the client (`handle_file`).
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
        try:
            job = self._new_job(video, text, box, start, every, request)
        except LangTrackError as error:
            raise gr.Error(str(error), print_exception=False) from None
        try:
            job.start()
            for now in job.watch():
                yield (
                    {
                        "stage": now.stage,
                        "frames": now.frames,
                        "total": now.total,
                        "fps": round(now.fps, 2),
                        "left_s": None if now.left_s is None else round(now.left_s, 1),
                    },
                    None,
                )
            if job.result is None:
                raise gr.Error(job.error or "The run was cancelled.", print_exception=False)
            timeline = job.result.timeline
            yield (
                {
                    "stage": "done",
                    "frames": len(timeline.index),
                    "found": timeline.found,
                    "unknown_words": list(job.task.unknown),
                    "seconds": round(timeline.time_s[-1] - timeline.time_s[0], 3),
                    "warning": job.result.damage,
                },
                str(job.result.bundle),
            )
        finally:
            if not job.over:  # the caller has gone, or has cancelled
                job.cancel(keep=False)

    # --- shared -----------------------------------------------------------------------------------------

    def _new_job(
        self,
        path: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        request: gr.Request,
    ) -> Job:
        session = self._remember(path, request)
        task = make_task(self.tracker, self.settings, path, text, box, start, every)
        return session.new_job(
            lambda folder: Job(self.tracker, task, folder, self.settings), self.settings.max_runs_kept
        )

    def _remember(self, path: str | None, request: gr.Request) -> Session:
        session = self.sessions.get(request.session_hash)
        if path:
            with session.lock:
                session.uploads.add(Path(path))
        return session


def notice(kind: str, *sentences: str) -> str:
    """A message as HTML; the sentences are text, whatever they contain."""
    role = "alert" if kind == "error" else "status"
    lines = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences if sentence)
    return f'<div class="lt-notice lt-{kind}" role="{role}">{lines}</div>' if lines else ""


def _unknown_words(task: Task) -> str:
    if not task.unknown:
        return ""
    words = ", ".join(f"“{word}”" for word in task.unknown)
    return notice("warning", f"Words that LangTrack does not know and leaves out: {words}.")


def _idle(view: View) -> View:
    return view._replace(run_button=gr.update(interactive=True), cancel_button=gr.update(interactive=False))


def _end(job: Job) -> View:
    if job.result is not None:
        return _idle(_finished(job, job.result))
    if job.error is not None:
        return _idle(View(player=player.EMPTY, notice=notice("error", job.error)))
    return _idle(View(player=player.EMPTY, notice=notice("warning", "Cancelled before the first frame.")))


def _finished(job: Job, result: Result) -> View:
    frames = len(result.timeline.index)
    found = result.timeline.found
    if result.cancelled:
        said = notice("warning", f"Cancelled after {frames} frames. What was done until then is below.")
    elif found == 0:
        said = notice("warning", "Not found in any frame. Try other words, or give a box on the start frame.")
    else:
        said = notice("good", f"Found in {found} of {frames} frames.")
    return View(
        player=player.done(job.task, result),
        notice=said + notice("warning", result.damage or "") + _unknown_words(job.task),
    )
