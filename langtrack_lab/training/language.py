"""Training of the lite language branch; the published one's is in `paper`.

    python -m langtrack_core train language --preset lite --data DIR --out DIR

It is trained with binary cross-entropy and Dice on the mask at strides 16 and 4 (DMN's low and high
resolution, here at once), and a score that learns to tell whether the mask is right. The backbone starts from
ImageNet and learns slowly; its ImageNet classes are held to those of the backbone as it was (distillation,
Hinton et al., arXiv:1503.02531), since the class evidence has to know things that no training picture shows.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from langtrack_core.dmn.lite import Backbone, ImageFeatures, LiteDMN, Segmentation, raise_peak_logits
from langtrack_core.dmn.segmenter import LITE_SHAPES_HW, Preprocessing
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.files import sha256_of
from langtrack_core.masks import BoolMask
from langtrack_core.types import LangTrackError

from ..colours import COLOURS
from ..datasets import davis_sequences
from ..datasets.files import read_picture
from ..expressions.words import NOUNS
from ..metrics.masks import mask_iou
from . import (
    STOPPED,
    LiteRecipe,
    LossTerm,
    Settings,
    Trainer,
    adamw,
    check_out,
    fit,
    init_distributed,
    paper,
    settings_of,
    side_by_side,
    tune_malloc,
)
from . import add_arguments as add_common_arguments
from .annotated_images import NameOf
from .augment import jitter_mildly, old_video
from .checkpoints import data_hash
from .image_cache import ImageCache, bytes_per_worker
from .language_network import (
    BRANCH_FILES,
    classifier_names,
    imagenet_backbone,
    load_branch,
    save_branch,
    untrained,
)
from .language_samples import SampleStream
from .losses import box_agreement, cross_entropy, dice_loss, distillation_loss, projection_loss
from .words import SynonymSwap, word_ids, word_similarity

SHAPE_SHARES = (0.06, 0.14, 0.12, 0.4, 0.28)
"""How often a step takes each of `LITE_SHAPES_HW`: photos are mostly 4:3, and videos 4:3 or 16:9."""

MASK_STRIDE = 4
"""Pixels of the picture for one of a training mask, as in the network's own mask."""


@dataclass(frozen=True)
class LanguageRecipe(LiteRecipe):
    """Settings of a lite training.

    Attributes:
        batch: pictures a step, ``queries`` sentences each.
        classes_weight: of the distance between the backbone's and the teacher's ImageNet classes.
        absent_weight: of the mask of an absent thing. Its score teaches that it is absent; taught too
            well, the mask fears every word that it never met.
        described: share of pictures with sentences that people wrote; the rest have made ones.
        scenes: share of rendered pictures among those with made sentences.
        mosaics: share of the others that are two or four pictures in one.
        views: share of pictures of which a part is shown, the words being of the whole.
        old_video: share of pictures that look like small or old video.
        weak_names: share of salient things that a word at random names.
        low_weight: of the mask at stride 16; that at stride 4 has 1.
        cross_weight, score_weight: of the cross-entropy (Dice has 1), and of the score's.
        dice_smooth: share of the cells, see `dice_loss`; an absent thing asks for an empty mask.
        synonyms: share of nouns that become a word of similarity ``min_synonym_similarity`` or more.
        word_noise, dropped_words: deviation added to word vectors, and share of words left out.
    """

    steps: int = 2400
    batch: int = 12
    rate: float = 8e-4
    classes_weight: float = 1.0
    queries: int = 4
    described: float = 0.65
    scenes: float = 0.06
    mosaics: float = 0.2
    views: float = 0.4
    old_video: float = 0.2
    weak_names: float = 0.25
    low_weight: float = 0.4
    cross_weight: float = 2.0
    score_weight: float = 0.3
    dice_smooth: float = 0.002
    absent_weight: float = 0.15
    synonyms: float = 0.25
    min_synonym_similarity: float = 0.5
    word_noise: float = 0.03
    dropped_words: float = 0.04


PRESETS = {"lite": LanguageRecipe()}
"""Recipes by the name that ``--preset`` takes."""


# --- running -----------------------------------------------------------------------------------------------


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
    of_another = ("data", "dev") if args.preset == "paper" else paper.OPTIONS
    if given := [name for name in of_another if getattr(args, name) is not None]:
        raise LangTrackError(f"--{given[0]} does nothing with the preset {args.preset}; leave it out.")
    if args.preset == "paper":
        return paper.run(args)
    if args.data is None:
        raise LangTrackError("The preset lite needs --data, a folder with coco, persons, davis and saliency.")
    if args.dev is not None:
        davis_sequences(args.dev)  # what is wrong with it is told now, not when it is time to measure
    recipe, settings = settings_of(args, PRESETS["lite"])
    with init_distributed(args.device) as context:
        torch.manual_seed(args.seed)
        network, vocabulary = untrained()
        if args.init:
            load_branch(network, Path(args.init))
            hashes = [sha256_of(Path(args.init) / name) for name in BRANCH_FILES]
            settings = replace(settings, start=" ".join(hashes))
        check_out(settings, context)
        network.to(context.device)
        teacher = imagenet_backbone().to(context.device)
        names = classifier_names(teacher, args.data)
        trainer = LanguageTrainer(network, vocabulary, teacher, names, recipe, settings, args.data, args.dev)
        if not fit(trainer, settings, context):
            return STOPPED
        if context.is_main:
            print(f"{settings.out / BRANCH_FILES[0]}: {recipe.steps} steps")
    return 0


