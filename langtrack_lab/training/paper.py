"""The published recipe of the language branch: one command, four stages.

    python -m langtrack_core train dmn --preset paper --otb DIR --lasot DIR --init paper --out DIR

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
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from langtrack_core.dmn.network import DMN, to_published
from langtrack_core.dmn.segmenter import Preprocessing
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.masks import mask_iou

from . import LossTerm, Settings, Trainer, fit, init_distributed, save_weights, settings_of, side_by_side
from .paper_data import Example, StageData, epoch_order, read_pair
from .paper_stages import RECIPE, STAGES, SWITCHES, WEIGHTS, Recipe, build, record, stage_data, start_of


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
        start = start_of(args, [pair for name in stages for pair in data[name].pairs], context)
        for name in stages:
            stage, pairs = STAGES[name], data[name].pairs
            epoch = max(1, len(pairs) // recipe.batch)
            staged = replace(recipe, steps=args.steps or stage.epochs * epoch)
            # A checkpoint has 1.4 GB: twenty an epoch are enough.
            saves = max(1, epoch // 20)
            where = replace(settings, out=args.out / name, save_every=saves, measure_every=epoch)
            if context.is_main:
                record(where.out, name, data[name], start, staged, settings.seed)
            torch.manual_seed(settings.seed)
            network = build(name, args.out, start, staged).to(context.device)
            trainer = StageTrainer(name, network, start.vocabulary, staged, where, data[name])
            if not fit(trainer, where, context):
                return 0  # a signal came, and the loop has said so
        best = args.out / stages[-1] / "best" / WEIGHTS
        if context.is_main:
            print(f"{best}; to use it: weights add {best} --vocabulary {start.vocabulary_path}")
    return 0


# --- a stage -----------------------------------------------------------------------------------------------


class StageTrainer(Trainer):
    """One stage of the published network."""

    # Each picture is normalised by its own statistics, in training and, as published, in evaluation.
    global_batch_norm = False
    network: DMN

    def __init__(
        self,
        name: str,
        network: DMN,
        vocabulary: Vocabulary,
        recipe: Recipe,
        settings: Settings,
        data: StageData,
    ) -> None:
        self.name, self.network, self.vocabulary, self.data = f"language {name}", network, vocabulary, data
        self.recipe: Recipe = recipe
        self.seed = settings.seed
        self.look = Preprocessing("longest_side", recipe.input_size, align_corners=SWITCHES["align_corners"])

    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.recipe.rate)

    def rate(self, step: int) -> float:
        return self.recipe.rate

    def train_mode(self) -> None:
        # Evaluation mode of this network normalises by the picture's own statistics, as training mode would,
        # and leaves the stored ones alone.
        self.network.eval()

    def sample(self, index: int) -> Example:
        epoch, place = divmod(index, len(self.data.pairs))
        pair = self.data.pairs[epoch_order(len(self.data.pairs), self.seed, epoch)[place]]
        return read_pair(pair, self.look, self.vocabulary)

    def collate(self, samples: list[Example]) -> list[Example]:
        return samples  # pictures differ in size: one goes through the network at a time

    def logits(self, example: Example) -> Tensor:
        """``(h, w)`` at the size of the target."""
        found = self.network(example.image, example.ids).float()
        corners = self.look.align_corners
        size = tuple(example.target.shape)
        return F.interpolate(found, size, mode="bilinear", align_corners=corners)[0, 0]

    def losses(self, batch: list[Example]) -> dict[str, LossTerm]:
        means = [F.binary_cross_entropy_with_logits(self.logits(x), x.target.float()) for x in batch]
        return {"bce": LossTerm.mean(torch.stack(means))}

    def pictures(self, batch: list[Example]) -> list[Tensor]:
        example = batch[0]
        mean, std = (torch.tensor(v, device=example.image.device) for v in (self.look.mean, self.look.std))
        image = example.image[0] * std[:, None, None] + mean[:, None, None]
        return [side_by_side(image, example.target, self.logits(example).sigmoid())]

    @torch.inference_mode()
    def measure(self) -> dict[str, float]:
        """Mean IoU of the binary masks with the filled boxes (or outlines) of the validation pairs."""
        ious = []
        for pair in self.data.validation:
            example = read_pair(pair, self.look, self.vocabulary)
            device = next(self.network.parameters()).device
            found = self.logits(Example(*(tensor.to(device) for tensor in example))) > 0
            ious.append(mask_iou(found.cpu().numpy(), example.target.numpy()))
        return {"validation IoU": sum(ious) / len(ious)}

    def export(self, folder: Path) -> None:
        save_weights(folder / WEIGHTS, to_published(self.network), {}, torch.float32)
