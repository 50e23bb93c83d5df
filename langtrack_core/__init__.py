"""LangTrack: follow an object through a video by describing it.

video file -> `Frame` -> two branches, each giving an `Estimate` -> `fuse` -> `Step` -> pictures and files.

    with Recorder(out, info=probe(path), query=query, tracker_info=tracker.info) as recorder:
        for step in tracker.track(read_frames(path), query):
            recorder.add(step)

Names are loaded when first used, so that ``import langtrack_core`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fusion import FusionConfig as FusionConfig
    from .pipeline import LangTracker as LangTracker
    from .run.format import read_run as read_run
    from .run.recorder import Recorder as Recorder
    from .run.render import draw as draw
    from .types import Estimate as Estimate
    from .types import Frame as Frame
    from .types import LangTrackError as LangTrackError
    from .types import Query as Query
    from .types import Step as Step
    from .video import probe as probe
    from .video import read_frames as read_frames

__version__ = "0.1.0"

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
    "Recorder": "run.recorder",
    "read_run": "run.format",
    "draw": "run.render",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
