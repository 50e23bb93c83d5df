"""What the annotator's tools in the player ask for, and the answers.

The page sends one event with ``{"do": name, "n": number, …}``. What is quick (`act`), or looks at one frame
(`look`), is answered in the player's property ``reply`` with the same number; what takes long (`work`) goes
into the line like a run, and `PageEvents.watch` tells the rest. Everything in an event comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from langtrack_core.checks import whole_number
from langtrack_core.types import LangTrackError

from . import player
from .job import Job
from .page_events import PageEvents, View, notice
from .sessions import Session
from .workspace import Workspace

Said = Mapping[str, Any]
MAX_FILES = 5000
"""Pictures of masks that are taken at once."""


class ToolEvents:
    """The tools of one server. Every method of a name below answers one question of the page."""

    def __init__(self, events: PageEvents) -> None:
        self.events = events
        self.service = events.service
        self._acts: dict[str, Callable[[Workspace, Said], dict[str, Any]]] = {
            "verdict": self._verdict,
            "clear": self._clear,
            "queue": lambda space, said: {"queue": space.queue(_number(said, "target"))},
            "verdicts_file": self._verdicts_file,
            "load_verdicts": self._load_verdicts,
            "what_if": self._what_if,
            "rename": self._rename,
            "save": self._save,
            "truth": self._truth,
            "agreement": lambda space, said: {"agreement": space.agreement()},
        }
        self._looks: dict[str, Callable[[Session, Said], dict[str, Any]]] = {
            "words": lambda who, said: self.service.words(
                who, _number(said, "target"), _number(said, "frame")
            ),
            "regions": lambda who, said: self.service.regions(
                who, _number(said, "target"), _number(said, "frame")
            ),
        }
        self._works: dict[str, Callable[[Session, Said], Job]] = {
            "correct": self._correct,
            "add": self._add,
            "compare": self._compare,
            "export": lambda who, said: self.service.export(who, _number(said, "target")),
        }

    # --- events ---------------------------------------------------------------------------------------------

    def act(self, event: gr.EventData, request: gr.Request) -> Any:
        """Something quick with the visitor's workspace."""
        said = _said(event)
        session = self.events.sessions.get(request.session_hash)
        try:
            workspace = session.workspace
            if workspace is None:
                raise LangTrackError("Follow something first.")
            if said["do"] in ("undo", "remove"):
                return self._changed(session, workspace, said)
            if said["do"] in ("load_verdicts", "truth"):
                said = {**said, "paths": self._uploads(session, said)}
            return _reply(said, _chosen(self._acts, said)(workspace, said))
        except LangTrackError as error:
            return _reply(said, {"error": str(error)})

    def look(self, event: gr.EventData, request: gr.Request) -> Any:
        """A closer look at one frame, with the networks."""
        said = _said(event)
        session = self.events.sessions.get(request.session_hash)
        try:
            return _reply(said, _chosen(self._looks, said)(session, said))
        except LangTrackError as error:
            return _reply(said, {"error": str(error)})

    def work(self, event: gr.EventData, request: gr.Request) -> View:
        """Bring something long on its way; watching it is the next event's."""
        said = _said(event)
        session = self.events.sessions.get(request.session_hash)
        try:
            return self.events.started_view(session, _chosen(self._works, said)(session, said))
        except LangTrackError as error:
            return View(player=_reply(said, {"error": str(error)}))

    def open_saved(self, path: str | None, request: gr.Request) -> View:
        """A saved run was uploaded."""
        session = self.events.claim_upload(path, request)
        try:
            return self.events.started_view(session, self.service.open_bundle(session, Path(path or "")))
        except LangTrackError as error:
            return View(notice=notice("error", str(error)))

    # --- long -----------------------------------------------------------------------------------------------

    def _correct(self, session: Session, said: Said) -> Job:
        text = _text(said, "text")
        return self.service.correct(
            session,
            _number(said, "target"),
            _number(said, "frame"),
            text or None,
            _text(said, "box"),
            _text(said, "direction"),
        )

    def _add(self, session: Session, said: Said) -> Job:
        return self.service.follow(
            session, self._video(session), _text(said, "text"), _text(said, "box"), _number(said, "frame")
        )

    def _compare(self, session: Session, said: Said) -> Job:
        texts = said.get("texts")
        lines = [str(line) for line in texts] if isinstance(texts, list) else []
        return self.service.compare(session, self._video(session), lines)

    def _video(self, session: Session) -> str | None:
        workspace = session.workspace
        return None if workspace is None or workspace.video is None else str(workspace.video)

    # --- quick ----------------------------------------------------------------------------------------------

    def _changed(self, session: Session, workspace: Workspace, said: Said) -> Any:
        """What changes the tracks themselves gives the page its whole value anew."""
        change = {"undo": workspace.undo, "remove": workspace.remove}[said["do"]]
        change(_number(said, "target"))
        return gr.update(value=self.events.page_of(session))

    def _verdict(self, space: Workspace, said: Said) -> dict[str, Any]:
        first, last = _number(said, "first"), _number(said, "last")
        note = said.get("note")
        says = said.get("says")
        given = space.give_verdict(
            _number(said, "target"), first, last, says, None if note is None else str(note)
        )
        return {"verdicts": given}

    def _clear(self, space: Workspace, said: Said) -> dict[str, Any]:
        first, last = _number(said, "first"), _number(said, "last")
        return {"verdicts": space.clear_verdicts(_number(said, "target"), first, last)}

    def _verdicts_file(self, space: Workspace, said: Said) -> dict[str, Any]:
        return {
            "download": player.download(space.verdicts_file(_number(said, "target"), _text(said, "form")))
        }

    def _load_verdicts(self, space: Workspace, said: Said) -> dict[str, Any]:
        return {"verdicts": space.import_verdicts(_number(said, "target"), said["paths"][0])}

    def _what_if(self, space: Workspace, said: Said) -> dict[str, Any]:
        settings = said.get("settings")
        return space.what_if(_number(said, "target"), settings if isinstance(settings, dict) else None)

    def _rename(self, space: Workspace, said: Said) -> dict[str, Any]:
        space.rename(_number(said, "target"), _text(said, "name"))
        return {"name": _text(said, "name")}

    def _save(self, space: Workspace, said: Said) -> dict[str, Any]:
        with_video = space.video is not None
        return {
            "download": player.download(space.save_bundle(with_video, self.service.settings.max_bundle_mb))
        }

    def _truth(self, space: Workspace, said: Said) -> dict[str, Any]:
        return space.truth(_number(said, "target"), said["paths"])

    # --- uploads --------------------------------------------------------------------------------------------

    def _uploads(self, session: Session, said: Said) -> list[Path]:
        paths = said.get("paths")
        if not isinstance(paths, list) or not 0 < len(paths) <= MAX_FILES:
            raise LangTrackError(f"Choose 1 to {MAX_FILES} files.")
        return [self._upload(session, path) for path in paths]

    def _upload(self, session: Session, path: Any) -> Path:
        """A file that a page uploaded, and nothing else of the server: the path comes from outside.

        Gradio keeps uploads in ``root/<hash>/name``; other folders there belong to sessions.
        """
        root = self.events.sessions.root.resolve()
        upload = Path(str(path)).resolve()
        inside = upload.is_relative_to(root) and len(upload.relative_to(root).parts) == 2
        if not inside or upload.parent.name.startswith("session-") or not upload.is_file():
            raise LangTrackError("The file did not arrive. Choose it again.")
        session.own(upload)
        return upload


def _said(event: gr.EventData) -> dict[str, Any]:
    data = event._data
    said = dict(data) if isinstance(data, Mapping) else {}
    return {**said, "do": str(said.get("do")), "n": said.get("n")}


def _chosen(table: Mapping[str, Any], said: Said) -> Any:
    if said["do"] not in table:
        raise LangTrackError("The page asked for something that this server does not do. Reload it.")
    return table[said["do"]]


def _reply(said: Said, answer: Mapping[str, Any]) -> Any:
    return gr.update(reply={**answer, "do": said["do"], "n": said["n"]})


def _number(said: Said, name: str) -> int:
    return whole_number(said.get(name), name.capitalize())


def _place(said: Said) -> tuple[int, int]:
    return _number(said, "target"), _number(said, "frame")


def _text(said: Said, name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""
