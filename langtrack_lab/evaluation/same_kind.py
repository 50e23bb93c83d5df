"""Whether two clips show objects of the same kind, so that a sentence about one may be true of the other."""

from __future__ import annotations

import re

from ..datasets import Sequence
from ..expressions.words import PERSON_WORDS

_BY_DEED = {
    "player", "athlete", "runner", "jogger", "hiker", "dancer", "skier", "surfer", "windsurfer",
    "paraglider", "snowboarder", "skateboarder",
}  # fmt: skip
"""People who are named by what they do alone. They can be absent where people are, which is the harder
question."""

_KINDS = (
    {"car", "truck", "vehicle"},
    PERSON_WORDS - _BY_DEED | {"scooterist", "racer", "driver"},
)
"""Words that name objects of one kind."""


def same_kind(a: Sequence, b: Sequence) -> bool:
    """Whether both are one clip, or their sentences name objects of one kind."""
    words = [set(re.findall(r"\w+", " ".join(s.expressions).lower())) for s in (a, b)]
    return a is b or any(words[0] & kind and words[1] & kind for kind in _KINDS)
