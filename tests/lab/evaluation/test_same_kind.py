"""Which sentences may be true of another clip, so that no mask counts as wrong for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from langtrack_lab.datasets import Sequence
from langtrack_lab.evaluation.same_kind import same_kind


def clip(*sentences: str) -> Sequence:
    return Sequence(sentences[0], (Path("0.jpg"),), sentences, boxes=np.ones((1, 4)))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("the man on the left", "a motocross rider jumping", True),
        ("the scooterist, helmeted", "the closest biker.", True),
        ("a silver car", "the vehicle in front", True),
        ("the woman jogging", "the skier jumping in the air", False),
        ("the man on the left", "a silver car", False),
    ],
)
def test_people_by_whatever_they_ride_are_of_one_kind(a: str, b: str, same: bool):
    assert same_kind(clip(a), clip(b)) is same is same_kind(clip(b), clip(a))


def test_a_clip_is_of_its_own_kind_whatever_it_shows():
    skier = clip("the skier")
    assert same_kind(skier, skier)
