"""The page: its components, and which event calls which handler."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr

from langtrack_core.types import MAX_CHARACTERS, LangTrackError

from .api import Api
from .examples import CARDS_JS, Example, cards, load_examples
from .page_data import page_style, program_route
from .page_events import PageEvents, notice
from .player import clips_panel, player
from .preview_events import PreviewEvents, preview_panel
from .service import Service
from .sessions import Sessions
from .settings import Settings
from .theme import theme
from .tool_events import ToolEvents
from .track_request import MAX_EVERY, limits_text

if TYPE_CHECKING:
    from langtrack_core.pipeline import LangTracker

HEADER = """
<div class="lt-top">
  <svg viewBox="0 0 44 44" aria-hidden="true">
    <path stroke="currentColor" d="M4 14V7a3 3 0 0 1 3-3h7 M30 4h7a3 3 0 0 1 3 3v7
      M40 30v7a3 3 0 0 1-3 3h-7 M14 40H7a3 3 0 0 1-3-3v-7"/>
    <path stroke="var(--lt-amber)" d="M13 17h18M13 23h13M13 29h8"/>
  </svg>
  <div><h1>LangTrack</h1>
  <p>Say what to follow in your own words, and LangTrack follows it through the video: <b>mask, box, and why,
  frame by frame</b>.</p></div>
</div>
"""
"""The head of the page: a viewfinder around lines of text, the name, and what LangTrack does."""


def _with_gradio_errors(call: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors in an API call into Gradio's: a sentence for the caller, no traceback in the log."""
    if inspect.isgeneratorfunction(call):

        @functools.wraps(call)
        def generator(*values: Any) -> Iterator[Any]:
            try:
                yield from call(*values)
            except LangTrackError as error:
                raise gr.Error(str(error), print_exception=False) from None

        return generator

    @functools.wraps(call)
    def function(*values: Any) -> Any:
        try:
            return call(*values)
        except LangTrackError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return function


TOKEN_JS = "() => { try { return [sessionStorage.getItem('langtrack') || ''] } catch { return [''] } }"
"""JavaScript that reads the session's token from the tab's memory: a reloaded page finds its session. Some
browsers let a page keep nothing."""


