"""A rendered scene of two cars that pass each other, for tests of the shipped networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.masks import enclosing_box
from langtrack_lab.synthetic import (
    Scene,
    moving_object,
    paint_background,
    random_camera,
    random_style,
    render,
)
from langtrack_lab.synthetic.renderer import MovingObject

FRAMES, SIZE_HW = 60, (240, 426)


def _car(
    rng: np.random.Generator, colour: str, x: tuple[float, float], y: float, height: tuple[float, float]
) -> MovingObject:
    t = np.linspace(0, 1, FRAMES)
    foot = np.stack([np.interp(t, (0, 1), x), np.full(FRAMES, y)], axis=1)
    return moving_object("car", colour, random_style(rng, colour), foot, np.interp(t, (0, 1), height))


def two_cars() -> Scene:
    """The red car on the left becomes smaller, the blue one on the right larger."""
    rng = np.random.default_rng(26)
    background = paint_background(rng, "road", SIZE_HW)
    cars = [
        _car(rng, "red", (90, 340), 135, (52, 34)),
        _car(rng, "blue", (340, 150), 232, (44, 80)),
    ]
    camera = replace(random_camera(rng, FRAMES, background.pad), exposure=1.0, shadow=0.4)
    return render(rng, background, cars, camera, SIZE_HW)


def overlaps(scene: Scene, boxes: Sequence[FloatArray | None], car: int) -> FloatArray:
    """IoU of each frame's box with a car; 0 where there is none."""
    truth = [enclosing_box(mask) for mask in scene.objects[car].masks]
    return np.array(
        [0.0 if a is None or b is None else box_iou(a, b) for a, b in zip(boxes, truth, strict=True)]
    )
