"""Referring expressions made from the annotations of photos that nobody described.

Verbs and trailing phrases ("on the road") are added at random: people write them, and what they name must not
be segmented.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langtrack_core.masks import BoolMask, enclosing_box

from ..colours import colour_name
from .grammar import ObjectDescription, Phrase, pick, refer, sentence
from .words import DOING, GARMENTS, HELD, KINDS, NOUNS, ROLES, TRAILING


@dataclass(frozen=True)
class AnnotatedObject:
    """An object in a picture, and what its annotation says.

    Attributes:
        category: what it is; "" when unknown.
        mask: ``(H, W)`` bool, its visible pixels.
        names: other nouns for it.
        sentences: sentences that are known to single it out.
        category_complete: all other objects of its category in the picture are annotated too.
        ambiguous: the picture may hold others of its category that nobody annotated, so that no sentence is
            right for it.
        box_only: only its box is known, and the mask is that box filled.
        weak_name: its name is a word at random. Such a sample teaches what a network shall take when the word
            says nothing; it says nothing about the score.
    """

    category: str
    mask: BoolMask
    names: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    category_complete: bool = True
    ambiguous: bool = False
    box_only: bool = False
    weak_name: bool = False


def describe_in_photo(
    rng: np.random.Generator, rgb: NDArray[np.uint8], objects: Sequence[AnnotatedObject], index: int
) -> str | None:
    """One sentence that fits ``objects[index]`` and nothing else in the picture; None when there is none."""
    target = objects[index]
    if target.ambiguous:
        return None
    same_category = [o for o in objects if o is not target and o.category == target.category]
    if target.sentences and not same_category and rng.random() < 0.85:
        return shorten(rng, pick(rng, target.sentences))
    relations = _relations(rng, target, same_category, objects) if target.category == "person" else ()
    nouns = _nouns(target)
    if target.category_complete and not target.sentences:
        # Objects that share none of its nouns can be left out: measuring their colours takes time.
        rivals = [
            o
            for o in objects
            if o is not target and (o.category == target.category or set(_nouns(o)) & set(nouns))
        ]
        others = [_description(rgb, rival) for rival in rivals]
        phrase = refer(rng, _description(rgb, target, relations), others, depth=True)
    else:
        # Others of its category may be there: only a lone one can be named, and by no more than its name.
        names = relations if relations and rng.random() < 0.5 else nouns
        phrase = Phrase(pick(rng, names)) if names and not same_category else None
    return None if phrase is None else _finished(rng, phrase, target.category)


def name_with_noise(rng: np.random.Generator, name: str, category: str) -> str:
    """A sentence of a name alone, with the verbs and trailing phrases of its category."""
    return _finished(rng, Phrase(name), category)


def shorten(rng: np.random.Generator, human_sentence: str) -> str:
    """The sentence, now and then cut before a later phrase; its head noun stays."""
    words = human_sentence.split()
    cuts = [i for i, word in enumerate(words) if word in _CUT_BEFORE and i >= 2]
    return " ".join(words[: pick(rng, cuts)]) if cuts and rng.random() < 0.25 else human_sentence


_CUT_BEFORE = {
    "with", "on", "in", "over", "at", "between", "next", "around", "along", "from", "by", "of", "behind",
}  # fmt: skip


_SIDES = re.compile(r"\b(left|right)(?!\s+(?:next|behind|above|below|under|over|after|before|at)\b)")
"""Sides in a sentence, with what hangs on them ("leftmost"); but "right behind" is no side."""


def mirror(human_sentence: str) -> str:
    """The sentence for the picture flipped left to right."""
    return _SIDES.sub(lambda side: "right" if side[0] == "left" else "left", human_sentence)


def _finished(rng: np.random.Generator, phrase: Phrase, category: str) -> str:
    return sentence(rng, phrase, DOING[KINDS.get(category, "thing")], TRAILING)


def _nouns(thing: AnnotatedObject) -> tuple[str, ...]:
    return thing.names or NOUNS.get(thing.category, (thing.category,) if thing.category else ())


def _description(
    rgb: NDArray[np.uint8], thing: AnnotatedObject, relations: tuple[str, ...] = ()
) -> ObjectDescription:
    rows, columns = np.nonzero(thing.mask)
    height, width = thing.mask.shape
    person = thing.category == "person"
    colours: tuple[str | None, ...] = (colour_name(rgb, thing.mask), None)
    if person:  # the shirt is seen between these shares of a person's height, the trousers between those
        colours = (
            colour_name(rgb, _band(thing, 0.2, 0.5)),
            colour_name(rgb, _band(thing, 0.55, 0.85)),
        )
    return ObjectDescription(
        thing.category,
        _nouns(thing),
        (columns.mean() / width, rows.mean() / height),
        len(rows),
        colours,
        GARMENTS if person else (),
        relations,
    )


def _band(person: AnnotatedObject, top: float, bottom: float) -> BoolMask:
    """A person between two shares of the height; of a box only the middle half, its sides are background."""
    box = enclosing_box(person.mask)
    if box is None:
        return person.mask
    x1, y1, x2, y2 = box.astype(int)
    inset = (x2 - x1) // 4 if person.box_only else 0
    band = np.zeros_like(person.mask)
    band[y1 + int(top * (y2 - y1)) : y1 + int(bottom * (y2 - y1)), x1 + inset : x2 - inset] = True
    return person.mask & band


def _relations(
    rng: np.random.Generator,
    person: AnnotatedObject,
    people: Sequence[AnnotatedObject],
    objects: Sequence[AnnotatedObject],
) -> tuple[str, ...]:
    """Names that a person has from an object it touches, if nobody else touches one of that category."""
    names: list[str] = []
    for category in sorted({o.category for o in objects} & (ROLES.keys() | HELD)):
        touchable = [o for o in objects if o.category == category]
        if any(_touch(person, o) for o in touchable) and not any(
            _touch(other, o) for other in people for o in touchable
        ):
            names += ROLES.get(category, ())
            if category in HELD:
                joined = pick(rng, ("holding a", "holding the", "with a", "with the", "carrying a"))
                names.append(f"person {joined} {pick(rng, NOUNS.get(category, (category,)))}")
    return tuple(names)


def _touch(a: AnnotatedObject, b: AnnotatedObject) -> bool:
    """Whether the boxes overlap by a third of the smaller one."""
    box_a, box_b = enclosing_box(a.mask), enclosing_box(b.mask)
    if box_a is None or box_b is None:
        return False
    w, h = np.minimum(box_a[2:], box_b[2:]) - np.maximum(box_a[:2], box_b[:2])
    smaller = min(np.prod(box_a[2:] - box_a[:2]), np.prod(box_b[2:] - box_b[:2]))
    return bool(w > 0 and h > 0 and w * h > smaller / 3)
