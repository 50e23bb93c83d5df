"""Referring expressions made from annotations, for pictures that nobody described.

A sentence is kept only if it fits one object alone: by its category, or by its category together with its
colour, its place or its size among its like. Trailing phrases ("on the road") are noise on purpose: people
write them, and what they name must not be segmented.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.masks import BoolMask, enclosing_box

NOUNS: dict[str, tuple[str, ...]] = {
    "person": (
        "person",
        "man",
        "woman",
        "boy",
        "girl",
        "guy",
        "lady",
        "human",
        "kid",
        "player",
        "child",
        "athlete",
        "gentleman",
        "adult",
        "teenager",
        "pedestrian",
        "runner",
        "jogger",
        "rider",
    ),
    "car": ("car", "vehicle", "automobile", "sedan"),
    "motorcycle": ("motorcycle", "motorbike", "bike"),
    "bicycle": ("bicycle", "bike", "cycle"),
    "airplane": ("airplane", "plane", "aircraft", "jet"),
    "truck": ("truck", "lorry", "vehicle"),
    "bus": ("bus", "coach"),
    "boat": ("boat", "ship", "vessel"),
    "couch": ("couch", "sofa"),
    "tv": ("tv", "television", "screen", "monitor"),
    "cell phone": ("cell phone", "phone", "mobile"),
    "cow": ("cow", "cattle", "bull"),
    "sheep": ("sheep", "lamb", "goat"),
    "dog": ("dog", "puppy"),
    "cat": ("cat", "kitten"),
    "bird": ("bird", "duck", "pigeon"),
    "sports ball": ("ball", "sports ball"),
    "dining table": ("table", "dining table"),
    "potted plant": ("potted plant", "plant"),
    "teddy bear": ("teddy bear", "teddy", "toy"),
    "wine glass": ("wine glass", "glass"),
    "cup": ("cup", "mug", "glass"),
    "laptop": ("laptop", "computer", "notebook"),
    "train": ("train", "locomotive"),
    "handbag": ("handbag", "bag", "purse"),
    "backpack": ("backpack", "bag"),
    "skis": ("skis", "pair of skis"),
    "refrigerator": ("refrigerator", "fridge"),
    "donut": ("donut", "doughnut"),
    "remote": ("remote", "remote control"),
}
# What a person is called beside such a thing, and how the two are joined.
ROLES: dict[str, tuple[str, ...]] = {
    "skis": ("skier",), "snowboard": ("snowboarder",), "surfboard": ("surfer", "man surfing"),
    "skateboard": ("skateboarder", "skater", "boy skateboarding"), "tennis racket": ("tennis player",),
    "baseball bat": ("baseball player", "batter"), "baseball glove": ("baseball player", "catcher"),
    "bicycle": ("cyclist", "biker", "bike rider", "person riding a bike", "man on the bicycle"),
    "motorcycle": ("motorcyclist", "biker", "rider", "man riding a motorbike", "person on the motorcycle"),
    "horse": ("rider", "horse rider", "jockey", "person riding a horse", "man on the horse"),
    "sports ball": ("player", "football player"), "kite": ("person flying a kite", "man with a kite"),
    "elephant": ("person riding an elephant",), "bench": ("person sitting on the bench",),
    "chair": ("person sitting on the chair",), "couch": ("person sitting on the couch",),
    "laptop": ("person using a laptop", "person with the laptop"),
}  # fmt: skip
HELD = {
    "umbrella", "handbag", "backpack", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass",
    "cup", "fork", "knife", "spoon", "banana", "apple", "sandwich", "hot dog", "pizza", "donut", "cake",
    "laptop", "remote", "cell phone", "book", "teddy bear", "toothbrush", "tie", "scissors",
}  # fmt: skip
DOING = {
    "person": (
        "walking", "standing", "running", "sitting", "jogging", "dancing", "playing", "riding", "jumping",
        "moving", "walking down the street", "looking at the camera", "playing with a ball",
    ),
    "vehicle": (
        "driving", "moving", "turning", "parked", "driving fast", "speeding", "drifting", "running",
        "moving fast", "in front of the camera",
    ),
    "animal": (
        "walking", "running", "standing", "eating", "lying", "moving", "playing", "sitting", "jumping",
        "looking around", "eating food", "playing with others", "walking among others",
    ),
    "thing": ("being held", "placed on the table", "moving", "held by a hand", "standing", "shown"),
}  # fmt: skip
KINDS = {
    **dict.fromkeys(("person",), "person"),
    **dict.fromkeys(("car", "bus", "truck", "motorcycle", "bicycle", "train", "boat", "airplane"), "vehicle"),
    **dict.fromkeys(
        ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"), "animal"
    ),
}
PERSON_WORDS = {*NOUNS["person"], "people", "hiker", "dancer", "skier", "surfer", "windsurfer", "paraglider"}
TRAILING = (
    "on the road", "on the street", "on the grass", "on the ground", "in the water", "on the beach",
    "in the field", "in the background", "in the picture", "near the tree", "next to the rocks",
    "in front of the building", "on the track", "in the air", "along the wall", "by the fence",
    "on the table", "in the room", "outdoors", "in the scene", "at the crossing", "along the sea",
    "on the snow", "around the bend", "among the others", "on the highway", "on the playground",
    "in the forest", "in the river", "in the yard", "on the floor", "in the sky", "on the stage",
    "at the side of the road", "in the park", "under the tree", "behind the fence", "along the track",
    "in the city", "on the sidewalk", "near the water", "in the garden", "over the hills",
)  # fmt: skip
PLACES = {
    "left": ("on the left", "on the left side", "to the left", "at the left"),
    "right": ("on the right", "on the right side", "to the right", "at the right"),
    "middle": ("in the middle", "in the center", "in the centre"),
    "top": ("at the top", "on top", "in the upper part"),
    "bottom": ("at the bottom", "in the lower part", "in front"),
}
SIZES = {
    "big": ("biggest", "largest", "big", "large", "closest"),
    "small": ("smallest", "little", "small", "tiny", "farthest"),
}
# sRGB of clear examples; a colour is named only when it is much nearer to one of these than to the others.
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((20, 20, 20), (40, 40, 42)),
    "white": ((245, 245, 245), (225, 225, 228)),
    "grey": ((128, 128, 128), (160, 160, 162)),
    "red": ((200, 30, 30), (150, 25, 30)),
    "orange": ((235, 130, 30),),
    "yellow": ((240, 215, 50), (225, 190, 30)),
    "green": ((50, 140, 50), (30, 90, 40), (120, 170, 70)),
    "blue": ((40, 80, 190), (30, 45, 110), (110, 160, 220)),
    "purple": ((120, 50, 150),),
    "pink": ((240, 150, 180), (220, 90, 140)),
    "brown": ((110, 70, 40), (150, 105, 70)),
}
GARMENTS = (
    ("shirt", "jacket", "top", "t shirt", "coat", "sweater", "hoodie", "dress", "jersey"),
    ("trousers", "pants", "jeans", "shorts", "skirt", "trousers"),
)
SPELLINGS = {"grey": ("grey", "gray", "silver"), "black": ("black", "dark"), "brown": ("brown", "tan")}


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


def colour_name(rgb: NDArray[np.uint8], mask: BoolMask) -> str | None:
    """The colour that most of a region has, None when it is mixed or between two names."""
    rows, columns = np.nonzero(mask)
    if len(rows) < 30:
        return None
    chosen = slice(None, None, max(1, len(rows) // 200))
    pixels = rgb[rows[chosen], columns[chosen]].astype(np.float32)[None] / 255
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[0]
    nearest = ((lab[:, None] - _SHADES[None]) ** 2).sum(2).argmin(1)
    votes = np.bincount(_SHADE_NAME[nearest], minlength=len(COLOURS)) / len(lab)
    best = int(votes.argmax())
    return list(COLOURS)[best] if votes[best] > 0.5 else None


_EXAMPLES = np.array([shade for shades in COLOURS.values() for shade in shades], np.float32)[None] / 255
_SHADES = cv2.cvtColor(_EXAMPLES, cv2.COLOR_RGB2LAB)[0]
_SHADE_NAME = np.repeat(np.arange(len(COLOURS)), [len(shades) for shades in COLOURS.values()])


def _band(thing: AnnotatedObject, top: float, bottom: float) -> BoolMask:
    """A person between two shares of the height; of a box only the middle half, its sides are background."""
    box = enclosing_box(thing.mask)
    if box is None:
        return thing.mask
    x1, y1, x2, y2 = box.astype(int)
    inset = (x2 - x1) // 4 if thing.box_only else 0
    band = np.zeros_like(thing.mask)
    band[y1 + int(top * (y2 - y1)) : y1 + int(bottom * (y2 - y1)), x1 + inset : x2 - inset] = True
    return thing.mask & band


def _colours(rgb: NDArray[np.uint8], thing: AnnotatedObject) -> tuple[str | None, str | None]:
    """Of a person's upper and lower clothes; of anything else, its own colour and None."""
    if thing.category != "person":
        return colour_name(rgb, thing.mask), None
    return colour_name(rgb, _band(thing, 0.2, 0.5)), colour_name(rgb, _band(thing, 0.55, 0.85))


