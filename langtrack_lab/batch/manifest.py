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
import difflib
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError, Query

from ..files import plain_name, read_text

FIELDS = ("video", "expression", "box", "start", "id")
"""The columns of a CSV manifest, and the keys of a line of JSON."""
TABLES = (".csv", ".tsv", ".txt")
"""Endings of tables. Excel calls its "Unicode text", in UTF-16 with tabs, .txt."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
"""Names that fit for a folder on every file system."""


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
        box = self.box
        return Query(self.expression, box, self.start, hold=box is not None)  # type: ignore[arg-type]

    def asked(self) -> dict[str, Any]:
        """What was asked for, as JSON gives it back."""
        box = None if self.box is None else list(self.box)
        return {"video": self.video, "expression": self.expression, "box": box, "start": self.start}

    def video_stamp(self) -> list[int]:
        """Size in bytes of the video, or of all files of its folder, and their last change in nanoseconds;
        nothing when it is not there."""
        path = Path(self.video)
        try:
            stats = [file.stat() for file in (path.iterdir() if path.is_dir() else [path])]
        except OSError:
            return []
        return [sum(one.st_size for one in stats), max((one.st_mtime_ns for one in stats), default=0)]


def read_manifest(path: Path, on_note: Callable[[str], None] = lambda sentence: None) -> list[Item]:
    """All items, in order.

    The videos are opened only when their turn comes, so that a bad video fails alone. A line that cannot be
    understood stops everything, since nothing has been done yet. A table may come from a spreadsheet: cells
    between commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252, with columns for other purposes.

    Args:
        on_note: called with a sentence about what was left out or guessed.

    Raises:
        LangTrackError: a missing or empty file, a column that may be one of ours misspelt, a line that says
            nothing to follow, two lines that ask the same; the line is named.
    """
    path = Path(path)
    if path.suffix.lower() not in (*TABLES, ".jsonl"):
        raise LangTrackError(
            f"{path} is no manifest: it has to be CSV ({', '.join(TABLES)}) or JSON Lines (.jsonl). "
            "A spreadsheet program saves a table as CSV."
        )
    try:
        text, guessed = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise LangTrackError(f"{path} cannot be read: {error}. Save it as UTF-8.") from error
    if guessed:
        on_note(f"{path.name} is not UTF-8; it was read as Windows-1252 (Western European).")
    lines = _json_lines(text, path) if path.suffix.lower() == ".jsonl" else _table_lines(text, path)
    items: list[Item] = []
    line_of_id: dict[str, int] = {}
    columns: tuple[str, ...] | None = None
    for number, cells in lines:
        if columns != tuple(cells):
            columns = tuple(cells)
            _check_columns(
                columns, f"{path}, line {1 if path.suffix.lower() != '.jsonl' else number}", on_note
            )
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
    if not items:
        raise LangTrackError(f"{path} lists nothing: expected a line for each video.")
    return items


def _table_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if header[:1] and header[0].startswith("sep="):  # how Excel is told the delimiter
            header = [name.strip().lower() for name in next(rows, [])]
        while header and not header[-1]:
            header.pop()
        if "video" not in header:
            raise LangTrackError(
                f"{path}, line 1: expected a header with the columns {', '.join(FIELDS)}, got "
                f"{', '.join(header)[:100] or 'nothing'}."
            )
        if twice := sorted({name for name in header if name and header.count(name) > 1}):
            raise LangTrackError(f"{path}, line 1: the column {twice[0]} is there twice; keep one.")
        for row in rows:
            cells = [cell.strip() for cell in row]
            if any(cells[len(header) :]):
                raise LangTrackError(
                    f"{path}, line {rows.line_num}: expected {len(header)} cells, got {len(cells)}; "
                    'a cell with commas, as a box has, needs quotes ("10,20,50,60").'
                )
            if any(cells):
                cells += [""] * (len(header) - len(cells))
                yield rows.line_num, dict(zip(header, cells, strict=False))
    except csv.Error as error:
        raise LangTrackError(f"{path}, line {rows.line_num}: not CSV ({error}).") from error


def _delimiter(text: str) -> str:
    """The one between most of our columns in the header; a comma when none is."""
    lines = text.splitlines()
    if lines and (line := re.fullmatch(r'"?sep=(.)"?[,;\t]*', lines[0], re.I)):
        return line[1]

    def columns(delimiter: str) -> int:
        cells = next(csv.reader(lines[:1], delimiter=delimiter), [])
        return sum(cell.strip().lower() in FIELDS for cell in cells)

    return max(",;\t", key=columns)


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except ValueError as error:
            raise LangTrackError(f"{path}, line {number}: not JSON ({error}).") from error
        if not isinstance(cells, dict):
            raise LangTrackError(f"{path}, line {number}: expected an object with {', '.join(FIELDS)}.")
        yield number, cells


def _check_columns(names: Sequence[str], where: str, on_note: Callable[[str], None]) -> None:
    """Refuse a column that is ours misspelt; say which others are not used."""
    unknown = [name for name in names if name not in FIELDS and name]
    for name in unknown:
        if near := [n for n in difflib.get_close_matches(name.lower(), FIELDS, 1, 0.7) if n not in names]:
            raise LangTrackError(f"{where}: unknown column {name}; is {near[0]} meant? Rename or remove it.")
    if unknown:
        on_note(f"{where}: not used: {', '.join(unknown)}; known are {', '.join(FIELDS)}.")


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
    if isinstance(start, bool) or not (whole := re.fullmatch(r"(\d{1,9})([.,]0+)?", str(start))):
        raise LangTrackError(f"start must be a whole number from 0 on, got {start!r}.")
    start = int(whole[1])  # "25.0" is how tables with empty cells write 25
    path = str(_located(folder, video.strip()))
    digest = hashlib.sha256(json.dumps([path, expression, box, start]).encode()).hexdigest()
    item_id = cells.get("id") or f"{plain_name(Path(path).stem, 'video', longest=40)}-{digest[:12]}"
    if not isinstance(item_id, str) or not _ID.fullmatch(item_id):
        raise LangTrackError(
            "id must be 1 to 100 letters, digits, dots, dashes and underscores, no dot first, "
            f"got {item_id!r}."
        )
    item = Item(item_id, path, expression, box, start)
    item.query()  # refuses an empty query, an impossible box, a text without words
    return item


def _located(folder: Path, video: str) -> Path:
    """The video relative to the manifest; a path as Windows writes it is found elsewhere too."""
    path = folder / video
    return folder / video.replace("\\", "/") if "\\" in video and not path.exists() else path


def _box(cell: Any) -> tuple[float, ...] | None:
    if cell in (None, "", []):
        return None
    numbers = cell
    if isinstance(cell, str):
        # Between semicolons or blanks, a comma is that of a decimal number.
        parts = re.split(r"\s*;\s*|(?<!,)\s+(?!,)", cell.strip())
        numbers = [part.replace(",", ".") for part in parts] if len(parts) == 4 else cell.split(",")
    try:
        box = tuple(float(number) for number in numbers)
    except (TypeError, ValueError):
        box = ()
    if len(box) != 4:
        raise LangTrackError(f"box must be x1,y1,x2,y2, got {cell!r}.")
    return box
