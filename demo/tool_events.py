"""Handlers of the annotator's tools in the player.

The page sends one event with ``{"do": name, "n": number, …}``, a `Question`. A quick question (`act`), or one
about a single frame (`look`), is answered in the player's property ``reply`` with the same number. One that
takes long (`work`) becomes a job like a run, and `PageEvents.watch` shows its progress. One that changes what
the page shows (`show`) gets the whole page anew. Questions come from outside: nothing in them is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from langtrack_core.types import LangTrackError

from . import player
from .annotation.checks import finite_number, whole_number
from .annotation.project_zip import why_not_packed
from .clip_events import ClipEvents
from .job import Job, sentence_of
from .page_events import PageEvents, View, notice, unbroken
from .sessions import Session
from .workspace import Workspace

Question = Mapping[str, Any]
Works = Mapping[str, Callable[[Session, Question], Job | None]]
"""Questions that begin a job, or show at once what is there already (None), by name."""

MAX_FILES = 5000
"""Largest number of mask pictures in one upload: one for each frame of a clip of a few minutes."""


class ToolEvents:
    """The tools of one server. Each entry of the three tables answers one question of the page."""

    def __init__(self, events: PageEvents) -> None:
        self.events = events
        self.service = events.service
        self._clips = ClipEvents(self.service.clips, self._uploads)
        self._acts: dict[str, Callable[[Workspace, Question], dict[str, Any]]] = {
            "verdicts": lambda space, question: {
                "verdicts": space.judgement.judge(_number(question, "target"), question.get("changes"))
            },
            "episodes": lambda space, question: {
                "episodes": space.judgement.episodes(_number(question, "target"))
            },
            "verdicts_file": self._verdicts_file,
            "load_verdicts": self._load_verdicts,
            "what_if": self._what_if,
            "class": self._class,
            "save": self._save,
            "truth": lambda space, question: space.judgement.truth(
                _number(question, "target"),
                question["paths"],
                _text(question, "object") or None,
                {"0": 0, "1": 1}.get(_text(question, "pixel")),
            ),
            "still": lambda space, question: {
                "still": player.served(self.service.frames.still(space, _number(question, "frame")))
            },
            "agreement": lambda space, question: {"agreement": space.judgement.agreement()},
        }
        self._looks: dict[str, Callable[[Session, int, int], dict[str, Any]]] = {
            "words": self.service.frames.words,
            "regions": self.service.frames.regions,
        }
        self._works: Works = {
            "correct": self._correct,
            "point": self._point,
            "add": self._add,
            "compare": self._compare,
            "export": lambda session, question: self.service.export(session),
            "format": lambda session, question: self.service.export_format(
                session, _text(question, "format")
            ),
        }
        opens: Works = {**self._clips.works, "take_up": self._take_up}
        self._opens = opens.keys()  # questions that are not about the run on the page
        self._shows: Works = {
            **opens,
            **dict.fromkeys(("undo", "remove", "restore", "keep", "end_comparison"), self._change),
        }

    # --- events ---------------------------------------------------------------------------------------------

    def act(self, event: gr.EventData, request: gr.Request) -> Any:
        """Answer a quick question about the visitor's workspace."""
        question = _question(event)
        session = self._session(question, request)
        try:
            if question["do"] in self._clips.acts:
                return _done(session, question, self._clips.acts[question["do"]](session, question))
            if question["do"] == "resume":
                return self._resume(question, request)
            workspace = _workspace(session, question)
            if question["do"] in ("load_verdicts", "truth"):
                question = {**question, "paths": self._uploads(session, question)}
            answer = _entry(self._acts, question)(workspace, question)
            if question["do"] in ("verdicts", "load_verdicts", "what_if"):
                self.service.clips.note_change(session, workspace, save=question["do"] != "what_if")
            return _done(session, question, answer)
        except (LangTrackError, OSError) as error:
            return _refusal(question, error)

    def look(self, event: gr.EventData, request: gr.Request) -> Any:
        """Answer a question about one frame, with the networks."""
        question = _question(event)
        session = self._session(question, request)
        try:
            _check_shown(session, question)
            answer = _entry(self._looks, question)
            return _reply(question, answer(session, _number(question, "target"), _number(question, "frame")))
        except (LangTrackError, OSError) as error:
            return _refusal(question, error)

    def work(self, event: gr.EventData, request: gr.Request) -> View:
        """Start a job for a question that takes long; the next event watches it."""
        return self._view(self._works, event, request)

    def show(self, event: gr.EventData, request: gr.Request) -> View:
        """Show another run or clip, or changed tracks, at once or by a job that the next event watches."""
        return self._view(self._shows, event, request)

    def _view(self, works: Works, event: gr.EventData, request: gr.Request) -> View:
        question = _question(event)
        session = self._session(question, request)
        try:
            if question["do"] not in self._opens:
                _check_shown(session, question)
            job = _entry(works, question)(session, question)
            if job is None:
                self.service.clips.prepare_next(session)
                return self.events.shown_view(session)
            return self.events.started_view(session, job)
        except (LangTrackError, OSError) as error:
            return View(player=_refusal(question, error))

    def open_saved(self, path: str | None, request: gr.Request) -> View:
        """Open a saved run that was uploaded."""
        session = self.events.claim_upload(path, request)
        try:
            return self.events.started_view(session, self.service.open_bundle(session, Path(path or "")))
        except LangTrackError as error:
            return View(notice=notice("error", str(error)))

    def _session(self, question: Question, request: gr.Request) -> Session:
        """The page's session. A page that was about to be closed, and stays, gets its own back."""
        sessions = self.service.sessions
        session = sessions.get(request.session_hash)
        if sessions.has_left(request.session_hash) or (session.workspace is None and session.job is None):
            return sessions.resume(request.session_hash, _text(question, "token")) or session
        return session

    # --- long -----------------------------------------------------------------------------------------------

    def _take_up(self, session: Session, question: Question) -> None:
        self.service.clips.take_up(session, _text(question, "run"))

    def _correct(self, session: Session, question: Question) -> Job:
        return self.service.correct(
            session,
            _number(question, "target"),
            _number(question, "frame"),
            _text(question, "text") or None,
            _text(question, "box"),
            _text(question, "direction"),
        )

    def _point(self, session: Session, question: Question) -> Job:
        place = tuple(finite_number(question.get(name), "The place") for name in ("x", "y"))
        return self.service.point(
            session,
            _number(question, "target"),
            _number(question, "frame"),
            (place[0], place[1]),
            question.get("right") is True,
            _text(question, "direction"),
        )

    def _add(self, session: Session, question: Question) -> Job:
        request = self.service.check_request(
            _video(session), _text(question, "text"), _text(question, "box"), _number(question, "frame")
        )
        return self.service.follow(session, request)

    def _compare(self, session: Session, question: Question) -> Job:
        texts = question.get("texts")
        return self.service.compare(session, _video(session), texts if isinstance(texts, list) else [])

    # --- quick ----------------------------------------------------------------------------------------------

    def _change(self, session: Session, question: Question) -> None:
        """Change the tracks themselves: the page gets its whole value anew."""
        workspace = _workspace(session, question)
        plain = {"end_comparison": workspace.end_comparison, "restore": workspace.restore}
        if question["do"] in plain:
            plain[question["do"]]()
        else:
            change = {"undo": workspace.undo, "remove": workspace.remove, "keep": workspace.keep}
            change[question["do"]](_number(question, "target"))

    def _resume(self, question: Question, request: gr.Request) -> Any:
        """Give the page the session of a page that was closed, see `Sessions`."""
        session = self.service.sessions.resume(request.session_hash, _text(question, "token"))
        value = player.EMPTY if session is None else self.events.page_value(session)
        # The newest run may have been stopped before it had a track: the work is then in the earlier ones.
        if not (value["state"] == "done" or value.get("shelf") or "clips" in value):
            raise LangTrackError("The server does not keep that work any more.")
        return gr.update(value=value)

    def _verdicts_file(self, space: Workspace, question: Question) -> dict[str, Any]:
        path = space.judgement.verdicts_file(_number(question, "target"), _text(question, "form"))
        return {"download": player.download(path)}

    def _load_verdicts(self, space: Workspace, question: Question) -> dict[str, Any]:
        return {
            "verdicts": space.judgement.import_verdicts(_number(question, "target"), question["paths"][0])
        }

    def _what_if(self, space: Workspace, question: Question) -> dict[str, Any]:
        settings = question.get("settings")
        return space.what_if(_number(question, "target"), settings if isinstance(settings, dict) else None)

    def _class(self, space: Workspace, question: Question) -> dict[str, Any]:
        number = _number(question, "target")
        space.set_class(number, _text(question, "name"))
        return {"name": space.project.target(number).class_name}

    def _save(self, space: Workspace, question: Question) -> dict[str, Any]:
        limit_mb = self.service.settings.max_bundle_mb
        reason = why_not_packed(space.video, limit_mb)
        path = space.save_bundle(reason is None, limit_mb)
        return {"download": player.download(path), "without_video": reason}

    # --- uploads --------------------------------------------------------------------------------------------

    def _uploads(self, session: Session, question: Question) -> list[Path]:
        paths = question.get("paths")
        if not isinstance(paths, list) or not 0 < len(paths) <= MAX_FILES:
            raise LangTrackError(f"Choose 1 to {MAX_FILES} files.")
        return [self._upload(session, path) for path in paths]

    def _upload(self, session: Session, path: Any) -> Path:
        """Check that a path is a file that a page uploaded, and no other file of the server.

        Gradio keeps uploads in ``root/<hash>/name``; other folders there belong to sessions.
        """
        root = self.service.sessions.root.resolve()
        upload = Path(str(path)).resolve()
        inside = upload.is_relative_to(root) and len(upload.relative_to(root).parts) == 2
        if not inside or upload.parent.name.startswith("session-") or not upload.is_file():
            raise LangTrackError("The file did not arrive. Choose it again.")
        session.claim_upload(upload)
        return upload


