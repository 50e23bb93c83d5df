"""The stages of the published recipe: their settings, their data, and the weights that each begins with."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple

from torch import Tensor

from langtrack_core.atomic import write_text
from langtrack_core.dmn.network import (
    DMN,
    DMNConfig,
    config_of,
    load_published,
    published_state,
    to_published,
)
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import read_checkpoint
from langtrack_core.weights.registry import NETWORKS, check, entries, sha256_of

from . import CommonRecipe, DistributedContext
from .paper_data import Pair, StageData, categories_data, clips_data, referit_data, words_of

PAPER_FRAMES = 39_891
WEIGHTS = "dmn-paper.safetensors"
SWITCHES = {k: NETWORKS["dmn"].settings[k] for k in ("recurrence", "align_corners", "batch_statistics")}
"""What shapes cannot tell, as the weights table has it for published files, which these will be."""


@dataclass(frozen=True)
class Recipe(CommonRecipe):
    """The published settings; sizes count for a network that starts from nothing.

    Attributes:
        steps: 0 for as many as the epochs have.
        ema: none was published.
        clip: none was published.
    """

    steps: int = 0
    batch: int = 1
    rate: float = 1e-5
    clip: float = math.inf
    ema: float = 0.0
    precision: Literal["bfloat16", "float32"] = "float32"
    otb_sequences: int = 22
    lasot_sequences: int = 14
    input_size: int = 512
    embedding: int = 1000
    hidden: int = 1000
    filters: int = 10
    mixed: int = 1000
    mixed_hidden: int = 1005
    language_layers: int = 3
    mixed_layers: int = 3


class Stage(NamedTuple):
    """Resolution and length of a stage."""

    resolution: Literal["low", "high"]
    epochs: int


STAGES = {
    "referit": Stage("low", 5),
    "low": Stage("low", 5),
    "high": Stage("high", 10),
    "lasot": Stage("high", 1),
}
RECIPE = Recipe()


def stage_data(name: str, args: argparse.Namespace, recipe: Recipe) -> StageData:
    """The pairs of a stage.

    Raises:
        LangTrackError: a folder was not given, or holds too little.
    """
    for flag in ("referit",) if name == "referit" else ("otb", "lasot"):
        if getattr(args, flag) is None:
            raise LangTrackError(f"The stage {name} needs --{flag} DIR.")
    if name == "referit":
        return referit_data(args.referit)
    if name == "lasot":
        return categories_data(args.otb, args.lasot, recipe.otb_sequences, args.seed)
    return clips_data(args.otb, args.lasot, recipe.otb_sequences, recipe.lasot_sequences, args.seed)


@dataclass(frozen=True)
class Start:
    """What a whole training begins with.

    Attributes:
        state: under the published names; empty for nothing.
        about: for the manifest.
    """

    state: Mapping[str, Tensor]
    vocabulary: Vocabulary
    vocabulary_path: Path
    about: str


def start_of(args: argparse.Namespace, pairs: list[Pair], context: DistributedContext) -> Start:
    """What ``--init`` names, "paper" without it. For a start from nothing the vocabulary is that of the
    sentences, kept in OUT.

    Raises:
        LangTrackError: there are no such weights, or their vocabulary is missing.
    """
    init = args.init or "paper"
    if init == "random":
        path = args.out / "vocabulary.txt"
        if context.is_main and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, "\n".join(words_of(pairs).words) + "\n")
        context.barrier()
        return Start({}, Vocabulary.from_file(path), path, "random")
    named = [entry for entry in entries() if (entry.name, entry.network) == (init, "dmn")]
    if named:
        entry = named[0]
        checkpoint, path = entry.checkpoint, entry.folder / list(entry.files)[1]
        check(entry)
    elif Path(init).is_file():
        checkpoint, path = Path(init), args.vocabulary
        if path is None:
            raise LangTrackError(f"{checkpoint} needs --vocabulary, the words that it was trained with.")
    else:
        raise LangTrackError(
            f"There are no weights of the published DMN called {init!r}: add them (weights add FILE "
            "--vocabulary FILE), give a file, or start from nothing with --init random."
        )
    state = published_state(read_checkpoint(checkpoint)[0])
    return Start(state, Vocabulary.from_file(path), path, f"{checkpoint.name} {sha256_of(checkpoint)}")


def build(name: str, out: Path, start: Start, recipe: Recipe) -> DMN:
    """The network of a stage, filled with the best weights of the stage before it, or with ``start``.

    A last layer that neither has keeps its random weights.

    Raises:
        LangTrackError: the weights are no DMN, or the vocabulary is another's.
    """
    resolution, vocabulary = STAGES[name].resolution, start.vocabulary
    state = before(name, out) or start.state
    if not state:
        if STAGES[name].resolution == "high":
            raise LangTrackError(
                f"The stage {name} begins with the weights of the stage before it, which are not in {out}: "
                "run that first, or give --init."
            )
        sizes = {field.name for field in fields(DMNConfig)} & {field.name for field in fields(Recipe)}
        chosen = {size: getattr(recipe, size) for size in sizes}
        return DMN(DMNConfig(len(vocabulary), resolution=resolution, **chosen, **SWITCHES))
    config = replace(config_of(state, **SWITCHES), resolution=resolution)
    if config.vocabulary_size != len(vocabulary):
        raise LangTrackError(
            f"The weights know {config.vocabulary_size} words and the vocabulary {start.vocabulary_path} has "
            f"{len(vocabulary)}: they do not belong together."
        )
    network = DMN(config)
    last_layers = ("upsample.", "langvis.output_collapse.")
    filled = {key: value for key, value in state.items() if not key.startswith(last_layers)}
    for key, value in to_published(network).items():
        if key.startswith(last_layers):
            filled[key] = state.get(key, start.state.get(key, value))
    load_published(network, filled)
    return network


def before(name: str, out: Path) -> Mapping[str, Tensor]:
    """The best weights of the nearest stage before this one that has any; empty if none has."""
    names = list(STAGES)
    for earlier in reversed(names[: names.index(name)]):
        path = out / earlier / "best" / WEIGHTS
        if path.is_file():
            return published_state(read_checkpoint(path)[0])
    return {}


def record(out: Path, name: str, data: StageData, start: Start, recipe: Recipe, seed: int) -> None:
    """``manifest.json``: what the stage learns from. A stage goes on with the same only.

    Raises:
        LangTrackError: it has begun with something else.
    """
    print(
        f"stage {name}: {len(data.names)} sequences or sets, {len(data.pairs)} pictures with a sentence"
        + (f" (the paper counts {PAPER_FRAMES:,} frames)" if name in ("low", "high") else ""),
        flush=True,
    )
    manifest = {
        "stage": name,
        "seed": seed,
        "sequences": data.names,
        "frames": len(data.pairs),
        "frames_in_the_paper": PAPER_FRAMES,
        "validated_on": data.validation_names,
        "init": start.about,
        "vocabulary": str(start.vocabulary_path),
        "recipe": {k: v for k, v in asdict(recipe).items() if v != math.inf},
    }
    path = out / "manifest.json"
    out.mkdir(parents=True, exist_ok=True)
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in ("seed", "sequences", "frames", "init") if old.get(key) != manifest[key]]
        if other:
            raise LangTrackError(
                f"{path}: this stage began with other data ({', '.join(other)}); choose another --out."
            )
    write_text(path, json.dumps(manifest, indent=2) + "\n")
