"""The clips in a folder: video files, folders of frames, and runs as `batch` leaves them.

The video of a run lies where the index of the batch says, or anywhere in the same folder.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from langtrack_core.run.recorder import video_sha256
from langtrack_core.video.pictures import is_picture, natural_key
from langtrack_lab.runs import read_run

from .clips import Clip
from .reviews import Verdicts
from .safe_zip import is_clutter

RUN_FILES = {"manifest.json", "boxes.csv", "masks.json"}
"""Names of the files by which a folder is a run."""
VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".ts"),
    *(".mpg", ".mpeg", ".ogv", ".gif", ".wmv", ".flv"),
}
"""Endings of files that are taken for clips."""


def clips_in(folder: Path, *, trusted: bool = False) -> Iterator[Clip]:
    """The clips of a folder by their names, runs with what the filters ask of them.

    Args:
        trusted: the videos may lie elsewhere, where the index of the batch says.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: PurePosixPath(path.relative_to(folder).as_posix()) for path in files}
    files = [path for path in files if not is_clutter(names[path])]
    inside: dict[Path, set[str]] = {}
    for path in files:
        inside.setdefault(path.parent, set()).add(path.name)
    runs = {parent for parent, content in inside.items() if content >= RUN_FILES}
    free = [path for path in files if not runs.intersection(path.parents)]
    videos = _VideosByName(path for path in free if path.suffix.lower() in VIDEO_SUFFIXES)
    indexed = _indexed_videos([path for path in free if path.name == "index.csv"]) if trusted else {}
    clips, run_videos = [], set()
    for run_folder in runs:
        run = read_run(run_folder)
        video = indexed.get(run_folder) or videos.of_run(run.manifest.get("video", {}))
        run_videos.add(None if video is None else video.resolve())
        clip = Clip(run_folder.relative_to(folder).as_posix(), video, run_folder)
        clip.note_runs([(run, Verdicts())])
        clips.append(clip)
    frames = {path.parent for path in free if is_picture(path) and path.suffix.lower() not in VIDEO_SUFFIXES}
    for path in [*frames, *(path for path in free if path.suffix.lower() in VIDEO_SUFFIXES)]:
        if path.resolve() not in run_videos:
            clips.append(Clip(path.relative_to(folder).as_posix(), path))
    yield from sorted(clips, key=lambda clip: natural_key(clip.name))


class _VideosByName:
    """The videos of a folder, to find that of a run. Other folders in it may have videos of the same name."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for path in paths:
            self._paths[path.name].append(path)
        self._hashes: dict[Path, str] = {}

    def of_run(self, video: Mapping[str, Any]) -> Path | None:
        """The video that a manifest names, None when it is not there.

        Videos are large, so they are hashed only where several have the name. `OpenRunJob` checks the hash of
        a single one.
        """
        paths = self._paths.get(str(video.get("name", "")), [])
        if len(paths) < 2:
            return paths[0] if paths else None
        return next((path for path in paths if self._sha256(path) == video.get("sha256")), None)

    def _sha256(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = video_sha256(path)
        return self._hashes[path]


def _indexed_videos(indexes: Sequence[Path]) -> dict[Path, Path]:
    """The videos of runs, as the indexes of batches name them."""
    videos = {}
    for index in indexes:
        # It may be any other table.
        with index.open(encoding="utf-8", errors="replace", newline="") as stream, suppress(csv.Error):
            for line in csv.DictReader(stream):
                video = Path(line.get("video") or "")
                if line.get("run") and video.is_absolute() and video.exists():
                    videos[index.parent / line["run"]] = video
    return videos
