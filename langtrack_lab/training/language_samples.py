"""Training samples of the lite language branch: an augmented picture and a few sentences with their masks.

Order matters: pictures are cropped, mirrored and pasted into first, sentences are made of what is then to
be seen, so that "left", "biggest" and "the only dog" stay true.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from langtrack_core.masks import BoolMask, enclosing_box

from ..datasets import coco_pictures
from ..expressions.photos import AnnotatedObject, describe_in_photo, mirror, name_with_noise
from ..expressions.scenes import describe_in_scene
from ..expressions.words import KINDS, NOUNS, PERSON_WORDS, category_of
from ..synthetic import render_random_scene
from .annotated_images import UNNAMED, ClipSource, PeopleSource, PhotoSource, SalientSource, Shot

STRIDE = 4
"""Of the masks against the picture."""

MIN_SHARE = 0.0025
"""Share of the picture that an object has to show to be asked for."""


class Sample(NamedTuple):
    """``image`` (H, W, 3) uint8; per query a sentence, its mask (H / 4, W / 4) uint8, 0 to 255, whether that
    is only the filled box, and whether the sentence says too little for a score."""

    image: NDArray[np.uint8]
    sentences: list[str]
    masks: NDArray[np.uint8]
    boxed: list[bool]
    vague: list[bool]


# --- augmentation ------------------------------------------------------------------------------------------


def _warp(mask: BoolMask, matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> BoolMask:
    warped = cv2.warpAffine(mask.view(np.uint8), matrix, size_hw[::-1], flags=cv2.INTER_LINEAR)
    return warped > 0


def reframe(rng: np.random.Generator, shot: Shot, size_hw: tuple[int, int]) -> Shot:
    """A random window of the picture, of nearly these proportions, mirrored half of the time."""
    h, w = shot.rgb.shape[:2]
    focus = shot.things[rng.integers(len(shot.things))] if shot.things else None
    # Human sentences know where things are: those pictures are cut less.
    told = any(t.sentences for t in shot.things)
    scale = float(rng.uniform(0.75 if told else 0.45, 1.1))
    aspect = size_hw[1] / size_hw[0] * float(np.exp(rng.uniform(-0.2, 0.2)))
    win_w, win_h = scale * (w * h * aspect) ** 0.5, scale * (w * h / aspect) ** 0.5
    reach = min(1.0, 1.3 * w / win_w, 1.3 * h / win_h)  # not too much of what lies outside
    win_w, win_h = win_w * reach, win_h * reach
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
    sx, sy = size_hw[1] / win_w, size_hw[0] / win_h
    matrix = np.array([[sx, 0, -x0 * sx], [0, sy, -y0 * sy]])
    if flip:
        matrix = np.array([[-sx, 0, size_hw[1] + x0 * sx], [0, sy, -y0 * sy]])
    border = tuple(float(v) for v in shot.rgb.reshape(-1, 3).mean(0))
    shrink = max(sx, sy) < 0.8
    rgb = cv2.warpAffine(
        shot.rgb,
        matrix,
        size_hw[::-1],
        flags=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR,
        borderValue=border,
    ).astype(np.uint8, copy=False)
    things = tuple(
        replace(
            t,
            mask=_warp(t.mask, matrix, size_hw),
            sentences=tuple(mirror(s) for s in t.sentences) if flip else t.sentences,
        )
        for t in shot.things
    )
    return replace(shot, rgb=rgb, things=things)


def paste(rng: np.random.Generator, shot: Shot, other: Shot) -> Shot:
    """Put one object of another picture into this one; what it hides is taken from the masks under it."""
    candidates = [t for t in other.things if t.mask.mean() > 0.01 and t.category and not t.box_only]
    if not candidates:
        return shot
    thing = candidates[rng.integers(len(candidates))]
    box = enclosing_box(thing.mask)
    if box is None:
        return shot
    x1, y1, x2, y2 = box.astype(int)
    height, width = shot.rgb.shape[:2]
    scale = float(rng.uniform(0.15, 0.55)) * min(height, width) / max(x2 - x1, y2 - y1)
    w, h = max(4, int((x2 - x1) * scale)), max(4, int((y2 - y1) * scale))
    patch = cv2.resize(other.rgb[y1:y2, x1:x2], (w, h), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        patch = dye(rng, np.asarray(patch, np.uint8))
    alpha = cv2.resize(thing.mask[y1:y2, x1:x2].astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    alpha = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3))), (3, 3), 0)
    left, top = int(rng.integers(0, max(1, width - w))), int(rng.integers(0, max(1, height - h)))
    rgb = shot.rgb.copy()
    area = rgb[top : top + h, left : left + w]
    a, patch = alpha[: area.shape[0], : area.shape[1], None], patch[: area.shape[0], : area.shape[1]]
    area[:] = np.rint(area * (1 - a) + patch * a).astype(np.uint8)
    pasted = np.zeros((height, width), bool)
    pasted[top : top + h, left : left + w] = a[..., 0] > 0.5
    below = tuple(replace(t, mask=t.mask & ~pasted) for t in shot.things)
    absent = shot.absent - {thing.category}
    # Nothing of its kind in the other picture came along.
    thing = replace(thing, mask=pasted, sentences=_placeless(thing.sentences), category_complete=True)
    return replace(shot, rgb=rgb, things=(*below, thing), absent=absent)


def _placeless(sentences: Many[str]) -> tuple[str, ...]:
    """Without those whose place holds in the object's own picture only."""
    return tuple(s for s in sentences if not re.search(r"\b(left|right|middle)\b", s))


