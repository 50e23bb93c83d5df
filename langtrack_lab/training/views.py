"""Closer views: parts of a picture for sentences that speak of the whole, as the branch gets them in use.

The tracker's surroundings, or one of several overlapping parts: what a sentence means may lie outside, and
then the right answer is that it is not there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, enclosing_box

from ..expressions.photos import AnnotatedObject
from .annotated_images import Rgb

OVERSIZE = 2
"""Pictures from which a view is cut are made so many times as large as the view will be."""

SIDES = (0.25, 0.72)
"""Least and largest side of a view, as a share of the picture's."""

ROOM = (1.1, 5.0)
"""A view around a thing is so many times as large as that: at least and at most."""

MAX_SHARE = 0.6
"""Things whose box is longer than this share of the picture need no closer view."""

ELSEWHERE = 0.3
"""Share of the views that lie anywhere, not around something that is asked for."""

LEAST_VISIBLE = 0.2
"""A view that shows less than this of a thing does not show it."""


class Query(NamedTuple):
    """A sentence and the object that it means; an object with an empty mask is not in the picture."""

    sentence: str
    target: AnnotatedObject


WHOLE = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
"""The view of a whole picture: x1, y1, x2, y2 as shares of its sides."""


def cut_view(
    rgb: Rgb, queries: list[Query], rng: np.random.Generator, size_hw: tuple[int, int]
) -> tuple[Rgb, list[Query], FloatArray]:
    """A part of a picture at the size asked for; what of the queries' objects is to be seen in it; the view.

    A thing that the view does not show gets an empty mask: its sentence is about something else then.
    """
    view = _random_view(queries, rng)
    height, width = rgb.shape[:2]
    x1, y1, x2, y2 = (view * (width, height, width, height)).round().astype(int)
    shrinks = x2 - x1 > size_hw[1]

    def seen(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(picture[y1:y2, x1:x2], size_hw[::-1], interpolation=how), np.uint8)

    def seen_mask(mask: BoolMask) -> BoolMask:
        inside = cv2.countNonZero(mask[y1:y2, x1:x2].view(np.uint8))
        if inside <= LEAST_VISIBLE * cv2.countNonZero(mask.view(np.uint8)):
            return np.zeros(size_hw, bool)
        return seen(255 * mask.view(np.uint8)) > 127

    masks = {id(q.target): seen_mask(q.target.mask) for q in queries}
    placed = []
    for query in queries:
        mask = masks[id(query.target)]
        box_only = query.target.box_only and bool(mask.any())
        placed.append(Query(query.sentence, replace(query.target, mask=mask, box_only=box_only)))
    exact = np.array([x1 / width, y1 / height, x2 / width, y2 / height], np.float32)
    return seen(rgb), placed, exact


def _random_view(queries: list[Query], rng: np.random.Generator) -> FloatArray:
    """Around one of the things that are asked for, mostly, where it is not large; else anywhere."""
    boxes = [box for q in queries if (box := enclosing_box(q.target.mask)) is not None]
    side, corner = rng.uniform(*SIDES), rng.random(2)
    if boxes and rng.random() >= ELSEWHERE:
        h, w = queries[0].target.mask.shape
        box = boxes[rng.integers(len(boxes))] / (w, h, w, h)
        size = box[2:] - box[:2]
        longest = float(size.max())
        if longest > MAX_SHARE:
            return WHOLE
        low, high = (min(max(room * longest, SIDES[0]), SIDES[1]) for room in ROOM)
        side = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        first = box[:2] - (side - size) * rng.random(2)
        corner = np.clip(first, 0, 1 - side) / (1 - side)
    corner = corner * (1 - side)
    return np.concatenate([corner, corner + side])
