"""A recorded run decided again with other settings, without a network, and steps to write it again.

The decision needs boxes and confidences alone (`fusion.decide`), and a run has kept both. What the branches
would have given for a frame on which they did not run, or where the tracker would have gone from another
start, no recording can tell; `Redecided.notes` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from langtrack_core.fusion import FusionConfig, FusionState, decide, from_the_surest, probability
from langtrack_core.geometry import FloatArray
from langtrack_core.masks import RLE, enclosing_rectangle
from langtrack_core.types import Branch, Decision, Estimate, Frame, LangTrackError, Reason, State, Step
from langtrack_lab.exports.clip import empty_rle
from langtrack_lab.runs import BranchBox, Row, Run

from .checks import finite_number, whole_number

Rule = Literal["fused", "language", "tracker"]
"""Which branch is believed: the fusion decides between both, or one branch counts alone where it is confident
enough."""

Rectangle = Literal["enclosing", "rotated"]
"""The axis-aligned box around a mask, or the rotated rectangle of minimum area."""

MAX_EVERY = 1000
"""Largest stride of the language branch, in frames, in a recorded run: that of a command line, where the
page's own limit does not hold."""

_Numbered = tuple[int, Row]
"""A row of a run, and its place in it."""

PATH_NOTE = "The tracker's own path stays as recorded; only the choice between the branches is made anew."
"""The first note of every new decision: a user could otherwise expect the tracker to run again."""


@dataclass(frozen=True)
class FusionOverrides:
    """Other settings for a recorded run.

    Attributes:
        fusion: thresholds and hysteresis of the decision.
        every: use the language branch on every so many frames only, counted from the run's first.
        rule: which branch is believed.
        rectangle: the axis-aligned box, or the rotated one of minimum area (for showing and exporting; the
            decision itself compares axis-aligned boxes).
    """

    fusion: FusionConfig = field(default_factory=FusionConfig)
    every: int = 1
    rule: Rule = "fused"
    rectangle: Rectangle = "enclosing"

    def __post_init__(self) -> None:
        whole_number(self.every, "every", 1, MAX_EVERY)
        for name, allowed in (("rule", get_args(Rule)), ("rectangle", get_args(Rectangle))):
            if getattr(self, name) not in allowed:
                raise LangTrackError(
                    f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}."
                )

    def to_json(self) -> dict[str, Any]:
        """One flat object of the fusion's numbers, every, rule and rectangle, as `from_json` reads it."""
        return {**asdict(self.fusion), "every": self.every, "rule": self.rule, "rectangle": self.rectangle}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FusionOverrides:
        """Read what a page or a file holds; a setting that is left out keeps its default.

        Raises:
            LangTrackError: an unknown name, or a value that is not a number, not finite, or out of range.
        """
        if not isinstance(document, Mapping):
            raise LangTrackError(f"What-if settings are an object of names and values, got {document!r:.80}.")
        numbers: dict[str, Any] = {item.name: item.default for item in fields(FusionConfig)}
        names = {*numbers, "every", "rule", "rectangle"}
        for name in document:
            if name not in names:
                raise LangTrackError(
                    f"There is no what-if setting {str(name)[:40]!r}; there are {', '.join(sorted(names))}."
                )
        for name, default in numbers.items():
            check = whole_number if isinstance(default, int) else finite_number
            numbers[name] = check(document.get(name, default), name)
        return cls(
            FusionConfig(**numbers),
            whole_number(document.get("every", 1), "every", 1, MAX_EVERY),
            document.get("rule", "fused"),
            document.get("rectangle", "enclosing"),
        )

    @classmethod
    def of_run(cls, run: Run) -> FusionOverrides:
        """The settings with which a run was made, to which "Reset" returns."""
        fusion = run.manifest.get("settings", {}).get("fusion", {})
        names = {item.name for item in fields(FusionConfig)}
        settings = {"look_ahead": 1} if fusion else {}  # runs of before there was such a setting
        settings |= {name: value for name, value in fusion.items() if name in names}
        return cls.from_json({**settings, "every": run.manifest.get("every", 1)})


@dataclass(frozen=True)
class Redecided:
    """The decision of every frame with other settings.

    Attributes:
        rows: one a frame, as in the run but for ``decision`` and ``fused``; ``language`` is None where the
            cadence leaves the language branch out.
        changed: frames whose fused box or source differs from the recording.
        notes: what the recording cannot tell, in plain sentences.
    """

    rows: list[Row]
    changed: int
    notes: tuple[str, ...]


