"""What the page's events do: plain functions and generators over a `Service`, tested without a server.

Whatever takes long is two events: one checks the request and brings it on its way, and answers at once;
`watch` then shows how far it is. So wrong input never waits, twenty clicks make one run, and a page that was
reloaded watches the same run again.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from langtrack_core.types import LangTrackError

from . import player
from .examples import Example
from .job import Job
from .service import Service
from .sessions import Session, Sessions
from .settings import Settings
from .track_job import TrackJob
from .track_request import open_video


class View(NamedTuple):
    """Everything a run changes on the page, in the order of the events' outputs."""

    player: Any = gr.skip()
    notice: Any = gr.skip()
    run_button: Any = gr.skip()


class Filled(NamedTuple):
    """The form, filled in for the visitor: by an example, or when a page comes back."""

    video: Any = gr.skip()
    text: Any = gr.skip()
    box: Any = gr.skip()
    start: Any = gr.skip()
    about: Any = gr.skip()


@dataclass
class PageEvents:
    """What all handlers share; everything of one visitor is in its `Session`."""

    service: Service
    examples: dict[str, Example]
    _watched: set[tuple[str | None, int]] = field(default_factory=set)

    @property
    def sessions(self) -> Sessions:
        return self.service.sessions

    @property
    def settings(self) -> Settings:
        return self.service.settings

    # --- the form -------------------------------------------------------------------------------------------

    def inspect(self, path: str | None, request: gr.Request) -> str:
        """A line about the chosen video, or what is wrong with it, beside the upload."""
        if not path:
            return ""
        self.claim_upload(path, request)
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

    def fill_example(self, event: gr.EventData) -> Filled:
        """One click on an example: its clip and its sentence."""
        example = self.examples.get(str(event._data.get("name")))
        if example is None:
            raise gr.Error("There is no such example.", print_exception=False)
        return Filled(str(example.path), example.expression, "", 0, "")

    # --- a run ----------------------------------------------------------------------------------------------

    def begin(
        self,
        path: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        request: gr.Request,
    ) -> View:
        """Check the request and bring it on its way."""
        session = self.claim_upload(path, request)
        try:
            work = self.service.follow(session, path, text, box, start, every, fresh=True)
        except LangTrackError as error:
            return View(notice=notice("error", str(error)))
        return self.started_view(session, work)

    def started_view(self, session: Session, work: Job) -> View:
        """The page while the work waits for its turn."""
        said = self.service.progress(session)
        return View(
            player=player.running(said, session.token),
            notice=_unknown_words(work),
            run_button=gr.update(interactive=False),
        )

    def watch(self, request: gr.Request) -> Iterator[View]:
        """How far the session's work is, until it is over.

        Nothing when this page watches it already, or has its result: after a question that was refused the
        page keeps what the visitor has drawn and typed.

        Ending the watching does not end the work: that does the session, when its page does not come back.
        """
        session = self.sessions.get(request.session_hash)
        work = session.job
        key = (request.session_hash, id(work))
        if work is None or work.delivered or key in self._watched:
            yield View()
            return
        self._watched.add(key)
        try:
            seen: dict[str, Any] = {}
            while not work.wait(1.0 / self.settings.preview_hz):
                now = self.service.progress(session, picture=True)
                if now != seen:
                    seen = now
                    yield View(player=player.running(now, session.token))
            work.delivered = True
            yield self.finished_view(session, work)
        finally:
            self._watched.discard(key)

    def cancel(self, request: gr.Request) -> View:
        """Stop the session's work, or take it out of the line, and show what was done so far."""
        session = self.sessions.get(request.session_hash)
        if not self.service.cancel(session):
            return View(notice=notice("warning", "The run stops as soon as its frame is done."))
        return View() if session.job is None else self.finished_view(session, session.job)

    def on_load(self, token: str | None, request: gr.Request) -> tuple[Any, ...]:
        """A page was opened or reloaded: with the token of a session that is still there, it goes on."""
        session = self.sessions.resume(request.session_hash, token)
        if session is None:
            return (*Filled(), *View())
        form, workspace, work = Filled(), session.workspace, session.job
        if workspace is not None and workspace.video is not None:
            texts = [target["expression"] for target in workspace.state()["targets"]]
            text = next((text for text in reversed(texts) if text), getattr(work, "title", "").strip("“”"))
            form = Filled(video=str(workspace.video), text=text)
        view = (
            View()
            if work is None
            else self.started_view(session, work)
            if not work.over
            else self.finished_view(session, work)
        )
        return (*form, *view)

    def failed(self, request: gr.Request) -> View:
        """Something broke: the page must not stay in its waiting state."""
        session = self.sessions.get(request.session_hash)
        if session.job is not None:
            session.job.cancel(keep=False)
        return idle(
            View(player=self.page_of(session), notice=notice("error", "That did not work. Try again."))
        )

    def on_unload(self, request: gr.Request) -> None:
        """The tab was closed or reloaded."""
        self.sessions.leave(request.session_hash)

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
        session = self.claim_upload(video, request)
        try:
            work = self.service.follow(session, video, text, box, start, every, fresh=True)
        except LangTrackError as error:
            raise gr.Error(str(error), print_exception=False) from None
        try:
            while not work.wait(1.0 / self.settings.preview_hz):
                now = self.service.progress(session)
                yield {name: now[name] for name in ("stage", "frames", "total", "fps", "left_s")}, None
            if work.outcome != "done" or session.workspace is None:
                raise gr.Error(work.error or "The run was cancelled.", print_exception=False)
            (target,) = session.workspace.state()["targets"]
            run = target["run"]
            yield (
                {
                    "stage": "done",
                    "frames": len(run["index"]),
                    "found": sum(said != "absent" for said in run["fused"]),
                    "unknown_words": list(work.unknown),
                    "seconds": round(run["time_s"][-1] - run["time_s"][0], 3),
                    "warning": work.warning,
                },
                str(target["bundle"]),
            )
        finally:
            if not work.over:  # the caller has gone, or has cancelled
                work.cancel(keep=False)

    # --- shared ---------------------------------------------------------------------------------------------

    def claim_upload(self, path: str | None, request: gr.Request) -> Session:
        session = self.sessions.get(request.session_hash)
        if path:
            session.own(Path(path))
        return session

    def page_of(self, session: Session, *, newest: bool = False) -> dict[str, Any]:
        """The player's value: the workspace, or nothing yet. ``newest``: show the target that came last."""
        workspace = session.workspace
        if workspace is not None:
            with workspace.lock:
                state = workspace.state()
                if state["targets"] and state["film"]["file"]:
                    return player.done(state, session.token, newest=newest)
        return player.EMPTY

    def finished_view(self, session: Session, work: Job) -> View:
        """The page when its work is over."""
        value = self.page_of(session, newest=work.kind in ("follow", "compare"))
        if work.error is not None:
            return idle(View(player=value, notice=notice("error", work.error)))
        said = notice("warning", work.warning or "") + _unknown_words(work)
        return idle(View(player=value, notice=_outcome(work, value) + said))


