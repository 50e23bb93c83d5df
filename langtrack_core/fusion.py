"""Two results in, one decision out, and why.

The branches know nothing of each other until both scores exist. A score is calibrated to the probability
that the branch's box is right (IoU with the truth above 0.5). Where the branches agree, the tracker's box is
taken, which is steadier, and the mean of both masks; where they differ, the more probable one is believed;
and nobody when both have been improbable for several frames. `decide` sees confidences and boxes alone, so
that it can be played again with other settings without running a network; `fuse` makes the estimate that was
decided on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from .geometry import FloatArray, box_iou
from .types import Branch, Decision, Estimate, LangTrackError, Reason, State

Item = TypeVar("Item")
Result = TypeVar("Result", bound=Any)  # of a dataclass with a `Decision` as ``decision``


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(x / 2))  # this form cannot overflow


@dataclass(frozen=True)
class Calibration:
    """Logistic map from a branch's raw score to the probability that its IoU with the truth is above 0.5."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, raw_score: float) -> float:
        return _sigmoid(self.slope * raw_score + self.intercept)


class Limit(NamedTuple):
    """The range of a setting, both ends included, and the step in which a person changes it."""

    low: float
    high: float
    step: float


FUSION_LIMITS: dict[str, Limit] = {
    **dict.fromkeys(("start", "lost", "margin", "overlap", "distrust_rate"), Limit(0.0, 1.0, 0.01)),
    "look_ahead": Limit(1, 100, 1),
    "lost_after": Limit(1, 60, 1),
    "reanchor_after": Limit(1, 30, 1),
}
"""Limits of the settings of `FusionConfig`, which the page's sliders have too."""


