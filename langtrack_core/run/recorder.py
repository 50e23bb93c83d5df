"""Writing a run: the files of `run.format`, written as the run goes and seen only when the run is whole."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.metadata
import json
import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from .. import __version__
from ..files import replacing_folder, sha256_of, why
from ..masks import encode_rle
from ..types import LangTrackError, Query, Step
from ..video import VideoInfo, VideoWriter
from ..video.pictures import pictures_in
from .format import COLUMNS, FORMAT, FORMAT_VERSION, TOOLKIT_DECIMALS, TRACKS, csv_row, toolkit_line
from .render import PANELS, Panel, Style, draw


@dataclass(frozen=True)
class RunOptions:
    """Options of a run, beside what is followed.

    Attributes:
        every: the language branch runs on every so many frames, the tracker on all.
        png: write every mask as a PNG too.
        video: write the four videos.
        overwrite: replace an earlier run in the output folder.
        keep_damaged: keep what can be decoded of a video that ends early, instead of refusing it.
        style: how the pictures look.
    """

    every: int = 1
    png: bool = False
    video: bool = True
    overwrite: bool = False
    keep_damaged: bool = False
    style: Style = field(default_factory=Style)


RUN_FILES = {
    *("manifest.json", "boxes.csv", "masks.json", *TOOLKIT_DECIMALS, "masks"),
    *(f"{panel}.mp4" for panel in PANELS),
    *(".DS_Store", "Thumbs.db", "desktop.ini"),  # what macOS and Windows add where a person has looked
}
"""Names of what may lie in the folder of a run."""


def check_out_dir(out_dir: Path | str, *, overwrite: bool = False) -> Path:
    """The resolved folder, if a run may be written there; nothing is created.

    Raises:
        LangTrackError: it is a file, holds files already, or cannot be written. With ``overwrite`` an earlier
            run may be replaced, but never a folder that holds anything else.
    """
    path = Path(out_dir).expanduser().resolve()
    try:
        parent = next((p for p in path.parents if p.exists()), path)
        names = {file.name for file in path.iterdir()} if path.is_dir() else set()
    except OSError as error:  # what may not be entered or listed, a name that is too long
        raise LangTrackError(f"The output folder cannot be {path}: {error.strerror}.") from error
    for existing in (path, parent):
        if existing.exists() and not existing.is_dir():
            raise LangTrackError(f"The output folder cannot be {path}: {existing} is a file; choose another.")
    if path == Path.cwd() or os.path.ismount(path):  # neither can be renamed away for the run
        raise LangTrackError(
            f"The output folder cannot be {path} itself; give a folder inside it, for example {path / 'run'}."
        )
    if not os.access(parent, os.W_OK | os.X_OK):  # the run is written beside its final name
        raise LangTrackError(f"The output folder cannot be {path}: no permission to write in {parent}.")
    if names and not overwrite:
        raise LangTrackError(f"The output folder {path} already holds files; choose another or overwrite it.")
    if others := sorted(names - RUN_FILES if _is_run(path) else names):
        raise LangTrackError(
            f"The output folder {path} holds files that are not a run's, for example {others[0]}; "
            "move them or choose another."
        )
    return path


def _is_run(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def video_sha256(path: Path) -> str:
    """Hash of a video file; of a folder, that of its pictures' lines ``<sha256>  <name>`` in order."""
    if path.is_dir():
        listing = "".join(f"{sha256_of(p)}  {p.name}\n" for p in pictures_in(path))
        return hashlib.sha256(os.fsencode(listing)).hexdigest()
    return sha256_of(path)


