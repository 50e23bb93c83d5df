"""Two cars that the words fit alike, with the shipped networks: a chosen one is followed, never the other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from two_cars import overlaps, two_cars

from langtrack_core import LangTracker
from langtrack_core.geometry import FloatArray
from langtrack_core.masks import enclosing_box
from langtrack_core.types import Frame, Query, Step
from langtrack_lab.synthetic import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return two_cars()


def boxes(steps: Sequence[Step]) -> list[FloatArray | None]:
    return [step.fused.box_xyxy for step in steps]


@pytest.fixture(scope="module")
def tracker() -> LangTracker:
    return LangTracker.from_pretrained("lite")


def test_words_hop_from_one_car_to_the_other_and_a_chosen_one_is_held(
    scene: Scene, tracker: LangTracker
) -> None:
    frames = [Frame(index, index / 25, rgb) for index, rgb in enumerate(scene.frames)]
    firsts = [enclosing_box(car.masks[0]) for car in scene.objects]
    by_words = list(tracker.track(frames, Query("the car")))
    assert overlaps(scene, boxes(by_words), 0)[5] > 0.5 and overlaps(scene, boxes(by_words), 1)[-1] > 0.5
    queries = [Query("the car", box, hold=True, exact=False) for box in firsts]
    tracks = list(zip(*tracker.track_all(frames, queries), strict=True))
    for own, other in ((0, 1), (1, 0)):
        assert overlaps(scene, boxes(tracks[own]), own).min() > 0.5
        assert overlaps(scene, boxes(tracks[own]), other).max() < 0.1
