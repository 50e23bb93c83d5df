"""A person's judgement of the targets of a video: verdicts, what to look at, ground truth, agreement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError
from langtrack_lab.files import plain_name, write_text
from langtrack_lab.truth.mask_files import SeveralObjectsError

from .checks import whole_number
from .compare import agreement
from .episodes import episodes
from .ground_truth import read_truth, score_run
from .project import Project, Target
from .reviews import Verdicts, check_run_key

MAX_CHANGES = 10_000
"""Largest number of changes in one question: restored verdicts of a long clip, a change for each of them."""
MAX_VERDICTS_BYTES = 20_000_000
"""Size in bytes of the largest file of verdicts that is read. A verdict with a note on each frame of a clip
of ten minutes takes a few megabytes."""


class Judgement:
    """Verdicts, review queue and scores of a project's tracks. Every method may be called from any thread.

    Args:
        folder: for the files of verdicts.
        lock: guards the project.
    """

    def __init__(self, folder: Path, project: Project, lock: AbstractContextManager[Any]) -> None:
        self.folder = folder
        self.project = project
        self.lock = lock

    # --- verdicts -------------------------------------------------------------------------------------------

    def judge(self, number: int, changes: Any) -> dict[str, Any]:
        """Change the verdicts on ranges of frames, one after the other; all of the changes or none.

        Frames that the track does not have get no verdict.

        Args:
            changes: a list. Each has ``first``, ``last``, and ``verdict`` and ``note`` as in `Verdicts.give`
                or ``clear``; and, for verdicts that come back, ``run`` as in `Verdict`.

        Returns:
            What `verdicts_state` does.

        Raises:
            LangTrackError: a change that is none.
        """
        if not isinstance(changes, list) or not 0 < len(changes) <= MAX_CHANGES:
            raise LangTrackError(f"Send 1 to {MAX_CHANGES} changes of verdicts at a time.")
        with self.lock:
            target = self.project.target(number)
            verdicts = target.verdicts.copy()
            for change in changes:
                if not isinstance(change, Mapping):
                    raise LangTrackError("A change of verdicts is an object.")
                first, last = (whole_number(change.get(name), "A frame") for name in ("first", "last"))
                if change.get("clear"):
                    verdicts.clear(first, last)
                    continue
                runs = target.run_keys()
                if "run" in change:
                    run = check_run_key(change["run"])
                    runs = dict.fromkeys(runs, run)
                verdicts.give(first, last, change.get("verdict"), change.get("note"), runs)
            target.verdicts = verdicts
            return verdicts_state(target)

    def episodes(self, number: int) -> list[dict[str, Any]]:
        """Where the branches disagree, in the order of time: the fields of `Episode`."""
        with self.lock:
            in_time = episodes(self.project.target(number).run())
            return [{**episode._asdict(), "score": round(episode.score, 3)} for episode in in_time]

    def verdicts_file(self, number: int, form: str) -> Path:
        """The verdicts with the clip, the words and the weights that they are for, as JSON or CSV.

        Its name is ``verdicts-<clip>-<target>-<words>``.
        """
        if form not in ("json", "csv"):
            raise LangTrackError(f"Verdicts are saved as json or csv, not as {form!r:.20}.")
        with self.lock:
            target = self.project.target(number)
            verdicts, origin = target.judged, _origin(self.project, target)
            clip, words = Path(origin["clip"]).stem, origin["expression"]
            name = f"verdicts-{plain_name(clip, 'clip')}-{number}-{plain_name(words, 'box', longest=40)}"
            path = self.folder / f"{name}.{form}"
            text = json.dumps({**verdicts.to_json(), "origin": origin}, indent=1, ensure_ascii=False)
            try:
                write_text(path, text if form == "json" else verdicts.to_csv(origin))
            except OSError as error:
                raise LangTrackError(
                    f"{path.name} could not be written: {error.strerror or error}."
                ) from error
            return path

    def import_verdicts(self, number: int, path: Path) -> dict[str, Any]:
        """Replace a target's verdicts by a file's, JSON or CSV.

        Returns:
            What `verdicts_state` does, and ``skipped``: how many are on frames that the track lacks.

        Raises:
            LangTrackError: neither, with an entry that is wrong, for another clip, or all of them for frames
                that the track lacks.
        """
        if path.stat().st_size > MAX_VERDICTS_BYTES:
            raise LangTrackError("The file is too large for verdicts; at most 20 MB are read.")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise LangTrackError("The file is not a text file; verdicts are JSON or CSV.") from None
        verdicts, origin = Verdicts.from_text(text), Verdicts.origin_of(text)
        with self.lock:
            target, video = self.project.target(number), self.project.video
            if origin.get("sha256", video.get("sha256")) != video.get("sha256"):
                raise LangTrackError(
                    f"These verdicts are for the clip {origin.get('clip', '')[:80]!r}, and this one is "
                    f"{video.get('name')!r}. Nothing was changed."
                )
            fitting = verdicts.on(target.run_keys())
            if verdicts and not fitting:
                raise LangTrackError(
                    f"The verdicts name frame {min(verdicts)}, which this track does not have; "
                    "they belong to another run."
                )
            target.verdicts = fitting
            return {**verdicts_state(target), "skipped": len(verdicts) - len(fitting)}

    # --- ground truth and comparison ------------------------------------------------------------------------

    def truth(
        self, number: int, paths: Sequence[Path], object_name: str | None = None, pixel: int | None = None
    ) -> dict[str, Any]:
        """Score a target's track against dropped masks or boxes; see `read_truth`.

        Returns:
            What `score_run` does; or only ``objects``, when the files hold several and none was chosen.
        """
        with self.lock:
            run = self.project.target(number).run()
        try:  # hundreds of masks are read: verdicts do not wait for that
            return score_run(run, read_truth(list(paths), run, object_name, pixel))
        except SeveralObjectsError as several:
            return {"objects": list(several.objects)}

    def agreement(self) -> dict[str, Any]:
        """Pairwise agreement of all tracks: `Agreement.to_json` and ``targets``, the ids in order."""
        with self.lock:
            runs = {target.id: target.run() for target in self.project.targets if target.segments}
        return {**agreement(list(runs.values())).to_json(), "targets": list(runs)}


def _origin(project: Project, target: Target) -> dict[str, str]:
    """What the verdicts of a target are for, as `Verdicts.to_csv` writes it."""
    manifest = target.run().manifest
    weights = [f"{one.get('branch')} {one.get('name')}" for one in manifest.get("weights", [])]
    return {
        "clip": str(project.video.get("name", "")),
        "sha256": str(project.video.get("sha256", "")),
        "expression": target.segments[-1].run.manifest.get("expression") or "",
        "weights": ", ".join(weights),
    }


def verdicts_state(target: Target) -> dict[str, Any]:
    """The verdicts as JSON: ``counts`` by verdict, and ``frames``: number -> the fields of a `Verdict` and
    ``stale``, see `Target.is_stale`."""
    verdicts = target.judged
    frames = {
        str(f): {
            "verdict": verdicts[f].side,
            "note": verdicts[f].note,
            "run": verdicts[f].run,
            "stale": target.is_stale(f),
        }
        for f in verdicts
    }
    return {"counts": verdicts.counts(), "frames": frames}