# --- training ----------------------------------------------------------------------------------------------


class LanguageSample(NamedTuple):
    """A picture with Q sentences; or, collated, B pictures with N = B Q sentences, picture by picture.

    Attributes:
        image: ``(3, H, W)``, collated ``(B, 3, H, W)``, uint8.
        masks: ``(Q, 1, H / 4, W / 4)`` uint8, 0 to 255.
        box_only: ``(Q,)`` bool, the mask is but a filled box.
        weak_name: ``(Q,)`` bool, a word at random names the target.
        ids, lengths: ``(Q, MAX_WORDS)`` and ``(Q,)`` words of the sentences.
        noise: ``(Q, MAX_WORDS, D)`` to add to the word vectors.
        dropped: ``(Q, MAX_WORDS)`` bool, words whose vector becomes zero.
        view: ``(4,)``, collated ``(B, 4)``: where the picture lies in the one that the sentences are of.
    """

    image: Tensor
    masks: Tensor
    box_only: Tensor
    weak_name: Tensor
    ids: Tensor
    lengths: Tensor
    noise: Tensor
    dropped: Tensor
    view: Tensor

    def network_image(self) -> Tensor:
        """``(B, 3, H, W)`` float32 in the network's range."""
        return (self.image.float() - 127) / 128


class LanguageTrainer(Trainer):
    """The lite network on photos, clips and rendered scenes.

    Args:
        teacher: the backbone whose classes ours is held to; of evaluation mode from here on.
        name_of: names the objects of photos; `classifier_names` of the teacher.
    """

    name = "language"
    network: LiteDMN

    def __init__(
        self,
        network: LiteDMN,
        vocabulary: Vocabulary,
        teacher: Backbone,
        name_of: NameOf,
        recipe: LanguageRecipe,
        settings: Settings,
        data: Path,
        dev: Path | None = None,
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.vocabulary, self.seed, self.dev = vocabulary, settings.seed, dev
        self.recipe: LanguageRecipe = recipe
        self.data_hash = data_hash(data)
        self._freeze()
        self.teacher = teacher.requires_grad_(False).eval()
        vectors = network.words.cpu()
        self.stream = SampleStream(
            data,
            name_of,
            word_similarity(vectors, vocabulary),
            ImageCache(bytes_per_worker(settings.workers)),
            queries=recipe.queries,
            described=recipe.described,
            scenes=recipe.scenes,
            mosaics=recipe.mosaics,
            views=recipe.views,
            words=tuple(word for word in vocabulary.words if len(word) > 3),
            weak_names=recipe.weak_names,
        )
        names = [name for names in (*NOUNS.values(), *self.stream.salient.names_by_picture) for name in names]
        nouns = {word for name in names for word in name.split()} - set(COLOURS)
        ids = sorted(vocabulary.ids[word] for word in nouns if word in vocabulary.ids)
        self.synonyms = SynonymSwap(vectors, ids, recipe.synonyms, recipe.min_synonym_similarity)

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

    def sample(self, index: int) -> LanguageSample:
        """One picture; all of a step have one shape."""
        step = index // self.recipe.batch
        shape = np.random.default_rng((self.seed, step, 1)).choice(len(LITE_SHAPES_HW), p=SHAPE_SHARES)
        rng = np.random.default_rng((self.seed, index))
        rgb, queries, view = self.stream.draw(rng, LITE_SHAPES_HW[shape])
        rgb = jitter_mildly(rgb, rng)
        if rng.random() < self.recipe.old_video:
            rgb = old_video(rgb, rng)
        sentences, targets = zip(*queries, strict=True)
        ids, lengths = word_ids(self.vocabulary, sentences)
        noise = rng.standard_normal((*ids.shape, self.network.words.shape[1]), np.float32)
        dropped = torch.from_numpy(rng.random(ids.shape) < self.recipe.dropped_words) & (lengths[:, None] > 2)
        return LanguageSample(
            torch.from_numpy(rgb).permute(2, 0, 1),
            torch.stack([_small_mask(target.mask) for target in targets]),
            torch.tensor([target.box_only for target in targets]),
            torch.tensor([target.weak_name for target in targets]),
            self.synonyms(ids, rng),
            lengths,
            self.recipe.word_noise * torch.from_numpy(noise),
            dropped,
            torch.from_numpy(view)[None],
        )

    def collate(self, samples: list[LanguageSample]) -> LanguageSample:
        images, *columns = zip(*samples, strict=True)
        image = torch.stack(images).contiguous(memory_format=torch.channels_last)
        return LanguageSample(image, *(torch.cat(column) for column in columns))

    def forward(self, batch: LanguageSample, visual: ImageFeatures) -> Segmentation:
        network = self.network
        longest = int(batch.lengths.max())
        # With noise and with words left out now and then no single word decides.
        vectors = network.words[batch.ids] + batch.noise
        vectors = vectors.masked_fill(batch.dropped[..., None], 0.0)[:, :longest]
        picture = torch.arange(len(batch.image), device=batch.image.device)
        language = network.encode_vectors(vectors, batch.lengths)
        return network.segment_batch(
            visual, language, picture.repeat_interleave(self.recipe.queries), batch.view
        )

    def losses(self, batch: LanguageSample) -> dict[str, LossTerm]:
        image = batch.network_image()
        visual = self.network.encode_image(image)
        terms = self._mask_losses(self.forward(batch, visual), batch)
        if self.recipe.backbone_rate > 0:
            with torch.no_grad():
                teacher = self.teacher(image).class_log_prob
            distance = distillation_loss(teacher, visual.class_log_prob)
            terms["classes"] = LossTerm.mean(distance, self.recipe.classes_weight)
        return terms

    def _mask_losses(self, out: Segmentation, batch: LanguageSample) -> dict[str, LossTerm]:
        """Terms of the loss on masks and scores."""
        recipe, target = self.recipe, batch.masks.float() / 255
        terms: dict[str, LossTerm] = {}
        absent = target.amax((1, 2, 3)) == 0
        shape_weight = torch.where(absent, recipe.absent_weight, 1.0) * ~batch.box_only
        low_target = F.interpolate(target, size=out.low_logits.shape[-2:], mode="area")
        for name, weight, logits, goal in (
            ("low", recipe.low_weight, out.low_logits, low_target),
            ("high", 1.0, out.mask_logits, target),
        ):
            logits = logits.float()
            # Positives are few: they weigh twice.
            cross = (cross_entropy(logits, goal) * (1 + goal)).mean((1, 2, 3))
            terms[f"bce_{name}"] = LossTerm.mean(cross * shape_weight, recipe.cross_weight * weight)
            dice = dice_loss(logits, goal, recipe.dice_smooth * goal[0].numel())
            terms[f"dice_{name}"] = LossTerm.mean(dice * shape_weight, weight)
            box = projection_loss(logits, goal, recipe.dice_smooth)
            terms[f"box_{name}"] = LossTerm.mean(box * batch.box_only, weight)
        with torch.no_grad():
            prediction, truth = out.mask_logits > 0, target > 0.5
            inter = (prediction & truth).sum((1, 2, 3))
            union = (prediction | truth).sum((1, 2, 3))
            agreement = torch.where(
                batch.box_only, box_agreement(prediction, truth), inter / union.clamp(min=1)
            )
        score = cross_entropy(out.score_logit.float(), (agreement > 0.5).float())
        terms["score"] = LossTerm.mean(score * ~batch.weak_name, recipe.score_weight)
        return terms

    def pictures(self, batch: LanguageSample) -> list[Tensor]:
        """The first sentence of each of the first four pictures."""
        visual = self.network.encode_image(batch.network_image())
        first = slice(None, None, self.recipe.queries)
        prob = self.forward(batch, visual).mask_logits.float().sigmoid()[first, 0]
        rows = zip(batch.image[:4] / 255, batch.masks[first, 0] / 255, prob, strict=False)
        return [side_by_side(*row) for row in rows]

    def measure(self) -> dict[str, float]:
        return measure(self.network, self.vocabulary, self.dev) if self.dev else {}

    def export(self, folder: Path) -> None:
        save_branch(self.network, folder)


def _small_mask(mask: BoolMask) -> Tensor:
    """``(1, H / 4, W / 4)`` uint8: the share of each cell that the mask covers, 255 for all of it."""
    size_wh = mask.shape[1] // MASK_STRIDE, mask.shape[0] // MASK_STRIDE
    small = cv2.resize(mask.astype(np.float32) * 255, size_wh, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.rint(small).astype(np.uint8))[None]


@torch.inference_mode()
def measure(network: LiteDMN, vocabulary: Vocabulary, folder: Path, stride: int = 10) -> dict[str, float]:
    """Mean IoU by sequence over every `stride`-th frame and every sentence."""
    figures = {}
    device, preprocessing = network.words.device, Preprocessing.lite()
    for sequence in davis_sequences(folder):
        ids, lengths = (t.to(device) for t in word_ids(vocabulary, sequence.expressions))
        language = network.encode_text(ids[:, : int(lengths.max())], lengths)
        picture = torch.zeros(len(ids), dtype=torch.int64, device=device)
        ious = []
        for index in range(0, len(sequence.frames), stride):
            truth = sequence.mask(index)
            assert truth is not None  # the DAVIS layout has a mask for every frame
            visual = network.encode_image(preprocessing(read_picture(sequence.frames[index]), device))
            mask_logits = raise_peak_logits(network.segment_batch(visual, language, picture).mask_logits)
            logits = F.interpolate(mask_logits, size=truth.shape, mode="bilinear")[:, 0].cpu().numpy()
            ious += [mask_iou(mask, truth) for mask in logits > 0]
        figures[sequence.name] = float(np.mean(ious))
    return figures
