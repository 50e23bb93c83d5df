"""Parts of the lite language network: places, learnt colours, cells that see one another, upsampling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RGB_GAIN = 3.0
"""Colours are multiplied by this, which sets them so far apart that a small network tells them."""


def spatial_channels(H: int, W: int, like: Tensor) -> Tensor:
    """Where each cell is, ``(1, 8, H, W)``: xmin, ymin, xmax, ymax, xctr, yctr in [-1, 1], then 1/W, 1/H."""
    x = torch.arange(W, device=like.device, dtype=like.dtype) / W * 2 - 1
    y = torch.arange(H, device=like.device, dtype=like.dtype) / H * 2 - 1
    x, y = x.expand(H, W), y[:, None].expand(H, W)
    ones = torch.ones_like(x)
    return torch.stack([x, y, x + 2 / W, y + 2 / H, x + 1 / W, y + 1 / H, ones / W, ones / H])[None]


def seen_in(channels: Tensor, view: Tensor) -> Tensor:
    """Spatial channels ``(B, 8, H, W)`` of parts of a picture, in the picture's own coordinates: "left" stays
    left of all. From those of a whole picture ``(1, 8, H, W)``, and x1, y1, x2, y2 of each part ``(B, 4)`` as
    shares of the picture's sides."""
    size, middle = view[:, 2:] - view[:, :2], view[:, 2:] + view[:, :2] - 1
    offset = torch.cat([middle, middle, middle, torch.zeros_like(middle)], dim=1)
    return channels * size.repeat(1, 4)[:, :, None, None] + offset[:, :, None, None]


class ColourBins(nn.Module):
    """How much of each of a few learnt colours a cell of stride 16 shows; ImageNet's features forget it."""

    def __init__(self, bins: int, out: int) -> None:
        super().__init__()
        self.assign = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(), nn.Conv2d(32, bins, 1))
        self.project = nn.Conv2d(bins, out, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, rgb4: Tensor) -> Tensor:
        """``(B, 3, h, w)`` at stride 4 to shares of the colours ``(B, bins, h / 4, w / 4)``."""
        # The softmax in two steps, which OpenVINO runs in the order of memory of the convolutions around it.
        return F.avg_pool2d(self.assign(RGB_GAIN * rgb4).log_softmax(1).exp(), 4)


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
        with torch.autocast(x.device.type, enabled=False):  # in bfloat16 its gradient takes thrice as long
            y = self.spatial(x.float().contiguous(memory_format=torch.channels_last)).to(x)
        return x + self.reduce(F.gelu(self.expand(self.norm(y))))


class Comparison(nn.Module):
    """Self-attention over the cells: "the left one" depends on where the others are."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        self.place = nn.Linear(8, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """``(N, C, h, w)`` and its spatial channels, ``(1, 8, h, w)`` or ``(N, 8, h, w)``."""
        N, C, h, w = x.shape
        cells = self.norm(x).flatten(2).transpose(1, 2) + self.place(place.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(cells).view(N, h * w, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, h * w, C)
        return x + self.out(mixed).transpose(1, 2).reshape(N, C, h, w)


class UpStep(nn.Module):
    """Double the resolution and take in the skip features of that stride."""

    def __init__(self, channels: int, skip: int, out: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(skip, out, 1)
        self.reduce = nn.Conv2d(channels, out, 1)
        self.conv = nn.Sequential(nn.Conv2d(2 * out, out, 3, padding=1), nn.GroupNorm(8, out), nn.ReLU())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """The 3x3 convolution of both.

        The 1x1 convolution of the skip features, ``skip``, becomes part of the 3x3: the product of their
        weights has fewer channels to go through."""
        layers: Any = self.conv
        conv, norm, relu = layers
        x = F.interpolate(self.reduce(x), scale_factor=2, mode="bilinear", align_corners=False)
        of_x, of_skip = conv.weight.chunk(2, dim=1)
        weight = torch.einsum("omhw,mi->oihw", of_skip, self.skip.weight[:, :, 0, 0])
        # A map, since the bias of ``skip`` is missing where the 3x3 reaches over the border.
        bias = self.skip.get_parameter("bias")[None, :, None, None].expand(-1, -1, *x.shape[2:])
        bias = F.conv2d(bias, of_skip, conv.bias, padding=1)
        x = F.conv2d(x, of_x, padding=1) + (F.conv2d(skip, weight, padding=1) + bias)
        return relu(group_norm(x, norm))


def group_norm(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """The same as ``norm(x)``, from means that OpenVINO takes in the convolutions' order of memory.

    Groups of channels it would bring into another order first, which takes half as long as the convolution.
    """
    N, C, G = *x.shape[:2], norm.num_groups

    def mean(values: Tensor) -> Tensor:
        """Over each group, for each of its channels."""
        means = values.mean((2, 3)).view(N, G, -1).mean(2, keepdim=True)
        return means.expand(-1, -1, C // G).reshape(N, C, 1, 1)

    x = x - mean(x)
    scale = (mean(x * x) + norm.eps).rsqrt() * norm.weight[:, None, None]
    return x * scale + norm.bias[:, None, None]
