"""Weights: found by name or file, loaded strictly, refused in one sentence when anything is wrong."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_weights import WORDS, Evil, as_stored, save_pth

from langtrack_core.dmn.segmenter import LITE_SHAPES_HW
from langtrack_core.pipeline import LangTracker
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.tracker import CONFIGS
from langtrack_core.types import LangTrackError
from langtrack_core.weights import load as weights

# --- lite --------------------------------------------------------------------------------------------------


def test_lite_builds_both_branches(shipped: Path):
    branches = LangTracker.from_pretrained("lite")
    head = load_file(shipped / "dmn-lite.safetensors")
    own = branches.segmenter.network.state_dict()
    assert torch.equal(own["comb_visual.weight"], head["comb_visual.weight"].float())
    assert branches.segmenter.vocabulary.words == WORDS
    assert branches.segmenter.config.preprocessing.shapes_hw == LITE_SHAPES_HW
    tracker = branches.new_tracker()
    assert not tracker.network.training
    weight = load_file(shipped / "siammask-lite.safetensors")["lateral8.weight"].float()
    assert torch.equal(tracker.network.state_dict()["lateral8.weight"], weight)
    assert tracker.config == CONFIGS["lite"] and tracker.calibration is None


def test_calibration_travels_in_the_checkpoint(shipped: Path):
    calibration = LangTracker.from_pretrained("lite").segmenter.calibration
    assert calibration is not None and (calibration.slope, calibration.intercept) == (2.5, -1.0)


def test_infos_say_which_files_with_which_hash(shipped: Path):
    infos = LangTracker.from_pretrained("lite").info["weights"]
    assert [(info["branch"], info["name"]) for info in infos] == [("language", "lite"), ("tracker", "lite")]
    for info in infos:
        for name, digest in info["files"].items():
            assert digest == hashlib.sha256((shipped / name).read_bytes()).hexdigest()
    assert infos[1]["settings"]["penalty_k"] == CONFIGS["lite"].penalty_k
    json.dumps(infos)


def test_two_loads_share_nothing(shipped: Path):
    first, second = LangTracker.from_pretrained("lite"), LangTracker.from_pretrained("lite")
    with torch.no_grad():
        next(first.new_tracker().network.parameters()).zero_()
    assert next(second.new_tracker().network.parameters()).abs().sum() > 0


def test_an_altered_file_is_refused(shipped: Path):
    path = shipped / "siammask-lite.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LangTrackError, match=r"siammask-lite\.safetensors.*sha256"):
        LangTracker.from_pretrained("lite")


def test_a_missing_file_is_named(shipped: Path):
    (shipped / "dmn-lite-backbone.safetensors").unlink()
    with pytest.raises(LangTrackError, match=r"lack dmn-lite-backbone\.safetensors"):
        LangTracker.from_pretrained("lite")


def test_unknown_names_and_devices(shipped: Path):
    with pytest.raises(LangTrackError, match=r"'huge'.*lite"):
        LangTracker.from_pretrained("huge")
    with pytest.raises(LangTrackError, match="weights add"):
        LangTracker.from_pretrained("paper")
    with pytest.raises(LangTrackError, match="device 'warp'"):
        LangTracker.from_pretrained("lite", "warp")


# --- a file in place of a name -----------------------------------------------------------------------------


def test_a_tracker_file_leaves_the_language_branch_lite(shipped: Path, tmp_path: Path):
    torch.manual_seed(9)
    path = tmp_path / "mine.safetensors"
    save_file(as_stored(LiteNetwork().state_dict()), path)
    branches = LangTracker.from_pretrained(str(path))
    assert [info["name"] for info in branches.info["weights"]] == ["lite", "mine.safetensors"]
    assert branches.info["weights"][1]["files"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_language_file_takes_the_shipped_backbone_and_words(shipped: Path, tmp_path: Path):
    path = tmp_path / "retrained.safetensors"
    shutil.copy(shipped / "dmn-lite.safetensors", path)
    branches = LangTracker.from_pretrained(str(path))
    assert [info["name"] for info in branches.info["weights"]] == ["retrained.safetensors", "lite"]
    assert set(branches.info["weights"][0]["files"]) == {
        "retrained.safetensors",
        "dmn-lite-backbone.safetensors",
        "words-lite.safetensors",
        "words-lite.txt",
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_published_siammask_file(wrapped: bool, shipped: Path, published_siammask, tmp_path: Path):
    state = {f"module.{k}": v for k, v in published_siammask.items()} if wrapped else published_siammask
    path = save_pth({"epoch": 20, "state_dict": state} if wrapped else state, tmp_path / "SiamMask_DAVIS.pth")
    branches = LangTracker.from_pretrained(str(path))
    key = "features.features.layer1.0.conv1.weight"
    loaded = branches.new_tracker().network.state_dict()["backbone.layer1.0.conv1.weight"]
    assert torch.equal(loaded, published_siammask[key])
    assert branches.new_tracker().config == CONFIGS["davis"]


def test_each_published_siammask_has_its_own_settings(shipped: Path, published_siammask, tmp_path: Path):
    path = save_pth(published_siammask, tmp_path / "SiamMask_VOT.pth")
    assert LangTracker.from_pretrained(str(path)).new_tracker().config == CONFIGS["vot2018"]


# --- what is refused ---------------------------------------------------------------------------------------


def test_a_malicious_pickle_is_never_run(shipped: Path, tmp_path: Path):
    trap = tmp_path / "trap"
    path = save_pth({"features.features.x": torch.zeros(1), "z": Evil(trap)}, tmp_path / "evil.pth")
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Evil(trap)))
    for source in (path, plain):
        with pytest.raises(LangTrackError, match=r"refused.*nothing.*run") as caught:
            LangTracker.from_pretrained(str(source))
        assert "\n" not in str(caught.value)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.bin", "x"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"PK\x03\x04 not a zip", b"hello", bytes(range(256)) * 9]
)
def test_bytes_that_are_no_weights(name: str, content: bytes, shipped: Path, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LangTrackError) as caught:
        LangTracker.from_pretrained(str(path))
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"conv1.weight": torch.zeros(1)}, "none of the networks known here"),
        ({"network": {}, "optimiser": {}}, "to go on training from"),
        ({}, "none of the networks"),
        ([1, 2], "holds a list"),
        ({"langvis.emb.weight": torch.zeros(2, 3)}, "needs its vocabulary"),
    ],
)
def test_other_checkpoints_are_refused(state, message: str, shipped: Path, tmp_path: Path):
    with pytest.raises(LangTrackError, match=message):
        LangTracker.from_pretrained(str(save_pth(state, tmp_path / "other.pth")))


def test_loading_is_strict(shipped: Path, published_siammask, tmp_path: Path):
    fewer = dict(published_siammask)
    del fewer["mask_model.mask.head.3.bias"]
    with pytest.raises(
        LangTrackError, match=r"fewer\.pth does not fit .*1 missing: mask_model\.mask\.head\.3\.bias"
    ):
        LangTracker.from_pretrained(str(save_pth(fewer, tmp_path / "fewer.pth")))
    state = as_stored(LiteNetwork().state_dict()) | {"extra.weight": torch.zeros(1)}
    save_file(state, tmp_path / "more.safetensors")
    with pytest.raises(LangTrackError, match=r"does not fit the lite SiamMask.*extra\.weight") as caught:
        LangTracker.from_pretrained(str(tmp_path / "more.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "metadata",
    [
        {"arguments": "[[["},
        {"arguments": '"x"'},
        {"arguments": '{"colour": 1}'},
        {"arguments": '{"channels": -1}'},
        {"calibration": "[1]"},
    ],
)
def test_damaged_metadata_is_refused(metadata, shipped: Path, tmp_path: Path):
    path = tmp_path / "odd.safetensors"
    save_file(as_stored(LiteNetwork().state_dict()), path, metadata)
    with pytest.raises(LangTrackError, match="damaged metadata"):
        LangTracker.from_pretrained(str(path))


# --- what is here ------------------------------------------------------------------------------------------

_OF_NO_NETWORK = '{"name": "m", "network": "x", "files": {"a": ""}, "licence": "", "source": ""}'


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"files": {}, "oops": 1}', _OF_NO_NETWORK])
def test_a_damaged_entry_is_in_the_way_of_its_own_name_alone(text: str, shipped: Path, tmp_path: Path):
    folder = tmp_path / "home" / "weights" / "mine" / "tracker"
    folder.mkdir(parents=True)
    (folder / "entry.json").write_text(text)
    assert {entry.name for entry in weights.choose("lite").values()} == {"lite"}
    with pytest.raises(LangTrackError, match=r"entry\.json"):
        weights.choose("mine")


def test_what_is_shipped_is_sealed():
    """The real files: whoever trains again runs `weights seal`."""
    for entry in weights.shipped():
        if not entry.missing:
            assert weights.check(entry) and all(entry.files.values()), (
                "run: python -m langtrack_core weights seal"
            )
