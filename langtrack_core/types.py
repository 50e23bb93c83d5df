"""The values that cross boundaries: Frame, Query, Estimate, Decision, Step. All frozen, checked when made."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .geometry import Float32Array, FloatArray, clip_box
from .masks import BoolMask, binarise, enclosing_box, enclosing_rectangle, prob_to_u8

Branch = Literal["language", "tracker"]
"""The two branches: the language-guided module, and the Siamese tracker."""

BRANCHES: tuple[Branch, ...] = get_args(Branch)
"""Both branches, in the order in which arguments, columns and tables name them."""

State = Literal["searching", "tracking", "lost"]
"""searching: never found yet; tracking: the fused box is believed; lost: found before, not now."""


class Reason(StrEnum):
    """Why a frame was decided as it was: the code that files hold, and what people are shown for it.

    No program reads the text."""

    text: str

    def __new__(cls, code: str, text: str = "") -> Reason:
        reason = str.__new__(cls, code)
        reason._value_, reason.text = code, text
        return reason

    FOUND = "found", "found by language"
    FOUND_AGAIN = "found_again", "found again by language"
    LANGUAGE_UNSURE = "language_unsure", "language not sure enough"
    LANGUAGE_NOT_ASKED = "language_not_asked", "language not asked on this frame"
    DOUBTFUL = "doubtful", "both branches improbable, but not for long: the more probable one"
    IMPROBABLE = "improbable", "both branches improbable"
    TRACKER_IMPROBABLE = "tracker_improbable", "tracker improbable"
    REANCHORED = "reanchored", "language clearly better for several frames: tracker re-anchored"
    AGREE = "agree", "branches agree: the tracker's box, the mean of both masks"
    TRACKER_ONLY = "tracker_only", "tracker alone on this frame"
    LANGUAGE_ONLY = "language_only", "language alone on this frame"
    LANGUAGE_SURER = "language_surer", "branches differ, language more probable"
    TRACKER_SURER = "tracker_surer", "branches differ, tracker more probable"
    LANGUAGE_ABSENT = "language_absent", "language sees nothing, tracker more probable"
    NOTHING_SEEN = "nothing_seen", "the branch sees nothing"
    TRACKER_NOT_STARTED = "tracker_not_started", "tracker not started yet"
    HELD = "held", "the words fit something else too: the chosen target is held to"
    USER_BOX = "user_box", "your box"
    SAME_TARGET = "same_target", "on the same thing as another target of this run"


MAX_CHARACTERS = 500
"""Longest expression in characters. The longest of the public referring data sets stay below 400."""


class LangTrackError(Exception):
    """Anything a user can put right. Its text says what was expected, what came and what to do."""


class UnreadableText(LangTrackError):
    """An expression that is empty, too long, or without any known word."""


def normalised_text(text: str) -> str:
    """An expression in NFKC; UnreadableText when it is blank, over 500 characters, or without any letter or
    digit. Whether its words are known is the vocabulary's business."""
    text = unicodedata.normalize("NFKC", text) if len(text) <= MAX_CHARACTERS else text
    if len(text) > MAX_CHARACTERS:  # one character may normalise to 18
        raise UnreadableText(
            f"An expression may have at most {MAX_CHARACTERS} characters, but this one has {len(text)}; "
            "say it shorter."
        )
    if not text.strip():
        raise UnreadableText("The expression is empty; describe the object, for example: the red car.")
    if not any(c.isalnum() for c in text):
        raise UnreadableText(
            f'The expression "{shorten(text)}" has no words in it; describe the object, '
            "for example: the red car."
        )
    return text


def shorten(text: str) -> str:
    """Fit for a one-line message: printable, at most 80 characters."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= 80 else printable[:79] + "…"


def check_box(box_xyxy: ArrayLike, size_hw: tuple[int, int] | None = None) -> FloatArray:
    """A box from outside as ``(4,)`` numbers.

    Args:
        size_hw: size of the picture in which some of the box has to lie.

    Raises:
        LangTrackError: not four finite numbers, without an area, in shares of the picture instead of pixels,
            or outside the picture.
    """
    try:
        box = np.asarray(box_xyxy, dtype=np.float64)
    except (TypeError, ValueError):
        box = np.empty(0)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise LangTrackError(f"A box is four finite numbers x1,y1,x2,y2, got {box_xyxy!s:.80}.")
    corners = ",".join(f"{value:g}" for value in box)
    if box[2] <= box[0] or box[3] <= box[1]:
        raise LangTrackError(f"A box x1,y1,x2,y2 needs x2 > x1 and y2 > y1, got {corners}.")
    if box.min() >= 0 and box.max() <= 1 and size_hw != (1, 1):
        raise LangTrackError(
            f"A box is in pixels, but {corners} looks like shares of the picture; multiply them by its size."
        )
    if size_hw is not None and clip_box(box, size_hw) is None:
        raise LangTrackError(
            f"The box {corners} lies outside the picture, which is {size_hw[1]}x{size_hw[0]}."
        )
    return box


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture.

    Attributes:
        index: place in the video, from 0.
        time_s: presentation time in seconds from the first frame.
        rgb: ``(H, W, 3)`` uint8.
    """

    index: int
    time_s: float
    rgb: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ValueError(f"rgb must be (H, W, 3) uint8, got {self.rgb.shape} {self.rgb.dtype}")
        if self.index < 0 or not np.isfinite(self.time_s):
            raise ValueError(f"index must be >= 0 and time_s finite, got {self.index} and {self.time_s}")

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]


