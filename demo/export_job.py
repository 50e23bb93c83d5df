"""Files for download: those of a track, made anew after corrections and other settings, and other formats."""

from __future__ import annotations

import shutil
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np

from langtrack_core.files import plain_name
from langtrack_core.run.format import Run
from langtrack_core.run.options import RunOptions
from langtrack_core.run.recorder import Recorder
from langtrack_core.run.render import Style
from langtrack_core.types import LangTrackError, Query
from langtrack_core.video import read_frames
from langtrack_lab.exports import FORMATS, Clip, Track, export

from .annotation.redecide import corners_of, steps_from_run
from .job import Job, JobAborted, Kind, RateMeter
from .player_video import preview
from .settings import Settings
from .workspace import Workspace

MANIFEST_ENTRIES = ("what_if", "edits", "weights", "settings", "unknown_words")
"""Names of the entries of a track's manifest that its export copies; the recorder writes the others."""


STORED = (".mp4", ".jpg", ".png")
"""Endings of files that are compressed already."""


class ExportJob(Job):
    """A target's track as it stands, corrections and what-if included, as a run folder with its videos."""

    kind: Kind = "export"

    def __init__(self, workspace: Workspace, target: int, settings: Settings) -> None:
        self._track = workspace.project.target(target).run()
        title = workspace.project.target(target).name
        super().__init__(workspace.new_folder(), settings, title, len(self._track.rows))
        self.workspace = workspace
        self.target = target
        self._fingerprint = workspace.fingerprint(target)

    def compute(self) -> None:
        run, video, info = self._track, self.workspace.video, self.workspace.info
        if video is None or info is None:
            raise LangTrackError(
                "The video is not here, so no pictures can be made; open the project together with its video."
            )
        manifest, folder = run.manifest, self.folder / plain_name(info.path.stem, "clip")
        box = manifest.get("box_xyxy")
        start = run.rows[0].frame
        rotated = manifest.get("what_if", {}).get("rectangle") == "rotated"
        recorder = Recorder(
            folder,
            info,
            Query(
                manifest.get("expression"),
                None if box is None else np.array(box),
                start,
                hold=bool(manifest.get("hold")),
                exact=bool(manifest.get("exact", True)),
            ),
            {name: manifest[name] for name in MANIFEST_ENTRIES if name in manifest},
            RunOptions(every=manifest.get("every", 1), style=Style(rotated=rotated)),
        )
        meter = RateMeter(len(run.rows), self.settings.preview_hz)
        with (
            recorder,
            closing(read_frames(info.path, start=start, on_damage=lambda sentence: None)) as frames,
            closing(steps_from_run(run, frames)) as steps,
        ):
            for step in steps:
                recorder.add(step)
                if self.stopped():  # half an export has no use
                    raise JobAborted
                picture = preview(step) if meter.picture_due() else None
                self.report(meter.advance("writing", self.progress, picture))
        if rotated:
            _write_corners(folder / "rotated.csv", run)
        files, bundle = zip_run(folder)
        self.workspace.set_files(self.target, files, bundle, self._fingerprint)


class FormatJob(Job):
    """All targets as they stand, in the format of another tool, with the frames where the format has them."""

    kind: Kind = "export"

    def __init__(self, workspace: Workspace, name: str, settings: Settings) -> None:
        if name not in FORMATS:
            raise LangTrackError(f"There is no format {name!r:.40}; there are {', '.join(FORMATS)}.")
        self.form, self.name = FORMATS[name], name
        self._tracks = [Track(target.run()) for target in workspace.kept_targets()]
        if not self._tracks:
            raise LangTrackError("Follow something first.")
        if self.form.needs_video and workspace.video is None:
            raise LangTrackError("The video is not here, and a cut-out is made of it.")
        self.workspace = workspace
        self._video = workspace.video if self.form.needs_video or self.form.picture else None
        self._fingerprint = workspace.whole_fingerprint()
        frames = len({frame for track in self._tracks for frame in track.rows})
        passes = 2 if self._video is not None and not self.form.needs_video else 1  # pictures, and labels
        super().__init__(workspace.new_folder(), settings, self.form.about, frames * passes)

    def compute(self) -> None:
        meter = RateMeter(self.progress.total, self.settings.preview_hz)

        def advance(frame: int) -> None:
            if self.stopped():  # half an export has no use
                raise JobAborted
            self.report(meter.advance("writing", self.progress, None))

        clip = Clip(self._tracks, self._video, on_frame=advance)
        out = self.folder / f"{clip.name}-{self.name}"
        if self.form.suffix and (self.form.needs_video or self._video is None):
            path = self.folder / f"langtrack-{out.name}{self.form.suffix}"
            export(clip, self.name, path)
        else:
            export(clip, self.name, out)
            _, path = zip_run(out)
            shutil.rmtree(out)
        self.workspace.set_export(self.name, path, self._fingerprint)


def _write_corners(path: Path, run: Run) -> None:
    """Write the rotated rectangle of every frame, empty where absent: ``boxes.csv`` has no column for it."""
    lines = ["frame,x1,y1,x2,y2,x3,y3,x4,y4"]
    for row, corners in zip(run.rows, corners_of(run, run.rows), strict=True):
        numbers = [""] * 8 if corners is None else [f"{value:.1f}" for value in corners]
        lines.append(",".join([str(row.frame), *numbers]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def zip_run(folder: Path) -> tuple[list[Path], Path]:
    """Pack a folder into a ZIP beside it, pictures stored, text compressed; return files and ZIP."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    bundle = folder.parent / f"langtrack-{folder.name}.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        for path in files:
            method = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
            archive.write(path, path.relative_to(folder.parent), method)
    return files, bundle
