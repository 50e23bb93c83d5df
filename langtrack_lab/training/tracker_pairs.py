"""Pairs to learn from: a template crop, a search crop, and what the network should say about it.

Pair ``i`` of a `PairDataset` depends on the seed and on ``i`` alone, so a resumed run sees what an unbroken
one would have seen. Coordinates inside a search crop are pixels from its middle, like the anchors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from langtrack_core.geometry import FloatArray, xyxy_to_cxcywh
from langtrack_core.masks import BoolMask, enclosing_box
from langtrack_core.siammask.network import ANCHORS_WH, GRID, SEARCH_SIZE, TEMPLATE_SIZE
from langtrack_core.siammask.tracker import ANCHORS_CXCYWH

from ..datasets import (
    Instance,
    Picture,
    Sequence,
    coco_pictures,
    davis_sequences,
    read_mask,
    read_rgb,
    saliency_pictures,
)
from .augment import Rgb, coarsen, compress, disturb, occlude, recolour

CELLS = 2
"""Cells of a pair that learn a mask."""

CACHED_PICTURES = 8000
"""Decoded pictures and masks kept; the project's own training set fits (about 2.5 GB)."""


@dataclass(frozen=True)
class PairRecipe:
    """How pairs are drawn and disturbed; lengths in crop pixels.

    Attributes:
        max_gap: frames between the two views of a clip.
        shift, scale: the search crop is off the target by up to this shift and this log scale.
        negatives: share of pairs whose search crop shows another object, of another picture.
        neighbours: share of photo pairs whose search crop is centred on another object of the same kind.
        mirrored: share of photo pairs whose views are mirror images of each other.
        surrounded: share of photo pairs whose search crop shows another photo beyond the picture's border.
        pasted: share of pairs with an object pasted into the search crop, and half of these again with two:
            the target itself in other colours, or another object, of the same kind where the kind is known.
        bars: share of pairs with a pole or a trunk in front of the target, which shows on both sides.
        coarse: share of pairs seen at a lower resolution, as small targets are.
        compressed: share of search crops with the marks of strong JPEG compression.
    """

    clips: float = 0.45
    persons: float = 0.12
    saliency: float = 0.13
    max_gap: int = 100
    shift: float = 64.0
    scale: float = 0.3
    template_shift: float = 5.0
    template_scale: float = 0.1
    negatives: float = 0.12
    neighbours: float = 0.35
    mirrored: float = 0.3
    surrounded: float = 0.7
    grey: float = 0.1
    blur: float = 0.25
    occlusion: float = 0.12
    bars: float = 0.12
    pasted: float = 0.35
    coarse: float = 0.3
    compressed: float = 0.15


@dataclass(frozen=True)
class View:
    """One object in one picture."""

    rgb: Rgb
    box_xyxy: FloatArray
    mask: BoolMask | None
    category: str | None = None


@lru_cache(maxsize=CACHED_PICTURES)
def _rgb(path: Path) -> Rgb:
    return read_rgb(path)


@lru_cache(maxsize=CACHED_PICTURES)
def _mask(path: Path) -> BoolMask:
    return read_mask(path)


