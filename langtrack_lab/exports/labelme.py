"""LabelMe (github.com/wkentaro/labelme): a JSON file a picture, a polygon for each region of a mask.

Polygons of one target share ``group_id``, its number, on all frames. A frame without targets has no shapes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .clip import Clip, Object
from .polygons import polygons

VERSION = "5.5.0"
"""Version of LabelMe that the files name: it reads older ones of the same major version without a warning."""


def picture(clip: Clip, frame: int) -> str:
    return f"{frame:06d}.jpg"


def write(clip: Clip, folder: Path) -> None:
    height, width = clip.size_hw
    for frame, objects in clip.each_frame():
        document: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": [shape for one in objects for shape in _shapes(clip, one)],
            "imagePath": picture(clip, frame),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (folder / f"{frame:06d}.json").write_text(text + "\n", encoding="utf-8")


def _shapes(clip: Clip, one: Object) -> list[dict[str, Any]]:
    mask = one.mask()
    return [
        {
            "label": one.label,
            "points": ring.tolist(),
            "group_id": one.track,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for ring in ([] if mask is None else polygons(mask, clip.tolerance))
    ]
