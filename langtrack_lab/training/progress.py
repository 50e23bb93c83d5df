"""What a run shows of itself: TensorBoard's curves and pictures, and the line after a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class TensorBoardLogger:
    """Writes events where TensorBoard is installed; says once that it is not, otherwise.

    Args:
        first_step: step from which this run goes on; what an earlier run wrote after it is dropped.
        enabled: False makes all calls do nothing.
    """

    def __init__(self, folder: Path, first_step: int, enabled: bool = True) -> None:
        self.writer: Any = None
        if not enabled:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("tensorboard is not installed: no curves and pictures are written.", flush=True)
            return
        self.writer = SummaryWriter(str(folder), purge_step=first_step)

    def __enter__(self) -> TensorBoardLogger:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{group}/{name}", value, step)

    def pictures(self, rows: list[Tensor], step: int) -> None:
        """One picture of rows ``(3, h, 3 w)``, each made by `side_by_side`, one below the other."""
        if self.writer is not None and rows:
            self.writer.add_image("input, target, prediction", torch.cat(rows, dim=1), step)
            self.writer.flush()


def side_by_side(image: Tensor, target: Tensor, prediction: Tensor) -> Tensor:
    """Input, target and prediction from left to right.

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


def progress_line(
    step: int, minutes: float, waiting: float, losses: Mapping[str, float], figures: Mapping[str, float]
) -> str:
    """Losses and, where there are any, the figures on the dev set, in one line."""
    line = f"step {step} after {minutes:.1f} min, {waiting:.0%} waiting for data: {_listed(losses)}"
    if figures:
        line += f" | {_listed(figures)} | mean {sum(figures.values()) / len(figures):.3f}"
    return line


def _listed(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in values.items())
