"""What a person makes of one video: targets, each a stack of runs and corrections, verdicts and settings.

A correction is a run of its own, from the corrected frame forward or backward; `anchors.owners` says which
frames it covers, and the ones below stay. So undoing is taking the last one off, and nothing is computed
twice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError
from langtrack_lab.exports.clip import plain_label
from langtrack_lab.runs import Run, read_run

from .anchors import is_backward, owners, run_key
from .redecide import FusionOverrides, changed_frames, redecided_run
from .reviews import Verdicts

FORMAT = "langtrack-project"
"""Name of the file format, in ``format`` of every project.json, so that another JSON is refused by name."""
FORMAT_VERSION = 1
"""Version of the file format; it rises when an older program could not read the file any more."""
MAX_TARGETS = 20
"""Largest number of targets in a video: the page draws all of them on every frame."""
MAX_SEGMENTS = 2_000
"""Largest number of runs and corrections of a video, of all targets together: more than a person makes in a
day. Each of them is three files of a saved project, whose ZIP may hold 20,000 (`safe_zip.Limits`)."""
MAX_CLASS = 80
"""Largest number of characters of a target's class: one line of the page."""
LEFT_OUT = "words_left_out"
"""Name of the entry of a manifest with the words that a correction had beside its box, and did without."""

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442", "#999999")
"""Colours of the targets, in the order in which they come: Okabe and Ito's palette, which all common kinds
of colour vision tell apart (jfly.uni-koeln.de/color)."""


@dataclass(frozen=True)
class Segment:
    """One run of the branches: the first one, or a correction.

    Attributes:
        folder: the run folder that `Recorder` wrote.
        run: what is in it; its manifest says ``expression``, ``box_xyxy``, ``start``, ``every`` and
            ``direction`` ("forward" or "backward").
    """

    folder: Path
    run: Run

    @classmethod
    def read(cls, folder: Path | str) -> Segment:
        """The segment whose run is in a folder.

        Raises:
            LangTrackError: the folder is not a run.
        """
        return cls(Path(folder), read_run(folder))

    def about(self) -> dict[str, Any]:
        """A summary for the page: what was asked for, from which frame, and which frames the run has."""
        manifest, rows = self.run.manifest, self.run.rows
        return {
            "direction": manifest.get("direction", "forward"),
            "start": manifest.get("start", 0),
            "expression": manifest.get("expression"),
            "box_xyxy": manifest.get("box_xyxy"),
            "every": manifest.get("every", 1),
            "frames": [min(row.frame for row in rows), max(row.frame for row in rows)] if rows else [],
            "complete": manifest.get("complete", True),
        }


@dataclass
class Target:
    """One object of a video.

    Attributes:
        id: unique in its project, never used again.
        colour: ``#rrggbb``.
        segments: runs and corrections in the order in which they were made.
        overrides: other settings for the decision; None for those of the runs.
        class_name: its class in the formats of other tools, as a person gave it; "" for its `words`.
    """

    id: int
    colour: str
    segments: list[Segment] = field(default_factory=list)
    overrides: FusionOverrides | None = None
    verdicts: Verdicts = field(default_factory=Verdicts)
    class_name: str = ""
    _merged: tuple[Any, Run] | None = field(default=None, repr=False, compare=False)
    _run_keys: tuple[Any, dict[int, str]] | None = field(default=None, repr=False, compare=False)

    def run(self) -> Run:
        """The track as it stands: all segments folded, decided with `overrides` where there are any.

        The same object until something changes.

        Raises:
            LangTrackError: there is no segment yet.
        """
        if not self.segments:
            raise LangTrackError(f"Target {self.id} has not been followed yet; run it first.")
        key = (tuple(id(segment) for segment in self.segments), self.overrides)
        if self._merged is None or self._merged[0] != key:
            runs = [segment.run for segment in self.segments]
            whole, table = merge(runs), owners(runs)
            if self.overrides is not None:
                before, whole = whole, merge([redecided_run(run, self.overrides) for run in runs], table)
                whole.manifest["what_if"]["changed"] = changed_frames(before.rows, whole.rows)
            self._merged = key, whole
        return self._merged[1]

    def run_keys(self) -> dict[int, str]:
        """For each frame of the track the `run_key` of the run that gives it now."""
        key = tuple(id(segment) for segment in self.segments)
        if self._run_keys is None or self._run_keys[0] != key:
            runs = [segment.run for segment in self.segments]
            keys = [run_key(run) for run in runs]
            self._run_keys = key, {frame: keys[number] for frame, (number, _) in owners(runs).items()}
        return self._run_keys[1]

    def track_key(self) -> str:
        """A text for how the track came about: equal for the same runs made again, with the same settings."""
        keys = [run_key(segment.run) for segment in self.segments]
        return json.dumps([keys, None if self.overrides is None else self.overrides.to_json()])

    @property
    def judged(self) -> Verdicts:
        """The verdicts on frames of the track; those on frames of an undone correction wait in `verdicts`."""
        return self.verdicts.on(self.run_keys())

    def is_stale(self, frame: int) -> bool:
        """Whether a correction ran a frame again after it was judged."""
        verdict = self.verdicts[frame]
        return bool(verdict.side and verdict.run) and self.run_keys().get(frame) != verdict.run

    @property
    def newest(self) -> Segment:
        """The segment that the person's last action began with: what is asked for now."""
        edit = self.segments[-1].run.manifest.get("edit")
        return next(segment for segment in self.segments if segment.run.manifest.get("edit") == edit)

    @property
    def expression(self) -> str | None:
        """What is followed now in words; None where a box alone is."""
        expression: str | None = self.newest.run.manifest.get("expression")
        return expression

    @property
    def words(self) -> str | None:
        """The words that a person called it by last, also where the track went on by a box alone since then;
        None where there were never any."""
        firsts = {segment.run.manifest.get("edit"): segment for segment in reversed(self.segments)}
        manifests = [first.run.manifest for first in firsts.values()]  # the newest edit first
        words = (manifest.get("expression") or manifest.get(LEFT_OUT) for manifest in manifests)
        return next(filter(None, words), None)

    def undo(self) -> Segment:
        """Take the last correction back; its segment is returned so that its files can go.

        Raises:
            LangTrackError: there is only the first run, or none.
        """
        if len(self.segments) < 2:
            raise LangTrackError("There is no correction to take back.")
        return self.segments.pop()


