"""The published Dynamic Multimodal Network (DMN), from top to bottom in the order of its figure.

Margffoy-Tuay et al., "Dynamic Multimodal Instance Segmentation guided by natural language queries", ECCV
2018. What the paper leaves open is as in the authors' released network (github.com/BCV-Uniandes/DMS), so that
its checkpoints load and give the same masks:

    picture -> DPN-92 -> I_5 and five skip features --------------------------------------+
    words -> embedding -> SRU x3 -> dynamic filters                                       |
    I_5 + coordinates, words, filter responses -> 1x1 mixing -> multimodal SRU x3 -> upsampling -> mask

``T`` is the number of words, ``H x W`` the grid of I_5 (the picture over 32), batch size is always 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..types import LangTrackError
from .blocks import spatial_channels
from .sru import SRU

VISUAL_CHANNELS = 2688
"""Channels of I_5, what DPN-92 gives of a cell of the picture."""

CELL_CHANNELS = VISUAL_CHANNELS + 8
"""Channels of a cell, with those that say where it is; see `spatial_channels`."""

SKIP_CHANNELS = (64, 336, 704, 1552, 2688)
"""Channels of DPN-92's skip features at strides 2, 4, 8, 16 and 32."""

UPSAMPLING_CHANNELS = (512, 256, 128, 64, 32)
"""Channels after each upsampling step, from the coarsest to the finest, as published."""


@dataclass(frozen=True)
class DMNConfig:
    """Sizes and switches; the defaults are the published ones.

    Attributes:
        vocabulary_size: words that have an embedding, ``<unk>`` and ``<pad>`` among them.
        resolution: "high" gives a mask of the picture's size through upsampling with skip features; "low" one
            logit per I_5 cell, the network of the first training stage.
        align_corners: bilinear resizing as PyTorch did it up to 0.3, when the released weights were trained.
        batch_statistics: normalise by the picture's own mean and variance in evaluation too, as the published
            evaluation did (it left the network in training mode). The stored statistics stay untouched.
    """

    vocabulary_size: int
    embedding: int = 1000
    hidden: int = 1000
    filters: int = 10
    mixed: int = 1000
    mixed_hidden: int = 1005
    language_layers: int = 3
    mixed_layers: int = 3
    resolution: Literal["low", "high"] = "high"
    align_corners: bool = False
    batch_statistics: bool = False


class WordFeatures(NamedTuple):
    """What one expression says, worked out once and used for every frame.

    ``embedded`` is (T, embedding), ``hidden`` (T, hidden), ``filters`` (T, K, 2688 + 8) in (0, 1)."""

    embedded: Tensor
    hidden: Tensor
    filters: Tensor


class VisualModule(nn.Module):
    """DPN-92 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        # timm ends its DPN in an ELU; the published network, like the original DPN, in a ReLU.
        self.backbone = timm.create_model("dpn92", num_classes=0, global_pool="", fc_act_layer="relu")

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``(1, 3, h, w)`` to I_5 ``(1, 2688, H, W)`` and the skip features, finest first.

        I_5 is taken after the last batch norm and ReLU. The skips are not: the first is the bare stem
        convolution, the others the concatenated residual and dense paths at the end of each stage."""
        skips = []
        x = image
        for name, layer in self.backbone.get_submodule("features").named_children():
            if name == "conv1_1":
                x = layer.get_submodule("conv")(x)
                skips.append(x)
                x = layer.get_submodule("bn")(x)
            else:
                x = layer(x)
            if name in ("conv2_3", "conv3_4", "conv4_20", "conv5_3"):
                skips.append(x if isinstance(x, Tensor) else torch.cat(x, dim=1))  # a pair in earlier timm
        return x, skips


class LanguageModule(nn.Module):
    """Embedding, recurrence over the words, and K dynamic filters for each word."""

    def __init__(self, config: DMNConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding)
        self.recurrence = SRU(config.embedding, config.hidden, config.language_layers)
        self.filters = nn.Linear(config.embedding + config.hidden, config.filters * CELL_CHANNELS)

    def forward(self, ids: Tensor) -> WordFeatures:
        T = len(ids)
        embedded = self.embedding(ids)  # (T, embedding)
        hidden = self.recurrence(embedded[:, None])[:, 0]  # (T, hidden)
        filters = torch.sigmoid(self.filters(torch.cat([embedded, hidden], dim=1)))
        return WordFeatures(embedded, hidden, filters.view(T, -1, CELL_CHANNELS))


