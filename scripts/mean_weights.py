"""The mean of two trainings' language weights: ``python scripts/mean_weights.py ONE OTHER --out DIR``.

Where the second training went on from the first one's weights, their mean often does better than either
(Wortsman et al., "Model soups", arXiv:2203.05482). The calibration and the ranges for int8 are left out, as they
are of one training alone: `calibrate` and `quantise` make them anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from langtrack_lab.training.language_network import BRANCH_FILES

KEPT = ("network", "arguments")
"""Entries of a file's metadata that do not depend on what was learnt."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one", type=Path, help="folder of a training")
    parser.add_argument("other", type=Path, help="folder of another one of the same network")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in BRANCH_FILES:
        with safe_open(args.one / name, "pt") as one, safe_open(args.other / name, "pt") as other:
            mean = {key: mean_of(one.get_tensor(key), other.get_tensor(key)) for key in one.keys()}  # noqa: SIM118
            metadata = {key: text for key, text in one.metadata().items() if key in KEPT}
        save_file(mean, args.out / name, metadata)


def mean_of(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """In float32, stored as it was; whole numbers, which count batches, are the first one's."""
    if not one.is_floating_point():
        return one
    return ((one.float() + other.float()) / 2).to(one.dtype)


if __name__ == "__main__":
    main()
