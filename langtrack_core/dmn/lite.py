"""The `lite` language-guided module: DMN's modules in a size that two CPU cores run and train.

What is DMN's (Margffoy-Tuay et al., ECCV 2018): dynamic filters made from each word, their responses mixed
with the visual features, eight spatial channels and the word itself, a recurrence over the words that
fuses them, and an upsampling that takes skip features. What differs: an EfficientNet-Lite0 instead of a
DPN-92; words from a table distilled from a sentence encoder; the recurrence runs **per pixel over the
words**, as the paper says (the published code runs one sequence through all pixels); self-attention
between the cells, for words that compare; and more responses: the class evidence, and what the words say
of places and colours.

Class evidence: the ImageNet classifier, applied at every cell, tells how probable each of its 1,000
classes is there; weighting the classes by the similarity of their name and the expression gives a map that
already points at things the training pictures never held.

Places and colours: each word adds its part to a quadratic surface over the picture, and to a weight for each
of a few learnt colours. "Left" and "red" are learnt so in a few hundred steps; from filters over 150 channels
they were not learnt in a thousand (docs/NOTEBOOK.md, L6).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ColourBins, Comparison, ContextBlock, UpStep
from .network import spatial_channels
from .sru import SRU

PEAK_SHARE, PEAK_LOGIT, LARGEST_LIFT = 0.005, 2.5, 4.0


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the network.

    Attributes:
        channels: width of the visual features and of everything at stride 16.
        hidden: width of the language states.
        filters: dynamic filters a word (10, as published).
        skip8, skip4: width of the decoder at strides 8 and 4.
        colours: learnt colours.
    """

    channels: int = 144
    hidden: int = 128
    filters: int = 10
    skip8: int = 80
    skip4: int = 48
    colours: int = 24


class Language(NamedTuple):
    """What the network needs of an expression; N expressions, T words at the most.

    Attributes:
        states: ``(N, T, E + H)`` word embeddings beside their hidden states.
        filters: ``(N, T, K, C + 8)`` dynamic filters.
        class_weights: ``(N, 2, 1000)`` how near each ImageNet class is to the expression, sharply and
            broadly; rows add up to 1.
        meaning: ``(N, E)`` the weighted mean of the word vectors, of length 1.
        place: ``(N, 5)`` what the words say of x, y, x^2, y^2 and x y, added up.
        colour: ``(N, M)`` what they say of each learnt colour.
        last: ``(N,)`` index of each expression's last word.
    """

    states: Tensor
    filters: Tensor
    class_weights: Tensor
    meaning: Tensor
    place: Tensor
    colour: Tensor
    last: Tensor