def notice(kind: str, *sentences: str) -> str:
    """A message as HTML; the sentences are text, whatever they contain."""
    role = "alert" if kind == "error" else "status"
    lines = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences if sentence)
    return f'<div class="lt-notice lt-{kind}" role="{role}">{lines}</div>' if lines else ""


def idle(view: View) -> View:
    return view._replace(run_button=gr.update(interactive=True))


def _unknown_words(work: Job) -> str:
    if not (isinstance(work, TrackJob) and work.unknown):
        return ""
    words = ", ".join(f"“{word}”" for word in work.unknown)
    return notice("warning", f"Words that LangTrack does not know and leaves out: {words}.")


def _outcome(work: Job, value: dict[str, Any]) -> str:
    cancelled = work.outcome == "cancelled"
    frames = work.progress.frames
    if cancelled and (frames == 0 or work.kind in ("export", "open")):
        return notice("warning", "Cancelled before the first frame." if frames == 0 else "Cancelled.")
    if cancelled:
        return notice("warning", f"Cancelled after {frames} frames. What was done until then is below.")
    if work.kind == "export":
        return notice("good", "The files of the track as it stands now are ready.")
    if work.kind == "open" and value["state"] != "done":
        return notice("warning", "The saved run was saved without its video, so there is nothing to show.")
    if work.kind == "open":
        return notice("good", "The saved run is open.")
    found, frames_of_track = value.get("found", (0, 0))
    if found == 0:
        return notice("warning", "Not found in any frame. Try other words, or give a box on the start frame.")
    return notice("good", f"Found in {found} of {frames_of_track} frames.")
