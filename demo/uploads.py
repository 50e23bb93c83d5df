"""Uploads that no browser plays, made into an MP4: pictures, ZIPs of frames, any other video."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from langtrack_core.types import LangTrackError
from langtrack_core.video import VideoWriter, probe, read_frames
from langtrack_core.video.pictures import is_picture

from .annotation.safe_zip import Limits, is_clutter, unpack
from .job import check_disk
from .settings import Settings
from .track_request import check_file, check_limits, open_video

CRF = 10
"""Constant quality of x264 for such an MP4, which is followed in place of the upload: no visible loss."""

MADE = "made"
"""Name of the folder for such an MP4, beside the upload, which may be an MP4 too: the files of a run are
named after it."""


class OddVideoWriter(VideoWriter):
    """For an odd width or height, which H.264 has with colours of full size alone: the frames are followed at
    their own size, as on the command line. Not every browser shows it; the page shows the frames itself."""

    pixels, even = "yuv444p", False


def is_zip(path: str | Path | None) -> bool:
    return str(path).lower().endswith(".zip")


def playable(upload: str | Path | None, settings: Settings) -> tuple[Path, tuple[str, ...]]:
    """An MP4 of the upload's name, with the same frames, times and sound; and what is worth knowing of it.

    Raises:
        LangTrackError: as `open_video` does; a ZIP without frames, or with frames in several folders; a disk
            that is nearly full.
    """
    path = check_file(upload, settings)
    check_disk(path, settings)
    target = path.parent / MADE / f"{path.stem}.mp4"
    if not is_zip(path):
        open_video(str(path), settings)
        return _written(path, target, settings)
    with tempfile.TemporaryDirectory(prefix="frames-", dir=path.parent) as folder:
        return _written(_frames(path, Path(folder) / "zip", settings), target, settings)


def _frames(archive: Path, folder: Path, settings: Settings) -> Path:
    """The folder of the frames in a ZIP."""
    limits = Limits(files=settings.max_frames, total_mb=settings.max_bundle_mb, ratio=1000)
    names = [name for name in unpack(archive, folder, limits) if not is_clutter(name)]
    folders = {name.parent for name in names if is_picture(Path(name))}
    if len(folders) != 1:
        raise LangTrackError(
            f"A ZIP holds the frames of one clip in one folder; this has pictures in {len(folders)} folders."
        )
    return folder / folders.pop()


def _written(source: Path, target: Path, settings: Settings) -> tuple[Path, tuple[str, ...]]:
    info = probe(source)
    check_limits(info, settings)
    target.parent.mkdir(exist_ok=True)
    is_odd = info.width % 2 or info.height % 2
    with (
        (OddVideoWriter if is_odd else VideoWriter)(target, info.fps, crf=CRF, source=info) as writer,
        closing(read_frames(source)) as frames,
    ):
        for frame in frames:
            if frame.index >= settings.max_frames or frame.time_s > settings.max_seconds:
                raise LangTrackError("The clip is longer than this server takes. Cut it and try again.")
            writer.write(frame.rgb, frame.time_s)
    return target, info.notes
