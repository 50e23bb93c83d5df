"""Training samples of the lite language branch: an augmented picture and a few sentences with their masks.

Order matters: pictures are cropped, mirrored and pasted into first, sentences are made of what is then to
be seen, so that "left", "biggest" and "the only dog" stay true.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets import Picture, coco_pictures, davis_sequences, read_rgb, saliency_pictures
from ..geometry import BoolMask, enclosing_box
from ..scenes import pick_expression, render_scene
from .sentences import NOUNS, Thing, describe, mirror

INPUT = 320
TARGET = INPUT // 4
MIN_SHARE = 0.0025
"""Share of the picture that an object has to show to be asked for."""


class Sample(NamedTuple):
    """``image`` (INPUT, INPUT, 3) uint8; per query a sentence and its mask (TARGET, TARGET) uint8, 0 to
    255."""

    image: NDArray[np.uint8]
    sentences: list[str]
    masks: NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """A picture in memory with what is known of it; `absent` lists nouns that it surely does not show."""

    rgb: NDArray[np.uint8]
    things: tuple[Thing, ...]
    absent: tuple[str, ...] = ()


# Things that no DAVIS or ECSSD picture of ours is likely to hold beside its one object.
_ELSEWHERE = ("zebra", "giraffe", "pizza", "laptop", "toilet", "airplane", "banana", "clock", "keyboard",
"broccoli",
              "scissors", "donut", "microwave", "penguin", "violin", "tractor", "camel", "bottle",
              "sandwich")  # fmt: skip


class PhotoSource:
    """COCO-like pictures: categories known, sentences made."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = [p for p in pictures if any(i.has_mask for i in p.instances)]
        counts: dict[str, int] = {}
        for picture in self.pictures:
            for category in {i.category for i in picture.instances}:
                counts[category] = counts.get(category, 0) + 1
        # Pictures of rare things, and pictures known whole, are worth more.
        rarity = [max(counts[i.category] ** -0.5 for i in p.instances) for p in self.pictures]
        known = [1.0 if p.complete is None else 0.7 if p.complete else 0.35 for p in self.pictures]
        weights = np.array(rarity) * np.array(known)
        self.weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> Shot:
        picture = self.pictures[rng.choice(len(self.pictures), p=self.weights)]
        rgb = read_rgb(picture.path)
        size_hw = rgb.shape[:2]
        things = tuple(
            Thing(i.category, i.mask(size_hw), unique=picture.is_complete(i.category))
            for i in picture.instances
        )
        absent: tuple[str, ...] = ()
        if picture.complete is None:
            absent = tuple(sorted(NOUNS.keys() - {i.category for i in picture.instances}))
        return Shot(rgb, things, absent)


class ClipSource:
    """Frames of sequences with a mask and human sentences."""

    def __init__(self, folder: Path) -> None:
        self.sequences = davis_sequences(folder)

    def draw(self, rng: np.random.Generator) -> Shot:
        sequence = self.sequences[rng.integers(len(self.sequences))]
        i = int(rng.integers(len(sequence.frames)))
        mask = sequence.mask(i)
        assert mask is not None  # DAVIS annotates every frame
        thing = Thing(sequence.name, mask, sentences=sequence.expressions)
        return Shot(read_rgb(sequence.frames[i]), (thing,), _ELSEWHERE)


class SalientSource:
    """Pictures of one salient object, named by an ImageNet classifier where it is sure."""

    def __init__(self, folder: Path, name_of: Callable[[NDArray[np.uint8]], tuple[str, ...]]) -> None:
        self.shots: list[tuple[Picture, tuple[str, ...]]] = []
        for picture in saliency_pictures(folder):
            box = picture.instances[0].box_xyxy.astype(int)
            rgb = read_rgb(picture.path)
            pad_y, pad_x = (box[3] - box[1]) // 8, (box[2] - box[0]) // 8
            crop = rgb[max(0, box[1] - pad_y) : box[3] + pad_y, max(0, box[0] - pad_x) : box[2] + pad_x]
            names = name_of(crop)
            if names:
                self.shots.append((picture, names))

    def draw(self, rng: np.random.Generator) -> Shot:
        picture, names = self.shots[rng.integers(len(self.shots))]
        rgb = read_rgb(picture.path)
        thing = Thing(names[0], picture.instances[0].mask(rgb.shape[:2]), names)
        return Shot(rgb, (thing,), _ELSEWHERE)


# --- augmentation ------------------------------------------------------------------------------------------