def redecide(run: Run, overrides: FusionOverrides) -> Redecided:
    """Decide on every frame of a run again. Ten thousand frames take a fraction of a second.

    With the settings of the run itself the recording comes out again (but for the rounding of its files).
    """
    by_words_alone = run.manifest.get("box_xyxy") is None and overrides.rule == "fused"

    def new(fusion: FusionConfig) -> Callable[[_Numbered], Row]:
        return _Decider(run, replace(overrides, fusion=fusion)).decide

    def look(numbered: _Numbered) -> tuple[_Numbered, float]:
        number, row = numbered
        return numbered, 0.0 if number % overrides.every else probability(row.language)

    numbered = enumerate(run.rows)
    if by_words_alone:
        # Of the masks, which are checked when a project is opened; the manifest's word of the video is not.
        height, width = next((rle["size"] for rles in run.masks.values() for rle in rles.values()), (1, 1))
        rows = list(from_the_surest(numbered, look, new, overrides.fusion, lambda _: (height, width)))
    else:
        rows = list(map(new(overrides.fusion), numbered))
    return Redecided(rows, changed_frames(run.rows, rows), _notes(run, overrides))


class _Decider:
    """Decides on one frame of a run after the other.

    Attributes:
        started: there is a tracker; what the run's own did before counts for nothing.
        state: after the last frame.
    """

    def __init__(self, run: Run, overrides: FusionOverrides) -> None:
        self.overrides = overrides
        self.started = run.manifest.get("box_xyxy") is not None
        hold = bool(run.manifest.get("hold"))
        self.state = FusionState("tracking" if self.started else "searching", hold=hold)

    def decide(self, numbered: _Numbered) -> Row:
        """The row with what is decided now."""
        number, row = numbered
        overrides = self.overrides
        language = row.language if number % overrides.every == 0 else None
        tracker = row.tracker if self.started or overrides.rule != "fused" else None
        if overrides.rule == "fused":
            decision, self.state = decide(language, tracker, self.state, overrides.fusion)
            if decision.reanchor:
                self.started = True
                tracker = tracker or row.tracker  # its first look at what it has just learnt
        else:
            decision = _decide_by_one(overrides, language, tracker, self.state.state)
            self.state = FusionState(decision.state)
        if row.decision.reason is Reason.USER_BOX:
            self.state = replace(self.state, state="tracking")
        if row.decision.reason in (Reason.USER_BOX, Reason.SAME_TARGET):  # not decided by the fusion
            return replace(row, language=language)
        result = {"language": language, "tracker": tracker, None: None}[decision.source]
        fused = BranchBox(None, 0.0) if result is None else BranchBox(result.box_xyxy, decision.confidence)
        return Row(row.frame, row.time_s, decision, fused, language, tracker)


def changed_frames(before: Sequence[Row], after: Sequence[Row]) -> int:
    """The number of frames on which the fused source or box differs; both have the same frames."""
    return sum(
        a.decision.source != b.decision.source or not _same_box(a.fused.box_xyxy, b.fused.box_xyxy)
        for a, b in zip(before, after, strict=True)
    )


def redecided_run(run: Run, overrides: FusionOverrides) -> Run:
    """The run as `redecide` decides it, whole: rows, the fused masks, and a manifest that records the change.

    The manifest gets ``what_if``: the settings, the notes, and the number of frames that changed.
    """
    result = redecide(run, overrides)
    masks: dict[int, dict[str, RLE]] = {}
    for before, row in zip(run.rows, result.rows, strict=True):
        rles = run.masks.get(row.frame, {})
        branches = {
            name: rles[name]
            for name, branch in (("language", row.language), ("tracker", row.tracker))
            if branch is not None and name in rles
        }
        old, new = before.decision, row.decision
        same = old.source == new.source and old.agree == new.agree
        mean = old.agree and new.agree  # of both maps, whichever branch is more probable
        fused = rles.get("fused") if same or mean else branches.get(new.source or "")
        fused = fused or _empty_mask(rles)
        masks[row.frame] = {**branches, "fused": fused} if fused is not None else branches
    record = {**overrides.to_json(), "changed": result.changed, "notes": list(result.notes)}
    return Run({**run.manifest, "what_if": record}, result.rows, masks)


def rotated_rectangle(run: Run, frame: int, branch: str) -> FloatArray | None:
    """Corners of the minimum-area rectangle around a recorded mask, ``(4, 2)`` x, y in pixels.

    None when the branch did not run or its mask is empty; about half a millisecond at 640x360.
    """
    mask = run.mask(frame, branch)
    return None if mask is None else enclosing_rectangle(mask)


