"""LangTrack: follow an object through a video by describing it.

video file -> `Frame` -> two branches, each giving an `Estimate` -> `fuse` -> `Step` -> pictures and files.

    tracker = LangTracker.from_pretrained("lite")
    run = track_video(tracker, "clip.mp4", "the red car", out="runs/car")
    for step in tracker.track(read_frames("clip.mp4"), Query(text="the red car")):
        print(step.frame.index, step.decision.state, step.fused.box_xyxy)

Names are loaded when first used, so that ``import langtrack_core`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fusion import FusionConfig as FusionConfig
    from .pipeline import LangTracker as LangTracker
    from .run.recorder import RunOptions as RunOptions
    from .run.track_video import track_video as track_video
    from .types import Estimate as Estimate
    from .types import Frame as Frame
    from .types import LangTrackError as LangTrackError
    from .types import Query as Query
    from .types import Step as Step
    from .video import probe as probe
    from .video import read_frames as read_frames

__version__ = "0.1.0"
PROG = "langtrack"
"""Name of the program in its messages, as pyproject.toml installs it."""

# The module of each public name.
_HOME = {
    "Frame": "types",
    "Query": "types",
    "Estimate": "types",
    "Step": "types",
    "LangTrackError": "types",
    "probe": "video",
    "read_frames": "video",
    "LangTracker": "pipeline",
    "FusionConfig": "fusion",
    "track_video": "run.track_video",
    "RunOptions": "run.recorder",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
