"""One video followed and written to a run folder: what `track` does once and `batch` many times."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..geometry import clip_box
from ..types import Frame, LangTrackError, Query, Step
from ..video import VideoInfo, probe, read_frames
from .recorder import Recorder
from .render import Style

if TYPE_CHECKING:
    from ..pipeline import LangTracker


def load_tracker(weights: str, device: str, backend: str) -> LangTracker:
    """Import PyTorch, and everything that needs it, as late as this."""
    from ..pipeline import LangTracker

    return LangTracker.from_pretrained(weights, device, backend=backend)


@dataclass(frozen=True)
class Source:
    """A video that has shown that it can give the first frame a query asks for.

    Attributes:
        frames: from ``query.start`` on; to be read once.
        damage: filled while reading, with a sentence, when the video ends before its time.
    """

    info: VideoInfo
    frames: Iterator[Frame]
    damage: list[str]


def open_source(path: Path, query: Query) -> Source:
    """Everything about a video and a query that can be wrong before a network is loaded.

    Raises:
        LangTrackError: no readable video, a start past its end, a box outside the picture.
    """
    info = probe(path)
    if query.box_xyxy is not None and clip_box(query.box_xyxy, (info.height, info.width)) is None:
        corners = ",".join(f"{value:g}" for value in query.box_xyxy)
        raise LangTrackError(
            f"The box {corners} lies outside the picture, which is {info.width}x{info.height}."
        )
    damage: list[str] = []
    frames = read_frames(path, start=query.start, on_damage=damage.append)
    return Source(info, itertools.chain([next(frames)], frames), damage)


@dataclass(frozen=True)
class Outcome:
    """What came of one video.

    Attributes:
        folder: of the run.
        states: frames by state.
        unknown: words of the expression that the vocabulary lacks.
        damage: why the video ended early; None when it did not.
    """

    folder: Path
    states: Counter[str]
    unknown: tuple[str, ...] = ()
    damage: str | None = None


@dataclass(frozen=True)
class Output:
    """What to write of a run, beside what every run folder has.

    Attributes:
        png: every mask as a PNG.
        video: the four videos.
        overwrite: replace an earlier run in the folder.
        keep_damaged: keep what can be decoded of a video that ends early, instead of refusing it.
        style: how the panels look.
    """

    png: bool = False
    video: bool = True
    overwrite: bool = False
    keep_damaged: bool = False
    style: Style = field(default_factory=Style)


def record(
    tracker: LangTracker,
    source: Source,
    query: Query,
    folder: Path,
    *,
    every: int = 1,
    output: Output | None = None,
    on_step: Callable[[Step], object] = lambda step: None,
) -> Outcome:
    """Follow to the end of the video; on any error, a stop included, nothing is left of the run.

    Args:
        every: the language branch runs on every so many frames.
        on_step: called after each frame is written.

    Raises:
        LangTrackError: as `LangTracker.track` and `Recorder` do, or for a damaged video.
    """
    output = output or Output()
    unknown = () if query.text is None else tracker.describe(query.text).unknown
    states: Counter[str] = Counter()
    recorder = Recorder(
        folder,
        info=source.info,
        query=query,
        tracker_info=tracker.info,
        every=every,
        unknown_words=unknown,
        png=output.png,
        video=output.video,
        overwrite=output.overwrite,
        style=output.style,
    )
    with recorder:
        for step in tracker.track(source.frames, query, every=every):
            recorder.add(step)
            states[step.state] += 1
            on_step(step)
        if source.damage and not output.keep_damaged:
            raise LangTrackError(
                f"{source.damage[0]} Use --keep-damaged to keep the {states.total()} frames before."
            )
        written = recorder.finish(partial=bool(source.damage))
    assert written is not None  # there is a first frame
    return Outcome(written, states, unknown, source.damage[0] if source.damage else None)
