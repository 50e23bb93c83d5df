"""SiamMask: a template crop, a search crop, and for each of 25x25 positions a score, a box and a mask.

Wang et al., "Fast Online Object Tracking and Segmentation: A Unifying Approach" (arXiv:1812.05050); sizes,
paddings and parameter layout of the published "sharp" model (github.com/foolwood/SiamMask). Two networks
share everything but the backbone, the widths and the preprocessing: `paper.PaperNetwork` (ResNet-50,
published weights) and `lite.LiteNetwork` (EfficientNet-Lite0, the weights that LangTrack ships).

Cell (r, c) of the grid looks at the search pixel x = 127 + 8 (c - 12), y = 127 + 8 (r - 12) and sees a window
of template size around it. Networks are pure: nothing of a target is kept here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..geometry import FloatArray

TEMPLATE_SIZE = 127
"""Side of the template crop, in pixels."""
SEARCH_SIZE = 255
"""Side of the search crop, in pixels."""
STRIDE = 8
"""Distance of the grid's cells, in pixels of the search crop."""
GRID = 25
"""Number of cells on a side of the grid."""
COARSE_SIZE = 63
"""Side of the mask that the mask head gives as one vector."""
REFINED_SIZE = 127
"""Side of the mask after refinement: one value for each pixel of the template's window."""

ANCHORS_WH = np.array([(104, 32), (88, 40), (64, 64), (40, 80), (32, 96)], dtype=np.float64)
"""Anchor widths and heights in search pixels (64x64 at ratios 1/3 to 3, truncated as published)."""

ANCHORS = len(ANCHORS_WH)
"""Anchors at each cell of the grid."""

WINDOW = np.tile(np.outer(np.hanning(GRID), np.hanning(GRID)).ravel(), ANCHORS)
"""Cosine window over the grid, for each anchor: ``(ANCHORS * GRID * GRID,)``."""

