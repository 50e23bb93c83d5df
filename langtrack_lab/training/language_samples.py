"""What the lite language branch is trained on: an augmented picture, and a few sentences with their objects.

Order matters: pictures are cropped, mirrored and pasted into first, sentences are made of what is then to
be seen, so that "left", "biggest" and "the only dog" stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, enclosing_box

from ..datasets import coco_pictures, held_out_photos
from ..expressions.photos import AnnotatedObject, describe_in_photo, name_with_noise
from ..expressions.scenes import describe_in_scene
from ..expressions.words import KINDS, NOUNS, PERSON_WORDS, being, category_of
from ..synthetic import render_random_scene
from .annotated_images import (
    RARELY_WITH_PEOPLE,
    UNNAMED,
    AnnotatedImage,
    BoxSource,
    ClipSource,
    DescribedSource,
    NameOf,
    PhotoSource,
    Rgb,
    SalientSource,
    Similarity,
    absent_from,
)
from .augment import paste_object, random_crop, share_of, without_places
from .image_cache import ImageCache
from .views import OVERSIZE, WHOLE, Query, cut_view

SOURCE_SHARES = (0.42, 0.08, 0.17, 0.2, 0.13)
"""How often a picture is one of the photos, the people, the clips, the salient objects and, where there are
some, of those that a detector has boxed."""

MIN_OBJECT_SHARE = 0.0025
"""Share of the picture that an object has to show to be asked for: smaller masks vanish at stride 16."""

MIN_DESCRIBED_SHARE = 0.001
"""The same for what a person described: the sentence tells where it is, too."""

ABSENT_IN_DESCRIBED = 0.6
"""Share of the described pictures of which one sentence is about something else."""

MAX_FOREIGN_SIMILARITY = 0.42
"""Largest similarity of a name to what a picture shows for which the named thing counts as absent there."""

NEEDING = 0.5
"""How often the sentence about something else is, where there are people or animals, one of their kind that
lacks its thing: "the skier" where nobody has skis, "the runner" where nobody is said to run, "the deer" where
dogs are. Of a foreign category it is easily told."""

MANY_ABSENT = 40
"""A picture that surely lacks more than this many of COCO's 80 categories is known well enough to say that a
thing unlike all it shows is absent, too."""


LONG_SENTENCE = 5
"""Words of a sentence that hardly fits another thing of another photo."""

RELATED = 0.3
"""Share of the described pictures where two of the sentences become "A left of B" and "B right of A"."""

MAX_RELATED_WORDS = 7
"""Longest sentence that becomes part of one on two things."""


class SampleStream:
    """Samples without end.

    Args:
        data: folder with coco/, persons/, davis/ and saliency/.
        cache: of the pictures read.
        queries: sentences a picture.
        described: share of pictures with sentences that people wrote, where there are some.
        scenes: share of rendered pictures.
        mosaics: share of photographs that are two or four in one.
        views: share of pictures of which a part is shown.
        words, weak_names: words at random, and how often one names a salient thing.
    """

    def __init__(
        self,
        data: Path,
        name_of: NameOf,
        similarity: Similarity,
        cache: ImageCache,
        *,
        queries: int = 4,
        described: float = 0.0,
        scenes: float = 0.06,
        mosaics: float = 0.2,
        views: float = 0.0,
        words: Sequence[str] = (),
        weak_names: float = 0.25,
    ) -> None:
        self.similarity = similarity
        held_out = held_out_photos(data / "refcoco")
        photos = [p for p in coco_pictures(data / "coco") if p.path.name not in held_out]
        self.photos = PhotoSource(photos, name_of, similarity, cache)
        people = coco_pictures(data / "persons", "boxes.json")
        self.people = BoxSource(people, lambda _: RARELY_WITH_PEOPLE, cache)
        self.detected = None
        if (data / "detected").exists():
            boxed = [p for p in coco_pictures(data / "detected", "boxes.json") if p.path.name not in held_out]
            categories = frozenset(self.photos.categories)
            self.detected = BoxSource(boxed, lambda picture: absent_from(picture, categories), cache)
        self.clips = ClipSource(data / "davis", cache)
        self.salient = SalientSource(data / "saliency", name_of, cache, words, weak_names)
        self.described = DescribedSource(data, self.clips, frozenset(self.photos.categories), cache)
        self.queries, self.scenes, self.mosaics, self.views = queries, scenes, mosaics, views
        self.described_share = described if self.described.parts else 0.0

    def draw(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[Rgb, list[Query], FloatArray]:
        """A picture of this size, as many queries as asked for, where some may be the same, and the view.

        Args:
            size_hw: multiples of 8.
        """
        closer = rng.random() < self.views
        whole_hw = (OVERSIZE * size_hw[0], OVERSIZE * size_hw[1]) if closer else size_hw
        queries: list[Query] = []
        while not queries:
            described = self.described_share > 0 and rng.random() < self.described_share
            rgb, queries = self._described(rng, whole_hw) if described else self._templated(rng, whole_hw)
        view: FloatArray = WHOLE
        if closer:
            rgb, queries, view = cut_view(rgb, queries, rng, size_hw)
        return rgb, [queries[i % len(queries)] for i in range(self.queries)], view

    def _described(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[Rgb, list[Query]]:
        """Photos as they are, one or several side by side, and sentences that people wrote."""
        if rng.random() < self.mosaics:
            image = self.described_mosaic(rng, size_hw)
        else:
            image = random_crop(self.described.draw(rng), rng, size_hw)
        objects = [o for o in image.objects if o.sentences and share_of(o.mask) >= MIN_DESCRIBED_SHARE]
        queries: list[Query] = []
        rounds = [[Query(str(s), o) for s in rng.permutation(o.sentences)] for o in objects]
        # Another object first, then another sentence: they teach what tells one from its neighbours.
        for turn in range(max(map(len, rounds), default=0)):
            same_turn = [sentences[turn] for sentences in rounds if turn < len(sentences)]
            queries += [same_turn[i] for i in rng.permutation(len(same_turn))]
        queries = queries[: self.queries]
        if rng.random() < RELATED:
            queries = relate(rng, queries)
        absent = self._absent_described(rng, image) if rng.random() < ABSENT_IN_DESCRIBED else None
        if absent and queries:
            nothing = AnnotatedObject("", np.zeros(size_hw, bool))
            queries = [*queries[: self.queries - 1], Query(absent, nothing)]
        return image.rgb, queries

    def _absent_described(self, rng: np.random.Generator, image: AnnotatedImage) -> str | None:
        """What a person wrote of a thing that the image does not show; or a made sentence of one."""
        if rng.random() < NEEDING and (beings := beings_in(image)):
            needing = self.described.needing[beings[rng.integers(len(beings))]]
            lacking = [sentences for things, sentences in needing.items() if things <= image.absent]
            if lacking:
                weights = np.sqrt([len(sentences) for sentences in lacking])
                sentences = lacking[rng.choice(len(lacking), p=weights / weights.sum())]
                return sentences[rng.integers(len(sentences))]
        foreign = self.described.sentences
        for _ in range(4 if foreign else 0):
            category, sentence = foreign[rng.integers(len(foreign))]
            if self._surely_absent(image, category, category):
                return sentence
        return self.absent_sentence(rng, image)

    def _templated(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[Rgb, list[Query]]:
        rendered = rng.random() < self.scenes
        return self._scene(rng, size_hw) if rendered else self._photo(rng, size_hw)

    def _scene(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[Rgb, list[Query]]:
        scene = render_random_scene(rng, size_hw, 1, int(rng.integers(2, 6)))
        queries = []
        for i in rng.permutation(len(scene.objects)):
            sentence = describe_in_scene(rng, scene, int(i))
            if sentence:
                queries.append(Query(sentence, AnnotatedObject("", scene.objects[i].masks[0])))
        return scene.frames[0], queries[: self.queries]

    def _photo(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[Rgb, list[Query]]:
        if rng.random() < self.mosaics:
            image, pastes = self.mosaic(rng, size_hw), 0
        else:
            image = random_crop(self._random_image(rng), rng, size_hw)
            pastes = int(rng.choice(3, p=(0.35, 0.4, 0.25)))
        for _ in range(pastes):
            image = paste_object(image, rng, self._companion(rng, image))
        objects = [o for o in image.objects if share_of(o.mask) >= MIN_OBJECT_SHARE]
        order = list(rng.permutation(len(objects)))
        queries: list[Query] = []
        for i in (order * self.queries)[: 3 * self.queries]:
            sentence = describe_in_photo(rng, image.rgb, objects, i)
            if sentence and sentence not in [query.sentence for query in queries]:
                queries.append(Query(sentence, objects[i]))
            if len(queries) == self.queries:
                break
        if not queries:
            return image.rgb, []
        absent_count = int(rng.choice(3, p=(0.25, 0.55, 0.2)))
        nothing = AnnotatedObject("", np.zeros(size_hw, bool))
        sentences = [self.absent_sentence(rng, image) for _ in range(absent_count)]
        absent = [Query(sentence, nothing) for sentence in sentences if sentence]
        return image.rgb, queries[: self.queries - len(absent)] + absent

    def _random_image(self, rng: np.random.Generator) -> AnnotatedImage:
        sources: list[PhotoSource | BoxSource | ClipSource | SalientSource]
        sources = [self.photos, self.people, self.clips, self.salient]
        if self.detected is not None:
            sources.append(self.detected)
        shares = np.array(SOURCE_SHARES[: len(sources)])
        return sources[rng.choice(len(sources), p=shares / shares.sum())].draw(rng)

    def _companion(self, rng: np.random.Generator, image: AnnotatedImage) -> AnnotatedImage:
        """A picture to go with this one: often of the same kind, so that the name alone says too little."""
        if image.objects and rng.random() < 0.65:
            model = image.objects[rng.integers(len(image.objects))]
            same_kind = self.photos.draw_category(rng, model.category)
            if same_kind is not None:
                return same_kind
            if model.names:  # its own twin, seen in a mirror
                twin = replace(model, mask=np.ascontiguousarray(model.mask[:, ::-1]))
                return replace(image, rgb=np.ascontiguousarray(image.rgb[:, ::-1]), objects=(twin,))
        return self._random_image(rng)

    def mosaic(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> AnnotatedImage:
        """Two or four pictures side by side: small things, among others of which much is known.

        Half of the time the others are of the first one's kind. A thing is asked for only when no other
        picture can hold one of its kind unknown.
        """
        rows, columns = _random_grid(rng)
        images = [self._random_image(rng)]
        for _ in range(rows * columns - 1):
            companion = rng.random() < 0.5
            images.append(self._companion(rng, images[0]) if companion else self._random_image(rng))
        rgb, images = _side_by_side(images, rng, size_hw, columns)
        objects = []
        for image in images:
            for thing in image.objects:
                clear = all(self.kind_is_known(other, thing) for other in images if other is not image)
                sentences = without_places(thing.sentences)
                objects.append(replace(thing, sentences=sentences, ambiguous=not clear))
        absent = frozenset.intersection(*(image.absent for image in images))
        return AnnotatedImage(rgb, tuple(objects), absent, all(image.single_object for image in images))

    def described_mosaic(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> AnnotatedImage:
        """Two or four described pictures side by side: small things, which whole photos rarely describe.

        A sentence stays when it fits nothing in the other pictures, or is so long that it hardly can.
        """
        rows, columns = _random_grid(rng)
        images = [self.described.draw(rng) for _ in range(rows * columns)]
        rgb, images = _side_by_side(images, rng, size_hw, columns)
        objects = []
        for image in images:
            others = [other for other in images if other is not image]
            for thing in image.objects:
                kind = thing.category
                sentences = tuple(
                    sentence
                    for sentence in without_places(thing.sentences)
                    if len(sentence.split()) >= LONG_SENTENCE
                    or all(self._surely_absent(other, kind, kind or sentence) for other in others)
                )
                objects.append(replace(thing, sentences=sentences))
        absent = frozenset.intersection(*(image.absent for image in images))
        return AnnotatedImage(rgb, tuple(objects), absent)

    def kind_is_known(self, image: AnnotatedImage, thing: AnnotatedObject) -> bool:
        """Whether all of this one's kind in an image are annotated; of the kind "object" is everything."""
        if thing.weak_name or thing.names == UNNAMED:
            return False
        same_kind = [o for o in image.objects if o.category == thing.category]
        if same_kind:
            return all(o.category_complete for o in same_kind)
        return self._surely_absent(image, thing.category, (*thing.names, thing.category)[0])

    def absent_sentence(self, rng: np.random.Generator, image: AnnotatedImage) -> str | None:
        """A sentence for what the image does not show; None when three that were tried might be there."""
        kinds = {KINDS.get(o.category) for o in image.objects} - {None}
        for _ in range(3):
            source = rng.choice(3, p=(0.5, 0.25, 0.25))
            if source == 0:
                categories = self.photos.categories
                if rng.random() < 0.4:  # of the same kind is harder to tell
                    categories = tuple(c for c in categories if KINDS.get(c) in kinds) or categories
                category = str(rng.choice(categories))
                names = NOUNS.get(category, (category,))
                sentence = name_with_noise(rng, str(rng.choice(names)), category)
                head = names[0]
            elif source == 1:
                sequence = self.clips.sequences[rng.integers(len(self.clips.sequences))]
                sentence = head = str(rng.choice(sequence.expressions))
                category = category_of(sentence) or sequence.name
            else:
                names = self.salient.names[rng.integers(len(self.salient.names))]
                category, head = names[0], str(rng.choice(names))
                sentence = name_with_noise(rng, head, category)
            if self._surely_absent(image, category, head):
                return sentence
        return None

    def _surely_absent(self, image: AnnotatedImage, category: str, name: str) -> bool:
        if category in self.photos.categories and not image.single_object:
            return category in image.absent
        texts = [_words_of(thing) for thing in image.objects]
        if category == "person" and "person" in beings_in(image):
            return False
        if any("object" in text.split() for text in texts):
            return False
        known_absent = image.absent.intersection(self.photos.categories)
        well_known = image.single_object or len(known_absent) > MANY_ABSENT
        return well_known and all(self.similarity(text, name) < MAX_FOREIGN_SIMILARITY for text in texts)