@dataclass(frozen=True)
class FusionConfig:
    """Thresholds of the fusion. Confidences are calibrated: P(box IoU with the truth > 0.5).

    Attributes:
        start: confidence from which the language branch may start the tracker, or find a lost target again.
        look_ahead: with words alone, language looks at so many frames before it is believed, and what is
            followed begins on the surest one, from there back, and on; see `frames_ahead`, `SURE_FRAMES`.
        lost: the target counts as lost when both branches are below this confidence
        lost_after: on so many frames in a row. Until then the more probable box is given, with its low
            confidence: a blur or a turn lasts a few frames, and the tracker mostly still has the target.
        margin: how much more probable the language branch has to be to count as clearly better.
        overlap: box IoU from which the branches agree.
        reanchor_after: language frames in a row on which the language branch has to be clearly better, at
            another place, before the tracker is re-anchored on its box.
        distrust_rate: share of the language branch's log-odds by which the tracker loses belief on a frame
            where language sees the target elsewhere, and wins it back where they agree; 0: it is believed as
            on the frame on which it was started.
    """

    start: float = 0.44
    look_ahead: int = 32
    lost: float = 0.1
    lost_after: int = 6
    margin: float = 0.15
    overlap: float = 0.5
    reanchor_after: int = 3
    distrust_rate: float = 0.1

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value, limit = getattr(self, name), FUSION_LIMITS[name]
            if not limit.low <= value <= limit.high:
                raise LangTrackError(f"{name} must be in [{limit.low:g}, {limit.high:g}], got {value}.")

    def frames_ahead(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """How many frames are looked at before one is believed, and how many wait to be followed back to:
        `look_ahead`, and `LOOK_BACK` times as many, as far as memory lasts; with a `look_ahead` of 1 none."""
        room = max(1, PIXELS_AHEAD // (size_hw[0] * size_hw[1]))
        ahead = min(self.look_ahead, room)
        return ahead, 1 if ahead == 1 else min(LOOK_BACK * ahead, room)


LOOK_BACK = 3
"""What is found late was mostly there before: so many times more frames wait than are looked at."""

SURE_AT_ONCE = 0.92
"""Confidence of a frame from which no further one is looked at: what is plain to see is followed at once."""

SURE_FRAMES = 4
"""Number of frames in a row on which language has to reach `start` in the mean before a run begins."""

PIXELS_AHEAD = 42_000_000
"""What the frames that wait may have together, some 6 bytes each: 32 of 1280x720 have 29 million."""

SURE_CLOSER = 0.63
"""Confidence from which what a closer view shows may start the tracker: there are several views, and the
surest is taken."""

MAX_LOG_ODDS = 4.0
"""Log-odds of 0.98: the belief in a box that a person drew, and the most that the language branch can bring
about. A larger bound would take more frames of contradiction to overcome."""


@dataclass(frozen=True)
class FusionState:
    """What the decision carries from frame to frame.

    Attributes:
        state: after the last frame.
        language_streak: language frames in a row on which the language branch was clearly better, elsewhere.
        improbable_streak: frames in a row on which both branches were improbable.
        log_odds_same_target: log-odds that the tracker was started on what the expression means. The
            tracker's own confidence cannot know: it only says that it still follows the same thing.
        hold: `Query.hold`.
    """

    state: State = "searching"
    language_streak: int = 0
    improbable_streak: int = 0
    log_odds_same_target: float = MAX_LOG_ODDS
    hold: bool = False


class BranchResult(Protocol):
    """What the decision needs of a branch: an `Estimate` has it, and so has a row of a recorded run."""

    @property
    def box_xyxy(self) -> FloatArray | None: ...
    @property
    def confidence(self) -> float: ...


def overlap(one: BranchResult | None, other: BranchResult | None) -> float | None:
    """IoU of two results' boxes; None where one did not run or found nothing."""
    if one is None or other is None or one.box_xyxy is None or other.box_xyxy is None:
        return None
    return box_iou(one.box_xyxy, other.box_xyxy)


def decide(
    language: BranchResult | None, tracker: BranchResult | None, state: FusionState, config: FusionConfig
) -> tuple[Decision, FusionState]:
    """Choose the branch to believe on one frame; with the decision comes the state for the next frame.

    Args:
        language, tracker: what the branches say of the frame; None for a branch that did not run.
        state: from the frame before.
    """
    iou = overlap(language, tracker)
    agree = iou is not None and iou >= config.overlap
    language_sees = language is not None and language.box_xyxy is not None
    ignored = state.hold and language_sees and not (agree and state.state == "tracking")
    if ignored:
        language, language_sees = None, False
    p_language, p_tracker = probability(language), probability(tracker)
    on_language = FusionState("tracking", log_odds_same_target=_log_odds(p_language))

    if state.state != "tracking":
        if language_sees and p_language >= config.start:
            reason = Reason.FOUND if state.state == "searching" else Reason.FOUND_AGAIN
            return Decision("language", "tracking", p_language, False, True, reason), on_language
        if tracker is None or p_tracker < config.start:
            if state.state == "lost":
                reason = Reason.TRACKER_IMPROBABLE if language is None else Reason.IMPROBABLE
            else:
                reason = Reason.LANGUAGE_NOT_ASKED if language is None else Reason.LANGUAGE_UNSURE
            return Decision(None, state.state, 0.0, False, False, reason), replace(state, language_streak=0)

    if language_sees and tracker is not None:
        change = config.distrust_rate * max(0.0, _log_odds(p_language))
        log_odds = state.log_odds_same_target + (change if agree else -change)
        state = replace(state, log_odds_same_target=max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, log_odds)))
    believed_tracker = p_tracker * _sigmoid(state.log_odds_same_target)

    if language is not None:  # a frame without language neither adds to the streak nor ends it
        elsewhere = language_sees and not agree
        clearly_better = elsewhere and p_language >= max(config.start, believed_tracker + config.margin)
        state = replace(state, language_streak=state.language_streak + 1 if clearly_better else 0)
        if state.language_streak >= config.reanchor_after:
            return Decision("language", "tracking", p_language, False, True, Reason.REANCHORED), on_language

    source: Branch = "language" if p_language > believed_tracker and not agree else "tracker"
    result = language if source == "language" else tracker
    improbable = max(believed_tracker, p_language) < config.lost
    streak = state.improbable_streak + 1 if improbable else 0
    if result is None or result.box_xyxy is None or streak >= config.lost_after:
        decision = Decision(None, "lost", 0.0, False, False, Reason.IMPROBABLE)
        return decision, FusionState("lost", hold=state.hold)
    if agree:
        reason, confidence = Reason.AGREE, max(p_tracker, p_language)
    elif source == "language":
        reason = Reason.LANGUAGE_ONLY if tracker is None else Reason.LANGUAGE_SURER
        confidence = p_language
    else:
        reason, confidence = Reason.TRACKER_SURER if language_sees else Reason.LANGUAGE_ABSENT, p_tracker
        reason = Reason.TRACKER_ONLY if language is None else reason
        reason = Reason.HELD if ignored else reason
    reason = Reason.DOUBTFUL if improbable else reason
    state = replace(state, state="tracking", improbable_streak=streak)
    return Decision(source, "tracking", confidence, agree, False, reason), state


