"""One grammar of referring expressions: an object of a picture is named so that no other object fits.

A noun comes first. Where other objects can be called the same, its colour, its place or its size tells it
from them. Photos and rendered scenes are two sources of the descriptions that this works on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from ..colours import COLOURS
from ..place_words import PLACE_ADJECTIVES, PLACE_PHRASES, Place

T = TypeVar("T")
Size = Literal["big", "small"]
SIZES: dict[Size, tuple[str, ...]] = {
    "big": ("biggest", "largest", "big", "large"),
    "small": ("smallest", "littlest", "small", "little", "tiny"),
}
"""Words for an object that is larger, or smaller, than all others of its kind."""
COMPARATIVES: dict[Size, tuple[str, ...]] = {"big": ("bigger", "larger"), "small": ("smaller",)}
"""Further words for the size, when there are only two objects to compare."""

SIZES_AS_DEPTH: dict[Size, tuple[str, ...]] = {"big": ("closest",), "small": ("farthest",)}
"""Further words for the size in pictures with a depth: what is larger is usually nearer."""

PLACES_AS_DEPTH: dict[Place, tuple[str, ...]] = {"bottom": ("in front",)}
"""Further words for the place in such pictures: what is lower is usually nearer."""

MARGIN_X = 0.1
"""An object is left of another when its centre is this share of the picture's width further left. With less,
readers do not agree which one is meant."""

MARGIN_Y = 0.2
"""The same for above and below, as a share of the height. It is larger, since heights differ by depth too."""

SIZE_RATIO = 1.6
"""An object is bigger than another when it has this many times its area. With less, readers do not agree."""


@dataclass(frozen=True)
class ObjectDescription:
    """What can be said of one object of a picture.

    Attributes:
        category: objects of one category can be called by the same nouns.
        nouns: what it can be called, the plainest first.
        centre_xy: mean position of its pixels, as shares of the picture's width and height.
        area: its size, in pixels or any other unit that all objects of the picture share.
        colours: names of the colours of its parts, None for a part without a clear one; every object of a
            picture has the same number of parts.
        garments: for each part, the clothes that have the colour; () for an object that has it itself.
        relations: names that fit it alone, for what it holds or touches.
    """

    category: str
    nouns: tuple[str, ...]
    centre_xy: tuple[float, float]
    area: float
    colours: tuple[str | None, ...] = ()
    garments: tuple[tuple[str, ...], ...] = ()
    relations: tuple[str, ...] = ()


class Phrase(NamedTuple):
    """A name, the place that follows it ("" for none), and whether it can only have the article "the"."""

    name: str
    place: str = ""
    definite: bool = False


def refer(
    rng: np.random.Generator,
    target: ObjectDescription,
    others: Sequence[ObjectDescription],
    *,
    depth: bool = False,
) -> Phrase | None:
    """A random phrase that fits the target and none of the others; None when nothing tells it apart.

    Args:
        depth: the picture has a depth, so that words for near and far can stand for low, large and small.
    """
    if not target.nouns:
        return None
    # People use the plain noun most: it is tried first half of the time.
    first = target.nouns[0] if rng.random() < 0.5 else pick(rng, target.nouns)
    for noun in (first, *target.nouns):
        phrases = _phrases(rng, target, others, noun, depth)
        if phrases:
            return pick(rng, phrases)
    return None


def sentence(
    rng: np.random.Generator, phrase: Phrase, doing: Sequence[str] = (), trailing: Sequence[str] = ()
) -> str:
    """The phrase with an article, and now and then with one of the verbs and one of the trailing phrases."""
    indefinite = "the" if phrase.definite else "an" if phrase.name[0] in "aeio" else "a"
    parts = [pick(rng, ("the", "the", indefinite, "")), phrase.name, phrase.place]
    if doing and rng.random() < 0.3:
        parts.insert(int(rng.integers(2, 4)), pick(rng, doing))
    if trailing and rng.random() < 0.3:
        parts.append(pick(rng, trailing))
    return " ".join(part for part in parts if part)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options; ``rng.choice`` would make an array of them first."""
    return options[int(rng.integers(len(options)))]


