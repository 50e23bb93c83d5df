"""How to learn, how long and where to: what all recipes share, and the flags that change it."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import nn

from langtrack_core.types import LangTrackError


@dataclass(frozen=True)
class CommonRecipe:
    """What every recipe says; each branch adds its own. A checkpoint goes on under the same recipe only.

    Attributes:
        steps: length of the run; may be another when a run goes on.
        batch: samples a step, over all processes.
        rate: highest learning rate.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are the ones kept; 0 keeps the last ones.
        precision: of the network's arithmetic; sums of losses, weights and optimiser are float32.
    """

    steps: int = 1000
    batch: int = 8
    rate: float = 1e-3
    clip: float = 1.0
    ema: float = 0.998
    precision: Literal["bfloat16", "float32"] = "bfloat16"


@dataclass(frozen=True)
class Settings:
    """What a run needs beside its recipe; none of it changes what is learnt, but the seed.

    Attributes:
        out: folder of the checkpoint, the weights and the board.
        workers: processes that prepare data.
        save_every, measure_every: steps between checkpoints, and between measurements on the dev set.
    """

    out: Path
    seed: int = 0
    workers: int = 1
    save_every: int = 200
    measure_every: int = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What all trainings take; flags that are not given leave the recipe as it is."""
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoint and weights; the run goes on there"
    )
    parser.add_argument("--steps", type=int, help="length of the whole run")
    parser.add_argument("--batch", type=int, help="samples a step, over all processes")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--precision", choices=["bfloat16", "float32"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare data")
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints and measurements")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")


R = TypeVar("R", bound=CommonRecipe)


def settings_of(args: argparse.Namespace, recipe: R) -> tuple[R, Settings]:
    """The recipe with the flags that were given, and the rest of the flags.

    Raises:
        LangTrackError: a number that makes no sense.
    """
    given = {name: getattr(args, name) for name in ("steps", "batch", "rate", "precision")}
    recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    for name in ("steps", "batch", "rate"):
        if given[name] is not None and given[name] <= 0:
            raise LangTrackError(f"--{name} must be over 0, got {given[name]}.")
    if args.every < 1 or args.workers < 0 or args.seed < 0:
        raise LangTrackError("--every must be 1 or more, --workers and --seed 0 or more.")
    return recipe, Settings(args.out, args.seed, args.workers, args.every, args.every)


def parameter_groups(network: nn.Module, backbone_share: float) -> list[dict[str, Any]]:
    """What is trained, for an optimiser: the backbone, if it is, with its share of the rate, and all else."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    backbone = [p for name, p in named if name.startswith("backbone.")]
    groups: list[dict[str, Any]] = [{"params": backbone, "share": backbone_share}] if backbone else []
    return [*groups, {"params": [p for name, p in named if not name.startswith("backbone.")]}]


def cosine_rate(step: int, steps: int, peak: float, warm_up: int = 100, floor: float = 0.01) -> float:
    """Learning rate at ``step`` of ``steps``: linear warm-up, then half a cosine down to ``floor * peak``."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    share = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))
