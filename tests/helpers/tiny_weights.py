"""The shipped weights in small: the same files with random networks, for tests of what loads them."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from langtrack_core.dmn.lite import LiteConfig, LiteDMN
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.paper import PaperNetwork, published_name
from langtrack_core.weights import load

WORDS = ("the", "red", "ellipse", "on", "left")
_SMALL = LiteConfig(channels=16, hidden=16, filters=2, skip8=8, skip4=8)


def write_lite(folder: Path, seed: int = 0) -> Path:
    """All files of ``lite`` but the index; point `langtrack_core.weights.load.SHIPPED` at the folder."""
    torch.manual_seed(seed)
    rows = {"words": len(WORDS), "classes": 1000}
    vectors = {name: torch.randint(-127, 128, (count, 8)).to(torch.int8) for name, count in rows.items()}
    save_file(vectors, folder / "words-lite.safetensors")
    (folder / "words-lite.txt").write_text("\n".join(WORDS) + "\n")
    state = as_stored(LiteDMN(vectors["words"] / 127, vectors["classes"] / 127, _SMALL).state_dict())
    backbone = {k: v for k, v in state.items() if k.startswith("backbone.")}
    head = {k: v for k, v in state.items() if k not in backbone}
    language = {"network": "dmn-lite", "arguments": json.dumps(asdict(_SMALL)), "calibration": "[2.5, -1.0]"}
    save_file(backbone, folder / "dmn-lite-backbone.safetensors")
    save_file(head, folder / "dmn-lite.safetensors", language)
    arguments = {"channels": 32, "mask_rank": 24}
    tracker = {"network": "siammask-lite", "arguments": json.dumps(arguments)}
    save_file(as_stored(LiteNetwork(**arguments).state_dict()), folder / "siammask-lite.safetensors", tracker)
    return folder


def as_stored(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """In float16, and contiguous, which safetensors needs."""
    return {k: v.half().contiguous() if v.is_floating_point() else v for k, v in state.items()}


def ship_lite(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what `write_lite` wrote, with its index, as the shipped weights; nothing else is there."""
    folder = tmp_path / "shipped"
    shutil.copytree(files, folder)
    index = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in all_files(folder)}
    (folder / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(load, "SHIPPED", folder)
    monkeypatch.setenv("LANGTRACK_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed: nothing is converted
    return folder


def published_siammask_state() -> dict[str, torch.Tensor]:
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
