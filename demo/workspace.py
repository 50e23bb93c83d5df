"""The video that one visitor works on: targets, corrections, verdicts and settings, as the page shows them.

Computes nothing that takes long: whatever needs the networks or the whole video is a job (`desk`).
"""

from __future__ import annotations

import gzip
import json
import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from langtrack_core.bundle import write_bundle
from langtrack_core.compare import Branch, agreement
from langtrack_core.project import MAX_TARGETS, Project, Segment, Target, checked_colour, checked_name, owners
from langtrack_core.replay import WhatIf
from langtrack_core.runs import Run
from langtrack_core.truth import Truth, read_truth, score_run
from langtrack_core.types import LangTrackError
from langtrack_core.verdicts import Verdicts, review_queue
from langtrack_core.video import VideoInfo

from .film import CHUNK, Maps, MapsWriter
from .task import without_paths
from .timeline import Timeline, decided_columns

MAX_VERDICT_FILE = 20_000_000
"""Bytes of a file of verdicts that is read."""


class Addition(NamedTuple):
    """What a run left for a target; ``edit`` as in `Piece`."""

    target: int
    segment: Segment
    timeline: Timeline
    maps: Maps
    edit: int


@dataclass(frozen=True)
class Piece:
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
    pieces: list[Piece] = field(default_factory=list)
    truth: Truth | None = None
    truth_of: Run | None = None
    files: Files | None = None


class Workspace:
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
        self.folder = folder
        self.video = video
        self.info = info
        self.project = project or Project({})
        self.film: Path | None = None
        self.film_frames = 0
        self.film_whole = False
        self.lock = threading.RLock()
        self.closed = False
        self._extras: dict[int, _Extras] = {}

    # --- what jobs bring ------------------------------------------------------------------------------------

    def add_segments(self, found: Sequence[Addition]) -> None:
        """Runs and corrections are done. All of them are taken, or none.

        Raises:
            LangTrackError: a target has gone meanwhile.
            OSError: their maps could not be put together.
        """
        with self.lock:
            changed: dict[int, tuple[list[Segment], list[Piece]]] = {}
            for target, segment, timeline, maps, edit in found:
                segments, pieces = changed.setdefault(
                    target, ([*self.project.target(target).segments], [*self._of(target).pieces])
                )
                segments.append(segment)
                pieces.append(Piece(edit, timeline, maps, maps))
            for target, (segments, pieces) in changed.items():
                for place in range(len(self._of(target).pieces), len(pieces)):
                    pieces[place] = _with_whole_maps(segments, pieces, place)
            for target, (segments, pieces) in changed.items():
                self.project.target(target).segments[:] = segments
                self._of(target).pieces = pieces
            if found and not self.project.video:
                self.project.video = dict(found[0].segment.run.manifest["video"])

    def add_targets(self, names: Sequence[str | None], colour: str | None = None) -> list[Target]:
        """For a run that begins; those whose runs came to nothing make room first.

        Raises:
            LangTrackError: too many targets, or a name or colour that cannot be.
        """
        with self.lock:
            for target in [t for t in self.project.targets if not t.segments]:
                self.remove(target.id)
            if len(self.project.targets) + len(names) > MAX_TARGETS:
                raise LangTrackError(f"A video has at most {MAX_TARGETS} targets; remove some first.")
            return [self.project.add(name, colour) for name in names]

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
        columns of a `Timeline`), ``maps`` (``file``, ``size``, ``offsets``), what `what_if` returns but for
        the columns, ``verdicts``, ``files``, ``bundle``, ``stale``.

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
                "maps": {"file": maps.path, "size": list(maps.size_wh), "offsets": list(maps.offsets)},
                **self._decision(target),
                "verdicts": _verdicts_state(target.verdicts),
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
        anchors = [row.frame for row in target.run().rows if _anchored(row.reason)]
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

    def recolour(self, number: int, colour: str) -> None:
        with self.lock:
            self.project.target(number).colour = checked_colour(colour)

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

    # --- verdicts -------------------------------------------------------------------------------------------

    def give_verdict(
        self, number: int, first: int, last: int, says: Any, note: str | None = None
    ) -> dict[str, Any]:
        """See `Verdicts.give`.

        Returns:
            ``counts`` by verdict, and ``frames``: number -> ``verdict`` and ``note``.
        """
        with self.lock:
            verdicts = self.project.target(number).verdicts
            verdicts.give(first, last, says, note)
            return _verdicts_state(verdicts)

    def clear_verdicts(self, number: int, first: int, last: int) -> dict[str, Any]:
        with self.lock:
            verdicts = self.project.target(number).verdicts
            verdicts.clear(first, last)
            return _verdicts_state(verdicts)

    def queue(self, number: int, limit: int = 30) -> list[dict[str, Any]]:
        """The unjudged frames where the branches disagree most, spread out: ``frame``, ``score``, ``why``."""
        with self.lock:
            target = self.project.target(number)
            judged = [frame for frame in target.verdicts if target.verdicts[frame].says is not None]
            doubts = review_queue(target.run(), limit=max(1, min(limit, 500)), done=judged)
            return [{"frame": d.frame, "score": round(d.score, 3), "why": d.why} for d in doubts]

    def verdicts_file(self, number: int, form: str) -> Path:
        """The verdicts as ``verdicts-<id>.json`` or ``.csv``."""
        if form not in ("json", "csv"):
            raise LangTrackError(f"Verdicts are saved as json or csv, not as {form!r:.20}.")
        with self.lock:
            verdicts = self.project.target(number).verdicts
            said = json.dumps(verdicts.to_json(), indent=1, ensure_ascii=False)
            path = self.folder / f"verdicts-{number}.{form}"
            return _written(path, said if form == "json" else verdicts.to_csv())

    def import_verdicts(self, number: int, path: Path) -> dict[str, Any]:
        """Replace a target's verdicts by a file's, JSON or CSV.

        Raises:
            LangTrackError: neither, with an entry that is wrong, or for frames that the track lacks.
        """
        if path.stat().st_size > MAX_VERDICT_FILE:
            raise LangTrackError("The file is too large for verdicts; at most 20 MB are read.")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise LangTrackError("The file is not a text; verdicts are JSON or CSV.") from None
        verdicts = Verdicts.from_text(text)
        with self.lock:
            target = self.project.target(number)
            frames = {row.frame for row in target.run().rows}
            outside = [frame for frame in verdicts if frame not in frames]
            if outside:
                raise LangTrackError(
                    f"The verdicts speak of frame {outside[0]}, which this track does not have; "
                    "they belong to another run."
                )
            target.verdicts = verdicts
            return _verdicts_state(verdicts)

    # --- files ----------------------------------------------------------------------------------------------

    def save_bundle(self, with_video: bool, max_video_mb: float) -> Path:
        """The whole workspace in one ZIP, to open on another machine or another day."""
        with self.lock:
            stem = Path(str(self.project.video.get("name", "clip"))).stem[:60] or "clip"
            clean = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)
            path = self.folder / f"langtrack-project-{clean}.zip"
            if with_video and self.video is None:
                raise LangTrackError("The video is not here; save the project without it.")
            return write_bundle(
                path, self.project, video=self.video if with_video else None, max_video_mb=max_video_mb
            )

    # --- ground truth and comparison ------------------------------------------------------------------------

    def truth(self, number: int, paths: Sequence[Path]) -> dict[str, Any]:
        """Score a target's track against dropped masks or boxes; see `langtrack_core.truth.score_run`."""
        with self.lock:
            run = self.project.target(number).run()
            try:
                truth = read_truth(list(paths), run)
            except LangTrackError as error:
                raise LangTrackError(without_paths(str(error))) from error
            extras = self._of(number)
            extras.truth, extras.truth_of = truth, run
            return score_run(run, truth)

    def scored_again(self, number: int) -> dict[str, Any] | None:
        """The figures of the truth that was dropped, for the track as it is now (after a what-if, say);
        None when there is none, or when the track has other frames now: drop it again."""
        with self.lock:
            extras = self._of(number)
            run = self.project.target(number).run()
            before = extras.truth_of
            if extras.truth is None or before is None:
                return None
            if [row.frame for row in before.rows] != [row.frame for row in run.rows]:
                return None
            return score_run(run, extras.truth)

    def forget_truth(self, number: int) -> None:
        with self.lock:
            extras = self._of(number)
            extras.truth = extras.truth_of = None

    def agreement(self, numbers: Sequence[int] | None = None, branch: Branch = "fused") -> dict[str, Any]:
        """Pairwise agreement of targets' tracks: `Agreement.to_json` and ``targets``, the ids in order."""
        with self.lock:
            chosen = [t.id for t in self.project.targets if t.segments] if numbers is None else list(numbers)
            found = agreement([self.project.target(number).run() for number in chosen], branch)
            return {**found.to_json(), "targets": chosen}

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


