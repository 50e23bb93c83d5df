"""The list of what to follow in which video: CSV or JSON Lines, one item a line.

| field | content |
|---|---|
| ``video`` | path of a video file or a folder of frames; relative to the manifest |
| ``expression`` | what to follow; may be empty when there is a box |
| ``box`` | ``x1,y1,x2,y2`` on the first frame, in pixels; optional |
| ``start`` | first frame, from 0; optional |
| ``id`` | name of the item's run folder; optional, made from the other fields when missing |
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langtrack_core.files import plain_name
from langtrack_core.types import LangTrackError, Query

FIELDS = ("video", "expression", "box", "start", "id")
"""The columns of a CSV manifest, and the keys of a line of JSON."""

_ID = re.compile(  # fit for a folder's name on every file system
    r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a manifest.

    Attributes:
        id: name of the run folder, unique in the manifest.
        video: absolute path, as text.
        box: x1, y1, x2, y2 in pixels.
    """

    id: str
    video: str
    expression: str | None
    box: tuple[float, ...] | None
    start: int

    def query(self) -> Query:
        return Query(self.expression, None if self.box is None else self.box, self.start)  # type: ignore[arg-type]


def read_manifest(path: Path) -> list[Item]:
    """All items, in order.

    The videos are opened only when their turn comes, so that a bad video fails alone. A line that cannot be
    understood stops everything, since nothing has been done yet.

    Raises:
        LangTrackError: a missing or empty file, an unknown column, a line that says nothing to follow, two
            lines that ask the same; the line is named.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise LangTrackError(f"{path} is neither .csv nor .jsonl: a manifest is CSV or JSON Lines.")
    items: list[Item] = []
    line_of_id: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = _csv_lines(stream, path) if path.suffix.lower() == ".csv" else _json_lines(stream, path)
            for number, cells in lines:
                try:
                    item = _item(cells, path.resolve().parent)
                except (LangTrackError, ValueError) as error:
                    raise LangTrackError(f"{path}, line {number}: {error}") from error
                # Folders that differ in case alone are one folder on some file systems.
                if (first := line_of_id.setdefault(item.id.lower(), number)) != number:
                    raise LangTrackError(
                        f"{path}, line {number}: the same item as line {first}; "
                        "ask each thing once, or give each line its own id."
                    )
                items.append(item)
    except (OSError, UnicodeDecodeError) as error:
        raise LangTrackError(f"{path} cannot be read: {error}.") from error
    if not items:
        raise LangTrackError(f"{path} lists nothing: expected a line for each video.")
    return items


def _csv_lines(stream: Any, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    table = csv.DictReader(stream)
    _known(table.fieldnames or (), f"{path}, line 1")
    if "video" not in (table.fieldnames or ()):
        raise LangTrackError(f"{path}, line 1: expected a header with the columns {', '.join(FIELDS)}.")
    try:
        for cells in table:
            if None in cells or None in cells.values():
                raise LangTrackError(
                    f"{path}, line {table.line_num}: expected {len(table.fieldnames or ())} cells; "
                    'a cell with commas, as a box has, needs quotes ("10,20,50,60").'
                )
            yield table.line_num, cells
    except csv.Error as error:
        raise LangTrackError(f"{path}, line {table.line_num}: not CSV ({error}).") from error


def _json_lines(stream: Any, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except ValueError as error:
            raise LangTrackError(f"{path}, line {number}: not JSON ({error}).") from error
        if not isinstance(cells, dict):
            raise LangTrackError(f"{path}, line {number}: expected an object with {', '.join(FIELDS)}.")
        _known(cells, f"{path}, line {number}")
        yield number, cells


def _known(names: Any, where: str) -> None:
    unknown = [str(name) for name in names if name not in FIELDS]
    if unknown:
        raise LangTrackError(f"{where}: unknown field {', '.join(unknown)}; known are {', '.join(FIELDS)}.")


def _item(cells: dict[str, Any], folder: Path) -> Item:
    video = cells.get("video")
    if not isinstance(video, str) or not video.strip():
        raise LangTrackError(f"video must be a path, got {video!r}.")
    expression = cells.get("expression") or None
    if expression is not None and not isinstance(expression, str):
        raise LangTrackError(f"expression must be text, got {expression!r}.")
    box = _box(cells.get("box"))
    start = cells.get("start")
    start = 0 if start in (None, "") else start
    if isinstance(start, bool) or not re.fullmatch(r"\d{1,9}", str(start)):
        raise LangTrackError(f"start must be a whole number from 0 on, got {start!r}.")
    path = str(folder / video.strip())
    digest = hashlib.sha256(json.dumps([path, expression, box, int(start)]).encode()).hexdigest()
    item_id = cells.get("id") or f"{plain_name(Path(path).stem, 'video', longest=40)}-{digest[:12]}"
    if not isinstance(item_id, str) or not _ID.fullmatch(item_id):
        raise LangTrackError(
            "id must be 1 to 100 letters, digits, dots, dashes and underscores, no dot first, "
            f"got {item_id!r}."
        )
    item = Item(item_id, path, expression, box, int(start))
    item.query()  # refuses an empty query, an impossible box, a text without words
    return item


def _box(cell: Any) -> tuple[float, ...] | None:
    if cell in (None, "", []):
        return None
    numbers = cell.split(",") if isinstance(cell, str) else cell
    try:
        box = tuple(float(number) for number in numbers)
    except (TypeError, ValueError):
        box = ()
    if len(box) != 4:
        raise LangTrackError(f"box must be x1,y1,x2,y2, got {cell!r}.")
    return box
