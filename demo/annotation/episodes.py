"""What to look at first: the frames on which the two branches disagree, as episodes to judge."""

from __future__ import annotations

from typing import NamedTuple

from langtrack_core.fusion import overlap
from langtrack_core.types import Reason
from langtrack_lab.runs import Row, Run

SAME_PLACE_IOU = 0.5
"""Boxes of the two branches with at least this IoU mean the same place: it is the IoU above which a box
counts as right, in the calibration of the confidences too."""
MIN_SCORE = 0.1
"""Smallest disagreement that begins an episode. Below it one branch alone sees something and hardly believes
it, so there is nothing to choose between."""
MAX_GAP = 2
"""Largest number of frames without disagreement inside an episode: the branches touch for a moment, and one
verdict still serves both sides."""


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


class Disagreement(NamedTuple):
    """How much the branches disagree on a frame: ``score`` in [0, 1], and ``why`` in words."""

    score: float
    why: str


def disagreement(row: Row) -> Disagreement:
    """Measure how much the branches disagree on a frame.

    Where both see something: 1 minus the IoU of their boxes, weighted up to double by how sure the less sure
    one is (two sure branches at different places are the worst case). Where one sees it and the other does
    not: the confidence of the one. Where they mean the same place, or one did not look: nothing.
    """
    language, tracker = row.language, row.tracker
    if language is None or tracker is None or not differ(row):
        return Disagreement(0.0, "")
    if (iou := overlap(language, tracker)) is not None:
        sure = min(language.confidence, tracker.confidence)
        why = "both sure, at different places" if sure >= 0.5 else "branches at different places"
        return Disagreement((1 - iou) * (0.5 + 0.5 * sure), why)
    result, branch = (tracker, "tracker") if language.box_xyxy is None else (language, "language")
    return Disagreement(0.75 * result.confidence, f"only the {branch} sees it")


class Episode(NamedTuple):
    """Frames in a row on which the branches disagree.

    Attributes:
        first, last: both included.
        peak: the frame with the largest disagreement.
        score, why: of that frame, see `Disagreement`.
    """

    first: int
    last: int
    peak: int
    score: float
    why: str


def episodes(run: Run) -> list[Episode]:
    """The episodes of a track in the order of time. Frames on which a branch did not look interrupt none."""
    result: list[Episode] = []
    gap = 0  # frames since the last disagreement on which both branches looked
    for row in run.rows:
        score, why = disagreement(row)
        if score < MIN_SCORE:
            gap += row.language is not None and row.tracker is not None
            continue
        if not result or gap > MAX_GAP:
            result.append(Episode(row.frame, row.frame, row.frame, score, why))
        else:
            episode = result[-1]._replace(last=row.frame)
            result[-1] = (
                episode._replace(peak=row.frame, score=score, why=why) if score > episode.score else episode
            )
        gap = 0
    return result
