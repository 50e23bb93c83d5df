"""Pairs to learn from: a template crop, a search crop, and what the network should say about it.

Pair ``i`` depends on the seed and on ``i`` alone, so a resumed run sees what an unbroken one would have seen.
Coordinates inside a search crop are pixels from its middle, like the anchors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from langtrack_core.geometry import FloatArray, xyxy_to_cxcywh
from langtrack_core.masks import BoolMask, enclosing_box
from langtrack_core.siammask.network import ANCHORS_CXCYWH, SEARCH_SIZE, TEMPLATE_SIZE

from ..datasets import (
    Instance,
    Picture,
    Sequence,
    coco_pictures,
    saliency_pictures,
)
from . import augment
from .annotated_images import training_clips
from .augment import Rgb
from .image_cache import ImageCache
from .tracker_crops import anchor_labels, crop_matrix, draw_mask_cells, no_mask_cells, warp, warped_box


@dataclass(frozen=True)
class PairRecipe:
    """How pairs are drawn and disturbed; lengths in crop pixels.

    Attributes:
        max_gap: frames between the two views of a clip.
        shift, scale: the search crop is off the target by up to this shift and this log scale.
        negatives: share of pairs whose search crop shows another object, of another picture.
        neighbours: share of photo pairs whose search crop is centred on another object of the same kind.
        mirror: share of photo pairs whose views are mirror images of each other.
        surroundings: share of photo pairs whose search crop shows another photo beyond the picture's border.
        grey, blur: shares of pairs without colours, and of search crops out of focus or in motion.
        patches: share of pairs with a part of the target behind a patch of its surroundings.
        poles: share of pairs with a pole or a trunk in front of the target, which shows on both sides.
        paste: share of pairs with an object pasted into the search crop, and this share of these again with
            two: the target itself in other colours, or another object, of the same kind where that is known.
        low_resolution: share of pairs seen with fewer pixels, as small targets are.
        jpeg: share of search crops with the marks of strong JPEG compression.
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
    mirror: float = 0.3
    surroundings: float = 0.7
    grey: float = 0.1
    blur: float = 0.25
    patches: float = 0.12
    poles: float = 0.12
    paste: float = 0.35
    low_resolution: float = 0.3
    jpeg: float = 0.15


class TrackerPair(NamedTuple):
    """A pair, or, with a batch in front of every shape, B of them.

    Attributes:
        template, search: ``(S, S, 3)`` uint8 crops.
        labels: ``(A,)`` 1, 0 or -1 for each anchor.
        box: ``(4,)`` float32, centre and size of the whole target in the search crop.
        mask: ``(255, 255)`` bool, the visible target in the search crop.
        cells: ``(CELLS, 2)`` row and column of the cells that learn the mask, -1 for none.
    """

    template: Tensor
    search: Tensor
    labels: Tensor
    box: Tensor
    mask: Tensor
    cells: Tensor


# --- views -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """One object in one picture."""

    rgb: Rgb
    box_xyxy: FloatArray
    mask: BoolMask | None
    category: str | None = None


class Views(NamedTuple):
    """What a pair is made of.

    Attributes:
        centre_xy: where the search crop is centred; None for the target.
        positive: both views show the same object.
        still: both are of photos.
    """

    template: View
    search: View
    centre_xy: FloatArray | None
    positive: bool
    still: bool


