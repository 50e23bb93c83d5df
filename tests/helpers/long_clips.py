"""Tracks of any length that nobody has followed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_branches import decided

from demo.annotation.project import Project, Segment
from demo.player_video import MapsWriter, PlayerVideoWriter
from demo.target_view import SegmentResult
from demo.timeline import FrameGeometry
from demo.workspace import Workspace
from langtrack_core import probe
from langtrack_core.types import Frame
from langtrack_lab.runs import BranchBox, Row, Run


def long_workspace(folder: Path, clip: Path, frames: int, lost: int, targets: int = 1) -> Workspace:
    """Made-up tracks of so many frames, one of them without the object."""
    video = {"name": "tiny.mp4", "sha256": "0" * 64, "width": 32, "height": 32, "fps": 12.0}
    workspace = Workspace(folder, None, None, Project(video))
    there, absent = BranchBox(np.array([4.0, 4.0, 20.0, 20.0]), 0.9), BranchBox(None, 0.1)
    rows = [
        Row(k, k / 12, decided(None, "lost"), absent, absent, absent)
        if k == lost
        else Row(k, k / 12, decided("tracker"), there, replace(there, confidence=0.5 + k % 2 * 0.4), there)
        for k in range(frames)
    ]
    segment = Segment(folder / "run", Run({"video": video, "expression": "the red car"}, rows, {}))
    with MapsWriter(folder / "maps.gz", 32, 32) as maps:
        for _ in range(frames):
            maps.add_maps(np.zeros((2, 32, 32), np.uint8))
    with PlayerVideoWriter(folder / "tiny.mp4", probe(clip), 32) as video_writer:
        for k in range(frames):
            video_writer.add(Frame(k, k / 12, np.full((32, 32, 3), 128, np.uint8)))
    geometry = FrameGeometry.of_run(segment.run)
    for number, target in enumerate(workspace.add_targets(targets)):
        own = replace(maps.maps, path=Path(shutil.copy(maps.path, folder / f"maps-{number}.gz")))
        workspace.add_segments([SegmentResult(target.id, segment, 0, geometry, own)])
    workspace.player_video = video_writer.finished(whole=True)
    return workspace
