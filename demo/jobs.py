"""One run in a thread of its own: pages watch it; it ends by itself, by `cancel`, or by an error.

The thread, not the page's request, owns the computing: whatever happens to the request, the run stops within
a frame and closes its files.
"""

from __future__ import annotations

import logging
import threading
import time
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np

from langtrack_core.export import Recorder
from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.render import PANELS, Style, draw
from langtrack_core.types import Estimate, LangTrackError, Step
from langtrack_core.video import read_frames

from .film import FilmWriter, Maps, MapsWriter, even_size
from .settings import Settings
from .task import Task, Tracker, without_paths

log = logging.getLogger(__name__)

PREVIEW_SIDE = 480
"""Longest side in pixels of one of the four pictures of the live view, which come as one JPEG of 60 kB."""

Stage = Literal["opening", "following", "writing", "stopping"]
Said = float | Literal["absent"] | None
Numbers = list[float] | None
Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """Where a run is. ``picture`` is a JPEG of the four panels, two by two, in the order of `PANELS`."""

    stage: Stage = "opening"
    frames: int = 0
    total: int | None = None
    fps: float = 0.0
    picture: bytes | None = None

    @property
    def left_s(self) -> float | None:
        if not self.total or not self.fps or self.stage != "following":
            return None
        return max(self.total - self.frames, 0) / self.fps


@dataclass
class Timeline:
    """What the player shows beside the pictures: one entry per frame in each list.

    Attributes:
        index, time_s: of the frame in the clip.
        state: "searching", "tracking" or "lost".
        source: "lgm", "siam" or "none", of the fused estimate.
        fused, lgm, siam: confidence in [0, 1] of what was found, "absent", or None: the branch did not run.
        reason: why the fusion decided so.
        fused_box, lgm_box, siam_box: x1, y1, x2, y2 in pixels of the clip, half-open; None where nothing was
            found, or the branch did not run.
        lgm_corners, siam_corners: of the rotated rectangle, x, y four times in pixels of the clip, or None.
        agree: IoU of the two branches' boxes; None unless both found something.
    """

    index: list[int] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    fused: list[Said] = field(default_factory=list)
    lgm: list[Said] = field(default_factory=list)
    siam: list[Said] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    fused_box: list[Numbers] = field(default_factory=list)
    lgm_box: list[Numbers] = field(default_factory=list)
    siam_box: list[Numbers] = field(default_factory=list)
    lgm_corners: list[Numbers] = field(default_factory=list)
    siam_corners: list[Numbers] = field(default_factory=list)
    agree: list[float | None] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Frames with the object."""
        return sum(said != "absent" for said in self.fused)

    def add(self, step: Step) -> None:
        self.index.append(step.frame.index)
        self.time_s.append(round(step.frame.time_s, 4))
        self.state.append(step.state)
        self.source.append(step.fused.source if step.fused.present else "none")
        self.fused.append(_said(step.fused))
        self.lgm.append(_said(step.grounded))
        self.siam.append(_said(step.tracked))
        self.reason.append(step.reason)
        lgm, siam = step.grounded, step.tracked
        self.fused_box.append(_numbers(step.fused.box_xyxy))
        lgm_box = None if lgm is None else lgm.box_xyxy
        siam_box = None if siam is None else siam.box_xyxy
        self.lgm_box.append(_numbers(lgm_box))
        self.siam_box.append(_numbers(siam_box))
        self.lgm_corners.append(_numbers(None if lgm is None else lgm.corners_xy))
        self.siam_corners.append(_numbers(None if siam is None else siam.corners_xy))
        self.agree.append(_agreement(lgm_box, siam_box))


@dataclass(frozen=True)
class Result:
    """A run's files. When it was cancelled, or the clip is damaged, everything up to there is in them.

    Attributes:
        film: the clip's frames alone, small, for the page's player.
        maps: what both branches said of every pixel, for the page's player.
        damage: one sentence when the clip is damaged or ends early.
    """

    film: Path
    maps: Maps
    timeline: Timeline
    files: list[Path]
    bundle: Path
    cancelled: bool
    damage: str | None


class _Dropped(Exception):
    """Leaves the run the way an error does, so that no file stays."""


class Job:
    """A run. Its thread starts with `start`; `cancel` and `wait` are safe at any time, from any thread."""

    def __init__(self, tracker: Tracker, task: Task, folder: Path, settings: Settings) -> None:
        self.task = task
        self.folder = folder
        self.result: Result | None = None
        self.error: str | None = None
        self.progress = Progress(total=task.frames_expected)
        self._tracker = tracker
        self._settings = settings
        self._cancelled = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped = False
        self._start_lock = threading.Lock()

    @property
    def started(self) -> bool:
        return self._thread is not None

    @property
    def over(self) -> bool:
        """Finished, failed, or cancelled before it started: nothing computes any more."""
        return self._over.is_set()

    def start(self) -> None:
        """Begin, unless it was begun or cancelled before."""
        with self._start_lock:
            if self._thread is None and not self._cancelled.is_set():
                self._thread = threading.Thread(target=self._run, name="langtrack-run", daemon=True)
                self._thread.start()

    def cancel(self, *, keep: bool) -> None:
        """Stop after the frame that is being computed. With ``keep`` what is done so far becomes the result;
        without it nobody is there to see it, and nothing is left."""
        with self._start_lock:
            if not keep:
                self._dropped = True
                self.result = None
            self._cancelled.set()
            self.progress = replace(self.progress, stage="stopping")
            if self._thread is None:
                self._over.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing computes any more; False when that took longer than ``timeout_s``."""
        return self._over.wait(timeout_s)

    def watch(self) -> Iterator[Progress]:
        """The newest progress, `Settings.preview_hz` times a second at most, until the run is over."""
        seen = None
        while not self._over.wait(1.0 / self._settings.preview_hz):
            if self.progress is not seen:
                seen = self.progress
                yield seen

    def _run(self) -> None:
        try:
            self.result = self._compute()
        except _Dropped:
            log.info("a run was dropped: its page has gone")
        except LangTrackError as error:
            self.error = without_paths(str(error))
        except OSError as error:
            log.exception("a run could not read or write a file")
            why = error.strerror or type(error).__name__
            self.error = f"The server could not read or write a file: {why}."
        except MemoryError:
            self.error = "The server ran out of memory. Try a smaller clip."
        except Exception:
            log.exception("a run failed")
            self.error = "Something went wrong on the server. The operator finds the details in its log."
        finally:
            self._over.set()

    def _compute(self) -> Result | None:
        task, settings = self.task, self._settings
        timeline, pace = Timeline(), _Pace(task.frames_expected, settings.preview_hz)
        run_folder = self.folder / task.name
        cancelled = False
        damage: list[str] = []
        recorder = Recorder(
            run_folder,
            info=task.info,
            query=task.query,
            tracker_info=self._tracker.info,
            every=task.every,
            unknown_words=task.unknown,
        )
        with (
            recorder,
            FilmWriter(self.folder / "film.mp4", task.info, settings.player_side) as film,
            MapsWriter(self.folder / "maps.u8.gz", task.info.width, task.info.height) as maps,
            _closed_after(
                read_frames(task.info.path, start=task.query.start, on_damage=damage.append)
            ) as frames,
            _closed_after(self._tracker.track(frames, task.query, every=task.every)) as steps,
        ):
            for step in steps:
                if step.frame.time_s > settings.max_seconds:
                    raise LangTrackError(_too_long(settings.max_seconds))
                recorder.add(step)
                timeline.add(step)
                film.add(step.frame)
                maps.add(step)
                if self._dropped:
                    raise _Dropped
                if self._cancelled.is_set():
                    cancelled = True
                    break
                self.progress = pace.advance(step, self.progress)
            if not self._cancelled.is_set():
                self.progress = replace(self.progress, stage="writing")
            recorder.finish(partial=cancelled or bool(damage))
        files = sorted(path for path in run_folder.rglob("*") if path.is_file())
        bundle = _zip(files, run_folder, self.folder / f"langtrack-{task.name}.zip")
        return Result(film.path, maps.maps, timeline, files, bundle, cancelled, damage[0] if damage else None)