def merge(runs: Sequence[Run], table: Mapping[int, tuple[int, int]] | None = None) -> Run:
    """Fold runs of one target.

    Args:
        table: the owner of each frame; that of `owners` unless told otherwise.

    Returns:
        Rows by rising frame; the manifest of the first with counts of the whole and, when there are several,
        ``edits``: for each run what was asked, where, in which direction, and the frames it covers now.

    Raises:
        LangTrackError: no run, or runs of different videos.
    """
    if not runs:
        raise LangTrackError("There is no run to show yet.")
    hashes = {run.manifest.get("video", {}).get("sha256") for run in runs}
    if len(hashes) > 1:
        raise LangTrackError("These runs are of different videos and cannot be put together.")
    if len(runs) == 1 and all(
        a.frame < b.frame for a, b in zip(runs[0].rows, runs[0].rows[1:], strict=False)
    ):
        return runs[0]
    table = owners(runs) if table is None else table
    whole = [runs[number].rows[place] for _, (number, place) in sorted(table.items())]
    masks = {frame: runs[number].masks.get(frame, {}) for frame, (number, _) in sorted(table.items())}
    shares = Counter(number for number, _ in table.values())
    edits = [
        {
            "direction": run.manifest.get("direction", "forward"),
            "start": run.manifest.get("start", 0),
            "expression": run.manifest.get("expression"),
            "box_xyxy": run.manifest.get("box_xyxy"),
            "frames": shares[number],
        }
        for number, run in enumerate(runs)
    ]
    manifest = {key: value for key, value in runs[0].manifest.items() if key != "direction"}
    whole_runs = (run for run in runs if run.manifest.get("complete", True) and not is_backward(run))
    what_ifs = [run.manifest["what_if"] for run in runs if "what_if" in run.manifest]
    if what_ifs:
        notes = list(dict.fromkeys(note for record in what_ifs for note in record["notes"]))
        manifest["what_if"] = {**what_ifs[0], "notes": notes}
    manifest |= {
        # To the video's end: a run that was stopped counts no more when a later one went on from there.
        "complete": any(run.rows[-1].frame == whole[-1].frame for run in whole_runs if run.rows),
        "counts": {
            "frames": len(whole),
            "first_frame": whole[0].frame if whole else -1,
            "last_frame": whole[-1].frame if whole else -1,
            "state": dict(Counter(row.decision.state for row in whole)),
            "source": dict(Counter(row.decision.source or "none" for row in whole)),
        },
        "edits": edits,
    }
    return Run(manifest, whole, masks)


