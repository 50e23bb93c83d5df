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

from ..geometry import BoolMask, enclosing_box

NOUNS: dict[str, tuple[str, ...]] = {
    "person": ("person", "man", "woman", "boy", "girl", "guy", "lady", "human", "kid", "player", "child"),
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
DOING = {
    "person": (
        "walking",
        "standing",
        "running",
        "sitting",
        "jogging",
        "dancing",
        "playing",
        "riding",
        "jumping",
    ),
    "vehicle": ("driving", "moving", "turning", "parked", "driving fast", "speeding", "drifting"),
    "animal": ("walking", "running", "standing", "eating", "lying", "moving", "playing"),
}
KINDS = {
    **dict.fromkeys(("person",), "person"),
    **dict.fromkeys(("car", "bus", "truck", "motorcycle", "bicycle", "train", "boat", "airplane"), "vehicle"),
    **dict.fromkeys(
        ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"), "animal"
    ),
}
TRAILING = (
    "on the road", "on the street", "on the grass", "on the ground", "in the water", "on the beach",
    "in the field", "in the background", "in the picture", "near the tree", "next to the rocks",
    "in front of the building", "on the track", "in the air", "along the wall", "by the fence",
    "on the table", "in the room", "outdoors", "in the scene", "at the crossing", "along the sea",
    "on the snow", "around the bend", "among the others",
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
SPELLINGS = {"grey": ("grey", "gray", "silver"), "black": ("black", "dark"), "brown": ("brown", "tan")}


@dataclass(frozen=True)
class Thing:
    """An object as it shows in a picture.

    Attributes:
        category: what it is; "" when unknown.
        mask: ``(H, W)`` bool, its visible pixels.
        names: other nouns for it.
        sentences: sentences already known to single it out.
        unique: its category's other instances, if there are any, are in the list too.
    """

    category: str
    mask: BoolMask
    names: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    unique: bool = True


def colour_name(rgb: NDArray[np.uint8], mask: BoolMask) -> str | None:
    """The colour that most of a region has, None when it is mixed or between two names."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[mask]
    if len(lab) < 30:
        return None
    lab = lab[:: max(1, len(lab) // 400)]
    distance = np.stack([np.linalg.norm(lab[:, None] - s[None], axis=2).min(1) for s in _SHADES.values()], 1)
    votes = np.bincount(distance.argmin(1), minlength=len(_SHADES)) / len(lab)
    best = int(votes.argmax())
    return list(_SHADES)[best] if votes[best] > 0.5 else None


def _shades() -> dict[str, NDArray[np.float32]]:
    table = {}
    for name, examples in COLOURS.items():
        rgb = np.array(examples, np.float32)[None] / 255
        table[name] = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    return table


_SHADES = _shades()


def _clothes(mask: BoolMask) -> BoolMask:
    """The upper body of a person's mask."""
    box = enclosing_box(mask)
    if box is None:
        return mask
    top, height = int(box[1]), box[3] - box[1]
    band = np.zeros_like(mask)
    band[top + int(0.2 * height) : top + int(0.55 * height)] = True
    return mask & band


def describe(rng: np.random.Generator, rgb: NDArray[np.uint8], things: Many[Thing], index: int) -> str | None:
    """One sentence for ``things[index]`` that fits nothing else in the picture, None when there is none."""
    target = things[index]
    if target.sentences and rng.random() < 0.7:
        return shorten(rng, str(rng.choice(target.sentences)))
    nouns = target.names or NOUNS.get(target.category, (target.category,))
    if not nouns or not nouns[0]:
        return None
    # The first noun is the plain one: half of the time.
    noun = nouns[0] if rng.random() < 0.5 else str(rng.choice(nouns))
    like = [t for t in things if t is not target and t.category == target.category]
    if not target.unique or target.sentences:
        return _finish(rng, noun, target.category) if not like else None

    options: list[str] = []
    if not like:
        options += [noun] * 2
    person = target.category == "person"
    colour = colour_name(rgb, _clothes(target.mask) if person else target.mask)
    if colour and all(colour_name(rgb, _clothes(t.mask) if person else t.mask) != colour for t in like):
        word = str(rng.choice(SPELLINGS.get(colour, (colour,))))
        options += [
            f"{noun} {rng.choice(('in', 'wearing', 'dressed in'))} {word}" if person else f"{word} {noun}"
        ] * 2
    if like:
        place = _place(target.mask, [t.mask for t in like])
        if place:
            options += [f"{noun} {rng.choice(PLACES[place])}"] * 2
            if place in ("left", "right"):
                options += [f"{place} {noun}", f"{place}most {noun}"]
        size = _size(target.mask, [t.mask for t in like])
        if size:
            options += [f"{rng.choice(SIZES[size])} {noun}"]
    elif rng.random() < 0.25:
        place = _absolute_place(target.mask)
        if place:
            options += [f"{noun} {rng.choice(PLACES[place])}"] * 2
    return _finish(rng, str(rng.choice(options)), target.category) if options else None


def _finish(rng: np.random.Generator, phrase: str, category: str) -> str:
    article = ("the ", "the ", "a ", "")[rng.integers(4)]
    doing = DOING.get(KINDS.get(category, ""), ())
    if doing and rng.random() < 0.3:
        phrase += f" {rng.choice(doing)}"
    if rng.random() < 0.3:
        phrase += f" {rng.choice(TRAILING)}"
    return article + phrase


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
    x, y = _centre(mask)
    if x < 0.35:
        return "left"
    if x > 0.65:
        return "right"
    return "middle" if abs(x - 0.5) < 0.08 and abs(y - 0.5) < 0.15 else None


def _size(target: BoolMask, others: list[BoolMask], ratio: float = 1.6) -> str | None:
    area, areas = target.sum(), [m.sum() for m in others]
    if area > ratio * max(areas):
        return "big"
    return "small" if area * ratio < min(areas) else None
