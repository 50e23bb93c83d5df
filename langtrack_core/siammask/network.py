"""SiamMask: a template crop, a search crop, and for each of 25x25 positions a score, a box and a mask.

Wang et al., "Fast Online Object Tracking and Segmentation: A Unifying Approach" (arXiv:1812.05050); sizes,
paddings and parameter layout of the published "sharp" model (github.com/foolwood/SiamMask). Two networks
share everything but the backbone, the widths and the preprocessing: `PaperNetwork` (ResNet-50, published
weights) and `LiteNetwork` (EfficientNet-Lite0, the weights that LangTrack ships).

Cell (r, c) of the grid looks at the search pixel x = 127 + 8 (c - 12), y = 127 + 8 (r - 12) and sees a window
of template size around it. Networks are pure: nothing of a target is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..types import LangTrackError

TEMPLATE_SIZE = 127
SEARCH_SIZE = 255
STRIDE = 8
GRID = 25
COARSE_SIZE = 63  # side of the mask that the mask head gives as one vector
REFINED_SIZE = 127  # side of the mask after refinement: one value for each pixel of the template's window
ANCHORS_WH = np.array([(104, 32), (88, 40), (64, 64), (40, 80), (32, 96)], dtype=np.float64)
"""Anchor widths and heights in search pixels (64x64 at ratios 1/3 to 3, truncated as published)."""

ANCHORS = len(ANCHORS_WH)


class Template(NamedTuple):
    """What the network remembers of a target: the cropped feature and the kernels the heads make of it."""

    feature: Tensor  # (B, C, h, w), the middle of the template's feature map
    kernels: tuple[Tensor, Tensor, Tensor]  # for cls, loc and mask


class Response(NamedTuple):
    """What one search crop gives.

    ``cls`` (B, 10, 25, 25): background logits of the five anchors, then their foreground logits.
    ``loc`` (B, 20, 25, 25): dx of the five anchors, then dy, dw, dh.
    ``correlation`` (B, C, 25, 25) and ``pyramid`` (strides 2, 4, 8) are what the masks are made from.
    ``feature`` (B, C, h, w) is the stride-8 feature of the search crop.
    """

    cls: Tensor
    loc: Tensor
    correlation: Tensor
    pyramid: tuple[Tensor, Tensor, Tensor]
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
        self.conv_kernel = self._adjust(n_in, width)
        self.conv_search = self._adjust(n_in, width)
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, n_out, 1),
        )

    @staticmethod
    def _adjust(n_in: int, width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(n_in, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )

    def correlation(self, kernel: Tensor, search: Tensor) -> Tensor:
        return correlate(self.conv_search(search), kernel)


class Refinement(nn.Module):
    """From one column of the correlation to a 127x127 mask, with search features of strides 8, 4 and 2.

    Args:
        n_correlation: channels of the correlation.
        n_pyramid: channels of the search features of strides 2, 4, 8.
        n_vertical: inner channels of the branches that read them.
        widths: channels of the mask at strides 2, 4, 8.
        windows: side of a template-sized window in cells of strides 2, 4, 8.
    """

    def __init__(
        self,
        n_correlation: int,
        n_pyramid: tuple[int, int, int],
        n_vertical: tuple[int, int, int],
        widths: tuple[int, int, int],
        windows: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.windows = windows

        def pair(a: int, b: int, c: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, c, 3, padding=1), nn.ReLU()
            )

        self.v0, self.v1, self.v2 = (pair(*n) for n in zip(n_pyramid, n_vertical, widths, strict=True))
        self.h2, self.h1, self.h0 = (pair(n, n, n) for n in reversed(widths))
        self.deconv = nn.ConvTranspose2d(n_correlation, widths[2], windows[2], windows[2])
        self.post0 = nn.Conv2d(widths[2], widths[1], 3, padding=1)
        self.post1 = nn.Conv2d(widths[1], widths[0], 3, padding=1)
        self.post2 = nn.Conv2d(widths[0], 1, 3, padding=1)

    def views(self, pyramid: tuple[Tensor, Tensor, Tensor], cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ``cells`` (N, 3: sample, row, column) see of the search features of strides 2, 4, 8."""
        p0, p1, p2 = (
            self._windows(feature, cells, STRIDE // stride, size)
            for feature, stride, size in zip(pyramid, (2, 4, 8), self.windows, strict=True)
        )
        return p0, p1, p2

    def forward(self, column: Tensor, views: tuple[Tensor, Tensor, Tensor]) -> Tensor:
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
        seen = []
        for b, r, c in cells.tolist():
            top, left = step * (r - 4), step * (c - 4)  # the first position's starts 32 pixels outside
            inside = feature[b, :, max(top, 0) : top + size, max(left, 0) : left + size]
            beyond = (-left, left + size - width, -top, top + size - height)
            whole = max(beyond) <= 0
            seen.append(inside if whole else F.pad(inside, [max(pixels, 0) for pixels in beyond]))
        return torch.stack(seen) if len(seen) > 1 else seen[0][None]


class SiamMask(nn.Module):
    """What both networks do with the features their ``embed`` gives."""

    cls: CorrelationHead
    loc: CorrelationHead
    mask: CorrelationHead
    refinement: Refinement

    def preprocess(self, crop_rgb: NDArray[np.uint8]) -> Tensor:
        """One ``(S, S, 3)`` uint8 RGB crop to ``(1, 3, S, S)`` float32 in the units of this network."""
        raise NotImplementedError

    def embed(self, pictures: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Features of strides 2, 4, 8, and the stride-8 feature that is correlated."""
        raise NotImplementedError

    def template(self, pictures: Tensor) -> Template:
        """``(B, 3, 127, 127)`` to what is to be found."""
        _, feature = self.embed(pictures)
        feature = feature[:, :, 4:-4, 4:-4]  # the rim saw mostly padding and background
        kernels = (
            self.cls.conv_kernel(feature), self.loc.conv_kernel(feature), self.mask.conv_kernel(feature)
        )  # fmt: skip
        return Template(feature, kernels)

    def search(self, template: Template, pictures: Tensor) -> Response:
        """``(B, 3, 255, 255)`` to scores, boxes and what masks are made from."""
        pyramid, feature = self.embed(pictures)
        cls, loc, mask = (
            head.correlation(kernel, feature)
            for head, kernel in zip((self.cls, self.loc, self.mask), template.kernels, strict=True)
        )
        return Response(self.cls.head(cls), self.loc.head(loc), mask, pyramid, feature)

    def coarse_mask(self, response: Response, cells: Tensor) -> Tensor:
        """Logits ``(N, 63, 63)`` of the mask head at ``cells`` (N, 3: sample, row, column)."""
        return self.mask.head(_columns(response.correlation, cells)).reshape(-1, COARSE_SIZE, COARSE_SIZE)

    def refine(self, response: Response, cells: Tensor) -> Tensor:
        """Refined logits ``(N, 127, 127)`` at ``cells`` (N, 3: sample, row, column)."""
        return self.refinement(*self.seen(response, cells))

    def seen(self, response: Response, cells: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """All that the refinement needs of a response at ``cells``: small, and the same shape for each."""
        return _columns(response.correlation, cells), self.refinement.views(response.pyramid, cells)


def _columns(correlation: Tensor, cells: Tensor) -> Tensor:
    sample, row, column = cells.unbind(1)
    return correlation[sample, :, row, column][:, :, None, None]


# --- the published network ---------------------------------------------------------------------------------


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a residual; stride 2 goes without padding, so that crops keep their centre."""

    def __init__(
        self, n_in: int, width: int, *, stride: int = 1, dilation: int = 1, shortcut: int | None = None
    ) -> None:
        super().__init__()
        padding = dilation if stride == 1 else 0
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(n_in, 4 * width, shortcut, stride, padding if shortcut == 3 else 0, bias=False),
                nn.BatchNorm2d(4 * width),
            )
            if shortcut
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """The first three stages, the third dilated instead of strided; stem and stride 2 without padding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64, 64, shortcut=1), *(Bottleneck(256, 64) for _ in range(2)))
        self.layer2 = nn.Sequential(
            Bottleneck(256, 128, stride=2, shortcut=3), *(Bottleneck(512, 128) for _ in range(3))
        )
        # The first block of a dilated stage has half its dilation.
        self.layer3 = nn.Sequential(
            Bottleneck(512, 256, shortcut=3), *(Bottleneck(1024, 256, dilation=2) for _ in range(5))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        p0 = F.relu(self.bn1(self.conv1(x)))
        p1 = self.layer1(F.max_pool2d(p0, 3, 2, 1))
        p2 = self.layer2(p1)
        return p0, p1, p2, self.layer3(p2)


class PaperNetwork(SiamMask):
    """SiamMask-sharp as published: 127 -> 7x7 template feature, 255 -> 31x31 search feature, 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet50()
        self.neck = nn.Sequential(nn.Conv2d(1024, 256, 1, bias=False), nn.BatchNorm2d(256))
        self.cls = CorrelationHead(256, 256, 2 * ANCHORS)
        self.loc = CorrelationHead(256, 256, 4 * ANCHORS)
        self.mask = CorrelationHead(256, 256, COARSE_SIZE**2)
        self.refinement = Refinement(256, (64, 256, 512), (16, 64, 128), (4, 16, 32), (61, 31, 15))

    def preprocess(self, crop_rgb: NDArray[np.uint8]) -> Tensor:
        bgr = np.ascontiguousarray(crop_rgb[:, :, ::-1].transpose(2, 0, 1))
        return torch.from_numpy(bgr)[None].float()  # 0 to 255, not normalised

    def embed(self, pictures: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        p0, p1, p2, p3 = self.backbone(pictures)
        return (p0, p1, p2), self.neck(p3)


PUBLISHED_PREFIXES = {
    "features.features.": "backbone.",
    "features.downsample.downsample.": "neck.",
    "rpn_model.cls.": "cls.",
    "rpn_model.loc.": "loc.",
    "mask_model.mask.": "mask.",
    "refine_model.": "refinement.",
}
"""Prefixes of the published checkpoints' keys, and ours for them; the rest of a key is the same."""


def convert_published(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The entries of ``SiamMask_DAVIS.pth`` or ``SiamMask_VOT.pth`` under the names of `PaperNetwork`.

    Args:
        state: the loaded checkpoint; the state dict itself, or wrapped under ``state_dict``, with or without
            the ``module.`` that DataParallel puts before each key.

    Raises:
        LangTrackError: naming the keys that are missing, unexpected or of the wrong shape (three of each).
    """
    wrapped = state.get("state_dict", state)
    if not isinstance(wrapped, Mapping):
        raise LangTrackError(f"its state_dict should hold tensors by name, got {type(wrapped).__name__}.")
    entries = {str(key).removeprefix("module."): value for key, value in wrapped.items()}
    with torch.device("meta"):
        expected = {_published_name(key): tuple(v.shape) for key, v in PaperNetwork().state_dict().items()}
    problems = {
        "missing": [key for key in expected if key not in entries],
        "unexpected": [key for key in entries if key not in expected],
        "of the wrong shape": [
            f"{key} ({_shape(entries[key])}, expected {shape})"
            for key, shape in expected.items()
            if key in entries and _shape(entries[key]) != shape
        ],
    }
    found = [
        f"{len(keys)} {kind}: {', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}"
        for kind, keys in problems.items()
        if keys
    ]
    if found:
        raise LangTrackError(
            "it is not a published SiamMask (ResNet-50, sharp) checkpoint; " + "; ".join(found) + "."
        )
    return {_our_name(key): entries[key] for key in expected}


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _our_name(key: str) -> str:
    prefix = next(p for p in PUBLISHED_PREFIXES if key.startswith(p))
    return PUBLISHED_PREFIXES[prefix] + key.removeprefix(prefix)


def _published_name(key: str) -> str:
    prefix, ours = next((p, o) for p, o in PUBLISHED_PREFIXES.items() if key.startswith(o))
    return prefix + key.removeprefix(ours)


# --- the network that LangTrack ships ----------------------------------------------------------------------


class InvertedBlock(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1 (arXiv:1801.04381); batch norms are folded in."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        width = n_in * widening
        self.expand = nn.Conv2d(n_in, width, 1) if widening > 1 else nn.Identity()
        self.depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width)
        self.project = nn.Conv2d(width, n_out, 1)
        self.residual = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        y = x if isinstance(self.expand, nn.Identity) else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class LiteBackbone(nn.Module):
    """EfficientNet-Lite0 up to stride 16, symmetric padding: cell j of stride s is centred on pixel s j.

    255 pixels give maps of 128, 64, 32 and 16 cells (16, 24, 40 and 112 channels); 127 pixels half of that.
    Pretrained batch norms would stay as they are, so they are part of the convolutions from the start.
    """

    # widening, kernel, stride, channels, blocks (github.com/tensorflow/tpu, efficientnet/lite)
    STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3))

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        stages, n_in = [], 32
        for widening, kernel, stride, n_out, blocks in self.STAGES:
            sizes = [(n_in, stride)] + [(n_out, 1)] * (blocks - 1)
            stages.append(nn.Sequential(*(InvertedBlock(n, n_out, kernel, s, widening) for n, s in sizes)))
            n_in = n_out
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = F.relu6(self.stem(x), inplace=True)
        p0 = self.stages[0](x)
        p1 = self.stages[1](p0)
        p2 = self.stages[2](p1)
        return p0, p1, p2, self.stages[4](self.stages[3](p2))


def normalise(crops_rgb: Tensor) -> Tensor:
    """``(B, S, S, 3)`` uint8 RGB to the lite network's ``(B, 3, S, S)`` float32, channels last in memory."""
    return ((crops_rgb.float() - 127.0) / 128.0).permute(0, 3, 1, 2)


class LiteNetwork(SiamMask):
    """The small form: 127 -> 8x8 template feature, 255 -> 32x32 search feature of ``channels``.

    Args:
        channels: of the feature that is correlated, and inside the heads.
        mask_rank: width of the mask head, whose last layer (3,969 outputs) would be the largest of all.
    """

    def __init__(self, channels: int = 128, mask_rank: int = 96) -> None:
        super().__init__()
        self.backbone = LiteBackbone()
        self.lateral8 = nn.Conv2d(40, channels, 1, bias=False)
        self.lateral16 = nn.Conv2d(112, channels, 1, bias=False)
        self.neck = nn.BatchNorm2d(channels)
        self.cls = CorrelationHead(channels, channels, 2 * ANCHORS)
        self.loc = CorrelationHead(channels, channels, 4 * ANCHORS)
        self.mask = CorrelationHead(channels, mask_rank, COARSE_SIZE**2)
        self.refinement = Refinement(mask_rank, (16, 24, 40), (16, 24, 40), (8, 16, 32), (64, 32, 16))
        self.to(memory_format=torch.channels_last)  # a third faster on a CPU

    def preprocess(self, crop_rgb: NDArray[np.uint8]) -> Tensor:
        return normalise(torch.from_numpy(crop_rgb[None]))

    def embed(self, pictures: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        p0, p1, p2, p3 = self.backbone(pictures)
        deep = F.interpolate(self.lateral16(p3), scale_factor=2, mode="bilinear")
        return (p0, p1, p2), F.relu(self.neck(self.lateral8(p2) + deep))
