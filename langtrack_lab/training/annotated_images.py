"""Where the training pictures of the lite language branch come from, each with what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from langtrack_core.video import read_picture

from ..datasets import (
    Instance,
    Picture,
    davis_sequences,
    described_pictures,
    held_out_clips,
    saliency_pictures,
)
from ..expressions.photos import AnnotatedObject
from ..expressions.words import NOUNS, category_of

Rgb = NDArray[np.uint8]

NameOf = Callable[[Rgb], tuple[str, ...]]
"""Gives the names of the one thing in a picture, () when unsure."""

Similarity = Callable[[str, str], float]
"""Says how similar two expressions are, word by word, from -1 to 1."""

UNNAMED = ("object", "thing", "main object")
"""The names of a salient thing that the classifier does not name."""

MIN_NAMED_SIZE = 32
"""Smallest width and height in pixels of a photo's object that the classifier names: it takes 224 pixels, and
of fewer than 32 it guesses."""

MIN_NAME_SIMILARITY = 0.35
"""Least similarity of the classifier's name to the object's category: a car's crop may show its grille."""

MIN_CLIPS = 16
"""A set with no more clips than this is used whole: four held out would be missed."""

RARELY_WITH_PEOPLE = frozenset(
    ("zebra", "giraffe", "airplane", "train", "bear", "toilet", "microwave", "broccoli")
)
"""Categories that hardly any picture of people shows, for pictures where nobody looked for anything else."""


@dataclass(frozen=True)
class AnnotatedImage:
    """A picture in memory with what is known of it.

    Attributes:
        absent: COCO categories that it surely does not show.
        single_object: it shows little but its one object, so that anything unlike that is likely not there.
    """

    rgb: Rgb
    objects: tuple[AnnotatedObject, ...]
    absent: frozenset[str] = frozenset()
    single_object: bool = False


def _crop(rgb: Rgb, instance: Instance) -> Rgb:
    """An object with a little of what is around it."""
    x1, y1, x2, y2 = instance.box_xyxy.astype(int)
    pad_y, pad_x = (y2 - y1) // 8, (x2 - x1) // 8
    return rgb[max(0, y1 - pad_y) : y2 + pad_y, max(0, x1 - pad_x) : x2 + pad_x]


class PhotoSource:
    """COCO-like pictures: categories known, sentences made.

    Args:
        name_of: gives further names for what a crop shows ("bald eagle" for a bird).
    """

    def __init__(self, pictures: list[Picture], name_of: NameOf, similarity: Similarity) -> None:
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
                too_small = min(x2 - x1, y2 - y1) < MIN_NAMED_SIZE
                if category == "person" or not instance.has_mask or too_small:
                    continue
                rgb = read_picture(picture.path) if rgb is None else rgb
                names = name_of(_crop(rgb, instance))
                names = tuple(n for n in names if similarity(n, category) > MIN_NAME_SIMILARITY)
                if names:
                    self.names[picture.path, index] = (*NOUNS.get(category, (category,)), *names)

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        return self._read(self.pictures[rng.choice(len(self.pictures), p=self.weights)])

    def draw_category(self, rng: np.random.Generator, category: str) -> AnnotatedImage | None:
        """A picture of that category, with the objects of that category alone; None when there is none."""
        pictures = self.by_category.get(category)
        if not pictures:
            return None
        image = self._read(pictures[rng.integers(len(pictures))])
        return replace(image, objects=tuple(o for o in image.objects if o.category == category))

    def _read(self, picture: Picture) -> AnnotatedImage:
        rgb = read_picture(picture.path)
        objects = tuple(
            AnnotatedObject(
                instance.category,
                instance.mask(rgb.shape[:2]),
                self.names.get((picture.path, index), ()),
                category_complete=picture.is_complete(instance.category),
            )
            for index, instance in enumerate(picture.instances)
        )
        known = frozenset(self.categories) if picture.complete is None else picture.complete
        return AnnotatedImage(rgb, objects, known - {i.category for i in picture.instances})