class Recorder:
    """Writes a run into a hidden folder beside ``out_dir``; a clean end of the ``with`` block renames it.

    On any exception, a closed generator included, nothing is left. `finish` with ``partial=True`` keeps what
    is done so far instead. Memory does not grow with the length of the run.

    Args:
        out_dir: must not exist, or be empty, or hold an earlier run if ``options.overwrite``.
        info: the video.
        query: what is followed.
        about: further entries of the manifest: ``weights``, ``settings``, ``unknown_words``, and the like.
        options: what to write and how.

    Attributes:
        states: how many of the frames that were added have each state.

    Raises:
        LangTrackError: the folder cannot be used, the disk is full, no frame came.
    """

    def __init__(
        self,
        out_dir: Path | str,
        info: VideoInfo,
        query: Query,
        about: Mapping[str, Any],
        options: RunOptions | None = None,
    ) -> None:
        self.options = options or RunOptions()
        self.out_dir = check_out_dir(out_dir, overwrite=self.options.overwrite)
        self._info, self._query, self._about = info, query, dict(about)
        self._open = contextlib.ExitStack()
        self._folder = self.out_dir  # the hidden one while the run is written
        self._texts: dict[str, TextIO] = {}  # by name, while the run is written
        self._writers: dict[Panel, VideoWriter] = {}
        self._first_frame = self._last_frame = -1
        self.states: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()

    def __enter__(self) -> Recorder:
        with self._explained():
            self._sha256 = video_sha256(self._info.path)
            self._folder = self._open.enter_context(replacing_folder(self.out_dir))
            for name in ("boxes.csv", "masks.json", *TOOLKIT_DECIMALS):
                stream = (self._folder / name).open("w", encoding="utf-8", newline="", errors="replace")
                self._texts[name] = self._open.enter_context(stream)
            csv.writer(self._texts["boxes.csv"], lineterminator="\n").writerow(COLUMNS)
            for panel in PANELS if self.options.video else ():
                writer = VideoWriter(self._folder / f"{panel}.mp4", self._info.fps, source=self._info)
                self._writers[panel] = self._open.enter_context(writer)
            # Entered last, since its threads have to end before what they write is closed.
            self._pool = self._open.enter_context(ThreadPoolExecutor(len(PANELS), "langtrack-panel"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._discard()
        elif self._texts:
            self.finish()

    def add(self, step: Step) -> None:
        """Write one frame; steps come in the order of the video."""
        if not self._texts:
            raise RuntimeError("Recorder.add needs an open Recorder: use it inside its with block")
        if not self.states:
            self._first_frame, self._last_frame = step.frame.index, step.frame.index - 1
        with self._explained():
            csv.writer(self._texts["boxes.csv"], lineterminator="\n").writerow(csv_row(step))
            for name, decimals in TOOLKIT_DECIMALS.items():
                gap = (toolkit_line(None, decimals) + "\n") * (step.frame.index - self._last_frame - 1)
                self._texts[name].write(gap + toolkit_line(step.fused.box_xyxy, decimals) + "\n")
            encoded = {}
            for track, estimate in zip(TRACKS, (step.language, step.tracker, step.fused), strict=True):
                if estimate is None:
                    continue
                encoded[track] = encode_rle(estimate.mask)
                if self.options.png:
                    path = self._folder / "masks" / track / f"{step.frame.index:06d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(cv2.imencode(".png", estimate.mask.astype(np.uint8) * 255)[1].tobytes())
            separator = ",\n" if self.states else "{\n"
            self._texts["masks.json"].write(f'{separator}"{step.frame.index}": {json.dumps(encoded)}')
            pictures = (draw(step, panel, self.options.style) for panel in self._writers)
            writers, times = self._writers.values(), repeat(step.frame.time_s)
            list(self._pool.map(VideoWriter.write, writers, pictures, times))  # a failure is raised here
        self._last_frame = step.frame.index
        self.states[step.decision.state] += 1
        self._sources[step.decision.source or "none"] += 1

    def finish(self, *, partial: bool = False) -> Path | None:
        """Close everything and bring the folder to its final name.

        With ``partial`` the run was stopped: the manifest says ``"complete": false``, and without any frame
        nothing is kept, which gives None."""
        if not self._texts:
            raise RuntimeError("Recorder.finish needs an open Recorder, and only once")
        if not self.states and partial:
            self._discard()
            return None
        with self._explained():
            if not self.states:
                raise LangTrackError(f"{self._info.path.name} gave no frame from {self._query.start} on.")
            self._texts["masks.json"].write("\n}\n")
            manifest = self._manifest(complete=not partial)  # a start may be a number of NumPy
            text = json.dumps(manifest, indent=2, ensure_ascii=False, default=np.generic.item)
            (self._folder / "manifest.json").write_text(text + "\n", encoding="utf-8", errors="replace")
            # Again, since another run may have taken the name meanwhile.
            check_out_dir(self.out_dir, overwrite=self.options.overwrite)
            self._open.close()
        self._texts = {}
        return self.out_dir

    def _manifest(self, *, complete: bool) -> dict[str, Any]:
        info, query = self._info, self._query
        versions = {"langtrack": __version__, "python": platform.python_version()}
        for package in ("torch", "timm", "numpy", "opencv-python-headless", "av"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[package] = importlib.metadata.version(package)
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "complete": complete,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "video": {
                "name": info.path.resolve().name,
                "sha256": self._sha256,
                "kind": info.kind,
                "width": info.width,
                "height": info.height,
                "fps": float(info.fps),
                "fps_fraction": str(info.fps),
                "frames_estimate": info.frames_estimate,
                "notes": list(info.notes),
            },
            "expression": query.text,
            "box_xyxy": None if query.box_xyxy is None else query.box_xyxy.tolist(),
            "hold": query.hold,
            "exact": query.exact,
            "start": query.start,
            "every": self.options.every,
            "direction": "forward",
            **self._about,
            "counts": {
                "frames": self.states.total(),
                "first_frame": self._first_frame,
                "last_frame": self._last_frame,
                "state": dict(self.states),
                "source": dict(self._sources),
            },
            "versions": versions,
        }

    def _discard(self) -> None:
        self._texts = {}
        with contextlib.suppress(Exception):  # the files go anyway; a failing close must not hide why
            self._open.__exit__(RuntimeError, RuntimeError("discarded"), None)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """On any exception nothing is left; those that a user can mend become one sentence."""
        try:
            yield
        except BaseException as error:
            self._discard()
            if isinstance(error, OSError):
                sentence = f"The run could not be written to {self.out_dir}: {why(error)}."
                raise LangTrackError(sentence) from error
            if isinstance(error, LangTrackError):  # of a video writer, which knows the temporary name only
                raise LangTrackError(str(error).replace(str(self._folder), str(self.out_dir))) from error
            raise
