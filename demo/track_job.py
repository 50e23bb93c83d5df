"""Following targets through a video, as the page asks for it: first runs, corrections, comparisons."""

from __future__ import annotations

import secrets
import shutil
import zipfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from langtrack_core.files import plain_name
from langtrack_core.run.format import Run
from langtrack_core.run.options import RunOptions
from langtrack_core.run.recorder import Recorder
from langtrack_core.run.render import PANELS, Style, draw
from langtrack_core.run.track_video import StepSource, steps_of, track_targets
from langtrack_core.types import LangTrackError, Query, Step
from langtrack_core.video import VideoInfo, read_frames

from .annotation.project import Segment
from .annotation.redecide import corners_of, steps_again
from .hosting import on_gpu
from .job import Job, JobAborted, Kind, RateMeter
from .player_video import MapsWriter, PlayerVideoWriter, even_size
from .settings import Settings
from .timeline import Timeline
from .track_request import Tracker, TrackRequest, frames_expected
from .workspace import SegmentResult, Workspace

PREVIEW_SIDE = 480
"""Longest side in pixels of one of the four pictures of the live view, which come as one JPEG of 60 kB."""


UNKNOWN_LENGTH = 1000
"""Frames that a GPU is asked for when the file does not say how many it has."""


class _Nothing(Exception):
    """Stopped before the first frame of a pass; its empty files go."""


class TrackJob(Job):
    """One or more passes over a video; each of their targets gets a segment for every pass.

    The workspace changes at the end, all at once: work that fails leaves it as it was.

    Args:
        passes: in order, each with the targets (by id) that its queries are for.
        source: the `step_source` of the tracker.
        videos: write the four videos too, and offer the files for download.
    """

    def __init__(
        self,
        tracker: Tracker,
        workspace: Workspace,
        passes: Sequence[tuple[TrackRequest, Sequence[int]]],
        settings: Settings,
        *,
        source: StepSource,
        kind: Kind,
        videos: bool,
    ) -> None:
        expected = [request.frames_expected for request, _ in passes]
        total = None if None in expected else sum(n for n in expected if n is not None)
        super().__init__(workspace.new_folder(), settings, passes[0][0].title, total)
        self.kind = kind
        self.workspace = workspace
        self.unknown_words = passes[0][0].unknown_words
        self._tracker = tracker
        self._source = source
        self._passes = passes
        self._edits = {number: workspace.next_edit(number) for _, numbers in passes for number in numbers}
        self._videos = videos
        self._pace = RateMeter(total, settings.preview_hz)
        self._film: tuple[Path, int, bool] | None = None

    def compute(self) -> None:
        workspace = self.workspace
        if workspace.film is not None:
            self._film = workspace.film, workspace.film_frames, workspace.film_whole
        done: list[SegmentResult] = []
        with suppress(_Nothing):
            for number, (request, targets) in enumerate(self._passes):
                if not self.stopped():
                    done += self._one_pass(number, request, targets)
        if not done:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        files = [packed(one.segment.folder, self.folder) for one in done] if self._videos else []
        with workspace.lock:
            workspace.add_segments(done)
            if self._film is not None:
                workspace.set_film(self._film[0], self._film[1], whole=self._film[2])
            for one, (paths, bundle) in zip(done, files, strict=False):
                workspace.set_files(one.target, paths, bundle)

    def _one_pass(self, number: int, request: TrackRequest, targets: Sequence[int]) -> list[SegmentResult]:
        self._film_before(request)
        info, queries = request.info, request.queries
        folders = [self.folder / _run_name(request, number, place) for place in range(len(queries))]
        edits = [self._edits[target] for target in targets]
        timelines = [Timeline() for _ in queries]
        with ExitStack() as files:
            paths = [self.folder / f"maps-{number}-{place}.u8.gz" for place in range(len(queries))]
            maps = [files.enter_context(MapsWriter(path, info.width, info.height)) for path in paths]
            film = self._film_of_pass(request, files)

            def on_steps(steps: tuple[Step, ...]) -> bool:
                self._check_length(steps[0])
                for step, timeline, writer in zip(steps, timelines, maps, strict=True):
                    timeline.add(step)
                    writer.add(step)
                if film is not None:
                    film.add(steps[0].frame)
                if self.stopped():
                    return False
                picture = preview(steps[0]) if self._pace.picture_due() else None
                self.report(self._pace.advance("following", self.progress, picture))
                return True

            summaries = track_targets(
                self._tracker,
                info,
                dict(zip(folders, queries, strict=True)),
                RunOptions(request.every, request.backward, video=self._videos, keep_damaged=True),
                on_steps=on_steps,
                about=dict(zip(folders, ({"edit": edit} for edit in edits), strict=True)),
                source=self._steps,
            )
        if not summaries and self.stopped():
            raise _Nothing
        if not summaries:
            raise LangTrackError(f"{info.path.name} gave no frame from {request.start} on.")
        if film is not None:
            self._film = film.path, timelines[0].index[-1] + 1, not summaries[0].stopped
        self.warning = summaries[0].damage or self.warning
        segments = [Segment.read(summary.folder) for summary in summaries]
        written = [writer.maps for writer in maps]
        return list(map(SegmentResult, targets, segments, timelines, written, edits))

    def _steps(
        self, info: VideoInfo, queries: Sequence[Query], options: RunOptions
    ) -> Generator[tuple[Step, ...] | str]:
        with closing(self._source(info, queries, options)) as steps:
            yield from steps
        self.report(replace(self.progress, stage="writing"))

    def _check_length(self, step: Step) -> None:
        settings = self.settings
        if step.frame.time_s > settings.max_seconds or step.frame.index >= settings.max_frames:
            raise LangTrackError(
                f"The clip is longer than this server's {settings.max_seconds:g} seconds or "
                f"{settings.max_frames} frames. Cut it and try again."
            )

    # --- the film: every frame of the clip from the first on, made once -------------------------------------

    def _film_before(self, request: TrackRequest) -> None:
        """A backward pass shows frames that no film may have yet."""
        if not request.backward or (self._film is not None and self._film[1] > request.start):
            return
        with PlayerVideoWriter(self._film_path(), request.info, self.settings.player_side) as film:
            self._fill(film, request, request.start + 1)
        self._film = film.path, request.start + 1, False

    def _film_of_pass(self, request: TrackRequest, files: ExitStack) -> PlayerVideoWriter | None:
        """The film to go on with; the frames before the start frame are in it already."""
        if request.backward or (self._film is not None and self._film[2]):
            return None
        film = PlayerVideoWriter(self._film_path(), request.info, self.settings.player_side)
        files.enter_context(film)
        self._fill(film, request, request.start)
        return film

    def _fill(self, film: PlayerVideoWriter, request: TrackRequest, end: int) -> None:
        """The frames 0 to ``end`` - 1."""
        if end == 0:
            return
        with closing(read_frames(request.info.path, on_damage=_quiet)) as frames:
            for frame in frames:
                if frame.index >= end:
                    return
                if self.stopped():
                    raise _Nothing
                film.add(frame)

    def _film_path(self) -> Path:
        return self.folder / f"film-{secrets.token_hex(4)}.mp4"


