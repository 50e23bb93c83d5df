"""`weights add|list|verify|seal`: a checkpoint is there whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import pickle
import shutil
import signal
import urllib.request
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_weights import (
    WORDS,
    Evil,
    all_files,
    as_stored,
    save_pth,
)

from langtrack_core.cli import main
from langtrack_core.pipeline import LangTracker
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.tracker import CONFIGS
from langtrack_core.types import LangTrackError
from langtrack_core.weights import load as weights
from langtrack_lab.weights.add import add
from langtrack_lab.weights.command import table, verify

GOLDEN = Path(__file__).parents[2] / "golden"


def test_a_malicious_pickle_is_never_run(shipped: Path, tmp_path: Path):
    trap = tmp_path / "trap"
    path = save_pth({"features.features.x": torch.zeros(1), "z": Evil(trap)}, tmp_path / "evil.pth")
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Evil(trap)))
    for source in (path, plain):
        with pytest.raises(LangTrackError, match=r"nothing.*run"):
            add(str(source))
    assert not trap.exists() and not (tmp_path / "home").exists()


def test_add_then_use_by_name(shipped: Path, published_siammask, tmp_path: Path, capsys):
    source = save_pth(published_siammask, tmp_path / "SiamMask_VOT.pth")
    assert main(["weights", "add", str(source)]) == 0
    assert "--weights paper" in capsys.readouterr().out
    source.unlink()
    branches = LangTracker.from_pretrained("paper")
    assert [info["name"] for info in branches.info["weights"]] == [
        "lite",
        "paper",
    ]  # the other branch stays lite
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
    assert LangTracker.from_pretrained("mine").new_tracker().network.state_dict()["neck.weight"].shape == (
        24,
    )
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
    branches = LangTracker.from_pretrained("paper")
    assert branches.segmenter.vocabulary.words[:2] == ("word0", "word1")
    assert branches.fusion.look_ahead == 1  # it has no score by which one frame is surer than another
    config = branches.segmenter.network.config
    assert config.align_corners and config.batch_statistics
    words.write_text("too\nfew\n")
    with pytest.raises(LangTrackError, match=r"4 words.*16"):
        add(str(source), vocabulary=words)


def test_a_failed_add_keeps_the_earlier_one(shipped: Path, tmp_path: Path):
    path = tmp_path / "mine.safetensors"
    save_file(as_stored(LiteNetwork().state_dict()), path)
    before = add(str(path), name="mine")
    save_file(as_stored(LiteNetwork().state_dict()) | {"extra": torch.zeros(1)}, path)
    with pytest.raises(LangTrackError, match="extra"):
        add(str(path), name="mine")
    assert weights.choose("mine")["tracker"] == before and weights.check(before)
    assert {p.name for p in all_files(tmp_path / "home")} == {"mine.safetensors", "entry.json"}


def test_add_a_language_file_copies_what_belongs_to_it(shipped: Path, tmp_path: Path):
    path = tmp_path / "new.safetensors"
    shutil.copy(shipped / "dmn-lite.safetensors", path)
    entry = add(str(path), name="mine")
    assert not entry.missing and len(entry.files) == 4
    assert LangTracker.from_pretrained("mine").segmenter.vocabulary.words == WORDS


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
    calls = []

    def fake(url: str, timeout: float) -> io.BytesIO:
        calls.append(url)
        return io.BytesIO(data)

    monkeypatch.setattr(urllib.request, "urlopen", fake)
    digest = hashlib.sha256(data).hexdigest()
    url = "https://example.org/a/tracker.safetensors?x=1"
    for source, sha256 in ((url, None), ("http://example.org/x", digest), ("file:///etc/passwd", digest)):
        with pytest.raises(LangTrackError, match="https://"):
            add(source, name="mine", sha256=sha256)
    assert calls == []
    with pytest.raises(LangTrackError, match="not added"):
        add(url, name="mine", sha256="0" * 64)
    assert all_files(tmp_path / "home") == []
    entry = add(url, name="mine", sha256=digest.upper())
    assert entry.source == url and entry.files == {"tracker.safetensors": digest}
    assert LangTracker.from_pretrained("mine").info["weights"][1]["name"] == "mine"


def test_a_server_that_closes_in_the_middle_is_told_in_one_line(shipped: Path, monkeypatch, capsys):
    def read(*_: object) -> bytes:
        raise http.client.IncompleteRead(b"abc", 4093)

    reply = io.BytesIO()
    reply.read = read  # type: ignore[method-assign]
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: reply)
    assert main(["weights", "add", "https://example.org/x.pth", "--sha256", "0" * 64]) == 1
    errors = capsys.readouterr().err
    assert "https://example.org/x.pth cannot be fetched: IncompleteRead" in errors and errors.count("\n") == 1


# --- list, verify, seal ------------------------------------------------------------------------------------


def test_list_shows_what_is_here_and_what_could_be(shipped: Path, tmp_path: Path):
    add(str(shipped / "siammask-lite.safetensors"), name="mine")
    (shipped / "words-lite.txt").unlink()
    lines = table().splitlines()
    assert lines[0].split()[:5] == ["name", "branch", "network", "size", "sha256"]
    digest = hashlib.sha256((shipped / "siammask-lite.safetensors").read_bytes()).hexdigest()[:12]
    assert "missing: words-lite.txt" in next(line for line in lines if "dmn-lite" in line)
    tracker, mine = (line for line in lines if digest in line)
    assert tracker.split()[0] == "lite" and tracker.endswith("(data: DAVIS CC BY-NC 4.0, COCO, ECSSD)")
    assert mine.split()[0] == "mine" and mine.endswith("not stated; that of the data it was trained on")
    assert lines[1].endswith("ECSSD, RefCOCO, Flickr8k, Flickr30k Entities)")
    assert sum("bring your own" in line for line in lines) == 2


def test_verify_hashes_again(shipped: Path, tmp_path: Path, capsys):
    copied = add(str(shipped / "siammask-lite.safetensors"), name="mine").path
    assert verify() == 0
    capsys.readouterr()
    copied.write_bytes(copied.read_bytes() + b"x")
    assert main(["weights", "verify"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [line.endswith(": ok") for line in out] == [True, True, False] and "not what it was" in out[2]
    assert verify("lite") == 0
    assert main(["weights", "verify", "nothing"]) == 1
    assert "no weights 'nothing'" in capsys.readouterr().err


def test_a_damaged_entry_is_listed_as_such(shipped: Path, tmp_path: Path, capsys):
    folder = tmp_path / "home" / "weights" / "mine" / "tracker"
    folder.mkdir(parents=True)
    (folder / "entry.json").write_text("[]")
    assert any(line.split()[:3] == ["mine", "tracker", "damaged:"] for line in table().splitlines())
    assert (verify("lite"), verify("mine"), verify()) == (0, 1, 1)
    assert "mine tracker: " in capsys.readouterr().out


def test_seal_after_a_training(shipped: Path, capsys):
    (shipped / "words-lite.txt").write_text("\n".join(["a", *WORDS[1:]]) + "\n")
    assert verify("lite") == 1
    assert main(["weights", "seal"]) == 0
    assert verify("lite") == 0
    assert sorted(path.name for path in shipped.glob("*index*")) == ["index.json"]
