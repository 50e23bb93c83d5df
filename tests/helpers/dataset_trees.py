"""Tiny data sets on disk: a few grey pictures of 12 x 16 pixels and what lies beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE_HW = (12, 16)
BOX = (2, 3, 7, 9)


def picture(path: Path) -> Path:
    return _save(path, Image.new("RGB", SIZE_HW[::-1], (90, 90, 90)))


def pictures(folder: Path, names: Iterable[str]) -> Path:
    """One picture written, the others linked to it: only names count."""
    first = None
    for name in names:
        if first is None:
            first = picture(folder / name)
        else:
            (folder / name).hardlink_to(first)
    return folder


def mask(path: Path, box: tuple[int, int, int, int] = BOX) -> Path:
    return _save(path, Image.fromarray(_filled({255: box})))


def palette(path: Path, boxes: dict[int, tuple[int, int, int, int]]) -> Path:
    """Object numbers under colours: the number is the place in the palette, not the brightness."""
    image = Image.fromarray(_filled(boxes)).convert("P")
    image.putdata(_filled(boxes).ravel().tolist())
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    return _save(path, image)


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding=encoding)
    return path


def as_json(path: Path, content: Any) -> Path:
    return text(path, json.dumps(content))


def _filled(boxes: dict[int, tuple[int, int, int, int]]) -> np.ndarray:
    values = np.zeros(SIZE_HW, np.uint8)
    for value, (x1, y1, x2, y2) in boxes.items():
        values[y1:y2, x1:x2] = value
    return values


def _save(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path