@dataclass(frozen=True, eq=False)
class Query:
    """What to follow: a referring expression, a box on the first frame, or both.

    Attributes:
        text: the referring expression, one that `normalised_text` takes.
        box_xyxy: ``(4,)`` pixels of frame ``start``, half-open; with an area.
        start: index of the first frame to look at.
        hold: the box says which of several things that the words fit: what language sees elsewhere never
            counts. Without it the words say what is meant, and the box where it begins.
        exact: the box is the truth on its frame; False for an estimate, such as a region of a mask.
    """

    text: str | None = None
    box_xyxy: FloatArray | None = None
    start: int = 0
    hold: bool = False
    exact: bool = True

    def __post_init__(self) -> None:
        if self.text is None and self.box_xyxy is None:
            raise LangTrackError("Say what to follow: an expression, a box, or both.")
        if self.text is not None:
            normalised_text(self.text)
        if self.start < 0 or self.start % 1:
            raise LangTrackError(f"The start frame is a whole number from 0 on, got {self.start}.")
        if self.box_xyxy is not None:
            object.__setattr__(self, "box_xyxy", check_box(self.box_xyxy))


@dataclass(frozen=True, eq=False)
class Estimate:
    """What one branch, or the fusion, says of one frame.

    Attributes:
        mask_prob: ``(H, W)`` float32 in [0, 1], frame size.
        confidence: calibrated probability in [0, 1] that the IoU with the truth is above 0.5.
        box_xyxy: ``(4,)`` pixels, half-open; None when the target is not there.
        corners_xy: ``(4, 2)`` rotated rectangle of minimum area; None when the target is not there.
    """

    mask_prob: Float32Array
    confidence: float
    box_xyxy: FloatArray | None
    corners_xy: FloatArray | None = None

    def __post_init__(self) -> None:
        mask = self.mask_prob
        if mask.ndim != 2 or mask.dtype != np.float32:
            raise ValueError(f"mask_prob must be (H, W) float32, got {mask.shape} {mask.dtype}")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence must be in [0, 1], got {self.confidence}")
        if self.box_xyxy is not None and self.box_xyxy.shape != (4,):
            raise ValueError(f"box_xyxy must have shape (4,), got {self.box_xyxy.shape}")

    @classmethod
    def absent(cls, size_hw: tuple[int, int], confidence: float = 0.0) -> Estimate:
        """The target is not there: an empty mask and no box. A value, not an error."""
        return cls(np.zeros(size_hw, np.float32), confidence, None)

    @classmethod
    def from_mask(cls, mask_prob: Float32Array, confidence: float) -> Estimate:
        """The minimum enclosing rectangles of the positive pixels; absent when there are none."""
        mask_u8 = prob_to_u8(mask_prob)
        mask = binarise(mask_u8)
        estimate = cls(mask_prob, confidence, enclosing_box(mask), enclosing_rectangle(mask))
        estimate.__dict__.update(mask_u8=mask_u8, mask=mask)  # where the cached properties keep them
        return estimate

    def packed(self) -> Callable[[], Estimate]:
        """What gives this estimate again, its mask rounded to 0 to 255: one byte a pixel is held, not six."""
        mask_u8, others = self.mask_u8, (self.confidence, self.box_xyxy, self.corners_xy)
        return lambda: Estimate(mask_u8.astype(np.float32) / np.float32(255), *others)

    @cached_property
    def mask_u8(self) -> NDArray[np.uint8]:
        """``(H, W)`` uint8, 0 to 255."""
        return prob_to_u8(self.mask_prob)

    @cached_property
    def mask(self) -> BoolMask:
        """``(H, W)`` bool: the pixels over 128."""
        return binarise(self.mask_u8)


@dataclass(frozen=True)
class Decision:
    """Which branch is believed on one frame, and why.

    Attributes:
        source: the branch whose box is taken; None when the target counts as absent.
        state: after this frame.
        confidence: that of the believed branch; where both agree, that of the surer one; 0 when absent.
        agree: both branches ran and their boxes overlap enough: the fused mask is the mean of theirs.
        reanchor: the tracker starts anew on the language branch's box, for the first time or again.
        reason: why.
    """

    source: Branch | None
    state: State
    confidence: float
    agree: bool
    reanchor: bool
    reason: Reason


@dataclass(frozen=True, eq=False)
class Step:
    """Everything that is known of one frame; a branch that did not run on it is None."""

    frame: Frame
    language: Estimate | None
    tracker: Estimate | None
    fused: Estimate
    decision: Decision
