"""What the words select on one frame, before a run: the frame, the mask, and the regions to choose from."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.types import Frame, LangTrackError
from langtrack_core.video import VideoInfo, read_frames

from .annotation.compare import FrameSegmenter, split_regions
from .player_video import MAP_SIDE, even_size
from .track_request import TrackRequest, parse_box

MAX_REGIONS = 9
"""Largest number of regions to choose from: each has a key, 1 to 9."""
LOOK_SIDE = 960
"""Longest side in pixels of the frame that the language branch is shown. Its input is smaller still; on a
frame of 3840 pixels the edges alone would take longer than the second in which an answer should come."""
PICTURE_QUALITY = 90
"""JPEG quality of the frame at full size, on which a box is drawn to the pixel."""

Box = tuple[float, float, float, float]


@dataclass
class Preview:
    """One frame of a clip, and what the visitor's words select on it.

    Attributes:
        regions: their boxes in pixels of the clip.
        sure: the confidence of the language branch in what it selects here; None without words.
        choice: the text of the box that the visitor chose or drew here; "" for none.
        exact: the visitor drew that box; False for a region.
        dropped: the region that was taken out of the form when this look came.
        remark: what became of a choice that was made with other words, on another frame, or in another clip.
    """

    info: VideoInfo
    frame: Frame
    picture: Path
    text: str = ""
    regions: list[Box] = field(default_factory=list)
    mask_u8: NDArray[np.uint8] | None = None
    sure: float | None = None
    note: str = ""
    choice: str = ""
    exact: bool = True
    dropped: str = ""
    remark: str = ""

    @property
    def key(self) -> str:
        """A text that is another one for other words, another frame, or another clip."""
        return f"{self.picture.name} {self.text}"

    def take_over(self, box: str, before: Preview | None) -> str:
        """Go on with the form's box, or take it out; the text that the form has from now on.

        A person's own box stays with other words, since it says which one is meant, and on another frame. A
        region goes with the words and the frame that it was one of, and any choice with its clip.

        Args:
            before: what was looked at until now.
        """
        same = before is not None and (before.text, before.picture) == (self.text, self.picture)
        if before is not None and same:  # Gradio asks again when it draws the form
            self.remark = before.remark if box in ("", before.choice) else ""
        if before is not None and not same and box and box == before.choice:
            if before.info.path != self.info.path:
                self.remark = "The box in the form was of another clip and is taken out."
                return ""
            if not before.exact:
                where = "with other words" if before.picture == self.picture else "on another frame"
                self.remark = f"You had chosen a region {where}. Choose again."
                self.dropped = box
                return ""
            self.remark = "Your box stays; click beside it to take it out."
            if before.picture != self.picture:
                self.remark = f"Your box is of frame {before.frame.index}: does it fit this one, too?"
        if box:
            self.choose(box)
        return box

    def choose(self, box: str) -> None:
        """Note the box that the visitor chose; a region's is an estimate, any other one is exact."""
        self.choice, self.dropped = box, ""
        self.exact = box not in {box_text(region) for region in self.regions}

    def is_stale(self, box: str | None, text: str, start: float) -> bool:
        """Whether the form's box is a region that was chosen with other words, or on another frame."""
        chosen = box == self.choice and not self.exact
        other = (text, start) != (self.text, self.frame.index)
        return bool(box) and (box == self.dropped or (chosen and other))

    def applied(self, request: TrackRequest, box: str | None) -> TrackRequest:
        """A request of the form; its box is an estimate when it is a region that was chosen here.

        Raises:
            LangTrackError: it was chosen in another clip, or is a region of other words or of another frame.
        """
        if not box or box not in (self.choice, self.dropped):
            return request
        if request.info.path != self.info.path:
            raise LangTrackError("The box in the form is of another clip. Take it out, or give it anew.")
        (query,) = request.queries
        if self.is_stale(box, query.text or "", query.start):
            raise LangTrackError(
                "The box in the form is a region that you chose with other words, or on another frame. "
                "Take it out, or choose again."
            )
        if self.exact:
            return request
        return replace(request, queries=tuple(replace(query, exact=False) for query in request.queries))

    def requests(self, request: TrackRequest) -> TrackRequest:
        """The request for all regions, a target for each.

        Raises:
            LangTrackError: the words select nothing on this frame.
        """
        (query,) = request.queries
        if query.text != self.text or query.start != self.frame.index or not self.regions:
            raise LangTrackError("Look at the frame with these words first; nothing that fits is marked yet.")
        queries = [
            replace(query, box_xyxy=parse_box(box_text(r)), hold=True, exact=False) for r in self.regions
        ]
        return replace(request, queries=tuple(queries))

    def value(self, *, run: bool) -> dict[str, Any]:
        """The value of the page's preview, but for the picture; ``run``: it lies over the views of a run."""
        mask = self.mask_u8
        return {
            "state": "on",
            "look": self.key,
            "run": run,
            "size": [self.info.width, self.info.height],
            "frame": self.frame.index,
            "frames": self.info.frames_estimate,
            "text": self.text,
            "map": None
            if mask is None
            else {
                "width": mask.shape[1],
                "height": mask.shape[0],
                "values": base64.b64encode(mask.tobytes()).decode(),
            },
            "regions": [box_text(region) for region in self.regions],
            "sure": self.sure,
            "choice": self.choice,
            "note": self.note,
            "remark": self.remark,
        }


