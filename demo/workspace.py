"""The video that one visitor works on: targets, corrections, verdicts and settings, as the page shows them.

Computes nothing that takes long: whatever needs the networks or the whole video is a job (`service`).
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from langtrack_core.files import plain_name
from langtrack_core.types import LangTrackError
from langtrack_core.video import VideoInfo

from .annotation.project import MAX_TARGETS, Project, Segment, Target, checked_name, owners
from .annotation.project_zip import write_bundle
from .annotation.redecide import WhatIf
from .judging import Judging, verdicts_state
from .player_video import Maps, merged_maps
from .timeline import Timeline, decided_columns


class SegmentResult(NamedTuple):
    """What a run left for a target; ``edit`` as in `SegmentView`."""

    target: int
    segment: Segment
    timeline: Timeline
    maps: Maps
    edit: int


@dataclass(frozen=True)
class SegmentView:
    """What one run or correction left for the page, beside the run itself.

    Attributes:
        edit: runs that were asked for together have one number, and are undone together.
        maps: of this run, in the order in which it was computed.
        whole_maps: of the track as it stood after this run, by rising frame.
    """

    edit: int
    timeline: Timeline
    maps: Maps
    whole_maps: Maps


@dataclass
class Files:
    """What can be downloaded of a target, and the state of the track that it shows."""

    paths: list[Path]
    bundle: Path
    made_of: Any


@dataclass
class _Extras:
    pieces: list[SegmentView] = field(default_factory=list)
    files: Files | None = None


class Workspace(Judging):
    """One video and what is made of it. Every method may be called from any thread.

    Args:
        folder: for all files of the workspace; made here.
        video: the upload; None for a bundle that was opened without its video.
        info: of the video.
        project: of a bundle; a new one otherwise.
    """

    def __init__(
        self, folder: Path, video: Path | None, info: VideoInfo | None, project: Project | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, project or Project({}))
        self.video = video
        self.info = info
        self.film: Path | None = None
        self.film_frames = 0
        self.film_whole = False
        self.closed = False
        self._extras: dict[int, _Extras] = {}

    # --- what jobs bring ------------------------------------------------------------------------------------

    def add_segments(self, found: Sequence[SegmentResult]) -> None:
        """Runs and corrections are done. All of them are taken, or none.

        Raises:
            LangTrackError: a target has gone meanwhile.
            OSError: their maps could not be put together.
        """
        with self.lock:
            changed: dict[int, tuple[list[Segment], list[SegmentView]]] = {}
            for target, segment, timeline, maps, edit in found:
                segments, pieces = changed.setdefault(
                    target, ([*self.project.target(target).segments], [*self._of(target).pieces])
                )
                segments.append(segment)
                pieces.append(SegmentView(edit, timeline, maps, maps))
            for target, (segments, pieces) in changed.items():
                for place in range(len(self._of(target).pieces), len(pieces)):
                    pieces[place] = _with_whole_maps(segments, pieces, place)
            for target, (segments, pieces) in changed.items():
                self.project.target(target).segments[:] = segments
                self._of(target).pieces = pieces
            if found and not self.project.video:
                self.project.video = dict(found[0].segment.run.manifest["video"])

    def add_targets(self, names: Sequence[str | None]) -> list[Target]:
        """For a run that begins; those whose runs came to nothing make room first.

        Raises:
            LangTrackError: too many targets, or a name that cannot be.
        """
        with self.lock:
            for target in [t for t in self.project.targets if not t.segments]:
                self.remove(target.id)
            if len(self.project.targets) + len(names) > MAX_TARGETS:
                raise LangTrackError(f"A video has at most {MAX_TARGETS} targets; remove some first.")
            return [self.project.add(name) for name in names]

    def take_over(self, saved: Target) -> Target:
        """A target of an opened project, without its runs: those come one by one with `add_segment`."""
        with self.lock:
            target = replace(saved, segments=[])
            self.project.targets.append(target)
            return target

    def set_film(self, film: Path, frames: int, *, whole: bool) -> None:
        """The clip's frames from 0 on; ``whole`` when there are no more."""
        with self.lock:
            self.film, self.film_frames, self.film_whole = film, frames, whole

    def set_files(self, target: int, paths: Sequence[Path], bundle: Path, made_of: Any = None) -> None:
        """What can be downloaded; ``made_of`` is the `fingerprint` of the track that it shows, the present
        one when left out."""
        with self.lock:
            extras = self._of(target)
            before, extras.files = (
                extras.files,
                Files(list(paths), bundle, self.fingerprint(target) if made_of is None else made_of),
            )
            if before is not None:
                self._forget_folder(before.bundle.parent)

    # --- what the page shows --------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything: ``video``, ``film`` (``file``, ``frames``) and ``targets``, each as `target_state`."""
        with self.lock:
            shown = [target.id for target in self.project.targets if target.segments]
            return {
                "video": dict(self.project.video),
                "film": {"file": self.film, "frames": self.film_frames},
                "targets": [self.target_state(number) for number in shown],
            }

    def target_state(self, number: int) -> dict[str, Any]:
        """One target: ``id``, ``name``, ``colour``, ``expression``, ``edits``, ``can_undo``, ``run`` (the
        columns of a `Timeline`), ``found`` (frames with the object), ``maps`` (``file``, ``size``,
        ``offsets``), what `what_if` returns but for the columns, ``verdicts``, ``files``, ``bundle``,
        ``stale``.

        Raises:
            LangTrackError: there is no such target, or it has not been followed yet.
        """
        with self.lock:
            target, extras = self.project.target(number), self._of(number)
            run = target.run()
            pieces = extras.pieces
            columns = asdict(Timeline.merged([piece.timeline for piece in pieces], target.owners()))
            if target.what_if is not None:
                columns |= decided_columns(run.rows)
            maps = pieces[-1].whole_maps
            files = extras.files
            edits = zip(target.segments, pieces, strict=True)
            return {
                "id": target.id,
                "name": target.name,
                "colour": target.colour,
                "expression": target.segments[-1].run.manifest.get("expression"),
                "edits": [{**segment.about(), "edit": piece.edit} for segment, piece in edits],
                "can_undo": len({piece.edit for piece in pieces}) > 1,
                "run": columns,
                "found": sum(row.decision.source is not None for row in run.rows),
                "maps": {"file": maps.path, "size": list(maps.size_wh), "offsets": list(maps.offsets)},
                **self._decision(target),
                "verdicts": verdicts_state(target.verdicts),
                "files": [] if files is None else list(files.paths),
                "bundle": None if files is None else files.bundle,
                "stale": files is None or files.made_of != self.fingerprint(number),
            }

    # --- what-if --------------------------------------------------------------------------------------------

    def what_if(self, number: int, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """Decide with other settings, or with the recorded ones again (None).

        Returns:
            ``columns`` of the timeline that change (`decided_columns`), ``settings`` now, ``recorded`` ones,
            ``what_if`` (they differ), ``changed`` frames, ``anchors`` (frames) and ``notes``.

        Raises:
            LangTrackError: a setting that does not exist or is out of range.
        """
        with self.lock:
            target = self.project.target(number)
            if not target.segments:
                raise LangTrackError("Follow the target first; then its settings can be tried.")
            if settings is None:
                target.what_if = None
            else:
                recorded = WhatIf.of_run(target.segments[0].run)
                wanted = WhatIf.from_json({**recorded.to_json(), **settings})
                target.what_if = None if wanted == recorded else wanted
            return {"columns": decided_columns(target.run().rows), **self._decision(target)}

    def _decision(self, target: Target) -> dict[str, Any]:
        recorded = WhatIf.of_run(target.segments[0].run)
        said = target.run().manifest.get("what_if", {}) if target.what_if is not None else {}
        anchors = [row.frame for row in target.run().rows if row.decision.reanchor]
        return {
            "settings": (target.what_if or recorded).to_json(),
            "recorded": recorded.to_json(),
            "what_if": target.what_if is not None,
            "changed": said.get("changed", 0),
            "anchors": anchors,
            "notes": said.get("notes", []),
        }

    # --- corrections and targets ----------------------------------------------------------------------------

    def undo(self, number: int) -> dict[str, Any]:
        """Take the last correction back, with the files that only it needed.

        Raises:
            LangTrackError: there is no correction.
        """
        with self.lock:
            target, extras = self.project.target(number), self._of(number)
            if len({piece.edit for piece in extras.pieces}) < 2:
                raise LangTrackError("There is no correction to take back.")
            last = extras.pieces[-1].edit
            while extras.pieces[-1].edit == last:
                extras.pieces.pop()
                self._forget_folder(target.undo().folder.parent)
            return self.target_state(number)

    def rename(self, number: int, name: str) -> None:
        with self.lock:
            self.project.target(number).name = checked_name(name)

    def remove(self, number: int) -> dict[str, Any]:
        """A target goes, with its runs, verdicts and files."""
        with self.lock:
            target = self.project.remove(number)
            extras = self._extras.pop(number, None)
            for segment in target.segments:
                self._forget_folder(segment.folder.parent)
            if extras is not None and extras.files is not None:
                self._forget_folder(extras.files.bundle.parent)
            return self.state()

    # --- files ----------------------------------------------------------------------------------------------

    def save_bundle(self, with_video: bool, max_video_mb: float) -> Path:
        """The whole workspace in one ZIP, to open on another machine or another day."""
        with self.lock:
            name = plain_name(Path(str(self.project.video.get("name", ""))).stem, "clip")
            path = self.folder / f"langtrack-project-{name}.zip"
            if with_video and self.video is None:
                raise LangTrackError("The video is not here; save the project without it.")
            return write_bundle(
                path, self.project, video=self.video if with_video else None, max_video_mb=max_video_mb
            )

    def close(self) -> None:
        """All files go."""
        with self.lock:
            self.closed = True
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- shared ---------------------------------------------------------------------------------------------

    def new_folder(self) -> Path:
        """For one job's files."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir(parents=True)
        return folder

    def next_edit(self, number: int) -> int:
        pieces = self._of(number).pieces
        return pieces[-1].edit + 1 if pieces else 0

    def _of(self, number: int) -> _Extras:
        return self._extras.setdefault(number, _Extras())

    def fingerprint(self, number: int) -> Any:
        """Equal as long as a target's track is."""
        target = self.project.target(number)
        return tuple(str(segment.folder) for segment in target.segments), target.what_if

    def _forget_folder(self, folder: Path) -> None:
        """Remove a job's folder, unless something in it is still shown."""
        used = {s.folder.parent for target in self.project.targets for s in target.segments}
        used |= {extras.files.bundle.parent for extras in self._extras.values() if extras.files}
        if self.film is not None:
            used.add(self.film.parent)
        if folder not in used and self.folder in folder.parents:
            shutil.rmtree(folder, ignore_errors=True)


def _with_whole_maps(segments: Sequence[Segment], pieces: Sequence[SegmentView], place: int) -> SegmentView:
    """The piece with the maps of the track up to it, where they can be shown: at the end of an edit."""
    piece = pieces[place]
    goes_on = place + 1 < len(pieces) and pieces[place + 1].edit == piece.edit
    alone = place == 0 and segments[0].run.manifest.get("direction") != "backward"
    if goes_on or alone:
        return piece
    folder = segments[place].folder.parent
    maps = [one.maps for one in pieces[: place + 1]]
    path = folder / f"maps-{secrets.token_hex(4)}.u8.gz"
    return replace(piece, whole_maps=merged_maps(maps, owners(segments[: place + 1]), path))
