"""Weights: found by name or file, loaded strictly, refused in one sentence when anything is wrong."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_weights import WORDS, as_stored, write_lite

from langtrack_core.cli import main
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.paper import PaperNetwork, published_name
from langtrack_core.siammask.tracker import CONFIGS, uncalibrated
from langtrack_core.types import LangTrackError
from langtrack_core.weights import load as loading
from langtrack_core.weights import registry as weights
from langtrack_core.weights.command import add, seal, table, verify

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="session")
def lite_files(tmp_path_factory) -> Path:
    return write_lite(tmp_path_factory.mktemp("shipped"))


@pytest.fixture
def shipped(lite_files: Path, tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "shipped"
    shutil.copytree(lite_files, folder)
    monkeypatch.setattr(weights, "SHIPPED", folder)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed: nothing is converted
    assert seal() == 0
    return folder


@pytest.fixture(scope="session")
def published_siammask() -> dict[str, torch.Tensor]:
    """A state dict with the published names."""
    torch.manual_seed(1)
    return {published_name(key): value for key, value in PaperNetwork().state_dict().items()}


def save_pth(state: dict, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# --- lite --------------------------------------------------------------------------------------------------


def test_lite_builds_both_branches(shipped: Path):
    branches = loading.load_branches("lite")
    head = load_file(shipped / "dmn-lite.safetensors")
    own = branches.segmenter.network.state_dict()
    assert torch.equal(own["comb_visual.weight"], head["comb_visual.weight"].float())
    assert branches.segmenter.vocabulary.words == WORDS
    assert branches.segmenter.config.preprocessing.mode == "nearest_shape"
    tracker = branches.new_tracker()
    assert not tracker.network.training
    weight = load_file(shipped / "siammask-lite.safetensors")["lateral8.weight"].float()
    assert torch.equal(tracker.network.state_dict()["lateral8.weight"], weight)
    assert tracker.config == CONFIGS["lite"] and tracker.calibration is uncalibrated


def test_calibration_travels_in_the_checkpoint(shipped: Path):
    calibration = loading.load_branches("lite").segmenter.calibration
    assert calibration is not None and (calibration.slope, calibration.intercept) == (2.5, -1.0)


def test_infos_say_which_files_with_which_hash(shipped: Path):
    infos = loading.load_branches("lite").infos
    assert [(info["branch"], info["name"]) for info in infos] == [("language", "lite"), ("tracker", "lite")]
    for info in infos:
        for name, digest in info["files"].items():
            assert digest == hashlib.sha256((shipped / name).read_bytes()).hexdigest()
    assert infos[1]["settings"]["penalty_k"] == CONFIGS["lite"].penalty_k
    json.dumps(infos)


def test_two_loads_share_nothing(shipped: Path):
    first, second = loading.load_branches("lite"), loading.load_branches("lite")
    with torch.no_grad():
        next(first.new_tracker().network.parameters()).zero_()
    assert next(second.new_tracker().network.parameters()).abs().sum() > 0


def test_an_altered_file_is_refused(shipped: Path):
    path = shipped / "siammask-lite.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LangTrackError, match=r"siammask-lite\.safetensors is not what it was: its sha256"):
        loading.load_branches("lite")


def test_a_missing_file_is_named(shipped: Path):
    (shipped / "dmn-lite-backbone.safetensors").unlink()
    with pytest.raises(LangTrackError, match=r"lack dmn-lite-backbone\.safetensors"):
        loading.load_branches("lite")


def test_unknown_names_and_devices(shipped: Path):
    with pytest.raises(LangTrackError, match="no weights 'huge'; give one of lite"):
        loading.load_branches("huge")
    with pytest.raises(LangTrackError, match="weights add"):
        loading.load_branches("paper")
    with pytest.raises(LangTrackError, match="device 'warp'"):
        loading.load_branches("lite", "warp")


# --- a file in place of a name -----------------------------------------------------------------------------


def test_a_tracker_file_leaves_the_language_branch_lite(shipped: Path, tmp_path: Path):
    torch.manual_seed(9)
    path = tmp_path / "mine.safetensors"
    save_file(as_stored(LiteNetwork().state_dict()), path)
    branches = loading.load_branches(str(path))
    assert [info["name"] for info in branches.infos] == ["lite", "mine.safetensors"]
    assert branches.infos[1]["files"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_language_file_takes_the_shipped_backbone_and_words(shipped: Path, tmp_path: Path):
    path = tmp_path / "retrained.safetensors"
    shutil.copy(shipped / "dmn-lite.safetensors", path)
    branches = loading.load_branches(str(path))
    assert [info["name"] for info in branches.infos] == ["retrained.safetensors", "lite"]
    assert set(branches.infos[0]["files"]) == {
        "retrained.safetensors",
        "dmn-lite-backbone.safetensors",
        "words-lite.safetensors",
        "words-lite.txt",
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_published_siammask_file(wrapped: bool, shipped: Path, published_siammask, tmp_path: Path):
    state = {f"module.{k}": v for k, v in published_siammask.items()} if wrapped else published_siammask
    path = save_pth({"epoch": 20, "state_dict": state} if wrapped else state, tmp_path / "SiamMask_DAVIS.pth")
    branches = loading.load_branches(str(path))
    key = "features.features.layer1.0.conv1.weight"
    loaded = branches.new_tracker().network.state_dict()["backbone.layer1.0.conv1.weight"]
    assert torch.equal(loaded, published_siammask[key])
    assert branches.new_tracker().config == CONFIGS["davis"]


def test_each_published_siammask_has_its_own_settings(shipped: Path, published_siammask, tmp_path: Path):
    path = save_pth(published_siammask, tmp_path / "SiamMask_VOT.pth")
    assert loading.load_branches(str(path)).new_tracker().config == CONFIGS["vot2018"]


# --- what is refused ---------------------------------------------------------------------------------------


def test_a_malicious_pickle_is_never_run(shipped: Path, tmp_path: Path):
    trap = tmp_path / "trap"
    path = save_pth({"features.features.x": torch.zeros(1), "z": Evil(trap)}, tmp_path / "evil.pth")
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Evil(trap)))
    for source in (path, plain):
        with pytest.raises(LangTrackError, match="nothing in it was run") as caught:
            loading.load_branches(str(source))
        assert "\n" not in str(caught.value)
        with pytest.raises(LangTrackError, match="nothing in it was run"):
            add(str(source))
    assert not trap.exists() and not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.bin", "x"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"PK\x03\x04 not a zip", b"hello", bytes(range(256)) * 9]
)
def test_bytes_that_are_no_weights(name: str, content: bytes, shipped: Path, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LangTrackError) as caught:
        loading.load_branches(str(path))
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
        loading.load_branches(str(save_pth(state, tmp_path / "other.pth")))


def test_loading_is_strict(shipped: Path, published_siammask, tmp_path: Path):
    fewer = dict(published_siammask)
    del fewer["mask_model.mask.head.3.bias"]
    with pytest.raises(
        LangTrackError, match=r"fewer\.pth does not fit .*1 missing: mask_model\.mask\.head\.3\.bias"
    ):
        loading.load_branches(str(save_pth(fewer, tmp_path / "fewer.pth")))
    state = as_stored(LiteNetwork().state_dict()) | {"extra.weight": torch.zeros(1)}
    save_file(state, tmp_path / "more.safetensors")
    with pytest.raises(LangTrackError, match=r"does not fit the lite SiamMask.*extra\.weight") as caught:
        loading.load_branches(str(tmp_path / "more.safetensors"))
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
        loading.load_branches(str(path))


# --- weights add -------------------------------------------------------------------------------------------


def test_add_then_use_by_name(shipped: Path, published_siammask, tmp_path: Path, capsys):
    source = save_pth(published_siammask, tmp_path / "SiamMask_VOT.pth")
    assert main(["weights", "add", str(source)]) == 0
    assert "--weights paper" in capsys.readouterr().out
    source.unlink()
    branches = loading.load_branches("paper")
    assert [info["name"] for info in branches.infos] == ["lite", "paper"]  # the other branch stays lite
    assert branches.new_tracker().config == CONFIGS["vot2018"]
    stored = tmp_path / "home" / "weights" / "paper" / "tracker"
    assert {p.name for p in all_files(tmp_path / "home")} == {"SiamMask_VOT.pth", "entry.json"}
    assert str(tmp_path) not in (stored / "entry.json").read_text()


def test_add_replaces_the_earlier_one(shipped: Path, lite_files: Path, tmp_path: Path):
    for channels in (16, 24):
        path = tmp_path / f"{channels}.safetensors"
        metadata = {"arguments": json.dumps({"channels": channels})}
        save_file(as_stored(LiteNetwork(channels).state_dict()), path, metadata)
        add(str(path), name="mine")
    assert loading.load_branches("mine").new_tracker().network.state_dict()["neck.weight"].shape == (24,)
    assert {p.name for p in all_files(tmp_path / "home")} == {"24.safetensors", "entry.json"}


def test_add_published_dmn_with_its_vocabulary(shipped: Path, tmp_path: Path):
    shapes = json.loads((GOLDEN / "dmn_small_keys.json").read_text())
    state = {
        name: torch.zeros(shape, dtype=torch.int64 if name.endswith("num_batches_tracked") else torch.float32)
        for name, shape in shapes.items()
    }
    source = save_pth(state, tmp_path / "dmn.pth")
    words = tmp_path / "words.txt"
    words.write_text("\n".join(f"word{i}" for i in range(14)) + "\n")  # <unk> and <pad> make it 16
    entry = add(str(source), vocabulary=words)
    assert (entry.name, entry.branch, set(entry.files)) == ("paper", "language", {"dmn.pth", "words.txt"})
    branches = loading.load_branches("paper")
    assert branches.segmenter.vocabulary.words[:2] == ("word0", "word1")
    config = branches.segmenter.network.config
    assert config.align_corners and config.batch_statistics and config.recurrence == "published"
    words.write_text("too\nfew\n")
    with pytest.raises(LangTrackError, match=r"has 4 words, but the network was trained with 16"):
        add(str(source), vocabulary=words)


def test_a_failed_add_keeps_the_earlier_one(shipped: Path, tmp_path: Path):
    path = tmp_path / "mine.safetensors"
    save_file(as_stored(LiteNetwork().state_dict()), path)
    before = add(str(path), name="mine")
    save_file(as_stored(LiteNetwork().state_dict()) | {"extra": torch.zeros(1)}, path)
    with pytest.raises(LangTrackError, match="extra"):
        add(str(path), name="mine")
    assert loading.choose("mine")["tracker"].entry == before and weights.check(before)
    assert {p.name for p in all_files(tmp_path / "home")} == {"mine.safetensors", "entry.json"}


def test_add_a_language_file_copies_what_belongs_to_it(shipped: Path, tmp_path: Path):
    path = tmp_path / "new.safetensors"
    shutil.copy(shipped / "dmn-lite.safetensors", path)
    entry = add(str(path), name="mine")
    assert not entry.missing and len(entry.files) == 4
    assert loading.load_branches("mine").segmenter.vocabulary.words == WORDS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "lite"}, "belongs to the shipped"),
        ({"name": "../x"}, "A name has letters"),
        ({"name": ".x"}, "A name has letters"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"sha256": "0" * 64}, "expected 0000"),
        ({}, "give it a --name"),
    ],
)
def test_add_refuses(options, message: str, shipped: Path, tmp_path: Path):
    with pytest.raises(LangTrackError, match=message):
        add(str(shipped / "siammask-lite.safetensors"), **options)
    assert not (tmp_path / "home").exists()


def test_sigterm_while_adding_leaves_nothing(shipped: Path, tmp_path: Path, monkeypatch):
    def copyfile(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(SystemExit) as caught:
        main(["weights", "add", str(shipped / "siammask-lite.safetensors"), "--name", "mine"])
    assert caught.value.code == 143
    assert not (tmp_path / "home").exists()


def test_add_names_a_missing_file(shipped: Path, tmp_path: Path):
    with pytest.raises(LangTrackError, match=r"no weights file .*nowhere\.pth"):
        add(str(tmp_path / "nowhere.pth"))


def test_a_url_is_fetched_only_over_https_with_a_hash(shipped: Path, tmp_path: Path, monkeypatch):
    data = (shipped / "siammask-lite.safetensors").read_bytes()
    asked = []

    def fake(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(data)

    monkeypatch.setattr(urllib.request, "urlopen", fake)
    digest = hashlib.sha256(data).hexdigest()
    url = "https://example.org/a/tracker.safetensors?x=1"
    for source, sha256 in ((url, None), ("http://example.org/x", digest), ("file:///etc/passwd", digest)):
        with pytest.raises(LangTrackError, match="https://"):
            add(source, name="mine", sha256=sha256)
    assert asked == []
    with pytest.raises(LangTrackError, match="not added"):
        add(url, name="mine", sha256="0" * 64)
    assert all_files(tmp_path / "home") == []
    entry = add(url, name="mine", sha256=digest.upper())
    assert entry.source == url and entry.files == {"tracker.safetensors": digest}
    assert loading.load_branches("mine").infos[1]["name"] == "mine"


# --- list, verify, seal ------------------------------------------------------------------------------------


def test_list_shows_what_is_here_and_what_could_be(shipped: Path, tmp_path: Path):
    add(str(shipped / "siammask-lite.safetensors"), name="mine")
    (shipped / "words-lite.txt").unlink()
    lines = table().splitlines()
    assert lines[0].split()[:5] == ["name", "branch", "network", "size", "sha256"]
    digest = hashlib.sha256((shipped / "siammask-lite.safetensors").read_bytes()).hexdigest()[:12]
    assert "missing: words-lite.txt" in next(line for line in lines if "dmn-lite" in line)
    assert [line.split()[0] for line in lines if digest in line] == ["lite", "mine"]
    assert sum("bring your own" in line for line in lines) == 2


def test_verify_hashes_again(shipped: Path, tmp_path: Path, capsys):
    add(str(shipped / "siammask-lite.safetensors"), name="mine")
    assert verify() == 0
    capsys.readouterr()
    copied = tmp_path / "home" / "weights" / "mine" / "tracker" / "siammask-lite.safetensors"
    copied.write_bytes(copied.read_bytes() + b"x")
    assert main(["weights", "verify"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [line.endswith(": ok") for line in out] == [True, True, False] and "not what it was" in out[2]
    assert verify("lite") == 0
    assert main(["weights", "verify", "nothing"]) == 1
    assert "no weights 'nothing'" in capsys.readouterr().err


def test_seal_after_a_training(shipped: Path, capsys):
    (shipped / "words-lite.txt").write_text("\n".join(["a", *WORDS[1:]]) + "\n")
    assert verify("lite") == 1
    assert main(["weights", "seal"]) == 0
    assert verify("lite") == 0
    assert sorted(path.name for path in shipped.glob("*index*")) == ["index.json"]


_OF_NO_NETWORK = '{"name": "m", "network": "x", "files": {"a": ""}, "licence": "", "source": ""}'


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"files": {}, "oops": 1}', _OF_NO_NETWORK])
def test_a_damaged_entry_is_in_the_way_of_its_own_name_alone(
    text: str, shipped: Path, tmp_path: Path, capsys
):
    folder = tmp_path / "home" / "weights" / "mine" / "tracker"
    folder.mkdir(parents=True)
    (folder / "entry.json").write_text(text)
    assert {chosen.entry.name for chosen in loading.choose("lite").values()} == {"lite"}
    with pytest.raises(LangTrackError, match=r"entry\.json"):
        loading.choose("mine")
    assert any(line.split()[:3] == ["mine", "tracker", "damaged:"] for line in table().splitlines())
    assert (verify("lite"), verify("mine"), verify()) == (0, 1, 1)
    assert "mine tracker: " in capsys.readouterr().out


def test_what_is_shipped_is_sealed():
    """The real files: whoever trains again runs `weights seal`."""
    for entry in weights.entries():
        if entry.folder == weights.SHIPPED and not entry.missing:
            assert weights.check(entry) and all(entry.files.values()), (
                "run: python -m langtrack_core weights seal"
            )