def _phrases(
    rng: np.random.Generator,
    target: ObjectDescription,
    others: Sequence[ObjectDescription],
    noun: str,
    depth: bool,
) -> list[Phrase]:
    """Phrases with this noun that fit the target alone, each repeated as often as it shall be chosen."""
    rivals = [other for other in others if other.category == target.category or noun in other.nouns]
    definite = noun == "one"
    phrases = [Phrase(name) for name in target.relations]
    # Each name with the rivals that it fits too, and how often people use it with a place.
    names = [(noun, rivals, 4)]
    for part, colour in enumerate(target.colours):
        if colour is not None:
            same = [rival for rival in rivals if rival.colours[part] in (colour, None)]
            names.append((_coloured(rng, target, noun, part, colour), same, 1))
    # The only one of its name needs no place; half of the time it gets one all the same.
    placed = bool(rivals) or rng.random() < 0.5
    for name, left, weight in names:
        if not left:
            phrases += [Phrase(name, definite=definite)] * (3 if rivals else 2)
        place = _place_among(target, left or rivals) if rivals else _place_in_picture(target)
        if placed and place is not None:
            wordings = PLACE_PHRASES[place] + (PLACES_AS_DEPTH.get(place, ()) if depth else ())
            phrases += [Phrase(name, pick(rng, wordings), definite)] * weight
            if left and place in PLACE_ADJECTIVES:
                adjective = pick(rng, PLACE_ADJECTIVES[place])
                phrases += [Phrase(f"{adjective} {name}", definite=True)] * ((weight + 1) // 2)
        size = _size_among(target, left) if left else None
        if size is not None:
            words = SIZES[size] + (COMPARATIVES[size] if len(left) == 1 else ())
            words += SIZES_AS_DEPTH[size] if depth else ()
            phrases.append(Phrase(f"{pick(rng, words)} {name}", definite=True))
    return phrases


def _coloured(rng: np.random.Generator, target: ObjectDescription, noun: str, part: int, colour: str) -> str:
    """The noun with the colour of a part: "blue car", "man in a red shirt"."""
    word = pick(rng, COLOURS[colour].words)
    if not target.garments:
        joined = pick(rng, ("colored in", "that is"))
        return f"{noun} {joined} {word}" if rng.random() < 0.1 else f"{word} {noun}"
    joined = pick(rng, ("in", "in", "wearing", "dressed in", "with"))
    if part == 0 and rng.random() < 0.4:
        return f"{noun} {'wearing' if joined == 'with' else joined} {word}"
    article = pick(rng, ("", "", "a ", "the ")) if part == 0 else ""
    return f"{noun} {joined} {article}{word} {pick(rng, target.garments[part])}"


def _place_among(target: ObjectDescription, rivals: Sequence[ObjectDescription]) -> Place | None:
    """Where the target is, seen from all of the rivals; None when it is not clear."""
    x, y = target.centre_xy
    xs, ys = zip(*(rival.centre_xy for rival in rivals), strict=True)
    if x < min(xs) - MARGIN_X:
        return "left"
    if x > max(xs) + MARGIN_X:
        return "right"
    if len(rivals) == 2 and min(xs) + MARGIN_X < x < max(xs) - MARGIN_X:
        return "middle"
    if y < min(ys) - MARGIN_Y:
        return "top"
    return "bottom" if y > max(ys) + MARGIN_Y else None


def _place_in_picture(target: ObjectDescription) -> Place | None:
    """Where the only one of its name is. A large object "on the left" reaches into the right half, and shall
    be found whole: a place is no border."""
    x, y = target.centre_xy
    if x < 0.42:
        return "left"
    if x > 0.58:
        return "right"
    return "middle" if abs(x - 0.5) < 0.08 and abs(y - 0.5) < 0.15 else None


def _size_among(target: ObjectDescription, rivals: Sequence[ObjectDescription]) -> Size | None:
    """Whether the target is clearly bigger, or smaller, than all of the rivals."""
    areas = [rival.area for rival in rivals]
    if target.area > SIZE_RATIO * max(areas):
        return "big"
    return "small" if target.area * SIZE_RATIO < min(areas) else None
