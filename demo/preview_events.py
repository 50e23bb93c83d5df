"""Handlers of the look at a frame before a run: what the words select there, and the choice of a region.

Each returns what lies over the result, the text of the form's box, a message and the start frame: a `Before`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from langtrack_core.types import LangTrackError

from .annotation.checks import whole_number
from .page_data import PAGE, page_data
from .page_events import PageEvents, View, notice
from .player import served
from .sessions import Session
from .track_request import TrackRequest, without_paths

LOADER = """
// Gradio gives this component an event for each name in quotes: 'choose', 'seek', 'follow', 'all', 'back'.
import(props.page.program.url).then(({ mountPreview }) => mountPreview({ element, props, trigger, watch }));
"""
"""What Gradio runs for the component: it loads the module that draws it."""

OFF: dict[str, Any] = {"state": "off"}
"""Value of the component while there is nothing to choose from."""


class Before(NamedTuple):
    """All that a look changes on the page, in the order of the events' outputs."""

    preview: Any = gr.skip()
    box: Any = gr.skip()
    notice: Any = gr.skip()
    start: Any = gr.skip()


def preview_panel() -> gr.HTML:
    """The component, hidden. Its value is `OFF`, or that of `Preview.value`."""
    return gr.HTML(
        OFF,
        html_template=(PAGE / "preview.html").read_text(encoding="utf-8"),
        js_on_load=LOADER,
        apply_default_css=False,
        elem_id="before",
        label="Before the run",
        page=page_data(),
    )


Look = Callable[["PreviewEvents", str | None, str | None, str | None, float | None, gr.Request], Before]


def _forgetting(look: Look) -> Look:
    """A look that also takes an error away which is about a form of before."""

    @functools.wraps(look)
    def handler(
        self: PreviewEvents,
        video: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        request: gr.Request,
    ) -> Before:
        session, form = self._session(request), (video, text, box, start)
        refused = session.refused
        before = look(self, *form, request)
        if before.notice != gr.skip():
            session.refused = form
        elif refused is not None and refused != form and refused is session.refused:
            session.refused = None
            return before._replace(notice="")
        return before

    return handler


class PreviewEvents:
    """The handlers of one server; what a visitor looks at is in the `Session`."""

    def __init__(self, events: PageEvents) -> None:
        self.events = events
        self.service = events.service

    @_forgetting
    def on_video(
        self, video: str | None, text: str | None, box: str | None, start: float | None, request: gr.Request
    ) -> Before:
        """Look at a clip that was chosen; not at an example, which runs, nor at the clip of the run."""
        session = self.events.claim_upload(video, request)
        session.form_video = video or None
        if video and (_is_followed(session, video) or self.events.is_example(video)):
            session.begin_look()
            return Before(OFF)
        if session.preview is None or not start:
            return self._look(session, video, text, box, start)
        return self._look(session, video, text, box, 0)._replace(start=0)  # it was one of another clip

    def warm_up(self, request: gr.Request) -> None:
        """While the visitor begins to type, make the networks ready for frames of the clip's shape.

        An event of its own without outputs: at the end of a generator Gradio shows its last value once more,
        over the answer to words that were typed meanwhile.
        """
        self.service.frames.warm_up(self._session(request))

    @_forgetting
    def on_text(
        self, video: str | None, text: str | None, box: str | None, start: float | None, request: gr.Request
    ) -> Before:
        """Look again with other words; not with those of a run that the page shows, nor without any then."""
        session = self.events.claim_upload(video, request)
        clip = self.service.clips.chosen(session, video)
        path, words = video if clip is None else clip.video, (text or "").strip()
        if path and _is_followed(session, path) and words in _words_of(session):
            session.begin_look()
            stale = session.preview is not None and session.preview.is_stale(box, words, start or 0)
            return Before(OFF, "" if stale else gr.skip())
        return self._look(session, path, text, box, start)

    @_forgetting
    def on_place(
        self, video: str | None, text: str | None, box: str | None, start: float | None, request: gr.Request
    ) -> Before:
        """Look again with another box or on another frame."""
        session = self.events.claim_upload(video, request)
        clip = self.service.clips.chosen(session, video)
        return self._look(session, video if clip is None else clip.video, text, box, start)

    def choose(self, event: gr.EventData, request: gr.Request) -> Any:
        """Put the region that was clicked, or the box that was drawn, into the form; "" takes it out.

        Not what was chosen on a frame, or with words, that the page does not show any more: the next look was
        on its way, and shows nothing as chosen.
        """
        box = _box(event)
        preview = self._session(request).preview
        if preview is not None and event._data.get("look", preview.key) != preview.key:
            return gr.skip()
        if preview is not None:
            preview.choose(box)
        return box

    def seek(self, event: gr.EventData) -> int:
        """The start frame that the visitor goes to."""
        return whole_number(event._data.get("frame"), "The start frame")

    def back(self, request: gr.Request) -> Any:
        """The sentence about the run that is in view again, where there is one about the form."""
        session = self._session(request)
        return gr.skip() if session.refused is None else self.events.shown_view(session).notice

    def follow(
        self,
        video: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        event: gr.EventData,
        request: gr.Request,
    ) -> View:
        """Start the run on what was chosen here, as the form's button does."""
        if self.choose(event, request) == gr.skip() and _box(event):
            return View(notice=notice("error", "The page has looked anew meanwhile. Choose again."))
        return self.events.begin(video, text, _box(event), start, every, request)

    def follow_all(
        self,
        video: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        request: gr.Request,
    ) -> View:
        """Start a run with a target for each region that fits."""
        session = self.events.claim_upload(video, request)

        def checked(path: str | Path | None) -> TrackRequest:
            track_request = self.service.check_request(path, text, "", start, every)
            return track_request if session.preview is None else session.preview.requests(track_request)

        return self.events.begun(session, (video, text, box, start), checked)

    def _look(
        self,
        session: Session,
        video: str | Path | None,
        text: str | None,
        box: str | None,
        start: float | None,
    ) -> Before:
        before, job = session.preview, session.job
        chosen = "" if before is None else before.choice
        if not video:
            session.begin_look()
            return Before(OFF)
        if session.busy:
            return Before()
        number = session.begin_look()
        try:
            preview = self.service.frames.look(session, number, video, text, start)
        except LangTrackError as error:
            # A wrong video is told below its field already.
            return Before(
                OFF, notice=gr.skip() if before is None else notice("error", without_paths(str(error)))
            )
        if preview is None:
            return Before()
        box = box or ""
        if before is not None and before.choice != chosen:
            box = before.choice  # it has come into the form since this look began
        box_now = preview.take_over(box, before)
        if session.job is not job:  # a run has begun meanwhile, and is perhaps over
            return Before()
        run = session.workspace is not None
        value = {**preview.value(run=run), "picture": served(preview.picture)}
        return Before(value, gr.skip() if box_now == box else box_now)

    def _session(self, request: gr.Request) -> Session:
        return self.service.sessions.get(request.session_hash)


def _is_followed(session: Session, video: str | Path) -> bool:
    """Whether the page shows a run of this very clip."""
    return session.workspace is not None and str(session.workspace.video) == str(video)


def _words_of(session: Session) -> set[str]:
    """What is followed in the session's video, and ""."""
    workspace = session.workspace
    if workspace is None:
        return {""}
    with workspace.lock:
        runs = [segment.run for target in workspace.project.targets for segment in target.segments]
    return {"", *(run.manifest.get("expression") or "" for run in runs)}


def _box(event: gr.EventData) -> str:
    box = event._data.get("box")
    return box[:100] if isinstance(box, str) else ""