_OFFSETS = (np.arange(GRID) - GRID // 2) * float(STRIDE)
"""Pixels of the search crop from its middle to the centre of each column, or row, of the grid."""
ANCHORS_CXCYWH = np.array([(x, y, w, h) for w, h in ANCHORS_WH for y in _OFFSETS for x in _OFFSETS]).T
"""``(4, ANCHORS * GRID * GRID)``: centre from the middle of the search crop, and size, in crop pixels."""

Triple = tuple[Tensor, Tensor, Tensor]
Sizes = tuple[int, int, int]
"""For the search features of strides 2, 4, 8, or for the heads cls, loc, mask."""


class Template(NamedTuple):
    """What the network remembers of a target: the cropped feature and the kernels the heads make of it."""

    feature: Tensor  # (B, C, h, w), the middle of the template's feature map
    kernels: Triple  # for cls, loc and mask


class Response(NamedTuple):
    """What one search crop gives.

    ``cls`` (B, 10, 25, 25): background logits of the five anchors, then their foreground logits.
    ``loc`` (B, 20, 25, 25): dx of the five anchors, then dy, dw, dh.
    ``correlation`` (B, C, 25, 25) and ``pyramid`` (strides 2, 4, 8) are what the masks are made from.
    ``feature`` (B, C, h, w) is the stride-8 feature of the search crop."""

    cls: Tensor
    loc: Tensor
    correlation: Tensor
    pyramid: Triple
    feature: Tensor


def correlate(search: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of each sample correlated with its own kernel, without padding."""
    B, C, H, W = search.shape
    out = F.conv2d(search.reshape(1, B * C, H, W), kernel.reshape(B * C, 1, *kernel.shape[2:]), groups=B * C)
    return out.view(B, C, *out.shape[2:])


class CorrelationHead(nn.Module):
    """Adjusts both features, correlates them channel by channel, reads the result with 1x1 convolutions."""

    def __init__(self, n_in: int, width: int, n_out: int) -> None:
        super().__init__()
        self.conv_kernel, self.conv_search = (
            nn.Sequential(nn.Conv2d(n_in, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for _ in range(2)
        )
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, n_out, 1),
        )

    def correlation(self, kernel: Tensor, search: Tensor) -> Tensor:
        return correlate(self.conv_search(search), kernel)


class Refinement(nn.Module):
    """From one column of the correlation to a 127x127 mask, with search features of strides 8, 4 and 2.

    Args:
        n_in: channels of the correlation.
        n_pyramid: channels of the search features of strides 2, 4, 8.
        n_vertical: inner channels of the branches that read them.
        widths: channels of the mask at strides 2, 4, 8.
        windows: side of a template-sized window in cells of strides 2, 4, 8.
    """

    def __init__(self, n_in: int, n_pyramid: Sizes, n_vertical: Sizes, widths: Sizes, windows: Sizes) -> None:
        super().__init__()
        self.windows = windows

        def pair(a: int, b: int, c: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, 3, 1, 1), nn.ReLU(), nn.Conv2d(b, c, 3, 1, 1), nn.ReLU())

        self.v0, self.v1, self.v2 = (pair(*n) for n in zip(n_pyramid, n_vertical, widths, strict=True))
        self.h2, self.h1, self.h0 = (pair(n, n, n) for n in reversed(widths))
        self.deconv = nn.ConvTranspose2d(n_in, widths[2], windows[2], windows[2])
        self.post0 = nn.Conv2d(widths[2], widths[1], 3, padding=1)
        self.post1 = nn.Conv2d(widths[1], widths[0], 3, padding=1)
        self.post2 = nn.Conv2d(widths[0], 1, 3, padding=1)

    def views(self, pyramid: Triple, cells: Tensor) -> Triple:
        """What ``cells`` (N, 3: sample, row, column) see of the search features of strides 2, 4, 8."""
        p0, p1, p2 = (
            self._windows(feature, cells, STRIDE // stride, size)
            for feature, stride, size in zip(pyramid, (2, 4, 8), self.windows, strict=True)
        )
        return p0, p1, p2

    def forward(self, column: Tensor, views: Triple) -> Tensor:
        """Logits ``(N, 127, 127)`` from N columns of the correlation and the `views` of their cells."""
        p0, p1, p2 = views
        # Nearest neighbour between the stages, as published (the default of F.upsample).
        x = self.deconv(column)
        x = self.post0(F.interpolate(self.h2(x) + self.v2(p2), size=p1.shape[2:]))
        x = self.post1(F.interpolate(self.h1(x) + self.v1(p1), size=p0.shape[2:]))
        x = self.post2(F.interpolate(self.h0(x) + self.v0(p0), size=(REFINED_SIZE, REFINED_SIZE)))
        return x[:, 0]

    @staticmethod
    def _windows(feature: Tensor, cells: Tensor, step: int, size: int) -> Tensor:
        """``(N, C, size, size)``: what each cell sees, zeros outside the search crop."""
        height, width = feature.shape[2:]
        windows = []
        for b, r, c in cells.tolist():
            top, left = step * (r - 4), step * (c - 4)  # the first position's starts 32 pixels outside
            inside = feature[b, :, max(top, 0) : top + size, max(left, 0) : left + size]
            beyond = (-left, left + size - width, -top, top + size - height)
            whole = max(beyond) <= 0
            windows.append(inside if whole else F.pad(inside, [max(pixels, 0) for pixels in beyond]))
        return torch.stack(windows) if len(windows) > 1 else windows[0][None]


class SiamMask(nn.Module):
    """What both networks do with the features their ``embed`` gives."""

    def add_heads(self, channels: int, mask_rank: int, *sizes: Sizes) -> None:
        """For features of ``channels``; ``mask_rank``: the mask head's width; ``sizes``: see `Refinement`."""
        self.cls = CorrelationHead(channels, channels, 2 * ANCHORS)
        self.loc = CorrelationHead(channels, channels, 4 * ANCHORS)
        self.mask = CorrelationHead(channels, mask_rank, COARSE_SIZE**2)
        self.refinement = Refinement(mask_rank, *sizes)

    def preprocess(self, crop_rgb: NDArray[np.uint8]) -> Tensor:
        """One ``(S, S, 3)`` uint8 RGB crop to ``(1, 3, S, S)`` float32 in the units of this network."""
        raise NotImplementedError

    def embed(self, pictures: Tensor) -> tuple[Triple, Tensor]:
        """Features of strides 2, 4, 8, and the stride-8 feature that is correlated."""
        raise NotImplementedError

    def template(self, pictures: Tensor) -> Template:
        """``(B, 3, 127, 127)`` to what is to be found."""
        _, feature = self.embed(pictures)
        feature = feature[:, :, 4:-4, 4:-4]  # the rim saw mostly padding and background
        cls, loc, mask = (head.conv_kernel(feature) for head in (self.cls, self.loc, self.mask))
        return Template(feature, (cls, loc, mask))

    def search(self, template: Template, pictures: Tensor) -> Response:
        """``(B, 3, 255, 255)`` to scores, boxes and what masks are made from."""
        pyramid, feature = self.embed(pictures)
        cls, loc, mask = (
            head.correlation(kernel, feature)
            for head, kernel in zip((self.cls, self.loc, self.mask), template.kernels, strict=True)
        )
        return Response(self.cls.head(cls), self.loc.head(loc), mask, pyramid, feature)

    def refine(self, response: Response, cells: Tensor) -> Tensor:
        """Refined logits ``(N, 127, 127)`` at ``cells`` (N, 3: sample, row, column)."""
        return self.refinement(*self.refinement_inputs(response, cells))

    def refinement_inputs(self, response: Response, cells: Tensor) -> tuple[Tensor, Triple]:
        """All that the refinement needs of a response at ``cells``: small, and the same shape for each."""
        return columns(response.correlation, cells), self.refinement.views(response.pyramid, cells)


def columns(correlation: Tensor, cells: Tensor) -> Tensor:
    """``(N, C, 1, 1)``: the correlation ``(B, C, 25, 25)`` at ``cells`` (N, 3: sample, row, column)."""
    sample, row, column = cells.unbind(1)
    return correlation[sample, :, row, column][:, :, None, None]


def decode(loc: FloatArray) -> FloatArray:
    """Box head ``(4 * ANCHORS, GRID, GRID)`` to ``(4, ANCHORS * GRID * GRID)`` boxes like the anchors."""
    dx, dy, dw, dh = loc.reshape(4, -1)
    cx, cy, w, h = ANCHORS_CXCYWH
    return np.stack([dx * w + cx, dy * h + cy, np.exp(dw) * w, np.exp(dh) * h])


def change_penalty(boxes: FloatArray, size_wh: FloatArray, strength: float) -> FloatArray:
    """``(N,)`` in (0, 1]: less for boxes ``(4, N)``, centre and size, whose size and ratio of sides differ
    more from the last size; ``strength`` is ``TrackerConfig.penalty_k``."""
    scale = _side(*boxes[2:]) / _side(*size_wh)
    ratio = (size_wh[0] / size_wh[1]) / (boxes[2] / boxes[3])
    change = np.maximum(scale, 1.0 / scale) * np.maximum(ratio, 1.0 / ratio)
    return np.exp(-(change - 1) * strength)


def _side(w: FloatArray, h: FloatArray) -> FloatArray:
    """Side of the square of the same area as the box with its context of half of width plus height."""
    margin = (w + h) * 0.5
    return np.sqrt((w + margin) * (h + margin))
