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
    from .fusion import FusionConfig
    from .pipeline import LangTracker
    from .run.recorder import RunOptions
    from .run.track_video import track_video
    from .types import Estimate, Frame, LangTrackError, Query, Step
    from .video import probe, read_frames

__version__ = "0.1.0"
PROG = "langtrack"
"""Name of the program in its messages, as pyproject.toml installs it."""

__all__ = ["Frame", "Query", "Estimate", "Step", "LangTrackError", "probe", "read_frames"]
__all__ += ["LangTracker", "FusionConfig", "track_video", "RunOptions"]

# The module of each public name; of the others it is `types`.
_HOME = {"probe": "video", "read_frames": "video", "LangTracker": "pipeline", "FusionConfig": "fusion"}
_HOME |= {"track_video": "run.track_video", "RunOptions": "run.recorder"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME.get(name, 'types')}", __name__), name)
