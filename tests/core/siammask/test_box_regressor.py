"""A linear map from features to the box of one target, on features whose truth is known."""

import numpy as np
import pytest
import torch

from langtrack_core.siammask.box_regressor import MOST_LOG_ZOOM, BoxRegressor
from langtrack_core.siammask.online_classifier import averaged

CHANNELS = 8


def view(zoom, blur, shift_xy, side=40):
    """Features of a target: each channel is a wave fixed to it, fading outside, at stride 8."""
    random = np.random.default_rng(0)
    waves = random.normal(0, 0.05, (CHANNELS, 2))
    row, column = np.mgrid[:32, :32] * 8.0 - 124
    y, x = (row - shift_xy[1]) / zoom, (column - shift_xy[0]) / zoom
    inside = np.exp(-((np.hypot(x, y) / side) ** 4))
    maps = [inside * np.cos(a * x + b * y) for a, b in waves]
    return averaged(torch.from_numpy(np.stack(maps)[None].astype(np.float32)))


@pytest.fixture(scope="module")
def regressor():
    return BoxRegressor(view)


@pytest.mark.parametrize("zoom", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("shift_xy", [(0, 0), (10, -12)])
def test_place_and_size_are_found_from_a_guess_beside_the_target(regressor, zoom, shift_xy):
    guess = np.add(shift_xy, (5, -4))
    place, measured, _ = regressor.correct(view(zoom, 0.0, shift_xy), guess)
    assert measured == pytest.approx(zoom, rel=0.1)
    assert np.abs(place - shift_xy).max() < 4


def test_a_size_that_it_never_saw_is_bounded(regressor):
    for zoom in (0.1, 5.0):
        _, measured, _ = regressor.correct(view(zoom, 0.0, (0, 0)), np.zeros(2))
        assert np.exp(-MOST_LOG_ZOOM) <= measured <= np.exp(MOST_LOG_ZOOM)


def test_it_is_trusted_as_far_as_the_target_looks_as_on_the_first_frame(regressor):
    same, other = view(1.0, 0.0, (0, 0)), averaged(torch.randn(1, CHANNELS, 32, 32))
    trusts = [regressor.correct(feature, np.zeros(2))[2] for feature in (same, other)]
    assert trusts[0] > 0.9 and trusts[1] < 0.1


def test_a_guess_outside_the_crop_reads_its_border(regressor):
    place, measured, _ = regressor.correct(view(1.0, 0.0, (0, 0)), np.array([400.0, -400.0]))
    assert np.isfinite(place).all() and np.isfinite(measured)