class PairDataset(Dataset[dict[str, Tensor]]):
    """``count`` pairs from a folder with ``davis``, ``coco``, ``saliency`` and ``persons`` in it."""

    def __init__(self, folder: Path, count: int, seed: int, recipe: PairRecipe | None = None) -> None:
        self.recipe = recipe or PairRecipe()
        self.count = count
        self.seed = seed
        self.clips = davis_sequences(folder / "davis")
        self.photos = {
            "coco": _usable(coco_pictures(folder / "coco")),
            "persons": _usable(coco_pictures(folder / "persons", "boxes.json")),
            "saliency": _usable(saliency_pictures(folder / "saliency")),
        }
        self.masked: dict[str, list[tuple[Picture, Instance]]] = {}
        for picture in self.photos["coco"]:
            for instance in picture.instances:
                if _big_enough(instance) and instance.has_mask:
                    self.masked.setdefault(instance.category, []).append((picture, instance))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, index))
        with np.errstate(all="raise"):
            template, search, centre, positive, still = self._views(rng)
        recipe = self.recipe
        matrix = _crop_matrix(
            template.box_xyxy, None, TEMPLATE_SIZE, recipe.template_shift, recipe.template_scale, rng
        )
        template_crop = _warp(template.rgb, matrix, TEMPLATE_SIZE)
        mirror = still and rng.random() < recipe.mirrored
        matrix = _crop_matrix(
            search.box_xyxy, centre, SEARCH_SIZE, recipe.shift, recipe.scale, rng,
            turn=still and search.mask is not None, mirror=mirror,
        )  # fmt: skip
        search_crop = _warp(search.rgb, matrix, SEARCH_SIZE)
        if still and rng.random() < recipe.surrounded:
            self._surround(search_crop, search.rgb, matrix, rng)
        box = _moved_box(search, matrix)
        mask = np.zeros((SEARCH_SIZE, SEARCH_SIZE), np.float32)
        if search.mask is not None:
            size = (SEARCH_SIZE, SEARCH_SIZE)
            mask[:] = cv2.warpAffine(search.mask.astype(np.float32), matrix, size)
        while rng.random() < recipe.pasted:
            self._paste(search_crop, mask, box, search, rng)
        if rng.random() < recipe.occlusion:
            occlude(search_crop, mask, box, rng)
        if rng.random() < recipe.bars:
            self._bar(search_crop, mask, box, rng)
        if rng.random() < recipe.coarse:
            factor = float(np.exp(rng.uniform(np.log(1.5), np.log(6.0))))
            template_crop = coarsen(template_crop, factor * rng.uniform(0.85, 1.2))
            search_crop = coarsen(search_crop, factor)
        grey = rng.random() < recipe.grey
        labels = anchor_labels(box) if positive else np.zeros(ANCHORS_CXCYWH.shape[1], np.int64)
        learns_mask = positive and search.mask is not None
        return {
            "template": torch.from_numpy(disturb(template_crop, grey, 0.5 * recipe.blur, rng)),
            "search": torch.from_numpy(
                compress(disturb(search_crop, grey, recipe.blur, rng), recipe.compressed, rng)
            ),
            "labels": torch.from_numpy(labels),
            "box": torch.from_numpy(box.astype(np.float32)),
            "mask": torch.from_numpy(mask > 0.5),
            "cells": torch.from_numpy(_mask_cells(labels, learns_mask, rng)),
        }

    def _views(self, rng: np.random.Generator) -> tuple[View, View, FloatArray | None, bool, bool]:
        """Template view, search view, where the search is centred (None: on the target), positive, still."""
        recipe = self.recipe
        other = rng.random() < recipe.negatives
        if rng.random() < recipe.clips:
            clip = self.clips[rng.integers(len(self.clips))]
            first = int(rng.integers(len(clip.frames)))
            view = _clip_view(clip, first)
            second = int(
                np.clip(first + rng.integers(-recipe.max_gap, recipe.max_gap + 1), 0, len(clip.frames) - 1)
            )
            found = _clip_view(clip, second)
            if view is None or found is None:  # the target is hidden: draw again
                return self._views(rng)
            if other:
                return view, self._some_photo_view(rng), None, False, False
            return view, found, None, True, False
        picture, instance = self._some_photo(rng)
        view = _photo_view(picture, instance)
        if other:
            return view, self._some_photo_view(rng), None, False, True
        siblings = [o for o in picture.instances if o is not instance and o.category == instance.category]
        if siblings and rng.random() < recipe.neighbours:
            sibling = siblings[rng.integers(len(siblings))]
            return view, view, xyxy_to_cxcywh(sibling.box_xyxy)[:2], True, True
        return view, view, None, True, True

    def _surround(self, crop: Rgb, rgb: Rgb, matrix: FloatArray, rng: np.random.Generator) -> None:
        """Photos end close to their objects; in a video the scene goes on, with other objects in it."""
        other = self._some_photo_view(rng).rgb
        side = int(min(other.shape[:2]) * rng.uniform(0.5, 1.0))
        top, left = (int(rng.integers(0, n - side + 1)) for n in other.shape[:2])
        scene = cv2.resize(other[top : top + side, left : left + side], (SEARCH_SIZE, SEARCH_SIZE))
        inside = cv2.warpAffine(np.full(rgb.shape[:2], 255, np.uint8), matrix, (SEARCH_SIZE, SEARCH_SIZE))
        np.copyto(crop, scene, where=(inside < 255)[:, :, None])

    def _bar(self, crop: Rgb, mask: NDArray[np.float32], box: FloatArray, rng: np.random.Generator) -> None:
        """A pole or a trunk before the target, of another photo's texture, from border to border."""
        angle = rng.normal(0, 0.15) + (np.pi / 2 if rng.random() < 0.25 else 0)
        across = np.array([np.cos(angle), np.sin(angle)])
        width = np.abs(across) @ np.clip(box[2:], 12, 250) * rng.uniform(0.1, 0.4)
        middle = (SEARCH_SIZE - 1) / 2 + box[:2] + rng.uniform(-0.35, 0.35, 2) * box[2:]
        y, x = np.mgrid[:SEARCH_SIZE, :SEARCH_SIZE]
        hidden = np.abs((x - middle[0]) * across[0] + (y - middle[1]) * across[1]) < width / 2
        texture = self._some_photo_view(rng).rgb
        side = int(min(texture.shape[:2]) * rng.uniform(0.2, 0.6))
        top, left = (int(rng.integers(0, n - side + 1)) for n in texture.shape[:2])
        scene = cv2.resize(texture[top : top + side, left : left + side], (SEARCH_SIZE, SEARCH_SIZE))
        np.copyto(crop, scene, where=hidden[:, :, None])
        mask[hidden] = 0.0

    def _paste(
        self, crop: Rgb, mask: NDArray[np.float32], box: FloatArray, target: View, rng: np.random.Generator
    ) -> None:
        """An object that is not the target, beside it or a little over it, in ``crop``; ``mask`` loses what
        it hides."""
        twin = target.mask is not None and rng.random() < 0.4
        other = target if twin else self._some_masked_view(target.category, rng)
        if other is None or other.mask is None:
            return
        x1, y1, x2, y2 = np.clip(other.box_xyxy.round().astype(int), 0, None)
        rgb, shape = other.rgb[y1:y2, x1:x2], other.mask[y1:y2, x1:x2]
        if not shape.any():
            return
        if twin or rng.random() < 0.3:
            rgb = recolour(rgb, rng)
        if rng.random() < 0.5:
            rgb, shape = rgb[:, ::-1], shape[:, ::-1]
        side = np.sqrt(np.clip(box[2:], 12, 250).prod())
        zoom = side / np.sqrt(shape.shape[0] * shape.shape[1]) * np.exp(rng.uniform(-0.35, 0.35))
        half = np.array([shape.shape[1], shape.shape[0]]) * zoom / 2
        # Beside the target: so far in one direction that the boxes overlap by a quarter of the sum at most.
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle)])
        reach = 1.0 / np.abs(direction / (half + np.clip(box[2:], 12, 250) / 2)).max()
        middle = box[:2] + direction * reach * rng.uniform(0.75, 1.5)
        corner = (SEARCH_SIZE - 1) / 2 + middle - half
        matrix = np.array([[zoom, 0, corner[0]], [0, zoom, corner[1]]])
        size = (SEARCH_SIZE, SEARCH_SIZE)
        moved = cv2.warpAffine(np.ascontiguousarray(rgb), matrix, size, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(shape.astype(np.float32), matrix, size)
        if rng.random() < 0.5:  # behind the target
            alpha = alpha * (1 - mask)
        crop[:] = (crop + alpha[:, :, None] * (moved.astype(np.float32) - crop)).round().astype(np.uint8)
        mask *= 1 - alpha

    def _some_masked_view(self, category: str | None, rng: np.random.Generator) -> View | None:
        kin = self.masked.get(category or "") if rng.random() < 0.7 else None
        if not kin:
            names = list(self.masked)
            kin = self.masked[names[rng.integers(len(names))]]
        return _photo_view(*kin[rng.integers(len(kin))])

    def _some_photo(self, rng: np.random.Generator) -> tuple[Picture, Instance]:
        recipe = self.recipe
        rest = 1 - recipe.clips
        share = rng.random() * rest
        kind = "persons" if share < recipe.persons else "saliency"
        if share >= recipe.persons + recipe.saliency:
            kind = "coco"
        pictures = self.photos[kind]
        picture = pictures[rng.integers(len(pictures))]
        usable = [instance for instance in picture.instances if _big_enough(instance)]
        return picture, usable[rng.integers(len(usable))]

    def _some_photo_view(self, rng: np.random.Generator) -> View:
        return _photo_view(*self._some_photo(rng))


def _big_enough(instance: Instance) -> bool:
    width, height = instance.box_xyxy[2:] - instance.box_xyxy[:2]
    return bool(min(width, height) >= 8 and width * height >= 400)


def _usable(pictures: list[Picture]) -> list[Picture]:
    return [p for p in pictures if any(_big_enough(i) for i in p.instances)]


def _clip_view(clip: Sequence, index: int) -> View | None:
    mask = _mask(clip.masks[index])
    box = enclosing_box(mask)
    return None if box is None else View(_rgb(clip.frames[index]), box, mask)


def _photo_view(picture: Picture, instance: Instance) -> View:
    rgb = _rgb(picture.path)
    mask = instance.mask(rgb.shape[:2]) if instance.has_mask else None
    return View(rgb, instance.box_xyxy, mask if mask is not None and mask.any() else None, instance.category)


# --- crops -------------------------------------------------------------------------------------------------


def _crop_matrix(
    box_xyxy: FloatArray,
    centre_xy: FloatArray | None,
    size: int,
    shift: float,
    scale: float,
    rng: np.random.Generator,
    *,
    turn: bool = False,
    mirror: bool = False,
) -> FloatArray:
    """``(2, 3)`` from picture to crop: the tracker's own crop, moved, scaled, turned, mirrored by chance."""
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


def _warp(rgb: Rgb, matrix: FloatArray, size: int) -> Rgb:
    colour = tuple(int(v) for v in rgb[::8, ::8].mean((0, 1)))
    return np.asarray(cv2.warpAffine(rgb, matrix, (size, size), borderValue=colour), np.uint8)


def _moved_box(view: View, matrix: FloatArray) -> FloatArray:
    """Centre and size, from the middle of the search crop, of the object after the warp (whole, not cut)."""
    if view.mask is None:
        points = view.box_xyxy.reshape(2, 2)
    else:
        rows = np.flatnonzero(view.mask.any(axis=1))
        first = view.mask[rows].argmax(axis=1)
        last = view.mask.shape[1] - view.mask[rows, ::-1].argmax(axis=1)
        points = np.concatenate([np.stack([x, rows + dy], 1) for x in (first, last) for dy in (0, 1)])
    moved = (points - 0.5) @ matrix[:, :2].T + matrix[:, 2] - (SEARCH_SIZE - 1) / 2
    low, high = moved.min(0), moved.max(0)
    return np.concatenate([(low + high) / 2, high - low])


# --- what the network should say ---------------------------------------------------------------------------


def anchor_iou(box: FloatArray) -> FloatArray:
    """IoU of one box with every anchor; both as centre and size from the middle of the crop."""
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
    if np.abs(box[:2]).max() <= GRID // 2 * 8 + 8:
        labels[iou >= max(min(0.6, 0.9 * iou.max()), 1e-3)] = 1
    return labels.astype(np.int64)


def _mask_cells(labels: NDArray[np.int64], learns: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """``(CELLS, 2)`` rows and columns of positive cells to learn the mask at; -1 where there is none."""
    cells = np.full((CELLS, 2), -1, np.int64)
    if learns:
        grid = (labels.reshape(len(ANCHORS_WH), GRID, GRID) == 1).any(0)
        found = np.argwhere(grid)
        if len(found):
            chosen = rng.permutation(len(found))[:CELLS]
            cells[: len(chosen)] = found[chosen]
    return cells
