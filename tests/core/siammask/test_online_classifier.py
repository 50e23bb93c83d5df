"""The filter that is learnt while tracking."""

import numpy as np
import torch
import torch.nn.functional as F

from langtrack_core.siammask.online_classifier import FIRST_SHARE, MEMORY, Appearance, _correlate, _gather

CHANNELS = 12
SIDE = 64.0


def scene(*things):
    """Search features with blobs: ``(pattern, row, column)`` in cells of stride 8; and some noise."""
    random = np.random.default_rng(len(things))
    feature = 0.1 * random.random((CHANNELS, 32, 32))
    y, x = np.mgrid[:32, :32]
    for pattern, row, column in things:
        bell = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
        feature += np.asarray(pattern)[:, None, None] * bell
    return torch.from_numpy(feature.astype(np.float32))[None]


def patterns():
    """A target, and something much like it."""
    random = np.random.default_rng(5)
    target = random.random(CHANNELS)
    return target, 0.6 * target + 0.4 * random.random(CHANNELS)


def cell_at(row, column):
    """Cell of the 25x25 grid that looks at this cell of the feature, centred in the search crop at 15.875."""
    return round(row - 15.875 + 12), round(column - 15.875 + 12)


def test_the_filter_is_a_correlation_and_gathering_its_transpose():
    random = np.random.default_rng(0)
    samples = random.standard_normal((3, CHANNELS, 20, 20)).astype(np.float32)
    w = random.standard_normal((25, CHANNELS)).astype(np.float32)
    response = _correlate(w, samples)
    kernel = torch.from_numpy(w.T.reshape(1, CHANNELS, 5, 5).copy())
    assert np.allclose(response, F.conv2d(torch.from_numpy(samples), kernel)[:, 0], atol=1e-4)
    values = random.standard_normal(response.shape).astype(np.float32)
    assert np.isclose((response * values).sum(), (w * _gather(values, samples)).sum(), rtol=1e-4)


def test_the_target_scores_one_wherever_it_is_and_the_ground_nothing():
    target, _ = patterns()
    appearance = Appearance([scene((target, 16, 16))], SIDE)
    scores = appearance.scores(scene((target, 20, 11)))
    assert np.abs(np.array(np.unravel_index(scores.argmax(), scores.shape)) - cell_at(20, 11)).max() <= 1
    assert 0.7 < scores.max() < 1.3
    assert scores[cell_at(9, 22)] < 0.2


def test_a_rival_that_stood_beside_the_target_is_known_as_such():
    target, rival = patterns()
    naive = Appearance([scene((target, 16, 16))], SIDE)
    taught = Appearance([scene((target, 16, 16))], SIDE)
    box = np.array([0.0, 0.0, SIDE, SIDE])
    seen = scene((target, 16, 16), (rival, 16, 24))
    for _ in range(30):
        taught.maybe_learn(seen, taught.scores(seen), (12, 12), box)
    elsewhere = scene((rival, 22, 10))
    assert taught.scores(elsewhere).max() < 0.8 * naive.scores(elsewhere).max()
    assert taught.scores(scene((target, 22, 10))).max() > 0.7


def test_nothing_is_learnt_in_doubt_and_the_first_views_keep_their_say():
    target, rival = patterns()
    appearance = Appearance([scene((target, 16, 16))] * 2, SIDE)
    box = np.array([0.0, 0.0, SIDE, SIDE])
    for _ in range(20):
        appearance.maybe_learn(scene((rival, 16, 16)), np.full((25, 25), 0.1), (12, 12), box)
    assert appearance.count == 2
    for _ in range(400):
        appearance._take(scene((target, 16, 16)), box[:2], SIDE, 0.04)
    assert appearance.count == MEMORY
    assert np.isclose(appearance._weights[:2].sum(), FIRST_SHARE, atol=0.02)
    assert np.isclose(appearance._weights.sum(), 1.0, atol=1e-3)