def _warp(mask: BoolMask, matrix: NDArray[np.float64], size: int) -> BoolMask:
    warped = cv2.warpAffine(mask.view(np.uint8), matrix, (size, size), flags=cv2.INTER_LINEAR)
    return warped > 0


def reframe(rng: np.random.Generator, shot: Shot, size: int = INPUT) -> Shot:
    """A random window of the picture, squeezed to a square, mirrored half of the time."""
    h, w = shot.rgb.shape[:2]
    focus = shot.things[rng.integers(len(shot.things))] if shot.things else None
    # Human sentences know where things are: those pictures are cut less.
    told = any(t.sentences for t in shot.things)
    scale = float(rng.uniform(0.75 if told else 0.45, 1.1))
    aspect = float(np.exp(rng.uniform(-0.25, 0.25)))
    win_w, win_h = w * min(scale * aspect**0.5, 1.3), h * min(scale / aspect**0.5, 1.3)
    x0, y0 = (
        rng.uniform(min(0, w - win_w), max(0, w - win_w)),
        rng.uniform(min(0, h - win_h), max(0, h - win_h)),
    )
    box = None if focus is None else enclosing_box(focus.mask)
    if box is not None:  # most of the object in focus stays in
        slack_x, slack_y = 0.15 * (box[2] - box[0]), 0.15 * (box[3] - box[1])
        x0 = min(max(x0, box[2] - slack_x - win_w), box[0] + slack_x)
        y0 = min(max(y0, box[3] - slack_y - win_h), box[1] + slack_y)
    flip = rng.random() < 0.5
    sx, sy = size / win_w, size / win_h
    matrix = np.array([[sx, 0, -x0 * sx], [0, sy, -y0 * sy]])
    if flip:
        matrix = np.array([[-sx, 0, size + x0 * sx], [0, sy, -y0 * sy]])
    border = tuple(float(v) for v in shot.rgb.reshape(-1, 3).mean(0))
    shrink = max(sx, sy) < 0.8
    rgb = cv2.warpAffine(
        shot.rgb,
        matrix,
        (size, size),
        flags=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR,
        borderValue=border,
    ).astype(np.uint8, copy=False)
    things = tuple(
        replace(
            t,
            mask=_warp(t.mask, matrix, size),
            sentences=tuple(mirror(s) for s in t.sentences) if flip else t.sentences,
        )
        for t in shot.things
    )
    return replace(shot, rgb=rgb, things=things)


def paste(rng: np.random.Generator, shot: Shot, other: Shot) -> Shot:
    """Put one object of another picture into this one; what it hides is taken from the masks under it."""
    candidates = [t for t in other.things if t.mask.mean() > 0.01 and t.category]
    if not candidates:
        return shot
    thing = candidates[rng.integers(len(candidates))]
    box = enclosing_box(thing.mask)
    if box is None:
        return shot
    x1, y1, x2, y2 = box.astype(int)
    size = shot.rgb.shape[0]
    scale = float(rng.uniform(0.15, 0.55)) * size / max(x2 - x1, y2 - y1)
    w, h = max(4, int((x2 - x1) * scale)), max(4, int((y2 - y1) * scale))
    patch = cv2.resize(other.rgb[y1:y2, x1:x2], (w, h), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(thing.mask[y1:y2, x1:x2].astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    alpha = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3))), (3, 3), 0)
    left, top = int(rng.integers(0, max(1, size - w))), int(rng.integers(0, max(1, size - h)))
    rgb = shot.rgb.copy()
    area = rgb[top : top + h, left : left + w]
    a, patch = alpha[: area.shape[0], : area.shape[1], None], patch[: area.shape[0], : area.shape[1]]
    area[:] = np.rint(area * (1 - a) + patch * a).astype(np.uint8)
    pasted = np.zeros((size, size), bool)
    pasted[top : top + h, left : left + w] = a[..., 0] > 0.5
    below = tuple(replace(t, mask=t.mask & ~pasted) for t in shot.things)
    absent = tuple(n for n in shot.absent if n != thing.category)
    # The place that a human sentence gave the object in its own picture no longer holds.
    sentences = tuple(s for s in thing.sentences if not re.search(r"\b(left|right|middle)\b", s))
    return Shot(rgb, (*below, replace(thing, mask=pasted, sentences=sentences)), absent)


