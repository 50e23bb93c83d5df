"""The shipped weights in small: the same files with random networks, for tests of what loads them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from langtrack_core.dmn.lite import LiteConfig, LiteDMN
from langtrack_core.siammask.lite import LiteNetwork

WORDS = ("the", "red", "ellipse", "on", "left")
_SMALL = LiteConfig(channels=16, hidden=16, filters=2, skip8=8, skip4=8)


def write_lite(folder: Path, seed: int = 0) -> Path:
    """All files of ``lite`` but the index; point `langtrack_core.weights.registry.SHIPPED` at the folder."""
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
