"""The published DMN against its golden values, its checkpoint layout, and its switches.

The golden values were computed with the published code on weights that are a function of each entry's name
(`filled`), so that no weights need storing.
"""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_inputs import GOLDEN, filled, waves

from langtrack_core.dmn.network import (
    DMN,
    DMNConfig,
    WordFeatures,
    config_of,
    published_name,
    spatial_channels,
)
from langtrack_core.dmn.sru import SRU, SRUCell
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import Checkpoint, fill

WORD_IDS = torch.tensor([3, 11, 7, 11, 5])


def low_state(high):
    """A low resolution checkpoint ends in one convolution instead of the upsampling."""
    state = {name: tensor for name, tensor in high.items() if not name.startswith("upsample.")}
    channels = high["upsample.convs.0.1.weight"].shape[1] - 2688
    for name, shape in (("weight", (1, channels, 1, 1)), ("bias", (1,))):
        state[f"langvis.output_collapse.{name}"] = filled(f"langvis.output_collapse.{name}", shape)
    return state


def golden_picture(height=96, width=160):
    picture = waves(height, width) / 255
    picture = (picture - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]


def built(state, **switches):
    network = DMN(config_of(state, **switches))
    fill(network, state, published_name)
    return network.eval()


def assert_golden(result, name):
    expected = np.load(GOLDEN / "dmn_network.npz")[name]
    result = result.numpy()
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1e-5 * np.abs(expected).max(), name


@pytest.fixture(scope="module")
def small_state():
    """A high resolution checkpoint."""
    keys = json.loads((GOLDEN / "dmn_small_keys.json").read_text())
    return {name: filled(name, shape) for name, shape in keys.items()}


@pytest.fixture(scope="module")
def small(small_state):
    return built(small_state)


@pytest.fixture(scope="module")
def small_low(small_state):
    return built(low_state(small_state))


# --- golden values -----------------------------------------------------------------------------------------


@torch.inference_mode()
def test_small_network_gives_the_golden_values_at_every_depth(small, small_low):
    i5, skips = small.visual(golden_picture())
    assert_golden(skips[0][0, ::8, ::4, ::4], "feat1")
    assert_golden(skips[-1][0, ::64], "feat5")
    assert_golden(small.fuse(i5, small.encode(WORD_IDS))[0], "small_mrnn")
    assert_golden(small(golden_picture(), WORD_IDS)[0][:, ::2, ::2], "small_high")
    assert_golden(small_low(golden_picture(), WORD_IDS)[0], "small_low")


@torch.inference_mode()
def test_full_network_gives_the_golden_values(small_state):
    keys = json.loads((GOLDEN / "dmn_full_keys.json").read_text())
    state = {
        # DPN-92 is the same in both; filling it once saves seconds.
        name: small_state[name] if name.startswith("langvis.base.") else filled(name, shape)
        for name, shape in keys.items()
    }
    assert config_of(state) == DMNConfig(vocabulary_size=16)  # the defaults are the published sizes
    assert_golden(built(state)(golden_picture(), WORD_IDS)[0][:, ::2, ::2], "full_high")
    assert_golden(built(low_state(state))(golden_picture(), WORD_IDS)[0], "full_low")


# --- parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_out", [5, 7])  # equal to n_in: no fourth projection
def test_sru_cell_follows_its_equations(n_out):
    torch.manual_seed(0)
    cell = SRUCell(5, n_out).double()
    torch.nn.init.normal_(cell.bias)
    x = torch.randn(6, 2, 5, dtype=torch.float64)
    u = np.einsum("tni,iok->tnok", x, cell.weight.detach().view(5, n_out, -1))
    bias_f, bias_r = cell.bias.detach().numpy().reshape(2, n_out)
    c = np.zeros((2, n_out))
    for t in range(6):
        f = 1 / (1 + np.exp(-(u[t, :, :, 1] + bias_f)))
        r = 1 / (1 + np.exp(-(u[t, :, :, 2] + bias_r)))
        c = f * c + (1 - f) * u[t, :, :, 0]
        highway = x[t].numpy() if n_out == 5 else u[t, :, :, 3]
        np.testing.assert_allclose(cell(x)[t].detach(), r * np.tanh(c) + (1 - r) * highway, rtol=1e-12)


