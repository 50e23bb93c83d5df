"""The `lite` language network: DMN's modules in a size that two CPU cores run and train.

What is DMN's (Margffoy-Tuay et al., ECCV 2018): dynamic filters made from each word, their responses mixed
with the visual features, eight spatial channels and the word itself, a recurrence over the words that
fuses them, and an upsampling that takes skip features. What differs: an EfficientNet-Lite0 instead of a
DPN-92; words from a table distilled from a sentence encoder; the recurrence runs **per pixel over the
words**, as the paper says (the published code runs one sequence through all pixels); self-attention
between the cells, for words that compare; and more responses: the class evidence, and the attribute maps.

Class evidence: the ImageNet classifier, applied at every cell, tells how probable each of its 1,000
classes is there; weighting the classes by the similarity of their name and the expression gives a map that
already points at things the training pictures never held.

Attribute maps, of places and colours: each word adds its part to a quadratic surface over the picture, and to
a weight for each of a few learnt colours. "Left" and "red" are learnt so in a few hundred steps; from filters
over 150 channels they were not learnt in a thousand (docs/NOTEBOOK.md, L6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ColourBins, Comparison, ContextBlock, UpStep, seen_in, spatial_channels
from .sru import SRU, WordRows

PEAK_SHARE = 0.005
"""Share of a mask's cells, the strongest ones, that count as its peak. A larger share would raise whole
pictures where a sure object is small."""

PEAK_LOGIT = 2.0
"""A mask whose peak is below this logit (a probability of 0.88) is raised until the peak reaches it."""

MAX_RAISE = 4.0
"""A mask is raised by this much at most, so that an empty one, with all logits below -4, stays empty."""

HEAD_SCALE = 4.0
"""The outputs of the place and colour heads are multiplied by this: logits of one or two then need parameters
of the size that all others have, and learn at their rate."""


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


class TextFeatures(NamedTuple):
    """What the network needs of an expression; N expressions, T words at the most.

    Attributes:
        mixed: ``(N, T, C)`` what each word, with its hidden state, adds to the mixing with the picture.
        filters: ``(N, T, K, C + 8)`` dynamic filters.
        class_weights: ``(N, 2, 1000)`` how near each ImageNet class is to the expression, sharply and
            broadly; rows add up to 1.
        meaning: ``(N, E)`` the weighted mean of the word vectors, of length 1.
        place: ``(N, 5)`` what the words say of x, y, x^2, y^2 and x y, added up.
        colour: ``(N, M)`` what they say of each learnt colour.
        last: ``(N,)`` index of each expression's last word.
    """

    mixed: Tensor
    filters: Tensor
    class_weights: Tensor
    meaning: Tensor
    place: Tensor
    colour: Tensor
    last: Tensor


class ImageFeatures(NamedTuple):
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
        import timm  # which takes 2 s of processor time and 190 MB, with PyTorch's compiler

        self.net: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)

    def forward(self, image: Tensor) -> ImageFeatures:
        """``(B, 3, H, W)`` RGB, (v - 127) / 128 of 0 to 255; H and W multiples of 32."""
        net = self.net
        x = net.bn1(net.conv_stem(image))
        stages = []
        for stage in net.blocks:
            x = stage(x)
            stages.append(x)
        head = net.bn2(net.conv_head(x))
        weight = net.classifier.weight[:, :, None, None]
        log_prob = F.conv2d(head, weight, net.classifier.bias).float().log_softmax(1)
        # The mean of 4x4 pixels, as a convolution: OpenVINO's pooling would bring the picture, of three
        # channels, into blocks of sixteen first.
        box = torch.eye(3, device=image.device)[:, :, None, None].expand(-1, -1, 4, 4) / 16
        with torch.autocast(image.device.type, enabled=False):
            rgb4 = F.conv2d(image.float(), box, stride=4)
        return ImageFeatures(stages[1], stages[2], stages[4], stages[6], log_prob, rgb4)


def raise_peak_logits(mask_logits: Tensor) -> Tensor:
    """Raise a hesitant mask ``(N, 1, h, w)`` until its strongest cells are sure: the mask says where, the
    score whether. See `PEAK_SHARE`, `PEAK_LOGIT` and `MAX_RAISE`.

    Trained on sentences of absent things too, the network answers a word that it never met with the right
    shape at half strength. Chosen on dev: mean IoU 0.60 without, 0.69 with it."""
    flat = mask_logits.float().flatten(1)
    peak = flat.topk(1 + int(PEAK_SHARE * flat.shape[1]), dim=1).values[:, -1]  # a quantile
    raised = (PEAK_LOGIT - peak).clamp(0, MAX_RAISE)
    return mask_logits + raised[:, None, None, None]


class LiteDMN(nn.Module):
    """The whole branch. Pure: no state is kept between calls.

    Args:
        words: ``(V, D)`` word table, rows of length 1; not trained, kept in its own file.
        classes: ``(1000, D)`` ImageNet class names in the same space.
        late_backbone: makes the `Backbone` for the first picture, which a network compiled before never sees.
    """

    words: Tensor
    classes: Tensor
    backbone: Backbone
    at_once = 8  # see `segmenter.GroundingNetwork`

    def __init__(
        self,
        words: Tensor,
        classes: Tensor,
        config: LiteConfig | None = None,
        late_backbone: Callable[[], Backbone] | None = None,
    ) -> None:
        super().__init__()
        self.config = c = config or LiteConfig()
        self.vocabulary_size = len(words)
        D, C, H, K = words.shape[1], c.channels, c.hidden, c.filters
        self.register_buffer("words", words.float(), persistent=False)
        self.register_buffer("classes", classes.float(), persistent=False)
        self.late_backbone = late_backbone
        if late_backbone is None:
            self.backbone = Backbone()
        # Language.
        self.lang_model = SRU(D, H, layers=2)
        self.importance = nn.Linear(D + H, 1)
        # Sharp: the class that the expression names. Broad: the classes like it, when ImageNet has no such
        # class.
        self.log_sharpness = nn.Parameter(torch.tensor([20.0, 7.0]).log())
        self.dynamic_filter = nn.Linear(D + H, K * (C + 8))
        # Visual.
        self.from16 = nn.Conv2d(112, C, 1)
        self.from32 = nn.Conv2d(320, C, 1)
        self.colour_bins = ColourBins(c.colours, C)
        self.place_head = nn.Linear(D, 5, bias=False)
        self.colour_head = nn.Linear(D, c.colours, bias=False)
        self.attribute_proj = nn.Conv2d(3, C, 1)
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
        self.score_head = nn.Sequential(nn.Linear(2 * C + 12, 96), nn.ReLU(), nn.Linear(96, 1))
        # Upsampling.
        self.up8 = UpStep(C, 40, c.skip8)
        self.up4 = UpStep(c.skip8, 24, c.skip4)
        self.out_high = nn.Sequential(
            nn.Conv2d(c.skip4, c.skip4, 3, padding=1), nn.ReLU(), nn.Conv2d(c.skip4, 1, 1)
        )

    # --- one expression (`segmenter.GroundingNetwork`) ------------------------------------------------------

    def encode(self, ids: Tensor) -> TextFeatures:
        """One expression, word ids ``(T,)``."""
        return self.encode_text(ids[None], torch.tensor([len(ids)], device=ids.device))

    def segment(self, image: Tensor, text: TextFeatures, view: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """B pictures ``(B, 3, H, W)``, one expression: raised mask logits ``(B, 1, H/4, W/4)``, scores."""
        count, picture = len(image), torch.arange(len(image), device=image.device)
        if count > 1:
            text = TextFeatures(*(each.expand(count, *each.shape[1:]) for each in text))
        out = self.segment_batch(self.encode_image(image), text, picture, view)
        return raise_peak_logits(out.mask_logits), out.score_logit

    # --- batches --------------------------------------------------------------------------------------------

    def encode_text(self, word_ids: Tensor, lengths: Tensor) -> TextFeatures:
        """Word ids ``(N, T)`` int64 of expressions of ``lengths`` ``(N,)`` words; what comes after an
        expression's last word is ignored."""
        return self.encode_vectors(self.words[word_ids], lengths)

    def encode_vectors(self, vectors: Tensor, lengths: Tensor) -> TextFeatures:
        """As `encode_text`, from word vectors ``(N, T, D)``."""
        N, T, _ = vectors.shape
        hidden = self.lang_model(vectors.transpose(0, 1)).transpose(0, 1)
        states = torch.cat([vectors, hidden], dim=-1)
        is_word = torch.arange(T, device=lengths.device)[None] < lengths[:, None]
        importance = self.importance(states).squeeze(-1).masked_fill(~is_word, -torch.inf).softmax(1)
        meaning = F.normalize((importance[..., None] * vectors).sum(1), dim=-1)
        similarity = meaning @ self.classes.T  # (N, 1000)
        class_weights = (self.log_sharpness.exp()[:, None] * similarity[:, None]).softmax(-1)
        filters = self.dynamic_filter(states).view(N, T, self.config.filters, -1)
        words = vectors * is_word[..., None]
        place = HEAD_SCALE * self.place_head(words).sum(1)
        colour = HEAD_SCALE * self.colour_head(words).sum(1)
        mixed = self.comb_language(states)
        return TextFeatures(mixed, filters, class_weights, meaning, place, colour, lengths - 1)

    def load_backbone(self) -> None:
        """Make the late backbone, unless it is there."""
        if (new_backbone := self.late_backbone) is not None:
            with torch.inference_mode(False):  # tracing takes no parameters that were made in it
                self.backbone, self.late_backbone = new_backbone(), None

    def encode_image(self, image: Tensor) -> ImageFeatures:
        self.load_backbone()
        return self.backbone(image)

    def segment_batch(
        self, image: ImageFeatures, text: TextFeatures, picture: Tensor, view: Tensor | None = None
    ) -> Segmentation:
        """Segment expression n of N in picture ``picture[n]`` of B; ``(N,)`` int64.

        ``view`` ``(B, 4)``: where each picture lies in the one that its expressions speak of, see `seen_in`.
        """
        f16 = self.from16(image.f16)
        f16 = f16 + F.interpolate(self.from32(image.f32), scale_factor=2, mode="bilinear")
        colours = self.colour_bins(image.rgb4)
        features = F.relu(self.visual_norm(f16 + self.colour_bins.project(colours)))
        B, _, h, w = features.shape
        place = spatial_channels(h, w, like=self.log_sharpness)
        place = (place if view is None else seen_in(place, view)).to(features).expand(B, -1, -1, -1)
        features = torch.cat([features, place], dim=1)  # (B, C + 8, h, w)
        place = place[picture]

        evidence = self.class_evidence(image.class_log_prob, text.class_weights, picture, (h, w))
        attributes = self.attribute_maps(place, colours, text, picture).to(evidence)
        fused = self.fuse_words(features, torch.cat([evidence, attributes], dim=1), text, picture)
        fused = fused + self.attribute_proj(attributes)
        fused = self.compare[0](self.context[0](fused), place)
        fused = self.context[2](self.compare[1](self.context[1](fused), place))

        # The place goes into the features alone: added to the mask, "on the left" would cut a bear in two.
        colour_logits = self.colour_gain * attributes[:, 2:]
        low = self.out_low(fused) + colour_logits
        at_stride_8 = self.up8(fused, image.f8[picture])
        high = self.out_high(self.up4(at_stride_8, image.f4[picture]))
        high = high + F.interpolate(colour_logits, scale_factor=4, mode="bilinear", align_corners=False)
        score = self.score(fused, high.detach(), evidence, image.class_log_prob, text.meaning, picture)
        return Segmentation(high, low, score)

    def fuse_words(self, features: Tensor, maps: Tensor, text: TextFeatures, picture: Tensor) -> Tensor:
        """Run the recurrence at each cell over the words; ``(N, C, h, w)``, its state after the last word.

        What it takes of a word is mixed from the features ``(B, C + 8, h, w)``, the word itself, and the
        responses: those of the word's dynamic filters, and ``maps`` ``(N, 5, h, w)``, the same for all words.
        """
        _, C, h, w = features.shape
        N, T, K, _ = text.filters.shape
        rows = WordRows.of(text.last, T)  # R of them
        cells = features.flatten(2)[picture]  # (N, C + 8, h w)
        responses = text.filters.flatten(1, 2) @ cells / C**0.5  # (N, T K, h w)
        responses = responses.view(N, T, K, h * w)[rows.expression, rows.word].transpose(1, 2)  # (R, h w, K)
        of_responses, of_maps = self.comb_response.weight.split([K, maps.shape[1]], dim=1)
        # The same for all words: the features and the maps.
        shared = self.comb_visual(features)[picture] + F.conv2d(maps.to(features), of_maps[:, :, None, None])
        shared = shared.flatten(2).transpose(1, 2)  # (N, h w, C)
        if N > 1:
            shared = shared[rows.expression]
        mixed = shared + text.mixed[rows.expression, rows.word][:, None]
        mixed = F.relu(mixed + F.linear(responses, of_responses, self.comb_response.bias))  # (R, h w, C)
        fused = self.mrnn(mixed, rows.counts, rows.last_row)  # (N, h w, C)
        return fused.transpose(1, 2).reshape(N, -1, h, w)

    def attribute_maps(self, place: Tensor, colours: Tensor, text: TextFeatures, picture: Tensor) -> Tensor:
        """``(N, 3, h, w)``: what the words say of each cell's place, its colours, and those around it."""
        x, y = place[:, 4:5], place[:, 5:6]
        basis = torch.cat([x, y, x * x, y * y, x * y], dim=1)
        where = (text.place.to(basis)[:, :, None, None] * basis).sum(1, keepdim=True)
        colour = (text.colour.to(colours)[:, :, None, None] * colours[picture]).sum(1, keepdim=True)
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

    def score(
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
        under it and at best, and how near what ImageNet sees under it is to the expression."""
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
        class_prob = (classes * coarse).sum((2, 3))  # (N, 1000)
        likeness = (F.normalize(class_prob @ self.classes, dim=1) * meaning).sum(1)
        sureness = class_prob.amax(1).clamp(min=1e-4).log() / 3
        figures = torch.stack([area, sharp, prob.amax((1, 2, 3)), peak / 5, likeness, sureness], 1)
        evidence_figures = (evidence * under).sum((2, 3)), evidence.amax((2, 3)), evidence.mean((2, 3))
        figures = torch.cat([figures, *evidence_figures], dim=1)
        return self.score_head(torch.cat([pooled, fused.amax((2, 3)), figures], dim=1)).squeeze(1)