class UpsamplingModule(nn.Module):
    """Five times: join the skip feature, double, convolve; then one logit per pixel."""

    def __init__(self, channels: int, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        before = channels, *UPSAMPLING_CHANNELS[:-1]
        sizes = zip(before, reversed(SKIP_CHANNELS), UPSAMPLING_CHANNELS, strict=True)
        self.steps = nn.ModuleList(nn.Conv2d(n + skip, out, 3, padding=1) for n, skip, out in sizes)
        self.out = nn.Conv2d(UPSAMPLING_CHANNELS[-1], 1, kernel_size=1)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """``(1, C, H, W)`` and the skips, finest first, to logits ``(1, 1, 32 H, 32 W)`` or a little less."""
        for step, skip in zip(self.steps, reversed(skips), strict=True):
            if x.shape[-2:] != skip.shape[-2:]:  # a side that 32 does not divide was rounded up going down
                x = self._resize(x, skip.shape[-2:])
            x = self._doubled(torch.cat([x, skip], dim=1), *step.parameters())
        return self.out(x)

    def _doubled(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The 3x3 convolution of the picture doubled: the sum over the kernel's places of 1x1 convolutions,
        which go before the doubling, where they have a quarter of the cells (a third of the time)."""
        H, W = x.shape[-2:]
        total = bias[:, None, None]
        for j in range(3):
            column = bias.new_zeros(())
            for i in range(3):  # doubled downward, and their sum across
                part = self._resize(F.conv2d(x, weight[:, :, i : i + 1, j : j + 1]), (2 * H, W))
                column = column + F.pad(part, (0, 0, 1 - i, i - 1))
            total = total + F.pad(self._resize(column, (2 * H, 2 * W)), (1 - j, j - 1, 0, 0))
        return total

    def _resize(self, x: Tensor, size_hw: tuple[int, int] | torch.Size) -> Tensor:
        return F.interpolate(x, tuple(size_hw), mode="bilinear", align_corners=self.align_corners)


class DMN(nn.Module):
    """The published network, with random weights until a file fills it (`published_name`)."""

    def __init__(self, config: DMNConfig) -> None:
        super().__init__()
        self.config, self.vocabulary_size = config, config.vocabulary_size
        self.visual = VisualModule()
        self.language = LanguageModule(config)
        mixing_channels = CELL_CHANNELS + config.embedding + config.hidden + config.filters
        self.mixing = nn.Conv2d(mixing_channels, config.mixed, kernel_size=1)
        self.multimodal = SRU(config.mixed, config.mixed_hidden, config.mixed_layers)
        if config.resolution == "high":
            self.upsampling = UpsamplingModule(config.mixed_hidden, config.align_corners)
        else:
            self.collapse = nn.Conv2d(config.mixed_hidden, 1, kernel_size=1)

    def encode(self, ids: Tensor) -> WordFeatures:
        """Word ids ``(T,)`` int64, T >= 1, to the language tensors."""
        if ids.ndim != 1 or len(ids) == 0:
            raise ValueError(f"ids must be (T,) with T >= 1, got {tuple(ids.shape)}")
        return self.language(ids)

    def segment(self, image: Tensor, language: WordFeatures) -> tuple[Tensor, None]:
        """Mask logits ``(1, 1, h', w')`` of one picture ``(1, 3, h, w)``, and no score: DMN has none."""
        if image.ndim != 4 or image.shape[:2] != (1, 3):
            raise ValueError(f"image must be (1, 3, h, w), got {tuple(image.shape)}")
        visual, skips = self.visual(image)
        return self.finish(self.fuse(visual, language), skips), None

    def finish(self, fused: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """``(1, mixed_hidden, H, W)`` and the skip features, finest first, to mask logits."""
        return self.upsampling(fused, skips) if self.config.resolution == "high" else self.collapse(fused)

    def forward(self, image: Tensor, ids: Tensor) -> Tensor:
        """Picture ``(1, 3, h, w)`` and word ids ``(T,)`` to mask logits ``(1, 1, h', w')``, for training."""
        return self.segment(image, self.encode(ids))[0]

    def fuse(self, visual: Tensor, language: WordFeatures) -> Tensor:
        """I_5 ``(1, 2688, H, W)`` and the language to ``(1, mixed_hidden, H, W)``, the published way.

        One sequence of H * W * T steps, all words of the first pixel, then all of the second; the last H * W
        hidden states are kept, whichever pixel or word they belong to. (The paper describes a sequence of T
        words for each pixel.) Each step is the mixing of the concatenation of [visual, coordinates,
        embedding, hidden state, filter responses]; the first cell projects it. Both are linear, so both are
        done part by part: by far the largest, the visual one, once for all words."""
        _, _, H, W = visual.shape
        visual = torch.cat([visual, spatial_channels(H, W, like=visual)], dim=1)
        T, K, C = language.filters.shape
        cells = visual.flatten(2)[0].T  # (H W, C)
        responses = cells @ language.filters.reshape(T * K, C).T  # (H W, T K)
        words = torch.cat([language.embedded, language.hidden], dim=1)
        of_cells, of_words, of_responses = self.mixing.weight[:, :, 0, 0].T.split([C, words.shape[1], K])
        bias = self.mixing.get_parameter("bias")
        parts = torch.addmm(bias, cells, of_cells), words @ of_words, of_responses
        first: Any = self.multimodal.rnn_lst[0]
        projected = []
        for projection in first.project(torch.cat(parts)):
            of_cell, of_word, of_response = projection.split([H * W, T, K])
            steps = of_cell[:, None] + of_word + responses.view(H * W, T, K) @ of_response
            projected.append(steps.view(H * W * T, 1, -1))
        last = torch.arange(H * W * (T - 1), H * W * T, device=visual.device)
        return self.multimodal(projected, rows=last)[:, 0].T.reshape(1, -1, H, W)

    def train(self, mode: bool = True) -> DMN:
        """As for every module; in evaluation, honours ``DMNConfig.batch_statistics`` without side effects."""
        super().train(mode)
        own = self.config.batch_statistics and not mode
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # A batch norm in training mode that tracks nothing uses the batch and writes to no buffer.
                module.training = mode or own
                module.track_running_stats = not own
        return self


_PARTS = (
    ("langvis.base.", "visual.backbone."),
    ("langvis.emb.", "language.embedding."),
    ("langvis.lang_model.", "language.recurrence."),
    ("langvis.adaptative_filter.", "language.filters."),
    ("langvis.comb_conv.", "mixing."),
    ("langvis.mrnn.", "multimodal."),
    ("langvis.output_collapse.", "collapse."),
    ("upsample.out_layer.", "upsampling.out."),
)
"""Each part's name in a published file, and here."""


def published_name(name: str) -> str:
    """This network's name of a parameter to the published one."""
    name = re.sub(r"^upsampling\.steps\.(\d+)\.", r"upsample.convs.\1.1.", name)
    parts = (published + name.removeprefix(ours) for published, ours in _PARTS if name.startswith(ours))
    return next(parts, name)


def config_of(state: Mapping[str, Any], **switches: Any) -> DMNConfig:
    """The sizes of a published file, read from its tensors' shapes; LangTrackError when it is not a DMN.

    A file with ``upsample.*`` is a high resolution network, one without a low resolution one. ``switches``
    are what shapes cannot tell: ``align_corners`` and ``batch_statistics``."""

    def layers(part: str) -> int:
        return sum(bool(re.fullmatch(rf"langvis\.{part}\.rnn_lst\.\d+\.weight", name)) for name in state)

    try:
        vocabulary_size, embedding = state["langvis.emb.weight"].shape
        (mixed,) = state["langvis.comb_conv.bias"].shape
        return DMNConfig(
            vocabulary_size=vocabulary_size,
            embedding=embedding,
            hidden=len(state["langvis.lang_model.rnn_lst.0.bias"]) // 2,
            filters=len(state["langvis.adaptative_filter.bias"]) // CELL_CHANNELS,
            mixed=mixed,
            mixed_hidden=len(state["langvis.mrnn.rnn_lst.0.bias"]) // 2,
            language_layers=layers("lang_model"),
            mixed_layers=layers("mrnn"),
            resolution="high" if any(name.startswith("upsample.") for name in state) else "low",
            **switches,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LangTrackError(f"This is not a weights file of the published DMN ({error}).") from error