def _refuse_addresses(video: gr.Video) -> None:
    """Let a video component take uploads only: Gradio would fetch any web address that an API caller sends.

    The method is replaced on the instance, because Gradio writes a stub file beside every module that has a
    component class.
    """
    move = video.async_move_resource_to_block_cache

    async def move_upload(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise gr.Error("Upload the video itself; addresses are not fetched.", print_exception=False)
        return await move(path)

    video.async_move_resource_to_block_cache = move_upload  # type: ignore[method-assign, assignment]


API_EXAMPLES: dict[str, Any] = {
    "video": {"path": "clip.mp4", "orig_name": "clip.mp4", "meta": {"_type": "gradio.FileData"}},
    "text": "the red car",
    "box": "",
    "run": "the id that submit gave",
}
"""Values in the snippets of *Use via API*. Gradio's own ones are refused here: the address of a video, and
"Hello!!" for a box."""


def _show_in_snippets(component: Any, name: str) -> None:
    """Replaced on the instance, for the reason that `_refuse_addresses` has."""
    component.example_payload = lambda: API_EXAMPLES[name]


class _FilesInUse:
    """The files of all sessions, listed anew whenever Gradio asks what to keep."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def __iter__(self) -> Iterator[str]:
        return iter(self._sessions.files_in_use())


def _keep_files_in_use(component: Any, sessions: Sessions) -> None:
    """Let Gradio delete nothing that a session uses.

    Its ``delete_cache`` goes by the age of a file alone, and a page may be used for longer than that. A
    session deletes its own files when it ends, so ``delete_cache`` is for what no session knows: uploads of a
    page that was closed at once, or of a call of the API that was refused. Gradio asks each component at each
    deletion.
    """
    component.keep_in_cache = _FilesInUse(sessions)


class FormParts(NamedTuple):
    """The components of the left column."""

    video: gr.Video
    other: gr.UploadButton
    about: gr.HTML
    text: gr.Textbox
    run: gr.Button
    notice: gr.HTML
    examples: gr.HTML | None
    box: gr.Textbox
    start: gr.Number
    every: gr.Slider
    open_saved: gr.UploadButton

    @property
    def request(self) -> list[Any]:
        """The components with the arguments of `check_request`, in their order."""
        return [self.video, self.text, self.box, self.start, self.every]


def build_app(
    tracker: LangTracker,
    settings: Settings,
    root: Path,
    examples_dir: Path,
    clips_folder: Path | None = None,
) -> tuple[gr.Blocks, Service]:
    """Build the page and the service behind it.

    Args:
        tracker: shared by all visitors; its `track_all` keeps all state of a run in the run.
        root: folder for the files that visitors upload and runs write. It has to be (below) Gradio's upload
            folder, which the variable GRADIO_TEMP_DIR names.
        examples_dir: folder for `load_examples`.
        clips_folder: a folder of clips that every page begins with.
    """
    examples = load_examples(examples_dir)
    keep_s = int(settings.keep_hours * 3600)
    service = Service(tracker, settings, root, clips_folder, [one.path for one in examples.values()])
    with gr.Blocks(
        title="LangTrack", analytics_enabled=False, fill_width=True, delete_cache=(min(600, keep_s), keep_s)
    ) as page:
        gr.HTML(HEADER, apply_default_css=False, elem_id="top")
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=300, elem_id="ask"):
                clips_panel()
                form = _form(examples, notice("facts", limits_text(settings)))
            with gr.Column(scale=3, min_width=320, elem_id="result"):
                before = preview_panel()
                stage = player()
                _keep_files_in_use(stage, service.sessions)
        events = PageEvents(service, examples)
        starts = _connect_preview(form, before, stage, PreviewEvents(events), settings)
        _connect_page(page, form, stage, events, settings, starts)
        _connect_api(form, Api(service))
    # Gradio's own queue is for short calls; runs are refused by the service's, in words of its own.
    page.queue(max_size=10 * settings.queue_size, default_concurrency_limit=8)
    return page, service


def _form(examples: dict[str, Example], limits: str) -> FormParts:
    # Without Gradio's label, which lies over the picture.
    video = gr.Video(label="Video", show_label=False, sources=["upload"], height=230, elem_id="video")
    _refuse_addresses(video)
    other = gr.UploadButton(
        "Pictures, a ZIP of frames, another video", size="sm", variant="secondary", elem_id="other"
    )
    about = gr.HTML(limits, elem_id="about", apply_default_css=False)
    text = gr.Textbox(
        label="What to follow",
        info=f"In English, up to {MAX_CHARACTERS} characters.",
        placeholder="the white car on the left",
        max_length=MAX_CHARACTERS,
        lines=1,
        elem_id="text",
    )
    run = gr.Button("Follow it", variant="primary", elem_id="run")
    notice = gr.HTML(elem_id="notice", apply_default_css=False)
    shelf = _example_shelf(examples)
    with gr.Accordion("More: a box, a start frame, speed", open=False, elem_id="more"):
        box = gr.Textbox(
            label="Box on the start frame, x1,y1,x2,y2",
            info="In pixels. Alone it starts the tracker; with words it says which one is meant.",
            value="",
            placeholder="120,80,260,190",
            max_length=100,
            elem_id="box",
        )
        start = gr.Number(label="Start frame", value=0, precision=0, minimum=0, elem_id="start")
        every = gr.Slider(
            1,
            MAX_EVERY,
            value=1,
            step=1,
            label="Read the words every … frames",
            info="Larger is faster; the tracker still sees every frame.",
            elem_id="every",
        )
    open_saved = gr.UploadButton(
        "Open a saved run", file_types=[".zip"], size="sm", variant="secondary", elem_id="open"
    )
    return FormParts(video, other, about, text, run, notice, shelf, box, start, every, open_saved)


def _connect_preview(
    form: FormParts, before: gr.HTML, stage: gr.HTML, events: PreviewEvents, settings: Settings
) -> list[Any]:
    """Connect the look at a frame before a run; returns the events that start a run."""
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    look: dict[str, Any] = {
        **private,
        "trigger_mode": "always_last",
        "concurrency_limit": settings.concurrency,
    }
    inputs, outputs = (
        [form.video, form.text, form.box, form.start],
        [before, form.box, form.notice, form.start],
    )
    video_event = form.video.change(events.on_video, inputs, outputs, **look)
    video_event.success(events.warm_up, None, None, concurrency_limit=settings.concurrency, **private)
    form.text.change(events.on_text, inputs, outputs, **look)
    gr.on([form.box.input, form.start.change], events.on_place, inputs, outputs, **look)
    before.choose(events.choose, None, form.box, queue=False, **private)
    before.seek(events.seek, None, form.start, queue=False, **private)
    before.back(events.back, None, form.notice, queue=False, **private)
    view = [stage, form.notice, form.run]
    return [
        before.follow(events.follow, form.request, view, queue=False, **private),
        before.all(events.follow_all, form.request, view, queue=False, **private),
    ]


def _connect_page(
    page: gr.Blocks,
    form: FormParts,
    stage: gr.HTML,
    events: PageEvents,
    settings: Settings,
    starts: Sequence[Any],
) -> None:
    """Connect every event of the page with its handler.

    Args:
        starts: further events that start a run.
    """
    tools = ToolEvents(events)
    token = gr.Textbox(visible=False)
    view: list[Any] = [stage, form.notice, form.run]
    form_fields: list[Any] = [form.video, form.text, form.box, form.start, form.about]
    private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    quick: dict[str, Any] = {**private, "queue": False}
    form.video.change(events.inspect, form.video, form.about, **quick)
    form.other.upload(events.take_file, form.other, [form.video, form.notice], **private)
    starts = [
        *starts,
        gr.on([form.run.click, form.text.submit], events.begin, form.request, view, **quick),
        stage.work(tools.work, None, view, **quick),
        stage.show(tools.show, None, view, trigger_mode="multiple", **quick),  # who goes on fast is heard
        page.load(events.on_load, token, [*form_fields, *view], js=TOKEN_JS, **quick),
    ]
    opened = form.open_saved.upload(tools.open_saved, form.open_saved, view, **quick)
    starts.append(opened)
    if form.examples is not None:
        example = form.examples.click(events.fill_example, None, form_fields, **quick)
        starts.append(example.success(events.begin, form.request, view, **quick))
    for start in starts:
        watch = start.success(
            events.watch, None, view, trigger_mode="multiple", concurrency_limit=None, **private
        )
        watch.failure(events.failed, None, view, **quick)
        if start is opened:
            watch.success(events.fill_opened, None, form_fields, **quick)
    stage.act(tools.act, None, stage, trigger_mode="multiple", **quick)
    stage.look(
        tools.look, None, stage, trigger_mode="multiple", concurrency_limit=settings.concurrency, **private
    )
    stage.stop(events.cancel, None, view, api_name="stop", **quick)
    page.unload(events.on_unload)


def _connect_api(form: FormParts, api: Api) -> None:
    """Offer the API. Gradio needs a component for every value of a call, so these are invisible ones."""
    report = gr.JSON(label="Report", visible=False)
    archive = gr.File(label="Files of the run, ZIP", visible=False)
    run_id = gr.Textbox(label="Run", visible=False)
    call = gr.Button(visible=False)
    for name, component in (("video", form.video), ("text", form.text), ("box", form.box), ("run", run_id)):
        _show_in_snippets(component, name)
    for endpoint, inputs, outputs in (
        (api.track, form.request, [report, archive]),
        (api.submit, form.request, report),
        (api.progress, run_id, report),
        (api.cancel, run_id, report),
        (api.results, run_id, [report, archive]),
    ):
        call.click(
            _with_gradio_errors(endpoint),
            inputs,
            outputs,
            api_name=endpoint.__name__,
            concurrency_limit=None,
            show_progress="hidden",
        )


def launch_options(settings: Settings, examples_dir: Path) -> Mapping[str, Any]:
    """Arguments of `Blocks.launch` that every server of this page needs."""
    return {
        "theme": theme(),
        # In the head, not as css=: Gradio rewrites that and loses the container queries.
        "head": f"<style>{page_style()}</style>",
        "max_file_size": f"{settings.max_file_mb}mb",
        "allowed_paths": [str(examples_dir)],
        "app_kwargs": {"routes": [program_route()]},
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        # Whoever waits for a run holds a thread; Gradio's own number is what is left for everybody else.
        "max_threads": 40 + settings.queue_size + settings.concurrency,
        "state_session_capacity": 200,  # pages, open or closed, whose last values Gradio remembers
        "show_error": False,
        "footer_links": ["api"],
        "ssr_mode": False,
    }


def _example_shelf(examples: dict[str, Example]) -> gr.HTML | None:
    if not examples:
        return None
    return gr.HTML(
        cards(examples),
        html_template=(
            '<p class="lt-cards-title">Or try a scene (rendered, not filmed; the README has figures on real '
            'film):</p><div class="lt-cards">${value}</div>'
        ),
        js_on_load=CARDS_JS,
        apply_default_css=False,
        elem_id="examples",
    )
