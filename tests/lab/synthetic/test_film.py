"""The look of film: what it does to a flat picture, and that scenes for training have none of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from langtrack_lab.synthetic import moving_object, paint_background, random_camera, random_style, render
from langtrack_lab.synthetic.film import Film, develop, focused

SIZE_HW = (120, 160)
PLAIN = Film(exposure=1.0, saturation=1.0, glare=0.0, vignette=0.0, fringe_px=0.0, grain_std=0.0)


def flat(value: tuple[int, int, int] = (120, 120, 120)) -> np.ndarray:
    return np.full((*SIZE_HW, 3), value, np.uint8)


def developed(picture: np.ndarray, film: Film) -> np.ndarray:
    return develop(np.random.default_rng(0), picture, film).astype(float)


def test_corners_are_dark_and_colours_muted() -> None:
    shown = developed(flat(), replace(PLAIN, vignette=0.4))
    assert shown[0, 0].mean() < 0.9 * shown[60, 80].mean()
    pure = developed(flat((200, 40, 40)), PLAIN)[60, 80]
    muted = developed(flat((200, 40, 40)), replace(PLAIN, saturation=0.5))[60, 80]
    assert np.ptp(muted) < 0.6 * np.ptp(pure)


def test_a_bright_place_glares_and_an_edge_has_fringes() -> None:
    picture = flat((10, 10, 10))
    picture[:, 120:] = 255
    plain, glaring = developed(picture, PLAIN), developed(picture, replace(PLAIN, glare=0.5))
    assert glaring[60, 115].mean() > plain[60, 115].mean() + 5
    fringed = developed(picture, replace(PLAIN, fringe_px=8.0))
    assert np.ptp(fringed[60, 100:140], axis=1).max() > np.ptp(plain[60, 100:140], axis=1).max() + 30


def test_grain_is_in_the_middle_tones_and_the_same_for_the_same_seed() -> None:
    film = replace(PLAIN, grain_std=6.0)
    middle, dark = developed(flat(), film), developed(flat((3, 3, 3)), film)
    assert middle.std() > 2 * dark.std()
    assert np.array_equal(middle, developed(flat(), film))


def test_what_is_far_is_blurred_and_what_is_in_focus_is_not() -> None:
    background = paint_background(np.random.default_rng(4), "park", SIZE_HW)
    blurred = focused(background, row=110, blur_px=4)
    row = round((background.horizon or 0) + background.pad)
    fine = [np.abs(np.diff(b.rgb.astype(float), axis=1)).mean(axis=(1, 2)) for b in (background, blurred)]
    assert fine[1][row - 4 : row + 4].mean() < 0.6 * fine[0][row - 4 : row + 4].mean()
    sharp = 110 + background.pad
    np.testing.assert_array_equal(background.rgb[sharp], blurred.rgb[sharp])


def test_masks_are_the_same_with_film_and_texture() -> None:
    scenes = []
    for film, texture in ((None, 0.0), (Film(), 1.0)):
        rng = np.random.default_rng(2)
        background = paint_background(rng, "road", SIZE_HW)
        style = replace(random_style(rng, "red"), texture=texture)
        car = moving_object("car", "red", style, np.array([[80.0, 100.0]]), np.array([40.0]))
        camera = replace(random_camera(rng, 1, background.pad), film=film)
        scenes.append(render(rng, background, [car], camera, SIZE_HW))
    plain, filmed = scenes
    np.testing.assert_array_equal(plain.objects[0].masks[0], filmed.objects[0].masks[0])
    assert np.abs(plain.frames[0].astype(int) - filmed.frames[0]).mean() > 5
