"""Where the training pictures of the lite language branch come from, each with what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from langtrack_core.masks import BoolMask

from ..datasets import (
    Instance,
    Picture,
    davis_sequences,
    described_pictures,
    held_out_clips,
    saliency_pictures,
)
from ..datasets import Sequence as Clip
from ..datasets.files import read_json
from ..expressions.photos import AnnotatedObject
from ..expressions.words import NOUNS, being, category_of, needed_things, untold
from .image_cache import ImageCache, Rgb

NameOf = Callable[[str, Callable[[], Rgb]], tuple[str, ...]]
"""Gives the names of the one thing in a picture, () when unsure: by `crop_key`, or by what the crop shows."""

Similarity = Callable[[str, str], float]
"""Says how similar two expressions are, word by word, from -1 to 1."""

UNNAMED = ("object", "thing", "main object")
"""The names of a salient thing that the classifier does not name."""

MIN_NAMED_SIZE = 32
"""Smallest width and height in pixels of a photo's object that the classifier names: it takes 224 pixels, and
of fewer than 32 it guesses."""

MIN_NAME_SIMILARITY = 0.35
"""Least similarity of the classifier's name to the object's category: a car's crop may show its grille."""

MAX_BOXES = 7
"""A picture with more boxes than this is left out: crowds are boxed loosely."""

RARELY_WITH_PEOPLE = frozenset(
    ("zebra", "giraffe", "airplane", "train", "bear", "toilet", "microwave", "broccoli")
)
"""Categories that hardly any picture of people shows, for pictures where nobody looked for anything else."""


@dataclass(frozen=True)
class AnnotatedImage:
    """A picture in memory with what is known of it.

    Attributes:
        absent: COCO categories that it surely does not show, and what `needed_things` knows beside them.
        single_object: it shows little but its one object, so that anything unlike that is likely not there.
    """

    rgb: Rgb
    objects: tuple[AnnotatedObject, ...]
    absent: frozenset[str] = frozenset()
    single_object: bool = False


def absent_from(picture: Picture, categories: frozenset[str]) -> frozenset[str]:
    """Those of the categories that somebody looked for in a picture and did not find."""
    searched = categories if picture.complete is None else picture.complete
    return searched - {instance.category for instance in picture.instances}


def crop_key(picture: Picture, index: int) -> str:
    """What identifies an object of a training picture, wherever the folder lies."""
    return f"{picture.path.parent.parent.name}/{picture.path.name}#{index}"


def _crop(cache: ImageCache, picture: Picture, index: int) -> Rgb:
    """An object with a little of what is around it."""
    x1, y1, x2, y2 = picture.instances[index].box_xyxy.astype(int)
    pad_y, pad_x = (y2 - y1) // 8, (x2 - x1) // 8
    return cache.rgb(picture.path)[max(0, y1 - pad_y) : y2 + pad_y, max(0, x1 - pad_x) : x2 + pad_x]


def _mask_of(instance: Instance, rgb: Rgb, cache: ImageCache) -> BoolMask:
    return cache.mask(instance.mask_path) if instance.mask_path else instance.mask(rgb.shape[:2])


def training_clips(folder: Path) -> list[Clip]:
    """The clips in DAVIS layout but for the held-out ones."""
    clips = davis_sequences(folder)
    held_out = held_out_clips(c.name for c in clips)
    return [c for c in clips if c.name not in held_out]


