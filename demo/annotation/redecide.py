"""A recorded run once more, without a network: other settings for the decision, and steps to write it again.

The decision needs boxes and confidences alone (`fusion.decide`), and a run has kept both. What the branches
would have said of a frame they were not asked about, or where the tracker would have gone from another start,
no recording can tell: the result says so in `Replay.notes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from langtrack_core.fusion import FusionConfig, Memory, decide
from langtrack_core.geometry import FloatArray
from langtrack_core.masks import RLE, empty_rle, enclosing_rectangle
from langtrack_core.run.format import BoxOf, Row, Run
from langtrack_core.types import Estimate, Frame, LangTrackError, Source, State, Step

Rule = Literal["fused", "language", "tracker"]
"""Whose word counts: the decision between both, or one branch's alone (where it is sure enough)."""

Rectangle = Literal["enclosing", "rotated"]

MAX_EVERY = 1000

PATH_NOTE = "The tracker's own path stays as recorded; only the choice between the branches is made anew."


@dataclass(frozen=True)
class WhatIf:
    """Other settings for a recorded run.

    Attributes:
        fusion: thresholds and hysteresis of the decision.
        every: listen to the language branch on every so many frames only, counted from the run's first.
        rule: whose word counts.
        rectangle: the axis-aligned box, or the rotated one of minimum area (for showing and exporting; the
            decision itself compares axis-aligned boxes).
    """

    fusion: FusionConfig = field(default_factory=FusionConfig)
    every: int = 1
    rule: Rule = "fused"
    rectangle: Rectangle = "enclosing"

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or not 1 <= self.every <= MAX_EVERY:
            raise LangTrackError(f"every must be a whole number from 1 to {MAX_EVERY}, got {self.every}.")
        for name, allowed in (("rule", get_args(Rule)), ("rectangle", get_args(Rectangle))):
            if getattr(self, name) not in allowed:
                raise LangTrackError(
                    f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}."
                )

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it: one flat object of the fusion's five numbers, every, rule, rectangle."""
        return {**asdict(self.fusion), "every": self.every, "rule": self.rule, "rectangle": self.rectangle}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> WhatIf:
        """From a page or a file; what is left out keeps its default.

        Raises:
            LangTrackError: an unknown name, or a value that is not a number, not finite, or out of range.
        """
        if not isinstance(said, Mapping):
            raise LangTrackError(f"What-if settings are an object of names and values, got {said!r:.80}.")
        numbers: dict[str, Any] = {item.name: item.default for item in fields(FusionConfig)}
        known = {*numbers, "every", "rule", "rectangle"}
        for name in said:
            if name not in known:
                raise LangTrackError(
                    f"There is no what-if setting {str(name)[:40]!r}; there are {', '.join(sorted(known))}."
                )
        for name, default in numbers.items():
            value = _number(name, said.get(name, default))
            numbers[name] = _whole(name, value) if isinstance(default, int) else value
        return cls(
            FusionConfig(**numbers),
            _whole("every", _number("every", said.get("every", 1))),
            said.get("rule", "fused"),
            said.get("rectangle", "enclosing"),
        )

    @classmethod
    def of_run(cls, run: Run) -> WhatIf:
        """The settings with which a run was made: what "reset" goes back to."""
        fusion = run.manifest.get("settings", {}).get("fusion", {})
        names = {item.name for item in fields(FusionConfig)}
        settings = {name: value for name, value in fusion.items() if name in names}
        return cls.from_json({**settings, "every": run.manifest.get("every", 1)})


@dataclass(frozen=True)
class Replay:
    """What the decision would have been.

    Attributes:
        rows: one a frame, as in the run but for state, source, reason and fused; ``lgm`` is None where the
            cadence leaves the language branch out.
        anchors: frames on which the tracker would have been (re)started on the language box.
        changed: frames whose fused box or source differs from the recording.
        notes: what the recording cannot tell, in plain sentences.
    """

    rows: list[Row]
    anchors: list[int]
    changed: int
    notes: tuple[str, ...]