class _Pace:
    """Frames done, frames a second over the last two seconds, and a picture now and then."""

    def __init__(self, total: int | None, preview_hz: float) -> None:
        self._total = total
        self._period_s = 1.0 / preview_hz
        self._next_picture_s = 0.0
        self._moments: deque[float] = deque([time.monotonic()])

    def advance(self, step: Step, before: Progress) -> Progress:
        now = time.monotonic()
        self._moments.append(now)
        while len(self._moments) > 2 and now - self._moments[0] > 2.0:
            self._moments.popleft()
        fps = (len(self._moments) - 1) / max(now - self._moments[0], 1e-6)
        picture = before.picture
        if now >= self._next_picture_s:
            picture, self._next_picture_s = _preview(step), now + self._period_s
        frames = before.frames + 1
        total = None if self._total is None else max(self._total, frames)
        return Progress("following", frames, total, fps, picture)


@contextmanager
def _closed_after(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """Close a generator here, not where the garbage collector finds it."""
    try:
        yield items
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _too_long(max_seconds: float) -> str:
    return f"The clip is longer than this server's {max_seconds:g} seconds. Cut it and try again."


def _said(estimate: Estimate | None) -> Said:
    if estimate is None:
        return None
    return round(estimate.confidence, 3) if estimate.present else "absent"


def _numbers(points: FloatArray | None) -> Numbers:
    return None if points is None else np.round(points, 1).ravel().tolist()


def _agreement(one: FloatArray | None, other: FloatArray | None) -> float | None:
    return None if one is None or other is None else round(box_iou(one, other), 3)


def _preview(step: Step) -> bytes:
    style = Style(labels=False)  # the page writes the labels itself, where they can be read at any size
    size_wh = even_size(step.frame.size_hw[1], step.frame.size_hw[0], PREVIEW_SIDE)
    tiles = [cv2.resize(draw(step, panel, style), size_wh, interpolation=cv2.INTER_AREA) for panel in PANELS]
    bgr = cv2.cvtColor(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()


def _zip(files: list[Path], top: Path, target: Path) -> Path:
    """All files below the folder's name; pictures and videos are stored, text is compressed."""
    with zipfile.ZipFile(target, "w") as bundle:
        for path in files:
            packed = path.suffix in {".mp4", ".png"}
            bundle.write(
                path, path.relative_to(top.parent), zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            )
    return target