def dye(rng: np.random.Generator, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Another hue, and lighter or darker: an object of its kind in another colour."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(20, 160)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.7, 1.8), 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.6, 1.4), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


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

    ``image`` (B, 3, H, W) in the network's range, ``sentences`` B Q, ``masks`` (B Q, 1, H / 4, W / 4) in
    [0, 1], ``boxed`` and ``vague`` (B Q,) bool.
    """

    image: Tensor
    sentences: list[str]
    masks: Tensor
    boxed: Tensor
    vague: Tensor


def collate(samples: list[Sample]) -> Batch:
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.concatenate([s.masks for s in samples]))[:, None].float() / 255
    boxed = torch.tensor([b for s in samples for b in s.boxed])
    vague = torch.tensor([v for s in samples for v in s.vague])
    return Batch((images.float() - 127) / 128, [t for s in samples for t in s.sentences], masks, boxed, vague)


class SampleStream:
    """Samples without end.

    Args:
        data: folder with coco/, persons/, davis/ and saliency/.
        name_of: names for the one thing in a crop, () when unsure.
        alike: how near two expressions are, word by word, -1 to 1.
        queries: sentences a picture.
        scenes: share of rendered pictures.
        tiled: share of photographs that are two or four in one.
        words, vague: words at random, and how often one names a salient thing.
    """

    def __init__(
        self,
        data: Path,
        name_of: Callable[[NDArray[np.uint8]], tuple[str, ...]],
        alike: Callable[[str, str], float],
        *,
        queries: int = 4,
        scenes: float = 0.06,
        tiled: float = 0.2,
        words: Many[str] = (),
        vague: float = 0.25,
    ) -> None:
        self.alike = alike
        self.photos = PhotoSource(coco_pictures(data / "coco"), name_of, alike)
        self.people = PeopleSource(coco_pictures(data / "persons", "boxes.json"))
        self.clips = ClipSource(data / "davis")
        self.salient = SalientSource(data / "saliency", name_of, words, vague)
        self.queries, self.scenes, self.tiled = queries, scenes, tiled

    def sample(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> Sample:
        """A picture of this size; height and width are multiples of 8."""
        while True:
            made = self._rendered(rng, size_hw) if rng.random() < self.scenes else self._photo(rng, size_hw)
            if made is not None:
                return made

    def _source(self, rng: np.random.Generator) -> PhotoSource | PeopleSource | ClipSource | SalientSource:
        sources = (self.photos, self.people, self.clips, self.salient)
        return sources[rng.choice(4, p=(0.44, 0.17, 0.17, 0.22))]

    def _photo(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> Sample | None:
        if rng.random() < self.tiled:
            shot, guests = self._tiles(rng, size_hw), 0
        else:
            shot = reframe(rng, self._source(rng).draw(rng), size_hw)
            guests = int(rng.choice(3, p=(0.35, 0.4, 0.25)))
        for _ in range(guests):
            shot = paste(rng, shot, self._guest(rng, shot))
        things = [t for t in shot.things if t.mask.mean() >= MIN_SHARE]
        order = list(rng.permutation(len(things)))
        asked: list[tuple[str, AnnotatedObject]] = []
        for i in (order * self.queries)[: 3 * self.queries]:
            sentence = describe_in_photo(rng, shot.rgb, things, i)
            if sentence and sentence not in [s for s, _ in asked]:
                asked.append((sentence, things[i]))
            if len(asked) == self.queries:
                break
        if not asked:
            return None
        wanted = int(rng.choice(3, p=(0.25, 0.55, 0.2)))
        absent = [s for s in (self._foreign(rng, shot) for _ in range(wanted)) if s]
        nothing = AnnotatedObject("", np.zeros(shot.rgb.shape[:2], bool))
        asked = asked[: self.queries - len(absent)] + [(s, nothing) for s in absent]
        return self._packed(rng, shot.rgb, asked)

    def _tiles(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> Shot:
        """Two or four pictures side by side: small things, among others of which much is known.

        Half of the time the others are of the first one's kind. A thing is asked for only when no other
        picture can hold one of its kind unknown.
        """
        rows, columns = ((1, 2), (2, 1), (2, 2))[rng.choice(3, p=(0.35, 0.15, 0.5))]
        tile_hw = size_hw[0] // rows, size_hw[1] // columns
        shots = [self._source(rng).draw(rng)]
        for _ in range(rows * columns - 1):
            more = self._guest(rng, shots[0]) if rng.random() < 0.5 else self._source(rng).draw(rng)
            shots.append(more)
        shots = [reframe(rng, shot, tile_hw) for shot in shots]
        things = []
        for i, shot in enumerate(shots):
            corner = (i // columns * tile_hw[0], i % columns * tile_hw[1])
            for thing in shot.things:
                mask = np.zeros(size_hw, bool)
                mask[corner[0] : corner[0] + tile_hw[0], corner[1] : corner[1] + tile_hw[1]] = thing.mask
                told = all(self._told(other, thing) for other in shots if other is not shot)
                sentences = _placeless(thing.sentences)
                things.append(replace(thing, mask=mask, sentences=sentences, ambiguous=not told))
        whole = [np.concatenate([s.rgb for s in shots[r * columns :][:columns]], axis=1) for r in range(rows)]
        return Shot(
            np.concatenate(whole),
            tuple(things),
            frozenset.intersection(*(shot.absent for shot in shots)),
            all(shot.open for shot in shots),
        )

    def _told(self, shot: Shot, thing: AnnotatedObject) -> bool:
        """Whether all of this one's kind in a picture are in its list; of the kind "object" is everything."""
        if thing.weak_name or thing.names == UNNAMED:
            return False
        like = [t for t in shot.things if t.category == thing.category]
        if like:
            return all(t.category_complete for t in like)
        return self._surely_absent(shot, thing.category, (*thing.names, thing.category)[0])

    def _guest(self, rng: np.random.Generator, shot: Shot) -> Shot:
        """A picture to take an object from: often one of the same kind, so that the name says too little."""
        if shot.things and rng.random() < 0.65:
            host = shot.things[rng.integers(len(shot.things))]
            like = self.photos.draw_like(rng, host.category)
            if like is not None:
                return like
            if host.names:  # its own twin, seen in a mirror
                twin = replace(host, mask=np.ascontiguousarray(host.mask[:, ::-1]))
                return replace(shot, rgb=np.ascontiguousarray(shot.rgb[:, ::-1]), things=(twin,))
        return self._source(rng).draw(rng)

    def _foreign(self, rng: np.random.Generator, shot: Shot) -> str | None:
        """A sentence for what the picture does not show; None when three that were tried might be there."""
        kinds = {KINDS.get(t.category) for t in shot.things} - {None}
        for _ in range(3):
            source = rng.choice(3, p=(0.5, 0.25, 0.25))
            if source == 0:
                categories = self.photos.categories
                if rng.random() < 0.4:  # of the same kind is harder to tell
                    categories = tuple(c for c in categories if KINDS.get(c) in kinds) or categories
                category = str(rng.choice(categories))
                names = NOUNS.get(category, (category,))
                sentence = name_with_noise(rng, str(rng.choice(names)), category)
                head = names[0]
            elif source == 1:
                sequence = self.clips.sequences[rng.integers(len(self.clips.sequences))]
                sentence = head = str(rng.choice(sequence.expressions))
                category = category_of(sentence) or sequence.name
            else:
                names = self.salient.names[rng.integers(len(self.salient.names))]
                category, head = names[0], str(rng.choice(names))
                sentence = name_with_noise(rng, head, category)
            if self._surely_absent(shot, category, head):
                return sentence
        return None

    def _surely_absent(self, shot: Shot, category: str, head: str) -> bool:
        if category in self.photos.categories and not shot.open:
            return category in shot.absent
        shown = [" ".join((t.category, *t.names, *t.sentences)) for t in shot.things]
        if category == "person" and any(PERSON_WORDS & set(text.split()) for text in shown):
            return False
        if any("object" in text.split() for text in shown):
            return False
        told = shot.open or len(shot.absent) > 40
        return told and all(self.alike(text, head) < 0.42 for text in shown)

    def _rendered(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> Sample | None:
        scene = render_random_scene(rng, size_hw, 1, int(rng.integers(2, 6)))
        asked = []
        for i in rng.permutation(len(scene.objects)):
            sentence = describe_in_scene(rng, scene, int(i))
            if sentence:
                asked.append((sentence, AnnotatedObject("", scene.objects[i].masks[0])))
        return self._packed(rng, scene.frames[0], asked[: self.queries]) if asked else None

    def _packed(
        self, rng: np.random.Generator, rgb: NDArray[np.uint8], asked: list[tuple[str, AnnotatedObject]]
    ) -> Sample:
        asked = [asked[i % len(asked)] for i in range(self.queries)]
        small_wh = rgb.shape[1] // STRIDE, rgb.shape[0] // STRIDE
        small = [
            cv2.resize(thing.mask.astype(np.float32) * 255, small_wh, interpolation=cv2.INTER_AREA)
            for _, thing in asked
        ]
        masks = np.rint(np.stack(small)).astype(np.uint8)
        sentences, things = zip(*asked, strict=True)
        boxed, vague = [t.box_only for t in things], [t.weak_name for t in things]
        return Sample(recolour(rng, rgb), list(sentences), masks, boxed, vague)