@dataclass
class Project:
    """One video and its targets.

    Attributes:
        video: as in a run's manifest: ``name``, ``sha256``, ``width``, ``height``, ``fps``, …
        targets: in the order in which they were added.
    """

    video: dict[str, Any]
    targets: list[Target] = field(default_factory=list)
    _ids_used: int = field(default=0, repr=False)

    def add(self) -> Target:
        """A new target without a run yet, in the first of `COLOURS` that no other has.

        Raises:
            LangTrackError: there are too many targets.
        """
        if len(self.targets) >= MAX_TARGETS:
            raise LangTrackError(f"A video has at most {MAX_TARGETS} targets; remove one first.")
        number = max((self._ids_used, *(target.id for target in self.targets))) + 1
        colours = {target.colour for target in self.targets}
        free = [one for one in COLOURS if one not in colours] or [COLOURS[number % len(COLOURS)]]
        target = Target(number, free[0])
        self._ids_used = number
        self.targets.append(target)
        return target

    def check_segments(self, more: int) -> None:
        """Check that runs and corrections may be added: a project with more of them could not be opened.

        Raises:
            LangTrackError: there would be too many.
        """
        if sum(len(target.segments) for target in self.targets) + more > MAX_SEGMENTS:
            raise LangTrackError(
                f"A video has at most {MAX_SEGMENTS} runs and corrections. Save this run; then follow the "
                "video anew, or undo some of them."
            )

    def target(self, number: int) -> Target:
        """The target with an id.

        Raises:
            LangTrackError: there is none.
        """
        for target in self.targets:
            if target.id == number:
                return target
        raise LangTrackError(f"There is no target {number!r:.20} in this video.")

    def remove(self, number: int) -> Target:
        """Take a target out, with its verdicts; it is returned so that its files can go."""
        target = self.target(number)
        self._ids_used = max(self._ids_used, number)
        self.targets.remove(target)
        return target

    def to_json(self, folders: Mapping[int, Sequence[str]]) -> dict[str, Any]:
        """The document ``project.json``: everything but the runs, which are in folders beside it.

        Args:
            folders: target id -> the name of each segment's folder, in order.
        """
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "video": self.video,
            "targets": [
                {
                    "id": target.id,
                    "class": target.class_name,
                    "colour": target.colour,
                    "segments": list(folders.get(target.id, [])),
                    "what_if": None if target.overrides is None else target.overrides.to_json(),
                    "verdicts": target.verdicts.to_json(),
                }
                for target in self.targets
            ],
        }

    @classmethod
    def from_json(cls, document: Any, runs: Mapping[str, Segment]) -> Project:
        """The inverse of `to_json`.

        Args:
            runs: the segments by the names of their folders.

        Raises:
            LangTrackError: another format or version, or anything in it that `to_json` does not write.
        """
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise LangTrackError("This is not a project of LangTrack: the JSON says another format, or none.")
        if document.get("format_version") != FORMAT_VERSION:
            raise LangTrackError(
                f"The project has version {document.get('format_version')!r:.20}; this LangTrack reads "
                f"version {FORMAT_VERSION}. Open it with the LangTrack that saved it."
            )
        video, targets = document.get("video"), document.get("targets")
        if not isinstance(video, Mapping) or not isinstance(targets, list) or len(targets) > MAX_TARGETS:
            raise LangTrackError("The project needs a “video” and a list of at most 20 “targets”.")
        project = cls(checked_video(video))
        for entry in targets:
            project._add_entry(entry, runs)
            project.check_segments(0)
        return project

    def _add_entry(self, entry: Any, runs: Mapping[str, Segment]) -> None:
        if not isinstance(entry, Mapping):
            raise LangTrackError("A target of the project is not an object.")
        number, names = entry.get("id"), entry.get("segments")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 1_000_000:
            raise LangTrackError(f"A target of the project has no proper id, but {number!r:.20}.")
        if any(target.id == number for target in self.targets):
            raise LangTrackError(f"The project has two targets with the id {number}.")
        if not isinstance(names, list) or len(names) > MAX_SEGMENTS:
            raise LangTrackError(
                f"Target {number} of the project needs a list of at most {MAX_SEGMENTS} “segments”."
            )
        missing = [name for name in names if not isinstance(name, str) or name not in runs]
        if missing:
            raise LangTrackError(f"The project names a run that is not there: {str(missing[0])[:60]!r}.")
        segments = [runs[name] for name in names]
        foreign = [
            s for s in segments if s.run.manifest.get("video", {}).get("sha256") != self.video["sha256"]
        ]
        if foreign:
            raise LangTrackError(f"A run of target {number} is of another video than the project.")
        what_if = entry.get("what_if")
        self.targets.append(
            Target(
                number,
                checked_colour(entry.get("colour")),
                segments,
                None if what_if is None else FusionOverrides.from_json(what_if),
                Verdicts.from_json(entry.get("verdicts")),
                checked_class(entry.get("class", "")),  # older projects have none
            )
        )


def checked_class(name: Any) -> str:
    """A target's class as exports write it, "" for none.

    Raises:
        LangTrackError: it is no text, or too long.
    """
    if not isinstance(name, str) or len(name) > MAX_CLASS:
        raise LangTrackError(f"A class is one line of up to {MAX_CLASS} characters, got {name!r:.60}.")
    return plain_label(name)


def checked_colour(colour: Any) -> str:
    """The colour as ``#rrggbb`` in lower case.

    Raises:
        LangTrackError: it is not written like that.
    """
    if not isinstance(colour, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise LangTrackError(f"A colour is written #rrggbb, got {colour!r:.40}.")
    return colour.lower()


def checked_video(video: Mapping[str, Any]) -> dict[str, Any]:
    """The video of a project, with the fields that others rely on.

    Raises:
        LangTrackError: a field is missing or wrong.
    """
    name, sha256 = video.get("name"), video.get("sha256")
    sizes = [video.get("width"), video.get("height")]
    if not isinstance(name, str) or not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise LangTrackError("The project does not name its video.")
    if any(not isinstance(n, int) or isinstance(n, bool) or not 0 < n <= 16_384 for n in sizes):
        raise LangTrackError("The project does not say how large its video is.")
    return dict(video)


def all_folders(targets: Iterable[Target]) -> dict[int, list[str]]:
    """Names for the run folders of a saved project: ``runs/<target>-<segment>``."""
    return {t.id: [f"runs/{t.id}-{number}" for number in range(len(t.segments))] for t in targets}
