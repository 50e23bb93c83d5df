"""How a video is run and what is written of it, in one frozen value that every caller shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..types import LangTrackError
from .render import Style


@dataclass(frozen=True)
class RunOptions:
    """Options of a run, beside what is followed.

    Attributes:
        every: the language branch runs on every so many frames, the tracker on all.
        png: write every mask as a PNG too.
        video: write the four videos.
        overwrite: replace an earlier run in the output folder.
        keep_damaged: keep what can be decoded of a video that ends early, instead of refusing it.
        style: how the pictures look.
    """

    every: int = 1
    png: bool = False
    video: bool = True
    overwrite: bool = False
    keep_damaged: bool = False
    style: Style = field(default_factory=Style)

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or self.every < 1:
            raise LangTrackError(
                f"The language branch runs on every K-th frame, K from 1 on; got {self.every}."
            )
