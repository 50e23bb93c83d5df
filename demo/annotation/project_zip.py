"""A project in one ZIP: its runs, verdicts and settings, and the video if wanted; opened again anywhere.

| name | content |
|---|---|
| ``project.json`` | `Project.to_json` |
| ``runs/<target>-<segment>/`` | ``manifest.json``, ``boxes.csv``, ``masks.json`` of each run and correction |
| ``verdicts/<target>.csv`` | for people and spreadsheets; ``project.json`` is what is read back |
| ``video/<name>`` | the video itself, when it was packed |

A bundle comes from strangers: everything in it is checked, and a bad one leaves nothing behind.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langtrack_core.files import why
from langtrack_core.run.recorder import video_sha256
from langtrack_core.types import LangTrackError, shorten
from langtrack_lab.files import plain_name, replacing
from langtrack_lab.runs import Run, check_rle

from .project import FORMAT, MAX_SEGMENTS, Project, Segment, all_folders
from .redecide import FusionOverrides
from .reviews import MAX_FRAME
from .safe_zip import Limits, unpack

RUN_FILES = ("manifest.json", "boxes.csv", "masks.json")
"""Files of a run folder that a project keeps: all that cannot be made again without the networks."""
MIN_RLE_CHARACTERS = 20_000
"""Number of characters of a run-length mask that is always taken from a stranger: more than a mask of 160x90
pixels can need."""
RLE_CHARACTERS_PER_PIXEL = 50
"""Largest number of characters of a run-length mask that is taken from a stranger, for each pixel of the
frame's width and height together. One to four bands over a 4K frame have 1 to 7; pure noise on the finest map
of a network (127 cells), made as large as the frame, has 40. So what LangTrack writes it also reads."""


def write_bundle(
    path: Path | str, project: Project, *, video: Path | None = None, max_video_mb: float = 500.0
) -> Path:
    """Save a project as one ZIP, which appears when it is whole.

    Args:
        video: the project's video, to be packed too. A folder of pictures is never packed.
        max_video_mb: a larger video is refused; without the video the bundle is small.

    Raises:
        LangTrackError: nothing to save, another video, a video that is too large, the disk is full.
    """
    path = Path(path)
    targets = [target for target in project.targets if target.segments]
    if not targets:
        raise LangTrackError("There is nothing to save yet: follow a target first.")
    if video is not None:
        _check_video(video, project, max_video_mb)
    folders = all_folders(targets)
    try:
        # A ZIP knows no time before 1980, which a video of a camera with no battery has.
        with (
            replacing(path) as part,
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
        ):
            document = Project(project.video, targets).to_json(folders)
            archive.writestr("project.json", json.dumps(document, indent=1, ensure_ascii=False))
            for target in targets:
                archive.writestr(f"verdicts/{target.id}.csv", target.judged.to_csv())
                for name, segment in zip(folders[target.id], target.segments, strict=True):
                    for file in RUN_FILES:
                        archive.write(segment.folder / file, f"{name}/{file}")
            if video is not None:
                suffix = video.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", video.suffix) else ""
                name = plain_name(video.stem, "video") + suffix
                archive.write(video, f"video/{name}", zipfile.ZIP_STORED)
    except OSError as error:
        raise LangTrackError(f"The project could not be saved: {why(error)}.") from error
    return path


@dataclass(frozen=True)
class OpenedProject:
    """A bundle that was opened; ``video`` is None when it was saved without."""

    project: Project
    video: Path | None


def open_bundle(path: Path | str, into: Path | str, limits: Limits | None = None) -> OpenedProject:
    """Unpack and check a bundle.

    Args:
        into: a folder that does not exist; its run folders and its video are in it afterwards.

    Raises:
        LangTrackError: not a bundle, hostile, of a version that is not read here, or with anything in it that
            `write_bundle` does not write. ``into`` does not exist then.
    """
    into = Path(into)
    names = unpack(path, into, limits)
    try:
        files = [name.as_posix() for name in names]
        folders = _run_folders(files)
        document = _json(into / "project.json")
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise LangTrackError("This ZIP is not a project of LangTrack.")
        runs = {name: _segment(into, name) for name in folders}
        project = Project.from_json(document, runs)
        for segment in runs.values():
            check_run(segment.run, project)
        video = _video(files, into, project)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return OpenedProject(project, video)


def _run_folders(files: list[str]) -> list[str]:
    """The names of the run folders. A file that does not belong into a bundle is refused."""
    if "project.json" not in files:
        raise LangTrackError("This ZIP is not a project of LangTrack: project.json is missing.")
    folders: set[str] = set()
    for name in files:
        match = re.fullmatch(r"(runs/\d+-\d+)/([a-z.]+)", name)
        if match and match[2] in RUN_FILES:
            folders.add(match[1])
            continue
        if not re.fullmatch(r"project\.json|verdicts/\d+\.csv|video/[^/]+", name):
            raise LangTrackError(f"The ZIP holds {shorten(name)!r}, which does not belong into a project.")
    if len(folders) > MAX_SEGMENTS:
        raise LangTrackError("The project holds too many runs.")
    return sorted(folders)


def _json(path: Path) -> Any:
    """Strict JSON: NaN and infinity are refused, and so is nesting without end."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise LangTrackError(f"{path.name} of the project is not valid JSON.") from error


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _segment(into: Path, name: str) -> Segment:
    for file in ("manifest.json", "masks.json"):
        _json(into / name / file)
    try:
        return Segment.read(into / name)
    except LangTrackError as error:
        raise LangTrackError(str(error).replace(f"{into}/", "")) from error
    except RecursionError as error:
        raise LangTrackError(f"{name} of the project is not a run.") from error


