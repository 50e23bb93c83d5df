"""The files of a track for download, and a job that makes them anew after corrections and other settings."""

from __future__ import annotations

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

from .annotation.redecide import corners_of, steps_from_run
from .job import Job, JobAborted, Kind, RateMeter
from .player_video import preview
from .settings import Settings
from .workspace import Workspace

MANIFEST_ENTRIES = ("what_if", "edits", "weights", "settings", "unknown_words")
"""Names of the entries of a track's manifest that its export copies; the recorder writes the others."""


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
            Query(manifest.get("expression"), None if box is None else np.array(box), start),
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


def _write_corners(path: Path, run: Run) -> None:
    """Write the rotated rectangle of every frame, empty where absent: ``boxes.csv`` has no column for it."""
    lines = ["frame,x1,y1,x2,y2,x3,y3,x4,y4"]
    for row, corners in zip(run.rows, corners_of(run, run.rows), strict=True):
        numbers = [""] * 8 if corners is None else [f"{value:.1f}" for value in corners]
        lines.append(",".join([str(row.frame), *numbers]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def zip_run(folder: Path) -> tuple[list[Path], Path]:
    """Pack a run folder into a ZIP beside it, videos stored, text compressed; return files and ZIP."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    bundle = folder.parent / f"langtrack-{folder.name}.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        for path in files:
            method = zipfile.ZIP_STORED if path.suffix == ".mp4" else zipfile.ZIP_DEFLATED
            archive.write(path, path.relative_to(folder.parent), method)
    return files, bundle
