"""Training of the lite language branch; the published one's is in `paper`.

    python -m langtrack_core train language --preset lite --data DIR --out DIR

It is trained with binary cross-entropy and Dice on the mask at strides 16 and 4 (DMN's low and high
resolution, here at once), and a score that learns to tell whether the mask is right. The backbone starts from
ImageNet and learns slowly; what it says of ImageNet's classes is held to what it said before (distillation,
Hinton et al., arXiv:1503.02531), since the class evidence has to know things that no training picture shows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from timm.data import ImageNetInfo
from torch import Tensor

from langtrack_core.dmn.lite import Backbone, LiteDMN, Segmentation, Visual, lift
from langtrack_core.dmn.segmenter import LITE_SHAPES_HW, Preprocessing
from langtrack_core.dmn.vocabulary import Vocabulary, plain_tokens
from langtrack_core.masks import mask_iou
from langtrack_core.types import LangTrackError
from langtrack_core.video import read_picture
from langtrack_core.weights.checkpoint import read_checkpoint

from ..colours import COLOURS
from ..datasets import davis_sequences
from ..expressions.words import NOUNS
from . import (
    LiteRecipe,
    LossTerm,
    Settings,
    Trainer,
    adamw,
    fit,
    imagenet_weights,
    init_distributed,
    paper,
    save_weights,
    settings_of,
    side_by_side,
    tune_malloc,
)
from . import add_arguments as add_common_arguments
from .language_samples import SampleStream, collate
from .losses import cross_entropy, dice_loss, distillation_loss, projection_loss
from .words import tell

WEIGHTS = Path(__file__).parents[2] / "assets" / "weights"
LOOK = Preprocessing.lite()
SHAPE_SHARES = (0.07, 0.13, 0.1, 0.3, 0.4)
"""How often a step takes each of `LITE_SHAPES_HW`: videos are wide."""
BRANCH_FILES = ("dmn-lite.safetensors", "dmn-lite-backbone.safetensors")
LONGEST = 16
"""Words of a sentence that are read."""


@dataclass(frozen=True)
class LanguageRecipe(LiteRecipe):
    """Settings of a lite training.

    Attributes:
        batch: pictures a step, ``queries`` sentences each.
        classes_weight: of the distance between what the backbone says of ImageNet's classes and what it said.
        absent_weight: of the mask of an absent thing. Its score teaches that it is absent; taught too
            well, the mask fears every word that it never met.
        scenes: share of rendered pictures.
        tiled: share of the others that are two or four pictures in one.
        vague: share of salient things that a word at random names.
        low_weight: of the mask at stride 16; that at stride 4 has 1.
        cross_weight, score_weight: of the cross-entropy (Dice has 1), and of the score's.
        dice_smooth: share of the cells, see `dice_loss`; an absent thing asks for an empty mask.
        kin: share of nouns that become a near word, of similarity ``kin_least`` at the least.
        noise, dropped: deviation added to word vectors, and share of words left out.
    """

    steps: int = 2400
    batch: int = 12
    rate: float = 8e-4
    classes_weight: float = 1.0
    queries: int = 4
    scenes: float = 0.06
    tiled: float = 0.2
    vague: float = 0.25
    low_weight: float = 0.4
    cross_weight: float = 2.0
    score_weight: float = 0.3
    dice_smooth: float = 0.002
    absent_weight: float = 0.15
    kin: float = 0.25
    kin_least: float = 0.5
    noise: float = 0.03
    dropped: float = 0.04


PRESETS = {"lite": LanguageRecipe()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=["lite", "paper"], default="lite")
    add_common_arguments(parser)
    parser.add_argument(
        "--init", metavar="WEIGHTS",
        help="weights to start from. lite: a folder of this command's (default: ImageNet's backbone alone); "
        "paper: trained on ReferIt, a name from `weights list` (default paper), a file, or random",
    )  # fmt: skip
    lite = parser.add_argument_group("preset lite")
    lite.add_argument("--data", type=Path, help="folder with coco, persons, davis and saliency")
    lite.add_argument("--dev", type=Path, help="folder in DAVIS layout to measure on while training")
    paper.add_arguments(parser.add_argument_group("preset paper"))


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on; leaves the weights in ``OUT``."""
    tune_malloc()
    if args.preset == "paper":
        return paper.run(args)
    if args.data is None:
        raise LangTrackError("The preset lite needs --data, a folder with coco, persons, davis and saliency.")
    recipe, settings = settings_of(args, PRESETS["lite"])
    with init_distributed(args.device) as context:
        torch.manual_seed(args.seed)
        network, vocabulary = untrained()
        if args.init:
            load_branch(network, Path(args.init))
        network.to(context.device).to(memory_format=torch.channels_last)
        trainer = LanguageTrainer(
            network, vocabulary, imagenet_backbone(), recipe, settings, args.data, args.dev
        )
        if fit(trainer, settings, context) and context.is_main:
            print(f"{settings.out / 'dmn-lite.safetensors'}: {recipe.steps} steps")
    return 0


