"""The clips to try: every NAME.mp4 in a folder that has a NAME.json beside it with its ``expression``, and
perhaps ``what_to_look_for`` and ``rendered``."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from langtrack_core.types import LangTrackError
from langtrack_core.video import read_frames
from langtrack_core.video.pictures import RGB

RENDERED = '<i class="lt-rendered">rendered scene</i>'
"""The label on the picture of a card whose scene was not filmed."""
POSTER_WIDTH = 320
"""Width in pixels of an example's picture: twice what its card shows, for screens with fine pixels."""


@dataclass(frozen=True)
class Example:
    """A clip to try, with the sentence that is followed in it."""

    path: Path
    expression: str
    hint: str
    """What there is to see, in a sentence; may be empty."""
    poster: bytes
    """JPEG of an early frame, at most `POSTER_WIDTH` pixels wide."""
    rendered: bool = False
    """Whether the card says that a program drew the scene, and no camera filmed it."""


def load_examples(folder: Path) -> dict[str, Example]:
    """Read the examples of a folder: by name, in alphabetical order, empty when there are none.

    Raises:
        LangTrackError: an example cannot be read; it names the file.
    """
    examples = {}
    for path in sorted(folder.glob("*.mp4")):
        description = path.with_suffix(".json")
        if description.is_file():
            try:
                entry = json.loads(description.read_text(encoding="utf-8"))
                expression, hint = entry["expression"], entry.get("what_to_look_for", "")
            except (json.JSONDecodeError, KeyError, TypeError):
                raise LangTrackError(f"{description} has to be a JSON object with an “expression”.") from None
            rendered = entry.get("rendered") is True
            examples[path.stem] = Example(path, str(expression), str(hint), _poster(path), rendered)
    return examples


def cards(examples: dict[str, Example]) -> str:
    """HTML of one button per example; the page reports a click with the button's name."""
    return "".join(
        f'<button type="button" class="lt-card" data-name="{html.escape(name)}">'
        f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(example.poster).decode()}">'
        f"{RENDERED if example.rendered else ''}"
        f"<span><b>“{html.escape(example.expression)}”</b>{html.escape(example.hint)}</span></button>"
        for name, example in examples.items()
    )


CARDS_JS = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('.lt-card');
  if (card) trigger('click', {name: card.dataset.name});
});
"""
"""The program of the examples' component: it reports which card was clicked."""


def _poster(path: Path) -> bytes:
    """The picture after an eighth of the clip: the object is in view by then."""
    pictures = [_poster_sized(frame.rgb) for frame in read_frames(path)]
    bgr = cv2.cvtColor(pictures[len(pictures) // 8], cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _poster_sized(rgb: RGB) -> RGB:
    height, width = rgb.shape[:2]
    scale = min(1.0, POSTER_WIDTH / width)
    size_wh = round(width * scale), round(height * scale)
    return cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
