"""The player component, and the values it understands; the files of ``page/`` are its markup and program.

A value is one JSON object, its ``state`` one of:
    empty    nothing yet: the four views explain themselves
    running  ``title``, and a `Progress` as plain fields with the picture in base64
    done     ``title``, ``film`` (the clip's frames), ``maps`` (a file per target), ``run`` (JSON text: the
             numbers of every frame), ``files`` and ``bundle`` to download

The template never contains a value, so nothing from outside is ever parsed as HTML or as a template.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from .film import CHUNK
from .jobs import Progress, Result
from .task import Task

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("film", "maps", "paint", "timeline", "tools", "judge", "keys", "server")
"""One program in parts, joined in this order into the body of one function."""
EMPTY: dict[str, Any] = {"state": "empty"}
FILE_NOTES = {
    "fused.mp4": "the track to use",
    "mask.mp4": "the language branch's mask",
    "rectangle.mp4": "its smallest rectangle",
    "siammask.mp4": "the tracker's box",
    "boxes.csv": "per frame: boxes, confidences, why",
    "masks.json": "all masks, COCO run lengths",
    "manifest.json": "what was run, with which weights",
    "otb.txt": "boxes for OTB's toolkit",
    "lasot.txt": "boxes for LaSOT's toolkit",
    "got10k.txt": "boxes for GOT-10k's toolkit",
}
"""What stands beside each download, in the order of the list."""


def player() -> gr.HTML:
    return gr.HTML(
        EMPTY,
        html_template=(PAGE / "player.html").read_text(encoding="utf-8"),
        js_on_load="\n".join((PAGE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
        apply_default_css=False,
        elem_id="player",
        label="Result",
    )


def waiting(task: Task) -> dict[str, Any]:
    """The run stands in line."""
    return {"state": "running", "title": title(task), "stage": "waiting", "frames": 0, "total": None}


def running(task: Task, progress: Progress) -> dict[str, Any]:
    picture = base64.b64encode(progress.picture).decode() if progress.picture else None
    return {
        "state": "running",
        "title": title(task),
        "stage": progress.stage,
        "frames": progress.frames,
        "total": progress.total,
        "fps": progress.fps,
        "left_s": progress.left_s,
        "picture": picture,
    }


def done(task: Task, result: Result) -> dict[str, Any]:
    return {
        "state": "done",
        "title": title(task),
        "film": _served(result.film),
        "maps": [_served(result.maps.path)],
        "run": json.dumps(_numbers(task, result), separators=(",", ":")),
        "files": [_download(path) for path in sorted(result.files, key=_place)],
        "bundle": _download(result.bundle),
    }


def _numbers(task: Task, result: Result) -> dict[str, Any]:
    """What the page knows of each frame, see `film.js`: lists as long as the film, or as a target's run."""
    columns = asdict(result.timeline)
    index, time_s = columns.pop("index"), columns.pop("time_s")
    width, height = result.maps.size_wh
    maps = {"width": width, "height": height, "chunk": CHUNK, "frames": len(index)}
    target = {"name": task.query.text or "the object in your box", "from": 0, **columns}
    return {
        "version": result.maps.path.parent.name,
        "size": [task.info.width, task.info.height],
        "fps": float(task.info.fps),
        "index": index,
        "time_s": time_s,
        "targets": [{**target, "map": {**maps, "offsets": result.maps.offsets}}],
    }


def _place(path: Path) -> int:
    return list(FILE_NOTES).index(path.name) if path.name in FILE_NOTES else len(FILE_NOTES)


def _download(path: Path) -> dict[str, Any]:
    note = FILE_NOTES.get(path.name, "")
    return {"name": path.name, "note": note, "bytes": path.stat().st_size, "file": _served(path)}


def _served(path: Path) -> dict[str, Any]:
    """Gradio knows such an object by its form and gives it an address on the way out."""
    return gr.FileData(path=str(path), orig_name=path.name).model_dump()


def title(task: Task) -> str:
    return f"“{task.query.text}”" if task.query.text else "The object in your box"