def beings_in(image: AnnotatedImage) -> list[str]:
    """Kinds of living things that an image is said to show: "person", "animal", both or neither."""
    texts = [_words_of(thing) for thing in image.objects]
    people = any(PERSON_WORDS & set(text.split()) for text in texts)
    return ["person"] * people + ["animal"] * any(being(text) == "animal" for text in texts)


def _words_of(thing: AnnotatedObject) -> str:
    return " ".join((thing.category, *thing.names, *thing.sentences))


# --- pictures side by side ---------------------------------------------------------------------------------


def _random_grid(rng: np.random.Generator) -> tuple[int, int]:
    """Rows and columns."""
    return ((1, 2), (2, 1), (2, 2))[rng.choice(3, p=(0.35, 0.15, 0.5))]


def _side_by_side(
    images: list[AnnotatedImage], rng: np.random.Generator, size_hw: tuple[int, int], columns: int
) -> tuple[Rgb, list[AnnotatedImage]]:
    """The picture of all, and each again with its masks where it stands there."""
    height, width = size_hw[0] // (len(images) // columns), size_hw[1] // columns
    rgb, placed = np.zeros((*size_hw, 3), np.uint8), []
    for i, image in enumerate(images):
        image = random_crop(image, rng, (height, width))
        top, left = i // columns * height, i % columns * width
        tile = np.s_[top : top + height, left : left + width]
        rgb[tile] = image.rgb
        objects = []
        for thing in image.objects:
            mask = np.zeros(size_hw, bool)
            mask[tile] = thing.mask
            objects.append(replace(thing, mask=mask))
        placed.append(replace(image, objects=tuple(objects)))
    return rgb, placed