def recolour(rng: np.random.Generator, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Light, contrast, saturation and a little hue; blur, noise and compression. Colour names survive it."""
    x = rgb.astype(np.float32)
    x = (x - x.mean()) * rng.uniform(0.7, 1.3) + x.mean() * rng.uniform(0.7, 1.25)
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0.6, 1.3) + rng.uniform(-8, 8, 3)
    if rng.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.25:
        x += rng.normal(0, rng.uniform(2, 10), x.shape)
    out = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])[1]
        out = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return out


# --- samples -----------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """What a training step takes: B pictures with Q queries each, those of a picture one after the other.

    ``image`` (B, 3, INPUT, INPUT) in the network's range, ``sentences`` B Q, ``masks`` (B Q, 1, TARGET,
    TARGET) in [0, 1].
    """

    image: Tensor
    sentences: list[str]
    masks: Tensor


def collate(samples: list[Sample]) -> Batch:
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.concatenate([s.masks for s in samples]))[:, None].float() / 255
    return Batch((images.float() - 127) / 128, [t for s in samples for t in s.sentences], masks)


class SampleStream(torch.utils.data.IterableDataset):
    """An endless, seeded stream of batches; `first` skips ahead, so that a resumed run sees what it would
    have.

    Args:
        data: folder with coco/, davis/ and saliency/.
        name_of: names for the one thing in a crop, () when unsure.
        queries: sentences a picture.
        scenes: share of rendered pictures.
    """

    def __init__(
        self,
        data: Path,
        name_of: Callable[[NDArray[np.uint8]], tuple[str, ...]],
        seed: int,
        *,
        batch: int = 8,
        queries: int = 3,
        scenes: float = 0.1,
    ) -> None:
        self.photos = PhotoSource(coco_pictures(data / "coco"))
        self.clips = ClipSource(data / "davis")
        self.salient = SalientSource(data / "saliency", name_of)
        self.seed, self.batch, self.queries, self.scenes, self.first = seed, batch, queries, scenes, 0

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        # The loader takes from its workers in turn: worker w makes batches w, w + workers, …
        for step in itertools.count(self.first + worker, workers):
            seeds = range(step * self.batch, (step + 1) * self.batch)
            yield collate([self.sample(np.random.default_rng((self.seed, i))) for i in seeds])

    def sample(self, rng: np.random.Generator) -> Sample:
        while True:
            made = self._rendered(rng) if rng.random() < self.scenes else self._photographed(rng)
            if made is not None:
                return made

    def _source(self, rng: np.random.Generator) -> PhotoSource | ClipSource | SalientSource:
        return (self.photos, self.clips, self.salient)[rng.choice(3, p=(0.48, 0.24, 0.28))]

    def _photographed(self, rng: np.random.Generator) -> Sample | None:
        shot = reframe(rng, self._source(rng).draw(rng))
        for _ in range(int(rng.choice(3, p=(0.6, 0.25, 0.15)))):
            shot = paste(rng, shot, self._source(rng).draw(rng))
        things = [t for t in shot.things if t.mask.mean() >= MIN_SHARE]
        order = list(rng.permutation(len(things)))
        asked: list[tuple[str, BoolMask]] = []
        for i in (order * self.queries)[: 3 * self.queries]:
            sentence = describe(rng, shot.rgb, things, i)
            if sentence:
                asked.append((sentence, things[i].mask))
            if len(asked) == self.queries:
                break
        if not asked:
            return None
        if shot.absent and rng.random() < 0.3:
            noun = str(rng.choice(shot.absent))
            asked[-1] = (f"{rng.choice(('the', 'a'))} {noun}", np.zeros(shot.rgb.shape[:2], bool))
        return self._packed(rng, shot.rgb, asked)

    def _rendered(self, rng: np.random.Generator) -> Sample | None:
        scene = render_scene(rng, (INPUT, INPUT), 1, int(rng.integers(2, 6)))
        asked = []
        for i in rng.permutation(len(scene.objects)):
            sentence = pick_expression(rng, scene, int(i), 0)
            if sentence:
                asked.append((sentence, scene.objects[i].masks[0]))
        return self._packed(rng, scene.frames[0], asked[: self.queries]) if asked else None

    def _packed(
        self, rng: np.random.Generator, rgb: NDArray[np.uint8], asked: list[tuple[str, BoolMask]]
    ) -> Sample:
        asked = [asked[i % len(asked)] for i in range(self.queries)]
        small = [
            cv2.resize(mask.astype(np.float32) * 255, (TARGET, TARGET), interpolation=cv2.INTER_AREA)
            for _, mask in asked
        ]
        return Sample(recolour(rng, rgb), [s for s, _ in asked], np.rint(np.stack(small)).astype(np.uint8))
