"""Handlers of the page's events: plain functions and generators over a `Service`, tested without a server.

Whatever takes long is two events: one checks the request, starts its job, and answers at once; `watch` then
shows the job's progress. So wrong input never waits, twenty clicks make one run, and a page that was reloaded
watches the same run again.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from langtrack_core.types import LangTrackError

from . import player
from .clips_job import OpenClipsJob, OpenRunJob
from .examples import Example
from .export_job import FormatJob
from .job import Job
from .service import Service
from .sessions import Session, is_copy
from .track_job import TrackJob
from .track_request import TrackRequest, limits_text, open_video, without_paths

MIN_SURE = 0.5
"""Mean confidence below which the sentence about a run is a warning: the track is then more likely wrong than
right."""
MIN_FOUND = 0.5
"""Share of the frames on which a target is found below which the sentence about a run is a warning: it may be
out of sight for half of a clip, or the track has failed."""
MAX_DIFFER = 0.25
"""Largest share of the found frames on which the branches may differ before the sentence about a run is a
warning. One frame in four is more than an object that turns or is half hidden explains, so a person should
look."""


class View(NamedTuple):
    """All that a run changes on the page, in the order of the events' outputs."""

    player: Any = gr.skip()
    notice: Any = gr.skip()
    run_button: Any = gr.skip()


class Form(NamedTuple):
    """The form, filled in for the visitor: by an example, or when a page comes back."""

    video: Any = gr.skip()
    text: Any = gr.skip()
    box: Any = gr.skip()
    start: Any = gr.skip()
    about: Any = gr.skip()


