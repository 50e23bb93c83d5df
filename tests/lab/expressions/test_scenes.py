"""Sentences for rendered scenes: each is true of one object."""

from __future__ import annotations

import numpy as np
import pytest

from langtrack_lab.expressions.scenes import describe_in_scene
from langtrack_lab.synthetic import Scene, SceneObject, render_random_scene


def blobs(*things: tuple[str, str, tuple[int, int, int, int]]) -> Scene:
    """A scene of plain rectangles ``(category, colour, xyxy)`` in a 100 x 100 picture."""
    objects = []
    for category, colour, (x1, y1, x2, y2) in things:
        mask = np.zeros((100, 100), bool)
        mask[y1:y2, x1:x2] = True
        objects.append(SceneObject(category, colour, [mask]))
    return Scene([np.zeros((100, 100, 3), np.uint8)], objects)


def sentences_of(scene: Scene, index: int, count: int = 150) -> set[str]:
    rng = np.random.default_rng(0)
    return {s for s in (describe_in_scene(rng, scene, index) for _ in range(count)) if s}


def test_colour_tells_two_of_a_category_apart() -> None:
    scene = blobs(("car", "red", (10, 40, 30, 60)), ("car", "blue", (60, 40, 80, 60)))
    texts = sentences_of(scene, 0)
    assert {"the red car", "the car on the left", "the red one"} <= texts
    assert "the car" not in texts and not any("blue" in text or "right" in text for text in texts)


def test_only_place_tells_twins_apart() -> None:
    scene = blobs(("dog", "brown", (5, 40, 25, 60)), ("dog", "brown", (70, 40, 90, 60)))
    left, right = sentences_of(scene, 0), sentences_of(scene, 1)
    assert left and right
    assert all("left" in text for text in left) and all("right" in text for text in right)


def test_broader_words_count_all_they_cover() -> None:
    scene = blobs(("man", "red", (10, 40, 20, 60)), ("woman", "blue", (50, 40, 60, 60)))
    texts = sentences_of(scene, 0, 500)
    assert "the man" in texts and "the person" not in texts
    assert any("person" in text and "red" in text for text in texts)


def test_the_only_object_is_not_called_one() -> None:
    texts = sentences_of(blobs(("car", "red", (10, 40, 30, 60))), 0)
    assert texts and not any("one" in text.split() or "object" in text for text in texts)


def test_indistinguishable_objects_get_no_sentence() -> None:
    scene = blobs(("duck", "white", (40, 40, 60, 60)), ("duck", "white", (42, 45, 62, 65)))
    assert sentences_of(scene, 0) == set()


def test_too_small_to_speak_of() -> None:
    scene = blobs(("car", "red", (10, 40, 13, 43)), ("car", "blue", (60, 40, 80, 60)))
    assert sentences_of(scene, 0) == set()


def test_an_object_outside_the_picture_gets_no_sentence() -> None:
    scene = blobs(("car", "red", (0, 0, 0, 0)), ("car", "blue", (60, 40, 80, 60)))
    assert sentences_of(scene, 0) == set()
    assert "the car" in sentences_of(scene, 1)


@pytest.mark.parametrize("seed", range(40))
def test_no_two_objects_share_a_sentence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = render_random_scene(rng, (160, 200), 1, int(rng.integers(2, 6)))
    owner: dict[str, int] = {}
    for index in range(len(scene.objects)):
        for text in sentences_of(scene, index, 40):
            words = text.removeprefix("the ").removeprefix("a ").removeprefix("an ")
            assert owner.setdefault(words, index) == index, text
            assert text == text.strip() and "  " not in text
