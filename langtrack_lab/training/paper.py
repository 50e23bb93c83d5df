"""The published recipe of the language branch: one command, four stages.

    python -m langtrack_core train language --preset paper --otb DIR --lasot DIR --init paper --out DIR

| stage | data | resolution | epochs |
|---|---|---|---|
| referit | photos of ReferIt, with outlines; only with --referit, for a start from nothing | low | 5 |
| low | 36 sequences: 22 of OTB-99-Lang, 14 of LaSOT, drawn at random; filled boxes | low | 5 |
| high | the same | high | 10 |
| lasot | one video of every LaSOT category | high | 1 |

Low resolution is the network without its upsampling, its logits stretched over the target. Binary
cross-entropy, Adam at 1e-5, one picture-query pair a step, the picture's longest side 512, as the authors'
code has it (github.com/BCV-Uniandes/DMS, train.py). How long the last stage takes is not published. Every
stage has a folder in ``OUT``, begins with the best weights of the stage before it, can be run alone
(``--stage``) and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from langtrack_core.dmn.network import (
    DMN,
    DMNConfig,
    config_of,
    published_name,
)
from langtrack_core.dmn.segmenter import Preprocessing
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.files import sha256_of
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import NETWORKS, Checkpoint, fill
from langtrack_core.weights.load import check, home, read_entry

from ..files import explained, write_text
from ..metrics.masks import mask_iou
from ..weights.corpus import read_vocabulary
from . import (
    STOPPED,
    CommonRecipe,
    DistributedContext,
    LossTerm,
    Settings,
    Trainer,
    fit,
    init_distributed,
    save_weights,
    settings_of,
    side_by_side,
)
from .losses import cross_entropy
from .paper_data import (
    PaperPair,
    PaperSample,
    StageData,
    categories_data,
    clips_data,
    epoch_order,
    read_pair,
    referit_data,
    words_of,
)

PAPER_FRAMES = 39_891
"""Frames of the published stages low and high; which sequences they were drawn from is not published."""

WEIGHTS = "dmn-paper.safetensors"
"""Name of the file that a training of the published network writes."""

SWITCHES = {k: NETWORKS["dmn"].settings[k] for k in ("align_corners", "batch_statistics")}
"""What shapes cannot tell, as the weights table has it for published files, which these will be."""


@dataclass(frozen=True)
class PaperRecipe(CommonRecipe):
    """The published settings; sizes count for a network that starts from nothing.

    Attributes:
        steps: 0 for as many as the epochs have.
        ema, clip: none were published.
        input_size: longest side of a picture in pixels.
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


RECIPE = PaperRecipe()


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
"""The published stages in their order, with the epochs of each."""

SAVES_AN_EPOCH = 20
"""Checkpoints an epoch: one has 1.4 GB, so that the usual every 200 steps would write all the time."""


# --- running -----------------------------------------------------------------------------------------------


OPTIONS = ("otb", "lasot", "referit", "stage", "vocabulary")
"""Names of the arguments that the preset paper alone has."""


def add_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--otb", type=Path, help="folder of OTB-99-Lang")
    group.add_argument("--lasot", type=Path, help="folder of LaSOT")
    group.add_argument("--referit", type=Path, help="folder of ReferIt (refclef), for the stage referit")
    group.add_argument(
        "--stage", choices=list(STAGES), help="this stage alone; all, one after another, without"
    )
    group.add_argument("--vocabulary", type=Path, help="words that the weights in a file were trained with")


