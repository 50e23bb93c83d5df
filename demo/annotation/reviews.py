"""A person's judgement of a run, frame by frame: which branch was right."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langtrack_core.types import LangTrackError

from .checks import whole_number

Side = Literal["language", "tracker", "both", "neither", "absent"]
"""Which branch was right on a frame; "absent" means that the target cannot be seen at all."""

SIDES: tuple[Side, ...] = get_args(Side)
"""All verdicts on a frame."""
FORMAT = "langtrack-verdicts"
"""Name of the file format, in ``format`` of a JSON file, so that another JSON is refused by name."""
FORMAT_VERSION = 1
"""Version of the file format; it rises when an older program could not read the file any more."""
MAX_NOTE = 2000
"""Largest number of characters of a note: a paragraph, since each frame of a range gets a copy of it."""
MAX_FRAME = 10_000_000
"""Largest frame number that is accepted: four days of video, and far above what a page can show."""
MAX_RANGE = 1_000_000
"""Largest number of frames that one verdict covers, so that a wrong number cannot fill the memory."""
COLUMNS = ("frame", "verdict", "note")
"""Names of the columns that a CSV file has at least, in their order."""
RUN_COLUMN = "run"
"""Name of the column, and of the field in JSON, with the key of the run that was judged."""
MAX_RUN_KEY = 64
"""Largest number of characters of such a key."""
ORIGIN = ("clip", "sha256", "expression", "weights")
"""What a file of verdicts says of the run that was judged: fields of ``origin`` in JSON, columns in CSV."""


@dataclass(frozen=True)
class Verdict:
    """A verdict on one frame. There may be a note alone; ``side`` is None then.

    Attributes:
        run: the `anchors.run_key` of the run that gave the frame when it was judged; "" when nobody knows.
    """

    side: Side | None
    note: str = ""
    run: str = ""


class Verdicts:
    """All verdicts on one run, by frame number; at most one a frame, a later one replaces it.

    Example:
        >>> verdicts = Verdicts()
        >>> verdicts.give(10, 25, "tracker", "language takes the other car")
        >>> verdicts.clear(12, 12)
    """

    def __init__(self) -> None:
        self._by_frame: dict[int, Verdict] = {}

    def copy(self) -> Verdicts:
        verdicts = Verdicts()
        verdicts._by_frame = dict(self._by_frame)
        return verdicts

    def on(self, frames: Container[int]) -> Verdicts:
        """A copy with those on some frames."""
        verdicts = Verdicts()
        verdicts._by_frame = {frame: one for frame, one in self._by_frame.items() if frame in frames}
        return verdicts

    def give(
        self,
        first: int,
        last: int,
        side: Side | None,
        note: str | None = None,
        runs: Mapping[int, str] | None = None,
    ) -> None:
        """Judge the frames ``first`` to ``last``, both included.

        Args:
            side: None keeps the verdict that is there and changes the note alone.
            note: None keeps the note that is there.
            runs: frame number -> the key of its run, for a new verdict; frames that are not in it are left as
                they are. None stands for any frame, and no key.

        Raises:
            LangTrackError: no such verdict, a range that ends before it begins, a note that is too long.
        """
        first, last = _frame(first), _frame(last)
        if last < first:
            raise LangTrackError(f"The range ends at frame {last}, before it begins at frame {first}.")
        if last - first >= MAX_RANGE:
            raise LangTrackError(f"A range has at most a million frames, got {last - first + 1}.")
        _check(side, note)
        for frame in range(first, last + 1):
            if runs is not None and frame not in runs:
                continue
            before = self._by_frame.get(frame, Verdict(None))
            run = before.run if side is None else (runs or {}).get(frame, "")
            now = Verdict(side or before.side, before.note if note is None else note, run)
            if now.side is None and not now.note:
                self._by_frame.pop(frame, None)
            else:
                self._by_frame[frame] = now

    def clear(self, first: int, last: int) -> None:
        """Remove verdicts and notes of a range."""
        first, last = _frame(first), _frame(last)
        self._by_frame = {f: v for f, v in self._by_frame.items() if not first <= f <= last}

    def __getitem__(self, frame: int) -> Verdict:
        return self._by_frame[frame]

    def __contains__(self, frame: object) -> bool:
        return frame in self._by_frame

    def __iter__(self) -> Iterator[int]:
        """Frame numbers, rising."""
        return iter(sorted(self._by_frame))

    def __len__(self) -> int:
        return len(self._by_frame)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verdicts) and self._by_frame == other._by_frame

    def counts(self) -> dict[str, int]:
        """The number of frames with each verdict, for all `SIDES`; notes alone are not counted."""
        sides = [verdict.side for verdict in self._by_frame.values()]
        return {side: sides.count(side) for side in SIDES}

    # --- files ------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The object ``{"format", "format_version", "verdicts"}``, the last a list of ``frame``, ``verdict``,
        ``note`` and ``run``."""
        entries = [
            {"frame": f, "verdict": self[f].side, "note": self[f].note, RUN_COLUMN: self[f].run} for f in self
        ]
        return {"format": FORMAT, "format_version": FORMAT_VERSION, "verdicts": entries}

    @classmethod
    def from_json(cls, document: Any) -> Verdicts:
        """The inverse of `to_json`.

        Raises:
            LangTrackError: another format or version, or an entry that is not a verdict; it names the entry.
        """
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise LangTrackError(
                "These are not verdicts of LangTrack: the JSON says another format, or none."
            )
        if document.get("format_version") != FORMAT_VERSION:
            raise LangTrackError(
                f"Verdicts of version {document.get('format_version')!r:.20} cannot be read; "
                f"this LangTrack reads version {FORMAT_VERSION}."
            )
        entries = document.get("verdicts")
        if not isinstance(entries, list):
            raise LangTrackError("Verdicts need a list “verdicts”.")
        verdicts = cls()
        for number, entry in enumerate(entries, 1):
            if not isinstance(entry, Mapping):
                raise LangTrackError(f"Entry {number} of the verdicts is not an object.")
            fields = entry.get("frame"), entry.get("verdict"), entry.get("note", "")
            verdicts._add(f"Entry {number}", *fields, entry.get(RUN_COLUMN, ""))
        return verdicts

    def to_csv(self, origin: Mapping[str, str] | None = None) -> str:
        """A header and a line a frame: ``frame,verdict,note,run``, and the `ORIGIN` where it is given."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        more = () if origin is None else ORIGIN
        same = [] if origin is None else [origin[name] for name in ORIGIN]
        writer.writerow([*COLUMNS, RUN_COLUMN, *more])
        writer.writerows([f, self[f].side or "", self[f].note, self[f].run, *same] for f in self)
        return out.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> Verdicts:
        """The inverse of `to_csv`.

        Raises:
            LangTrackError: other columns, or a line that is not a verdict; it names the line.
        """
        try:
            table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
        except csv.Error as error:
            raise LangTrackError(f"The verdicts are not valid CSV: {error}.") from error
        header = tuple(cell.strip() for cell in table[0]) if table else ()
        more = tuple(name for name in header[len(COLUMNS) :] if name != RUN_COLUMN)
        if header[: len(COLUMNS)] != COLUMNS or more not in ((), ORIGIN):
            raise LangTrackError(f"Verdicts in CSV need the columns {','.join(COLUMNS)} in their first line.")
        verdicts = cls()
        for number, cells in enumerate(table[1:], 2):
            if not cells:
                continue
            if len(cells) != len(header):
                raise LangTrackError(
                    f"Line {number} of the verdicts has {len(cells)} cells instead of {len(header)}."
                )
            digits = cells[0].strip()
            # `int` refuses thousands of digits with an error of its own.
            frame = int(digits) if digits.isdecimal() and len(digits) < 20 else cells[0]
            run = dict(zip(header, cells, strict=True)).get(RUN_COLUMN, "")
            verdicts._add(f"Line {number}", frame, cells[1].strip() or None, cells[2], run)
        return verdicts

    @classmethod
    def from_text(cls, text: str) -> Verdicts:
        """Read verdicts from JSON or CSV, whichever the text is."""
        if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
            try:
                document = json.loads(text.removeprefix("\ufeff"))
            except (ValueError, RecursionError) as error:
                raise LangTrackError("The verdicts are not valid JSON.") from error
            return cls.from_json(document)
        return cls.from_csv(text)

    @staticmethod
    def origin_of(text: str) -> dict[str, str]:
        """The `ORIGIN` in a text that `from_text` reads; without it, nothing."""
        if text.lstrip("\ufeff \t\r\n").startswith("{"):
            origin = json.loads(text.removeprefix("\ufeff")).get("origin")
        else:
            origin = next(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")), None)
        if not isinstance(origin, Mapping):
            return {}
        return {name: origin[name] for name in ORIGIN if isinstance(origin.get(name), str)}

    def _add(self, where: str, frame: Any, side: Any, note: Any, run: Any) -> None:
        try:
            number = _frame(frame)
            _check(side, note)
            check_run_key(run)
        except LangTrackError as error:
            raise LangTrackError(f"{where} of the verdicts is wrong: {error}") from None
        if number in self._by_frame:
            raise LangTrackError(f"{where} of the verdicts is wrong: frame {number} occurs twice.")
        if side or note:
            self._by_frame[number] = Verdict(side, note or "", run)


def _frame(value: Any) -> int:
    return whole_number(value, "A frame", 0, MAX_FRAME)


def _check(side: Any, note: Any) -> None:
    if side is not None and side not in SIDES:
        raise LangTrackError(f"A verdict is one of {', '.join(SIDES)}, got {side!r:.40}.")
    if note is not None and (not isinstance(note, str) or len(note) > MAX_NOTE):
        raise LangTrackError(f"A note is a text of at most {MAX_NOTE} characters.")


def check_run_key(run: Any) -> str:
    """The key itself.

    Raises:
        LangTrackError: it is no short text.
    """
    if not isinstance(run, str) or len(run) > MAX_RUN_KEY:
        raise LangTrackError(f"The run of a verdict is a text of at most {MAX_RUN_KEY} characters.")
    return run