def replay(run: Run, what_if: WhatIf) -> Replay:
    """Decide on every frame of a run again. Ten thousand frames take a fraction of a second.

    With the settings of the run itself the recording comes out again (but for the rounding of its files).
    """
    given_box = run.manifest.get("box_xyxy") is not None
    recorded_every = _recorded_every(run)
    memory = Memory("tracking" if given_box else "searching")
    started = given_box
    rows: list[Row] = []
    anchors: list[int] = []
    for count, row in enumerate(run.rows):
        lgm = row.lgm if count % what_if.every == 0 else None
        siam = row.siam if started else None
        if what_if.rule == "fused":
            choice = decide(siam, lgm, memory, what_if.fusion)
            memory = choice.memory
            source, state, reason = choice.source, memory.state, choice.reason
            if choice.anchor:
                started = True
                anchors.append(row.frame)
                siam = siam or row.siam  # its first look at what it has just learnt
        else:
            siam = row.siam
            source, state, reason = _one_branch(what_if, siam, lgm, memory.state)
            memory = Memory(state)
        said = {"lgm": lgm, "siam": siam}.get(source)
        fused = BoxOf(None, 0.0) if said is None else said
        if what_if.rule == "fused" and said is not None:
            fused = replace(said, confidence=choice.confidence)
        rows.append(replace(row, state=state, source=source, reason=reason, fused=fused, lgm=lgm, siam=siam))
    return Replay(rows, anchors, changed_frames(run.rows, rows), _notes(run, what_if, recorded_every))


def changed_frames(before: Sequence[Row], after: Sequence[Row]) -> int:
    """On how many frames, the same ones in both, the fused source or box differs."""
    return sum(
        a.source != b.source or not _same_box(a.fused.box_xyxy, b.fused.box_xyxy)
        for a, b in zip(before, after, strict=True)
    )


def replayed(run: Run, what_if: WhatIf) -> Run:
    """The run as `replay` decides it, whole: rows, the fused masks, and a manifest that records the change.

    The manifest gets ``what_if``: the settings, the notes, and the number of frames that changed.
    """
    result = replay(run, what_if)
    masks: dict[int, dict[str, RLE]] = {}
    for before, row in zip(run.rows, result.rows, strict=True):
        recorded = run.masks.get(row.frame, {})
        kept = {
            name: recorded[name]
            for name, said in (("lgm", row.lgm), ("siam", row.siam))
            if said is not None and name in recorded
        }
        same = before.source == row.source and _agreed(before) == _agreed(row)
        both = _agreed(before) and _agreed(row)  # the mean of both maps, whoever is more probable
        chosen = recorded.get("fused") if same or both else kept.get(row.source)
        chosen = chosen or _empty_mask(recorded)
        masks[row.frame] = {**kept, "fused": chosen} if chosen is not None else kept
    record = {**what_if.to_json(), "changed": result.changed, "notes": list(result.notes)}
    return Run({**run.manifest, "what_if": record}, result.rows, masks)


def rotated_rectangle(run: Run, frame: int, branch: str) -> FloatArray | None:
    """``(4, 2)`` corners x, y of the minimum-area rectangle around a recorded mask, in pixels.

    None when the branch did not run or its mask is empty; about half a millisecond at 640x360.
    """
    mask = run.mask(frame, branch)
    return None if mask is None else enclosing_rectangle(mask)


def steps_again(run: Run, frames: Iterable[Frame]) -> Iterator[Step]:
    """The steps of a run, made of its rows and masks and the video's frames, to draw or record them anew.

    Masks are what the run kept: 0 or 1. Frames that the run lacks are passed over.

    Raises:
        LangTrackError: a mask does not fit the frames: another video.
    """
    rows = {row.frame: row for row in run.rows}
    last = max(rows, default=-1)
    for frame in frames:
        row = rows.get(frame.index)
        if row is not None:
            fused = _estimate(run, frame, "fused", row.fused, row.source)
            yield Step(
                frame,
                _estimate(run, frame, "siam", row.siam, "siam"),
                _estimate(run, frame, "lgm", row.lgm, "lgm"),
                fused or Estimate.absent(frame.size_hw),
                row.state,  # type: ignore[arg-type]  # checked where the run was read
                row.reason,
            )
        if frame.index >= last:
            return


