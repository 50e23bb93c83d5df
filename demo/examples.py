"""The clips to try: every NAME.mp4 in a folder that has a NAME.json beside it with its ``expression``, and
perhaps ``what_to_look_for``."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path

import cv2

from langtrack_core.types import LangTrackError
from langtrack_core.video import read_frames

POSTER_WIDTH = 320
"""Pixels of an example's picture, twice what its card shows, for screens with fine pixels."""


@dataclass(frozen=True)
class Example:
    path: Path
    expression: str
    hint: str
    """What there is to see, in a sentence; may be empty."""
    poster: bytes
    """JPEG of an early frame, at most `POSTER_WIDTH` pixels wide."""


def load_examples(folder: Path) -> dict[str, Example]:
    """By name, in alphabetical order; empty when the folder has none.

    Raises:
        LangTrackError: an example cannot be read; it names the file.
    """
    examples = {}
    for path in sorted(folder.glob("*.mp4")):
        note = path.with_suffix(".json")
        if note.is_file():
            try:
                entry = json.loads(note.read_text(encoding="utf-8"))
                expression, hint = entry["expression"], entry.get("what_to_look_for", "")
            except (json.JSONDecodeError, KeyError, TypeError):
                raise LangTrackError(f"{note} has to be a JSON object with an “expression”.") from None
            examples[path.stem] = Example(path, str(expression), str(hint), _poster(path))
    return examples


def cards(examples: dict[str, Example]) -> str:
    """HTML of one button per example; the page reports a click with the button's name."""
    return "".join(
        f'<button type="button" class="lt-card" data-name="{html.escape(name)}">'
        f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(example.poster).decode()}">'
        f"<span><b>“{html.escape(example.expression)}”</b>{html.escape(example.hint)}</span></button>"
        for name, example in examples.items()
    )


CARDS_JS = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('.lt-card');
  if (card) trigger('click', {name: card.dataset.name});
});
"""


def _poster(path: Path) -> bytes:
    frames = list(read_frames(path, max_side=POSTER_WIDTH))
    bgr = cv2.cvtColor(frames[len(frames) // 8].rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
