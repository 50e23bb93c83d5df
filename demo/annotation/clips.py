"""Many clips in a row: a list of them, one verdict for each, and one file with the result.

A clip is a video file, a folder of frames, or a run that is there already; `clips_folder` finds them. The
result names clip, words and hash, so that another person goes on where the first one stopped.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from langtrack_core.types import LangTrackError
from langtrack_lab.files import write_text
from langtrack_lab.runs import Run

from .checks import whole_number
from .episodes import episodes
from .reviews import Verdicts

ClipSide = Literal["right", "partly", "wrong", "absent", "unclear"]
"""What a person says of the track in a clip; "absent" means that the words fit nothing in it."""
ClipFilter = Literal["all", "open", "disagreeing", "lost"]
"""Which clips next and previous go to; "open" are those without a verdict."""

SIDES: tuple[ClipSide, ...] = get_args(ClipSide)
"""All verdicts on a clip, in the order of their keys."""
FILTERS: tuple[ClipFilter, ...] = get_args(ClipFilter)
"""All filters of the list."""
FORMAT = "langtrack-clips"
"""Name of the file format, in ``format`` of a result, so that another JSON is refused by name."""
FORMAT_VERSION = 2
"""Version of the file format; it rises when an older program could not read the file any more. Version 1 held
the first target of a clip alone."""
RESULT_NAME = "langtrack-clips.json"
"""Name of the result in a folder of clips, where it is found again."""
LOCK_S = 10.0
"""Longest time in seconds that a verdict waits while others write theirs: a write takes less than one."""
MAX_CLIPS = 5_000
"""Largest number of clips in a list: the page shows all of them."""
FIGURES = ("frames", "disagreements", "frames_lost")
"""Names of the figures of a target, each a whole number or None: frames of its track, episodes in which the
branches disagree, frames on which it is lost."""
COLUMNS = ("clip", "target", "expression", "verdict", *FIGURES, "sha256")
"""Names of the columns of the result as CSV, in their order. A line is a target, the verdict its clip's."""


@dataclass
class ClipTarget:
    """What the result says of one target of a clip: its words (None for a box), the `FIGURES`, and the
    verdicts on its frames."""

    expression: str | None = None
    frames: int | None = None
    disagreements: int | None = None
    frames_lost: int | None = None
    verdicts: Verdicts = field(default_factory=Verdicts)

    @classmethod
    def of_run(cls, run: Run, verdicts: Verdicts) -> ClipTarget:
        lost = sum(row.decision.state == "lost" for row in run.rows)
        return cls(run.manifest.get("expression"), len(run.rows), len(episodes(run)), lost, verdicts)

    def figures(self) -> tuple[int | None, ...]:
        return self.frames, self.disagreements, self.frames_lost