def _question(event: gr.EventData) -> dict[str, Any]:
    fields = dict(event._data) if isinstance(event._data, Mapping) else {}
    return {**fields, "do": str(fields.get("do")), "n": fields.get("n")}


def _workspace(session: Session, question: Question) -> Workspace:
    key = _text(question, "run")
    workspace = session.workspace_of(key) if key else session.workspace
    if workspace is None:
        nothing = session.workspace is None
        raise LangTrackError("Follow something first." if nothing else "That run is not here any more.")
    return workspace


def _check_shown(session: Session, question: Question) -> None:
    """Check that the page shows the run that the session does: a duplicated tab may have gone on to another.

    Raises:
        LangTrackError: it shows another one.
    """
    workspace, key = session.workspace, _text(question, "run")
    if workspace is not None and key not in ("", workspace.key):
        raise LangTrackError(
            "Another tab shows another run now. Reload this page, then open this run under “Earlier runs”."
        )


def _entry(table: Mapping[str, Any], question: Question) -> Any:
    if question["do"] not in table:
        raise LangTrackError("The page asked for something that this server does not do. Reload it.")
    return table[question["do"]]


def _done(session: Session, question: Question, answer: Mapping[str, Any]) -> Any:
    """The answer to a question that may have changed what a person has judged."""
    return _reply(question, {**answer, "work": session.work()})


def _reply(question: Question, answer: Mapping[str, Any]) -> Any:
    return gr.update(reply={**answer, "do": question["do"], "n": question["n"]})


def _refusal(question: Question, error: LangTrackError | OSError) -> Any:
    return _reply(question, {"error": unbroken(sentence_of(error))})


def _number(question: Question, name: str) -> int:
    return whole_number(question.get(name), name.capitalize())


def _text(question: Question, name: str) -> str:
    value = question.get(name)
    return value if isinstance(value, str) else ""


def _video(session: Session) -> Path | None:
    return None if session.workspace is None else session.workspace.video
