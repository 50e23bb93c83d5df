"""One target of a workspace as the page shows it: its runs, their maps and the files to download."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from langtrack_core.types import Reason
from langtrack_lab.exports.clip import DEFAULT_LABEL
from langtrack_lab.files import plain_name

from .annotation.anchors import owners
from .annotation.episodes import differ
from .annotation.judgement import verdicts_state
from .annotation.project import Segment, Target
from .annotation.redecide import FusionOverrides
from .player_video import Maps, merged_maps
from .timeline import FrameGeometry, decided_columns, timeline


class SegmentResult(NamedTuple):
    """The result of one run or correction for a target.

    Attributes:
        target: its id.
        edit: number of the user's action. Runs of one action have the same number and are undone together.
        geometry: that of each frame.
        maps: of this run, in the order in which it was computed.
    """

    target: int
    segment: Segment
    edit: int
    geometry: Mapping[int, FrameGeometry]
    maps: Maps


@dataclass
class Files:
    """Files of a target to download, and the `track_fingerprint` of the track that they show."""

    paths: list[Path]
    bundle: Path
    fingerprint: Any


@dataclass
class TargetView:
    """Data of a target that the page shows, beside its runs.

    Attributes:
        results: one for each of the target's segments.
        whole_maps: after each of them, the maps of the whole track, by rising frame.
    """

    results: list[SegmentResult] = field(default_factory=list)
    whole_maps: list[Maps] = field(default_factory=list)
    files: Files | None = None

    def with_results(self, results: Sequence[SegmentResult]) -> TargetView:
        """A new view with further results.

        Raises:
            OSError: the maps could not be put together.
        """
        view = TargetView([*self.results, *results], [*self.whole_maps], self.files)
        for place in range(len(view.whole_maps), len(view.results)):
            view.whole_maps.append(view._maps_after(place))
        return view

    def _maps_after(self, place: int) -> Maps:
        """Maps of the track up to a result, where the page can show it: at the end of an edit."""
        last, runs = self.results[place], [result.segment.run for result in self.results[: place + 1]]
        edit_continues = place + 1 < len(self.results) and self.results[place + 1].edit == last.edit
        whole_track = place == 0 and last.segment.run.manifest.get("direction") != "backward"
        if edit_continues or whole_track:
            return last.maps
        path = last.segment.folder.parent / f"maps-{secrets.token_hex(4)}.u8.gz"
        return merged_maps([result.maps for result in self.results[: place + 1]], owners(runs), path)

    @property
    def can_undo(self) -> bool:
        """Whether there is a correction after the first run."""
        return len({result.edit for result in self.results}) > 1

    @property
    def next_edit(self) -> int:
        """The number of the next edit, see `SegmentResult`."""
        return self.results[-1].edit + 1 if self.results else 0

    def state(self, target: Target) -> dict[str, Any]:
        """The state of a target, which has been followed: ``colour``, ``expression``, ``class`` (``name`` as
        given, and the ``words`` that it is without one), ``edits``, ``can_undo``, ``run`` (the columns of a
        `timeline`), ``found`` (frames with the object), ``sure`` (mean confidence on them, None when there
        are none), ``differ`` (those on which the branches do), ``same`` (frames lost to another target on the
        same thing), ``maps`` (``file``, ``size``, ``offsets``), what `decision_state` returns, ``verdicts``,
        ``files``, and ``bundle``."""
        rows = target.run().rows
        columns = self.timeline() | (decided_columns(rows) if target.overrides is not None else {})
        maps, files = self.whole_maps[-1], self.files
        present = [row for row in rows if row.decision.source is not None]
        return {
            "colour": target.colour,
            "expression": target.expression,
            "class": {"name": target.class_name, "words": target.words or DEFAULT_LABEL},
            "edits": [{**result.segment.about(), "edit": result.edit} for result in self.results],
            "can_undo": self.can_undo,
            "run": columns,
            "found": len(present),
            "sure": sum(row.fused.confidence for row in present) / len(present) if present else None,
            "differ": sum(differ(row) for row in present),
            "same": [row.frame for row in rows if row.decision.reason is Reason.SAME_TARGET],
            "maps": {"file": maps.path, "size": list(maps.size_wh), "offsets": list(maps.offsets)},
            **decision_state(target),
            "verdicts": verdicts_state(target),
            "files": [] if files is None else list(files.paths),
            "bundle": None if files is None else files.bundle,
        }

    def timeline(self) -> dict[str, list[Any]]:
        """The columns of the track as it was recorded."""
        table = sorted(owners([result.segment.run for result in self.results]).items())
        rows = [self.results[number].segment.run.rows[place] for _, (number, place) in table]
        return timeline(rows, {frame: self.results[n].geometry[frame] for frame, (n, _) in table})


class RemovedTarget(NamedTuple):
    """A target that was removed and can come back, and its place among the others."""

    place: int
    target: Target
    view: TargetView


def track_fingerprint(target: Target) -> Any:
    """A value that changes whenever a target's track does."""
    return tuple(str(segment.folder) for segment in target.segments), target.overrides


def file_stem(clip: str, number: int, expression: str | None) -> str:
    """A name for the files of a target. Clip, number and words are in it: those of two targets differ."""
    words = plain_name(expression or "", "box", longest=40)
    return f"{plain_name(Path(clip).stem, 'clip')}-{number}-{words}"


def decision_state(target: Target) -> dict[str, Any]:
    """The settings that a target is decided with: ``settings`` now, ``recorded`` ones, ``what_if`` (they
    differ), ``changed`` frames, ``anchors`` (frames) and ``notes``."""
    recorded = FusionOverrides.of_run(target.segments[0].run)
    run = target.run()
    record = run.manifest.get("what_if", {}) if target.overrides is not None else {}
    return {
        "settings": (target.overrides or recorded).to_json(),
        "recorded": recorded.to_json(),
        "what_if": target.overrides is not None,
        "changed": record.get("changed", 0),
        "anchors": [row.frame for row in run.rows if row.decision.reanchor],
        "notes": record.get("notes", []),
    }