class PeopleSource:
    """Pictures where every person has a box, and nothing has a mask."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = [p for p in pictures if 1 <= len(p.instances) <= 7]  # crowds are boxed loosely

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        picture = self.pictures[rng.integers(len(self.pictures))]
        rgb = read_picture(picture.path)
        objects = tuple(
            AnnotatedObject("person", i.mask(rgb.shape[:2]), box_only=True) for i in picture.instances
        )
        return AnnotatedImage(rgb, objects, RARELY_WITH_PEOPLE)


class ClipSource:
    """Frames of sequences with a mask and human sentences, but for the held-out clips."""

    def __init__(self, folder: Path) -> None:
        sequences = davis_sequences(folder)
        held_out = held_out_clips(s.name for s in sequences) if len(sequences) > MIN_CLIPS else frozenset()
        self.sequences = [s for s in sequences if s.name not in held_out]

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        sequence = self.sequences[rng.integers(len(self.sequences))]
        i = int(rng.integers(len(sequence.frames)))
        category = category_of(sequence.expressions[0]) or sequence.name
        mask = sequence.mask(i)
        assert mask is not None  # DAVIS annotates every frame
        target = AnnotatedObject(category, mask, sentences=sequence.expressions, category_complete=False)
        return AnnotatedImage(read_picture(sequence.frames[i]), (target,), single_object=True)


class SalientSource:
    """Pictures of one salient object, named by an ImageNet classifier where it is sure, else an "object".

    Args:
        weak_names: share of the draws where a word of ``words``, at random, stands for the name.
    """

    def __init__(
        self, folder: Path, name_of: NameOf, words: Sequence[str] = (), weak_names: float = 0.0
    ) -> None:
        self.words, self.weak_names = words, weak_names
        self.pictures = saliency_pictures(folder)
        self.names_by_picture = [
            name_of(_crop(read_picture(p.path), p.instances[0])) or UNNAMED for p in self.pictures
        ]
        self.names = sorted(set(self.names_by_picture) - {UNNAMED}) or [("zebra",)]

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        index = int(rng.integers(len(self.pictures)))
        picture, names = self.pictures[index], self.names_by_picture[index]
        rgb = read_picture(picture.path)
        weak_name = bool(self.words) and rng.random() < self.weak_names
        if weak_name:
            names = (self.words[int(rng.integers(len(self.words)))],)
        mask = picture.instances[0].mask(rgb.shape[:2])
        target = AnnotatedObject(names[0], mask, names, weak_name=weak_name)
        return AnnotatedImage(rgb, (target,), single_object=True)


DESCRIBED_SHARES = {"coco": 0.38, "persons": 0.24, "saliency": 0.08, "refcoco": 0.15, "flickr": 0.08}
"""How often a described picture is of each part that is there; the rest are frames of clips."""


class DescribedSource:
    """Pictures whose objects people described, each object with its sentences.

    Attributes:
        sentences: of each described object of a known category, the category and one sentence.
    """

    def __init__(self, data: Path, clips: ClipSource, categories: frozenset[str]) -> None:
        self.parts, self.clips, self.categories = described_pictures(data), clips, categories
        self.sentences = [
            (instance.category, sentence)
            for pictures in self.parts.values()
            for picture in pictures
            for instance in picture.instances
            for sentence in instance.sentences
            if instance.category in categories
        ]

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        chance = rng.random()
        for name, pictures in self.parts.items():
            chance -= DESCRIBED_SHARES[name]
            if chance < 0:
                return self._read(name, pictures[rng.integers(len(pictures))])
        return self.clips.draw(rng)

    def _read(self, part: str, picture: Picture) -> AnnotatedImage:
        rgb = read_picture(picture.path)
        objects = tuple(
            AnnotatedObject(i.category, i.mask(rgb.shape[:2]), sentences=i.sentences, box_only=not i.has_mask)
            for i in picture.instances
        )
        if part in ("refcoco", "flickr"):  # nobody looked for what they do not show
            return AnnotatedImage(rgb, objects)
        if part == "saliency":
            return AnnotatedImage(rgb, objects, single_object=True)
        if part == "persons":
            return AnnotatedImage(rgb, objects, RARELY_WITH_PEOPLE)
        known = self.categories if picture.complete is None else picture.complete
        return AnnotatedImage(rgb, objects, known - {i.category for i in picture.instances})
