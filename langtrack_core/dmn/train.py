"""Training of the language branch: ``python -m langtrack_core train dmn --preset lite --data DIR --out DIR``.

The backbone keeps its ImageNet weights; everything above it is trained with binary cross-entropy and Dice
on the mask at strides 16 and 4 (DMN's low and high resolution, here at once), and a score that learns to
tell whether the mask is right.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from timm.data import ImageNetInfo
from torch import Tensor, nn
from tqdm import tqdm

from ..datasets import davis_sequences, read_rgb
from ..geometry import mask_iou
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
from .lite import LiteDMN, Segmentation, lift
from .samples import INPUT, SampleStream
from .sentences import COLOURS, NOUNS

WEIGHTS = Path(__file__).parents[2] / "assets" / "weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=["lite"], default="lite")
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/, davis/ and saliency/")
    parser.add_argument("--dev", type=Path, help="folder in DAVIS layout to measure on while training")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints and the final weights"
    )
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=8, help="pictures a step; three sentences each")
    parser.add_argument("--rate", type=float, default=1.2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints and measurements")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")


def run(args: argparse.Namespace) -> int:
    keep_freed_memory()
    torch.manual_seed(args.seed)
    table = load_file(WEIGHTS / "words-lite.safetensors")
    network = LiteDMN(table["words"] / 127, table["classes"] / 127)
    load_imagenet(network)
    network.backbone.requires_grad_(False).eval()
    network.to(memory_format=torch.channels_last)
    reader = Reader((WEIGHTS / "words-lite.txt").read_text(encoding="utf-8").split())
    train(network, reader, args)
    return 0


# --- parts -------------------------------------------------------------------------------------------------


def load_imagenet(network: LiteDMN) -> None:
    """The package's entries come in timm's order."""
    target = network.backbone.net.state_dict()
    named = dict(zip(target, imagenet_weights().values(), strict=True))
    if any(named[k].shape != v.shape for k, v in target.items()):
        raise LangTrackError("The installed EfficientNet-Lite0 weights do not have timm's shapes.")
    network.backbone.net.load_state_dict(named)


class Reader:
    """Sentences to padded word ids; words outside the table are left out."""

    def __init__(self, words: list[str]) -> None:
        self.ids = {word: i for i, word in enumerate(words)}

    def __call__(self, sentences: list[str], longest: int = 16) -> tuple[Tensor, Tensor]:
        known = [
            [self.ids[w] for w in re.findall(r"[a-z]+", s.lower()) if w in self.ids][:longest]
            or [self.ids["a"]]
            for s in sentences
        ]
        ids = torch.zeros(len(known), max(map(len, known)), dtype=torch.int64)
        for row, words in zip(ids, known, strict=True):
            row[: len(words)] = torch.tensor(words)
        return ids, torch.tensor([len(words) for words in known])


class Kin:
    """Puts a near word in the place of a noun now and then: "rhino" must work if only "elephant" was seen.

    Args:
        vectors: ``(V, D)`` word table, rows of length 1.
        nouns: ids of the words that may be replaced.
        share: how often.
    """

    def __init__(self, vectors: Tensor, nouns: list[int], share: float = 0.25, least: float = 0.5) -> None:
        self.share = share
        count = min(8, len(vectors))
        self.near = torch.arange(len(vectors))[:, None].repeat(1, count)
        similarity, near = (vectors[nouns] @ vectors.T).topk(count)
        self.near[nouns] = torch.where(similarity > least, near, self.near[nouns])

    def __call__(self, ids: Tensor) -> Tensor:
        which = torch.randint(self.near.shape[1], (*ids.shape, 1))
        chosen = self.near[ids].gather(-1, which)[..., 0]
        return torch.where(torch.rand(ids.shape) < self.share, chosen, ids)


def classifier_names(network: LiteDMN) -> Callable[[NDArray[np.uint8]], tuple[str, ...]]:
    """What ImageNet calls the one thing in a picture, () when the classifier is not sure."""
    info = ImageNetInfo()
    names = [info.index_to_description(i, detailed=False).split(", ") for i in range(info.num_classes())]

    @torch.inference_mode()
    def name_of(rgb: NDArray[np.uint8]) -> tuple[str, ...]:
        prob = network.backbone.net(to_input(rgb, 224)).softmax(1)[0]
        best = int(prob.argmax())
        return tuple(n.lower() for n in names[best][:2]) if prob[best] > 0.35 else ()

    return name_of


def to_input(rgb: NDArray[np.uint8], size: int = INPUT) -> Tensor:
    """``(1, 3, size, size)``, squeezed, in the network's range."""
    small = cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA)
    return (torch.from_numpy(small).permute(2, 0, 1)[None].float() - 127) / 128


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of each mask; an empty target asks for an empty mask."""
    prob = logits.sigmoid().flatten(1)
    target = target.flatten(1)
    cells = prob.shape[1]
    smooth = 0.002 * cells
    return 1 - (2 * (prob * target).sum(1) + smooth) / (prob.sum(1) + target.sum(1) + smooth)


def losses(out: Segmentation, target: Tensor) -> dict[str, Tensor]:
    """Parts of the loss, each a scalar; target ``(N, 1, h, w)`` in [0, 1] at stride 4."""
    parts: dict[str, Tensor] = {}
    low_target = F.interpolate(target, size=out.low_logits.shape[-2:], mode="area")
    for name, logits, goal in (("low", out.low_logits, low_target), ("high", out.mask_logits, target)):
        logits = logits.float()
        weight = 1.0 if name == "high" else 0.4
        # Positives are few: they weigh twice.
        cross = F.binary_cross_entropy_with_logits(logits, goal, reduction="none") * (1 + goal)
        parts[f"bce_{name}"] = weight * 2 * cross.mean()
        parts[f"dice_{name}"] = weight * dice_loss(logits, goal).mean()
    with torch.no_grad():
        prediction, truth = out.mask_logits > 0, target > 0.5
        inter = (prediction & truth).sum((1, 2, 3))
        union = (prediction | truth).sum((1, 2, 3))
        right = (inter / union.clamp(min=1) > 0.5).float()
    parts["score"] = 0.1 * F.binary_cross_entropy_with_logits(out.score_logit.float(), right)
    return parts


def augmented_vectors(network: LiteDMN, ids: Tensor, lengths: Tensor) -> Tensor:
    """Word vectors with noise and with words left out now and then, so that no single word decides."""
    vectors = network.words[ids]
    vectors = vectors + 0.03 * torch.randn_like(vectors)
    drop = (torch.rand(ids.shape) < 0.04) & (lengths[:, None] > 2)
    return vectors.masked_fill(drop[..., None], 0.0)


@torch.inference_mode()
def measure(network: LiteDMN, reader: Reader, folder: Path, stride: int = 10) -> dict[str, float]:
    """Mean IoU by sequence over every `stride`-th frame and every sentence."""
    found = {}
    for sequence in davis_sequences(folder):
        ids, lengths = reader(list(sequence.expressions))
        values = []
        for i, frame in list(enumerate(sequence.frames))[::stride]:
            truth = sequence.mask(i)
            assert truth is not None  # DAVIS annotates every frame
            visual = network.look(to_input(read_rgb(frame)))
            out = network.ground(visual, network.read(ids, lengths), torch.zeros(len(ids), dtype=torch.int64))
            logits = F.interpolate(lift(out.mask_logits), size=truth.shape, mode="bilinear")[:, 0].numpy()
            for found_mask in logits > 0:
                values.append(mask_iou(found_mask, truth))
        found[sequence.name] = float(np.mean(values))
    return found


# --- the loop ----------------------------------------------------------------------------------------------


def train(network: LiteDMN, reader: Reader, args: argparse.Namespace) -> None:
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.05, betas=(0.9, 0.98))
    average, stop, first = Average(network), StopSignal(), 0
    checkpoint = args.out / "checkpoint.pt"
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average.load_state_dict(state["average"])
        first = state["step"]
    stream = SampleStream(args.data, classifier_names(network), args.seed, batch=args.batch)
    stream.first = first
    ahead = 4 if args.workers else None
    loader = torch.utils.data.DataLoader(
        stream, None, num_workers=args.workers, prefetch_factor=ahead, worker_init_fn=leave_signals
    )
    print(
        f"{len(stream.photos.pictures)} photos, {len(stream.salient.shots)} named salient pictures",
        flush=True,
    )
    nouns = {word for names in NOUNS.values() for name in names for word in name.split()}
    nouns |= {word for _, names in stream.salient.shots for name in names for word in name.split()}
    kin = Kin(network.words, sorted(reader.ids[w] for w in nouns - set(COLOURS) if w in reader.ids))
    started, smoothed = time.monotonic(), dict[str, float]()
    bar = tqdm(range(first, args.steps), initial=first, total=args.steps, mininterval=10)
    for step, (image, sentences, target) in zip(bar, loader, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = cosine_rate(step, args.steps, args.rate)
        # Chance depends on the step alone, so a resumed run has the same.
        torch.manual_seed((args.seed << 32) + step)
        ids, lengths = reader(sentences)
        ids = kin(ids)
        picture = torch.arange(len(image)).repeat_interleave(stream.queries)
        network.train()
        network.backbone.eval()
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                visual = network.look(image.contiguous(memory_format=torch.channels_last))
            language = network.read_vectors(augmented_vectors(network, ids, lengths), lengths)
            out = network.ground(visual, language, picture)
        parts = losses(out, target)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise LangTrackError(
                f"The loss is not finite at step {step}: { {k: v.item() for k, v in parts.items()} }"
            )
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        average.update(network)
        for name, value in parts.items():
            smoothed[name] = 0.98 * smoothed.get(name, value.item()) + 0.02 * value.item()
        done = step + 1
        if done % args.every == 0 or done == args.steps or stop:
            save_atomically(
                {
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "average": average.state_dict(),
                    "step": done,
                },
                checkpoint,
            )
            kept = {k: v.clone() for k, v in network.state_dict().items()}
            network.load_state_dict(average.averaged(network))
            network.eval()
            save_branch(network, args.out)
            found = measure(network, reader, args.dev) if args.dev else {}
            network.load_state_dict(kept)
            line = " ".join(f"{k} {v:.3f}" for k, v in {**smoothed, **found}.items())
            mean = f" | mean IoU {np.mean(list(found.values())):.3f}" if found else ""
            tqdm.write(f"step {done} after {(time.monotonic() - started) / 60:.1f} min: {line}{mean}")
        if stop:
            break


def save_branch(network: LiteDMN, out: Path) -> None:
    """The files to ship, the backbone apart from what was trained so that each stays small."""
    state = network.state_dict()
    metadata = {"network": "dmn-lite", "arguments": json.dumps(network.arguments())}
    backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
    trained = {name: value for name, value in state.items() if name not in backbone}
    save_weights(out / "dmn-lite-backbone.safetensors", backbone, metadata)
    save_weights(out / "dmn-lite.safetensors", trained, metadata)