def _with_whole_maps(segments: Sequence[Segment], pieces: Sequence[Piece], place: int) -> Piece:
    """The piece with the maps of the track up to it, where they can be shown: at the end of an edit."""
    piece = pieces[place]
    goes_on = place + 1 < len(pieces) and pieces[place + 1].edit == piece.edit
    alone = place == 0 and segments[0].run.manifest.get("direction") != "backward"
    if goes_on or alone:
        return piece
    folder = segments[place].folder.parent
    maps = [one.maps for one in pieces[: place + 1]]
    return replace(piece, whole_maps=_merged_maps(maps, owners(segments[: place + 1]), folder))


def _merged_maps(maps: Sequence[Maps], owner: Mapping[int, tuple[int, int]], folder: Path) -> Maps:
    """One maps file of the folded track; a chunk of each run is unpacked at a time."""
    width, height = maps[0].size_wh
    unpacked: dict[tuple[int, int], Any] = {}
    # MapsWriter scales to the same size, since all runs are of one video.
    with MapsWriter(folder / f"maps-{secrets.token_hex(4)}.u8.gz", width, height) as writer:
        for frame in sorted(owner):
            number, place = owner[frame]
            chunk = number, place // CHUNK
            if chunk not in unpacked:
                unpacked = {key: held for key, held in unpacked.items() if key[0] != number}
                unpacked[chunk] = _chunk(maps[number], chunk[1])
            writer.add_maps(unpacked[chunk][place % CHUNK])
    return writer.maps


def _chunk(maps: Maps, number: int) -> NDArray[np.uint8]:
    """``(up to CHUNK, 2, h, w)``."""
    width, height = maps.size_wh
    with maps.path.open("rb") as stream:
        stream.seek(maps.offsets[number])
        plain = gzip.decompress(stream.read(maps.offsets[number + 1] - maps.offsets[number]))
    return np.frombuffer(plain, np.uint8).reshape(-1, 2, height, width)


def _anchored(reason: str) -> bool:
    return reason.startswith("found") or reason.endswith("re-anchored")


def _verdicts_state(verdicts: Verdicts) -> dict[str, Any]:
    listed = {str(f): {"verdict": verdicts[f].says, "note": verdicts[f].note} for f in verdicts}
    return {"counts": verdicts.counts(), "frames": listed}


def _written(path: Path, text: str) -> Path:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise LangTrackError(f"{path.name} could not be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
    return path
