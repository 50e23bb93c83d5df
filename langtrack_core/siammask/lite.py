"""The small SiamMask that LangTrack ships: EfficientNet-Lite0 up to stride 16, heads of 128 channels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .network import SiamMask


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
    Pretrained batch norms would stay as they are, so they are part of the convolutions from the start."""

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


class LiteNetwork(SiamMask):
    """The small form: 127 -> 8x8 template feature, 255 -> 32x32 search feature of ``channels``.

    Args:
        channels: width of the feature that is correlated, and of the heads inside.
        mask_rank: width of the mask head, whose last layer (3,969 outputs) would be the largest of all.
    """

    def __init__(self, channels: int = 128, mask_rank: int = 96) -> None:
        super().__init__()
        self.backbone = LiteBackbone()
        self.lateral8 = nn.Conv2d(40, channels, 1, bias=False)
        self.lateral16 = nn.Conv2d(112, channels, 1, bias=False)
        self.neck = nn.BatchNorm2d(channels)
        self.add_heads(channels, mask_rank, (16, 24, 40), (16, 24, 40), (8, 16, 32), (64, 32, 16))
        self.to(memory_format=torch.channels_last)  # a third faster on a CPU

    def preprocess(self, crop_rgb: NDArray[np.uint8]) -> Tensor:
        # (v - 127) / 128, in one thread: beside the language branch PyTorch's would wait for each other.
        pixels = np.subtract(crop_rgb, np.float32(127.0), dtype=np.float32)
        pixels /= np.float32(128.0)
        return torch.from_numpy(pixels[None]).permute(0, 3, 1, 2)

    def embed(self, pictures: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        p0, p1, p2, p3 = self.backbone(pictures)
        deep = F.interpolate(self.lateral16(p3), scale_factor=2, mode="bilinear")
        return (p0, p1, p2), F.relu(self.neck(self.lateral8(p2) + deep))
