"""Branches that do as a test says, for the real loop of `LangTracker`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from langtrack_core.dmn.segmenter import DMNSegmenter, Look
from langtrack_core.dmn.vocabulary import WordIds
from langtrack_core.fusion import FusionConfig
from langtrack_core.pipeline import LangTracker
from langtrack_core.types import Branch, Decision, Estimate, Frame, Reason, State, UnreadableText

Language = Callable[[Frame, str], Estimate]
"""What the language branch says of a frame, asked for an expression."""

Tracker = Callable[[Frame], Estimate]
"""What the tracker sees on a frame."""


class FakeSegmenter:
    """The language branch; notes on which frames it ran.

    Args:
        answer: what it says. Takes ``every_region`` too when it has that parameter.
        vocabulary: its words, all others are unknown; None: every word is known.
    """

    at_once = 1
    finer: FakeSegmenter | None = None

    def __init__(self, answer: Language, vocabulary: Collection[str] | None = None) -> None:
        self.answer = answer
        self.words = vocabulary
        self.vocabulary = SimpleNamespace(read=self._read)
        self.frames: list[int] = []
        self.closer: Callable[[Frame, str], Estimate | None] | None = None
        self.searched: list[int] = []

    def _read(self, text: str) -> WordIds:
        words = tuple(text.lower().split())
        unknown = () if self.words is None else tuple(w for w in words if w not in self.words)
        if len(unknown) == len(words):
            raise UnreadableText(f"None of the words of {text!r} is known.")
        return WordIds((0,) * len(words), words, unknown)

    def encode(self, text: str) -> str:
        self._read(text)
        return text

    def segment(self, frame: Frame, encoded: str, *, every_region: bool = False) -> Estimate:
        self.frames.append(frame.index)
        if every_region:
            return self.answer(frame, encoded, every_region=True)  # type: ignore[call-arg]
        return self.answer(frame, encoded)

    def segment_all(self, looks: Sequence[Look], encoded: str) -> list[Callable[[], Estimate]]:
        self.frames += [frame.index for frame, _ in looks]
        return [cache(partial(self.answer, frame, encoded)) for frame, _ in looks]

    def search(self, frame: Frame, encoded: str) -> Estimate | None:
        """What a closer look finds; the frames are noted as ``searched``."""
        self.searched.append(frame.index)
        return None if self.closer is None else self.closer(frame, encoded)

    look = DMNSegmenter.look

    def look_around(self, frame: Frame, encoded: str, box_xyxy: ArrayLike) -> Estimate | None:
        return None


class FakeSiamese:
    """The tracker; notes when it was started and re-anchored, and on which box."""

    def __init__(
        self,
        answer: Tracker,
        starts: list[tuple[int, tuple[float, ...]]] | None = None,
        on_user_box: Tracker | None = None,
    ) -> None:
        self.answer = answer
        self.on_user_box = on_user_box or answer
        self.starts = [] if starts is None else starts
        self.box: tuple[float, ...] | None = None

    def init(self, frame: Frame, box_xyxy: ArrayLike, *, exact: bool = True) -> Estimate:
        self.reanchor(frame, box_xyxy)
        self.answer = self.on_user_box if exact else self.answer
        return self.answer(frame)

    def reanchor(self, frame: Frame, box_xyxy: ArrayLike) -> None:
        self.box = tuple(np.asarray(box_xyxy).tolist())
        self.starts.append((frame.index, self.box))

    def update(self, frame: Frame) -> Estimate:
        return self.answer(frame)


def fake_tracker(
    language: Language,
    tracker: Tracker,
    *,
    on_user_box: Tracker | None = None,
    vocabulary: Collection[str] | None = None,
    weights: Collection[dict[str, Any]] = (),
    fusion: FusionConfig | None = None,
    cls: type[LangTracker] = LangTracker,
) -> Any:
    """A real `LangTracker` around fake branches; ``starts`` lists the frames and boxes it started on.

    Args:
        fusion: by default that of the product, but for a start on the first frame that is sure enough.
        on_user_box: what the tracker sees when it was started on a box that a person drew; ``tracker`` by
            default.
    """
    starts: list[tuple[int, tuple[float, ...]]] = []
    result = cls(
        FakeSegmenter(language, vocabulary),  # type: ignore[arg-type]
        lambda: FakeSiamese(tracker, starts, on_user_box),  # type: ignore[arg-type, return-value]
        fusion or FusionConfig(look_ahead=1),
        list(weights),
    )
    result.starts = starts  # type: ignore[attr-defined]
    return result


ORACLE_WEIGHTS = [{"branch": "tracker", "name": "oracle", "files": {"truth": "0" * 64}}]
"""What a run's manifest says of the weights of `oracle_tracker`."""


def oracle_tracker(
    masks: NDArray[np.bool_],
    vocabulary: Collection[str] | None = ("the", "red", "ellipse"),
    cls: type[LangTracker] = LangTracker,
) -> Any:
    """Both branches answer with the truth."""

    def truth(frame: Frame) -> NDArray[np.float32]:
        return masks[frame.index].astype(np.float32)

    def language(frame: Frame, text: str, *, every_region: bool = False) -> Estimate:
        return Estimate.from_mask(truth(frame), 0.8 if masks[frame.index].any() else 0.1)

    def tracker(frame: Frame) -> Estimate:
        return Estimate.from_mask(truth(frame), 0.9 if masks[frame.index].any() else 0.1)

    return fake_tracker(language, tracker, vocabulary=vocabulary, weights=ORACLE_WEIGHTS, cls=cls)


def decided(source: Branch | None, state: State = "tracking") -> Decision:
    """A decision for rows of a made-up run."""
    return Decision(source, state, 0.5, False, False, Reason.TRACKER_ONLY)
