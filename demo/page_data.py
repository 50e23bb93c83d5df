"""Facts that the page needs and Python already has: each of them is defined here or in `langtrack_core`.

The page gets it once, with the player: `page_data` for the program, `page_style` for the style sheet.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from langtrack_core.fusion import FUSION_LIMITS, Limit
from langtrack_core.run.render import Style
from langtrack_core.types import BRANCHES, MAX_CHARACTERS, Reason
from langtrack_lab.exports import FORMATS

from .annotation.redecide import Rectangle, Rule
from .job import Kind, Stage
from .track_request import MAX_EVERY

PAGE = Path(__file__).parent / "page"
"""Folder of the page's markup, style sheet and modules."""

STAGE_TEXTS: dict[Stage, str] = {
    "waiting": "Waiting for a free place",
    "opening": "Opening the clip",
    "following": "Following",
    "writing": "Writing the files",
    "stopping": "Stopping after this frame",
}
"""The text beside the progress bar for each stage of a job."""
KIND_TEXTS: dict[Kind, str] = {
    "follow": "Following",
    "correct": "Correcting",
    "compare": "Comparing",
    "export": "Making the files",
    "open": "Opening the saved run",
}
"""The text for the stage "following", for each kind of job."""

RULE_TEXTS: dict[Rule, str] = {"fused": "fusion", "language": "language", "tracker": "tracker"}
"""The labels of the rules in the tool “What if”."""
RECTANGLE_TEXTS: dict[Rectangle, str] = {"enclosing": "upright", "rotated": "rotated"}
"""The labels of the rectangles in the tool “What if”."""
SLIDERS = {
    "start": "Found at a confidence of at least",
    "look_ahead": "Found on the surest of so many frames",
    "lost": "Lost below a confidence of",
    "lost_after": "… on this many frames in a row",
    "margin": "Language is clearly better by",
    "reanchor_after": "Re-anchored after so many frames in a row",
    "distrust_rate": "Distrust of a contradicted tracker",
    "overlap": "Overlap at which the branches agree",
    "every": "Language branch runs every … frames",
}
"""Labels of the sliders for what-if settings, in the order of the page."""
SLIDER_LIMITS = {**FUSION_LIMITS, "every": Limit(1, MAX_EVERY, 1)}
"""Lowest value, highest value and step of each slider."""


def page_data() -> dict[str, Any]:
    """The facts that the program of the page uses, as one JSON object."""
    style = Style()
    return {
        "program": gr.FileData(path="main.js", url=f"{program_path()}/main.js").model_dump(),
        "colours": {"language": style.language_rgb, "tracker": style.tracker_rgb},
        "settings": _settings(),
        "reasons": {reason.value: reason.text for reason in Reason},
        "stages": STAGE_TEXTS,
        "kinds": KIND_TEXTS,
        "max_characters": MAX_CHARACTERS,
        "formats": {name: form.about for name, form in FORMATS.items()},
    }


def page_style() -> str:
    """The style sheet, with the colours of the branches as variables."""
    colours = "".join(f" --lt-{branch}: rgb{Style().colour(branch)};" for branch in BRANCHES)
    return f":root {{{colours} }}\n" + (PAGE / "style.css").read_text(encoding="utf-8")


def program_path() -> str:
    """The address of ``page/`` on the server, which changes with its content.

    A browser caches modules by their addresses, so after an upgrade the addresses have to be new. The
    modules import each other by relative addresses, so the new path holds for all of them.
    """
    content = b"".join(path.read_bytes() for path in sorted(PAGE.glob("*.js")))
    return f"/page-{hashlib.sha256(content).hexdigest()[:12]}"


def program_route() -> Route:
    """The route that serves the modules, for ``app_kwargs``. A `Mount` fails behind a proxy's path."""
    files = StaticFiles(directory=PAGE)

    async def module(request: Request) -> Response:
        return await files.get_response(request.path_params["name"], request.scope)

    return Route(f"{program_path()}/{{name}}", module)


def _settings() -> list[dict[str, Any]]:
    """The what-if settings in the order of the page: ``name``, ``label``, and ``choices`` or the limits."""
    return [
        {"name": "rule", "label": "Believe", "choices": RULE_TEXTS},
        {"name": "rectangle", "label": "Rectangle", "choices": RECTANGLE_TEXTS},
        *({"name": name, "label": label, **SLIDER_LIMITS[name]._asdict()} for name, label in SLIDERS.items()),
    ]