class ExportJob(Job):
    """A target's track as it stands, corrections and what-if included, as a run folder with its videos."""

    kind: Kind = "export"

    def __init__(self, workspace: Workspace, target: int, settings: Settings) -> None:
        self._run_now = workspace.project.target(target).run()
        title = workspace.project.target(target).name
        super().__init__(workspace.new_folder(), settings, title, len(self._run_now.rows))
        self.workspace = workspace
        self.target = target
        self._made_of = workspace.fingerprint(target)

    def compute(self) -> None:
        run, video, info = self._run_now, self.workspace.video, self.workspace.info
        if video is None or info is None:
            raise LangTrackError(
                "The video is not here, so no pictures can be made; open it together with it."
            )
        manifest = run.manifest
        box = manifest.get("box_xyxy")
        start = run.rows[0].frame
        kept: dict[str, Any] = {
            key: manifest[key]
            for key in ("what_if", "edits", "weights", "settings", "unknown_words")
            if key in manifest
        }
        what_if = manifest.get("what_if", {})
        recorder = Recorder(
            self.folder / plain_name(info.path.stem, "clip"),
            info,
            Query(manifest.get("expression"), None if box is None else np.array(box), start),
            kept,
            RunOptions(
                every=manifest.get("every", 1), style=Style(rotated=what_if.get("rectangle") == "rotated")
            ),
        )
        pace = RateMeter(len(run.rows), self.settings.preview_hz)
        with (
            recorder,
            closing(read_frames(info.path, start=start, on_damage=_quiet)) as frames,
            closing(steps_again(run, frames)) as steps,
        ):
            for step in steps:
                recorder.add(step)
                if self.stopped():  # half an export is of no use
                    raise JobAborted
                picture = preview(step) if pace.picture_due() else None
                self.report(pace.advance("writing", self.progress, picture))
        folder = self.folder / plain_name(info.path.stem, "clip")
        if what_if.get("rectangle") == "rotated":
            _write_corners(folder / "rotated.csv", run)
        files, bundle = packed(folder, self.folder)
        self.workspace.set_files(self.target, files, bundle, self._made_of)


def step_source(tracker: Tracker) -> StepSource:
    """The steps of `track_targets`, computed with a GPU on loan where there are such."""

    def frames(info: VideoInfo, queries: Sequence[Query], options: RunOptions) -> int:
        expected = frames_expected(info, queries[0].start, backward=options.backward)
        return (expected or UNKNOWN_LENGTH) * len(queries)

    return on_gpu(steps_of(tracker), frames)


def _run_name(request: TrackRequest, number: int, place: int) -> str:
    """Name of a target's run folder in a job's; the first one has the clip's name alone."""
    return f"{request.clip_name}-{number}-{place}" if number or place else request.clip_name


def _write_corners(path: Path, run: Run) -> None:
    """The rotated rectangle of every frame, which has no place in ``boxes.csv``: empty where absent."""
    lines = ["frame,x1,y1,x2,y2,x3,y3,x4,y4"]
    for row, corners in zip(run.rows, corners_of(run, run.rows), strict=True):
        numbers = [""] * 8 if corners is None else [f"{value:.1f}" for value in corners]
        lines.append(",".join([str(row.frame), *numbers]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def packed(folder: Path, into: Path) -> tuple[list[Path], Path]:
    """All files of a run folder, and one ZIP of them: pictures and videos are stored, text is compressed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    bundle = into / f"langtrack-{folder.name}.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        for path in files:
            small = path.suffix in {".mp4", ".png"}
            how = zipfile.ZIP_STORED if small else zipfile.ZIP_DEFLATED
            archive.write(path, path.relative_to(folder.parent), how)
    return files, bundle


def preview(step: Step) -> bytes:
    """The four panels two by two as a JPEG."""
    style = Style(labels=False)  # the page writes the labels itself, where they can be read at any size
    size_wh = even_size(step.frame.size_hw[1], step.frame.size_hw[0], PREVIEW_SIDE)
    tiles = [cv2.resize(draw(step, panel, style), size_wh, interpolation=cv2.INTER_AREA) for panel in PANELS]
    bgr = cv2.cvtColor(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()


def _quiet(sentence: str) -> None:
    """Damage is told once, by the pass that computes."""