# --- words -------------------------------------------------------------------------------------------------


def word_ids(vocabulary: Vocabulary, sentences: list[str]) -> tuple[Tensor, Tensor]:
    """Sentences to word ids ``(N, LONGEST)`` and lengths ``(N,)``; one without a known word reads as "a"."""
    ids = torch.zeros(len(sentences), LONGEST, dtype=torch.int64)
    lengths = torch.ones(len(sentences), dtype=torch.int64)
    for row, sentence in enumerate(sentences):
        try:
            words = vocabulary.read(sentence).ids[:LONGEST]
        except LangTrackError:
            words = (vocabulary.ids["a"],)
        ids[row, : len(words)] = torch.tensor(words)
        lengths[row] = len(words)
    return ids, lengths


class Kin:
    """Puts a near word in the place of a noun now and then: "rhino" must work if only "elephant" was seen.

    Args:
        vectors: ``(V, D)`` word table, rows of length 1.
        nouns: ids of the words that may be replaced.
        share: how often.
        least: similarity of words that count as near.
    """

    def __init__(self, vectors: Tensor, nouns: list[int], share: float, least: float) -> None:
        self.share = share
        count = min(8, len(vectors))
        self.near = torch.arange(len(vectors))[:, None].repeat(1, count)
        similarity, near = (vectors[nouns] @ vectors.T).topk(count)
        self.near[nouns] = torch.where(similarity > least, near, self.near[nouns])

    def __call__(self, ids: Tensor, rng: np.random.Generator) -> Tensor:
        which = torch.from_numpy(rng.integers(self.near.shape[1], size=(*ids.shape, 1)))
        chosen = self.near[ids].gather(-1, which)[..., 0]
        return torch.where(torch.from_numpy(rng.random(ids.shape) < self.share), chosen, ids)


_SMALL = {"a", "the", "in", "on", "at", "of", "with", "and", "its", "to", "over", "from", "up", "off"}


def likeness(vectors: Tensor, vocabulary: Vocabulary) -> Callable[[str, str], float]:
    """How near the two nearest words of two expressions are, articles and the like left out."""

    def rows(text: str) -> Tensor:
        ids = vocabulary.ids
        return vectors[[ids[w] for w in plain_tokens(text) if w in ids and w not in _SMALL]]

    def alike(a: str, b: str) -> float:
        similarity = rows(a) @ rows(b).T
        return float(similarity.max()) if similarity.numel() else 0.0

    return alike


# --- the network, ready to be trained ----------------------------------------------------------------------


def untrained() -> tuple[LiteDMN, Vocabulary]:
    """The network with ImageNet's backbone and told what words of place and colour mean, and its words."""
    table = load_file(WEIGHTS / "words-lite.safetensors")
    network = LiteDMN(table["words"] / 127, table["classes"] / 127)
    network.backbone = imagenet_backbone()
    vocabulary = Vocabulary.from_file(WEIGHTS / "words-lite.txt", "plain")
    tell(network, vocabulary)
    return network, vocabulary


def imagenet_backbone() -> Backbone:
    """The package's entries come in timm's order."""
    backbone = Backbone()
    target = backbone.net.state_dict()
    named = dict(zip(target, imagenet_weights().values(), strict=True))
    if any(named[k].shape != v.shape for k, v in target.items()):
        raise LangTrackError("The installed EfficientNet-Lite0 weights do not have timm's shapes.")
    backbone.net.load_state_dict(named)
    return backbone


def classifier_names(backbone: Backbone) -> Callable[[NDArray[np.uint8]], tuple[str, ...]]:
    """What ImageNet calls the one thing in a picture, () when the classifier is not sure."""
    info = ImageNetInfo()
    names = [info.index_to_description(i, detailed=False).split(", ") for i in range(info.num_classes())]
    look = Preprocessing.lite((224, 224))
    device = backbone.net.classifier.weight.device

    @torch.inference_mode()
    def name_of(rgb: NDArray[np.uint8]) -> tuple[str, ...]:
        prob = backbone.net(look(rgb, device)).softmax(1)[0]
        best = int(prob.argmax())
        return tuple(n.lower() for n in names[best][:2]) if prob[best] > 0.35 else ()

    return name_of


# --- training ----------------------------------------------------------------------------------------------


