"""Jobs for many clips in a row: a folder becomes a list, and one of its runs is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from langtrack_core.run.recorder import video_sha256
from langtrack_core.types import LangTrackError

from .annotation.clips import RESULT_NAME, Clip, ClipList, read_result
from .annotation.clips_folder import clips_in
from .annotation.project import Project, Segment, checked_video
from .annotation.project_zip import check_run
from .annotation.safe_zip import Limits, unpack
from .job import Job, JobAborted, Kind, RateMeter
from .open_job import OpenJob
from .sessions import Session
from .settings import Settings
from .track_request import open_video
from .uploads import is_zip
from .workspace import Workspace


class OpenClipsJob(Job):
    """Uploads, or a folder of this machine, become the list of a session.

    Args:
        files: with the name that each has in the list, with its folders; ZIPs are unpacked.
        release: is called with each ZIP when all of them are: they are not needed any more.
        folder: is read in place, and gets the result; then there are no files.
    """

    kind: Kind = "open"

    def __init__(
        self,
        session: Session,
        settings: Settings,
        files: Sequence[tuple[str, Path]] = (),
        release: Callable[[Path], None] = Path.unlink,
        folder: Path | None = None,
    ) -> None:
        title = folder.name if folder is not None else f"{len(files)} files"
        super().__init__(session.new_folder(), settings, title, None)
        self.session = session
        self._files = files
        self._release = release
        self._source = folder

    def compute(self) -> None:
        self.folder.mkdir(parents=True)
        source = self._source or self._laid_out()
        clips = []
        meter = RateMeter(None, self.settings.preview_hz)
        for clip in clips_in(source, trusted=self._source is not None):
            clips.append(clip)
            if self.stopped():
                raise JobAborted  # part of a list would look like all of it
            self.report(meter.advance("opening", self.progress, None))
        result = source / RESULT_NAME
        clip_list = ClipList(self.title, clips, None if self._source is None else result)
        clip_list.video = self.session.form_video
        if result.is_file():
            clip_list.take(read_result(result))
        self.session.clips = clip_list

    def _laid_out(self) -> Path:
        """A folder with the uploads under their names."""
        root, unpacked = self.folder / "clips", set()
        for name, path in self._files:
            parts = [part for part in name.replace("\\", "/").split("/") if part]
            if not parts or any(part in (".", "..") or not part.isprintable() for part in parts):
                raise LangTrackError(f"{name!r:.60} is not a name that a clip can have.")
            target, zipped = root.joinpath(*parts), is_zip(path)
            target = target.with_suffix("") if zipped else target
            if target.exists():
                raise LangTrackError(f"There are two files with the name {name!r:.60}.")
            target.parent.mkdir(parents=True, exist_ok=True)
            if zipped:
                unpack(path, target, Limits(total_mb=self.settings.max_bundle_mb, ratio=1000))
                unpacked.add(path)
            else:
                target.hardlink_to(path)  # the same file: an upload may be large
        for path in unpacked:
            self._release(path)
        return root


class OpenRunJob(OpenJob):
    """A run that is there already becomes a workspace, and the session's one when it is wanted.

    Args:
        ahead: nobody has asked for the clip yet; `show` is called when somebody does.

    Attributes:
        workspace: None until it is made.
    """

    def __init__(self, session: Session, clip: Clip, settings: Settings, *, ahead: bool = False) -> None:
        frames = clip.targets[0].frames if clip.targets else None
        super().__init__(session.new_folder(), settings, clip.name, frames)
        self.session = session
        self.clip = clip
        self.workspace: Workspace | None = None
        self._wanted = not ahead
        self._showing = threading.Lock()

    def compute(self) -> None:
        clip = self.clip
        if clip.video is None or clip.run is None:
            raise LangTrackError(f"The video of {clip.name} is not here; add it to the folder of the runs.")
        segment = Segment.read(clip.run)
        video = checked_video(segment.run.manifest.get("video", {}))
        project = Project(video)
        check_run(segment.run, project)
        info = open_video(clip.video, self.settings)
        if (info.width, info.height) != (video["width"], video["height"]):
            raise LangTrackError(f"{clip.video.name} has another size than the run {clip.name}.")
        if video_sha256(clip.video) != video["sha256"]:
            raise LangTrackError(
                f"{clip.video.name} is not the video of the run {clip.name}: its content is another. "
                "Add the one that the run was made of."
            )
        self._check_length(segment.run)
        self.folder.mkdir(parents=True)
        workspace = Workspace(self.folder, clip.video, info, project)
        (target,) = workspace.add_targets(1)
        meter = RateMeter(len(segment.run.rows), self.settings.preview_hz)
        workspace.add_segments([self._result(target.id, segment, 0, "maps.u8.gz", meter)])
        workspace.player_video = self._make_player_video(clip.video, info)
        with self._showing:
            self._check_stopped()
            self.workspace = workspace
            self._adopt()

    def show(self) -> None:
        """Show the clip to the session, now or as soon as it is ready."""
        with self._showing:
            self._wanted = True
            self._adopt()

    def _adopt(self) -> None:
        if self._wanted and self.workspace is not None:
            show_clip(self.clip, self.workspace)
            self.session.adopt(self.workspace)

    def discard(self) -> None:
        """Stop; nothing is left of the job, which nobody has asked for."""
        self.cancel(keep=False)
        with self._showing:
            if self.workspace is not None:
                self.workspace.close()


def show_clip(clip: Clip, workspace: Workspace, *, again: bool = False) -> None:
    """Make a workspace the one of a clip; verdicts on its frames come along once there is a track.

    Args:
        again: it gets another track, so what was said of the one before does not count any more.
    """
    before = replace(clip, before=None) if again else None
    clip.key, clip.waiting, clip.before = workspace.key, True, before
    if again:
        clip.run, clip.verdict, clip.targets, clip.others = None, None, [], []
        clip.tracks, clip.withdrawn = [], None


def note_clip(clip: Clip, workspace: Workspace) -> None:
    """Take over into the list what a person and a run have made of a clip."""
    with workspace.lock:
        targets = workspace.kept_targets()
        if not targets:
            return
        tracks = [target.track_key() for target in targets]
        if clip.waiting:
            clip.check_video(workspace.project.video["sha256"])
            clip.check_verdict(tracks)
            for target, judged in zip(targets, clip.targets, strict=False):
                target.verdicts = judged.verdicts.copy()
            clip.waiting, clip.others, clip.before = False, clip.targets[len(targets) :], None
        clip.tracks = tracks
        clip.note_runs([(target.run(), target.judged) for target in targets])
