"""How to learn, how long and where to: what all recipes share, and the flags that change it."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
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
class LiteRecipe(CommonRecipe):
    """What the recipes of both lite networks say, which start from a backbone pretrained on ImageNet.

    Attributes:
        backbone_rate: learning rate of the backbone, as a share of the rate; 0 keeps it as it is.
        frozen_stages: the backbone's first stages, with the stem, which never learn: they cost most.
        weight_decay: of AdamW.
    """

    backbone_rate: float = 0.1
    frozen_stages: int = 3
    weight_decay: float = 0.05


@dataclass(frozen=True)
class Settings:
    """What a run needs beside its recipe; only the seed and the start change what is learnt.

    Attributes:
        out: folder of the checkpoint, the weights and TensorBoard's files.
        workers: processes that prepare data.
        save_every, measure_every: steps between checkpoints, and between measurements on the dev set.
        minutes: length of the run by the clock, for a machine that is lent: the rate falls with the time, and
            the run ends with it, or after the recipe's steps if these come first.
        start: hash of the weights that the run starts from; "" for a start without any.
    """

    out: Path
    seed: int = 0
    workers: int = 1
    save_every: int = 200
    measure_every: int = 200
    minutes: float | None = None
    start: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of all trainings; without a flag the recipe stays as it is."""
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoint and weights; the run goes on there"
    )
    parser.add_argument("--steps", type=int, help="length of the whole run")
    parser.add_argument(
        "--minutes", type=float, help="length of the whole run by the clock, if that ends before --steps"
    )
    parser.add_argument("--batch", type=int, help="samples a step, over all processes")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--precision", choices=["bfloat16", "float32"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare data")
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints and measurements")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")


R = TypeVar("R", bound=CommonRecipe)


def settings_of(args: argparse.Namespace, recipe: R) -> tuple[R, Settings]:
    """The recipe as the flags change it, and the settings of the other flags.

    Raises:
        LangTrackError: a number that makes no sense.
    """
    flags = {name: getattr(args, name) for name in ("steps", "batch", "rate", "precision")}
    recipe = replace(recipe, **{name: value for name, value in flags.items() if value is not None})
    for name in ("steps", "batch", "rate"):
        if flags[name] is not None and not 0 < flags[name] < math.inf:
            raise LangTrackError(f"--{name} must be over 0, got {flags[name]}.")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise LangTrackError(f"--minutes must be over 0, got {args.minutes:g}.")
    if args.every < 1 or args.workers < 0 or args.seed < 0:
        raise LangTrackError("--every must be 1 or more, --workers and --seed 0 or more.")
    return recipe, Settings(args.out, args.seed, args.workers, args.every, args.every, args.minutes)


def adamw(
    network: nn.Module, recipe: LiteRecipe, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.AdamW:
    """AdamW over what is trained: the backbone, if it is, with its share of the rate, and all else."""
    pairs = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    backbone = [p for name, p in pairs if name.startswith("backbone.")]
    groups: list[dict[str, Any]] = [{"params": [p for name, p in pairs if not name.startswith("backbone.")]}]
    if backbone:
        groups.insert(0, {"params": backbone, "rate_scale": recipe.backbone_rate})
    return torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.weight_decay, betas=betas)


def cosine_rate(step: float, steps: int, peak: float, warm_up: int = 100, floor: float = 0.01) -> float:
    """Learning rate at ``step`` of ``steps``: linear warm-up, then half a cosine down to ``floor * peak``."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    share = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))
