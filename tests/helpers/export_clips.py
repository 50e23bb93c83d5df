"""A clip with two targets and their runs, for the tests of exports."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from fake_branches import oracle_tracker
from synthetic import moving_object, write_mp4

from langtrack_core.masks import BoolMask
from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import track_video
from langtrack_core.types import Query
from langtrack_lab.exports import Clip, Track
from langtrack_lab.runs import read_run

FRAMES = 8
SIZE_HW = (72, 98)
ABSENT = (3, 4)
"""Frames without the first target."""
START = 2
"""First frame of the second target's run."""
FPS = Fraction(24000, 1001)


@dataclass(frozen=True)
class Exported:
    """The video, the run folders of a red and of a late target, and the truth of both."""

    video: Path
    runs: tuple[Path, Path]
    masks: tuple[BoolMask, BoolMask]

    def clip(self, **more: object) -> Clip:
        tracks = [Track(read_run(self.runs[0])), Track(read_run(self.runs[1]), "late one")]
        return Clip(tracks, **more)  # type: ignore[arg-type]

    def truth(self) -> dict[tuple[int, int], tuple[BoolMask, list[float]]]:
        """(frame, track) -> mask and box of the run, where the target is there."""
        truth = {}
        for number, track in enumerate(self.clip().tracks, 1):
            for row in track.run.rows:
                mask = self.masks[number - 1][row.frame]
                if row.fused.box_xyxy is not None:
                    assert mask.any()
                    truth[row.frame, number] = mask, row.fused.box_xyxy.tolist()
        return truth


def made(folder: Path) -> Exported:
    first = moving_object(FRAMES, SIZE_HW, absent=ABSENT, fps=FPS)
    second = moving_object(FRAMES, SIZE_HW, seed=3, fps=FPS)
    hollow = second.masks.copy()
    for mask in hollow:  # one with a hole
        rows, columns = np.nonzero(mask)
        mask[int(rows.mean()), int(columns.mean())] = False
    video = write_mp4(first, folder / "clip.mp4")
    runs = (folder / "red", folder / "late")
    quiet = RunOptions(video=False)
    for out, masks, query in (
        (runs[0], first.masks, Query("the red ellipse")),
        (runs[1], hollow, Query("the ellipse", start=START)),
    ):
        track_video(oracle_tracker(masks), video, query, out=out, options=quiet)
    return Exported(video, runs, (first.masks, hollow))