def check_run(run: Run, project: Project) -> None:
    """Check what `read_run` takes on trust."""
    height, width = project.video["height"], project.video["width"]
    manifest = run.manifest
    start, every, box = (manifest.get(key) for key in ("start", "every", "box_xyxy"))
    edit, what_if = manifest.get("edit", 0), manifest.get("what_if", {"notes": []})
    settings, weights = manifest.get("settings", {}), manifest.get("weights", [])
    manifest_valid = (
        isinstance(start, int)
        and 0 <= start <= MAX_FRAME
        and isinstance(every, int)
        and every >= 1
        and isinstance(edit, int)
        and 0 <= edit < 1_000_000
        and (manifest.get("expression") is None or isinstance(manifest["expression"], str))
        and manifest.get("direction", "forward") in ("forward", "backward")
        and (box is None or (isinstance(box, list) and len(box) == 4 and all(_is_coordinate(n) for n in box)))
        and isinstance(settings, Mapping)
        and isinstance(settings.get("fusion", {}), Mapping)
        and isinstance(weights, list)
        and all(isinstance(one, Mapping) for one in weights)
        and isinstance(what_if, Mapping)
        and isinstance(what_if.get("notes"), list)
    )
    if not manifest_valid:
        raise LangTrackError("A manifest.json of the project is not as LangTrack writes it.")
    FusionOverrides.of_run(run)  # the settings are sound
    frames = {row.frame for row in run.rows}
    if not run.rows or len(frames) != len(run.rows) or min(frames) < 0 or max(frames) > MAX_FRAME:
        raise LangTrackError("A boxes.csv of the project is empty, or has a frame twice.")
    for row in run.rows:
        results = [row.fused, row.language, row.tracker]
        row_valid = (
            math.isfinite(row.time_s)
            and all(one is None or 0 <= one.confidence <= 1 for one in results)
            and all(
                one is None or one.box_xyxy is None
                or (all(map(math.isfinite, one.box_xyxy)) and abs(one.box_xyxy).max() < 1e6)
                for one in results
            )
        )  # fmt: skip
        if not row_valid:
            raise LangTrackError(f"Frame {row.frame} of a run in the project is not as LangTrack writes it.")
    for frame, branches in run.masks.items():
        for branch, rle in branches.items():
            if branch not in ("language", "tracker", "fused"):
                raise LangTrackError(f"A mask of frame {frame} in the project is not as LangTrack writes it.")
            try:
                check_rle(rle, (height, width))
            except ValueError as error:
                raise LangTrackError(
                    f"A mask of frame {frame} in the project is damaged: {error}."
                ) from error
            if len(rle["counts"]) > max(MIN_RLE_CHARACTERS, RLE_CHARACTERS_PER_PIXEL * (height + width)):
                raise LangTrackError(f"A mask of frame {frame} in the project is too ragged to be one.")


def _video(files: list[str], into: Path, project: Project) -> Path | None:
    videos = [into / name for name in files if name.startswith("video/")]
    if not videos:
        return None
    if len(videos) > 1 or video_sha256(videos[0]) != project.video["sha256"]:
        raise LangTrackError("The video in the project is not the one that its runs were made of.")
    return videos[0]


def why_not_packed(video: Path | None, max_video_mb: float) -> str | None:
    """Why a project can only be saved without its video, to end a sentence; None when it can be packed."""
    if video is None or not video.exists():
        return "it is not here"
    if not video.is_file():
        return "it is a folder of pictures, and only a video file is packed"
    size_mb = video.stat().st_size / 1e6
    if size_mb > max_video_mb:
        return f"it has {size_mb:.0f} MB, and up to {max_video_mb:g} MB are packed"
    return None


def _check_video(video: Path, project: Project, max_video_mb: float) -> None:
    reason = why_not_packed(video, max_video_mb)
    if reason is not None:
        raise LangTrackError(f"The video cannot be packed: {reason}.")
    if video_sha256(video) != project.video["sha256"]:
        raise LangTrackError("This is not the video of the project.")


def _is_coordinate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6