# --- sentences on two things -------------------------------------------------------------------------------


def relate(rng: np.random.Generator, queries: list[Query]) -> list[Query]:
    """Two of the sentences made into "A left of B" and "B right of A", each for its own first thing.

    Both have the same words but for the relation, so that only their order tells what is meant. The queries
    as they are where no two things are related.
    """
    short = [q for q in queries if len(q.sentence.split()) <= MAX_RELATED_WORDS and q.target.mask.any()]
    for i in rng.permutation(len(short)):
        a = short[i]
        b = next((q for q in short if q.target is not a.target), None)
        phrases = b and relation(rng, a.target.mask, b.target.mask)
        if b is None or not phrases:
            continue
        pair = [
            Query(f"{one.sentence} {phrase} {_with_article(other.sentence)}", one.target)
            for one, other, phrase in ((a, b, phrases[0]), (b, a, phrases[1]))
        ]
        return [*pair, *(q for q in queries if q is not a and q is not b)]
    return queries


def relation(rng: np.random.Generator, a: BoolMask, b: BoolMask) -> tuple[str, str] | None:
    """How the first thing stands to the second, and the second to the first; None when nothing is clear."""
    (h, w), box_a, box_b = a.shape, enclosing_box(a), enclosing_box(b)
    assert box_a is not None and box_b is not None
    (ax, ay), (bx, by) = ((box[:2] + box[2:]) / 2 / (w, h) for box in (box_a, box_b))
    gap = (np.maximum(box_a[:2], box_b[:2]) - np.minimum(box_a[2:], box_b[2:])) / (w, h)
    choices: list[tuple[str, str]] = []
    if abs(ax - bx) > 0.12 and abs(ax - bx) > abs(ay - by):
        sides = ("left of", "right of") if ax < bx else ("right of", "left of")
        choices += [sides, ("to the " + sides[0], "to the " + sides[1])]
    if abs(ay - by) > 0.15 and abs(ay - by) > 1.3 * abs(ax - bx):
        choices.append(("above", "below") if ay < by else ("below", "above"))
    if gap.max() < 0.05:
        choices += [(near, near) for near in ("next to", "beside", "near")]
    return choices[rng.integers(len(choices))] if choices else None


def _with_article(sentence: str) -> str:
    return sentence if sentence.split()[0] in ("the", "a", "an") else f"the {sentence}"
