"""The `lite` language-guided module: DMN's modules in a size that two CPU cores run and train.

What is DMN's (Margffoy-Tuay et al., ECCV 2018): dynamic filters made from each word, their responses mixed
with the visual features, eight spatial channels and the word itself, a recurrence over the words that
fuses them, and an upsampling that takes skip features. What differs: an EfficientNet-Lite0 instead of a
DPN-92; words from a table distilled from a sentence encoder; the recurrence runs **per pixel over the
words**, as the paper says (the published code runs one sequence through all pixels); and one response
more, the class evidence.

Class evidence: the ImageNet classifier, applied at every cell, tells how probable each of its 1,000
classes is there; weighting the classes by the similarity of their name and the expression gives a map that
already points at things the training pictures never held.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .network import spatial_channels
from .sru import SRU

PEAK_SHARE, PEAK_LOGIT, LARGEST_LIFT = 0.005, 2.0, 3.0


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the network.

    Attributes:
        channels: width of the visual features and of everything at stride 16.
        hidden: width of the language states.
        filters: dynamic filters a word (10, as published).
        skip8, skip4: width of the decoder at strides 8 and 4.
    """

    channels: int = 144
    hidden: int = 128
    filters: int = 10
    skip8: int = 80
    skip4: int = 48


class Language(NamedTuple):
    """What the network needs of an expression; N expressions, T words at the most.

    Attributes:
        states: ``(N, T, E + H)`` word embeddings beside their hidden states.
        filters: ``(N, T, K, C + 8)`` dynamic filters.
        class_weights: ``(N, 2, 1000)`` how near each ImageNet class is to the expression, sharply and
            broadly; rows add up to 1.
        last: ``(N,)`` index of each expression's last word.
    """

    states: Tensor
    filters: Tensor
    class_weights: Tensor
    last: Tensor


class Visual(NamedTuple):
    """Features of B pictures; stride 4, 8 and 16, and class log-probabilities at stride 32."""

    f4: Tensor
    f8: Tensor
    f16: Tensor
    f32: Tensor
    class_log_prob: Tensor


class Segmentation(NamedTuple):
    """Mask logits at stride 4 and 16 of the input, and the logit of "the IoU with the truth is above 0.5"."""

    mask_logits: Tensor
    low_logits: Tensor
    score_logit: Tensor


class Backbone(nn.Module):
    """EfficientNet-Lite0 (timm's names, so that its ImageNet weights load), features and classifier in one
    pass."""

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)

    def forward(self, image: Tensor) -> Visual:
        """``(B, 3, H, W)`` RGB, (v - 127) / 128 of 0 to 255; H and W multiples of 32."""
        net = self.net
        x = net.bn1(net.conv_stem(image))
        stages = []
        for stage in net.blocks:
            x = stage(x)
            stages.append(x)
        head = net.bn2(net.conv_head(x))
        weight = net.classifier.weight[:, :, None, None]
        class_logits = F.conv2d(head, weight, net.classifier.bias)
        return Visual(stages[1], stages[2], stages[4], stages[6], class_logits.float().log_softmax(1))