def run(args: argparse.Namespace) -> int:
    """All stages, or one; leaves ``OUT/STAGE/best/dmn-paper.safetensors``."""
    recipe, settings = settings_of(args, RECIPE)
    stages = [args.stage] if args.stage else [name for name in STAGES if name != "referit" or args.referit]
    with init_distributed(args.device) as context:
        data = {name: stage_data(name, args, recipe) for name in stages}
        start = initial_weights(args, [pair for name in stages for pair in data[name].pairs], context)
        for name in stages:
            epoch = max(1, len(data[name].pairs) // recipe.batch)
            stage_recipe = replace(recipe, steps=args.steps or STAGES[name].epochs * epoch)
            save_every = max(1, epoch // SAVES_AN_EPOCH)
            before = stage_before(name, args.out)
            stage = replace(
                settings,
                out=args.out / name,
                save_every=save_every,
                measure_every=epoch,
                start=sha256_of(before) if before else start.description,
            )
            if context.is_main:
                write_manifest(stage.out, name, data[name], start, stage_recipe, settings.seed)
            torch.manual_seed(settings.seed)
            network = build_network(name, args.out, start, stage_recipe).to(context.device)
            trainer = PaperTrainer(name, network, start.vocabulary, stage_recipe, stage, data[name])
            if not fit(trainer, stage, context):
                return STOPPED
        best = args.out / stages[-1] / "best" / WEIGHTS
        if context.is_main:
            print(f"{best}; to use it: weights add {best} --vocabulary {start.vocabulary_path}")
    return 0


def stage_data(name: str, args: argparse.Namespace, recipe: PaperRecipe) -> StageData:
    """The pairs of a stage.

    Raises:
        LangTrackError: a folder is missing, or holds too little.
    """
    for flag in ("referit",) if name == "referit" else ("otb", "lasot"):
        if getattr(args, flag) is None:
            raise LangTrackError(f"The stage {name} needs --{flag} DIR.")
    if name == "referit":
        return referit_data(args.referit)
    if name == "lasot":
        return categories_data(args.otb, args.lasot, recipe.otb_sequences, args.seed)
    return clips_data(args.otb, args.lasot, recipe.otb_sequences, recipe.lasot_sequences, args.seed)


def write_manifest(
    out: Path, name: str, data: StageData, start: InitialWeights, recipe: PaperRecipe, seed: int
) -> None:
    """``manifest.json``: what the stage learns from. A stage goes on with the same only.

    Raises:
        LangTrackError: it has begun with something else, or cannot be written.
    """
    print(
        f"stage {name}: {len(data.sources)} sequences or sets, {len(data.pairs)} pictures with a sentence"
        + (f" (the paper counts {PAPER_FRAMES:,} frames)" if name in ("low", "high") else ""),
        flush=True,
    )
    manifest = {
        "stage": name,
        "seed": seed,
        "sequences": data.sources,
        "frames": len(data.pairs),
        "frames_in_the_paper": PAPER_FRAMES,
        "validated_on": data.validation_sources,
        "init": start.description,
        "vocabulary": str(start.vocabulary_path),
        "recipe": {k: v for k, v in asdict(recipe).items() if v != math.inf},
    }
    path = out / "manifest.json"
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in ("seed", "sequences", "frames", "init") if old.get(key) != manifest[key]]
        if different:
            raise LangTrackError(
                f"{path}: this stage began with other data ({', '.join(different)}); choose another --out."
            )
    with explained(f"The training cannot be written to {out}"):
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(manifest, indent=2) + "\n")


# --- the network of a stage --------------------------------------------------------------------------------


@dataclass(frozen=True)
class InitialWeights:
    """What a whole training begins with.

    Attributes:
        state: under the published names; empty for nothing.
        description: for the manifest.
    """

    state: Mapping[str, Tensor]
    vocabulary: Vocabulary
    vocabulary_path: Path
    description: str


def initial_weights(
    args: argparse.Namespace, pairs: list[PaperPair], context: DistributedContext
) -> InitialWeights:
    """What ``--init`` names, "paper" without it. For a start from nothing the vocabulary is that of the
    sentences, kept in OUT.

    Raises:
        LangTrackError: there are no such weights, or their vocabulary is missing.
    """
    init = args.init or "paper"
    if init == "random":
        path = args.out / "vocabulary.txt"
        if context.is_main and not path.exists():
            with explained(f"The training cannot be written to {args.out}"):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, "\n".join(words_of(pairs).words) + "\n")
        context.barrier()
        return InitialWeights({}, read_vocabulary(path), path, "random")
    added = home() / "weights" / init / "language" / "entry.json"
    entry = read_entry(added) if added.is_file() else None
    if entry is not None and entry.network == "dmn":
        checkpoint, path = entry.path, entry.folder / list(entry.files)[1]
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
    state = Checkpoint.read(checkpoint).tensors
    description = f"{checkpoint.name} {sha256_of(checkpoint)}"
    return InitialWeights(state, read_vocabulary(path), path, description)


