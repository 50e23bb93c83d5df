"""A development set of rendered clips, and a tracker that sees their object by its colour."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image
from synthetic import Clip, moving_object, write_folder

from langtrack_core.geometry import xyxy_to_xywh
from langtrack_core.masks import BoolMask
from langtrack_core.types import Estimate, Frame, LangTrackError, Query, Step

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


class ColourTracker:
    """`LangTracker`'s interface. Each branch says what its function makes of the truth; fused is the language
    branch, or the tracker when nothing was said. Counts the sequences that it was asked."""

    def __init__(self, lgm: Answer = right, siam: Answer = right, name: str = "colour") -> None:
        self.lgm, self.siam = lgm, siam
        self.info: dict[str, Any] = {
            "weights": [{"branch": "siam", "files": {name: "0" * 64}}],
            "settings": {},
        }
        self.fusion = SimpleNamespace(start=0.5)
        self.asked: list[str | None] = []

    def describe(self, text: str) -> SimpleNamespace:
        if "unknown" in text:
            raise LangTrackError("None of the words is known.")
        return SimpleNamespace(text=text)

    def track(self, frames: Iterable[Frame], query: Query, *, every: int = 1) -> Iterator[Step]:
        self.asked.append(query.text)
        if query.text is not None:
            self.describe(query.text)
        for order, frame in enumerate(frames):
            truth = truth_of(frame)
            tracked = _estimate(self.siam(frame.index, truth), "siam")
            grounded = None
            if query.text is not None and order % every == 0:
                grounded = _estimate(self.lgm(frame.index, truth), "lgm")
            fused = grounded or tracked
            yield Step(frame, tracked, grounded, fused, "tracking" if fused.present else "lost", "by colour")


def _estimate(mask: BoolMask, source: Any) -> Estimate:
    return Estimate.from_mask(mask.astype(np.float32), 0.9 if mask.any() else 0.1, source)
