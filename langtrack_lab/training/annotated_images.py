"""Where training pictures of the lite language branch come from, each with what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from langtrack_core.video import read_picture

from ..datasets import Instance, Picture, davis_sequences, saliency_pictures
from ..expressions.photos import AnnotatedObject
from ..expressions.words import NOUNS, category_of

UNNAMED = ("object", "thing", "main object")
"""Of a salient thing that the classifier does not name."""

NAMED_FROM, NAMED_ALIKE = 32, 0.35
"""A photo's object gets ImageNet's name too when it is this many pixels wide and high, and the name this near
to its category's."""


@dataclass(frozen=True)
class Shot:
    """A picture in memory with what is known of it.

    Attributes:
        absent: COCO categories that it surely does not show.
        open: it shows little but its one object, so that anything unlike that is likely not there.
    """

    rgb: NDArray[np.uint8]
    things: tuple[AnnotatedObject, ...]
    absent: frozenset[str] = frozenset()
    open: bool = False


def _crop(rgb: NDArray[np.uint8], instance: Instance) -> NDArray[np.uint8]:
    """An object with a little of what is around it."""
    x1, y1, x2, y2 = instance.box_xyxy.astype(int)
    pad_y, pad_x = (y2 - y1) // 8, (x2 - x1) // 8
    return rgb[max(0, y1 - pad_y) : y2 + pad_y, max(0, x1 - pad_x) : x2 + pad_x]


# What hardly any picture of people holds.
_RARELY_WITH_PEOPLE = frozenset(
    ("zebra", "giraffe", "airplane", "train", "bear", "toilet", "microwave", "broccoli")
)


class PhotoSource:
    """COCO-like pictures: categories known, sentences made.

    Args:
        name_of: a further name for what a crop shows ("bald eagle" for a bird), () when unsure.
        alike: how near two names are, -1 to 1: a car's crop may show its grille.
    """

    def __init__(
        self,
        pictures: list[Picture],
        name_of: Callable[[NDArray[np.uint8]], tuple[str, ...]],
        alike: Callable[[str, str], float],
    ) -> None:
        self.pictures = [p for p in pictures if any(i.has_mask for i in p.instances)]
        counts: dict[str, int] = {}
        for picture in self.pictures:
            for category in {i.category for i in picture.instances}:
                counts[category] = counts.get(category, 0) + 1
        # Pictures of rare things, and pictures known whole, are worth more.
        rarity = [max(counts[i.category] ** -0.5 for i in p.instances) for p in self.pictures]
        known = [1.0 if p.complete is None else 0.7 if p.complete else 0.35 for p in self.pictures]
        weights = np.array(rarity) * np.array(known)
        self.weights = weights / weights.sum()
        self.categories = tuple(sorted(counts))
        self.by_category = {
            c: [p for p in self.pictures if any(i.category == c and i.has_mask for i in p.instances)]
            for c in self.categories
        }
        self.names: dict[tuple[Path, int], tuple[str, ...]] = {}
        for picture in tqdm(self.pictures, "naming photos", leave=False, disable=None):
            rgb = None
            for index, instance in enumerate(picture.instances):
                category, (x1, y1, x2, y2) = instance.category, instance.box_xyxy.astype(int)
                if category == "person" or not instance.has_mask or min(x2 - x1, y2 - y1) < NAMED_FROM:
                    continue
                rgb = read_picture(picture.path) if rgb is None else rgb
                near = tuple(n for n in name_of(_crop(rgb, instance)) if alike(n, category) > NAMED_ALIKE)
                if near:
                    self.names[picture.path, index] = (*NOUNS.get(category, (category,)), *near)

    def draw(self, rng: np.random.Generator) -> Shot:
        return self._shot(self.pictures[rng.choice(len(self.pictures), p=self.weights)])

    def draw_like(self, rng: np.random.Generator, category: str) -> Shot | None:
        """A picture of that category, with nothing else in it told; None when there is none."""
        pictures = self.by_category.get(category)
        if not pictures:
            return None
        shot = self._shot(pictures[rng.integers(len(pictures))])
        return replace(shot, things=tuple(t for t in shot.things if t.category == category))

    def _shot(self, picture: Picture) -> Shot:
        rgb = read_picture(picture.path)
        size_hw = rgb.shape[:2]
        things = tuple(
            AnnotatedObject(
                i.category,
                i.mask(size_hw),
                self.names.get((picture.path, index), ()),
                category_complete=picture.is_complete(i.category),
            )
            for index, i in enumerate(picture.instances)
        )
        shown = {i.category for i in picture.instances}
        known = frozenset(self.categories) if picture.complete is None else picture.complete
        return Shot(rgb, things, known - shown)


class PeopleSource:
    """Pictures where every person has a box, and nothing has a mask."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = [p for p in pictures if 1 <= len(p.instances) <= 7]  # crowds are boxed loosely

    def draw(self, rng: np.random.Generator) -> Shot:
        picture = self.pictures[rng.integers(len(self.pictures))]
        rgb = read_picture(picture.path)
        things = tuple(
            AnnotatedObject("person", i.mask(rgb.shape[:2]), box_only=True) for i in picture.instances
        )
        return Shot(rgb, things, _RARELY_WITH_PEOPLE)


class ClipSource:
    """Frames of sequences with a mask and human sentences."""

    def __init__(self, folder: Path) -> None:
        self.sequences = davis_sequences(folder)

    def draw(self, rng: np.random.Generator) -> Shot:
        sequence = self.sequences[rng.integers(len(self.sequences))]
        i = int(rng.integers(len(sequence.frames)))
        category = category_of(sequence.expressions[0]) or sequence.name
        mask = sequence.mask(i)
        assert mask is not None  # DAVIS annotates every frame
        thing = AnnotatedObject(category, mask, sentences=sequence.expressions, category_complete=False)
        return Shot(read_picture(sequence.frames[i]), (thing,), open=True)


class SalientSource:
    """Pictures of one salient object, named by an ImageNet classifier where it is sure, else an "object".

    Args:
        words: now and then one of them, at random, stands for the name.
        vague: how often.
    """

    def __init__(
        self,
        folder: Path,
        name_of: Callable[[NDArray[np.uint8]], tuple[str, ...]],
        words: Many[str] = (),
        vague: float = 0.0,
    ) -> None:
        self.words, self.vague = words, vague
        self.shots: list[tuple[Picture, tuple[str, ...]]] = []
        for picture in saliency_pictures(folder):
            names = name_of(_crop(read_picture(picture.path), picture.instances[0]))
            self.shots.append((picture, names or UNNAMED))
        self.names = sorted({names for _, names in self.shots} - {UNNAMED}) or [("zebra",)]

    def draw(self, rng: np.random.Generator) -> Shot:
        picture, names = self.shots[rng.integers(len(self.shots))]
        rgb = read_picture(picture.path)
        vague = bool(self.words) and rng.random() < self.vague
        if vague:
            names = (self.words[int(rng.integers(len(self.words)))],)
        thing = AnnotatedObject(names[0], picture.instances[0].mask(rgb.shape[:2]), names, weak_name=vague)
        return Shot(rgb, (thing,), open=True)
