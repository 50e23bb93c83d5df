"""Colour names of regions."""

import numpy as np
import pytest

from langtrack_lab.colours import COLOURS, colour_name


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((200, 30, 30), "red"), ((250, 250, 250), "white"), ((15, 15, 15), "black"), ((40, 80, 190), "blue")],
)
def test_clear_colours_are_named(rgb, name):
    assert colour_name(np.full((10, 10, 3), rgb, np.uint8), np.ones((10, 10), bool)) == name


@pytest.mark.parametrize("name", COLOURS)
def test_what_is_painted_with_a_colour_has_its_name(name):
    picture = np.full((10, 10, 3), COLOURS[name].paint, np.uint8)
    assert colour_name(picture, np.ones((10, 10), bool)) == name


def test_a_mixed_region_has_no_colour():
    picture = np.zeros((10, 12, 3), np.uint8)
    for i, rgb in enumerate([(200, 30, 30), (250, 250, 250), (40, 80, 190)]):
        picture[:, 4 * i : 4 * i + 4] = rgb
    assert colour_name(picture, np.ones((10, 12), bool)) is None


def test_a_tiny_region_has_no_colour():
    mask = np.zeros((10, 10), bool)
    mask[:2, :5] = True
    assert colour_name(np.full((10, 10, 3), (200, 30, 30), np.uint8), mask) is None
