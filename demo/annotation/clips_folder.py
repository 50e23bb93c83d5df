"""The clips in a folder: video files, folders of frames, and runs as `batch` leaves them.

The video of a run lies anywhere in the same folder, or where the index of the batch says.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

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
    videos = {path.name: path for path in free if path.suffix.lower() in VIDEO_SUFFIXES}
    elsewhere = _indexed_videos([path for path in free if path.name == "index.csv"]) if trusted else {}
    clips, run_videos = [], set()
    for run_folder in runs:
        run = read_run(run_folder)
        name = str(run.manifest.get("video", {}).get("name", ""))
        video = videos.get(name) or elsewhere.get(run_folder)
        run_videos.add(video)
        clip = Clip(run_folder.relative_to(folder).as_posix(), video, run_folder)
        clip.note_runs([(run, Verdicts())])
        clips.append(clip)
    frames = {path.parent for path in free if is_picture(path) and path.suffix.lower() not in VIDEO_SUFFIXES}
    for path in [*frames, *(path for path in free if path.suffix.lower() in VIDEO_SUFFIXES)]:
        if path not in run_videos:
            clips.append(Clip(path.relative_to(folder).as_posix(), path))
    yield from sorted(clips, key=lambda clip: natural_key(clip.name))


def _indexed_videos(indexes: Sequence[Path]) -> dict[Path, Path]:
    """The videos of runs, as the indexes of batches name them."""
    videos = {}
    for index in indexes:
        with index.open(encoding="utf-8", newline="") as stream:
            for line in csv.DictReader(stream):
                video = Path(line.get("video") or "")
                if line.get("run") and video.is_absolute() and video.exists():
                    videos[index.parent / line["run"]] = video
    return videos
