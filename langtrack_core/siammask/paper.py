"""The published SiamMask-sharp network, and its checkpoints.

Paddings and parameter layout are those of github.com/foolwood/SiamMask, so that its weights load.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .network import SiamMask


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
        self.downsample: nn.Sequential | None = None
        if shortcut:
            conv = nn.Conv2d(n_in, 4 * width, shortcut, stride, padding if shortcut == 3 else 0, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(4 * width))

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
        self.add_heads(256, 256, (64, 256, 512), (16, 64, 128), (4, 16, 32), (61, 31, 15))

    def preprocess(self, crop_rgb: NDArray[np.uint8]) -> Tensor:
        bgr = np.ascontiguousarray(crop_rgb[:, :, ::-1].transpose(2, 0, 1))
        return torch.from_numpy(bgr)[None].float()  # 0 to 255, not normalised

    def embed(self, pictures: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        p0, p1, p2, p3 = self.backbone(pictures)
        return (p0, p1, p2), self.neck(p3)


_PARTS = {
    "backbone.": "features.features.",
    "neck.": "features.downsample.downsample.",
    "cls.": "rpn_model.cls.",
    "loc.": "rpn_model.loc.",
    "mask.": "mask_model.mask.",
    "refinement.": "refine_model.",
}
"""Each part's name here, and in ``SiamMask_DAVIS.pth`` or ``SiamMask_VOT.pth``."""


def published_name(name: str) -> str:
    """`PaperNetwork`'s name of a parameter to the published one."""
    part, _, rest = name.partition(".")
    return _PARTS[f"{part}."] + rest
