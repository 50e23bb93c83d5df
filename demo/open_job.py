"""Jobs that open what was made before: a saved project, or a run; checked, and made ready for the page."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from langtrack_core.types import LangTrackError
from langtrack_core.video import VideoInfo, read_frames
from langtrack_lab.runs import Run

from .annotation.project import Project, Segment
from .annotation.project_zip import open_bundle
from .annotation.safe_zip import Limits
from .job import Job, JobAborted, Kind, RateMeter
from .player_video import Maps, MapsWriter, PlayerVideo, PlayerVideoWriter
from .sessions import Session
from .settings import Settings
from .target_view import SegmentResult
from .timeline import FrameGeometry
from .track_request import open_video
from .workspace import Workspace


class OpenJob(Job):
    """What is common to jobs that show recorded runs.

    A run holds masks, not the maps of 0 to 255 that they were made of, so its maps are 0 or 255 here.
    """

    kind: Kind = "open"

    def _check_length(self, run: Run) -> None:
        """Refuse a run whose frames end beyond the longest clip: the page compares tracks frame by frame."""
        if max((row.frame for row in run.rows), default=0) >= self.settings.max_frames:
            raise LangTrackError("The run goes beyond the number of frames that this server takes.")

    def _result(self, number: int, segment: Segment, edit: int, name: str, meter: RateMeter) -> SegmentResult:
        maps = self._maps(segment, segment.run.manifest["video"], name, meter)
        return SegmentResult(number, segment, edit, FrameGeometry.of_run(segment.run), maps)

    def _maps(self, segment: Segment, video: Mapping[str, Any], name: str, meter: RateMeter) -> Maps:
        with MapsWriter(self.folder / name, video["width"], video["height"]) as writer:
            for row in segment.run.rows:
                writer.add_maps(
                    np.stack(
                        [_small(segment.run, row.frame, b, writer.size_wh) for b in ("language", "tracker")]
                    )
                )
                self._check_stopped()
                self.report(meter.advance("opening", self.progress, None))
        return writer.maps

    def _make_player_video(self, video: Path, info: VideoInfo) -> PlayerVideo:
        with (
            PlayerVideoWriter(self.folder / "player.mp4", info, self.settings.player_side) as writer,
            closing(read_frames(video, on_damage=lambda sentence: None)) as frames,
        ):
            for frame in frames:
                writer.add(frame)
                self._check_stopped()
                if writer.frames > self.settings.max_frames:
                    raise LangTrackError("The video in the project is longer than this server takes.")
        return writer.finished(whole=True)

    def _check_stopped(self) -> None:
        if self.stopped():  # half a project has no use
            raise JobAborted


class OpenProjectJob(OpenJob):
    """A project's ZIP becomes the session's workspace. Nothing changes when it is refused or cancelled."""

    def __init__(self, session: Session, archive: Path, settings: Settings) -> None:
        super().__init__(session.new_folder(), settings, archive.name, None)
        self.session = session
        self.archive = archive

    def compute(self) -> None:
        limits = Limits(total_mb=self.settings.max_bundle_mb)
        size_mb = self.archive.stat().st_size / 1e6
        if size_mb > self.settings.max_bundle_mb:
            raise LangTrackError(
                f"The project has {size_mb:.0f} MB; this server takes up to {self.settings.max_bundle_mb} MB."
            )
        self.folder.mkdir(parents=True)
        bundle = open_bundle(self.archive, self.folder / "opened", limits)
        project = bundle.project
        info = None if bundle.video is None else open_video(str(bundle.video), self.settings)
        if info is not None and (info.width, info.height) != (
            project.video["width"],
            project.video["height"],
        ):
            raise LangTrackError("The video in the project has another size than its runs.")
        runs = [segment.run for target in project.targets for segment in target.segments]
        for run in runs:
            self._check_length(run)
        # Of the sum there is no limit but the size of the ZIP: each correction has all frames after it again.
        total = sum(len(run.rows) for run in runs)
        self.progress = replace(self.progress, total=total)
        workspace = Workspace(self.folder, bundle.video, info, Project(project.video))
        meter = RateMeter(total, self.settings.preview_hz)
        for target in project.targets:
            workspace.add_empty(target)
            results = []
            for number, segment in enumerate(target.segments):
                edit = segment.run.manifest.get("edit", number)
                name = f"maps-{target.id}-{number}.u8.gz"
                results.append(self._result(target.id, segment, edit, name, meter))
            workspace.add_segments(results)
        if bundle.video is not None and info is not None:
            workspace.player_video = self._make_player_video(bundle.video, info)
        if self.session.clips is not None:
            self.session.clips.leave()
        self.session.adopt(workspace)


def _small(run: Run, frame: int, branch: str, size_wh: tuple[int, int]) -> Any:
    mask = run.mask(frame, branch)
    if mask is None:
        return np.zeros(size_wh[::-1], np.uint8)
    mask_u8 = mask.astype(np.uint8) * 255
    return cv2.resize(mask_u8, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