@dataclass
class Clip:
    """One clip of a list.

    Attributes:
        name: its place in the folder; unique with the expression.
        video: None when it is not there.
        run: folder of the run that is there already.
        expression: the words that are followed in it first.
        sha256: of the video; "" before it was opened here.
        judged_sha256: of the video that a taken verdict is on; "" when nobody knows.
        verdict: on the whole clip.
        targets: all that are followed in it, in the order of their numbers; none before somebody has.
        others: further targets of somebody else's result, which nobody has followed here.
        key: of the `Workspace` that it was opened in.
        waiting: whether the verdicts on frames wait there for tracks.
        tracks: for each target what tells its track from others, as `note_clip` found it; empty when nobody
            has opened the clip here.
        withdrawn: the verdict that was on other tracks, which are not kept any more, or on another video.
        before: the clip as it was when it was followed anew, until there is a track.
    """

    name: str
    video: Path | None = None
    run: Path | None = None
    expression: str | None = None
    sha256: str = ""
    judged_sha256: str = ""
    verdict: ClipSide | None = None
    targets: list[ClipTarget] = field(default_factory=list)
    others: list[ClipTarget] = field(default_factory=list)
    key: str = ""
    waiting: bool = False
    tracks: list[str] = field(default_factory=list)
    withdrawn: ClipSide | None = None
    before: Clip | None = None

    def check_video(self, sha256: str) -> None:
        """Take all verdicts back when they are on another video, which had the clip's name before."""
        known = self.sha256 or self.judged_sha256
        if known and known != sha256:
            self.judged_sha256 = known
            self.withdrawn, self.verdict = self.verdict or self.withdrawn, None
            self.targets, self.others, self.tracks = [], [], []

    def check_verdict(self, tracks: list[str]) -> None:
        """Take the verdict back when the clip was opened anew and its tracks are others: those before were
        corrected, and are not kept any more."""
        if self.tracks and self.tracks != tracks and self.verdict is not None:
            self.withdrawn, self.verdict = self.verdict, None

    def withdrawn_text(self) -> str:
        """A sentence about a verdict that was taken back and not given again; "" without one."""
        if self.withdrawn is None or self.verdict is not None:
            return ""
        if self.judged_sha256 not in ("", self.sha256):
            return (
                f"The verdict “{self.withdrawn}” was on another video, which had the name {self.name} "
                "before. Give a verdict on this one."
            )
        return (
            f"The verdict “{self.withdrawn}” on {self.name} was on a track that had been changed and is not "
            "kept any more. This is the track as it was first; give a verdict on it."
        )

    def note_runs(self, runs: Sequence[tuple[Run, Verdicts]]) -> None:
        """Note what the result says of the tracks in it, in the order of the targets."""
        manifest = runs[0][0].manifest
        self.expression = manifest.get("expression") or self.expression
        self.sha256 = str(manifest.get("video", {}).get("sha256", "") or self.sha256)
        self.targets = [ClipTarget.of_run(run, verdicts) for run, verdicts in runs]

    def take_verdicts(self, targets: Sequence[ClipTarget]) -> None:
        """Take over what somebody else has said of the targets, in their order."""
        if not self.key and self.run is None:
            self.targets = []  # nobody has followed it here: all that is known of it is somebody else's
        for own, other in zip(self.targets, targets, strict=False):
            self.waiting |= own.verdicts != other.verdicts
            own.verdicts = other.verdicts
        if more := targets[len(self.targets) :]:
            self.targets += more
            self.others, self.waiting = [], True  # those that nobody has followed here are among them again

    def judged_frames(self) -> dict[int, Verdicts]:
        """A copy of the verdicts on frames, by the place of the target; targets without any are left out."""
        return _judged_frames(self.targets + self.others)

    @property
    def disagreements(self) -> int:
        return sum(target.disagreements or 0 for target in self.targets)

    @property
    def frames_lost(self) -> int:
        return sum(target.frames_lost or 0 for target in self.targets)

    def matches(self, filter_name: ClipFilter) -> bool:
        return {
            "all": True,
            "open": self.verdict is None,
            "disagreeing": self.disagreements > 0,
            "lost": self.frames_lost > 0,
        }[filter_name]

    def about(self) -> dict[str, Any]:
        """A line of the list, for the page."""
        return {
            "name": self.name,
            "expression": self.expression,
            "verdict": self.verdict,
            "targets": len(self.targets),
            "disagreements": self.disagreements,
            "frames_lost": self.frames_lost,
        }


_Entry = tuple[int, str, ClipSide | None, list[ClipTarget]]
"""What a result says of a clip: its index, the hash of its video, the verdict, the targets."""


