"""The job that follows targets through a video: first runs, corrections, comparisons."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langtrack_core.geometry import FloatArray
from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import Rows, read_and_track, track_targets
from langtrack_core.types import LangTrackError, Query, Step
from langtrack_core.video import read_frames

from .annotation.project import Segment
from .backward import read_backward
from .export_job import zip_run
from .hosting import frames_per_loan, on_gpu
from .identities import Identities
from .job import Job, Kind, RateMeter
from .player_video import MapsWriter, PlayerVideo, PlayerVideoWriter, preview
from .settings import Settings
from .target_view import SegmentResult, file_stem
from .timeline import FrameGeometry
from .track_request import TrackRequest
from .workspace import Workspace

if TYPE_CHECKING:
    from langtrack_core.pipeline import LangTracker

RowSource = Callable[[TrackRequest], Rows]
"""Gives the steps of a pass."""


IN_SIGHT = 0.5
"""Confidence from which on a target is in sight where a part of a pass ends: its box is more probably right
than wrong. For some frames more a tracker claims a box, on what hides its target."""


class _NoFrame(Exception):
    """The job was stopped before the first frame of a pass; the pass leaves no files."""


class TrackJob(Job):
    """One or more passes over a video; each of their targets gets a segment for every pass.

    The workspace changes at the end, all at once: a job that fails leaves it as it was.

    Args:
        passes: one after the other, each with the ids of the targets that its queries are for.
        source: the `row_source` of the tracker.
        videos: write the four videos too, and offer the files for download.

    Attributes:
        targets: ids of the targets of all passes.
    """

    def __init__(
        self,
        tracker: LangTracker,
        workspace: Workspace,
        passes: Sequence[tuple[TrackRequest, Sequence[int]]],
        settings: Settings,
        *,
        source: RowSource,
        kind: Kind,
        videos: bool,
    ) -> None:
        total = sum(request.frames_expected for request, _ in passes)
        super().__init__(workspace.new_folder(), settings, passes[0][0].title, total)
        self.kind = kind
        self.workspace = workspace
        self.unknown_words = passes[0][0].unknown_words
        self.targets = [number for _, numbers in passes for number in numbers]
        self._tracker = tracker
        self._source = source
        self._passes = passes
        self._edits = {number: workspace.next_edit(number) for _, numbers in passes for number in numbers}
        self._videos = videos
        self._meter = RateMeter(total, settings.preview_hz)
        self._player_video = workspace.player_video
        self._about: dict[str, Any] = {}  # further entries for the manifests

    def compute(self) -> None:
        self._player_video = self.workspace.player_video
        results: list[SegmentResult] = []
        with suppress(_NoFrame):
            for number, (request, targets) in enumerate(self._passes):
                if not self.stopped():
                    results += self._one_pass(number, request, targets)
        if not results:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        archives = [self._zip(result) for result in results] if self._videos else []
        with self.workspace.lock:
            self.stopped()  # aborted from here on, the whole run stays with its files
            self.workspace.add_segments(results)
            self.workspace.player_video = self._player_video
            for result, (paths, archive) in zip(results, archives, strict=False):
                self.workspace.set_files(result.target, paths, archive)

    def _zip(self, result: SegmentResult) -> tuple[list[Path], Path]:
        manifest = result.segment.run.manifest
        name = file_stem(str(manifest["video"]["name"]), result.target, manifest.get("expression"))
        return zip_run(result.segment.folder, name)

    def _one_pass(self, number: int, request: TrackRequest, targets: Sequence[int]) -> list[SegmentResult]:
        self._show_frames_before(request)
        info, places = request.info, range(len(targets))
        folders = [self.folder / _run_name(request, number, place) for place in places]
        edits = [self._edits[target] for target in targets]
        geometry: list[dict[int, FrameGeometry]] = [{} for _ in targets]
        with ExitStack() as files:
            paths = [self.folder / f"maps-{number}-{place}.u8.gz" for place in places]
            maps = [files.enter_context(MapsWriter(path, info.width, info.height)) for path in paths]
            player_video = self._player_video_of(request, files)

            def on_steps(steps: tuple[Step, ...]) -> bool:
                self._check_length(steps[0])
                for step, frames, writer in zip(steps, geometry, maps, strict=True):
                    frames[step.frame.index] = FrameGeometry.of_step(step)
                    writer.add(step)
                if player_video is not None:
                    player_video.add(steps[0].frame)
                picture = preview(steps[0]) if self._meter.picture_due() else None
                self.report(self._meter.advance("following", self.progress, picture))
                return not self.stopped()

            summaries = track_targets(
                self._tracker,
                info,
                dict(zip(folders, request.queries, strict=True)),
                RunOptions(request.every, video=self._videos, keep_damaged=True),
                on_steps=on_steps,
                about={
                    folder: {"edit": edit, "direction": request.direction, **self._about}
                    for folder, edit in zip(folders, edits, strict=True)
                },
                rows=self._rows(request),
            )
        self.report(replace(self.progress, stage="writing"))
        if not summaries and self.stopped():
            raise _NoFrame
        if not summaries:
            raise LangTrackError(f"{info.path.name} gave no frame from {request.start} on.")
        if player_video is not None:
            self._keep_longer(player_video.finished(whole=not summaries[0].stopped))
        self.warning = summaries[0].damage or self.warning
        segments = [Segment.read(summary.folder) for summary in summaries]
        return list(map(SegmentResult, targets, segments, edits, geometry, [one.maps for one in maps]))

    def _rows(self, request: TrackRequest) -> Rows:
        several = len(request.queries) > 1 and all(query.hold for query in request.queries)  # no comparison
        identities = Identities(len(request.queries)) if several else None
        with closing(self._source(request)) as rows:
            for row in rows:
                if not isinstance(row, str) and request.ends_before(row[0].frame.index):
                    break
                yield row if identities is None or isinstance(row, str) else identities.settle(row)

    def _check_length(self, step: Step) -> None:
        settings = self.settings
        if step.frame.time_s > settings.max_seconds or step.frame.index >= settings.max_frames:
            raise LangTrackError(
                f"The clip is longer than this server's {settings.max_seconds:g} seconds or "
                f"{settings.max_frames} frames. Cut it and try again."
            )

    # --- the player's video: every frame of the clip from the first on, made once ---------------------------

    def _show_frames_before(self, request: TrackRequest) -> None:
        """Make the player's video for a backward pass, whose first frames no video may have yet."""
        before = self._player_video
        if not request.backward or (before is not None and before.frames > request.start):
            return
        with self._new_player_video(request) as player_video:
            self._add_frames(player_video, request, request.start + 1)
        self._player_video = player_video.finished(whole=False)

    def _player_video_of(self, request: TrackRequest, files: ExitStack) -> PlayerVideoWriter | None:
        """A new player's video with the frames before the start; None when there is a whole one, or the pass
        ends on a frame that the page has shown already."""
        whole = self._player_video is not None and self._player_video.whole
        if request.backward or request.end is not None or whole:
            return None
        player_video = files.enter_context(self._new_player_video(request))
        self._add_frames(player_video, request, request.start)
        return player_video

    def _keep_longer(self, new: PlayerVideo) -> None:
        """Take the new player's video, unless the one before shows more of the clip."""
        before = self._player_video
        if before is None or new.whole or new.frames > before.frames:
            self._player_video = new
        else:
            new.path.unlink()

    def _new_player_video(self, request: TrackRequest) -> PlayerVideoWriter:
        path = self.folder / f"player-{secrets.token_hex(4)}.mp4"
        return PlayerVideoWriter(path, request.info, self.settings.player_side)

    def _add_frames(self, player_video: PlayerVideoWriter, request: TrackRequest, end: int) -> None:
        """Add the frames 0 to ``end`` - 1."""
        if end == 0:
            return
        with closing(read_frames(request.info.path, on_damage=lambda sentence: None)) as frames:
            for frame in frames:
                if frame.index >= end:
                    return
                if self.stopped():
                    raise _NoFrame
                player_video.add(frame)


