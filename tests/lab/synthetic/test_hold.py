"""Two cars that the words fit alike, with the shipped networks: a chosen one is followed, never the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from langtrack_core import LangTracker
from langtrack_core.geometry import FloatArray, box_iou
from langtrack_core.masks import enclosing_box
from langtrack_core.types import Frame, Query, Step
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


@pytest.fixture(scope="module")
def scene() -> Scene:
    """The car on the left becomes smaller, the one on the right larger; they pass each other."""
    rng = np.random.default_rng(3)
    background = paint_background(rng, "road", SIZE_HW)
    cars = [
        _car(rng, "red", (90, 340), 135, (52, 34)),
        _car(rng, "blue", (340, 150), 232, (44, 80)),
    ]
    camera = replace(random_camera(rng, FRAMES, background.pad), exposure=1.0, shadow=0.4)
    return render(rng, background, cars, camera, SIZE_HW)


def overlaps(scene: Scene, steps: list[Step], car: int) -> FloatArray:
    boxes = [enclosing_box(mask) for mask in scene.objects[car].masks]
    pairs = zip(steps, boxes, strict=True)
    return np.array(
        [0.0 if s.fused.box_xyxy is None or b is None else box_iou(s.fused.box_xyxy, b) for s, b in pairs]
    )


@pytest.fixture(scope="module")
def tracker() -> LangTracker:
    return LangTracker.from_pretrained("lite")


def test_words_hop_from_one_car_to_the_other_and_a_chosen_one_is_held(
    scene: Scene, tracker: LangTracker
) -> None:
    frames = [Frame(index, index / 25, rgb) for index, rgb in enumerate(scene.frames)]
    firsts = [enclosing_box(car.masks[0]) for car in scene.objects]
    by_words = list(tracker.track(frames, Query("the car")))
    assert overlaps(scene, by_words, 0)[5] > 0.5 and overlaps(scene, by_words, 1)[-1] > 0.5
    queries = [Query("the car", box, hold=True, exact=False) for box in firsts]
    tracks = list(zip(*tracker.track_all(frames, queries), strict=True))
    for own, other in ((0, 1), (1, 0)):
        assert overlaps(scene, list(tracks[own]), own).min() > 0.5
        assert overlaps(scene, list(tracks[own]), other).max() < 0.1
