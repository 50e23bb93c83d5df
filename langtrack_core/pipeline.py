"""The loop: frames in, steps out. All that one frame hands to the next is in `_Target`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import count, dropwhile, islice
from typing import Any

import torch

from .dmn.segmenter import DMNSegmenter, EncodedText
from .dmn.vocabulary import WordIds
from .fusion import SURE_CLOSER, FusionConfig, FusionState, decide, from_the_surest, fuse, probability
from .geometry import clip_box
from .siammask.tracker import SiamMaskTracker
from .threads import prefetch
from .types import Decision, Estimate, Frame, LangTrackError, Query, Reason, Step
from .weights.load import Example, build_segmenter, build_tracker, choose

_Seen = tuple[Frame, dict[str, Callable[[], Estimate]]]
"""A frame, and what gives what language says of it, for each text."""
_Asked = tuple[Frame, Callable[[], Estimate | None]]
"""A frame, and what gives what language says of it."""

LOOK_EVERY = 3
"""Closer views are looked at on one of so many language frames: each takes as long as the whole."""


class LangTracker:
    """Follows what a query describes. Holds the shared, read-only networks; any number of runs at a time.

    Args:
        segmenter: the language branch.
        new_tracker: makes a Siamese tracker with a state of its own; called once for each target of a run.
        fusion: thresholds of the decision.
        weights: what the manifest of a run says of the weights.
        prefetch: frames that are decoded and segmented, in a second thread, before the tracker asks for
            them; with 0 the branches take turns, so that each can be timed.

    Example:
        >>> tracker = LangTracker.from_pretrained("lite")
        >>> for step in tracker.track(read_frames("clip.mp4"), Query(text="the red car")):
        ...     print(step.frame.index, step.decision.state, step.fused.box_xyxy)
    """

    def __init__(
        self,
        segmenter: DMNSegmenter,
        new_tracker: Callable[[], SiamMaskTracker],
        fusion: FusionConfig | None = None,
        weights: Sequence[dict[str, Any]] = (),
        prefetch: int = 2,
    ) -> None:
        self.segmenter = segmenter
        self.new_tracker = new_tracker
        self.fusion = fusion or FusionConfig()
        self.prefetch = prefetch
        self.info: dict[str, Any] = {"weights": list(weights), "settings": {"fusion": asdict(self.fusion)}}

    @classmethod
    def from_pretrained(
        cls,
        name: str = "lite",
        device: str = "cpu",
        fusion: FusionConfig | None = None,
        backend: str = "auto",
        prefetch: int = 2,
        precision: str = "auto",
        example: Example | None = None,
    ) -> LangTracker:
        """Both branches by the name of their weights, or with one branch's checkpoint file.

        Args:
            name: "lite", a name of the user's own, or the path of one branch's checkpoint. The branch that it
                does not have is the lite one.
            device: as PyTorch names it.
            backend: "openvino" or "torch"; "auto" takes OpenVINO on a CPU, where it is there and works.
            prefetch: see the class.
            precision: "float32", "bfloat16", "int8" (OpenVINO alone); "auto": see `Compiler`, else float32.
            example: what comes first, where it is known: nothing else is made ready then.

        Raises:
            LangTrackError: unknown name, device, backend or precision; missing, altered or wrong file.
        """
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            raise LangTrackError(f"The device {device!r} cannot be used here; try cpu.") from error
        entries = choose(name)
        segmenter, language_info = build_segmenter(entries["language"], device, backend, precision, example)
        new_tracker, tracker_info = build_tracker(entries["tracker"], device, backend, precision)
        if fusion is None and entries["language"].network == "dmn":  # which does not say how sure it is
            fusion = FusionConfig(look_ahead=1)
        return cls(segmenter, new_tracker, fusion, [language_info, tracker_info], prefetch)

    def read_text(self, text: str) -> WordIds:
        """Read an expression without any network, see `Vocabulary.read`."""
        return self.segmenter.vocabulary.read(text)

    def look_closer(self, frame: Frame, encoded: EncodedText, whole: Estimate) -> Estimate:
        """What a run may start on: what is meant in the whole frame, or, where that leaves the language
        branch unsure, what a closer view shows for sure."""
        if whole.box_xyxy is not None and whole.confidence >= self.fusion.start:
            return whole
        closer = (self.segmenter.finer or self.segmenter).search(frame, encoded)
        return whole if closer is None or closer.confidence < SURE_CLOSER else closer

    def track(self, frames: Iterable[Frame], query: Query, *, every: int = 1) -> Generator[Step]:
        """Follow the target, one `Step` a frame from frame ``query.start`` on.

        With a text alone, the language box starts the tracker on the surest of the next
        `FusionConfig.look_ahead` frames where it is confident enough, from which it goes back, and on; until
        then the state is "searching". With a box, the tracker starts on it at once, and on that frame the box
        is the fused one.

        Args:
            frames: in order, where those before ``query.start`` are passed over; or from ``query.start`` on
                backward.
            query: what to follow.
            every: the language branch runs on every so many frames, the tracker on all.

        Raises:
            LangTrackError: with the first step, for an expression that cannot be read, or a box outside the
                picture.
        """
        with closing(self.track_all(frames, [query], every=every)) as steps:
            yield from (step for [step] in steps)

    def track_all(
        self, frames: Iterable[Frame], queries: Sequence[Query], *, every: int = 1
    ) -> Generator[tuple[Step, ...]]:
        """Follow several targets through one decoding: a `Step` of each for every frame, in step.
        LangTrackError as `track`, and for no query, or queries that start on different frames."""
        if every < 1 or every % 1:
            raise LangTrackError(f"The language branch runs on every K-th frame, K from 1 on; got {every}.")
        if len({query.start for query in queries}) != 1:
            raise LangTrackError("Targets that are followed together have to share one start frame.")
        encoded = {q.text: self.segmenter.encode(q.text) for q in queries if q.text is not None}
        start = queries[0].start

        def segmented() -> Generator[_Seen]:
            """What needs nothing from the frame before: decoding, and the language branch."""
            numbered = enumerate(dropwhile(lambda frame: frame.index < start, frames))
            while group := list(islice(numbered, self.segmenter.at_once)):
                looks = [(frame, None) for number, frame in group if number % every == 0]
                found = {text: iter(self.segmenter.segment_all(looks, e)) for text, e in encoded.items()}
                for number, frame in group:
                    yield frame, {text: next(e) for text, e in found.items() if number % every == 0}

        with closing(prefetch(segmented(), self.prefetch)) as seen:
            waiting = [deque[_Seen]() for _ in queries]

            def frames_of(own: deque[_Seen]) -> Iterator[_Seen]:
                """What one target asks for; for the others it waits (`itertools.tee` would keep 57)."""
                while True:
                    if not own and (new := next(seen, None)) is not None:
                        for other in waiting:
                            other.append(new)
                    if not own:
                        return
                    yield own.popleft()

            tracks = [
                self._follow(q, frames_of(own), encoded) for q, own in zip(queries, waiting, strict=True)
            ]
            yield from zip(*tracks, strict=True)

    def _follow(self, query: Query, seen: Iterator[_Seen], texts: dict[str, EncodedText]) -> Iterator[Step]:
        """The steps of one target."""
        text, turns, finer = query.text or "", count(), self.segmenter.finer
        encoded = texts.get(text)

        def new(fusion: FusionConfig) -> Callable[[_Asked], Step]:
            return _Target(self, fusion, query, encoded, self.new_tracker()).step

        def look(asked: _Asked) -> tuple[_Asked, float]:
            frame, language = asked[0], asked[1]()
            if language is not None and encoded is not None:
                if finer is not None and probability(language) > self.fusion.start / 2:  # a rounding decides
                    language = finer.segment(frame, encoded)
                if next(turns) % LOOK_EVERY == 0:
                    language = self.look_closer(frame, encoded, language)
            return (frame, language.packed() if language else lambda: None), probability(language)

        asked: Iterator[_Asked] = ((frame, estimates.get(text, lambda: None)) for frame, estimates in seen)
        if query.box_xyxy is not None:
            return map(new(self.fusion), asked)
        return from_the_surest(asked, look, new, self.fusion, lambda asked: asked[0].size_hw, _packed)


def _packed(step: Step) -> Callable[[], Step]:
    """See `Estimate.packed`."""
    frame, fused, decision = step.frame, step.fused.packed(), step.decision
    language, tracker = (e and e.packed() for e in (step.language, step.tracker))
    return lambda: Step(frame, language and language(), tracker and tracker(), fused(), decision)


@dataclass
class _Target:
    """What is followed in one run, and what a frame hands to the next."""

    branches: LangTracker
    fusion: FusionConfig
    query: Query
    encoded: EncodedText | None
    tracker: SiamMaskTracker
    state: FusionState = field(default_factory=FusionState)
    started: bool = False
    turns: Iterator[int] = field(default_factory=count)

    def step(self, asked: _Asked) -> Step:
        """Update the tracker, decide, and start the tracker anew where the decision says so."""
        frame, language = asked[0], asked[1]()
        user_box = self.query.box_xyxy if self.query.exact and not self.started else None
        tracker = None
        if self.started:
            tracker = self.tracker.update(frame)
        elif self.query.box_xyxy is not None:
            tracker = self.tracker.init(frame, self.query.box_xyxy, exact=self.query.exact)
            self.started, self.state = True, FusionState("tracking", hold=self.query.hold)
        if language is not None and self.started:
            language = self._closer(frame, language, tracker)
        decision, self.state = decide(language, tracker, self.state, self.fusion)
        fused = fuse(language, tracker, decision, frame.size_hw)
        if user_box is not None and tracker is not None:  # what a person drew is not decided
            fused = Estimate(tracker.mask_prob, 1.0, clip_box(user_box, frame.size_hw))
            decision = Decision("tracker", "tracking", 1.0, False, False, Reason.USER_BOX)
            self.state = replace(self.state, state="tracking")
        elif decision.reanchor and fused.box_xyxy is not None:
            if self.started:
                self.tracker.reanchor(frame, fused.box_xyxy)
            else:
                tracker = self.tracker.init(frame, fused.box_xyxy, exact=False)
                self.started = True
        return Step(frame, language, tracker, fused, decision)

    def _closer(self, frame: Frame, language: Estimate, tracker: Estimate | None) -> Estimate:
        """Now and then, what a lost target may be found on; or, around a small one, the surer answer."""
        assert self.encoded is not None
        if next(self.turns) % LOOK_EVERY:
            return language
        if self.state.state != "tracking":  # held, language finds nothing again
            return language if self.state.hold else self.branches.look_closer(frame, self.encoded, language)
        if tracker is None or tracker.box_xyxy is None:
            return language
        closer = self.branches.segmenter.look_around(frame, self.encoded, tracker.box_xyxy)
        return closer if closer is not None and closer.confidence >= language.confidence else language
