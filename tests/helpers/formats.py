"""Every kind of video that is promised to be read: how to make one, and its line in the documents.

The table in docs/formats.md is `table()`; tests/core/video/test_formats.py compares them and reads each kind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from clips import encode, scene
from PIL import Image

FRAMES = 6
SCENES = [scene(index) for index in range(FRAMES)]


class Format(NamedTuple):
    """A kind of video.

    Attributes:
        name: what people call it.
        file: name of the file or folder, which tells what makes it.
        make: writes the six scenes to a path.
        remark: what a reader of the documents has to know.
        exact: the pictures come back as they were.
    """

    name: str
    file: str
    make: Callable[[Path], object]
    remark: str = ""
    exact: bool = False


def coded(codec: str, pix_fmt: str = "yuv420p") -> Callable[[Path], object]:
    return lambda path: encode(path, SCENES, codec=codec, pix_fmt=pix_fmt)


def animated(form: str, **options: object) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        first, *rest = map(Image.fromarray, SCENES)
        first.save(path, form, save_all=True, append_images=rest, **options)

    return make


def folder_of(suffix: str, **options: object) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.mkdir()
        for index, rgb in enumerate(SCENES):
            Image.fromarray(rgb).save(path / f"{index + 7}{suffix}", **options)

    return make


def deep(path: Path) -> None:
    path.mkdir()
    for index, rgb in enumerate(SCENES):
        cv2.imwrite(str(path / f"{index}.png"), rgb[..., ::-1].astype(np.uint16) * 257)


def grey(path: Path) -> None:
    path.mkdir()
    for index, rgb in enumerate(SCENES):
        Image.fromarray(rgb[..., 1]).save(path / f"{index}.png")


FORMATS = (
    Format("MP4, H.264", "a.mp4", coded("libx264"), "rotation and mirroring are applied"),
    Format("MP4, H.265", "b.mp4", coded("libx265"), "10 bits and HDR become 8 bits"),
    Format("MP4, AV1", "c.mp4", coded("libsvtav1")),
    Format("MOV, ProRes", "a.mov", coded("prores_ks", "yuv422p10le")),
    Format("3GP", "a.3gp", coded("libx264")),
    Format("MKV", "a.mkv", coded("ffv1"), "of several video streams the default, else the largest"),
    Format("WebM, VP9", "a.webm", coded("libvpx-vp9"), "transparency in a side stream is not decoded"),
    Format("AVI, MPEG-4", "a.avi", coded("mpeg4"), "titles in any encoding"),
    Format("AVI, Motion JPEG", "b.avi", coded("mjpeg", "yuvj420p")),
    Format(
        "MPEG-TS", "a.ts", coded("libx264"), "may begin anywhere; a jump of its clock counts as one frame"
    ),
    Format("MPEG-TS of cameras", "a.m2ts", coded("libx264")),
    Format("MPEG-PS, DVD", "a.mpg", coded("mpeg2video"), "interlaced video is read as it is, and said"),
    Format("FLV", "a.flv", coded("flv")),
    Format("WMV, ASF", "a.wmv", coded("wmv2")),
    Format("RealMedia", "a.rm", coded("rv20")),
    Format("MXF", "a.mxf", coded("mpeg2video")),
    Format("NUT", "a.nut", coded("ffv1")),
    Format("IVF", "a.ivf", coded("libvpx")),
    Format("Y4M", "a.y4m", coded("wrapped_avframe")),
    Format("raw H.264", "a.h264", coded("libx264"), "25 frames a second"),
    Format("raw H.265", "a.hevc", coded("libx265"), "25 frames a second"),
    Format("JPEGs one behind the other", "a.mjpeg", coded("mjpeg", "yuvj420p"), "25 frames a second"),
    Format("AVIF", "a.avif", animated("AVIF", duration=40), "also animated"),
    Format("GIF", "a.gif", animated("GIF", duration=40), "each picture has its own duration"),
    Format("APNG", "a.png", animated("PNG", duration=40), "each picture has its own duration", True),
    Format(
        "animated WebP",
        "a.webp",
        animated("WEBP", duration=40, lossless=True),
        "each picture has its own duration",
        True,
    ),
    Format(
        "TIFF of several pages", "a.tif", animated("TIFF"), "25 frames a second; floats in grey alone", True
    ),
    Format(
        "folder of PNG",
        "png",
        folder_of(".png"),
        "one kind of file, natural order, 25 frames a second, one size",
        True,
    ),
    Format("folder of JPEG", "jpg", folder_of(".jpg", quality=95), "EXIF orientation is applied"),
    Format("folder of BMP", "bmp", folder_of(".bmp"), exact=True),
    Format("folder of WebP", "webp", folder_of(".webp", lossless=True), exact=True),
    Format("folder of TIFF", "tif", folder_of(".tif"), exact=True),
    Format("folder of PPM", "ppm", folder_of(".ppm"), exact=True),
    Format("folder of pictures deeper than 8 bits", "deep", deep, "scaled by the range of the clip", True),
    Format("folder of grey pictures", "grey", grey),
)


def table() -> str:
    """The Markdown that docs/formats.md has to hold."""
    lines = ["| video | for example | |", "|---|---|---|"]
    for form in FORMATS:
        file = f"`{form.file}`" if "." in form.file else ""
        lines.append(f"| {form.name} | {file} | {form.remark} |")
    return "\n".join(lines) + "\n"


def available(form: Format) -> bool:
    """Whether this build of FFmpeg can make the kind; encoders differ, decoders do not."""
    codecs = {"c.mp4": "libsvtav1", "b.mp4": "libx265", "a.hevc": "libx265"}
    return codecs.get(form.file, "libx264") in av.codecs_available