def test_sru_parameters_have_the_published_names_and_shapes():
    shapes = {name: tuple(p.shape) for name, p in SRU(4, 6, 2).named_parameters()}
    assert shapes == {
        "rnn_lst.0.weight": (4, 24),
        "rnn_lst.0.bias": (12,),
        "rnn_lst.1.weight": (6, 18),
        "rnn_lst.1.bias": (12,),
    }


def test_spatial_channels_are_the_cells_edges_and_centres():
    channels = spatial_channels(2, 4, like=torch.zeros(1))[0]
    expected = [0.0, 0.0, 0.5, 1.0, 0.25, 0.5, 1 / 4, 1 / 2]  # lower row, third column
    torch.testing.assert_close(channels[:, 1, 2], torch.tensor(expected))


@torch.inference_mode()
@pytest.mark.parametrize(("layers", "hidden"), [(3, 21), (2, 28), (1, 21), (1, 28)])
def test_fusing_is_one_pixel_major_sequence_of_convolved_concatenations(layers, hidden):
    torch.manual_seed(0)
    sizes = {"embedding": 24, "hidden": 20, "filters": 3, "mixed": 28}
    network = DMN(DMNConfig(20, **sizes, mixed_hidden=hidden, mixed_layers=layers)).eval()
    H, W = 2, 3
    i5 = torch.randn(1, 2688, H, W)
    language = network.encode(WORD_IDS)
    place = torch.cat([i5, spatial_channels(H, W, like=i5)], dim=1)
    mixed = []
    for embedded, state, filters in zip(*language, strict=True):
        word = torch.cat([embedded, state]).view(1, -1, 1, 1).expand(-1, -1, H, W)
        response = F.conv2d(place, filters[:, :, None, None])
        mixed.append(network.mixing(torch.cat([place, word, response], dim=1))[0])
    steps = [picture[:, i, j] for i in range(H) for j in range(W) for picture in mixed]
    states = network.multimodal(torch.stack(steps)[:, None])[:, 0]
    last_states = states[-H * W :].T.view(1, -1, H, W)
    torch.testing.assert_close(network.fuse(i5, language), last_states, rtol=1e-4, atol=1e-5)


# --- switches ----------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_align_corners_changes_the_upsampling_alone(small, small_state):
    aligned = built(small_state, align_corners=True)
    x, skips = torch.randn(1, 21, 3, 5), small.visual(golden_picture())[1]
    y = x
    for step, skip in zip(aligned.upsampling.steps, reversed(skips), strict=True):
        y = F.interpolate(torch.cat([y, skip], 1), scale_factor=2, mode="bilinear", align_corners=True)
        y = step(y)
    torch.testing.assert_close(aligned.upsampling(x, skips), aligned.upsampling.out(y))
    assert not torch.allclose(aligned.upsampling(x, skips), small.upsampling(x, skips), atol=1e-2)


@torch.inference_mode()
@pytest.mark.parametrize("size_hw", [(50, 70), (33, 64), (1, 96)])
def test_sides_that_32_does_not_divide(small, size_hw):
    logits = small(golden_picture(*size_hw), WORD_IDS[:1])
    assert logits.shape == (1, 1, *(side + side % 2 for side in size_hw))
    assert torch.isfinite(logits).all()


