"""Two confidences in, one estimate out, and why.

The branches know nothing of each other until both scores exist. A score is calibrated to the probability
that the branch's box is right (IoU with the truth above 0.5); per frame the more probable branch is
believed, and nobody when both are improbable. The rule uses confidences and boxes alone, so that it can be
played again with other settings without running a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from .geometry import box_iou
from .types import Estimate, LangTrackError, State


@dataclass(frozen=True)
class Calibration:
    """Logistic map from a branch's raw score to the probability that its IoU with the truth is above 0.5."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, raw_score: float) -> float:
        return 0.5 * (1.0 + math.tanh((self.slope * raw_score + self.intercept) / 2))


@dataclass(frozen=True)
class FusionConfig:
    """When to believe whom.

    Attributes:
        start: confidence at which the language branch may start the tracker, or find a lost target again.
        lost: below this, for both branches, the target counts as lost.
        margin: how much more probable the language branch has to be to count as clearly better.
        overlap: box IoU from which the branches agree, and nothing needs to be put right.
        patience: language frames in a row that it has to be clearly better before the tracker is re-anchored.
    """

    start: float = 0.5
    lost: float = 0.25
    margin: float = 0.15
    overlap: float = 0.5
    patience: int = 3

    def __post_init__(self) -> None:
        for name in ("start", "lost", "margin", "overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise LangTrackError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if self.patience < 1:
            raise LangTrackError(f"patience must be 1 or more, got {self.patience}.")


@dataclass(frozen=True)
class Memory:
    """What the decision carries from frame to frame.

    Attributes:
        state: of the last frame.
        lead: language frames in a row on which the language branch was clearly better, elsewhere.
    """

    state: State = "searching"
    lead: int = 0


class Decision(NamedTuple):
    """The fused estimate, why, whether the tracker has to start anew on the language box, and what to
    remember."""

    fused: Estimate
    reason: str
    anchor: bool
    memory: Memory


def fuse(
    tracked: Estimate | None,
    grounded: Estimate | None,
    memory: Memory,
    config: FusionConfig,
    size_hw: tuple[int, int],
) -> Decision:
    """Decide on one frame.

    Args:
        tracked, grounded: what the tracker and the language branch say; None for a branch that did not run.
        memory: from the frame before.
        size_hw: of the frame, for the empty mask of an absent target.
    """
    p_tracked, p_grounded = _probability(tracked), _probability(grounded)
    if memory.state != "tracking":
        if grounded is not None and grounded.present and p_grounded >= config.start:
            reason = "found by language" if memory.state == "searching" else "found again by language"
            return Decision(grounded, reason, True, Memory("tracking"))
        if tracked is None or p_tracked < config.start:
            reason = (
                "language not sure enough" if grounded is not None else "language not asked on this frame"
            )
            if memory.state == "lost":
                reason = "both branches improbable" if grounded is not None else "tracker improbable"
            return Decision(Estimate.absent(size_hw), reason, False, replace(memory, lead=0))

    elsewhere = grounded is not None and grounded.present and not _agree(tracked, grounded, config)
    if grounded is not None:  # a frame without language neither adds to the lead nor ends it
        clearly_better = elsewhere and p_grounded >= max(config.start, p_tracked + config.margin)
        memory = replace(memory, lead=memory.lead + 1 if clearly_better else 0)
    if grounded is not None and memory.lead >= config.patience:
        reason = f"language clearly better on {memory.lead} frames: tracker re-anchored"
        return Decision(grounded, reason, True, Memory("tracking"))
    best = grounded if grounded is not None and p_grounded > p_tracked else tracked
    if best is None or not best.present or best.confidence < config.lost:
        return Decision(Estimate.absent(size_hw), "both branches improbable", False, Memory("lost"))
    if grounded is None:
        reason = "tracker alone on this frame"
    elif tracked is None:
        reason = "language alone on this frame"
    else:
        how = (
            "language sees nothing"
            if not grounded.present
            else "branches differ"
            if elsewhere
            else "branches agree"
        )
        reason = f"{how}, {'language' if best is grounded else 'tracker'} more probable"
    return Decision(best, reason, False, replace(memory, state="tracking"))


def _probability(estimate: Estimate | None) -> float:
    return estimate.confidence if estimate is not None and estimate.present else 0.0


def _agree(tracked: Estimate | None, grounded: Estimate, config: FusionConfig) -> bool:
    if tracked is None or tracked.box_xyxy is None or grounded.box_xyxy is None:
        return False
    return box_iou(tracked.box_xyxy, grounded.box_xyxy) >= config.overlap