def _estimate(run: Run, frame: Frame, branch: str, said: BoxOf | None, source: str) -> Estimate | None:
    if said is None:
        return None
    mask = run.mask(frame.index, branch)
    if mask is None:
        mask = np.zeros(frame.size_hw, np.bool_)
    if mask.shape != frame.size_hw:
        raise LangTrackError(
            f"The run is of another video: its masks are {mask.shape[1]}x{mask.shape[0]}, "
            f"frame {frame.index} is {frame.size_hw[1]}x{frame.size_hw[0]}."
        )
    maker: Source = source if said.box_xyxy is not None else "none"  # type: ignore[assignment]
    corners = enclosing_rectangle(mask) if said.box_xyxy is not None else None
    return Estimate(mask.astype(np.float32), said.confidence, said.box_xyxy, maker, corners)


def _one_branch(
    what_if: WhatIf, siam: BoxOf | None, lgm: BoxOf | None, before: State
) -> tuple[Source, State, str]:
    """One branch's word alone: absent below the threshold, "lost" once it had been found."""
    source: Source = "lgm" if what_if.rule == "language" else "siam"
    said = lgm if source == "lgm" else siam
    who = "language" if source == "lgm" else "tracker"
    gone: State = "searching" if before == "searching" else "lost"
    if said is None:
        return "none", gone, f"{who} not asked on this frame"
    if said.box_xyxy is None:
        return "none", gone, f"{who} sees nothing"
    if said.confidence < what_if.fusion.lost:
        return "none", gone, f"{who} improbable"
    return source, "tracking", f"{who} alone, as asked"


def _notes(run: Run, what_if: WhatIf, recorded_every: int) -> tuple[str, ...]:
    notes = [PATH_NOTE]
    if what_if.every % recorded_every:
        notes.append(
            f"In this run the language branch was asked on one frame in {recorded_every}; the frames between "
            "stay without it. Run again to ask it more often."
        )
    if what_if.rule == "language" and all(row.lgm is None for row in run.rows):
        notes.append("This run had no expression, so the language branch says nothing.")
    return tuple(notes)


def _recorded_every(run: Run) -> int:
    every = run.manifest.get("every", 1)
    return every if isinstance(every, int) and every >= 1 else 1


def _empty_mask(recorded: Mapping[str, RLE]) -> RLE | None:
    """No positive pixel, in the size of the frame's other masks."""
    for rle in recorded.values():
        return empty_rle(rle["size"])
    return None


def _agreed(row: Row) -> bool:
    """The fused mask of such a frame is the mean of both branches' maps (`fusion.fuse`)."""
    return row.reason.startswith("branches agree")


def _same_box(a: FloatArray | None, b: FloatArray | None) -> bool:
    return a is b or (a is not None and b is not None and a.tolist() == b.tolist())


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LangTrackError(f"{name} must be a finite number, got {value!r:.40}.")
    return value


def _whole(name: str, value: float) -> int:
    if value != int(value):
        raise LangTrackError(f"{name} must be a whole number, got {value:g}.")
    return int(value)


def corners_of(run: Run, rows: Sequence[Row]) -> list[list[float] | None]:
    """Per row the rotated rectangle of the fused mask, eight numbers x1, y1, …, x4, y4; None when absent.

    Where the chosen branch has a box without a mask, the box's own corners.
    """
    found: list[list[float] | None] = []
    for row in rows:
        box = row.fused.box_xyxy
        if box is None:
            found.append(None)
            continue
        corners = rotated_rectangle(run, row.frame, row.source)
        if corners is None:
            x1, y1, x2, y2 = box.tolist()
            corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
        found.append([round(float(value), 1) for value in corners.ravel()])
    return found
