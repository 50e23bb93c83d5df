"""What the tests of the service share: one over a tracker that waits, one visitor, one clip."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from app_helpers import (
    SETTINGS,
    counting_clip,
    paced_tracker,
)

from demo.job import Job
from demo.service import Service
from demo.sessions import Session
from demo.timeline import timeline
from demo.track_job import TrackJob
from langtrack_core.video import read_frames

COLUMNS = set(timeline([], {}))


@contextmanager
def opened_service(tmp_path: Path, **settings: Any) -> Iterator[Service]:
    """Two places and three to wait; afterwards nothing computes and nothing is left."""
    changed = {"queue_size": 3, "reload_grace_s": 0.0, **settings}
    service = Service(paced_tracker(), replace(SETTINGS, **changed), tmp_path / "root")
    yield service
    service.close()
    assert service.tracker.computing == 0  # type: ignore[attr-defined]
    assert [thread.name for thread in threading.enumerate() if "langtrack-job" in thread.name] == []
    assert list((tmp_path / "root").rglob("*")) == []


def upload(tmp_path: Path) -> str:
    return str(counting_clip(tmp_path / "upload" / "grey.mp4"))


def follow(
    service: Service,
    session: Session,
    clip: str,
    *request: Any,
    fresh: bool = False,
    shelve: bool = False,
    **more: Any,
) -> TrackJob:
    """Starts a run; the request is as in `check_request`, after the video."""
    checked = service.check_request(clip, *request, **more)
    return service.follow(session, checked, fresh=fresh, shelve=shelve)


def done(job: Job) -> Job:
    assert job.wait(60)
    assert job.error is None
    return job


def target(session: Session, number: int = 1) -> dict[str, Any]:
    assert session.workspace is not None
    return session.workspace.target_state(number)


def player_video_greys(session: Session) -> list[int]:
    """The grey of each frame of the player's video."""
    assert session.workspace is not None and session.workspace.player_video is not None
    return [round(float(frame.rgb.mean())) for frame in read_frames(session.workspace.player_video.path)]


def maps_of(state: dict[str, Any]) -> np.ndarray:
    width, height = state["maps"]["size"]
    with gzip.open(state["maps"]["file"]) as stream:
        return np.frombuffer(stream.read(), np.uint8).reshape(-1, 2, height, width)
