"""The lite language network: what must hold whatever its weights are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from langtrack_core.dmn.blocks import UpStep, seen_in, spatial_channels
from langtrack_core.dmn.lite import (
    MAX_RAISE,
    PEAK_LOGIT,
    LiteConfig,
    LiteDMN,
    raise_peak_logits,
)
from langtrack_core.dmn.sru import SRU

SMALL = LiteConfig(channels=16, hidden=16, filters=3, skip8=8, skip4=8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    words = torch.nn.functional.normalize(torch.randn(20, 12), dim=1)
    classes = torch.nn.functional.normalize(torch.randn(1000, 12), dim=1)
    return LiteDMN(words, classes, SMALL).eval()


@pytest.fixture(scope="module")
def image():
    return torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))


def test_spatial_channels_are_the_eight_of_dmn():
    channels = spatial_channels(2, 4, like=torch.zeros(1))[0]
    assert channels.shape == (8, 2, 4)
    first, last = channels[:, 0, 0], channels[:, 1, 3]
    assert first.tolist() == pytest.approx([-1, -1, -0.5, 0, -0.75, -0.5, 1 / 4, 1 / 2])
    assert last.tolist() == pytest.approx([0.5, 0, 1, 1, 0.75, 0.5, 1 / 4, 1 / 2])


def test_a_part_of_a_picture_keeps_the_places_of_the_whole():
    whole, part = spatial_channels(4, 8, like=torch.zeros(1)), spatial_channels(2, 4, like=torch.zeros(1))
    views = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.5, 0.0, 1.0, 0.5], [0.25, 0.5, 0.75, 1.0]])
    seen = seen_in(part, views)
    torch.testing.assert_close(seen[:1], part)
    torch.testing.assert_close(seen[1], whole[0, :, :2, 4:])
    torch.testing.assert_close(seen[2], whole[0, :, 2:, 2:6])


@torch.inference_mode()
def test_a_view_moves_the_places_and_each_picture_has_its_own(network, image):
    ids, lengths, pictures = (
        torch.tensor([[1, 2], [3, 4], [3, 4]]),
        torch.tensor([2, 2, 2]),
        torch.tensor([0, 0, 1]),
    )
    features, text = network.encode_image(image), network.encode_text(ids, lengths)
    views = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5]])
    plain, seen = (
        network.segment_batch(features, text, pictures),
        network.segment_batch(features, text, pictures, views),
    )
    torch.testing.assert_close(seen.mask_logits[:2], plain.mask_logits[:2], atol=1e-4, rtol=1e-4)
    assert (seen.mask_logits[2] - plain.mask_logits[2]).abs().max() > 1e-4


def segmented(network, image, ids, lengths, pictures):
    return network.segment_batch(network.encode_image(image), network.encode_text(ids, lengths), pictures)


@torch.inference_mode()
def test_masks_come_at_strides_4_and_16_of_the_input(network, image):
    ids, lengths = torch.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]]), torch.tensor([3, 2, 1])
    out = segmented(network, image, ids, lengths, torch.tensor([0, 1, 1]))
    assert out.mask_logits.shape == (3, 1, 24, 32)
    assert out.low_logits.shape == (3, 1, 6, 8)
    assert out.score_logit.shape == (3,)


@torch.inference_mode()
def test_a_batch_of_padded_expressions_gives_what_each_gives_alone(network, image):
    expressions = [[1, 2, 3, 4], [5, 6], [7]]
    ids = torch.tensor([row + [9] * (4 - len(row)) for row in expressions])
    pictures = torch.tensor([0, 1, 0])
    together = segmented(network, image, ids, torch.tensor([4, 2, 1]), pictures)
    raised = raise_peak_logits(together.mask_logits)
    for i, row in enumerate(expressions):
        mask_logits, score = network.segment(image[pictures[i]][None], network.encode(torch.tensor(row)))
        torch.testing.assert_close(mask_logits[0], raised[i], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(score[0], together.score_logit[i], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_one_expression_in_several_pictures_gives_what_each_picture_gives_alone(network, image):
    language, views = (
        network.encode(torch.tensor([1, 2, 3])),
        torch.tensor([[0, 0, 1, 1], [0.2, 0, 0.8, 0.6]]),
    )
    masks, scores = network.segment(image[:2], language, views)
    for i in range(2):
        mask_logits, score = network.segment(image[i : i + 1], language, views[i : i + 1])
        torch.testing.assert_close(masks[i : i + 1], mask_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(scores[i : i + 1], score, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_order_of_words_matters(network, image):
    one = network.segment(image[:1], network.encode(torch.tensor([1, 2, 3])))[0]
    other = network.segment(image[:1], network.encode(torch.tensor([3, 2, 1])))[0]
    assert (one - other).abs().max() > 1e-3


@torch.inference_mode()
def test_class_evidence_points_at_the_class_that_the_expression_names(network):
    log_prob = torch.full((1, 1000, 2, 2), -20.0)
    log_prob[0, 7, 0, 1] = 0.0  # class 7, for certain, in the cell at the top right
    weights = torch.zeros(1, 2, 1000)
    weights[0, :, 7] = 1.0
    evidence = network.class_evidence(log_prob, weights, torch.tensor([0]), (2, 2))
    assert evidence.shape == (1, 2, 2, 2)
    for scale in evidence[0]:
        assert np.unravel_index(int(scale.argmax()), (2, 2)) == (0, 1)
    assert torch.isfinite(evidence).all()


def test_every_trained_parameter_gets_a_gradient_and_the_backbone_none(network, image):
    network.backbone.requires_grad_(False)
    ids, lengths = torch.tensor([[1, 2, 3]]), torch.tensor([3])
    out = segmented(network, image, ids, lengths, torch.tensor([1]))
    (out.mask_logits.mean() + out.low_logits.mean() + out.score_logit.mean()).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith("backbone."), name
    network.zero_grad(set_to_none=True)


def test_the_word_table_is_not_part_of_the_weights(network):
    assert not {"words", "classes"} & network.state_dict().keys()


def test_a_hesitant_mask_is_raised_a_sure_one_and_an_empty_one_are_not():
    mask = torch.full((3, 1, 40, 40), -9.0)
    mask[0, 0, :10, :10] = 0.5  # hesitant: the whole map is raised by what its peak lacks
    mask[1, 0, :10, :10] = 6.0  # sure
    raised = raise_peak_logits(mask)
    torch.testing.assert_close(raised[0], mask[0] + (PEAK_LOGIT - 0.5))
    torch.testing.assert_close(raised[1], mask[1])
    torch.testing.assert_close(raised[2], mask[2] + MAX_RAISE)
    assert not (raised[2] > 0).any()


def test_the_decoders_step_is_the_convolution_of_both_features():
    """`UpStep` multiplies two convolutions' weights, and takes its own means: the same, at the border too."""
    torch.manual_seed(0)
    step = UpStep(12, 8, 16).double()
    torch.nn.init.normal_(step.conv[1].weight)
    x, skip = torch.randn(2, 12, 5, 7).double(), torch.randn(2, 8, 10, 14).double()
    larger = F.interpolate(step.reduce(x), scale_factor=2, mode="bilinear", align_corners=False)
    expected = step.conv(torch.cat([larger, step.skip(skip)], dim=1))
    assert torch.allclose(step(x, skip), expected, rtol=0, atol=1e-12)


def test_the_last_states_alone_are_those_of_the_whole_recurrence():
    torch.manual_seed(0)
    rnn, x = SRU(6, 6, 2).double(), torch.randn(5, 3, 6).double()
    rows = torch.tensor([4, 1])
    assert torch.allclose(rnn(x, rows=rows), rnn(x)[rows], rtol=0, atol=1e-12)