class ContextBlock(nn.Module):
    """Depth-wise 7x7 and an inverted bottleneck (ConvNeXt, Liu et al., CVPR 2022): cells see their
    surroundings."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.reduce = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.reduce(F.gelu(self.expand(self.norm(self.spatial(x)))))


class UpStep(nn.Module):
    """Double the resolution and take in the skip features of that stride."""

    def __init__(self, channels: int, skip: int, out: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(skip, out, 1)
        self.reduce = nn.Conv2d(channels, out, 1)
        self.conv = nn.Sequential(nn.Conv2d(2 * out, out, 3, padding=1), nn.GroupNorm(8, out), nn.ReLU())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(self.reduce(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.conv(torch.cat([x, self.skip(skip)], dim=1))


def lift(mask_logits: Tensor) -> Tensor:
    """Raise a hesitant mask until its strongest cells are sure: the mask says where, the score says whether.

    Trained on sentences of absent things too, the network answers a word that it never met with the right
    shape at half strength. Chosen on dev: mean IoU 0.60 without, 0.69 with it.

    Args:
        mask_logits: ``(N, 1, h, w)``; its largest share `PEAK_SHARE` of cells comes to `PEAK_LOGIT` or more,
            raised by `LARGEST_LIFT` at the most, so that an empty mask stays empty.
    """
    flat = mask_logits.float().flatten(1)
    peak = flat.topk(1 + int(PEAK_SHARE * flat.shape[1]), dim=1).values[:, -1]  # a quantile
    raised = (PEAK_LOGIT - peak).clamp(0, LARGEST_LIFT)
    return mask_logits + raised[:, None, None, None]


class LiteDMN(nn.Module):
    """The whole branch. Pure: no state is kept between calls.

    Args:
        words: ``(V, D)`` word table, rows of length 1; not trained, kept in its own file.
        classes: ``(1000, D)`` ImageNet class names in the same space.
    """

    one_region = True  # a referring expression means one object; on dev the boxes' mean IoU rises by 0.13
    words: Tensor
    classes: Tensor

    def __init__(self, words: Tensor, classes: Tensor, config: LiteConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or LiteConfig()
        D, C, H, K = words.shape[1], c.channels, c.hidden, c.filters
        self.register_buffer("words", words.float(), persistent=False)
        self.register_buffer("classes", classes.float(), persistent=False)
        self.backbone = Backbone()
        # Language.
        self.lang_model = SRU(D, H, layers=2)
        self.importance = nn.Linear(D + H, 1)
        # Sharp: the class that the expression names. Broad: its kin, when ImageNet has no such class.
        self.log_sharpness = nn.Parameter(torch.tensor([20.0, 7.0]).log())
        self.adaptative_filter = nn.Linear(D + H, K * (C + 8))
        # Visual.
        self.from16 = nn.Conv2d(112, C, 1)
        self.from32 = nn.Conv2d(320, C, 1)
        self.visual_norm = nn.GroupNorm(8, C)
        # Multimodal.
        self.comb_visual = nn.Conv2d(C + 8, C, 1)
        self.comb_language = nn.Linear(D + H, C)
        self.comb_response = nn.Linear(K + 2, C)
        self.mrnn = SRU(C, C, layers=2)
        self.context = nn.Sequential(ContextBlock(C), ContextBlock(C), ContextBlock(C))
        self.out_low = nn.Conv2d(C, 1, 1)
        self.score = nn.Sequential(nn.Linear(C + 3, 64), nn.ReLU(), nn.Linear(64, 1))
        # Upsampling.
        self.up8 = UpStep(C, 40, c.skip8)
        self.up4 = UpStep(c.skip8, 24, c.skip4)
        self.out_high = nn.Sequential(
            nn.Conv2d(c.skip4, c.skip4, 3, padding=1), nn.ReLU(), nn.Conv2d(c.skip4, 1, 1)
        )

    def arguments(self) -> dict[str, int]:
        """What to store beside the weights to build the network again."""
        return asdict(self.config)

    def read(self, word_ids: Tensor, lengths: Tensor) -> Language:
        """Expressions to what the network needs of them.

        Args:
            word_ids: ``(N, T)`` int64, anything after an expression's last word is ignored.
            lengths: ``(N,)`` number of words of each.
        """
        return self.read_vectors(self.words[word_ids], lengths)

    def read_vectors(self, vectors: Tensor, lengths: Tensor) -> Language:
        """As `read`, from word vectors ``(N, T, D)``."""
        N, T, _ = vectors.shape
        hidden = self.lang_model(vectors.transpose(0, 1)).transpose(0, 1)
        states = torch.cat([vectors, hidden], dim=-1)
        there = torch.arange(T, device=lengths.device)[None] < lengths[:, None]
        importance = self.importance(states).squeeze(-1).masked_fill(~there, -torch.inf).softmax(1)
        meaning = F.normalize((importance[..., None] * vectors).sum(1), dim=-1)
        similarity = meaning @ self.classes.T  # (N, 1000)
        class_weights = (self.log_sharpness.exp()[:, None] * similarity[:, None]).softmax(-1)
        filters = self.adaptative_filter(states).view(N, T, self.config.filters, -1)
        return Language(states, filters, class_weights, lengths - 1)

    def look(self, image: Tensor) -> Visual:
        return self.backbone(image)

    def ground(self, visual: Visual, language: Language, picture: Tensor) -> Segmentation:
        """Segment expression n in picture ``picture[n]``.

        Args:
            visual: features of B pictures.
            language: N expressions.
            picture: ``(N,)`` int64 in [0, B).
        """
        f16 = self.from16(visual.f16)
        f16 = f16 + F.interpolate(
            self.from32(visual.f32), scale_factor=2, mode="bilinear", align_corners=False
        )
        features = F.relu(self.visual_norm(f16))
        B, _, h, w = features.shape
        N, T, K, _ = language.filters.shape
        place = spatial_channels(h, w, like=self.log_sharpness).to(features).expand(B, -1, -1, -1)
        features = torch.cat([features, place], dim=1)  # (B, C + 8, h, w)

        cells = features.flatten(2)[picture]  # (N, C + 8, h w)
        responses = language.filters.flatten(1, 2) @ cells / cells.shape[1] ** 0.5  # (N, T K, h w)
        responses = responses.view(N, T, K, h * w).transpose(2, 3)  # (N, T, h w, K)
        evidence = self.class_evidence(visual.class_log_prob, language.class_weights, picture, (h, w))
        responses = torch.cat(
            [responses, evidence.flatten(2).transpose(1, 2)[:, None].expand(-1, T, -1, -1)], dim=-1
        )

        mixed = self.comb_visual(features).flatten(2).transpose(1, 2)[picture][:, None]  # (N, 1, h w, C)
        mixed = mixed + self.comb_language(language.states)[:, :, None] + self.comb_response(responses)
        sequence = F.relu(mixed).transpose(0, 1).flatten(1, 2)  # (T, N h w, C)
        fused = self.mrnn(sequence).view(T, N, h * w, -1)
        fused = fused[language.last, torch.arange(N, device=fused.device)]  # each expression's last word
        fused = self.context(fused.transpose(1, 2).reshape(N, -1, h, w))

        low = self.out_low(fused)
        x = self.up8(fused, visual.f8[picture])
        x = self.up4(x, visual.f4[picture])
        high = self.out_high(x)
        return Segmentation(high, low, self.judge(fused.detach(), high.detach()))

    def class_evidence(
        self, class_log_prob: Tensor, class_weights: Tensor, picture: Tensor, size_hw: tuple[int, int]
    ) -> Tensor:
        """``(N, 2, h, w)``: log of the probability, at each cell, of classes that the expression
        resembles."""
        prob = torch.einsum("nchw,nkc->nkhw", class_log_prob.exp()[picture], class_weights)
        evidence = (prob + 1e-6).log() / 3.0 + 2.0  # to about [-2.6, 2]; 1e-6 keeps the logarithm finite
        return F.interpolate(evidence, size=size_hw, mode="bilinear", align_corners=False)

    def judge(self, fused: Tensor, mask_logits: Tensor) -> Tensor:
        """``(N,)`` logit of the mask being right, from the features under it and from how sharp it is."""
        prob = mask_logits.float().sigmoid()
        low = F.interpolate(prob, size=fused.shape[-2:], mode="area")
        area = low.mean((1, 2, 3))
        pooled = (fused.float() * low).mean((2, 3)) / (area[:, None] + 1e-3)
        sharp = (prob * prob).mean((1, 2, 3)) / (prob.mean((1, 2, 3)) + 1e-4)
        peak = prob.amax((1, 2, 3))
        return self.score(torch.cat([pooled, torch.stack([area, sharp, peak], 1)], dim=1)).squeeze(1)

    def encode(self, ids: Tensor) -> Language:
        """One expression, word ids ``(T,)``."""
        return self.read(ids[None], torch.tensor([len(ids)], device=ids.device))

    def segment(self, image: Tensor, language: Language) -> tuple[Tensor, Tensor]:
        """One picture ``(1, 3, H, W)``, one expression: lifted mask logits ``(1, 1, H/4, W/4)``, score."""
        picture = torch.zeros(1, dtype=torch.int64, device=image.device)
        out = self.ground(self.look(image), language, picture)
        return lift(out.mask_logits), out.score_logit[0]

    def forward(self, image: Tensor, word_ids: Tensor, lengths: Tensor, picture: Tensor) -> Segmentation:
        return self.ground(self.look(image), self.read(word_ids, lengths), picture)
