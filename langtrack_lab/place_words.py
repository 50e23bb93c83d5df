"""Words for places in a picture: training teaches the language branch these, and the page offers them."""

from __future__ import annotations

from typing import Literal

Place = Literal["left", "right", "middle", "top", "bottom"]

PLACE_PHRASES: dict[Place, tuple[str, ...]] = {
    "left": ("on the left", "on the left side", "to the left", "at the left"),
    "right": ("on the right", "on the right side", "to the right", "at the right"),
    "middle": ("in the middle", "in the center", "in the centre"),
    "top": ("at the top", "on top", "in the upper part", "up high"),
    "bottom": ("at the bottom", "in the lower part", "lowest in the picture"),
}
"""Phrases for the place of what a noun names, behind the noun, the plainest first."""

PLACE_ADJECTIVES: dict[Place, tuple[str, ...]] = {
    "left": ("left",),
    "right": ("right",),
    "middle": ("middle", "center"),
}
"""Words for it before the noun; none is common for top and bottom."""
