"""What an operator may set: one dataclass, each field also an environment variable ``LANGTRACK_<FIELD>``."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from langtrack_core.types import LangTrackError

MAY_BE_ZERO = ("threads", "reload_grace_s", "min_free_mb")
"""Fields for which 0 has a meaning: no limit, no waiting, no check."""


@dataclass(frozen=True)
class Settings:
    """Limits and pace of one server.

    Attributes:
        max_file_mb: largest upload in megabytes; phone clips of a minute are below 200.
        max_seconds: longest clip; ten minutes at 25 frames a second are 15,000 frames.
        max_side: longest side in pixels; 3840 is what phones record.
        max_frames: longest clip in frames, whatever its rate: boxes and masks of a run are kept in memory.
        max_bundle_mb: largest project that is saved with its video, or opened, unpacked.
        queue_size: visitors that may wait; the next one is refused with a sentence.
        concurrency: runs that compute at the same time; they share the networks, not the cores.
        threads: number of threads for the networks; 0 for as many as the machine has cores.
        reload_grace_s: seconds in which a page that has gone may come back to its run; then the run stops.
        min_free_mb: no run starts while the disk has fewer free megabytes.
        keep_hours: hours without use after which the files of a visitor are deleted, when no browser has
            reported that the page was closed.
        preview_hz: pictures a second that the page gets while a run computes.
        player_side: longest side in pixels of one panel in the page's player; downloads have full size.
    """

    max_file_mb: int = 500
    max_seconds: float = 600.0
    max_side: int = 3840
    max_frames: int = 20_000
    max_bundle_mb: int = 2000
    queue_size: int = 16
    concurrency: int = 1
    threads: int = 0
    reload_grace_s: float = 10.0
    min_free_mb: int = 500
    keep_hours: float = 6.0
    preview_hz: float = 4.0
    player_side: int = 640

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in MAY_BE_ZERO and value == 0:
                continue
            if not (math.isfinite(value) and value > 0):
                raise LangTrackError(f"{variable(field.name)} must be a number above 0, got {value}.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """The defaults, replaced by what the environment sets.

        Raises:
            LangTrackError: a value is not a number above 0.
        """
        values: dict[str, int | float] = {}
        for field in fields(cls):
            text = environ.get(variable(field.name), "").strip()
            if text:
                kind = int if isinstance(field.default, int) else float
                try:
                    values[field.name] = kind(text)
                except ValueError:
                    what = "a whole number" if kind is int else "a number"
                    raise LangTrackError(f"{variable(field.name)} must be {what}, got {text!r}.") from None
        return cls(**values)  # type: ignore[arg-type]  # each value has its own field's type


def variable(field_name: str) -> str:
    """The environment variable of a field."""
    return f"LANGTRACK_{field_name.upper()}"
