"""TensorBoard: numbers and pictures of a run, under ``OUT/tensorboard``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Board:
    """Writes events where TensorBoard is installed; says once that it is not, otherwise.

    Args:
        first: step from which this run goes on; what an earlier one wrote after it is dropped.
        on: False makes all calls do nothing.
    """

    def __init__(self, folder: Path, first: int, on: bool = True) -> None:
        self.writer: Any = None
        if not on:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("tensorboard is not installed: no curves and pictures are written.", flush=True)
            return
        self.writer = SummaryWriter(str(folder), purge_step=first)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def numbers(self, group: str, values: Mapping[str, float], step: int) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{group}/{name}", value, step)

    def pictures(self, strips: list[Tensor], step: int) -> None:
        """One picture of strips ``(3, h, 3 w)``, each input, target and prediction, one below the other."""
        if self.writer is not None and strips:
            self.writer.add_image("input, target, prediction", torch.cat(strips, dim=1), step)
            self.writer.flush()


def strip(image: Tensor, target: Tensor, prediction: Tensor) -> Tensor:
    """Input, target and prediction side by side.

    Args:
        image: ``(3, h, w)`` in [0, 1].
        target, prediction: ``(h', w')`` in [0, 1], stretched over the picture.

    Returns:
        ``(3, h, 3 w)`` float32 in [0, 1] on the CPU.
    """
    size = image.shape[-2:]
    maps = [
        F.interpolate(m.float()[None, None], size=size, mode="nearest")[0].expand(3, -1, -1)
        for m in (target, prediction)
    ]
    return torch.cat([image.float(), *maps], dim=2).clamp(0, 1).cpu()
