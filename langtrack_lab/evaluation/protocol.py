"""What a tracker is measured on: sequences, sentences, and what it gets on the first frame.

It gets a sentence, a box, or both. These are three protocols, and their figures are never in one table.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from langtrack_core.types import LangTrackError, Query

from ..datasets import KINDS, Sequence, open_sequences
from ..metrics import LASOT, OTB, PLAIN, Convention
from ..metrics.boxes import has_area

Init = Literal["sentence", "box", "both"]
INITS: tuple[Init, ...] = get_args(Init)
"""What a tracker may get on the first frame."""

SENTENCES = ("first", "all")
"""Which sentences of a sequence are measured."""

DEV = "dev"
"""The kind of a development set: a folder with `DEV_PARTS` in it, each a data set of the kind it is named."""

DEV_PARTS = ("davis", "boxes")
"""The parts of a development set: clips with masks, and longer ones with boxes alone."""

_CONVENTIONS = {"otb-lang": OTB, "lasot": LASOT, "tnl2k": LASOT}
"""Conventions of the benchmarks that have one of their own; all others count as `PLAIN` says."""

_WITH_EMPTY_SENTENCES = ("tnl2k",)
"""Kinds of which some sequences were published with an empty sentence. With it alone nothing is found there;
with a box, the box says what to follow."""


@dataclass(frozen=True)
class Protocol:
    """One way to measure on one data set.

    Attributes:
        kind: of the data set, a key of `datasets.KINDS`, or "dev" for a folder with `DEV_PARTS` in it.
        split: the set's own name of a part; None for all of it.
        init: what the tracker gets on the first frame.
        sentences: "first" of each sequence, or "all" of them, each a run of its own.
        frames: of every sequence at most so many, from its beginning; None for all.
        every: the language branch runs on every so many frames.

    With a box alone nobody reads a sentence: ``sentences`` and ``every`` are then what they are by default.
    """

    kind: str
    split: str | None = None
    init: Init = "sentence"
    sentences: str = "first"
    frames: int | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.init == "box":
            object.__setattr__(self, "sentences", "first")
            object.__setattr__(self, "every", 1)

    @property
    def convention(self) -> Convention:
        """The rule which frames count for success and precision; see `metrics.conventions`."""
        return _CONVENTIONS.get(self.kind, PLAIN)

    @property
    def title(self) -> str:
        """The protocol in one line: the heading of its tables."""
        start = {"sentence": "by sentence only", "box": "by box only", "both": "by box and sentence"}[
            self.init
        ]
        parts = [self.kind if self.split is None else f"{self.kind} {self.split}", start]
        if self.sentences == "all":
            parts.append("every sentence")
        if self.frames is not None:
            parts.append(f"first {self.frames} frames")
        if self.every > 1:
            parts.append(f"language on one frame of {self.every}")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class NoTrueBoxError(LangTrackError):
    """A tracker that gets a box cannot begin: the sequence has none."""


@dataclass(frozen=True, eq=False)
class Item:
    """One run of the tracker.

    Attributes:
        key: unique in its protocol; the sequence's name, with a number for a further sentence.
        sequence: cut to the protocol's frames.
        sentence: None when the tracker gets none.
        init: what the tracker gets on the first frame.
    """

    key: str
    sequence: Sequence
    sentence: str | None
    init: Init

    @cached_property
    def start(self) -> int:
        """The frame to begin with: the first whose box is known when a box is given, else frame 0."""
        if self.init == "sentence":
            return 0
        with_box = np.flatnonzero(has_area(self.sequence.boxes_xyxy) & ~self.sequence.absent_frames)
        if len(with_box) == 0:
            raise NoTrueBoxError(
                f"Sequence {self.sequence.name} has no true box to start on; leave it out, or evaluate with "
                "--init sentence, which needs none."
            )
        return int(with_box[0])

    def query(self) -> Query:
        box = None if self.init == "sentence" else self.sequence.boxes_xyxy[self.start]
        return Query(self.sentence, box, self.start, hold=self.init == "both")  # as commands and page do

    @cached_property
    def digest(self) -> str:
        """Hash of all data that decide the predictions or their figures: names and sizes of the files, boxes,
        absences, the sentence."""
        s = self.sequence
        facts: dict[str, Any] = {
            "key": self.key,
            "sentence": self.sentence,
            **({"hold": True} if self.init == "both" else {}),  # others' records stay good
            "frames": _listing(s.frames),
            "masks": _listing(s.masks),
            "object": s.object_id,
            "attributes": sorted(s.attributes),
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for array in (s.boxes, s.absent):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def items_of(protocol: Protocol, folder: Path) -> list[Item]:
    """All runs of the protocol on the data set in ``folder``.

    Raises:
        LangTrackError: the data set cannot be read, is empty, or lacks a sentence that the protocol needs.
    """
    sequences = _sequences(protocol, Path(folder))
    if not sequences:
        raise LangTrackError(f"{folder} holds no sequences of kind {protocol.kind}.")
    items: list[Item] = []
    for sequence in sequences:
        sequence = shortened(sequence, protocol.frames)
        if protocol.init == "box":
            items.append(Item(sequence.name, sequence, None, "box"))
            continue
        sentences: tuple[str | None, ...] = sequence.expressions
        if not sentences:
            if protocol.kind not in _WITH_EMPTY_SENTENCES:
                raise LangTrackError(
                    f"Sequence {sequence.name} has no sentence; --init box measures without sentences."
                )
            sentences = ("",) if protocol.init == "sentence" else (None,)
        sentences = sentences if protocol.sentences == "all" else sentences[:1]
        for number, sentence in enumerate(sentences, 1):
            key = sequence.name if number == 1 else f"{sequence.name} ({number})"
            items.append(Item(key, sequence, sentence, protocol.init))
    keys = [item.key for item in items]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise LangTrackError(f"Two sequences in {folder} are called {twice}; rename one.")
    return items


def startable(items: Iterable[Item]) -> list[Item]:
    """The items on which a tracker can begin; says which ones are left out.

    Raises:
        NoTrueBoxError: it can begin on none of them.
    """
    there, errors = [], []
    for item in items:
        try:
            there.append((item, item.start))
        except NoTrueBoxError as error:
            errors.append(error)
            print(f"{item.key} is left out: it has no true box to start on.", file=sys.stderr)
    if errors and not there:
        raise errors[0]
    return [item for item, _ in there]


def shortened(sequence: Sequence, frames: int | None) -> Sequence:
    """The sequence cut to its first frames."""
    if frames is None or frames >= len(sequence.frames):
        return sequence
    return replace(
        sequence,
        frames=sequence.frames[:frames],
        masks=sequence.masks[:frames],
        boxes=None if sequence.boxes is None else sequence.boxes[:frames],
        absent=None if sequence.absent is None else sequence.absent[:frames],
    )


def _sequences(protocol: Protocol, folder: Path) -> list[Sequence]:
    sentences = protocol.init != "box"
    if protocol.kind == DEV:
        return dev_sequences(folder, protocol.split, sentences=sentences)
    if protocol.kind not in KINDS:
        kinds = ", ".join([DEV, *sorted(KINDS)])
        raise LangTrackError(f'"{protocol.kind}" is not a known kind of data set; known are {kinds}.')
    return open_sequences(protocol.kind, folder, protocol.split, sentences=sentences)


def dev_sequences(folder: Path, split: str | None = None, *, sentences: bool = True) -> list[Sequence]:
    """The sequences of `DEV_PARTS`, or of one of these parts; the part is an attribute of each.

    Without ``sentences`` their files may be missing.
    """
    if split is not None and split not in DEV_PARTS:
        raise LangTrackError(f"The parts of dev are {' and '.join(DEV_PARTS)}, not {split}.")
    parts = DEV_PARTS if split is None else (split,)
    return [
        replace(sequence, attributes=sequence.attributes | {part})
        for part in parts
        for sequence in open_sequences(part, folder / part, sentences=sentences)
    ]


def _listing(paths: Iterable[Path | None]) -> list[tuple[str, int] | None]:
    return [None if path is None else (path.name, path.stat().st_size) for path in paths]