def _coloured(rng: np.random.Generator, noun: str, colour: str, part: int, person: bool) -> str:
    word = str(rng.choice(SPELLINGS.get(colour, (colour,))))
    if not person:
        return f"{noun} colored in {word}" if rng.random() < 0.1 else f"{word} {noun}"
    joined = rng.choice(("in", "wearing", "dressed in", "with", "in"))
    worn = rng.choice(GARMENTS[part])
    if part == 0 and rng.random() < 0.4:
        return f"{noun} {'wearing' if joined == 'with' else joined} {word}"
    article = "a " if part == 0 and rng.random() < 0.5 else ""
    return f"{noun} {joined} {article}{word} {worn}"


def describe(
    rng: np.random.Generator, rgb: NDArray[np.uint8], things: Many[AnnotatedObject], index: int
) -> str | None:
    """One sentence for ``things[index]`` that fits nothing else in the picture, None when there is none."""
    target = things[index]
    if target.ambiguous:
        return None
    like = [t for t in things if t is not target and t.category == target.category]
    if target.sentences and not like and rng.random() < 0.85:
        return shorten(rng, str(rng.choice(target.sentences)))
    person = target.category == "person"
    nouns = target.names or NOUNS.get(target.category, (target.category,))
    if not nouns or not nouns[0]:
        return None
    # The first noun is the plain one: half of the time.
    noun = nouns[0] if rng.random() < 0.5 else str(rng.choice(nouns))
    roles = _relations(rng, target, like, things) if person else []
    if not target.category_complete or target.sentences:
        if like:
            return None
        return finish(rng, str(rng.choice(roles)) if roles and rng.random() < 0.5 else noun, target.category)

    options: list[str] = []
    if not like:
        options += [noun] * 2
    options += roles
    others = [_colours(rgb, t) for t in like]
    for part, colour in enumerate(_colours(rgb, target)):
        if colour and all(o[part] not in (colour, None) for o in others):
            options += [_coloured(rng, noun, colour, part, person)] * (3 if like else 2)
    if like:
        place = _place(target.mask, [t.mask for t in like])
        if place:
            where = str(rng.choice(PLACES[place]))
            options += [f"{noun} {where}"] * 4
            if place in ("left", "right"):
                options += [f"{place} {noun}"] * 2
            if person:
                options += [f"{noun} {rng.choice(DOING['person'])} {where}"]
                colour = colour_name(rgb, _band(target, 0.2, 0.5))
                if colour:
                    options += [f"{_coloured(rng, noun, colour, 0, True)} {where}"] * 2
        size = _size(target.mask, [t.mask for t in like])
        if size:
            options += [f"{rng.choice(SIZES[size])} {noun}"]
    elif rng.random() < 0.5:
        place = _absolute_place(target.mask)
        if place:
            options += [f"{noun} {rng.choice(PLACES[place])}"] * 3
    return finish(rng, str(rng.choice(options)), target.category) if options else None


