"""The published SiamMask against its golden values, the checkpoint's layout, and the lite network's geometry.

The golden values were computed with the published code on weights that are a function of each entry's name
(`filled_state`), so that no weights need storing.
"""

import json

import numpy as np
import pytest
import torch
from golden_inputs import GOLDEN, filled, waves

from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.network import GRID, REFINED_SIZE, correlate
from langtrack_core.siammask.paper import PaperNetwork, published_name
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import Checkpoint, fill
from langtrack_lab.training.tracker_crops import coarse_mask


def filled_state():
    shapes = json.loads((GOLDEN / "siammask_sharp_keys.json").read_text())
    return {name: filled(name, shape) for name, shape in shapes.items()}


def golden_crop(side):
    return np.round(waves(side, side)).astype(np.uint8)


@pytest.fixture(scope="module")
def paper():
    network = PaperNetwork().eval()
    fill(network, filled_state(), published_name)
    return network


def test_published_network_gives_the_golden_values(paper):
    golden = np.load(GOLDEN / "siammask_sharp_network.npz")
    cell = torch.tensor([[0, 12, 7]])
    with torch.inference_mode():
        # The golden channels are the network's own order, B, G, R: hand preprocess() an RGB picture of them.
        template = paper.template(paper.preprocess(golden_crop(127)[:, :, ::-1]))
        response = paper.search(template, paper.preprocess(golden_crop(255)[:, :, ::-1]))
        values = {
            "zf": template.feature[0, ::16],
            "cls": response.cls[0],
            "loc": response.loc[0],
            "mask_12_7": coarse_mask(paper, response, cell).flatten(),
            "refine_12_7": paper.refine(response, cell)[0, ::3, ::3],
        }
    assert set(values) == set(golden.files)
    for name, value in values.items():
        assert np.abs(value.numpy() - golden[name]).max() < 1e-3 * np.abs(golden[name]).max(), name


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 20}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_load_wrapped_or_not(wrap, prefix, tmp_path):
    state = filled_state()
    torch.save(wrap({prefix + key: value for key, value in state.items()}), tmp_path / "siammask.pth")
    checkpoint, network = Checkpoint.read(tmp_path / "siammask.pth"), PaperNetwork()
    assert checkpoint.network == "siammask"
    checkpoint.fill(network, published_name)
    assert torch.equal(network.state_dict()["mask.head.3.bias"], state["mask_model.mask.head.3.bias"])


def test_a_wrong_checkpoint_is_told_key_by_key(paper):
    state = filled_state()
    del state["refine_model.post2.bias"]
    state["features.fc.weight"] = torch.zeros(2)
    state["rpn_model.loc.head.3.bias"] = torch.zeros(8)
    with pytest.raises(LangTrackError) as caught:
        fill(paper, state, published_name)
    message = str(caught.value)
    assert "1 missing: refine_model.post2.bias" in message
    assert "1 unexpected: features.fc.weight" in message
    assert "1 of the wrong shape: rpn_model.loc.head.3.bias ((8,), expected (20,))" in message


@pytest.mark.parametrize(
    ("state", "unexpected"), [({"epoch": 3}, "epoch"), ({7: None}, "7"), ({"state_dict": None}, "state_dict")]
)
def test_a_checkpoint_of_something_else_is_one_short_sentence(paper, state, unexpected):
    with pytest.raises(LangTrackError, match=rf"missing: .*, …; 1 unexpected: {unexpected}") as caught:
        fill(paper, state, published_name)
    assert len(str(caught.value)) < 300


def test_correlation_keeps_samples_and_channels_apart():
    generator = torch.Generator().manual_seed(0)
    search = torch.randn(2, 3, 7, 7, generator=generator)
    kernel = torch.randn(2, 3, 4, 4, generator=generator)
    result = correlate(search, kernel)
    assert result.shape == (2, 3, 4, 4)
    for b, c, i, j in [(0, 0, 0, 0), (1, 2, 3, 1), (0, 1, 2, 2)]:
        expected = (search[b, c, i : i + 4, j : j + 4] * kernel[b, c]).sum()
        assert result[b, c, i, j] == pytest.approx(float(expected), abs=1e-5)


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return LiteNetwork().eval()


def test_lite_has_the_published_grid(lite):
    with torch.inference_mode():
        template = lite.template(torch.randn(2, 3, 127, 127))
        response = lite.search(template, torch.randn(2, 3, 255, 255))
        cells = torch.tensor([[0, 0, 0], [1, 24, 24], [1, 12, 7]])
        assert response.cls.shape == (2, 10, GRID, GRID) and response.loc.shape == (2, 20, GRID, GRID)
        assert coarse_mask(lite, response, cells).shape == (3, 63, 63)
        assert lite.refine(response, cells).shape == (3, REFINED_SIZE, REFINED_SIZE)


def test_lite_is_small_enough_to_ship(lite):
    assert sum(v.numel() for v in lite.state_dict().values()) * 2 < 10e6  # bytes in float16


def test_lite_batched_equals_single(lite):
    generator = torch.Generator().manual_seed(1)
    templates = torch.randn(2, 3, 127, 127, generator=generator)
    searches = torch.randn(2, 3, 255, 255, generator=generator)
    with torch.inference_mode():
        both = lite.search(lite.template(templates), searches)
        second = lite.search(lite.template(templates[1:]), searches[1:])
        refined = lite.refine(both, torch.tensor([[0, 3, 4], [1, 20, 9]]))[1:]
        alone = lite.refine(second, torch.tensor([[0, 20, 9]]))
    assert torch.allclose(both.cls[1:], second.cls, atol=1e-5)
    assert torch.allclose(refined, alone, atol=1e-5)


def test_a_lite_cell_sees_its_own_window(lite):
    """A change in the search picture outside a cell's window leaves the refinement's windows as they were."""
    picture = torch.zeros(1, 3, 255, 255)
    changed = picture.clone()
    changed[:, :, :8, 200:] = 3.0  # the top right corner
    with torch.inference_mode():
        pyramids = [lite.embed(p)[0] for p in (picture, changed)]
        near, far = torch.tensor([[0, 0, 24]]), torch.tensor([[0, 24, 0]])
        views = lite.refinement.views
        assert torch.equal(views(pyramids[0], far)[0], views(pyramids[1], far)[0])
        assert not torch.equal(views(pyramids[0], near)[0], views(pyramids[1], near)[0])