class Words(NamedTuple):
    """The language of a batch: Q sentences for each of B pictures, N = B Q in all.

    ``ids`` (N, LONGEST), ``lengths`` (N,), ``noise`` (N, LONGEST, D) to add to the word vectors, ``dropped``
    (N, LONGEST) bool, words whose vector becomes zero.
    """

    ids: Tensor
    lengths: Tensor
    noise: Tensor
    dropped: Tensor


class TrainingBatch(NamedTuple):
    """``image`` (B, 3, H, W) in the network's range, ``masks`` (N, 1, h, w) in [0, 1] at stride 4,
    ``boxed`` (N,) whether a mask is but a filled box, ``vague`` (N,) whether a word at random names it."""

    image: Tensor
    words: Words
    masks: Tensor
    boxed: Tensor
    vague: Tensor


class LanguageTrainer(Trainer):
    """The lite network on photos, clips and rendered scenes."""

    name = "language"
    network: LiteDMN

    def __init__(
        self,
        network: LiteDMN,
        vocabulary: Vocabulary,
        teacher: Backbone,
        recipe: LanguageRecipe,
        settings: Settings,
        data: Path,
        dev: Path | None = None,
    ) -> None:
        self.network, self.vocabulary, self.seed, self.dev = network, vocabulary, settings.seed, dev
        self.recipe: LanguageRecipe = recipe
        self._freeze()
        self.teacher = teacher.to(network.words.device).requires_grad_(False).eval()
        self.stream = SampleStream(
            data,
            classifier_names(self.teacher),
            likeness(network.words.cpu(), vocabulary),
            queries=recipe.queries,
            scenes=recipe.scenes,
            tiled=recipe.tiled,
            words=tuple(word for word in vocabulary.words if len(word) > 3),
            vague=recipe.vague,
        )
        nouns = {word for names in NOUNS.values() for name in names for word in name.split()}
        nouns |= {word for _, names in self.stream.salient.shots for name in names for word in name.split()}
        ids = sorted(vocabulary.ids[w] for w in nouns - set(COLOURS) if w in vocabulary.ids)
        self.kin = Kin(network.words.cpu(), ids, recipe.kin, recipe.kin_least)

    def _freeze(self) -> None:
        """Exclude from learning what the recipe does not train of the backbone."""
        backbone = self.network.backbone.eval().requires_grad_(self.recipe.backbone_rate > 0)
        stages = backbone.net.blocks[: self.recipe.frozen_stages]
        for module in (backbone.net.conv_stem, backbone.net.bn1, *stages):
            module.requires_grad_(False)

    def optimiser(self) -> torch.optim.Optimizer:
        return adamw(self.network, self.recipe, betas=(0.9, 0.98))

    def train_mode(self) -> None:
        self.network.train()
        self.network.backbone.eval()  # its batch norms keep ImageNet's statistics

    def sample(self, index: int) -> TrainingBatch:
        """One picture as a batch; all of a step have one shape."""
        shape = np.random.default_rng((self.seed, index // self.recipe.batch, 1)).choice(
            len(LITE_SHAPES_HW), p=SHAPE_SHARES
        )
        rng = np.random.default_rng((self.seed, index))
        image, sentences, *masks = collate([self.stream.sample(rng, LITE_SHAPES_HW[shape])])
        ids, lengths = word_ids(self.vocabulary, sentences)
        noise = rng.standard_normal((*ids.shape, self.network.words.shape[1]), np.float32)
        dropped = torch.from_numpy(rng.random(ids.shape) < self.recipe.dropped) & (lengths[:, None] > 2)
        words = Words(self.kin(ids, rng), lengths, self.recipe.noise * torch.from_numpy(noise), dropped)
        return TrainingBatch(image, words, *masks)

    def collate(self, samples: list[TrainingBatch]) -> TrainingBatch:
        images, words, *masks = zip(*samples, strict=True)
        language = Words(*(torch.cat(column) for column in zip(*words, strict=True)))
        image = torch.cat(images).contiguous(memory_format=torch.channels_last)
        return TrainingBatch(image, language, *(torch.cat(column) for column in masks))

    def forward(self, batch: TrainingBatch, visual: Visual) -> Segmentation:
        network, words = self.network, batch.words
        longest = int(words.lengths.max())
        # With noise and with words left out now and then no single word decides.
        vectors = network.words[words.ids] + words.noise
        vectors = vectors.masked_fill(words.dropped[..., None], 0.0)[:, :longest]
        picture = torch.arange(len(batch.image), device=batch.image.device)
        language = network.read_vectors(vectors, words.lengths)
        return network.ground(visual, language, picture.repeat_interleave(self.recipe.queries))

    def losses(self, batch: TrainingBatch) -> dict[str, LossTerm]:
        visual = self.network.look(batch.image)
        terms = self._mask_losses(self.forward(batch, visual), batch)
        if self.recipe.backbone_rate > 0:
            with torch.no_grad():
                teacher = self.teacher(batch.image).class_log_prob
            distance = distillation_loss(teacher, visual.class_log_prob)
            terms["classes"] = LossTerm.mean(distance, self.recipe.classes_weight)
        return terms

    def _mask_losses(self, out: Segmentation, batch: TrainingBatch) -> dict[str, LossTerm]:
        """Terms of the loss on masks and scores; the batch holds N sentences."""
        recipe, target, boxed = self.recipe, batch.masks, batch.boxed
        terms: dict[str, LossTerm] = {}
        absent = target.amax((1, 2, 3)) == 0
        shape_weight = torch.where(absent, recipe.absent_weight, 1.0) * ~boxed
        low_target = F.interpolate(target, size=out.low_logits.shape[-2:], mode="area")
        for name, weight, logits, goal in (
            ("low", recipe.low_weight, out.low_logits, low_target),
            ("high", 1.0, out.mask_logits, target),
        ):
            logits = logits.float()
            # Positives are few: they weigh twice.
            cross = (cross_entropy(logits, goal) * (1 + goal)).mean((1, 2, 3))
            terms[f"bce_{name}"] = LossTerm.mean(cross * shape_weight, recipe.cross_weight * weight)
            smooth = recipe.dice_smooth * goal[0].numel()
            dice = dice_loss(logits, goal, smooth)
            terms[f"dice_{name}"] = LossTerm.mean(dice * shape_weight, weight)
            box = projection_loss(logits, goal, recipe.dice_smooth)
            terms[f"box_{name}"] = LossTerm.mean(box * boxed, weight)
        with torch.no_grad():
            prediction, truth = out.mask_logits > 0, target > 0.5
            inter = (prediction & truth).sum((1, 2, 3))
            union = (prediction | truth).sum((1, 2, 3))
            right = (inter / union.clamp(min=1) > 0.5).float()
        score = cross_entropy(out.score_logit.float(), right)
        terms["score"] = LossTerm.mean(score * ~(boxed | batch.vague), recipe.score_weight)
        return terms

    def pictures(self, batch: TrainingBatch) -> list[Tensor]:
        """The first sentence of each of the first four pictures."""
        first = slice(None, None, self.recipe.queries)
        prob = self.forward(batch, self.network.look(batch.image)).mask_logits.float().sigmoid()[first, 0]
        images = (batch.image * 128 + 127) / 255
        return [side_by_side(*three) for three in zip(images[:4], batch.masks[first, 0], prob, strict=False)]

    def measure(self) -> dict[str, float]:
        return measure(self.network, self.vocabulary, self.dev) if self.dev else {}

    def export(self, folder: Path) -> None:
        save_branch(self.network, folder)


@torch.inference_mode()
def measure(network: LiteDMN, vocabulary: Vocabulary, folder: Path, stride: int = 10) -> dict[str, float]:
    """Mean IoU by sequence over every `stride`-th frame and every sentence."""
    found = {}
    device = network.words.device
    for sequence in davis_sequences(folder):
        ids, lengths = (t.to(device) for t in word_ids(vocabulary, list(sequence.expressions)))
        language = network.read(ids[:, : int(lengths.max())], lengths)
        picture = torch.zeros(len(ids), dtype=torch.int64, device=device)
        values = []
        for index in range(0, len(sequence.frames), stride):
            truth = sequence.mask(index)
            assert truth is not None  # the DAVIS layout has a mask for every frame
            visual = network.look(LOOK(read_picture(sequence.frames[index]), device))
            mask_logits = lift(network.ground(visual, language, picture).mask_logits)
            logits = F.interpolate(mask_logits, size=truth.shape, mode="bilinear")[:, 0].cpu().numpy()
            values += [mask_iou(mask, truth) for mask in logits > 0]
        found[sequence.name] = float(np.mean(values))
    return found


def load_branch(network: LiteDMN, folder: Path) -> None:
    """What `save_branch` wrote.

    Raises:
        LangTrackError: a file is missing or does not fit.
    """
    state: dict[str, Tensor] = {}
    for name in BRANCH_FILES:
        state |= read_checkpoint(folder / name)[0]
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise LangTrackError(f"{folder} holds no weights of the lite language branch: {error}") from error


def save_branch(network: LiteDMN, out: Path) -> None:
    """The files to ship, the backbone apart from what was trained so that each stays small."""
    state = network.state_dict()
    metadata = {"network": "dmn-lite", "arguments": json.dumps(network.arguments())}
    backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
    trained = {name: value for name, value in state.items() if name not in backbone}
    for name, part in zip(BRANCH_FILES, (trained, backbone), strict=True):
        save_weights(out / name, part, metadata)
