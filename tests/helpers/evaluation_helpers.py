"""A development set of rendered clips, and a tracker that sees their object by its colour."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from fake_branches import fake_tracker
from PIL import Image
from synthetic import Clip, moving_object, write_folder

from langtrack_core.fusion import FusionConfig
from langtrack_core.geometry import xyxy_to_xywh
from langtrack_core.masks import BoolMask
from langtrack_core.pipeline import LangTracker
from langtrack_core.types import Estimate, Frame, LangTrackError, Query

RED = (220, 40, 40)
FRAMES = 12
SENTENCES = {"alpha": ["the red ellipse", "the thing"], "beta": ["a red <b>disc</b>"]}


def write_dev(folder: Path, absent: tuple[int, ...] = (5, 6), frames: int = FRAMES) -> Path:
    """``davis`` with two clips and their masks, ``boxes`` with one; each object is away for a while."""
    for number, name in enumerate(SENTENCES):
        clip = moving_object(frames, (48, 64), seed=number, colour=RED, absent=absent)
        write_folder(clip, folder / "davis" / "JPEGImages" / name)
        masks = folder / "davis" / "Annotations" / name
        masks.mkdir(parents=True)
        for index, mask in enumerate(clip.masks):
            Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{index:05d}.png")
    (folder / "davis" / "expressions.json").write_text(json.dumps(SENTENCES))
    write_boxes(
        moving_object(frames, (48, 64), seed=7, colour=RED, absent=absent), folder / "boxes" / "gamma"
    )
    return folder


def write_boxes(clip: Clip, folder: Path) -> Path:
    write_folder(clip, folder / "img")
    lines = [",".join(f"{v:g}" for v in xyxy_to_xywh(box)) for box in clip.boxes_xyxy]
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    (folder / "nlp.txt").write_text("the red ellipse\n")
    return folder


def truth_of(frame: Frame) -> BoolMask:
    return (frame.rgb == RED).all(axis=2)


Answer = Callable[[int, BoolMask], BoolMask]


def right(index: int, truth: BoolMask) -> BoolMask:
    return truth


def moved(index: int, truth: BoolMask) -> BoolMask:
    return np.roll(truth, 5, axis=1)


def nothing(index: int, truth: BoolMask) -> BoolMask:
    return np.zeros_like(truth)


FOLLOW_LANGUAGE = FusionConfig(overlap=1.0, margin=1.0)
"""Settings with which the fused answer is the language branch's wherever that ran."""


def colour_tracker(
    language: Answer = right,
    tracker: Answer = right,
    name: str = "colour",
    cls: type[LangTracker] | None = None,
) -> Any:
    """Each branch says what its function makes of the truth; ``expressions`` lists what is asked."""

    def estimate(mask: BoolMask) -> Estimate:
        return Estimate.from_mask(mask.astype(np.float32), 0.9 if mask.any() else 0.1)

    return fake_tracker(
        lambda frame, text: estimate(language(frame.index, truth_of(frame))),
        lambda frame: estimate(tracker(frame.index, truth_of(frame))),
        vocabulary=("the", "a", "red", "ellipse", "thing", "another", "sentence"),
        weights=[{"branch": "tracker", "files": {name: "0" * 64}, "backend": {"precision": "float32"}}],
        fusion=FOLLOW_LANGUAGE,
        cls=cls or CountingTracker,
    )


class CountingTracker(LangTracker):
    """Notes the expression of every sequence in ``expressions``."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.expressions: list[str | None] = []

    def track(self, frames: Iterable[Frame], query: Query, **options: Any) -> Any:
        self.expressions.append(query.text)
        return super().track(frames, query, **options)


# --- what a worker's process follows sequences with --------------------------------------------------------


def follow_by_colour() -> Any:
    return colour_tracker().track


def follow_and_fail() -> Any:
    def fail(frames: Iterable[Frame], query: Query) -> Any:
        raise LangTrackError("there is no picture")

    return fail


def follow_and_die() -> Any:
    return lambda frames, query: os._exit(9)


def follow_and_wait(folder: Path) -> Any:
    """Notes the process in ``folder``, and never ends."""
    (folder / str(os.getpid())).touch()
    return lambda frames, query: time.sleep(600)
