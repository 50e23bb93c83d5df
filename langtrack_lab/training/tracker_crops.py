"""The crops of a pair and what the tracker's network should say of the search crop: labels of anchors, and
cells that learn a mask, the coarse one of the mask head too.

Boxes are centre and size in pixels from the middle of the search crop, like the anchors.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from langtrack_core.geometry import FloatArray, xyxy_to_cxcywh
from langtrack_core.masks import BoolMask
from langtrack_core.siammask.network import (
    ANCHORS_CXCYWH,
    ANCHORS_WH,
    COARSE_SIZE,
    GRID,
    REFINED_SIZE,
    SEARCH_SIZE,
    STRIDE,
    TEMPLATE_SIZE,
    Response,
    SiamMask,
    columns,
)

from .augment import Rgb

CELLS = 2
"""Cells of a pair that learn a mask: more of one pair would say nearly the same."""


# --- crops -------------------------------------------------------------------------------------------------


def crop_matrix(
    box_xyxy: FloatArray,
    rng: np.random.Generator,
    size: int,
    shift: float,
    scale: float,
    *,
    centre_xy: FloatArray | None = None,
    turn: bool = False,
    mirror: bool = False,
) -> FloatArray:
    """``(2, 3)`` from picture to crop: the tracker's own crop of a box, moved and scaled by chance.

    Args:
        size: of the crop, in pixels.
        shift, scale: largest shift in pixels of the crop, and largest logarithm of the zoom.
        centre_xy: middle of the crop before the shift; the box's by default.
        turn: turned and stretched a little, too.
        mirror: left and right change places.
    """
    cx, cy, width, height = xyxy_to_cxcywh(box_xyxy)
    if centre_xy is not None:
        cx, cy = centre_xy
    margin = 0.5 * (width + height)
    zoom = TEMPLATE_SIZE / np.sqrt((width + margin) * (height + margin)) * np.exp(rng.uniform(-scale, scale))
    linear = np.eye(2) * zoom
    if turn:
        angle, stretch = rng.uniform(-0.2, 0.2), np.exp(rng.uniform(-0.12, 0.12))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = rotation @ np.diag([stretch, 1 / stretch]) @ linear
    if mirror:
        linear = np.diag([-1.0, 1.0]) @ linear
    middle = (size - 1) / 2 + rng.uniform(-shift, shift, 2)
    return np.column_stack([linear, middle - linear @ np.array([cx - 0.5, cy - 0.5])])


def warp(rgb: Rgb, matrix: FloatArray, size: int) -> Rgb:
    """The crop; beyond the picture it has the picture's mean colour."""
    colour = tuple(int(v) for v in rgb[::8, ::8].mean((0, 1)))
    return np.asarray(cv2.warpAffine(rgb, matrix, (size, size), borderValue=colour), np.uint8)


def warped_box(box_xyxy: FloatArray, mask: BoolMask | None, matrix: FloatArray) -> FloatArray:
    """The box of the whole object in the search crop, of its mask where there is one."""
    if mask is None:
        points = box_xyxy.reshape(2, 2)
    else:
        rows = np.flatnonzero(mask.any(axis=1))
        first = mask[rows].argmax(axis=1)
        last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
        points = np.concatenate([np.stack([x, rows + dy], 1) for x in (first, last) for dy in (0, 1)])
    moved = (points - 0.5) @ matrix[:, :2].T + matrix[:, 2] - (SEARCH_SIZE - 1) / 2
    low, high = moved.min(0), moved.max(0)
    return np.concatenate([(low + high) / 2, high - low])


# --- what the network should say ---------------------------------------------------------------------------


def anchor_iou(box: FloatArray) -> FloatArray:
    """IoU of one box with every anchor."""
    ax, ay, aw, ah = ANCHORS_CXCYWH
    x, y, w, h = box
    inter_w = np.minimum(ax + aw / 2, x + w / 2) - np.maximum(ax - aw / 2, x - w / 2)
    inter_h = np.minimum(ay + ah / 2, y + h / 2) - np.maximum(ay - ah / 2, y - h / 2)
    inter = np.clip(inter_w, 0, None) * np.clip(inter_h, 0, None)
    return inter / (aw * ah + w * h - inter)


def anchor_labels(box: FloatArray) -> NDArray[np.int64]:
    """1 for anchors that fit the box, 0 for those that do not, -1 for those between.

    A box of an odd shape, which no anchor fits, takes the best ones. A box whose centre is out of the grid's
    reach has no positives.
    """
    iou = anchor_iou(box)
    labels = np.where(iou < 0.3, 0, -1)
    if np.abs(box[:2]).max() <= GRID // 2 * STRIDE + STRIDE:
        labels[iou >= max(min(0.6, 0.9 * iou.max()), 1e-3)] = 1
    return labels.astype(np.int64)


def draw_mask_cells(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """``(CELLS, 2)`` rows and columns of positive cells to learn the mask at; -1 where there is none."""
    cells = no_mask_cells()
    positive = np.argwhere((labels.reshape(len(ANCHORS_WH), GRID, GRID) == 1).any(0))
    if len(positive):
        places = rng.permutation(len(positive))[:CELLS]
        cells[: len(places)] = positive[places]
    return cells


def no_mask_cells() -> NDArray[np.int64]:
    return np.full((CELLS, 2), -1, np.int64)


def valid_cells(cells: Tensor) -> Tensor:
    """``(B, CELLS, 2)`` rows and columns, -1 for none, to ``(N, 3)``: sample, row, column."""
    sample = torch.arange(len(cells), device=cells.device)[:, None].expand(-1, CELLS)
    flat = torch.cat([sample[..., None], cells], dim=2).view(-1, 3)
    return flat[flat[:, 1] >= 0]


def coarse_mask(network: SiamMask, response: Response, cells: Tensor) -> Tensor:
    """Logits ``(N, 63, 63)`` of the mask head at ``cells`` (N, 3: sample, row, column)."""
    return network.mask.head(columns(response.correlation, cells)).reshape(-1, COARSE_SIZE, COARSE_SIZE)


def mask_windows(pictures: Tensor, cells: Tensor) -> Tensor:
    """``(N, 127, 127)`` or ``(N, 127, 127, C)``: of search crops, or their masks, what each cell sees.

    Args:
        pictures: ``(B, 255, 255)`` or ``(B, 255, 255, C)``, zeros beyond the border.
        cells: ``(N, 3)`` sample, row, column.
    """
    margin = [4 * STRIDE] * 4
    padded = F.pad(pictures.float(), margin if pictures.ndim == 3 else [0, 0, *margin])
    views = [
        padded[b, STRIDE * r : STRIDE * r + REFINED_SIZE, STRIDE * c : STRIDE * c + REFINED_SIZE]
        for b, r, c in cells.tolist()
    ]
    return torch.stack(views) if views else padded[:0, :REFINED_SIZE, :REFINED_SIZE]
