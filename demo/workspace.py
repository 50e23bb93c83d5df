"""The video that one visitor works on: targets, corrections, verdicts and settings, as the page shows them.

Computes nothing that takes long: whatever needs the networks or the whole video is a job (`service`).
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError
from langtrack_core.video import VideoInfo
from langtrack_lab.files import plain_name

from .annotation.coincidence import coincidences
from .annotation.judgement import Judgement
from .annotation.project import MAX_TARGETS, Project, Target, checked_class
from .annotation.project_zip import write_bundle
from .annotation.redecide import FusionOverrides
from .player_video import PlayerVideo
from .target_view import (
    Files,
    RemovedTarget,
    SegmentResult,
    TargetView,
    decision_state,
    file_stem,
    track_fingerprint,
)
from .timeline import decided_columns

MAX_REMOVED = 5
"""Largest number of removed targets that can come back; the files of those before them are deleted."""
ALL_FILES = "all files"
"""Name of the ZIP with the files of all targets. Other names are those of formats, which have no blank."""


class Workspace:
    """One video and what is made of it. Every method may be called from any thread.

    Args:
        folder: for all files of the workspace; made here.
        video: the upload; None for a bundle that was opened without its video.
        info: of the video.
        project: of a bundle; a new one otherwise.

    Attributes:
        judgement: a person's verdicts on the tracks.
        player_video: the clip's frames for the player; None before the first run.
    """

    def __init__(
        self, folder: Path, video: Path | None, info: VideoInfo | None, project: Project | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.video = video
        self.info = info
        self.project = project or Project({})
        self.lock = threading.RLock()
        self._saving = threading.Lock()
        self.judgement = Judgement(folder, self.project, self.lock)
        self.player_video: PlayerVideo | None = None
        self._views: dict[int, TargetView] = {}
        self._removed: list[RemovedTarget] = []
        self._whole_files: dict[str, tuple[Path, Any]] = {}  # and the `whole_fingerprint` of what is in them
        self._compared: set[int] = set()  # ids of targets that last as long as their comparison
        self._saved_work: Any = None  # the `_work` that was saved last

    # --- what jobs bring ------------------------------------------------------------------------------------

    def add_segments(self, results: Sequence[SegmentResult]) -> None:
        """Add finished runs and corrections, all of them or none.

        Raises:
            LangTrackError: a target was removed meanwhile.
            OSError: their maps could not be put together.
        """
        with self.lock:
            owners = [self.project.target(number) for number in dict.fromkeys(r.target for r in results)]
            views = [self._view(t.id).with_results([r for r in results if r.target == t.id]) for t in owners]
            for target, view in zip(owners, views, strict=True):
                target.segments[:] = [result.segment for result in view.results]
                self._views[target.id] = view
            if results and not self.project.video:
                self.project.video = dict(results[0].segment.run.manifest["video"])

    def add_targets(self, number: int, *, compared: bool = False) -> list[Target]:
        """Add targets for a run that begins; those of a comparison and those without a track are removed.

        Args:
            compared: they last as long as their comparison, and are not saved.

        Raises:
            LangTrackError: there are too many targets or runs.
        """
        with self.lock:
            if len(self.kept_targets()) + number > MAX_TARGETS:
                raise LangTrackError(f"A video has at most {MAX_TARGETS} targets; remove some first.")
            self.end_comparison()
            for target in [t for t in self.project.targets if not t.segments]:
                self._discard(target.id)
            self.project.check_segments(number)
            targets = [self.project.add() for _ in range(number)]
            self._compared |= {target.id for target in targets if compared}
            return targets

    def kept_targets(self) -> list[Target]:
        """The targets with a track that do not go with a comparison."""
        with self.lock:
            return [t for t in self.project.targets if t.segments and not self._is_compared(t)]

    def keep(self, number: int) -> None:
        """Make a target of the comparison one that stays."""
        with self.lock:
            self._compared.discard(self.project.target(number).id)

    def end_comparison(self) -> None:
        """Remove the targets that last as long as their comparison; those with a person's work stay."""
        with self.lock:
            for target in [t for t in self.project.targets if self._is_compared(t)]:
                self._discard(target.id)
            self._compared.clear()

    def _is_compared(self, target: Target) -> bool:
        """Whether a target goes when its comparison ends."""
        return target.id in self._compared and not _is_worked_on(target)

    def add_empty(self, target: Target) -> None:
        """Add a target of an opened project without its runs; `add_segments` adds those."""
        with self.lock:
            self.project.targets.append(replace(target, segments=[]))

    def set_files(self, number: int, paths: Sequence[Path], bundle: Path, fingerprint: Any = None) -> None:
        """Set the files of a target that can be downloaded.

        Args:
            fingerprint: that of the track that the files show; the present one when left out.
        """
        with self.lock:
            view = self._view(number)
            before = view.files
            fingerprint = fingerprint or track_fingerprint(self.project.target(number))
            view.files = Files(list(paths), bundle, fingerprint)
            if before is not None:
                self._forget_folder(before.bundle.parent)

    def files_of(self, number: int) -> Files | None:
        """The files of a target that show its track as it stands; None when they have to be made."""
        with self.lock:
            files, now = self._view(number).files, track_fingerprint(self.project.target(number))
            return files if files is not None and files.fingerprint == now else None

    def set_whole_file(self, name: str, path: Path, fingerprint: Any) -> None:
        """Offer a file with all targets, in place of an older one of that name.

        Args:
            name: of another tool's format, or `ALL_FILES` for the ZIP of the files of all targets.
            fingerprint: the `whole_fingerprint` of the tracks that are in the file; of a format the
                `class_fingerprint`.
        """
        with self.lock:
            before = self._whole_files.pop(name, None)
            self._whole_files[name] = path, fingerprint
            if before is not None:
                self._forget_folder(before[0].parent)

    def whole_files(self) -> dict[str, Path]:
        """The files with all targets, by name, that show the tracks as they stand."""
        with self.lock:
            tracks, classes = self.whole_fingerprint(), self.class_fingerprint()
            return {
                name: path
                for name, (path, then) in self._whole_files.items()
                if then == (tracks if name == ALL_FILES else classes)
            }

    def bundle(self) -> Path | None:
        """One file with the files of all targets as they stand; None when it has to be made."""
        with self.lock:
            targets = self.kept_targets()
            if len(targets) == 1:
                files = self.files_of(targets[0].id)
                return None if files is None else files.bundle
            return self.whole_files().get(ALL_FILES)

    # --- what it is, for a list of runs ---------------------------------------------------------------------

    @property
    def key(self) -> str:
        """A name for the workspace, unique and not to be guessed."""
        return self.folder.name

    @property
    def frames(self) -> int:
        """The number of frames in all its tracks."""
        with self.lock:
            return sum(len(s.run.rows) for target in self.project.targets for s in target.segments)

    @property
    def has_work(self) -> bool:
        """Whether a person has put work into it: verdicts, corrections, other settings, classes."""
        with self.lock:
            return any(_is_worked_on(target) for target in self.kept_targets())

    @property
    def has_unsaved_work(self) -> bool:
        """Whether there is work that is not in the ZIP which was saved last."""
        with self.lock:
            return self.has_work and (self._saved_work is None or self._saved_work != self._work())

    @property
    def judged(self) -> int:
        """Number of frames with a verdict, of all targets."""
        with self.lock:
            return sum(sum(target.judged.counts().values()) for target in self.kept_targets())

    @property
    def clip_name(self) -> str:
        return str(self.project.video.get("name", ""))

    def about(self) -> dict[str, Any]:
        """A line for a list of runs: ``key``, ``clip``, ``targets`` (words, None for a box), ``frames`` of
        the longest track, ``judged`` frames."""
        with self.lock:
            targets = self.kept_targets()
            return {
                "key": self.key,
                "clip": self.clip_name,
                "targets": [target.expression for target in targets],
                "frames": max((len(target.run().rows) for target in targets), default=0),
                "judged": self.judged,
            }

    # --- what the page shows --------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The whole state: ``key``, ``video``, ``player_video`` (None, or ``file`` and ``times_s`` of its
        frames), ``targets``, each as `target_state` and ``coincidences`` (``number`` on the page, from 1, of
        another target on the same thing, the ``first`` frame, and how many ``frames``), ``removed`` (the
        words of the target that `restore` brings back, "" for a box; None when there is none), ``bundle``,
        and ``exports`` (files by format, of the tracks as they are)."""
        with self.lock:
            numbers = [target.id for target in self.project.targets if target.segments]
            targets = [self.target_state(number) for number in numbers]
            # Those of a comparison do not count: they are meant to be on the same thing.
            shared = coincidences({target.id: target.run().rows for target in self.kept_targets()})
            for number, state in zip(numbers, targets, strict=True):
                state["coincidences"] = [
                    {"number": numbers.index(one.other) + 1, "first": one.first, "frames": one.frames}
                    for one in shared.get(number, [])
                ]
            video = self.player_video
            removed = self._removed[-1].target.newest.run.manifest if self._removed else None
            return {
                "key": self.key,
                "video": dict(self.project.video),
                "player_video": None if video is None else {"file": video.path, "times_s": video.times_s},
                "targets": targets,
                "removed": None if removed is None else removed.get("expression") or "",
                "bundle": self.bundle(),
                "exports": {name: path for name, path in self.whole_files().items() if name != ALL_FILES},
            }

    def target_state(self, number: int) -> dict[str, Any]:
        """The state of one target: ``id``, ``compared`` (it lasts as long as its comparison), what
        `TargetView.state` returns, ``stem`` of the names of its files, ``stale`` (its files are older than
        its track).

        Raises:
            LangTrackError: there is no such target, or it has not been followed yet.
        """
        with self.lock:
            target = self.project.target(number)
            state = self._view(number).state(target)
            return {
                "id": target.id,
                "compared": self._is_compared(target),
                **state,
                "stem": file_stem(str(self.project.video["name"]), number, state["expression"]),
                "stale": self.files_of(number) is None,
            }

    # --- what-if --------------------------------------------------------------------------------------------

    def what_if(self, number: int, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """Decide with other settings, or with the recorded ones again (None).

        Returns:
            ``columns`` of the timeline that change (`decided_columns`), ``stale`` as in `target_state`, and
            what `decision_state` returns.

        Raises:
            LangTrackError: a setting that does not exist or is out of range.
        """
        with self.lock:
            target = self.project.target(number)
            if not target.segments:
                raise LangTrackError("Follow the target first; then its settings can be tried.")
            if settings is None:
                target.overrides = None
            else:
                recorded = FusionOverrides.of_run(target.segments[0].run)
                overrides = FusionOverrides.from_json({**recorded.to_json(), **settings})
                target.overrides = None if overrides == recorded else overrides
            columns, stale = decided_columns(target.run().rows), self.files_of(number) is None
            return {"columns": columns, "stale": stale, **decision_state(target)}

    # --- corrections and targets ----------------------------------------------------------------------------

    def undo(self, number: int) -> dict[str, Any]:
        """Undo the last correction, and remove the files that only it needed.

        Raises:
            LangTrackError: there is no correction.
        """
        with self.lock:
            target, view = self.project.target(number), self._view(number)
            if not view.can_undo:
                raise LangTrackError("There is no correction to take back.")
            last = view.results[-1].edit
            while view.results[-1].edit == last:
                view.results.pop()
                view.whole_maps.pop()
                self._forget_folder(target.undo().folder.parent)
            return self.target_state(number)

    def set_class(self, number: int, name: str) -> None:
        """Say what class a target has in the formats of other tools; "" for its words."""
        with self.lock:
            self.project.target(number).class_name = checked_class(name)

    def remove(self, number: int) -> dict[str, Any]:
        """Take a target out, with its verdicts; `restore` brings it back."""
        with self.lock:
            place = self.project.targets.index(self.project.target(number))
            target = self.project.remove(number)
            view = self._views.pop(number, TargetView())
            self._compared.discard(number)
            self._removed.append(RemovedTarget(place, target, view))
            if len(self._removed) > MAX_REMOVED:
                self._forget(self._removed.pop(0))
            return self.state()

    def restore(self) -> None:
        """Bring the target back that was removed last.

        Raises:
            LangTrackError: none was removed, or there are too many targets.
        """
        with self.lock:
            if not self._removed:
                raise LangTrackError("No target was removed.")
            if len(self.project.targets) >= MAX_TARGETS:
                raise LangTrackError(f"A video has at most {MAX_TARGETS} targets; remove one first.")
            place, target, view = self._removed.pop()
            self.project.targets.insert(place, target)
            self._views[target.id] = view

    def _discard(self, number: int) -> None:
        """Remove a target for good, with its files."""
        target = self.project.remove(number)
        self._compared.discard(number)
        self._forget(RemovedTarget(0, target, self._views.pop(number, TargetView())))

    def _forget(self, removed: RemovedTarget) -> None:
        for segment in removed.target.segments:
            self._forget_folder(segment.folder.parent)
        if removed.view.files is not None:
            self._forget_folder(removed.view.files.bundle.parent)

    # --- files ----------------------------------------------------------------------------------------------

    def save_bundle(self, with_video: bool, max_video_mb: float) -> Path:
        """Save the whole workspace in one ZIP, to open on another machine or another day.

        It holds what there is now: a large video takes a while, and verdicts go on meanwhile.
        """
        if with_video and self.video is None:
            raise LangTrackError("The video is not here; save the project without it.")
        with self.lock:
            targets = [replace(target, segments=[*target.segments]) for target in self.kept_targets()]
            project, work = replace(self.project, targets=targets), self._work()
        name = plain_name(Path(str(project.video.get("name", ""))).stem, "clip")
        path = self.folder / f"langtrack-project-{name}.zip"
        with self._saving:
            video = self.video if with_video else None
            write_bundle(path, project, video=video, max_video_mb=max_video_mb)
            self._saved_work = work
        return path

    def close(self) -> None:
        """Delete all files."""
        with self.lock:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- shared ---------------------------------------------------------------------------------------------

    def new_folder(self) -> Path:
        """A new folder for one job's files."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir(parents=True)
        return folder

    def next_edit(self, number: int) -> int:
        """The number of a target's next edit, see `SegmentResult`."""
        return self._view(number).next_edit

    def _view(self, number: int) -> TargetView:
        return self._views.setdefault(number, TargetView())

    def whole_fingerprint(self) -> Any:
        """A value that changes when any target's track changes."""
        return tuple((t.id, track_fingerprint(t)) for t in self.kept_targets())

    def class_fingerprint(self) -> Any:
        """A value that changes when any target's track or class changes."""
        return self.whole_fingerprint(), [target.class_name for target in self.kept_targets()]

    def _work(self) -> Any:
        """A value that changes when a person judges or changes anything."""
        return self.class_fingerprint(), [target.verdicts.to_json() for target in self.kept_targets()]

    def _forget_folder(self, folder: Path) -> None:
        """Remove a job's folder, unless the page still needs something in it."""
        targets = [*self.project.targets, *(one.target for one in self._removed)]
        views = [*self._views.values(), *(one.view for one in self._removed)]
        folders = {segment.folder.parent for target in targets for segment in target.segments}
        folders |= {view.files.bundle.parent for view in views if view.files is not None}
        folders |= {path.parent for path, _ in self._whole_files.values()}
        if self.player_video is not None:
            folders.add(self.player_video.path.parent)
        if folder not in folders and self.folder in folder.parents:
            shutil.rmtree(folder, ignore_errors=True)


def _is_worked_on(target: Target) -> bool:
    """Whether a person has judged, corrected or named it, or set other settings for it."""
    changed = len(target.segments) > 1 or target.overrides is not None
    return bool(changed or target.verdicts or target.class_name)