class ClipList:
    """The clips of a folder in the order of their names, and the verdicts on them.

    Args:
        result: file that has the verdicts at any time; None when only `to_json` gives them.

    Attributes:
        now: index of the clip that is shown; None while something else is.
        way: the step and the filter with which a person came to it.
        video: the form's video when that clip was opened; another one has been chosen since then.
    """

    def __init__(self, name: str, clips: Sequence[Clip], result: Path | None = None) -> None:
        if not clips:
            raise LangTrackError("There is no clip in it: no video, no folder of frames, no run.")
        if len(clips) > MAX_CLIPS:
            raise LangTrackError(f"These are {len(clips)} clips; up to {MAX_CLIPS} are taken at a time.")
        self.name = name
        self.clips = list(clips)
        self.result = result
        self.now: int | None = None
        self.way: tuple[Literal[-1, 1], Any] = (1, "all")
        self.video: str | None = None
        self._left: int | None = None  # the clip that was shown before something else
        # What the file said of each clip when it was read or written last; what differs was judged here.
        self._written: dict[int, tuple[ClipSide | None, dict[int, Verdicts]]] = {}
        self._followed: set[int] = set()  # indices of clips that were followed anew since then

    @property
    def judged(self) -> int:
        return sum(clip.verdict is not None for clip in self.clips)

    @property
    def unsaved(self) -> int:
        """Number of clips whose verdict is in no file."""
        if self.result is not None:
            return 0
        written = [self._written.get(index, (None, {}))[0] for index in range(len(self.clips))]
        return sum(clip.verdict not in (None, side) for clip, side in zip(self.clips, written, strict=True))

    def clip(self, index: int) -> Clip:
        """A clip of the list by its place, from 0.

        Raises:
            LangTrackError: there is no such clip.
        """
        if not 0 <= index < len(self.clips):
            raise LangTrackError(f"There is no clip {index!r:.20} in this list.")
        return self.clips[index]

    def judge(self, index: int, side: Any) -> None:
        """Give a clip its verdict, or none, and save the result.

        Raises:
            LangTrackError: no such clip or verdict, or the result could not be written.
        """
        if side is not None and side not in SIDES:
            raise LangTrackError(f"A verdict on a clip is one of {', '.join(SIDES)}, got {side!r:.40}.")
        self.clip(index).verdict = side
        self.save()

    def note_followed(self, index: int) -> None:
        """A clip is followed anew, so what the file says of its last track does not come back."""
        self._followed.add(index)

    def put_back(self, key: str) -> bool:
        """Give a clip what it had before it was followed anew in a workspace, which got no track; False where
        it had been followed never before."""
        for index, clip in enumerate(self.clips):
            if clip.key == key:
                if clip.before is None:
                    return False
                vars(clip).update(vars(clip.before))
                self._followed.discard(index)
        return True

    def leave(self) -> None:
        """Something else is shown; the next clip, and the one before, is the one that was left."""
        if self.now is not None:
            self._left, self.now = self.now, None

    def neighbour(self, step: Literal[-1, 1], filter_name: Any = "all", *, unjudged: bool = False) -> int:
        """The index of the next clip that a filter lets through. Behind the last one come those before.

        Args:
            unjudged: leave out those with a verdict.

        Raises:
            LangTrackError: there is none, or no such filter.
        """
        if filter_name not in FILTERS:
            raise LangTrackError(f"A filter is one of {', '.join(FILTERS)}, got {filter_name!r:.40}.")
        count = len(self.clips)
        left = self._left if self._left is not None else 0 if step > 0 else -1
        begin = self.now if self.now is not None else left - step
        order = [(begin + step * k) % count for k in range(1, count + 1)]
        if self.now is not None:
            order.remove(self.now)
        for index in order:
            if self.clips[index].matches(filter_name) and not (unjudged and self.clips[index].verdict):
                return index
        raise LangTrackError(
            "All clips are judged." if self.judged == count else "There is no other clip of this kind."
        )

    def expected(self) -> int | None:
        """The index of the clip that a person probably opens next; a verdict leads to one without."""
        if self.now is None:
            return None
        try:
            return self.neighbour(*self.way, unjudged=self.clips[self.now].verdict is None)
        except LangTrackError:
            return None

    def state(self) -> dict[str, Any]:
        """The list for the page: ``name``, ``now``, ``judged``, ``unsaved``, ``clips`` (`Clip.about`)."""
        clips = [clip.about() for clip in self.clips]
        counts = {"judged": self.judged, "unsaved": self.unsaved}
        return {"name": self.name, "now": self.now, **counts, "clips": clips}

    # --- the result -----------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        entries = [
            {
                "clip": clip.name,
                "expression": clip.expression,
                "verdict": clip.verdict,
                "sha256": clip.sha256 or clip.judged_sha256,
                "targets": [
                    {
                        "expression": target.expression,
                        **dict(zip(FIGURES, target.figures(), strict=True)),
                        "frame_verdicts": target.verdicts.to_json(),
                    }
                    for target in clip.targets + clip.others
                ],
            }
            for clip in self.clips
        ]
        return {"format": FORMAT, "format_version": FORMAT_VERSION, "list": self.name, "clips": entries}

    def to_csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for clip in self.clips:
            for number, target in enumerate(clip.targets + clip.others or [ClipTarget(clip.expression)], 1):
                cells = clip.name, number, target.expression, clip.verdict, *target.figures()
                row = *cells, clip.sha256 or clip.judged_sha256
                writer.writerow("" if cell is None else cell for cell in row)
        return out.getvalue()

    def take(self, document: Any) -> None:
        """Take what the result in the folder says, where nobody has judged otherwise here since it was read.

        That holds for a verdict that is gone from it, too: somebody else has taken it back.

        Raises:
            LangTrackError: it is no result, or is of other clips.
        """
        self._take(self._of_some_clip(document))

    def _take(self, fitting: list[_Entry]) -> None:
        for index, sha256, side, targets in fitting:
            clip = self.clips[index]
            clip.judged_sha256 = sha256 or clip.judged_sha256
            last_side, last_frames = self._written.get(index, (None, {}))
            if clip.withdrawn is None and clip.verdict == last_side and index not in self._followed:
                clip.verdict = side
            if clip.judged_frames() == last_frames and index not in self._followed:
                clip.take_verdicts(targets)
            self._written[index] = side, _judged_frames(targets)

    def go_on_from(self, document: Any) -> int:
        """Take over the verdicts of somebody else's result on clips that have none here; how many that were.

        Raises:
            LangTrackError: it is no result, or is of other clips.
        """
        count = 0
        for index, sha256, side, targets in self._of_some_clip(document):
            clip = self.clips[index]
            clip.judged_sha256 = sha256 or clip.judged_sha256
            if clip.withdrawn is None and clip.verdict is None and side is not None:
                clip.verdict = side
                count += 1
            if not any(target.verdicts for target in clip.targets):
                clip.take_verdicts(targets)
        return count

    def _fitting(self, document: Any) -> list[_Entry]:
        """What a result says of the clips of the list."""
        entries = [(entry, *_checked(entry)) for entry in _entries(document)]
        places = {(clip.name, clip.expression or ""): index for index, clip in enumerate(self.clips)}
        fitting = []
        for entry, side, targets in entries:
            index = places.get((entry["clip"], entry.get("expression") or ""))
            if index is None:  # before a clip was followed it has no words yet
                index = places.get((entry["clip"], ""))
            if index is not None and _same_video(self.clips[index], entry):
                fitting.append((index, str(entry.get("sha256") or ""), side, targets))
        return fitting

    def _of_some_clip(self, document: Any) -> list[_Entry]:
        """As `_fitting`; LangTrackError when nothing in a result fits."""
        fitting = self._fitting(document)
        if _entries(document) and not fitting:
            raise LangTrackError("This result is of other clips. Nothing was changed.")
        return fitting

    def save(self) -> None:
        """Write the result, with what others have judged meanwhile in the same file, also of clips that came
        into the folder since the list was opened.

        Raises:
            LangTrackError: it could not be written.
        """
        if self.result is None:
            return
        try:
            with _alone_at(self.result):
                further = []
                if self.result.exists():
                    document = read_result(self.result)
                    self._take(self._fitting(document))
                    names = {clip.name for clip in self.clips}
                    further = [entry for entry in _entries(document) if entry["clip"] not in names]
                result = self.to_json()
                result["clips"] += further
                write_text(self.result, json.dumps(result, indent=1, ensure_ascii=False))
        except OSError as error:
            raise LangTrackError(
                f"{self.result.name} could not be written: {error.strerror or error}."
            ) from error
        self.note_written()

    def note_written(self) -> None:
        """The result is in a file as it stands."""
        self._written = {k: (clip.verdict, clip.judged_frames()) for k, clip in enumerate(self.clips)}
        self._followed.clear()


