"""What no training sees, so that it can be measured on: a fixed fifth of the RefCOCO photos, four clips."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from langtrack_core.video.pictures import pictures_in

PHOTOS_PER_HELD_OUT = 5
"""One RefCOCO photo in this many is held out."""

HELD_OUT_CLIPS = 4
"""Number of the DAVIS train clips that are held out."""

MIN_CLIPS = 16
"""A set with no more clips than this is used whole: four held out would be missed."""


def _order(name: str) -> int:
    """A number that depends on the name alone, and on nothing else about it."""
    return int.from_bytes(hashlib.sha256(f"held out: {name}".encode()).digest()[:8], "big")


def held_out_photos(folder: Path) -> frozenset[str]:
    """File names of the held-out fifth of the photos in ``images`` of a folder; none where there is none.

    Trainings leave out copies that lie elsewhere, too.
    """
    images = folder / "images"
    names = (path.name for path in pictures_in(images)) if images.is_dir() else ()
    return frozenset(name for name in names if _order(name) % PHOTOS_PER_HELD_OUT == 0)


def held_out_clips(names: Iterable[str]) -> frozenset[str]:
    """The four clips whose names come first in an order that has nothing to do with them.

    None of a set of `MIN_CLIPS` or fewer.
    """
    ordered = sorted(names, key=_order)
    return frozenset(ordered[:HELD_OUT_CLIPS] if len(ordered) > MIN_CLIPS else ())
