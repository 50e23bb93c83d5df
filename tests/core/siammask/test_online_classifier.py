"""The classifier that is trained while tracking."""

import numpy as np
import torch
import torch.nn.functional as F

from langtrack_core.siammask import online_classifier
from langtrack_core.siammask.online_classifier import (
    OnlineClassifier,
    averaged,
    correlate,
    correlate_transposed,
)

CHANNELS = 12
SIDE = 64.0
BOX = np.array([0.0, 0.0, SIDE, SIDE])  # of the target, in the middle of the crop


def scene(*things):
    """Search features with blobs: ``(pattern, row, column)`` in cells of stride 8; and some noise."""
    random = np.random.default_rng(len(things))
    feature = 0.1 * random.random((CHANNELS, 32, 32))
    y, x = np.mgrid[:32, :32]
    for pattern, row, column in things:
        bell = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
        feature += np.asarray(pattern)[:, None, None] * bell
    return averaged(torch.from_numpy(feature.astype(np.float32))[None])


def patterns():
    """A target, and something much like it."""
    random = np.random.default_rng(5)
    target = random.random(CHANNELS)
    return target, 0.6 * target + 0.4 * random.random(CHANNELS)


def cell_at(row, column):
    """Cell of the 25x25 grid that looks at this cell of the feature, centred in the search crop at 15.875."""
    return round(row - 15.875 + 12), round(column - 15.875 + 12)


def test_the_filter_is_a_correlation_with_its_transpose():
    random = np.random.default_rng(0)
    samples = random.standard_normal((3, CHANNELS, 20, 20)).astype(np.float32)
    w = random.standard_normal((25, CHANNELS)).astype(np.float32)
    response = correlate(w, samples)
    kernel = torch.from_numpy(w.T.reshape(1, CHANNELS, 5, 5).copy())
    assert np.allclose(response, F.conv2d(torch.from_numpy(samples), kernel)[:, 0], atol=1e-4)
    values = random.standard_normal(response.shape).astype(np.float32)
    assert np.isclose((response * values).sum(), (w * correlate_transposed(values, samples)).sum(), rtol=1e-4)


def test_the_target_scores_one_wherever_it_is_and_the_ground_nothing():
    target, _ = patterns()
    classifier = OnlineClassifier([scene((target, 16, 16))], SIDE)
    scores = classifier.scores(scene((target, 20, 11)))
    assert np.abs(np.array(np.unravel_index(scores.argmax(), scores.shape)) - cell_at(20, 11)).max() <= 1
    assert 0.7 < scores.max() < 1.3
    assert scores[cell_at(9, 22)] < 0.2


def test_a_distractor_that_stood_beside_the_target_is_known_as_such():
    target, distractor = patterns()
    untrained, trained = (OnlineClassifier([scene((target, 16, 16))], SIDE) for _ in range(2))
    both = scene((target, 16, 16), (distractor, 16, 24))
    for _ in range(30):
        trained.learn(both, trained.scores(both), (12, 12), BOX)
    elsewhere = scene((distractor, 22, 10))
    assert trained.scores(elsewhere).max() < 0.8 * untrained.scores(elsewhere).max()
    assert trained.scores(scene((target, 22, 10))).max() > 0.7


def test_nothing_is_learnt_in_doubt():
    target, distractor = patterns()
    classifier = OnlineClassifier([scene((target, 16, 16))], SIDE)
    before = classifier.scores(scene((target, 16, 16)))
    for _ in range(20):
        classifier.learn(scene((distractor, 16, 16)), np.full((25, 25), 0.1), (12, 12), BOX)
    assert np.array_equal(classifier.scores(scene((target, 16, 16))), before)


def test_the_first_frame_keeps_its_say_however_much_else_is_learnt(monkeypatch):
    target, other = patterns()
    sure = np.zeros((25, 25))
    sure[12, 12] = 1.0  # as if the target were there
    scores = []
    for share in (0.0, online_classifier.FIRST_FRAME_SHARE):
        monkeypatch.setattr(online_classifier, "FIRST_FRAME_SHARE", share)
        classifier = OnlineClassifier([scene((target, 16, 16), (other, 16, 24))], SIDE)
        for _ in range(1000):
            classifier.learn(scene((other, 16, 16), (target, 16, 24)), sure, (12, 12), BOX)
        scores.append(classifier.scores(scene((target, 16, 16)))[12, 12])
    assert scores[0] < 0.8 * scores[1]