class PairSampler:
    """Draws pairs from a folder with ``davis``, ``coco``, ``saliency`` and ``persons`` in it."""

    def __init__(self, folder: Path, seed: int, cache: ImageCache, recipe: PairRecipe | None = None) -> None:
        self.recipe, self.seed, self.cache = recipe or PairRecipe(), seed, cache
        self.clips = training_clips(folder / "davis")
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

    def sample(self, index: int) -> TrackerPair:
        rng = np.random.default_rng((self.seed, index))
        recipe = self.recipe
        with np.errstate(all="raise"):
            template, search, centre_xy, positive, still = self._views(rng)
        matrix = crop_matrix(
            template.box_xyxy, rng, TEMPLATE_SIZE, recipe.template_shift, recipe.template_scale
        )
        template_crop = warp(template.rgb, matrix, TEMPLATE_SIZE)
        mirror = still and rng.random() < recipe.mirror
        matrix = crop_matrix(
            search.box_xyxy, rng, SEARCH_SIZE, recipe.shift, recipe.scale,
            centre_xy=centre_xy, turn=still and search.mask is not None, mirror=mirror,
        )  # fmt: skip
        crop = warp(search.rgb, matrix, SEARCH_SIZE)
        if still and rng.random() < recipe.surroundings:
            # Photos end close to their objects; in a video the scene goes on, with other objects in it.
            inside = np.full(search.rgb.shape[:2], 255, np.uint8)
            outside = cv2.warpAffine(inside, matrix, (SEARCH_SIZE, SEARCH_SIZE)) < 255
            crop = self._fill_with_photo(crop, rng, outside, 0.5, 1.0)
        box = warped_box(search.box_xyxy, search.mask, matrix)
        mask = np.zeros((SEARCH_SIZE, SEARCH_SIZE), np.float32)
        if search.mask is not None:
            mask[:] = cv2.warpAffine(search.mask.astype(np.float32), matrix, mask.shape)
        while rng.random() < recipe.paste:
            crop, mask = self._paste_object(crop, rng, mask, box, search)
        if rng.random() < recipe.patches:
            crop, mask = augment.cover_with_patch(crop, rng, mask, box)
        if rng.random() < recipe.poles:
            pole = augment.pole(SEARCH_SIZE, rng, box)
            crop, mask = self._fill_with_photo(crop, rng, pole, 0.2, 0.6), np.where(pole, np.float32(0), mask)
        if rng.random() < recipe.low_resolution:
            factor = float(np.exp(rng.uniform(np.log(1.5), np.log(6.0))))
            template_crop = augment.lower_resolution(template_crop, factor * rng.uniform(0.85, 1.2))
            crop = augment.lower_resolution(crop, factor)
        grey = rng.random() < recipe.grey
        labels = anchor_labels(box) if positive else np.zeros(ANCHORS_CXCYWH.shape[1], np.int64)
        template_crop = augment.jitter_strongly(template_crop, rng, grey, 0.5 * recipe.blur)
        crop = augment.jitter_strongly(crop, rng, grey, recipe.blur)
        if rng.random() < recipe.jpeg:
            crop = augment.jpeg(crop, rng, 15, 60)
        learns_mask = positive and search.mask is not None
        cells = draw_mask_cells(labels, rng) if learns_mask else no_mask_cells()
        arrays = template_crop, crop, labels, box.astype(np.float32), mask > 0.5, cells
        return TrackerPair(*map(torch.from_numpy, arrays))

    def _views(self, rng: np.random.Generator) -> Views:
        recipe = self.recipe
        other = rng.random() < recipe.negatives
        if rng.random() < recipe.clips:
            clip = self.clips[rng.integers(len(self.clips))]
            first = int(rng.integers(len(clip.frames)))
            gap = rng.integers(-recipe.max_gap, recipe.max_gap + 1)
            second = int(np.clip(first + gap, 0, len(clip.frames) - 1))
            template, search = self._clip_view(clip, first), self._clip_view(clip, second)
            if template is None or search is None:  # the target is hidden: draw again
                return self._views(rng)
            if other:
                return Views(template, self._random_photo_view(rng), None, False, False)
            return Views(template, search, None, True, False)
        picture, instance = self._random_photo(rng)
        view = self._photo_view(picture, instance)
        if other:
            return Views(view, self._random_photo_view(rng), None, False, True)
        siblings = [o for o in picture.instances if o is not instance and o.category == instance.category]
        if siblings and rng.random() < recipe.neighbours:
            sibling = siblings[rng.integers(len(siblings))]
            return Views(view, view, xyxy_to_cxcywh(sibling.box_xyxy)[:2], True, True)
        return Views(view, view, None, True, True)

    def _fill_with_photo(
        self, crop: Rgb, rng: np.random.Generator, where: BoolMask, smallest: float, largest: float
    ) -> Rgb:
        """Show a part of another photo, a square of these shares of its side, in a part of the crop."""
        photo = self._random_photo_view(rng).rgb
        square = augment.random_square(photo, rng, smallest, largest, SEARCH_SIZE)
        return np.where(where[:, :, None], square, crop)

    def _paste_object(
        self, crop: Rgb, rng: np.random.Generator, mask: augment.Alpha, box: FloatArray, target: View
    ) -> tuple[Rgb, augment.Alpha]:
        """Put another object beside the target or a little over it; the mask loses what it hides."""
        twin = target.mask is not None and rng.random() < 0.4
        other = target if twin else self._random_masked_view(target.category, rng)
        if other is None or other.mask is None:
            return crop, mask
        x1, y1, x2, y2 = np.clip(other.box_xyxy.round().astype(int), 0, None)
        rgb, shape = other.rgb[y1:y2, x1:x2], other.mask[y1:y2, x1:x2]
        if not shape.any():
            return crop, mask
        if twin or rng.random() < 0.3:
            rgb = augment.swap_channels(rgb, rng)
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
        rgb = np.ascontiguousarray(rgb)
        patch = cv2.warpAffine(rgb, matrix, mask.shape, borderMode=cv2.BORDER_REPLICATE)
        alpha = np.asarray(cv2.warpAffine(shape.astype(np.float32), matrix, mask.shape), np.float32)
        if rng.random() < 0.5:  # behind the target
            alpha = alpha * (1 - mask)
        return augment.blend(crop, patch, alpha), mask * (1 - alpha)

    def _random_photo(self, rng: np.random.Generator) -> tuple[Picture, Instance]:
        recipe = self.recipe
        share = rng.random() * (1 - recipe.clips)
        kind = "persons" if share < recipe.persons else "saliency"
        if share >= recipe.persons + recipe.saliency:
            kind = "coco"
        pictures = self.photos[kind]
        picture = pictures[rng.integers(len(pictures))]
        usable = [instance for instance in picture.instances if _big_enough(instance)]
        return picture, usable[rng.integers(len(usable))]

    def _random_photo_view(self, rng: np.random.Generator) -> View:
        return self._photo_view(*self._random_photo(rng))

    def _random_masked_view(self, category: str | None, rng: np.random.Generator) -> View:
        """An object of COCO, in most cases of this category if there is one."""
        objects = self.masked.get(category or "") if rng.random() < 0.7 else None
        if not objects:
            names = list(self.masked)
            objects = self.masked[names[rng.integers(len(names))]]
        return self._photo_view(*objects[rng.integers(len(objects))])

    def _clip_view(self, clip: Sequence, index: int) -> View | None:
        path = clip.masks[index]
        assert path is not None  # DAVIS annotates every frame
        mask = self.cache.mask(path)
        box = enclosing_box(mask)
        return None if box is None else View(self.cache.rgb(clip.frames[index]), box, mask)

    def _photo_view(self, picture: Picture, instance: Instance) -> View:
        rgb = self.cache.rgb(picture.path)
        mask = instance.mask(rgb.shape[:2]) if instance.has_mask else None
        mask = mask if mask is not None and mask.any() else None
        return View(rgb, instance.box_xyxy, mask, instance.category)


def _big_enough(instance: Instance) -> bool:
    width, height = instance.box_xyxy[2:] - instance.box_xyxy[:2]
    return bool(min(width, height) >= 8 and width * height >= 400)


def _usable(pictures: list[Picture]) -> list[Picture]:
    return [p for p in pictures if any(_big_enough(i) for i in p.instances)]
