"""The table of formats, and the one way to write them: a folder or a file that is whole or not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from langtrack_core.files import replacing_folder
from langtrack_core.types import LangTrackError

from ..files import explained, replacing
from . import coco, cutout, cvat, davis, labelme, mot, voc, yolo
from .clip import JPEG_QUALITY, Clip


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        about: what it is, in a few words.
        write: writes the labels of a clip into a folder that exists, or to a file where ``file`` says so.
        file: the format is one file: its name inside the folder. "" where it is many.
        suffix: with it at the end of the output's name, that file alone is written.
        picture: the name of a frame's picture inside the folder; None where there are none beside labels.
        needs_video: it consists of the video's pictures.
    """

    about: str
    write: Callable[[Clip, Path], None]
    file: str = ""
    suffix: str = ""
    picture: Callable[[Clip, int], str] | None = None
    needs_video: bool = False


FORMATS: dict[str, Format] = {
    "coco": Format(
        "COCO instances: boxes and masks, a picture a frame",
        *(coco.write_instances, "annotations/instances_default.json", ".json", coco.instances_picture),
    ),
    "coco-video": Format(
        "COCO for videos, as YouTube-VIS: a track of masks for each target",
        *(coco.write_video, "instances.json", ".json", coco.video_picture),
    ),
    "yolo": Format("YOLO detection: boxes", yolo.write_detection, picture=yolo.picture),
    "yolo-seg": Format("YOLO segmentation: polygons", yolo.write_segmentation, picture=yolo.picture),
    "mot": Format("MOTChallenge text: boxes with identities", mot.write, picture=mot.picture),
    "cvat": Format("CVAT for video 1.1: tracks of boxes", cvat.write, "annotations.xml", ".xml"),
    "voc": Format("Pascal VOC XML: boxes", voc.write, picture=voc.picture),
    "labelme": Format("LabelMe JSON: polygons", labelme.write, picture=labelme.picture),
    "davis": Format("indexed PNG as in DAVIS 2017: masks", davis.write, picture=davis.picture),
    "cutout-png": Format("PNG pictures with alpha", cutout.write_png, needs_video=True),
    "cutout-webm": Format(
        "WebM (VP9) with alpha", cutout.write_webm, "cutout.webm", ".webm", needs_video=True
    ),
    "cutout-prores": Format(
        "MOV (ProRes 4444) with alpha", cutout.write_prores, "cutout.mov", ".mov", needs_video=True
    ),
}
"""Formats by the name that people give."""


def export(clip: Clip, name: str, out: Path) -> None:
    """Write the tracks of a video in one of `FORMATS`.

    Args:
        out: a folder that does not exist or is empty; or, for formats that are one file, a file that does not
            exist, whose name ends as the format's does. Into a folder the frames are written too, as JPEG,
            when ``clip.video`` is there.

    Raises:
        LangTrackError: an unknown format, an output that exists, a video that is needed and not there, a run
            that cannot be read, a full disk. Nothing is left then.
    """
    form = FORMATS.get(name)
    if form is None:
        raise LangTrackError(f"There is no format {name!r:.40}; there are {', '.join(FORMATS)}.")
    if form.needs_video and clip.video is None:
        raise LangTrackError(
            f"{name} is made of the pictures, which a run does not keep: give the video too."
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise LangTrackError(f"{out} exists already; choose another name or remove it.")
    if out.resolve() == Path.cwd():  # it could not be renamed away
        raise LangTrackError(
            f"{out} is the folder that this runs in; give one inside it, as {out / 'export'}."
        )
    alone = bool(form.suffix) and out.suffix.lower() == form.suffix
    if alone and form.picture is not None and clip.video is not None:
        raise LangTrackError(f"Labels and pictures need a folder: leave {form.suffix} out of {out.name}.")
    # MP4 is what people ask of a video; it has no transparency. A folder may have any other dot in its name.
    if not alone and out.suffix.lower() in {".mp4", *(other.suffix for other in FORMATS.values())} - {""}:
        raise LangTrackError(f"{name} does not end in {out.suffix}; {_wanted(form)}.")
    with explained(f"The export could not be written to {out}"):
        if alone:
            with _new_parents(out), replacing(out) as path, _called(out, path):
                form.write(clip, path)
            return
        with replacing_folder(out) as folder, _called(out, folder):
            if form.picture is not None and clip.video is not None:
                _write_pictures(clip, folder, form.picture)
            path = folder / form.file if form.file else folder
            path.parent.mkdir(parents=True, exist_ok=True)
            form.write(clip, path)


def _wanted(form: Format) -> str:
    return f"give a folder, or a file that ends in {form.suffix}" if form.suffix else "give a folder"


def _write_pictures(clip: Clip, folder: Path, name_of: Callable[[Clip, int], str]) -> None:
    for picture in clip.pictures():
        path = folder / name_of(clip, picture.index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.rgb).save(path, quality=JPEG_QUALITY)


@contextmanager
def _new_parents(out: Path) -> Iterator[None]:
    """The folder of a file, made for it; gone again when the block fails."""
    missing = [parent for parent in out.parents if not parent.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for parent in missing:
            parent.rmdir()
        raise


@contextmanager
def _called(out: Path, hidden: Path) -> Iterator[None]:
    """A sentence of the block, such as a video writer's, has ``out`` for the name while it is written."""
    try:
        yield
    except LangTrackError as error:
        raise LangTrackError(str(error).replace(hidden.name, out.name)) from error
