"""Augmentation: what makes a picture harder to recognise, or another picture of the same things.

Each function takes a picture, ``rgb`` ``(H, W, 3)`` uint8 or an `AnnotatedImage`, and where chance plays a
part a generator; it gives a new picture. ``alpha`` and ``mask`` are ``(H, W)`` float32 in [0, 1].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, enclosing_box

from ..expressions.photos import mirror
from .annotated_images import AnnotatedImage, Rgb

Alpha = NDArray[np.float32]

MIN_SHARE_LEFT = 0.6
"""A described thing that keeps less of its area in a crop loses its sentences."""


# --- colours -----------------------------------------------------------------------------------------------


def shift_hue(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Another hue, and lighter or darker: an object of its kind in another colour."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(20, 160)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.7, 1.8), 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.6, 1.4), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def swap_channels(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Clearly other colours, of white and grey too: channels change places, then gain and offset of each."""
    order = [(1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)][rng.integers(5)]
    gain, offset = rng.uniform(0.5, 1.5, 3), rng.uniform(-50, 50, 3)
    return np.asarray(np.clip(rgb[:, :, order] * gain + offset, 0, 255), np.uint8)


def jitter_mildly(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Another light, contrast and saturation, often blur, noise or JPEG; the names of colours stay true."""
    contrast, brightness, saturation = rng.uniform((0.7, 0.7, 0.6), (1.3, 1.25, 1.3))
    mean = float(np.mean(cv2.mean(rgb)[:3]))
    colour = contrast * (saturation * np.eye(3) + (1 - saturation) / 3)
    offset = mean * (brightness - contrast) + rng.uniform(-8, 8, 3)
    changed = np.asarray(cv2.transform(rgb, np.column_stack([colour, offset])), np.uint8)
    if rng.random() < 0.25:
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)
    if rng.random() < 0.25:
        noise = rng.uniform(2, 10) * rng.standard_normal(changed.shape, np.float32)
        changed = np.asarray(cv2.add(changed, noise, dtype=cv2.CV_8U), np.uint8)
    return jpeg(changed, rng, 25, 80) if rng.random() < 0.25 else np.asarray(changed, np.uint8)


def jitter_strongly(rgb: Rgb, rng: np.random.Generator, grey: bool, blur: float) -> Rgb:
    """Another brightness, contrast, saturation and tint, or grey; blurred in a share of ``blur`` cases."""
    saturation = 0.0 if grey else rng.uniform(0.5, 1.4)
    luma = np.array([0.299, 0.587, 0.114])
    colour = saturation * np.eye(3) + (1 - saturation) * np.tile(luma, (3, 1))
    gain = rng.uniform(0.7, 1.3) * (1 + (0 if grey else 1) * rng.uniform(-0.08, 0.08, 3))
    matrix = colour * gain[:, None] if not grey else colour * float(np.mean(gain))
    changed = cv2.transform(rgb, np.column_stack([matrix, np.full(3, rng.uniform(-25, 25))]))
    if rng.random() < blur:
        if rng.random() < 0.5:
            changed = cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.6, 2.2))
        else:
            changed = motion_blur(np.asarray(changed, np.uint8), rng)
    return np.asarray(changed, np.uint8)


# --- sharpness ---------------------------------------------------------------------------------------------


def motion_blur(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Every point smeared along a line of 3 to 11 pixels, in any direction."""
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = (length - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = ((length - 1) / 2 + np.array([-reach, reach])).round().astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0)
    changed = cv2.filter2D(rgb, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(changed, np.uint8)


def lower_resolution(rgb: Rgb, factor: float) -> Rgb:
    """The picture as if it had ``factor`` times fewer pixels a side, as a small target has."""
    h, w = rgb.shape[:2]
    small = cv2.resize(
        rgb, (max(8, round(w / factor)), max(8, round(h / factor))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)


def old_video(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Fewer pixels, compressed, and now and then pale or grey, as small and old video is."""
    height, width = rgb.shape[:2]
    factor = float(np.exp(rng.uniform(np.log(1.3), np.log(4))))
    small_wh = max(16, round(width / factor)), max(16, round(height / factor))
    small = np.asarray(cv2.resize(rgb, small_wh, interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.3:
        luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[:, :, None]
        small = blend(small, luma.repeat(3, 2), np.full(small.shape[:2], rng.uniform(0.3, 0.8), np.float32))
    if rng.random() < 0.6:
        small = jpeg(small, rng, 15, 60)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def jpeg(rgb: Rgb, rng: np.random.Generator, lowest: int, highest: int) -> Rgb:
    """With the marks of JPEG compression of a quality from ``lowest`` to below ``highest``."""
    quality = int(rng.integers(lowest, highest))
    _, coded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


# --- other things in the picture ---------------------------------------------------------------------------


def blend(rgb: Rgb, patch: NDArray, alpha: Alpha) -> Rgb:
    """A patch of the picture's size over it, as far as ``alpha`` lets it."""
    return (rgb + alpha[:, :, None] * (patch.astype(np.float32) - rgb)).round().astype(np.uint8)


def random_square(rgb: Rgb, rng: np.random.Generator, smallest: float, largest: float, size: int) -> Rgb:
    """A square part of a picture, its side a share of the shorter side, stretched to ``size`` pixels."""
    side = int(min(rgb.shape[:2]) * rng.uniform(smallest, largest))
    top, left = (int(rng.integers(0, n - side + 1)) for n in rgb.shape[:2])
    return np.asarray(cv2.resize(rgb[top : top + side, left : left + side], (size, size)), np.uint8)


def cover_with_patch(rgb: Rgb, rng: np.random.Generator, mask: Alpha, box: FloatArray) -> tuple[Rgb, Alpha]:
    """A part of the target, up to about half, behind a patch of the crop's own surroundings.

    Args:
        rgb: a square crop.
        box: centre and size of the target, in pixels from the middle of the crop.
    """
    size = rgb.shape[0]
    width, height = (np.clip(box[2:], 8, 240) * rng.uniform(0.25, 0.6, 2)).astype(int)
    middle = (size - 1) / 2 + box[:2] + rng.uniform(-0.5, 0.5, 2) * box[2:]
    x, y = np.clip(middle - (width / 2, height / 2), 0, size - 1).astype(int)
    patch_x, patch_y = rng.integers(0, size - np.array([width, height]))
    rgb, mask, patch = rgb.copy(), mask.copy(), rgb[patch_y : patch_y + height, patch_x : patch_x + width]
    height, width = rgb[y : y + height, x : x + width].shape[:2]
    rgb[y : y + height, x : x + width] = patch[:height, :width]
    mask[y : y + height, x : x + width] = 0.0
    return rgb, mask


def pole(size: int, rng: np.random.Generator, box: FloatArray) -> BoolMask:
    """Where a pole or a trunk in front of the target hides a square crop, from border to border.

    Args:
        size: pixels of a side of the crop.
        box: as for `cover_with_patch`.
    """
    angle = rng.normal(0, 0.15) + (np.pi / 2 if rng.random() < 0.25 else 0)
    across = np.array([np.cos(angle), np.sin(angle)])
    width = np.abs(across) @ np.clip(box[2:], 12, 250) * rng.uniform(0.1, 0.4)
    middle = (size - 1) / 2 + box[:2] + rng.uniform(-0.35, 0.35, 2) * box[2:]
    y, x = np.mgrid[:size, :size]
    return np.abs((x - middle[0]) * across[0] + (y - middle[1]) * across[1]) < width / 2


# --- whole pictures with their objects ---------------------------------------------------------------------


def share_of(mask: BoolMask) -> float:
    """Share of the picture that a mask covers; much faster than its mean."""
    return cv2.countNonZero(mask.view(np.uint8)) / mask.size


def random_crop(image: AnnotatedImage, rng: np.random.Generator, size_hw: tuple[int, int]) -> AnnotatedImage:
    """A random window of the picture, of nearly these proportions, mirrored half of the time."""
    h, w = image.rgb.shape[:2]
    focus = image.objects[rng.integers(len(image.objects))] if image.objects else None
    # Human sentences know where things are: those pictures are cut less.
    described = any(o.sentences for o in image.objects)
    scale = float(rng.uniform(0.75 if described else 0.45, 1.1))
    aspect = size_hw[1] / size_hw[0] * float(np.exp(rng.uniform(-0.2, 0.2)))
    win_w, win_h = scale * (w * h * aspect) ** 0.5, scale * (w * h / aspect) ** 0.5
    reach = min(1.0, 1.3 * w / win_w, 1.3 * h / win_h)  # not too much of what is outside
    win_w, win_h = win_w * reach, win_h * reach
    x0 = rng.uniform(min(0, w - win_w), max(0, w - win_w))
    y0 = rng.uniform(min(0, h - win_h), max(0, h - win_h))
    box = None if focus is None else enclosing_box(focus.mask)
    if box is not None:  # most of the object in focus stays in
        slack_x, slack_y = 0.15 * (box[2] - box[0]), 0.15 * (box[3] - box[1])
        x0 = min(max(x0, box[2] - slack_x - win_w), box[0] + slack_x)
        y0 = min(max(y0, box[3] - slack_y - win_h), box[1] + slack_y)
    flip = rng.random() < 0.5
    sx, sy = size_hw[1] / win_w, size_hw[0] / win_h
    matrix = np.array([[sx, 0, -x0 * sx], [0, sy, -y0 * sy]])
    if flip:
        matrix[0] = -sx, 0, size_hw[1] + x0 * sx
    interpolation = cv2.INTER_AREA if max(sx, sy) < 0.8 else cv2.INTER_LINEAR
    border = cv2.mean(image.rgb)[:3]
    rgb = cv2.warpAffine(image.rgb, matrix, size_hw[::-1], flags=interpolation, borderValue=border)

    def warped(mask: BoolMask) -> BoolMask:
        return cv2.warpAffine(mask.view(np.uint8), matrix, size_hw[::-1], flags=cv2.INTER_LINEAR) > 0

    objects = []
    for o in image.objects:
        mask, sentences = warped(o.mask), o.sentences
        left = share_of(mask) * mask.size, MIN_SHARE_LEFT * sx * sy * share_of(o.mask) * o.mask.size
        if sentences and left[0] < left[1]:
            sentences = ()  # of a thing that is cut in two nobody knows whether they are still right
        elif flip:
            sentences = tuple(mirror(s) for s in sentences)
        objects.append(replace(o, mask=mask, sentences=sentences))
    return replace(image, rgb=np.asarray(rgb, np.uint8), objects=tuple(objects))


def paste_object(image: AnnotatedImage, rng: np.random.Generator, other: AnnotatedImage) -> AnnotatedImage:
    """Put one object of another picture into this one; what it hides is taken from the masks under it."""
    candidates = [o for o in other.objects if share_of(o.mask) > 0.01 and o.category and not o.box_only]
    if not candidates:
        return image
    thing = candidates[rng.integers(len(candidates))]
    box = enclosing_box(thing.mask)
    if box is None:
        return image
    x1, y1, x2, y2 = box.astype(int)
    height, width = image.rgb.shape[:2]
    scale = float(rng.uniform(0.15, 0.55)) * min(height, width) / max(x2 - x1, y2 - y1)
    w, h = max(4, int((x2 - x1) * scale)), max(4, int((y2 - y1) * scale))
    patch = np.asarray(cv2.resize(other.rgb[y1:y2, x1:x2], (w, h), interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.3:
        patch = shift_hue(patch, rng)
    shape = cv2.resize(thing.mask[y1:y2, x1:x2].astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    alpha = np.asarray(cv2.GaussianBlur(cv2.erode(shape, np.ones((3, 3))), (3, 3), 0), np.float32)
    left, top = int(rng.integers(0, max(1, width - w))), int(rng.integers(0, max(1, height - h)))
    window = np.s_[top : min(height, top + h), left : min(width, left + w)]
    rgb, hidden = image.rgb.copy(), np.zeros((height, width), bool)
    area = rgb[window].shape[:2]
    alpha, patch = alpha[: area[0], : area[1]], patch[: area[0], : area[1]]
    rgb[window] = blend(rgb[window], patch, alpha)
    hidden[window] = alpha > 0.5
    below = tuple(replace(o, mask=o.mask & ~hidden) for o in image.objects)
    absent = image.absent - {thing.category}
    # Nothing of its kind in the other picture came along.
    sentences = without_places(thing.sentences)
    thing = replace(thing, mask=hidden, sentences=sentences, category_complete=True)
    return replace(image, rgb=rgb, objects=(*below, thing), absent=absent)


def without_places(sentences: Sequence[str]) -> tuple[str, ...]:
    """The sentences without those whose place is right in the object's own picture only."""
    return tuple(
        s for s in sentences if not re.search(r"\b(left|right|middle|center|centre|corner|top|bottom)\b", s)
    )
