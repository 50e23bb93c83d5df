"""The player component, and the values it understands; the files of ``page/`` are its markup and program.

Its value is one JSON object, its ``state`` one of:
    empty    nothing yet: the four views explain themselves; perhaps a ``shelf``
    running  ``title``, and the fields of `Service.progress` with the picture in base64
    done     ``player_video`` (the clip's frames), ``maps`` (a file per target), ``run`` (JSON text: the
             numbers of every frame of every target, and ``time_s`` of every frame of the video, in
             seconds), ``files`` (per target), ``bundle`` (all of them, or None) and ``exports`` (of all
             targets, in formats of other tools) to download, ``outcomes``: of each target ``id``,
             ``expression``, ``frames`` of its track, ``found``, ``sure``, ``differ``, ``same``,
             ``coincidences``; ``shelf``: the earlier videos of this page, each as in `Workspace.about`
Without a job it has ``work``, see `Session.work`, as the answer to a quick question has; and it may have
``clips``, see `ClipList.state`, with ``fresh_clips`` when they have just been opened.
The page keeps ``token`` to find its session again after a reload.

Its property ``reply`` answers one question of the page, see `tool_events`; ``page`` is that of `page_data`.
The template never contains a value, so nothing from outside is ever parsed as HTML or as a template.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from langtrack_lab.exports import FORMATS
from langtrack_lab.files import plain_name

from .page_data import PAGE, page_data
from .player_video import CHUNK

LOADER = """
// Gradio gives this component an event for each name in quotes here: 'act', 'look', 'show', 'stop', 'work'.
import(props.page.program.url).then(
  ({ mount }) => mount({ element, props, trigger, upload, watch }),
  (error) => {
    element.querySelector('.lt-title').textContent = 'A part of this page did not arrive. Reload the page.';
    throw error;
  },
);
"""
"""The body of the function that Gradio calls with a new component; it starts the modules in ``page/``."""
EMPTY: dict[str, Any] = {"state": "empty"}
"""Value of the player before the first run."""
FILE_NOTES = {
    "fused.mp4": "the track to use",
    "mask.mp4": "the language branch's mask",
    "rectangle.mp4": "the rectangle around it",
    "tracker.mp4": "the tracker's box",
    "boxes.csv": "boxes, confidences and reason by frame",
    "masks.json": "all masks as COCO run lengths",
    "manifest.json": "query, settings and weights",
    "otb.txt": "boxes for OTB's toolkit",
    "lasot.txt": "boxes for LaSOT's toolkit",
    "got10k.txt": "boxes for GOT-10k's toolkit",
}
"""The note beside each download; the order is that of the list on the page."""
TARGET_FIELDS = (
    *("id", "compared", "colour", "expression", "class", "edits", "can_undo", "stale"),
    *("verdicts", "settings", "recorded", "what_if", "changed", "notes"),
)
"""Names of the entries of a target's state that the page gets, beside its columns."""

OUTCOME_FIELDS = ("id", "expression", "found", "sure", "differ", "same", "coincidences")
"""Names of the entries of a target's state that the sentence about its run uses."""


def player() -> gr.HTML:
    """The component, still empty."""
    return gr.HTML(
        EMPTY,
        html_template=(PAGE / "player.html").read_text(encoding="utf-8"),
        js_on_load=LOADER,
        apply_default_css=False,
        elem_id="player",
        label="Result",
        reply=None,
        page=page_data(),
    )


def clips_panel() -> gr.HTML:
    """The place of the list of clips, hidden; the player's program fills it."""
    return gr.HTML(
        html_template=(PAGE / "clips.html").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="clips",
        label="Clips",
    )


def running(progress: Mapping[str, Any], token: str) -> dict[str, Any]:
    """The value while a job waits or computes; ``progress`` is that of `Service.progress`."""
    picture = progress.get("picture")
    encoded = base64.b64encode(picture).decode() if picture else None
    return {**progress, "state": "running", "token": token, "picture": encoded}


def done(
    state: Mapping[str, Any], token: str, *, newest: bool = False, shelf: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The value with tracks to show; ``state`` is that of `Workspace.state`.

    Args:
        newest: show the target that came last; otherwise the one that the page shows already.
    """
    targets = state["targets"]
    video = state["video"]
    bundle = state["bundle"]
    run = {
        "key": state["key"],
        "clip": {"name": video["name"], "sha256": video["sha256"]},
        "size": [video["width"], video["height"]],
        "fps": video["fps"],
        "time_s": state["player_video"]["times_s"],
        "removed": state["removed"],
        "targets": [_numbers(target) for target in targets],
    }
    return {
        "state": "done",
        "token": token,
        "newest": newest,
        "outcomes": [
            {"frames": len(target["run"]["index"]), **{name: target[name] for name in OUTCOME_FIELDS}}
            for target in targets
        ],
        "player_video": served(state["player_video"]["file"]),
        "maps": [served(target["maps"]["file"]) for target in targets],
        "run": json.dumps(run, separators=(",", ":")),
        "files": [_downloads(target) for target in targets],
        "shelf": list(shelf),
        "bundle": None if bundle is None else download(bundle, save_as=_bundle_name(state)),
        "exports": [download(path, FORMATS[name].about) for name, path in state["exports"].items()],
    }


def download(path: Path, note: str = "", save_as: str | None = None) -> dict[str, Any]:
    """A file that the page offers for download; ``save_as`` is the name that the visitor's copy gets."""
    return {
        "name": path.name,
        "save_as": save_as or path.name,
        "note": note,
        "bytes": path.stat().st_size,
        "file": served(path),
    }


def _numbers(target: Mapping[str, Any]) -> dict[str, Any]:
    """A target as the page gets it: columns with an entry per frame of its track, and what it has once."""
    maps = target["maps"]
    width, height = maps["size"]
    frames = len(target["run"]["index"])
    layers = {"width": width, "height": height, "chunk": CHUNK, "frames": frames, "offsets": maps["offsets"]}
    return {**{name: target[name] for name in TARGET_FIELDS}, **target["run"], "map": layers}


def _downloads(target: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files of a target."""
    order = list(FILE_NOTES)
    files = sorted(target["files"], key=lambda path: order.index(path.name) if path.name in order else 99)
    stem = target["stem"]
    return [download(path, FILE_NOTES.get(path.name, ""), f"{stem}-{path.name}") for path in files]


def _bundle_name(state: Mapping[str, Any]) -> str:
    stems = [target["stem"] for target in state["targets"] if not target["compared"]]
    clip = plain_name(Path(state["video"]["name"]).stem, "clip")
    return f"langtrack-{stems[0] if len(stems) == 1 else clip + '-all'}.zip"


def served(path: Path) -> dict[str, Any]:
    """A file for the page. Gradio recognises the object by its form and gives it an address."""
    return gr.FileData(path=str(path), orig_name=path.name).model_dump()