def steps_from_run(run: Run, frames: Iterable[Frame]) -> Generator[Step]:
    """The steps of a run, made of its rows and masks and the video's frames, to draw or record them anew.

    The masks are those of the run: 0 or 1. Frames that the run lacks are left out.

    Raises:
        LangTrackError: a mask does not fit the frames: another video.
    """
    rows = {row.frame: row for row in run.rows}
    last = max(rows, default=-1)
    for frame in frames:
        row = rows.get(frame.index)
        if row is not None:
            language, tracker, fused = (
                _estimate(run, frame, name, branch)
                for name, branch in (
                    ("language", row.language),
                    ("tracker", row.tracker),
                    ("fused", row.fused),
                )
            )
            fused = fused or Estimate.absent(frame.size_hw)
            if row.decision.reason is Reason.USER_BOX:
                fused = replace(fused, corners_xy=None)  # the box is the person's, the mask the tracker's
            yield Step(frame, language, tracker, fused, row.decision)
        if frame.index >= last:
            return


def _estimate(run: Run, frame: Frame, name: str, result: BranchBox | None) -> Estimate | None:
    if result is None:
        return None
    mask = run.mask(frame.index, name)
    if mask is None:
        mask = np.zeros(frame.size_hw, np.bool_)
    if mask.shape != frame.size_hw:
        raise LangTrackError(
            f"The run is of another video: its masks are {mask.shape[1]}x{mask.shape[0]}, "
            f"frame {frame.index} is {frame.size_hw[1]}x{frame.size_hw[0]}."
        )
    corners = enclosing_rectangle(mask) if result.box_xyxy is not None else None
    return Estimate(mask.astype(np.float32), result.confidence, result.box_xyxy, corners)


def _decide_by_one(
    overrides: FusionOverrides, language: BranchBox | None, tracker: BranchBox | None, before: State
) -> Decision:
    """Believe one branch alone: absent below the threshold, and "lost" once the target was found."""
    source: Branch = "language" if overrides.rule == "language" else "tracker"
    result = language if source == "language" else tracker
    state_without: State = "searching" if before == "searching" else "lost"
    if result is None:
        reason = Reason.LANGUAGE_NOT_ASKED if source == "language" else Reason.TRACKER_NOT_STARTED
    elif result.box_xyxy is None:
        reason = Reason.NOTHING_SEEN
    elif result.confidence < overrides.fusion.lost:
        reason = Reason.LANGUAGE_UNSURE if source == "language" else Reason.TRACKER_IMPROBABLE
    else:
        reason = Reason.LANGUAGE_ONLY if source == "language" else Reason.TRACKER_ONLY
        return Decision(source, "tracking", result.confidence, False, False, reason)
    return Decision(None, state_without, 0.0, False, False, reason)


def _notes(run: Run, overrides: FusionOverrides) -> tuple[str, ...]:
    notes = [PATH_NOTE]
    recorded_every = _recorded_every(run)
    if overrides.every % recorded_every:
        notes.append(
            f"In this run the language branch ran on one frame in {recorded_every}; the frames between "
            "stay without it. Run again to use it more often."
        )
    if overrides.rule == "language" and all(row.language is None for row in run.rows):
        notes.append("This run had no expression, so the language branch finds nothing.")
    return tuple(notes)


def _recorded_every(run: Run) -> int:
    every = run.manifest.get("every", 1)
    return every if isinstance(every, int) and every >= 1 else 1


def _empty_mask(rles: Mapping[str, RLE]) -> RLE | None:
    """A mask without a positive pixel, in the size of the frame's other masks; None when there are none."""
    for rle in rles.values():
        return empty_rle(rle["size"])
    return None


def _same_box(a: FloatArray | None, b: FloatArray | None) -> bool:
    return a is b or (a is not None and b is not None and a.tolist() == b.tolist())


def corners_of(run: Run, rows: Sequence[Row]) -> list[list[float] | None]:
    """Rotated rectangle of the fused mask for each row, eight numbers x1, y1, …, x4, y4; None when absent.

    Where a person drew the box, or the mask is empty, these are the box's own corners.
    """
    rectangles: list[list[float] | None] = []
    for row in rows:
        box = row.fused.box_xyxy
        if box is None:
            rectangles.append(None)
            continue
        is_drawn = row.decision.reason is Reason.USER_BOX
        corners = None if is_drawn else rotated_rectangle(run, row.frame, "fused")
        if corners is None:
            x1, y1, x2, y2 = box.tolist()
            corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
        rectangles.append([round(float(value), 1) for value in corners.ravel()])
    return rectangles