class Visual(NamedTuple):
    """Features of B pictures; strides 4 to 32, class log-probabilities at stride 32, RGB at stride 4."""

    f4: Tensor
    f8: Tensor
    f16: Tensor
    f32: Tensor
    class_log_prob: Tensor
    rgb4: Tensor


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
        log_prob = class_logits.float().log_softmax(1)
        return Visual(stages[1], stages[2], stages[4], stages[6], log_prob, F.avg_pool2d(image.float(), 4))


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

    said_gain = 4.0  # with it, parameters of ordinary size do
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
        self.colours = ColourBins(c.colours, C)
        self.say_place = nn.Linear(D, 5, bias=False)
        self.say_colour = nn.Linear(D, c.colours, bias=False)
        self.told = nn.Conv2d(3, C, 1)
        self.colour_gain = nn.Parameter(torch.tensor(0.5))
        self.visual_norm = nn.GroupNorm(8, C)
        # Multimodal.
        self.comb_visual = nn.Conv2d(C + 8, C, 1)
        self.comb_language = nn.Linear(D + H, C)
        self.comb_response = nn.Linear(K + 5, C)
        self.mrnn = SRU(C, C, layers=2)
        self.context = nn.Sequential(ContextBlock(C), ContextBlock(C), ContextBlock(C))
        self.compare = nn.ModuleList([Comparison(C), Comparison(C)])
        self.out_low = nn.Conv2d(C, 1, 1)
        self.score = nn.Sequential(nn.Linear(2 * C + 12, 96), nn.ReLU(), nn.Linear(96, 1))
        # Upsampling.
        self.up8 = UpStep(C, 40, c.skip8)
        self.up4 = UpStep(c.skip8, 24, c.skip4)
        self.out_high = nn.Sequential(
            nn.Conv2d(c.skip4, c.skip4, 3, padding=1), nn.ReLU(), nn.Conv2d(c.skip4, 1, 1)
        )

    @property
    def vocabulary_size(self) -> int:
        return len(self.words)

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
        known = vectors * there[..., None]
        place, colour = self.say_place(known).sum(1), self.say_colour(known).sum(1)
        return Language(
            states,
            filters,
            class_weights,
            meaning,
            self.said_gain * place,
            self.said_gain * colour,
            lengths - 1,
        )

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
        colours = self.colours(visual.rgb4)
        features = F.relu(self.visual_norm(f16 + self.colours.project(colours)))
        B, _, h, w = features.shape
        N, T, K, _ = language.filters.shape
        place = spatial_channels(h, w, like=self.log_sharpness).to(features)
        features = torch.cat([features, place.expand(B, -1, -1, -1)], dim=1)  # (B, C + 8, h, w)

        # Rows of (expression, word): the first word of all expressions, the second of those that have one, …
        # Longest expressions first, so that every word follows on a leading part of the rows before it.
        order = language.last.argsort(descending=True) if N > 1 else torch.zeros_like(language.last)
        counts = [int((language.last >= t).sum()) for t in range(T)] if N > 1 else [1] * T
        expression = torch.cat([order[:count] for count in counts])
        word = torch.cat([order.new_full((count,), t) for t, count in enumerate(counts)])

        cells = features.flatten(2)[picture]  # (N, C + 8, h w)
        responses = language.filters.flatten(1, 2) @ cells / cells.shape[1] ** 0.5  # (N, T K, h w)
        responses = responses.view(N, T, K, h * w)[expression, word].transpose(1, 2)  # (rows, h w, K)
        evidence = self.class_evidence(visual.class_log_prob, language.class_weights, picture, (h, w))
        maps = self.direct(place, colours, language, picture).to(evidence)
        given = torch.cat([evidence, maps], dim=1).flatten(2).transpose(1, 2)
        responses = torch.cat([responses, given[expression].to(responses)], dim=-1)
        mixed = self.comb_visual(features).flatten(2).transpose(1, 2)[picture[expression]]  # (rows, h w, C)
        mixed = mixed + self.comb_language(language.states)[expression, word][:, None]
        mixed = F.relu(mixed + self.comb_response(responses))
        sizes = [count * h * w for count in counts]
        fused = self.mrnn(mixed.flatten(0, 1), sizes).view(mixed.shape)
        starts = torch.tensor([sum(counts[:t]) for t in range(T)], device=order.device)
        fused = fused[starts[language.last] + order.argsort()]  # each expression's last word

        fused = fused.transpose(1, 2).reshape(N, -1, h, w) + self.told(maps)
        fused = self.compare[0](self.context[0](fused), place)
        fused = self.context[2](self.compare[1](self.context[1](fused), place))

        # The place is told to the features alone: added to the mask, "on the left" would cut a bear in two.
        hint = self.colour_gain * maps[:, 2:]
        low = self.out_low(fused) + hint
        x = self.up8(fused, visual.f8[picture])
        x = self.up4(x, visual.f4[picture])
        high = self.out_high(x)
        high = high + F.interpolate(hint, scale_factor=4, mode="bilinear", align_corners=False)
        score = self.judge(fused, high.detach(), evidence, visual.class_log_prob, language.meaning, picture)
        return Segmentation(high, low, score)

    def direct(self, place: Tensor, colours: Tensor, language: Language, picture: Tensor) -> Tensor:
        """``(N, 3, h, w)``: what the words say of each cell's place, its colours, and those around it."""
        x, y = place[:, 4:5], place[:, 5:6]
        basis = torch.cat([x, y, x * x, y * y, x * y], dim=1)[0]
        where = torch.einsum("np,phw->nhw", language.place.to(basis), basis)[:, None]
        colour = torch.einsum("nk,nkhw->nhw", language.colour.to(colours), colours[picture])[:, None]
        around = F.avg_pool2d(colour, 5, stride=1, padding=2, count_include_pad=False)
        return torch.cat([where.to(colour), colour, around], dim=1)

    def class_evidence(
        self, class_log_prob: Tensor, class_weights: Tensor, picture: Tensor, size_hw: tuple[int, int]
    ) -> Tensor:
        """``(N, 2, h, w)``: log of the probability, at each cell, of classes that the expression
        resembles."""
        prob = torch.einsum("nchw,nkc->nkhw", class_log_prob.exp()[picture], class_weights)
        evidence = (prob + 1e-6).log() / 3.0 + 2.0  # to about [-2.6, 2]; 1e-6 keeps the logarithm finite
        return F.interpolate(evidence, size=size_hw, mode="bilinear", align_corners=False)

    def judge(
        self,
        fused: Tensor,
        mask_logits: Tensor,
        evidence: Tensor,
        class_log_prob: Tensor,
        meaning: Tensor,
        picture: Tensor,
    ) -> Tensor:
        """``(N,)`` logit of the mask being right.

        From the features under the mask and the strongest anywhere, how sharp the mask is, the class evidence
        under it and at best, and how near what ImageNet sees under it is to the expression.
        """
        prob = mask_logits.float().sigmoid()
        low = F.interpolate(prob, size=fused.shape[-2:], mode="area")
        area = low.mean((1, 2, 3))
        under = low / (low.sum((2, 3), keepdim=True) + 0.5)
        fused = fused.float()
        pooled = (fused * under).sum((2, 3))
        sharp = (prob * prob).mean((1, 2, 3)) / (prob.mean((1, 2, 3)) + 1e-4)
        peak = mask_logits.float().amax((1, 2, 3))
        classes = class_log_prob.exp()[picture]  # (N, 1000, h, w)
        coarse = F.interpolate(low, size=classes.shape[-2:], mode="area")
        coarse = coarse / (coarse.sum((2, 3), keepdim=True) + 1e-3)
        seen = (classes * coarse).sum((2, 3))  # (N, 1000)
        kin = (F.normalize(seen @ self.classes, dim=1) * meaning).sum(1)
        sureness = seen.amax(1).clamp(min=1e-4).log() / 3
        told = torch.stack([area, sharp, prob.amax((1, 2, 3)), peak / 5, kin, sureness], 1)
        told = torch.cat(
            [told, (evidence * under).sum((2, 3)), evidence.amax((2, 3)), evidence.mean((2, 3))], dim=1
        )
        return self.score(torch.cat([pooled, fused.amax((2, 3)), told], dim=1)).squeeze(1)

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
