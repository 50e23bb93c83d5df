"""Seeded clips with known truth and a tracker that knows it: tests use these, not real video and weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, enclosing_box
from langtrack_core.types import Frame


@dataclass(frozen=True)
class Clip:
    """A rendered clip and its truth; frame t of every field belongs to frame t of the others.

    Attributes:
        frames: frames 0, 1, ... with ``time_s = index / fps``.
        masks: ``(N, H, W)`` bool; empty where the object is absent.
        boxes_xyxy: ``(N, 4)`` enclosing boxes of the masks, half-open pixels; NaN where absent.
        fps: frames a second.
    """

    frames: list[Frame]
    masks: BoolMask
    boxes_xyxy: FloatArray
    fps: Fraction


def moving_object(
    frames: int = 16,
    size_hw: tuple[int, int] = (96, 128),
    *,
    seed: int = 0,
    fps: Fraction | int = 25,
    colour: tuple[int, int, int] = (220, 40, 40),
    absent: Collection[int] = (),
) -> Clip:
    """A tilted ellipse, red unless told otherwise, on a Lissajous path over a blurred noise background.

    Args:
        frames: how many.
        size_hw: height and width in pixels, from about 32 up.
        seed: decides the background, the path and the ellipse.
        fps: frames a second.
        colour: RGB of the object.
        absent: frame indices at which the object is not drawn.
    """
    rng = np.random.default_rng(seed)
    height, width = size_hw
    noise = rng.integers(0, 256, (12, 16, 3)).astype(np.float32)
    background = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 0.3 + 80
    background = np.clip(background, 0, 255).astype(np.uint8)
    half_axes = (int(width * rng.uniform(0.10, 0.14)), int(height * rng.uniform(0.08, 0.11)))
    phase, tilt_deg = rng.uniform(0, 2 * np.pi), rng.uniform(-40, 40)
    rate = Fraction(fps)

    pictures, masks, boxes = [], [], []
    for index in range(frames):
        angle = phase + 0.06 * index
        centre = (int(width * (0.5 + 0.3 * np.cos(angle))), int(height * (0.5 + 0.3 * np.sin(1.3 * angle))))
        painted = np.zeros((height, width), np.uint8)
        if index not in absent:
            cv2.ellipse(painted, centre, half_axes, tilt_deg + index, 0, 360, 1, thickness=-1)
        mask = painted.astype(bool)
        rgb = background.copy()
        rgb[mask] = colour
        box = enclosing_box(mask)
        pictures.append(Frame(index, float(index / rate), rgb))
        masks.append(mask)
        boxes.append(np.full(4, np.nan) if box is None else box)
    return Clip(pictures, np.array(masks), np.array(boxes), rate)


def write_folder(clip: Clip, folder: Path) -> Path:
    """The frames as 00000.png, 00001.png, ...: a lossless clip."""
    folder.mkdir(parents=True)
    for frame in clip.frames:
        encoded = cv2.imencode(".png", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))[1]
        (folder / f"{frame.index:05d}.png").write_bytes(encoded.tobytes())
    return folder


def write_mp4(clip: Clip, path: Path) -> Path:
    """The frames as H.264 yuv420p by PyAV itself, so that a test of our writer does not test itself.

    The clip's height and width have to be even.
    """
    height, width = clip.frames[0].size_hw
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=clip.fps, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in clip.frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
