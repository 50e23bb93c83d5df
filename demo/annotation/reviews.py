"""A person's judgement of a run, frame by frame: which branch was right; which frames to look at first."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from langtrack_core.fusion import overlap
from langtrack_core.run.format import Row, Run
from langtrack_core.types import LangTrackError, Reason

from .checks import whole_number

Side = Literal["language", "tracker", "both", "neither", "absent"]
"""Which branch was right on a frame; "absent" means that the target cannot be seen at all."""

SIDES: tuple[Side, ...] = get_args(Side)
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
"""Names of the columns of a CSV file, in their order."""
ORIGIN = ("clip", "sha256", "expression", "weights")
"""What a file of verdicts says of the run that was judged: fields of ``origin`` in JSON, columns in CSV."""


@dataclass(frozen=True)
class Verdict:
    """A verdict on one frame. There may be a note alone; ``side`` is None then."""

    side: Side | None
    note: str = ""


class Verdicts:
    """All verdicts on one run, by frame number; at most one a frame, a later one replaces it.

    Example:
        >>> verdicts = Verdicts()
        >>> verdicts.give(10, 25, "tracker", "language takes the other car")
        >>> verdicts.clear(12, 12)
    """

    def __init__(self) -> None:
        self._by_frame: dict[int, Verdict] = {}

    def give(self, first: int, last: int, side: Side | None, note: str | None = None) -> None:
        """Judge the frames ``first`` to ``last``, both included.

        Args:
            side: None keeps the verdict that is there and changes the note alone.
            note: None keeps the note that is there.

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
            before = self._by_frame.get(frame, Verdict(None))
            now = Verdict(side or before.side, before.note if note is None else note)
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
        """The object ``{"format", "format_version", "verdicts": [{"frame", "verdict", "note"}, …]}``."""
        entries = [{"frame": f, "verdict": self[f].side, "note": self[f].note} for f in self]
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
            verdicts._add(f"Entry {number}", entry.get("frame"), entry.get("verdict"), entry.get("note", ""))
        return verdicts

    def to_csv(self, origin: Mapping[str, str] | None = None) -> str:
        """A header and a line a frame: ``frame,verdict,note``, and the `ORIGIN` where it is given."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        more = () if origin is None else ORIGIN
        same = [] if origin is None else [origin[name] for name in ORIGIN]
        writer.writerow([*COLUMNS, *more])
        writer.writerows([f, self[f].side or "", self[f].note, *same] for f in self)
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
        if header not in (COLUMNS, COLUMNS + ORIGIN):
            raise LangTrackError(f"Verdicts in CSV need the columns {','.join(COLUMNS)} in their first line.")
        verdicts = cls()
        for number, cells in enumerate(table[1:], 2):
            if not cells:
                continue
            if len(cells) != len(header):
                raise LangTrackError(
                    f"Line {number} of the verdicts has {len(cells)} cells instead of {len(header)}."
                )
            frame = int(cells[0]) if cells[0].strip().isdecimal() else cells[0]
            verdicts._add(f"Line {number}", frame, cells[1].strip() or None, cells[2])
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

    def _add(self, where: str, frame: Any, side: Any, note: Any) -> None:
        try:
            number = _frame(frame)
            _check(side, note)
        except LangTrackError as error:
            raise LangTrackError(f"{where} of the verdicts is wrong: {error}") from None
        if number in self._by_frame:
            raise LangTrackError(f"{where} of the verdicts is wrong: frame {number} occurs twice.")
        if side or note:
            self._by_frame[number] = Verdict(side, note or "")


def _frame(value: Any) -> int:
    return whole_number(value, "A frame", 0, MAX_FRAME)


def _check(side: Any, note: Any) -> None:
    if side is not None and side not in SIDES:
        raise LangTrackError(f"A verdict is one of {', '.join(SIDES)}, got {side!r:.40}.")
    if note is not None and (not isinstance(note, str) or len(note) > MAX_NOTE):
        raise LangTrackError(f"A note is a text of at most {MAX_NOTE} characters.")


# --- what to look at first ---------------------------------------------------------------------------------


SAME_PLACE_IOU = 0.5
"""Boxes of the two branches with at least this IoU mean the same place: it is the IoU above which a box
counts as right, in the calibration of the confidences too."""


def same_place(row: Row) -> bool:
    """Whether both branches see the target at one place."""
    iou = overlap(row.language, row.tracker)
    return iou is not None and iou >= SAME_PLACE_IOU


def differ(row: Row) -> bool:
    """Whether both branches looked at a frame and say different things: other places, or one sees nothing.

    Not where a chosen target is held to: there the words are known to fit something else too.
    """
    if row.decision.reason is Reason.HELD:
        return False
    language, tracker = row.language, row.tracker
    if language is None or tracker is None or (language.box_xyxy is None and tracker.box_xyxy is None):
        return False
    return not same_place(row)


class ReviewItem(NamedTuple):
    """A frame to review: ``score`` in [0, 1] rises with the disagreement, and ``why`` gives its reason."""

    frame: int
    score: float
    why: str


def disagreement(row: Row) -> ReviewItem:
    """Measure how much the branches disagree on a frame.

    Where both see something: 1 minus the IoU of their boxes, weighted up to double by how sure the less sure
    one is (two sure branches at different places are the worst case). Where one sees it and the other does
    not: the confidence of the one. A language branch that did not run counts for nothing.
    """
    language, tracker = row.language, row.tracker
    if language is None or tracker is None:
        result = language or tracker
        unsure = 0.0 if result is None or result.box_xyxy is None else 1 - abs(2 * result.confidence - 1)
        return ReviewItem(row.frame, 0.2 * unsure, "one branch alone, unsure")
    if (iou := overlap(language, tracker)) is not None:
        apart = 1 - iou
        sure = min(language.confidence, tracker.confidence)
        why = "both sure, at different places" if sure >= 0.5 else "branches at different places"
        score = apart * (0.5 + 0.5 * sure)
        return ReviewItem(row.frame, score, "both at one place" if same_place(row) else why)
    if language.box_xyxy is None and tracker.box_xyxy is None:
        return ReviewItem(row.frame, 0.0, "both see nothing")
    result, branch = (tracker, "tracker") if language.box_xyxy is None else (language, "language")
    return ReviewItem(row.frame, 0.75 * result.confidence, f"only the {branch} sees it")


def review_queue(
    run: Run, *, limit: int = 30, apart: int | None = None, exclude: Collection[int] = ()
) -> list[ReviewItem]:
    """The frames to judge first, those with the largest disagreement first, spread over the clip.

    Frames on which both branches see the target at one place are left out: there is nothing to choose.

    Args:
        limit: how many at most.
        apart: frames between two of them at least; the run's length over ``4 * limit`` by default, so that a
            queue never is fifty neighbours.
        exclude: frames that are judged already; they and their neighbours are left out.
    """
    gap = max(1, len(run.rows) // (4 * max(limit, 1))) if apart is None else max(1, apart)
    cells: dict[int, tuple[int, int]] = {}  # cell of ``gap`` frames -> first and last frame in it

    def take(frame: int) -> None:
        first, last = cells.get(frame // gap, (frame, frame))
        cells[frame // gap] = min(first, frame), max(last, frame)

    def free(frame: int) -> bool:
        cell = frame // gap
        left, right = cells.get(cell - 1), cells.get(cell + 1)
        return (
            cell not in cells
            and (left is None or frame - left[1] >= gap)
            and (right is None or right[0] - frame >= gap)
        )

    for frame in exclude:
        take(frame)
    queue: list[ReviewItem] = []
    candidates = [disagreement(row) for row in run.rows if not same_place(row)]
    for candidate in sorted(candidates, key=lambda item: (-item.score, item.frame)):
        if len(queue) >= limit or candidate.score <= 0:
            break
        if free(candidate.frame):
            take(candidate.frame)
            queue.append(candidate)
    return queue
