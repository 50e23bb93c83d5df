"""Sentences that single one object of a scene out, and are false of every other one."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..synthetic.renderer import Scene, SceneObject

MIN_VISIBLE_SHARE = 0.0012
"""Share of the picture an object must show to be spoken of; about 120 pixels of 320 x 320."""

_BROADER: dict[str, tuple[str, ...]] = {
    "car": ("vehicle",),
    "bus": ("vehicle",),
    "truck": ("vehicle",),
    "dog": ("animal",),
    "duck": ("animal",),
    "bird": ("animal",),
    "fish": ("animal",),
    "man": ("person",),
    "woman": ("person",),
    "balloon": (),
}
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "man": ("man", "guy"),
    "woman": ("woman", "lady"),
    "truck": ("truck", "lorry"),
    "boat": ("boat", "ship"),
    "cup": ("cup", "mug"),
    "box": ("box", "cube"),
    "person": ("person",),
    "dog": ("dog", "puppy"),
    "car": ("car", "automobile"),
}
_WEARS = {"man": "shirt", "woman": "dress", "person": "clothes"}
_SPELLINGS = {"gray": ("gray", "grey"), "purple": ("purple", "violet")}
_PLACES: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "on the left side", "to the left", "at left"),
    "right": ("on the right", "on the right side", "to the right", "at right"),
    "middle": ("in the middle", "in the center", "between the others"),
    "top": ("at the top", "up high"),
    "bottom": ("at the bottom", "lowest in the picture"),
}
_PLACE_ADJECTIVES = {
    "left": ("left", "leftmost"),
    "right": ("right", "rightmost"),
    "middle": ("middle", "center"),
}
_SIZES = {"large": ("biggest", "largest"), "small": ("smallest", "littlest")}
_SIZES_OF_TWO = {"large": ("bigger", "larger", "big"), "small": ("smaller", "small", "little")}


@dataclass(frozen=True)
class _Seen:
    """An object as it shows in one frame: centre in shares of the picture, area in pixels."""

    index: int
    thing: SceneObject
    x: float
    y: float
    area: int

    def is_a(self, noun: str) -> bool:
        return noun == self.thing.category or noun in _BROADER.get(self.thing.category, ())


def referring_expressions(scene: Scene, object_index: int, frame_index: int) -> list[str]:
    """All descriptions of an object that fit it alone in this frame, in a fixed order, wording varied.

    Category, colour, place (left, right, middle, top, bottom) and size relative to its like, and their
    combinations. Empty when too little of the object shows, or nothing tells it apart. An expression with a
    margin too small to be fair (nearly equal sizes, nearly equal places) is left out.
    """
    seen = _look(scene, frame_index)
    target = next((s for s in seen if s.index == object_index), None)
    if (
        target is None
        or target.area
        < MIN_VISIBLE_SHARE * scene.frames[frame_index].shape[0] * scene.frames[frame_index].shape[1]
    ):
        return []
    found: list[str] = []
    for noun in (target.thing.category, *_BROADER.get(target.thing.category, ()), None):
        for colour in (None, target.thing.colour):
            like = [s for s in seen if (noun is None or s.is_a(noun)) and colour in (None, s.thing.colour)]
            if len(like) == 1 and noun is not None:
                found += _plain(noun, colour)
            if len(like) == 1 and noun is None and colour is not None and len(seen) > 1:
                found += [f"the {word} one" for word in _spell(colour)] + [
                    f"{word} object" for word in _spell(colour)
                ]
            if len(like) > 1:
                place, size = _place(target, like), _size(target, like)
                if place:
                    found += _placed(noun, colour, place)
                if size:
                    found += _sized(noun, colour, size, len(like))
    return list(dict.fromkeys(found))


def pick_expression(
    rng: np.random.Generator, scene: Scene, object_index: int, frame_index: int
) -> str | None:
    """One of the referring expressions by chance, None when there is none."""
    options = referring_expressions(scene, object_index, frame_index)
    return options[rng.integers(len(options))] if options else None


def _look(scene: Scene, frame_index: int) -> list[_Seen]:
    seen = []
    for index, thing in enumerate(scene.objects):
        mask: NDArray[np.bool_] = thing.masks[frame_index]
        area = int(np.count_nonzero(mask))
        if area == 0:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x = (columns[0] + columns[-1] + 1) / 2 / mask.shape[1]
        y = (rows[0] + rows[-1] + 1) / 2 / mask.shape[0]
        seen.append(_Seen(index, thing, x, y, area))
    return seen


def _place(target: _Seen, like: list[_Seen]) -> str | None:
    others = [s for s in like if s is not target]
    margin = 0.10
    if target.x < min(s.x for s in others) - margin:
        return "left"
    if target.x > max(s.x for s in others) + margin:
        return "right"
    left, right = (
        [s for s in others if s.x < target.x - margin],
        [s for s in others if s.x > target.x + margin],
    )
    if len(like) == 3 and len(left) == len(right) == 1:
        return "middle"
    if target.y < min(s.y for s in others) - 0.22:
        return "top"
    if target.y > max(s.y for s in others) + 0.22:
        return "bottom"
    return None


def _size(target: _Seen, like: list[_Seen]) -> str | None:
    others = [s.area for s in like if s is not target]
    if target.area > 1.6 * max(others):
        return "large"
    if target.area < min(others) / 1.6:
        return "small"
    return None


def _spell(colour: str) -> tuple[str, ...]:
    return _SPELLINGS.get(colour, (colour,))


def _vary(options: tuple[str, ...], *key: object) -> str:
    """One wording, always the same for the same key: variety without a generator (hash() is salted)."""
    return options[zlib.crc32(repr(key).encode()) % len(options)]


def _noun(noun: str | None, *key: object) -> str:
    return "one" if noun is None else _vary(_SYNONYMS.get(noun, (noun,)), noun, *key)


def _plain(noun: str, colour: str | None) -> list[str]:
    words = _SYNONYMS.get(noun, (noun,))
    if colour is None:
        return [f"the {word}" for word in words] + [words[0]]
    found = []
    for shade in _spell(colour):
        if noun in _WEARS:
            found += [f"the {word} in {shade}" for word in words] + [
                f"{words[0]} in the {shade} {_WEARS[noun]}"
            ]
            found += [f"the {words[0]} wearing {shade}", f"the {words[0]} with the {shade} {_WEARS[noun]}"]
        else:
            found += [f"the {shade} {word}" for word in words]
            found += [f"{shade} {words[0]}", f"a {shade} {words[0]}", f"the {words[0]} that is {shade}"]
    return found


def _kind(noun: str | None, colour: str | None, *key: object) -> str:
    word = _noun(noun, colour, *key)
    if colour is None:
        return word
    shade = _vary(_spell(colour), noun, *key)
    return f"{word} in {shade}" if noun in _WEARS else f"{shade} {word}"


def _placed(noun: str | None, colour: str | None, place: str) -> list[str]:
    found = [f"the {_kind(noun, colour, phrase)} {phrase}" for phrase in _PLACES[place]]
    found += [f"{_kind(noun, colour, place)} {_PLACES[place][0]}"] if noun else []
    found += [f"the {word} {_kind(noun, colour, word)}" for word in _PLACE_ADJECTIVES.get(place, ())]
    return found


def _sized(noun: str | None, colour: str | None, size: str, count: int) -> list[str]:
    words = _SIZES[size] + (_SIZES_OF_TWO[size] if count == 2 else ())
    return [f"the {word} {_kind(noun, colour, word)}" for word in words]
