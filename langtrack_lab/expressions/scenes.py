"""Referring expressions for rendered scenes, where everything is known: each is true of one object alone."""

from __future__ import annotations

import numpy as np

from ..synthetic.renderer import Scene, SceneObject
from .grammar import ObjectDescription, refer, sentence

MIN_VISIBLE_SHARE = 0.0012
"""Share of the picture that an object must show to be described; about 120 pixels of 320 x 320."""

NOUNS: dict[str, tuple[str, ...]] = {
    "car": ("car", "automobile", "vehicle"),
    "bus": ("bus", "vehicle"),
    "truck": ("truck", "lorry", "vehicle"),
    "boat": ("boat", "ship"),
    "dog": ("dog", "puppy", "animal"),
    "duck": ("duck", "animal"),
    "bird": ("bird", "animal"),
    "fish": ("fish", "animal"),
    "man": ("man", "guy", "person"),
    "woman": ("woman", "lady", "person"),
    "cup": ("cup", "mug"),
    "box": ("box", "cube"),
}
"""Names of a drawing, the plainest first; a category that is not listed is its own name. Unlike those of
photos they have to be true: nobody checks what is drawn as a bird and called a pigeon."""

GARMENTS = {"man": (("shirt",),), "woman": (("dress",),)}
"""What has the colour of a drawn person."""


def describe_in_scene(
    rng: np.random.Generator, scene: Scene, object_index: int, frame_index: int = 0
) -> str | None:
    """One sentence that fits an object of a frame and no other object; None when there is none.

    It is None when too little of the object shows, or when nothing tells it clearly from the others.
    """
    target = scene.objects[object_index]
    if target.masks[frame_index].mean() < MIN_VISIBLE_SHARE:
        return None
    others = [o for o in scene.objects if o is not target and o.masks[frame_index].any()]
    alone = not others
    phrase = refer(
        rng,
        _description(target, frame_index, alone),
        [_description(other, frame_index, alone) for other in others],
    )
    return None if phrase is None else sentence(rng, phrase)


def _description(thing: SceneObject, frame_index: int, alone: bool) -> ObjectDescription:
    """What is known of an object; among others it can also be called "one", as in "the red one"."""
    mask = thing.masks[frame_index]
    rows, columns = np.nonzero(mask)
    return ObjectDescription(
        thing.category,
        NOUNS.get(thing.category, (thing.category,)) + (() if alone else ("one", "object")),
        (columns.mean() / mask.shape[1], rows.mean() / mask.shape[0]),
        len(rows),
        (thing.colour,),
        GARMENTS.get(thing.category, ()),
    )
