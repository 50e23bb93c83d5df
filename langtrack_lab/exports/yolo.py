"""YOLO labels as Ultralytics' trainers read them: a text file a picture, a line a target.

Numbers are shares of the picture's width and height. Detection: ``class cx cy w h``. Segmentation:
``class x1 y1 x2 y2 …``, one polygon a target. A picture without targets has an empty file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from langtrack_core.geometry import FloatArray, xyxy_to_cxcywh

from .clip import Clip, Object
from .polygons import one_polygon


def picture(clip: Clip, frame: int) -> str:
    return f"images/train/{frame:06d}.jpg"


def write_detection(clip: Clip, folder: Path) -> None:
    _write(clip, folder, lambda one: xyxy_to_cxcywh(one.box_xyxy).reshape(2, 2))


def write_segmentation(clip: Clip, folder: Path) -> None:
    def outline(one: Object) -> FloatArray | None:
        mask = one.mask()
        return None if mask is None else one_polygon(mask, clip.tolerance)

    _write(clip, folder, outline)


def _write(clip: Clip, folder: Path, pairs_of: Callable[[Object], FloatArray | None]) -> None:
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True)
    (folder / "images" / "train").mkdir(parents=True, exist_ok=True)
    size_wh = np.array(clip.size_hw[::-1])
    for frame, objects in clip.each_frame():
        lines = []
        for one in objects:
            pairs = pairs_of(one)
            if pairs is not None:
                lines.append(" ".join([str(one.category), *(f"{v:.6f}" for v in (pairs / size_wh).ravel())]))
        text = "".join(f"{line}\n" for line in lines)
        (labels / f"{frame:06d}.txt").write_text(text, encoding="ascii")
    names = "".join(
        f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(clip.labels)
    )
    # A trainer asks for pictures to validate on; which those are is for the user to say.
    # Without a "path" the folders are beside this file, wherever the trainer is started.
    text = f"train: images/train\nval: images/train\nnames:\n{names}"
    (folder / "data.yaml").write_text(text, encoding="utf-8")
