"""A folder of clips as `batch` leaves it, with the videos beside the runs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

from app_helpers import counting_clip, paced_tracker

from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import track_video
from langtrack_core.types import Query


def clip_folder(folder: Path, count: int, *, lost: tuple[int, ...] = (), frames: int = 8) -> Path:
    """``count`` runs, numbered from 1, each with its video.

    Args:
        lost: numbers of the runs in which the object is lost on the last frame.
    """
    first = counting_clip(folder / "videos" / "clip-1.mp4", frames=frames)
    run_folder = folder / "made"
    track_video(paced_tracker(), first, Query("the red car"), out=run_folder, options=RunOptions(video=False))
    manifest = json.loads((run_folder / "manifest.json").read_text())
    for number in range(1, count + 1):
        video = first.with_name(f"clip-{number}.mp4")
        if number > 1:
            shutil.copy(first, video)
        run = folder / "runs" / f"clip-{number}"
        shutil.copytree(run_folder, run)
        manifest["video"]["name"] = video.name
        (run / "manifest.json").write_text(json.dumps(manifest))
        if number in lost:
            with (run / "boxes.csv").open(newline="") as stream:
                rows = list(csv.DictReader(stream))
            rows[-1]["state"] = "lost"
            with (run / "boxes.csv").open("w", newline="") as stream:
                table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
                table.writeheader()
                table.writerows(rows)
    shutil.rmtree(run_folder)
    return folder