def from_the_surest(
    frames: Iterable[Item],
    look: Callable[[Item], tuple[Item, float]],
    new: Callable[[FusionConfig], Callable[[Item], Result]],
    config: FusionConfig,
    size_hw: Callable[[Item], tuple[int, int]],
    packed: Callable[[Result], Callable[[], Result]] = lambda result: lambda: result,
) -> Generator[Result]:
    """What comes of each frame, in order, begun on the surest one of several: back to the first, then on.

    Args:
        frames: with what is known of them.
        look: for what a run may start on: a frame with what is known of it then, and how sure language is.
        new: makes what is called for one frame after the other, with a state of its own. On the way back the
            tracker loses no belief where language sees the target elsewhere: it is less sure of that.
        size_hw: of a frame's picture, for `FusionConfig.frames_ahead`. While language is not sure on
            `SURE_FRAMES` in a row, the first one that waits is given up.
        packed: what is kept of a result on the way back, until its turn.
    """
    frames, held, sures = iter(frames), list[Item](), list[float]()
    step, plain, surest = new(replace(config, start=1.0)), max(config.start, SURE_AT_ONCE), 0

    def is_believed() -> bool:
        seen = [sure for sure in sures if sure]  # 0 where language was not asked, or saw nothing
        rows = [seen[i : i + SURE_FRAMES] for i in range(len(seen)) if not i or i + SURE_FRAMES <= len(seen)]
        return any(max(row) >= plain or sum(row) / len(row) >= config.start for row in rows)

    for frame in frames:
        (item, sure), (most, room) = look(frame), config.frames_ahead(size_hw(frame))
        held.append(item)
        sures = [*sures, round(sure, 4)][-most:]  # as in a run's files, from which it is decided again
        if sures[-1] >= plain or len(sures) == most:
            if is_believed():
                break
            if len(held) >= room:
                yield step(held.pop(0))  # which begins nothing, by its `start`
    if is_believed():
        step, surest = new(config), len(held) - len(sures) + sures.index(max(sures))
    if surest:
        back, found = new(replace(config, distrust_rate=0.0)), False
        for result in (later() for later in [packed(back(item)) for item in held[surest::-1]][:0:-1]):
            found = found or result.decision.state == "tracking"
            searching = replace(result.decision, state="searching")  # it was not there yet, so never lost
            yield result if found else replace(result, decision=searching)
        del back, result, held[:surest]
    while held:
        yield step(held.pop(0))
    yield from map(step, frames)


def fuse(
    language: Estimate | None, tracker: Estimate | None, decision: Decision, size_hw: tuple[int, int]
) -> Estimate:
    """Make the estimate that was decided on; the mask of an absent target is empty, of ``size_hw``.

    Where the branches agree the mask is the mean of their maps: when this was chosen, its mean IoU on
    dev/davis was 0.743, and 0.729 for the more probable branch's own."""
    estimate = language if decision.source == "language" else tracker
    if decision.source is None or estimate is None:
        return Estimate.absent(size_hw)
    if decision.agree and tracker is not None and language is not None:
        mean = (tracker.mask_prob + language.mask_prob) / np.float32(2)
        return replace(estimate, mask_prob=mean, confidence=decision.confidence)
    return estimate


def probability(result: BranchResult | None) -> float:
    """How probably a branch's box is right; 0 without one."""
    return 0.0 if result is None or result.box_xyxy is None else result.confidence


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, _sigmoid(-MAX_LOG_ODDS)), _sigmoid(MAX_LOG_ODDS))
    return math.log(bounded / (1 - bounded))