class PhotoSource:
    """COCO-like pictures: categories known, sentences made.

    Args:
        name_of: gives further names for what a crop shows ("bald eagle" for a bird).
    """

    def __init__(
        self, pictures: list[Picture], name_of: NameOf, similarity: Similarity, cache: ImageCache
    ) -> None:
        self.cache = cache
        self.pictures = [p for p in pictures if any(i.has_mask for i in p.instances)]
        counts: dict[str, int] = {}
        for picture in self.pictures:
            for category in {i.category for i in picture.instances}:
                counts[category] = counts.get(category, 0) + 1
        # Pictures of rare things, and pictures known whole, are worth more.
        rarity = [max(counts[i.category] ** -0.5 for i in p.instances) for p in self.pictures]
        completeness = [1.0 if p.complete is None else 0.7 if p.complete else 0.35 for p in self.pictures]
        weights = np.array(rarity) * np.array(completeness)
        self.weights = weights / weights.sum()
        self.categories = tuple(sorted(counts))
        self.by_category = {
            c: [p for p in self.pictures if any(i.category == c and i.has_mask for i in p.instances)]
            for c in self.categories
        }
        self.names: dict[tuple[Path, int], tuple[str, ...]] = {}
        for picture in tqdm(self.pictures, "naming photos", leave=False, disable=None):
            for index, instance in enumerate(picture.instances):
                category, (x1, y1, x2, y2) = instance.category, instance.box_xyxy.astype(int)
                too_small = min(x2 - x1, y2 - y1) < MIN_NAMED_SIZE
                if category == "person" or not instance.has_mask or too_small:
                    continue
                names = name_of(crop_key(picture, index), partial(_crop, cache, picture, index))
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
        rgb = self.cache.rgb(picture.path)
        objects = tuple(
            AnnotatedObject(
                instance.category,
                instance.mask(rgb.shape[:2]),
                self.names.get((picture.path, index), ()),
                category_complete=picture.is_complete(instance.category),
            )
            for index, instance in enumerate(picture.instances)
        )
        return AnnotatedImage(rgb, objects, absent_from(picture, frozenset(self.categories)))


class BoxSource:
    """Pictures whose things have boxes, and nothing has a mask.

    Args:
        lacking: what a picture surely does not show.
    """

    def __init__(
        self, pictures: list[Picture], lacking: Callable[[Picture], frozenset[str]], cache: ImageCache
    ) -> None:
        self.cache, self.lacking = cache, lacking
        self.pictures = [p for p in pictures if 1 <= len(p.instances) <= MAX_BOXES]

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        picture = self.pictures[rng.integers(len(self.pictures))]
        rgb = self.cache.rgb(picture.path)
        objects = tuple(
            AnnotatedObject(
                i.category,
                i.mask(rgb.shape[:2]),
                box_only=True,
                category_complete=picture.is_complete(i.category),
            )
            for i in picture.instances
        )
        return AnnotatedImage(rgb, objects, self.lacking(picture))


class ClipSource:
    """Frames of sequences with a mask and human sentences, but for the held-out clips."""

    def __init__(self, folder: Path, cache: ImageCache) -> None:
        self.cache = cache
        self.sequences = training_clips(folder)

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        sequence = self.sequences[rng.integers(len(self.sequences))]
        i = int(rng.integers(len(sequence.frames)))
        category = category_of(sequence.expressions[0]) or sequence.name
        path = sequence.masks[i]
        assert path is not None  # DAVIS annotates every frame
        mask = self.cache.mask(path)
        target = AnnotatedObject(category, mask, sentences=sequence.expressions, category_complete=False)
        return AnnotatedImage(self.cache.rgb(sequence.frames[i]), (target,), single_object=True)


class SalientSource:
    """Pictures of one salient object, named by an ImageNet classifier where it is sure, else an "object".

    Args:
        weak_names: share of the draws where a word of ``words``, at random, stands for the name.
    """

    def __init__(
        self,
        folder: Path,
        name_of: NameOf,
        cache: ImageCache,
        words: Sequence[str] = (),
        weak_names: float = 0.0,
    ) -> None:
        self.cache, self.words, self.weak_names = cache, words, weak_names
        self.pictures = saliency_pictures(folder)
        self.names_by_picture = [
            name_of(crop_key(p, 0), partial(_crop, cache, p, 0)) or UNNAMED for p in self.pictures
        ]
        self.names = sorted(set(self.names_by_picture) - {UNNAMED}) or [("zebra",)]

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        index = int(rng.integers(len(self.pictures)))
        picture, names = self.pictures[index], self.names_by_picture[index]
        rgb = self.cache.rgb(picture.path)
        weak_name = bool(self.words) and rng.random() < self.weak_names
        if weak_name:
            names = (self.words[int(rng.integers(len(self.words)))],)
        mask = _mask_of(picture.instances[0], rgb, self.cache)
        target = AnnotatedObject(names[0], mask, names, weak_name=weak_name)
        return AnnotatedImage(rgb, (target,), single_object=True)