def build_network(name: str, out: Path, start: InitialWeights, recipe: PaperRecipe) -> DMN:
    """The network of a stage, filled with the best weights of the stage before it, or with ``start``.

    A last layer that neither has keeps its random weights.

    Raises:
        LangTrackError: the weights are no DMN, or the vocabulary is another's.
    """
    resolution, vocabulary = STAGES[name].resolution, start.vocabulary
    before = stage_before(name, out)
    state = Checkpoint.read(before).tensors if before else start.state
    if not state:
        if STAGES[name].resolution == "high":
            raise LangTrackError(
                f"The stage {name} begins with the weights of the stage before it, which are not in {out}: "
                "run that first, or give --init."
            )
        names = {field.name for field in fields(DMNConfig)} & {field.name for field in fields(PaperRecipe)}
        sizes = {size: getattr(recipe, size) for size in names}
        return DMN(DMNConfig(len(vocabulary), resolution=resolution, **sizes, **SWITCHES))
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
    fill(network, filled, published_name)
    return network


def stage_before(name: str, out: Path) -> Path | None:
    """The best weights of the nearest stage before this one that has any."""
    names = list(STAGES)
    for earlier in reversed(names[: names.index(name)]):
        path = out / earlier / "best" / WEIGHTS
        if path.is_file():
            return path
    return None


# --- training ----------------------------------------------------------------------------------------------


def to_published(network: DMN) -> dict[str, Tensor]:
    """The network's entries under the names of a published file."""
    return {published_name(name): tensor for name, tensor in network.state_dict().items()}


class PaperTrainer(Trainer):
    """One stage of the published network."""

    # Each picture is normalised by its own statistics, in training and, as published, in evaluation.
    global_batch_norm = False
    network: DMN

    def __init__(
        self,
        stage: str,
        network: DMN,
        vocabulary: Vocabulary,
        recipe: PaperRecipe,
        settings: Settings,
        data: StageData,
    ) -> None:
        self.name, self.network, self.vocabulary, self.data = f"language {stage}", network, vocabulary, data
        self.recipe: PaperRecipe = recipe
        self.seed = settings.seed
        self.preprocessing = Preprocessing(recipe.input_size, align_corners=SWITCHES["align_corners"])

    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.recipe.rate)

    def rate(self, step: float) -> float:
        return self.recipe.rate

    def train_mode(self) -> None:
        # Evaluation mode of this network normalises by the picture's own statistics, as training mode would,
        # and leaves the stored ones alone.
        self.network.eval()

    def sample(self, index: int) -> PaperSample:
        epoch, place = divmod(index, len(self.data.pairs))
        pair = self.data.pairs[epoch_order(len(self.data.pairs), self.seed, epoch)[place]]
        return read_pair(pair, self.preprocessing, self.vocabulary)

    def collate(self, samples: list[PaperSample]) -> list[PaperSample]:
        return samples  # pictures differ in size: one goes through the network at a time

    def logits(self, sample: PaperSample) -> Tensor:
        """``(h, w)`` at the size of the target."""
        logits = self.network(sample.image, sample.ids).float()
        corners = self.preprocessing.align_corners
        size = tuple(sample.target.shape)
        return F.interpolate(logits, size, mode="bilinear", align_corners=corners)[0, 0]

    def losses(self, batch: list[PaperSample]) -> dict[str, LossTerm]:
        means = [cross_entropy(self.logits(sample), sample.target.float()).mean() for sample in batch]
        return {"bce": LossTerm.mean(torch.stack(means))}

    def pictures(self, batch: list[PaperSample]) -> list[Tensor]:
        sample, look = batch[0], self.preprocessing
        mean, std = (torch.tensor(v, device=sample.image.device) for v in (look.mean, look.std))
        image = sample.image[0] * std[:, None, None] + mean[:, None, None]
        return [side_by_side(image, sample.target, self.logits(sample).sigmoid())]

    @torch.inference_mode()
    def measure(self) -> dict[str, float]:
        """Mean IoU of the binary masks with the filled boxes (or outlines) of the validation pairs."""
        ious = []
        for pair in self.data.validation:
            sample = read_pair(pair, self.preprocessing, self.vocabulary)
            device = next(self.network.parameters()).device
            mask = self.logits(PaperSample(*(tensor.to(device) for tensor in sample))) > 0
            ious.append(mask_iou(mask.cpu().numpy(), sample.target.numpy()))
        return {"validation IoU": sum(ious) / len(ious)}

    def export(self, folder: Path) -> None:
        save_weights(folder / WEIGHTS, to_published(self.network), {}, torch.float32)
