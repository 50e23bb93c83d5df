"""The loop: frames in, steps out. Everything that one frame hands to the next is in `_Target`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import repeat
from typing import Any

from .dmn.segmenter import DMNSegmenter, Encoded
from .fusion import FusionConfig, Memory, fuse
from .siammask.tracker import SiamMaskTracker
from .threads import ahead
from .types import Estimate, Frame, LangTrackError, Query, Step
from .weights.load import load_branches


@dataclass
class _Target:
    """What is followed in one run, and what a frame hands to the next."""

    query: Query
    encoded: Encoded | None
    tracker: SiamMaskTracker | None = None
    memory: Memory = field(default_factory=Memory)


class LangTracker:
    """Follows what a query describes. Holds the shared, read-only networks; any number of runs at a time.

    Args:
        segmenter: the language branch.
        new_tracker: makes a Siamese tracker with a state of its own; called once a run.
        fusion: when to believe whom.
        weights: what the manifest of a run says of the weights.
        ahead: frames that are decoded and grounded, in a second thread, before the tracker asks for them;
            with 0 the branches take turns, so that each can be timed.

    Example:
        >>> tracker = LangTracker.from_pretrained("lite")
        >>> for step in tracker.track(read_frames("clip.mp4"), Query(text="the red car")):
        ...     print(step.frame.index, step.state, step.fused.box_xyxy)
    """

    def __init__(
        self,
        segmenter: DMNSegmenter,
        new_tracker: Callable[[], SiamMaskTracker],
        fusion: FusionConfig | None = None,
        weights: Sequence[dict[str, Any]] = (),
        ahead: int = 2,
    ) -> None:
        self.segmenter = segmenter
        self.new_tracker = new_tracker
        self.fusion = fusion or FusionConfig()
        self.ahead = ahead
        self.info: dict[str, Any] = {
            "weights": list(weights),
            "settings": {"fusion": asdict(self.fusion)},
        }

    @classmethod
    def from_pretrained(
        cls,
        name: str = "lite",
        device: str = "cpu",
        fusion: FusionConfig | None = None,
        backend: str = "auto",
        ahead: int = 2,
    ) -> LangTracker:
        """Both branches by the name of their weights, or with one branch's checkpoint file.

        Args:
            device: as PyTorch names it.
            backend: "openvino" or "torch"; "auto" takes OpenVINO on a CPU, where it is there and works.
            ahead: see the class.

        Raises:
            LangTrackError: unknown name, device or backend, missing or altered file, another network's file.
        """
        branches = load_branches(name, device, backend)
        return cls(branches.segmenter, branches.new_tracker, fusion, branches.infos, ahead)

    def describe(self, text: str) -> Encoded:
        """Read an expression without any network: its words, and those that are unknown.

        Raises:
            LangTrackError: it is empty, too long, or has no known word.
        """
        _, words, unknown = self.segmenter.vocabulary.read(text)
        return Encoded(text, words, unknown, None)

    def ground(self, frame: Frame, text: str, *, every_region: bool = False) -> Estimate:
        """What the language branch says of a single frame.

        Args:
            every_region: keep all regions that are positive, not only the one that is meant.

        Raises:
            LangTrackError: for an expression that cannot be read.
        """
        return self.segmenter.segment(frame, self.segmenter.encode(text), every_region=every_region)

    def track(
        self, frames: Iterable[Frame], query: Query, *, every: int = 1, backward: bool = False
    ) -> Iterator[Step]:
        """Follow the target, one `Step` a frame from frame ``query.start`` on.

        With a text alone, the language box starts the tracker at the first frame where it is confident
        enough; until then the state is "searching". With a box, the tracker starts on it at once.

        Args:
            frames: in order; frames before ``query.start`` are passed over.
            query: what to follow.
            every: the language branch runs on every so many frames, the tracker on all.
            backward: the frames come last one first (`read_backward`), and those after ``query.start`` are
                passed over: what was there before the frame on which the target is known.

        Raises:
            LangTrackError: for an expression that cannot be read, or a box outside the picture.
        """
        return _each(self.track_all(frames, [query], every=every, backward=backward))

    def track_all(
        self, frames: Iterable[Frame], queries: Sequence[Query], *, every: int = 1, backward: bool = False
    ) -> Generator[tuple[Step, ...]]:
        """Follow several targets through one decoding: a `Step` of each for every frame, in step.

        Raises:
            LangTrackError: as `track`; no query, or queries that start on different frames.
        """
        if every < 1:
            raise LangTrackError(f"The language branch runs on every K-th frame, K from 1 on; got {every}.")
        if len({query.start for query in queries}) != 1:
            raise LangTrackError(
                "Several targets are followed together from one start frame, which they share."
            )
        targets = [_Target(q, None if q.text is None else self.segmenter.encode(q.text)) for q in queries]
        return self._steps(frames, targets, every, backward)

    def _steps(
        self, frames: Iterable[Frame], targets: Sequence[_Target], every: int, backward: bool
    ) -> Generator[tuple[Step, ...]]:
        grounded = self._grounded(frames, targets, every, backward)
        with closing(ahead(grounded, self.ahead)) as made:
            for frame, estimates in made:
                yield tuple(map(self._step, repeat(frame), targets, estimates))

    def _grounded(
        self, frames: Iterable[Frame], targets: Sequence[_Target], every: int, backward: bool
    ) -> Generator[tuple[Frame, list[Estimate | None]]]:
        """What needs nothing from the frame before: decoding, and for each target the language branch."""
        start, count = targets[0].query.start, 0
        for frame in frames:
            if frame.index > start if backward else frame.index < start:
                continue
            asked = count % every == 0
            yield (
                frame,
                [self.segmenter.segment(frame, t.encoded) if asked and t.encoded else None for t in targets],
            )
            count += 1

    def _step(self, frame: Frame, target: _Target, grounded: Estimate | None) -> Step:
        tracked = None
        if target.tracker is not None:
            tracked = target.tracker.update(frame)
        elif target.query.box_xyxy is not None:
            target.tracker = self.new_tracker()
            tracked = target.tracker.init(frame, target.query.box_xyxy)
            target.memory = Memory("tracking")
        decision = fuse(tracked, grounded, target.memory, self.fusion, frame.size_hw)
        target.memory = decision.memory
        if decision.anchor and decision.fused.box_xyxy is not None:
            if target.tracker is None:
                target.tracker = self.new_tracker()
                tracked = target.tracker.init(frame, decision.fused.box_xyxy, exact=False)
            else:
                target.tracker.reanchor(frame, decision.fused.box_xyxy)
        return Step(frame, tracked, grounded, decision.fused, target.memory.state, decision.reason)


def _each(rows: Generator[tuple[Step, ...]]) -> Iterator[Step]:
    with closing(rows):
        for row in rows:
            yield from row