def _relations(
    rng: np.random.Generator,
    person: AnnotatedObject,
    like: Many[AnnotatedObject],
    things: Many[AnnotatedObject],
) -> list[str]:
    """Names that a person has from the thing it touches, if nobody else touches one of its kind."""
    found = []
    for kind in {t.category for t in things} & (ROLES.keys() | HELD):
        those = [t for t in things if t.category == kind]
        if any(_touch(person, t) for t in those) and not any(_touch(p, t) for p in like for t in those):
            found += list(ROLES.get(kind, ()))
            if kind in HELD:
                joined = rng.choice(("holding a", "holding the", "with a", "with the", "carrying a"))
                found += [f"person {joined} {rng.choice(NOUNS.get(kind, (kind,)))}"]
    return found


def _touch(a: AnnotatedObject, b: AnnotatedObject) -> bool:
    """Whether boxes overlap by a third of the smaller one."""
    box_a, box_b = enclosing_box(a.mask), enclosing_box(b.mask)
    if box_a is None or box_b is None:
        return False
    w, h = np.minimum(box_a[2:], box_b[2:]) - np.maximum(box_a[:2], box_b[:2])
    smaller = min(np.prod(box_a[2:] - box_a[:2]), np.prod(box_b[2:] - box_b[:2]))
    return bool(w > 0 and h > 0 and w * h > smaller / 3)