@torch.inference_mode()
def test_batch_statistics_equal_training_mode_and_leave_no_trace(small_state):
    image = golden_picture(64, 96)
    expected = built(small_state).train()(image, WORD_IDS)
    network = built(small_state, batch_statistics=True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for _ in range(2):
        torch.testing.assert_close(network(image, WORD_IDS), expected)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not torch.allclose(built(small_state)(image, WORD_IDS), expected, atol=1e-2)


@torch.inference_mode()
def test_batch_statistics_network_still_learns_its_statistics_in_training(small_state):
    network = built(small_state, batch_statistics=True).train()
    before = network.visual.backbone.features.conv2_1.c1x1_a.bn.running_mean.clone()
    network(golden_picture(64, 96), WORD_IDS)
    after = network.visual.backbone.features.conv2_1.c1x1_a.bn.running_mean
    assert not torch.equal(before, after)


def test_every_part_receives_a_gradient():
    torch.manual_seed(0)
    network = DMN(DMNConfig(8, embedding=6, hidden=6, filters=2, mixed=8, mixed_hidden=8))
    network(golden_picture(64, 64), torch.tensor([1, 2, 3])).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_wrong_shapes_are_named(small):
    with pytest.raises(ValueError, match=r"\(1, 3, h, w\), got \(2, 3, 8, 8\)"):
        small.segment(torch.zeros(2, 3, 8, 8), WordFeatures(*torch.zeros(3, 1)))
    with pytest.raises(ValueError, match="T >= 1"):
        small.encode(torch.zeros(0, dtype=torch.int64))


# --- published checkpoints ---------------------------------------------------------------------------------


def with_prefix(state):
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        with_prefix,
        lambda state: {"state_dict": state, "epoch": 5},
        lambda state: {"state_dict": {"state_dict": with_prefix(with_prefix(state))}},
        lambda state: {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")},
    ],
    ids=["module.", "state_dict", "both", "before PyTorch 0.4.1"],
)
def test_wrapped_and_old_files_load(small_state, small, wrap, tmp_path):
    torch.save(wrap(small_state), tmp_path / "dmn.pth")
    network = built(Checkpoint.read(tmp_path / "dmn.pth").tensors)
    for (name, loaded), expected in zip(
        network.state_dict().items(), small.state_dict().values(), strict=True
    ):
        assert torch.equal(loaded, expected), name


def test_own_keys_are_exactly_the_published_ones(small_state):
    network = built(small_state)
    # Filled weights differ for each name, so equal sums for all of them mean that each went to its own place.
    expected = sorted(float(t.double().sum()) for t in small_state.values())
    assert sorted(float(t.double().sum()) for t in network.state_dict().values()) == expected


def test_error_lists_missing_unexpected_and_wrong_shapes(small_state, small):
    state = dict(small_state)
    del state["langvis.emb.weight"]
    state["langvis.embedding.weight"] = torch.zeros(3)
    state["langvis.comb_conv.bias"] = torch.zeros(4)
    before = small.mixing.weight.clone()
    with pytest.raises(LangTrackError) as caught:
        fill(small, state, published_name)
    message = str(caught.value)
    assert "1 missing: langvis.emb.weight" in message
    assert "1 unexpected: langvis.embedding.weight" in message
    assert "1 of the wrong shape: langvis.comb_conv.bias ((4,), expected (28,))" in message
    assert "\n" not in message
    assert torch.equal(small.mixing.weight, before)


def test_many_wrong_keys_make_a_short_message(small, small_state):
    counted = sum(not name.endswith("num_batches_tracked") for name in small_state) - 1
    with pytest.raises(LangTrackError, match=f"{counted} missing") as caught:
        fill(small, {"langvis.emb.weight": small_state["langvis.emb.weight"]}, published_name)
    assert len(str(caught.value)) < 300


def test_a_low_resolution_file_needs_a_low_resolution_network(small, small_low, small_state):
    assert config_of(small_state).resolution == "high"
    assert config_of(low_state(small_state)).resolution == "low"
    with pytest.raises(LangTrackError, match="12 missing: upsample"):
        fill(small, low_state(small_state), published_name)
    with pytest.raises(LangTrackError, match=r"2 missing: langvis\.output_collapse"):
        fill(small_low, small_state, published_name)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"epoch": 3},
        {3: torch.zeros(1)},
        {"langvis.emb.weight": None},
        {"backbone.conv1.weight": torch.zeros(3)},
        {"langvis.emb.weight": torch.zeros(3)},
        {"langvis.emb.weight": torch.zeros(3, 4), "langvis.comb_conv.bias": torch.zeros(())},
        {
            "langvis.emb.weight": torch.zeros(3, 4),
            "langvis.comb_conv.bias": torch.zeros(5),
            "langvis.lang_model.rnn_lst.0.bias": torch.zeros(()),
        },
    ],
)
def test_another_network_is_refused(state):
    with pytest.raises(LangTrackError, match="not a weights file"):
        config_of(state)
