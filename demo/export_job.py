"""Files for download: those of a track, made anew after corrections and other settings, and other formats."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from langtrack_core.run.recorder import Recorder, RunOptions
from langtrack_core.run.render import Style
from langtrack_core.types import LangTrackError, Query
from langtrack_core.video import read_frames
from langtrack_lab.exports import FORMATS, Clip, Track, export
from langtrack_lab.exports.clip import DEFAULT_LABEL
from langtrack_lab.files import plain_name
from langtrack_lab.runs import Run

from .annotation.redecide import corners_of, steps_from_run
from .job import Job, JobAborted, Kind, RateMeter
from .player_video import preview
from .settings import Settings
from .target_view import file_stem, track_fingerprint
from .workspace import ALL_FILES, Workspace

MANIFEST_ENTRIES = ("what_if", "edits", "weights", "settings", "unknown_words")
"""Names of the entries of a track's manifest that its export copies; the recorder writes the others."""


STORED = (".mp4", ".jpg", ".png")
"""Endings of files that are compressed already."""


class ExportJob(Job):
    """The tracks as they stand, corrections and what-if included, as run folders with their videos: those
    that have changed are made anew, and all targets together are one ZIP."""

    kind: Kind = "export"

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        with workspace.lock:
            targets = workspace.kept_targets()
            if not targets:
                raise LangTrackError("Follow something first.")
            stale_targets = [target for target in targets if workspace.files_of(target.id) is None]
            self._tracks = [
                (target.id, target.run(), target.expression, target.words, track_fingerprint(target))
                for target in stale_targets
            ]
            self._targets = [target.id for target in targets]
            self._fingerprint = workspace.whole_fingerprint()
        total = sum(len(run.rows) for _, run, *_ in self._tracks)
        super().__init__(workspace.new_folder(), settings, "All files", total)
        self.workspace = workspace
        self._meter = RateMeter(total, settings.preview_hz)

    def compute(self) -> None:
        exports = [self._export(*track) for track in self._tracks]
        for number, files, bundle, fingerprint in exports:
            self.workspace.set_files(number, files, bundle, fingerprint)
        if len(self._targets) == 1:
            return
        files_of = {number: self.workspace.files_of(number) for number in self._targets}
        whole = self.folder / "all" / "langtrack-all.zip"
        whole.parent.mkdir()
        _join_zips(whole, [files.bundle for files in files_of.values() if files is not None])
        self.workspace.set_whole_file(ALL_FILES, whole, self._fingerprint)

    def _export(
        self, number: int, run: Run, expression: str | None, words: str | None, fingerprint: Any
    ) -> tuple[int, list[Path], Path, Any]:
        video, info = self.workspace.video, self.workspace.info
        if video is None or info is None:
            raise LangTrackError(
                "The video is not here, so no pictures can be made; open the project together with its video."
            )
        manifest, folder = run.manifest, self.folder / str(number) / plain_name(info.path.stem, "clip")
        folder.parent.mkdir()
        box = manifest.get("box_xyxy")
        query = Query(
            expression or (words if box is None else None),  # a query has one of both
            None if box is None else np.array(box),
            manifest.get("start", 0),  # corrections may have added frames before it
            hold=bool(manifest.get("hold", False)),
            exact=bool(manifest.get("exact", True)),
        )
        first_frame = run.rows[0].frame
        rotated = manifest.get("what_if", {}).get("rectangle") == "rotated"
        recorder = Recorder(
            folder,
            info,
            query,
            {name: manifest[name] for name in MANIFEST_ENTRIES if name in manifest},
            RunOptions(every=manifest.get("every", 1), style=Style(rotated=rotated)),
        )
        with (
            recorder,
            closing(read_frames(info.path, start=first_frame, on_damage=lambda sentence: None)) as frames,
            closing(steps_from_run(run, frames)) as steps,
        ):
            for step in steps:
                recorder.add(step)
                if self.stopped():  # half an export has no use
                    raise JobAborted
                picture = preview(step) if self._meter.picture_due() else None
                self.report(self._meter.advance("writing", self.progress, picture))
            recorder.finish(partial=not manifest.get("complete", True))
        if rotated:
            _write_corners(folder / "rotated.csv", run)
        name = str(self.workspace.project.video["name"])
        files, bundle = zip_run(folder, file_stem(name, number, expression))
        return number, files, bundle, fingerprint


class FormatJob(Job):
    """All targets as they stand, in the format of another tool, with the frames where the format has them."""

    kind: Kind = "export"

    def __init__(self, workspace: Workspace, name: str, settings: Settings) -> None:
        if name not in FORMATS:
            raise LangTrackError(f"There is no format {name!r:.40}; there are {', '.join(FORMATS)}.")
        self.form, self.name = FORMATS[name], name
        self._tracks = [
            Track(target.run(), target.class_name or target.words or DEFAULT_LABEL)
            for target in workspace.kept_targets()
        ]
        if not self._tracks:
            raise LangTrackError("Follow something first.")
        if self.form.needs_video and workspace.video is None:
            raise LangTrackError("The video is not here, and a cut-out is made of it.")
        self.workspace = workspace
        self._video = workspace.video if self.form.needs_video or self.form.picture else None
        self._fingerprint = workspace.class_fingerprint()
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
        self.workspace.set_whole_file(self.name, path, self._fingerprint)


def _write_corners(path: Path, run: Run) -> None:
    """Write the rotated rectangle of every frame, empty where absent: ``boxes.csv`` has no column for it."""
    lines = ["frame,x1,y1,x2,y2,x3,y3,x4,y4"]
    for row, corners in zip(run.rows, corners_of(run, run.rows), strict=True):
        numbers = [""] * 8 if corners is None else [f"{value:.1f}" for value in corners]
        lines.append(",".join([str(row.frame), *numbers]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def zip_run(folder: Path, name: str | None = None) -> tuple[list[Path], Path]:
    """Pack a folder into a ZIP beside it, pictures stored, text compressed; return files and ZIP.

    Args:
        name: of the folder in the ZIP, when it is to have another one there.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    bundle = folder.parent / f"langtrack-{folder.name}.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        for path in files:
            method = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
            archive.write(path, Path(name or folder.name) / path.relative_to(folder), method)
    return files, bundle


def _join_zips(path: Path, parts: Sequence[Path]) -> None:
    """Put the files of several ZIPs into one; their folders have different names."""
    with zipfile.ZipFile(path, "w") as whole:
        for part in parts:
            with zipfile.ZipFile(part) as archive:
                for entry in archive.infolist():
                    with archive.open(entry) as source, whole.open(entry, "w") as sink:
                        shutil.copyfileobj(source, sink)
