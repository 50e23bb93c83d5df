"""The renderer: same seed same picture, masks that match the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from langtrack_lab.colours import COLOURS
from langtrack_lab.synthetic import (
    Scene,
    moving_object,
    paint_background,
    random_camera,
    random_style,
    render,
    render_random_scene,
)
from langtrack_lab.synthetic.backgrounds import BACKGROUNDS
from langtrack_lab.synthetic.objects import OBJECTS

SIZE_HW = (160, 200)


def _still(category: str, colour: str, x: float, y: float, height: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    foot = np.array([[x, y]], np.float64)
    return moving_object(category, colour, random_style(rng, colour), foot, np.array([height]))


def _render(objects, name: str = "lawn", seed: int = 0) -> Scene:
    rng = np.random.default_rng(seed)
    background = paint_background(rng, name, SIZE_HW)
    return render(rng, background, objects, random_camera(rng, 1, background.pad), SIZE_HW)


def test_same_seed_gives_same_scene_and_another_seed_another() -> None:
    first, again, other = (render_random_scene(np.random.default_rng(s), SIZE_HW, 3, 4) for s in (5, 5, 6))
    assert len(first.frames) == 3
    for a, b in zip(first.frames, again.frames, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first.objects, again.objects, strict=True):
        assert (a.category, a.colour) == (b.category, b.colour)
        np.testing.assert_array_equal(np.array(a.masks), np.array(b.masks))
    assert not np.array_equal(first.frames[0], other.frames[0])


@pytest.mark.parametrize("seed", range(12))
def test_shapes_types_and_disjoint_masks(seed: int) -> None:
    scene = render_random_scene(np.random.default_rng(seed), SIZE_HW, 2, 5)
    assert [f.shape for f in scene.frames] == [(*SIZE_HW, 3)] * 2
    assert all(f.dtype == np.uint8 for f in scene.frames)
    assert len(scene.objects) == 5
    for t in range(2):
        visible = np.array([thing.masks[t] for thing in scene.objects])
        assert visible.dtype == bool
        assert visible.sum(axis=0).max() <= 1  # a pixel shows one thing at most


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_every_background_can_be_painted(name: str) -> None:
    background = paint_background(np.random.default_rng(1), name, SIZE_HW)
    assert background.rgb.shape == (SIZE_HW[0] + 2 * background.pad, SIZE_HW[1] + 2 * background.pad, 3)
    assert background.rgb.std() > 3  # textured, not one colour


@pytest.mark.parametrize("category", OBJECTS)
def test_mask_is_where_the_picture_changes(category: str) -> None:
    """The same scene with and without the thing: a large difference in its mask, none far away."""
    colour = (OBJECTS[category].colours or ("red",))[0]
    height = min(90.0, 150 / OBJECTS[category].width)
    with_it = _render([_still(category, colour, 100, 130, height)], "lawn")
    without = _render([], "lawn")
    mask = with_it.objects[0].masks[0]
    change = np.abs(with_it.frames[0].astype(int) - without.frames[0].astype(int)).max(axis=2)
    # Masked pixels differ from the lawn in all but a few places, where the thing happens to have its colour.
    assert np.mean(change[mask] > 12) > 0.75
    assert mask.sum() > 0.1 * height**2 * OBJECTS[category].width
    rows, columns = np.nonzero(mask)
    # The camera moves a little and a drawing leaves room (a bird flies above its foot).
    assert abs(rows.max() + 1 - 130) < 24 and abs(columns.mean() - 100) < 22
    far = np.ones(SIZE_HW, bool)
    far[max(rows.min() - 30, 0) : rows.max() + 30, max(columns.min() - 60, 0) : columns.max() + 60] = False
    assert change[far].max() <= 1


def test_a_nearer_thing_hides_a_farther_one() -> None:
    behind, front = _still("box", "red", 100, 120, 60), _still("box", "blue", 110, 130, 60)
    both, alone = _render([behind, front]), _render([behind])
    hidden = both.objects[0].masks[0]
    whole = alone.objects[0].masks[0]
    assert 0 < hidden.sum() < whole.sum()
    np.testing.assert_array_equal(hidden, whole & ~both.objects[1].masks[0])


def test_things_outside_the_picture_have_an_empty_mask() -> None:
    scene = _render([_still("car", "red", -300, 100, 30), _still("car", "blue", 100, 500, 30)], "road")
    assert not scene.objects[0].masks[0].any() and not scene.objects[1].masks[0].any()


def test_colour_words_match_the_pixels() -> None:
    for colour in ("red", "green", "blue", "yellow", "white", "black"):
        scene = _render([_still("box", colour, 100, 120, 80)], "table")
        median = np.median(scene.frames[0][scene.objects[0].masks[0]], axis=0)
        nearest = min(
            ("red", "green", "blue", "yellow", "white", "black"),
            key=lambda name: float(np.abs(np.array(COLOURS[name].paint) - median).sum()),
        )
        assert nearest == colour


def test_faces_the_way_it_goes() -> None:
    foot = np.stack([np.array([10.0, 20, 30, 30, 20]), np.full(5, 50.0)], axis=1)
    dog = moving_object(
        "dog", "brown", random_style(np.random.default_rng(0), "brown"), foot, np.full(5, 20.0)
    )
    assert dog.faces_right.tolist() == [True, True, True, False, False]
