"""Files about a whole batch: one index, and on request the annotation formats of COCO and YOLO."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from langtrack_core.files import replacing_folder
from langtrack_core.geometry import xyxy_to_cxcywh, xyxy_to_xywh

from ..files import text_file, write_text
from ..runs import Run, read_run
from .ledger import Entry
from .manifest import Item

INDEX_COLUMNS = (
    *("id", "status", "reason", "video", "expression", "box", "start"),
    *("frames", "tracking", "searching", "lost", "seconds", "attempts", "run"),
)
"""Columns of ``index.csv``, the table of a whole batch."""


def write_index(path: Path, items: Iterable[Item], entries: Mapping[str, Entry]) -> None:
    """A CSV row for every item of the manifest, in its order; items that are not done yet are "pending"."""
    with text_file(path) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(INDEX_COLUMNS)
        for item in items:
            entry = entries.get(item.id)
            box = "" if item.box is None else ",".join(f"{v:g}" for v in item.box)
            query = [item.video, item.expression or "", box, item.start]
            if entry is None:
                table.writerow([item.id, "pending", "", *query, 0, 0, 0, 0, 0, 0, ""])
                continue
            states = [entry.states.get(state, 0) for state in ("tracking", "searching", "lost")]
            run = f"runs/{item.id}" if entry.status == "done" else ""
            result = [entry.frames, *states, entry.seconds, entry.attempts, run]
            table.writerow([item.id, entry.status, entry.reason, *query, *result])


def write_coco_video(path: Path, items: Iterable[Item], runs: Path) -> None:
    """One JSON in the form of COCO for videos, as YouTube-VIS has it (Yang et al., ICCV 2019).

    A video is an item, with one annotation: ``segmentations`` (COCO RLE), ``bboxes`` (x, y, w, h) and
    ``areas`` of the fused track, one a frame, null where the target is absent; ``expression`` beside it.
    ``file_names`` are frames as ``<video>/<frame>.jpg``: the pictures themselves are not written.
    """
    with text_file(path) as stream:
        stream.write('{"info": {"description": "LangTrack"}, "categories": [{"id": 1, "name": "object"}],\n')
        stream.write('"videos": [')
        items = list(items)
        for number, item in enumerate(items, 1):
            run = read_run(runs / item.id)
            stream.write((",\n" if number > 1 else "\n") + json.dumps(_coco_video(number, item, run)))
        stream.write('\n],\n"annotations": [')
        for number, item in enumerate(items, 1):
            run = read_run(runs / item.id)
            stream.write((",\n" if number > 1 else "\n") + json.dumps(_coco_track(number, item, run)))
        stream.write("\n]}\n")


def _coco_video(number: int, item: Item, run: Run) -> dict[str, Any]:
    video = run.manifest["video"]
    stem = Path(item.video).stem
    return {
        "id": number,
        "name": item.id,
        "width": video["width"],
        "height": video["height"],
        "length": len(run.rows),
        "file_names": [f"{stem}/{row.frame:06d}.jpg" for row in run.rows],
    }


def _coco_track(number: int, item: Item, run: Run) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {"segmentations": [], "bboxes": [], "areas": []}
    for row in run.rows:
        encoded = run.masks.get(row.frame, {}).get("fused")
        cells: tuple[Any, Any, Any] = (None, None, None)
        if row.fused.box_xyxy is not None and encoded is not None:
            area = coco_mask.area(encoded)
            box = [round(float(v), 3) for v in xyxy_to_xywh(row.fused.box_xyxy)]
            cells = (encoded, box, int(area))
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    video = run.manifest["video"]
    return {
        "id": number,
        "video_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "width": video["width"],
        "height": video["height"],
        "length": len(run.rows),
        "expression": item.expression,
        **columns,
    }


def write_yolo(folder: Path, items: Iterable[Item], runs: Path) -> None:
    """YOLO labels: ``labels/<id>/<frame>.txt`` with ``class cx cy w h`` as shares of the picture.

    A class for every expression, in the order of the manifest, listed in ``classes.txt``; an empty file where
    the target is absent, as YOLO has it for pictures without objects.
    """
    names: dict[str, int] = {}
    with replacing_folder(folder) as partial:
        for item in items:
            run = read_run(runs / item.id)
            number = names.setdefault(" ".join((item.expression or "object").split()), len(names))
            labels = partial / "labels" / item.id
            labels.mkdir(parents=True)
            size_wh = np.array([run.manifest["video"]["width"], run.manifest["video"]["height"]] * 2)
            for row in run.rows:
                line = ""
                if row.fused.box_xyxy is not None:
                    shares = np.clip(xyxy_to_cxcywh(row.fused.box_xyxy) / size_wh, 0, 1)
                    line = " ".join([str(number), *(f"{share:.6f}" for share in shares)]) + "\n"
                (labels / f"{row.frame:06d}.txt").write_text(line, encoding="ascii")
        write_text(partial / "classes.txt", "".join(f"{name}\n" for name in names))