class PageEvents:
    """The handlers of one server; everything that belongs to one visitor is in the `Session`."""

    def __init__(self, service: Service, examples: dict[str, Example]) -> None:
        self.service = service
        self.examples = examples
        self._watching: set[tuple[str | None, int]] = set()

    # --- the form -------------------------------------------------------------------------------------------

    def inspect(self, path: str | None, request: gr.Request) -> str:
        """A line of facts about the chosen video, or the error that it has; without one, the limits."""
        if not path:
            return notice("facts", limits_text(self.service.settings))
        self.claim_upload(path, request)
        try:
            info = open_video(path, self.service.settings)
        except LangTrackError as error:
            return notice("error", str(error))
        facts = [
            f"{info.width}×{info.height}",
            f"{float(info.fps):.4g} fps",
            frames_text(info.frames_estimate),
        ]
        if info.duration_s is not None:
            facts.append(f"{info.duration_s:.1f} s")
        return notice("facts", " · ".join(facts)) + "".join(notice("warning", note) for note in info.notes)

    def take_file(self, path: str | None, request: gr.Request) -> tuple[Any, str]:
        """A file that the video field does not take: its MP4 for that field, and what there is to say."""
        session = self.claim_upload(path, request)
        try:
            video, notes = self.service.playable(path)
        except LangTrackError as error:
            session.refused = (path,)
            return gr.skip(), notice("error", without_paths(str(error)))
        session.claim_upload(video)
        return str(video), "".join(notice("warning", note) for note in notes)

    def fill_example(self, event: gr.EventData, request: gr.Request) -> Form:
        """Fill the form with an example's clip and sentence, after a click on it."""
        clips = self._session(request).clips
        if clips is not None:
            clips.video = None  # it is chosen anew, also when the form has it already
        example = self.examples.get(str(event._data.get("name")))
        if example is None:
            raise gr.Error("There is no such example.", print_exception=False)
        return Form(str(example.path), example.expression, "", 0, "")

    def is_example(self, path: str) -> bool:
        """Whether a clip is an example; Gradio hands over a copy of the file."""
        return is_copy(Path(path), [example.path for example in self.examples.values()])

    # --- a run ----------------------------------------------------------------------------------------------

    def begin(
        self,
        video: str | None,
        text: str | None,
        box: str | None,
        start: float | None,
        every: float | None,
        request: gr.Request,
    ) -> View:
        """Check the form and start the run."""
        session = self.claim_upload(video, request)

        def checked(path: str | Path | None) -> TrackRequest:
            track_request = self.service.check_request(path, text, box, start, every)
            return track_request if session.preview is None else session.preview.applied(track_request, box)

        return self.begun(session, (video, text, box, start), checked)

    def begun(
        self,
        session: Session,
        form: tuple[str | None, str | None, str | None, float | None],
        checked: Callable[[str | Path | None], TrackRequest],
    ) -> View:
        """Start a run in a new workspace and keep the one before; or say what is wrong with the request.

        Args:
            form: its video, text, box and start frame.
            checked: gets the video that the form is about.
        """
        video = form[0]
        self.service.clips.put_back(session)  # where the end of the run before has not been shown yet
        clip = self.service.clips.chosen(session, video)
        session.refused = form
        try:
            track_request = checked(video if clip is None else clip.video)
            job = self.service.follow(session, track_request, fresh=True, shelve=True, videos=clip is None)
            self.service.clips.followed(session, clip)
        except LangTrackError as error:
            return View(notice=notice("error", str(error)))
        return self.started_view(session, job)

    def watch(self, request: gr.Request) -> Iterator[View]:
        """Show the progress of the session's job until it is over.

        Nothing changes when this page watches the job already, or has its result: after a question that was
        refused, the page keeps what the visitor has drawn and typed.

        The job goes on when the watching ends. The session stops it, when its page does not come back.
        """
        session = self._session(request)
        job = session.job
        key = (request.session_hash, id(job))
        if job is None or job.delivered or key in self._watching:
            yield View()
            return
        self._watching.add(key)
        try:
            before: dict[str, Any] = {}
            while not job.wait(1.0 / self.service.settings.preview_hz):
                progress = self.service.progress(session, picture=True)
                if progress != before:
                    before = progress
                    yield View(player=player.running(progress, session.token))
            job.delivered = True
            with session.going_on:
                replaced = session.job is not job
            if replaced or job.superseded:  # the event that did that shows what is there now
                yield View(run_button=gr.skip() if replaced else gr.update(interactive=True))
                return
            self.service.clips.prepare_next(session)
            yield self.finished_view(session, job)
        finally:
            self._watching.discard(key)

    def cancel(self, request: gr.Request) -> View:
        """Stop the session's job, or take it out of the queue, and show what was done so far."""
        session = self._session(request)
        if not self.service.cancel(session):
            return View(notice=notice("warning", "The run stops as soon as its frame is done."))
        return View() if session.job is None else self.finished_view(session, session.job)

    def on_load(self, token: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Give a page that was opened or reloaded the session of its token, when that still exists."""
        session = self.service.sessions.resume(request.session_hash, token)
        if session is None and self.service.clips.folder is not None:
            session = self._session(request)
            return (*Form(), *self.started_view(session, self.service.clips.open_folder(session)))
        if session is None:
            return (*Form(), *View())
        form, job = _form_of(session), session.job
        if job is None:
            return (*form, *View())
        if not job.over:
            return (*form, *self.started_view(session, job))
        return (*form, *(self.shown_view(session) if job.superseded else self.finished_view(session, job)))

    def fill_opened(self, request: gr.Request) -> Form:
        """Fill the form with the clip and the words of a saved run that was opened."""
        session = self._session(request)
        opened = session.job is not None and session.job.kind == "open" and session.job.outcome == "done"
        return _form_of(session)._replace(box="", start=0) if opened else Form()

    def failed(self, request: gr.Request) -> View:
        """Free a page whose event has failed: it must not stay in its waiting state."""
        session = self._session(request)
        if session.job is not None:
            session.job.cancel(keep=False)
        return _ready(self.page_value(session), notice("error", "That did not work. Try again."))

    def on_unload(self, request: gr.Request) -> None:
        """Note that the tab was closed or reloaded."""
        self.service.sessions.leave(request.session_hash)

    # --- shared with the tools ------------------------------------------------------------------------------

    def claim_upload(self, path: str | None, request: gr.Request) -> Session:
        """The page's session, which owns the upload from now on."""
        session = self._session(request)
        session.claim_upload(path)
        return session

    def started_view(self, session: Session, job: Job) -> View:
        """The page while the job waits for its turn."""
        session.refused = None
        progress = self.service.progress(session)
        return View(
            player=player.running(progress, session.token),
            notice=_unknown_words(job) + _kept_work(session),
            run_button=gr.update(interactive=False),
        )

    def finished_view(self, session: Session, job: Job) -> View:
        """The page when its job is over."""
        session.refused = None
        empty = self.service.clips.put_back(session)
        value = self.page_value(session, newest=job.kind == "follow" and job.error is None and not empty)
        if isinstance(job, OpenClipsJob) and job.outcome == "done":
            value = {**value, "fresh_clips": True}
        if job.error is not None:
            text = notice("error", job.error)
        else:
            text = outcome_notice(job, value) + notice("warning", job.warning or "") + _unknown_words(job)
        return _ready(value, _of_shown(session, text) + _kept_work(session))

    def shown_view(self, session: Session) -> View:
        """The page with a run that was there already, or was changed; the last job's report is not of it."""
        session.refused = None
        if session.job is not None and session.job.over:
            session.job.superseded = True
        value = self.page_value(session)
        return View(value, _of_shown(session, tracks_notice(value)) + _kept_work(session))

    def page_value(self, session: Session, *, newest: bool = False) -> dict[str, Any]:
        """The player's value: the workspace, or nothing. ``newest`` shows the target that came last."""
        clips = {} if session.clips is None else {"clips": self.service.clips.refresh_list(session).state()}
        workspace, earlier = self.service.clips.on_page(session)
        shelf = [one.about() for one in reversed(earlier) if one.frames]
        work = {"work": session.work()}
        if workspace is not None:
            with workspace.lock:
                state = workspace.state()
                if state["targets"] and state["player_video"]:
                    return {**player.done(state, session.token, newest=newest, shelf=shelf), **clips, **work}
        return {
            **player.EMPTY,
            **clips,
            **work,
            **({"shelf": shelf, "token": session.token} if shelf or clips else {}),
        }

    def _session(self, request: gr.Request) -> Session:
        return self.service.sessions.get(request.session_hash)


def _of_shown(session: Session, text: str) -> str:
    """A message about what the page shows, hidden while it shows another run or a frame before one."""
    workspace = session.workspace
    return f'<div data-run="{"" if workspace is None else workspace.key}">{text}</div>' if text else ""


def _kept_work(session: Session) -> str:
    """Warnings about work that is not kept any more, or not for long: runs, and the shown clip's verdict."""
    clips = session.clips
    clip = None if clips is None or clips.now is None else clips.clip(clips.now)
    verdict = "" if clip is None else clip.withdrawn_text()
    return notice("warning", verdict, *session.shelf_warnings())


def _form_of(session: Session) -> Form:
    """The form with the video that the session works on, and the newest words."""
    workspace = session.workspace
    if workspace is None or workspace.video is None:
        return Form()
    texts = [target["expression"] for target in workspace.state()["targets"]]
    in_list = session.clips is not None and session.clips.now is not None
    title = session.job.title.strip("“”") if isinstance(session.job, TrackJob) else ""
    text = next((text for text in reversed(texts) if text), title)
    return Form(video=gr.skip() if in_list else str(workspace.video), text=text)


def notice(kind: str, *sentences: str, outcome: str | None = None) -> str:
    """A message as HTML; the sentences are text, whatever they contain.

    Args:
        outcome: the `outcome_key` of the target that the message is about: the player shows it with this
            target alone, and not any more when its track has changed.
    """
    about = "" if outcome is None else f' data-outcome="{outcome}"'
    role = "alert" if kind == "error" else "status"
    lines = "".join(f"<p>{html.escape(unbroken(sentence))}</p>" for sentence in sentences if sentence)
    return f'<div class="lt-notice lt-{kind}" role="{role}"{about}>{lines}</div>' if lines else ""


UNITS = r"(?<=\d) (?=(?:%|px|fps|min|s|[kMG]B)(?!\w))"
"""The space between a number and its unit."""


def unbroken(text: str) -> str:
    """A text for the page, in which no line ends between a number and its unit."""
    return re.sub(UNITS, "\u00a0", text)


def _ready(value: dict[str, Any], text: str) -> View:
    """The page when the next run may begin."""
    return View(value, text, gr.update(interactive=True))


def _unknown_words(job: Job) -> str:
    if not (isinstance(job, TrackJob) and job.unknown_words):
        return ""
    words = ", ".join(f"“{word}”" for word in job.unknown_words)
    return notice("warning", f"Words that LangTrack does not know and leaves out: {words}.")


def frames_text(count: int) -> str:
    """The number of frames, as people say it."""
    return "1 frame" if count == 1 else f"{count} frames"


def outcome_notice(job: Job, value: dict[str, Any]) -> str:
    """The message about a job that is over; ``value`` is that of the player."""
    cancelled = job.outcome == "cancelled"
    frames = job.progress.frames
    if cancelled and (frames == 0 or job.kind in ("export", "open")):
        return notice("warning", "Cancelled before the first frame." if frames == 0 else "Cancelled.")
    if cancelled:
        rest = "Nothing of it was kept." if job.aborted else "What was done until then is below."
        return notice("warning", f"Cancelled after {frames_text(frames)}. {rest}")
    if isinstance(job, FormatJob):
        return notice("good", f"“{job.title}” is ready.")
    if job.kind == "export":
        return notice("good", "The files of the track as it stands now are ready.")
    if isinstance(job, OpenClipsJob):
        return notice("good", f"{len(value['clips']['clips'])} clips are open.")
    if job.kind == "open" and value["state"] != "done":
        sentence = "This run was saved without its video, so the page cannot show it."
        return notice("warning", sentence, "Its ZIP holds the tracks (“runs”) and the verdicts (“verdicts”).")
    if job.kind == "open" and not isinstance(job, OpenRunJob):
        return notice("good", "The saved run is open.")
    return tracks_notice(value, isinstance(job, TrackJob) and bool(job.unknown_words))


def tracks_notice(value: dict[str, Any], doubtful_words: bool = False) -> str:
    """What became of each target; ``value`` is that of the player.

    Args:
        doubtful_words: some of the words were left out.
    """
    outcomes = value.get("outcomes", [])
    several = len(outcomes) > 1
    names = Counter(outcome["expression"] for outcome in outcomes)
    return "".join(
        _track_outcome(outcome, doubtful_words, several, number if names[outcome["expression"]] > 1 else None)
        for number, outcome in enumerate(outcomes, 1)
    )


def outcome_key(outcome: dict[str, Any]) -> str:
    """A text that is another one for each target and each state of its track."""
    return "-".join(str(outcome[name]) for name in ("id", "frames", "found", "differ"))


def _track_outcome(outcome: dict[str, Any], doubtful_words: bool, several: bool, number: int | None) -> str:
    """On how many frames a target was found, how sure that is, and on how many frames the branches differ.

    Args:
        number: of the target on the page, where others have the same words.
    """
    names = ("found", "frames", "differ", "sure", "same")
    visible, frames, differ, sure, same = (outcome[name] for name in names)
    name = f"“{outcome['expression']}”" if outcome["expression"] else "The object in your box"
    name = name if number is None else f"{number} {name}"
    if visible == 0:
        begin = f"{name}: not found" if several else "Not found"
        sentence = f"{begin} in any frame. Try other words, or give a box on the start frame."
        return notice("warning", sentence, outcome=outcome_key(outcome))
    begin = f"{name}: found" if several else "Found"
    sentences = [f"{begin} in {visible} of {frames_text(frames)}, on average {100 * sure:.0f} % sure."]
    if differ:
        sentences.append(f"The two branches differ on {differ} of them.")
    if same:
        sentences.append(
            f"On {frames_text(len(same))}, from frame {same[0]} on, it counts as lost: another target is on "
            "the same thing."
        )
    sentences += [
        f"From frame {entry['first']} on it is on the same thing as target {entry['number']}, "
        f"{frames_text(entry['frames'])} in all."
        for entry in outcome["coincidences"]
    ]
    doubtful = bool(doubtful_words or same or outcome["coincidences"])
    doubtful = doubtful or visible < MIN_FOUND * frames or sure < MIN_SURE or differ > MAX_DIFFER * visible
    return notice("warning" if doubtful else "good", *sentences, outcome=outcome_key(outcome))