def row_source(tracker: LangTracker) -> RowSource:
    """The source of steps for `track_targets`; where GPUs are lent, it computes on them, a part on each."""

    def rows(request: TrackRequest) -> Rows:
        if not request.backward:
            yield from read_and_track(tracker, request.info.path, request.queries, request.every)
            return
        frames = read_backward(request.info.path, start=request.start)
        with (
            closing(frames),
            closing(tracker.track_all(frames, request.queries, every=request.every)) as steps,
        ):
            yield from steps

    def frames_of(request: TrackRequest) -> int:
        return request.frames_expected * len(request.queries)

    borrowed = on_gpu(rows, frames_of)
    return rows if borrowed is rows else partial(_in_parts, borrowed)


def _in_parts(source: RowSource, request: TrackRequest) -> Rows:
    """A pass in parts that one loan of a GPU each is enough for.

    A part knows of the part before it the boxes alone: its trackers learn anew on them. A target that is out
    of sight where a part ends is searched for by its words. Where a box says what it is, the next part begins
    in the later half of that one, on the frame on which all such targets were surest, and gives what is new.
    """
    queries = request.queries
    length = max(1, frames_per_loan() // len(queries))
    boxes = known = [query.box_xyxy for query in queries]
    start = new = request.start
    while True:
        part = _part(request, start, length, boxes)
        surest, again = 0.0, None
        with closing(source(part)) as rows:
            for row in rows:
                if isinstance(row, str):
                    yield row
                    continue
                frame = row[0].frame.index
                if part.ends_before(frame):
                    break
                if frame <= new if request.backward else frame >= new:
                    yield row
                boxes = [step.fused.box_xyxy for step in row]
                known = [old if box is None else box for box, old in zip(boxes, known, strict=True)]
                sure = _sureness(queries, row)
                if abs(frame - start) >= (length + 1) // 2 and sure > 0 and sure >= surest:
                    surest, again = sure, (frame, boxes)
            else:
                return  # the end of the clip
        if request.ends_before(frame):
            return
        start = new = frame
        if sure < IN_SIGHT and again is not None:
            start, boxes = again
        else:
            pairs = zip(queries, boxes, known, strict=True)
            boxes = [box if query.text else old for query, box, old in pairs]


def _sureness(queries: Sequence[Query], row: Sequence[Step]) -> float:
    """The least confidence of a target that a box tells, 0 where one is lost; 1 without such targets."""
    steps = (step for query, step in zip(queries, row, strict=True) if query.hold or query.text is None)
    return min(
        (step.decision.confidence if step.fused.box_xyxy is not None else 0 for step in steps), default=1
    )


def _part(request: TrackRequest, start: int, length: int, boxes: Sequence[FloatArray | None]) -> TrackRequest:
    """The part of a pass from a frame on; the first part has its own queries."""
    last = start - length if request.backward else start + length
    end = request.end if request.ends_before(last) else last
    if start == request.start:
        return replace(request, end=end)
    queries = zip(request.queries, boxes, strict=True)
    later = tuple(replace(query, start=start, box_xyxy=box, exact=False) for query, box in queries)
    return replace(request, queries=later, end=end)


def _run_name(request: TrackRequest, number: int, place: int) -> str:
    """Name of a target's run folder in the job's folder; the first one has the clip's name alone."""
    return f"{request.clip_name}-{number}-{place}" if number or place else request.clip_name
