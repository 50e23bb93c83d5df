"""The one way to run a video: decode, follow, write run folders. Command line, batch and page all call it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..threads import prefetch
from ..types import LangTrackError, Query, Step, check_box
from ..video import VideoInfo, probe, read_frames
from .recorder import Recorder, RunOptions

if TYPE_CHECKING:
    from ..pipeline import LangTracker

AHEAD = 2
"""Frames that the tracker may be ahead of the files: drawing and encoding are done on another core."""

Rows = Generator[tuple[Step, ...] | str]
"""The steps of all targets frame by frame, and a sentence at the end when the video is damaged."""


def load_tracker(weights: str, device: str, **options: Any) -> LangTracker:
    """Import PyTorch, and everything that needs it, as late as this."""
    from ..pipeline import LangTracker

    return LangTracker.from_pretrained(weights, device, **options)


@dataclass(frozen=True)
class RunSummary:
    """What came of one target of a run.

    Attributes:
        folder: the run folder.
        states: number of frames by state.
        unknown_words: words of the expression that the vocabulary lacks.
        damage: why the video ended early; None when it did not.
        stopped: the caller stopped the run before its end.
    """

    folder: Path
    states: Counter[str]
    unknown_words: tuple[str, ...] = ()
    damage: str | None = None
    stopped: bool = False


def check_video(path: Path | str, query: Query) -> VideoInfo:
    """Check all of a video and a query that can be wrong before a network is loaded; LangTrackError for no
    readable video, a start past its end, a box outside the picture."""
    info = probe(path)
    if query.box_xyxy is not None:
        check_box(query.box_xyxy, (info.height, info.width))
    with closing(read_frames(path, start=query.start, on_damage=lambda sentence: None)) as frames:
        next(frames)
    return info


def track_video(
    tracker: LangTracker,
    video: Path | str,
    query: Query | str,
    *,
    out: Path | str,
    options: RunOptions | None = None,
    on_step: Callable[[Step], object] = lambda step: None,
) -> RunSummary:
    """Follow one target to the end of the video and write a run folder; on any error nothing is left of it.

    Args:
        video: a video file, an animated picture, or a folder of frames.
        query: what to follow; a text alone is a referring expression.
        out: folder of the run, made new.
        on_step: called after each frame.

    Raises:
        LangTrackError: as `LangTracker.track` and `Recorder` do, or for a damaged video.

    Example:
        >>> run = track_video(LangTracker.from_pretrained("lite"), "clip.mp4", "the red car", out="runs/car")
        >>> print(run.folder, run.states)
    """
    queries = {Path(out): Query(text=query) if isinstance(query, str) else query}
    return track_targets(tracker, video, queries, options, on_steps=lambda steps: on_step(*steps))[0]


def track_targets(
    tracker: LangTracker,
    video: Path | str | VideoInfo,
    queries: Mapping[Path, Query],
    options: RunOptions | None = None,
    *,
    on_steps: Callable[[tuple[Step, ...]], object] = lambda steps: None,
    about: Mapping[Path, Mapping[str, Any]] | None = None,
    rows: Rows | None = None,
) -> list[RunSummary]:
    """Follow several targets through one decoding, a run folder each; LangTrackError as `track_video`, after
    which nothing is left, but for targets whose files were finished.

    Args:
        queries: by the output folder; all with the same start frame.
        on_steps: called after each frame with the targets' steps. When it returns False the run stops there
            and what is done so far is kept.
        about: further entries of the manifests, by the output folder.
        rows: the steps, where they come from elsewhere than `read_and_track`.

    Returns:
        A summary for each query, in order; empty when the run was stopped before its first frame.
    """
    options = options or RunOptions()
    info = video if isinstance(video, VideoInfo) else probe(video)
    words = [() if q.text is None else tuple(tracker.read_text(q.text).unknown) for q in queries.values()]
    damage: str | None = None
    stopped = False
    with ExitStack() as files:
        recorders = []
        for (out, query), unknown in zip(queries.items(), words, strict=True):
            entries = {**tracker.info, **(about or {}).get(out, {}), "unknown_words": list(unknown)}
            recorders.append(files.enter_context(Recorder(out, info, query, entries, options)))
        rows = rows or read_and_track(tracker, info.path, list(queries.values()), options.every)
        files.enter_context(closing(rows))
        for row in files.enter_context(closing(prefetch(rows, AHEAD))):
            if isinstance(row, str):
                damage = damage or row
                continue
            for step, recorder in zip(row, recorders, strict=True):
                recorder.add(step)
            if stopped := on_steps(row) is False:
                break
        if damage and not options.keep_damaged:
            frames = recorders[0].states.total()
            raise LangTrackError(f"{damage} Use --keep-damaged to keep the {frames} frames before.")
        folders = [recorder.finish(partial=stopped or bool(damage)) for recorder in recorders]
    return [
        RunSummary(folder, recorder.states, unknown, damage, stopped)
        for folder, recorder, unknown in zip(folders, recorders, words, strict=True)
        if folder is not None
    ]


def read_and_track(tracker: LangTracker, path: Path, queries: Sequence[Query], every: int = 1) -> Rows:
    """Decode a video from the queries' start frame on, and follow their targets."""
    damage: list[str] = []
    frames = read_frames(path, start=queries[0].start, on_damage=damage.append)
    with closing(frames), closing(tracker.track_all(frames, queries, every=every)) as rows:
        yield from rows
    yield from damage