def finish(rng: np.random.Generator, phrase: str, category: str) -> str:
    """With an article, and now and then a verb and a trailing phrase."""
    article = ("the ", "the ", "a ", "")[rng.integers(4)]
    doing = DOING[KINDS.get(category, "thing")]
    if doing and rng.random() < 0.3:
        phrase += f" {rng.choice(doing)}"
    if rng.random() < 0.3:
        phrase += f" {rng.choice(TRAILING)}"
    return article + phrase


def category_of(sentence: str) -> str | None:
    """The COCO category that its first known noun names."""
    return next((_CATEGORY[w] for w in sentence.lower().split() if w in _CATEGORY), None)


_CATEGORY = {
    **{word: category for category, names in reversed(NOUNS.items()) for word in names},
    **{category: category for category in KINDS},
    **dict.fromkeys(PERSON_WORDS, "person"),
}
_CUTS = {"with", "on", "in", "over", "at", "between", "next", "around", "along", "from", "by", "of", "behind"}


def shorten(rng: np.random.Generator, sentence: str) -> str:
    """Sometimes cut a human sentence before a later phrase; its head noun stays."""
    words = sentence.split()
    cuts = [i for i, word in enumerate(words) if word in _CUTS and i >= 2]
    return " ".join(words[: rng.choice(cuts)]) if cuts and rng.random() < 0.25 else sentence


def mirror(sentence: str) -> str:
    """The sentence for the picture flipped left to right."""
    swap = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
    return " ".join(swap.get(word, word) for word in sentence.split())


def _centre(mask: BoolMask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return columns.mean() / mask.shape[1], rows.mean() / mask.shape[0]


def _place(target: BoolMask, others: list[BoolMask], margin: float = 0.1) -> str | None:
    x, y = _centre(target)
    xs, ys = zip(*(_centre(m) for m in others), strict=True)
    if x < min(xs) - margin:
        return "left"
    if x > max(xs) + margin:
        return "right"
    if len(others) == 2 and min(xs) + margin < x < max(xs) - margin:
        return "middle"
    if y < min(ys) - 2 * margin:
        return "top"
    if y > max(ys) + 2 * margin:
        return "bottom"
    return None


def _absolute_place(mask: BoolMask) -> str | None:
    """Of the only one of its kind. Large things "on the left" reach far into the right half: a place is no
    border."""
    x, y = _centre(mask)
    if x < 0.42:
        return "left"
    if x > 0.58:
        return "right"
    return "middle" if abs(x - 0.5) < 0.08 and abs(y - 0.5) < 0.15 else None


def _size(target: BoolMask, others: list[BoolMask], ratio: float = 1.6) -> str | None:
    area, areas = target.sum(), [m.sum() for m in others]
    if area > ratio * max(areas):
        return "big"
    return "small" if area * ratio < min(areas) else None