def box_text(box: Box) -> str:
    """A box as the form holds it, in whole pixels."""
    return ",".join(f"{value:.0f}" for value in box)


class Selection(NamedTuple):
    """What words select on a frame.

    Attributes:
        mask_u8: a small map of 0 to 255.
        boxes: of the regions, in pixels of the clip.
        unknown: words that the vocabulary lacks.
        sure: the confidence of the language branch.
    """

    mask_u8: NDArray[np.uint8]
    boxes: list[Box]
    unknown: tuple[str, ...]
    sure: float


def pointed_region(boxes: Sequence[Box], place_xy: tuple[float, float], *, right: bool) -> Box | None:
    """The smallest region at a place, or the largest one that is not there; None when there is none."""

    def area(box: Box) -> float:
        return (box[2] - box[0]) * (box[3] - box[1])

    x, y = place_xy
    there = [box for box in boxes if box[0] <= x < box[2] and box[1] <= y < box[3]]
    if right:
        return min(there, key=area, default=None)
    return max((box for box in boxes if box not in there), key=area, default=None)


def look(
    select: Callable[[Frame, str], Selection],
    before: Preview | None,
    folder: Path,
    info: VideoInfo,
    number: int,
    text: str,
) -> Preview:
    """Look at a frame with the words; the frame of the preview before is not decoded again.

    Args:
        select: `selection` of a tracker.
        folder: for the frame's picture.
        text: may be empty: the frame alone. What cannot be read is told in the preview's ``note``.

    Raises:
        LangTrackError: the clip does not have that frame.
    """
    if before is not None and (before.info.path, before.frame.index) == (info.path, number):
        frame, picture = before.frame, before.picture
    else:
        with closing(read_frames(info.path, start=number, on_damage=lambda sentence: None)) as frames:
            frame = next(frames)
        picture = save_picture(frame, folder)
    preview = Preview(info, frame, picture, text)
    if not text:
        return preview
    try:
        preview.mask_u8, preview.regions, unknown, preview.sure = select(frame, text)
        words = ", ".join(f"“{word}”" for word in unknown)
        preview.note = f"Words that LangTrack does not know and leaves out: {words}." if words else ""
    except LangTrackError as error:
        preview.note = str(error)
    return preview


def selection(tracker: FrameSegmenter, frame: Frame, text: str) -> Selection:
    """Ask the language branch about a frame.

    Raises:
        LangTrackError: the words cannot be read.
    """
    unknown = tuple(tracker.read_text(text).unknown)
    height, width = frame.size_hw
    small = shrunk(frame)
    estimate = tracker.segment(small, text, every_region=True)
    regions = split_regions(estimate.mask_prob, text, MAX_REGIONS)
    boxes = [enlarged(region.box_xyxy, small, frame) for region in regions]
    mask = cv2.resize(estimate.mask_u8, even_size(width, height, MAP_SIDE), interpolation=cv2.INTER_AREA)
    return Selection(np.asarray(mask, np.uint8), boxes, unknown, estimate.confidence)


def shrunk(frame: Frame) -> Frame:
    """The frame with at most `LOOK_SIDE` pixels on its longest side."""
    height, width = frame.size_hw
    if max(width, height) <= LOOK_SIDE:
        return frame
    rgb = cv2.resize(frame.rgb, even_size(width, height, LOOK_SIDE), interpolation=cv2.INTER_AREA)
    return Frame(frame.index, frame.time_s, np.asarray(rgb, np.uint8))


def enlarged(box_xyxy: Sequence[float], small: Frame, frame: Frame) -> Box:
    """A box of the shrunk frame in pixels of the frame itself."""
    x, y = np.divide(frame.size_hw[::-1], small.size_hw[::-1])
    x1, y1, x2, y2 = box_xyxy
    return float(x1 * x), float(y1 * y), float(x2 * x), float(y2 * y)


def save_picture(frame: Frame, folder: Path) -> Path:
    """The frame at full size as a JPEG, under a name that nobody can guess."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"frame-{secrets.token_hex(8)}.jpg"
    bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, PICTURE_QUALITY])[1].tobytes())
    return path