@contextlib.contextmanager
def _alone_at(path: Path) -> Iterator[None]:
    """Nobody else reads and writes a result meanwhile, on any server; where no lock can be had, they may."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), LOCK_S, mode=0o666)  # other users need it, too
    try:
        lock.acquire()
    except Timeout as error:
        raise LangTrackError(f"{path.name} is in use by somebody else; give the verdict again.") from error
    except (OSError, NotImplementedError):  # a folder without locks, or whose lock is another user's
        pass
    try:
        yield
    finally:
        lock.release()


def read_result(path: Path) -> Any:
    """The JSON document in a file, unchecked.

    Raises:
        LangTrackError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise LangTrackError(f"{path.name} is not a result of LangTrack: it is not valid JSON.") from error


def _entries(document: Any) -> list[Any]:
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise LangTrackError("This is not a result of LangTrack: the JSON says another format, or none.")
    if document.get("format_version") != FORMAT_VERSION:
        raise LangTrackError(f"This LangTrack reads results of version {FORMAT_VERSION}.")
    entries = document.get("clips")
    if not isinstance(entries, list):
        raise LangTrackError("A result needs a list “clips”.")
    return entries


def _checked(entry: Any) -> tuple[ClipSide | None, list[ClipTarget]]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("clip"), str):
        raise LangTrackError("A clip of the result has no name.")
    side, targets = entry.get("verdict"), entry.get("targets", [])
    if not isinstance(entry.get("expression") or "", str):
        raise LangTrackError(f"The words for {entry['clip'][:60]!r} are not a text.")
    if side is not None and side not in SIDES:
        raise LangTrackError(f"The verdict on {entry['clip'][:60]!r} is none of {', '.join(SIDES)}.")
    if not isinstance(targets, list) or not all(isinstance(target, Mapping) for target in targets):
        raise LangTrackError(f"The targets of {entry['clip'][:60]!r} are not a list of objects.")
    return side, [_checked_target(target) for target in targets]


def _checked_target(entry: Mapping[str, Any]) -> ClipTarget:
    expression = entry.get("expression")
    if expression is not None and not isinstance(expression, str):
        raise LangTrackError("The words of a target are a text.")
    figures = {n: None if entry.get(n) is None else whole_number(entry[n], f"“{n}”") for n in FIGURES}
    return ClipTarget(expression, **figures, verdicts=Verdicts.from_json(entry.get("frame_verdicts")))


def _judged_frames(targets: Sequence[ClipTarget]) -> dict[int, Verdicts]:
    return {number: target.verdicts.copy() for number, target in enumerate(targets) if target.verdicts}


def _same_video(clip: Clip, entry: Mapping[str, Any]) -> bool:
    return not (clip.sha256 and entry.get("sha256")) or clip.sha256 == entry["sha256"]
