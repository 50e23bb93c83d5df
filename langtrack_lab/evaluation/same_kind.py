"""Whether two clips show objects of the same kind, so that a sentence about one may be true of the other."""

from __future__ import annotations

from ..datasets import Sequence

_KINDS = ({"car", "truck", "vehicle"}, {"man", "woman", "person", "boy", "girl", "people"})
"""Words that name objects of one kind."""


def same_kind(a: Sequence, b: Sequence) -> bool:
    """Whether both are one clip, or their sentences name objects of one kind."""
    words = [set(" ".join(s.expressions).lower().split()) for s in (a, b)]
    return a is b or any(words[0] & kind and words[1] & kind for kind in _KINDS)
