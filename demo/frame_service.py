"""What the networks say of single frames, without a run: for the form before one, and for questions after it.

Nothing here knows Gradio. Each question is answered at once, on the GPU where the server has one to lend.
"""

from __future__ import annotations

import shutil
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langtrack_core.types import Frame, LangTrackError
from langtrack_core.video import read_frames

from .annotation.checks import whole_number
from .annotation.compare import FrameSegmenter, attribute, check_completions, regions
from .annotation.project import Target
from .hosting import on_gpu
from .preview import Box, Preview, enlarged, look, pointed_region, save_picture, selection, shrunk
from .sessions import Session
from .settings import Settings
from .track_request import open_video
from .workspace import Workspace

if TYPE_CHECKING:
    from langtrack_core.pipeline import LangTracker


class FrameService:
    """Questions about one frame that the language branch answers.

    Attributes:
        segment: `FrameSegmenter.segment`, on the GPU where there is one.
    """

    def __init__(self, tracker: LangTracker, settings: Settings) -> None:
        self.settings = settings
        segmenter = FrameSegmenter(tracker)
        self.segment = on_gpu(segmenter.segment, lambda frame, text: 1)
        self._attribute = on_gpu(partial(attribute, segmenter), lambda frame, text: len(text.split()))
        self._select = on_gpu(partial(selection, segmenter), lambda frame, text: 1)
        self._regions = on_gpu(partial(_regions, segmenter), lambda frame, text: 4)

    def look(
        self,
        session: Session,
        number: int,
        video: str | Path | None,
        text: str | None,
        frame: float | None,
    ) -> Preview | None:
        """Look at a frame before a run: what the words select there. It becomes the session's preview; None
        when another look has begun meanwhile.

        Args:
            number: of this look, from `Session.begin_look`.

        Raises:
            LangTrackError: no readable video, or no such frame in it.
        """
        before = session.preview
        try:
            preview = self._look(session, before, video, text, frame)
        except LangTrackError:
            if number < session.looks:
                return None
            raise
        with session.lock:
            overtaken, last = session.closed or number < session.looks, session.preview
            if not overtaken:
                session.preview = preview
            left, kept = (preview, last) if overtaken else (last, preview)
        if left is not None and (kept is None or left.picture != kept.picture):
            left.picture.unlink(missing_ok=True)
        if session.closed:  # its folder had gone before this look made one
            shutil.rmtree(session.folder, ignore_errors=True)
        return None if overtaken else preview

    def _look(
        self,
        session: Session,
        before: Preview | None,
        video: str | Path | None,
        text: str | None,
        frame: float | None,
    ) -> Preview:
        if before is not None and str(before.info.path) == str(video):
            info = before.info  # looking into a 4K file takes a second
        else:
            info = open_video(video, self.settings)
        number = whole_number(frame if frame is not None else 0, "The start frame")
        words, folder = (text or "").strip(), session.folder / "preview"
        return look(self._select, before, folder, info, number, words)

    def warm_up(self, session: Session) -> None:
        """Let the language branch see the preview's frame: the first one of a shape takes seconds."""
        if session.preview is not None and not session.preview.text and not session.busy:
            with suppress(LangTrackError):
                self._select(session.preview.frame, "the")

    def words(self, session: Session, target: int, frame: float) -> dict[str, Any]:
        """Measure which word moved the mask on a frame; see `demo.annotation.compare.Attribution`."""
        return asdict(self._attribute(*self._frame_and_text(session, target, frame)))

    def regions(self, session: Session, target: int, frame: float) -> dict[str, Any]:
        """Find the separate strong regions on a frame, and a sentence that would mean each of them.

        Returns:
            ``count`` and ``regions``: each as `demo.annotation.compare.Region` (of a large frame the mask is
            smaller), with ``means``: the index of the region that the completed sentence really selects, None
            when the network does not follow it.
        """
        entries = self._regions(*self._frame_and_text(session, target, frame))
        return {"count": len(entries), "regions": entries}

    def still(self, workspace: Workspace, frame: float) -> Path:
        """A frame's picture at full size; the one before it is deleted."""
        folder = workspace.folder / "still"
        picture = self._frame(workspace, frame)
        shutil.rmtree(folder, ignore_errors=True)
        return save_picture(picture, folder)

    def region_at(
        self, session: Session, target: int, frame: float, place_xy: tuple[float, float], *, right: bool
    ) -> Box:
        """The region of a target's words that a click on a frame means.

        Args:
            place_xy: of the click, in pixels of the clip.
            right: the region there is meant; otherwise the largest other one.

        Raises:
            LangTrackError: the words select no such region.
        """
        selected = self._select(*self._frame_and_text(session, target, frame))
        box = pointed_region(selected.boxes, place_xy, right=right)
        if box is None:
            what = "nothing there" if right else "nothing else"
            raise LangTrackError(f"The words fit {what} on frame {frame:.0f}. Draw a box around the object.")
        return box

    def _frame_and_text(self, session: Session, target: int, frame: float) -> tuple[Frame, str]:
        workspace = workspace_of(session)
        text = _expression_of(workspace.project.target(whole_number(target, "The target")))
        return self._frame(workspace, frame), text

    def _frame(self, workspace: Workspace, number: float) -> Frame:
        start = whole_number(number, "The frame")
        with closing(
            read_frames(video_of(workspace), start=start, on_damage=lambda sentence: None)
        ) as frames:
            return next(frames)


def workspace_of(session: Session) -> Workspace:
    """The session's workspace.

    Raises:
        LangTrackError: nothing was followed yet.
    """
    if session.workspace is None:
        raise LangTrackError("Follow something first.")
    return session.workspace


def video_of(workspace: Workspace) -> Path:
    """The video of a workspace.

    Raises:
        LangTrackError: a project was opened without its video.
    """
    if workspace.video is None:
        raise LangTrackError("The video is not here; open it together with the project to go on.")
    return workspace.video


def _expression_of(target: Target) -> str:
    """The newest expression of a target."""
    for segment in reversed(target.segments):
        if segment.run.manifest.get("expression"):
            return str(segment.run.manifest["expression"])
    raise LangTrackError("This target was followed by its box alone; give words to look at.")


def _regions(segmenter: FrameSegmenter, frame: Frame, text: str) -> list[dict[str, Any]]:
    small = shrunk(frame)
    candidates = regions(segmenter, small, text)
    means = check_completions(segmenter, small, candidates) if len(candidates) > 1 else [0] * len(candidates)
    return [
        {**asdict(region), "box_xyxy": list(enlarged(region.box_xyxy, small, frame)), "means": index}
        for region, index in zip(candidates, means, strict=True)
    ]
