"""Whether two clips show objects of the same kind, so that a sentence about one may be true of the other."""

from __future__ import annotations

import re

from ..datasets import Sequence

_KINDS = (
    {"car", "truck", "vehicle"},
    {
        "man", "woman", "person", "boy", "girl", "people", "guy", "lady", "child", "kid",
        "rider", "biker", "cyclist", "motorcyclist", "scooterist", "racer", "driver",
    },
)  # fmt: skip
"""Words that name objects of one kind. A runner or a skier, named by what they do alone, is not among them:
they can be absent where people are, which is the harder question."""


def same_kind(a: Sequence, b: Sequence) -> bool:
    """Whether both are one clip, or their sentences name objects of one kind."""
    words = [set(re.findall(r"\w+", " ".join(s.expressions).lower())) for s in (a, b)]
    return a is b or any(words[0] & kind and words[1] & kind for kind in _KINDS)
