"""Small videos and pictures for tests, made with PyAV and Pillow."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from langtrack_core.video import read_frames

NTSC = Fraction(30000, 1001)


def count_frames(path: Path) -> int:
    return sum(1 for _ in read_frames(path))


def quarters(height: int = 48, width: int = 64) -> np.ndarray:
    """Red, green, blue and white quarters: every one of the eight orientations looks different."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2] = 220, 30, 30
    rgb[: height // 2, width // 2 :] = 30, 200, 30
    rgb[height // 2 :, : width // 2] = 30, 30, 220
    rgb[height // 2 :, width // 2 :] = 240, 240, 240
    return rgb


def numbered(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), 10 + 3 * (index % 80), np.uint8)


def noise(index: int) -> np.ndarray:
    small = np.random.default_rng(index).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    return small.repeat(4, axis=0).repeat(4, axis=1)


def scene(index: int) -> np.ndarray:
    """A square that moves over a gradient."""
    rows, columns = np.mgrid[:120, :160].astype(np.uint8)
    rgb = np.stack([rows, columns, 255 - columns], axis=2)
    rgb[40:80, 8 + 4 * index : 48 + 4 * index] = 200, 60, 40
    return rgb


@contextmanager
def own_scheduling() -> Iterator[None]:
    """This thread keeps its scheduling.

    SVT-AV1, when root runs it, makes the thread that calls it a realtime one (SCHED_FIFO 99). All that it
    starts later, a browser for instance, would inherit that, and hold the processor's cores until it ends.
    """
    if not hasattr(os, "sched_setscheduler"):  # Linux alone has it
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def encode(
    path: Path,
    pictures: Iterable[np.ndarray | av.VideoFrame],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction = Fraction(25),
    ticks: Iterable[int] | None = None,
    tick: Fraction | None = None,
    prepare: Callable[[av.VideoStream], None] = lambda stream: None,
    index_first: bool = True,
    preset: str = "veryfast",
) -> Path:
    options = {"movflags": "+faststart"} if index_first and path.suffix == ".mp4" else {}
    with own_scheduling(), av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(
            codec, rate=rate, options={"crf": "4", "preset": preset} if codec == "libx264" else {}
        )
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = tick or 1 / rate
        prepare(stream)
        for number, picture in zip(ticks or itertools.count(), pictures, strict=False):
            if isinstance(picture, np.ndarray):
                source = "rgba" if picture.shape[2] == 4 else "rgb24"
                picture = av.VideoFrame.from_ndarray(picture, format=source).reformat(format=pix_fmt)
            if stream.width != picture.width or stream.height != picture.height:
                stream.width, stream.height = picture.width, picture.height
            picture.pts, picture.time_base = number, tick or 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def flat(pix_fmt: str, *values: int, size_wh: tuple[int, int] = (64, 48)) -> av.VideoFrame:
    """A picture with one value per plane, as stored."""
    picture = av.VideoFrame(*size_wh, pix_fmt)
    dtype = np.uint16 if "10le" in pix_fmt else np.uint8
    for plane, value in zip(picture.planes, values, strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(dtype).itemsize, value, dtype).tobytes())
    return picture


def save(path: Path, *indices: int) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for index in indices:
        Image.fromarray(numbered(index)).save(path / f"{index}.png")
    return path


def times(path: Path) -> list[float]:
    return [frame.time_s for frame in read_frames(path)]


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def open_files() -> int:
    return len(listed(Path("/proc/self/fd")))


def decoded_rgba(path: Path, decoder: str) -> list[tuple[float, np.ndarray]]:
    """Times and pictures with alpha, by a decoder asked for by name: FFmpeg's own for VP9 leaves alpha out.

    The alpha is taken from its plane: swscale makes faults in the last columns of yuva420p as RGBA.
    """
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r")
        context.width, context.height = stream.width, stream.height
        context.codec_tag = stream.codec_context.codec_tag
        for packet in container.demux(stream):
            for picture in context.decode(packet if packet.size else None):
                component, plane = picture.format.components[3], picture.planes[3]
                values = np.frombuffer(plane, np.uint8 if component.bits == 8 else np.uint16)
                alpha = values.reshape(plane.height, -1)[:, : plane.width] >> (component.bits - 8)
                rgba = np.dstack([picture.to_ndarray(format="rgb24"), alpha.astype(np.uint8)])
                pictures.append((float(picture.pts * stream.time_base), rgba))
    return pictures


def broadcast(path: Path, first_s: float, *, jump_s: float = 0, frames: int = 60) -> Path:
    """25 frames a second; half way the clock is set forward."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 10, 0
        packets = [p for i in range(frames) for p in stream.encode(av.VideoFrame.from_ndarray(noise(i)))]
        for number, packet in enumerate(packets + stream.encode(None)):
            if packet.pts is not None and packet.dts is not None and packet.time_base is not None:
                ticks = round((first_s + (jump_s if number >= frames // 2 else 0)) / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            container.mux(packet)
    return path
