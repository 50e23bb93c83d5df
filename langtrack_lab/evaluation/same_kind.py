"""Which clips can be taken for one another, so that a sentence of one is no foreign one in the other."""

from __future__ import annotations

from ..datasets import Sequence

_KIN = ({"car", "truck", "vehicle"}, {"man", "woman", "person", "boy", "girl", "people"})


def alike(a: Sequence, b: Sequence) -> bool:
    """One clip, or two whose sentences name things of one kind."""
    words = [set(" ".join(s.expressions).lower().split()) for s in (a, b)]
    return a is b or any(words[0] & kin and words[1] & kin for kin in _KIN)