def read_absent(data: Path) -> dict[str, frozenset[str]]:
    """By "part/file name", categories that a picture surely does not show; {} without ``absent.json``, which
    `detected` makes."""
    path = data / "absent.json"
    found = read_json(path, "absent categories") if path.exists() else {}
    return {key: frozenset(categories) for key, categories in found.items()}


DESCRIBED_SHARES = {
    "coco": 0.27, "persons": 0.1, "saliency": 0.08, "refcoco": 0.06, "flickr": 0.15, "captioned": 0.27,
}  # fmt: skip
"""How often, against each other and `CLIPS_SHARE`, a described picture is of each part that is there."""

CLIPS_SHARE = 0.07
"""The same for frames of clips."""

SEARCHED_BY_NOBODY = ("refcoco", "flickr", "captioned")
"""Described parts whose photos nobody searched for anything but what is described."""


TOLD_WHOLE = 5
"""Sentences of whole captions from which what somebody does in the photo, or a rare animal, would be told."""


class DescribedSource:
    """Pictures whose objects people described, each object with its sentences.

    Attributes:
        sentences: of each described object of a known category, the category and one sentence.
        needing: sentences about a "person" and an "animal", by what has to be there for them to be true.
        untold: by file name, what no sentence tells of a photo that is told whole, see `untold`.
    """

    def __init__(self, data: Path, clips: ClipSource, categories: frozenset[str], cache: ImageCache) -> None:
        self.parts, self.clips, self.categories = described_pictures(data), clips, categories
        self.absent = read_absent(data)
        self.cache = cache
        shares = [DESCRIBED_SHARES[name] for name in self.parts]
        total = sum(shares) + CLIPS_SHARE
        self.bounds = np.cumsum(shares) / total  # what is above the last one are frames of clips
        instances = [i for pictures in self.parts.values() for p in pictures for i in p.instances]
        self.sentences = [(i.category, s) for i in instances if i.category in categories for s in i.sentences]
        self.needing: dict[str, dict[frozenset[str], list[str]]] = {"person": {}, "animal": {}}
        for sentence in (sentence for instance in instances for sentence in instance.sentences):
            if kind := being(sentence):
                for things in sorted(needed_things(sentence), key=sorted):  # a set has an order of its own
                    self.needing[kind].setdefault(things, []).append(sentence)
        self.untold: dict[str, frozenset[str]] = {}
        for picture in self.parts.get("captioned", ()):
            told = [sentence for i in picture.instances for sentence in i.sentences]
            if len(told) >= TOLD_WHOLE:
                self.untold[picture.path.name] = untold(told)

    def draw(self, rng: np.random.Generator) -> AnnotatedImage:
        part = int(np.searchsorted(self.bounds, rng.random(), side="right"))
        if part == len(self.parts):
            return self.clips.draw(rng)
        name, pictures = list(self.parts.items())[part]
        return self._read(name, pictures[rng.integers(len(pictures))])

    def _read(self, part: str, picture: Picture) -> AnnotatedImage:
        rgb = self.cache.rgb(picture.path)
        objects = tuple(
            AnnotatedObject(
                i.category, _mask_of(i, rgb, self.cache), sentences=i.sentences, box_only=not i.has_mask
            )
            for i in picture.instances
        )
        if part in SEARCHED_BY_NOBODY:
            absent = self.absent.get(f"{part}/{picture.path.name}", frozenset())
            return AnnotatedImage(rgb, objects, absent | self.untold.get(picture.path.name, frozenset()))
        if part == "saliency":
            return AnnotatedImage(rgb, objects, single_object=True)
        if part == "persons":
            return AnnotatedImage(rgb, objects, RARELY_WITH_PEOPLE)
        return AnnotatedImage(rgb, objects, absent_from(picture, self.categories))
