"""Answers to the page's questions about a list of clips; see `tool_events` for how questions come."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from langtrack_core.types import LangTrackError
from langtrack_lab.files import explained, plain_name, write_text

from . import player
from .annotation.checks import whole_number
from .annotation.clips import read_result
from .clip_service import ClipService
from .job import Job
from .sessions import Session

Question = Mapping[str, Any]
MAX_RESULT_BYTES = 100_000_000
"""Size in bytes of the largest result that is read: thousands of clips with verdicts on their frames."""


class ClipEvents:
    """The list of clips of one server's visitors.

    Args:
        uploads: checks the paths in a question and returns them.

    Attributes:
        acts: quick questions, by name.
        works: questions that begin a job, or show at once what is there already (None).
    """

    def __init__(self, service: ClipService, uploads: Callable[[Session, Question], list[Path]]) -> None:
        self.service = service
        self._uploads = uploads
        self.acts: dict[str, Callable[[Session, Question], dict[str, Any]]] = {
            "clip_verdict": self._verdict,
            "clips_file": self._file,
            "load_clips": self._load,
        }
        self.works: dict[str, Callable[[Session, Question], Job | None]] = {
            "open_clips": self._open_list,
            "open_clip": self._open,
        }

    def _open_list(self, session: Session, question: Question) -> Job:
        paths, names = self._uploads(session, question), question.get("names")
        if not isinstance(names, Sequence) or len(names) != len(paths):
            raise LangTrackError("The files did not arrive. Choose them again.")
        return self.service.open_list(
            session, [(str(name), path) for name, path in zip(names, paths, strict=True)]
        )

    def _open(self, session: Session, question: Question) -> Job | None:
        clips, text = self.service.refresh_list(session), question.get("text")
        if "index" in question:
            index = whole_number(question["index"], "The clip")
        elif question.get("first") and clips.now is not None:  # the page got its new list twice
            index = clips.now
        else:
            step: Literal[-1, 1] = -1 if question.get("step") == -1 else 1
            unjudged = question.get("unjudged") is True
            index = clips.neighbour(step, question.get("filter"), unjudged=unjudged)
            clips.way = step, question.get("filter")
        return self.service.show(session, index, text if isinstance(text, str) else "")

    def _verdict(self, session: Session, question: Question) -> dict[str, Any]:
        clips = self.service.judge(session, question.get("index"), question.get("verdict"))
        return {"clips": clips.state()}

    def _file(self, session: Session, question: Question) -> dict[str, Any]:
        clips, form = self.service.refresh_list(session), question.get("form")
        if form not in ("json", "csv"):
            raise LangTrackError(f"A result is saved as json or csv, not as {form!r:.20}.")
        path = session.folder / f"langtrack-clips-{plain_name(clips.name, 'list')}.{form}"
        text = json.dumps(clips.to_json(), indent=1, ensure_ascii=False)
        with explained(f"{path.name} cannot be written"):
            write_text(path, text if form == "json" else clips.to_csv())
        clips.note_written()
        return {"download": player.download(path), "clips": clips.state()}

    def _load(self, session: Session, question: Question) -> dict[str, Any]:
        clips, (path, *_) = self.service.refresh_list(session), self._uploads(session, question)
        if path.stat().st_size > MAX_RESULT_BYTES:
            raise LangTrackError("The file is too large for a result; at most 100 MB are read.")
        count = clips.go_on_from(read_result(path))
        clips.save()
        self.service.hand_on(session)
        return {"clips": clips.state(), "taken": count}
