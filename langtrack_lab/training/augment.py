"""What makes a crop harder to recognise: things in front of it, other colours, blur, few pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray
from langtrack_core.siammask.network import SEARCH_SIZE

Rgb = NDArray[np.uint8]


def occlude(crop: Rgb, mask: NDArray[np.float32], box: FloatArray, rng: np.random.Generator) -> None:
    """Covers a part of the target, up to about half, with a patch of the crop's own surroundings."""
    width, height = (np.clip(box[2:], 8, 240) * rng.uniform(0.25, 0.6, 2)).astype(int)
    middle = (SEARCH_SIZE - 1) / 2 + box[:2] + rng.uniform(-0.5, 0.5, 2) * box[2:]
    x, y = np.clip(middle - (width / 2, height / 2), 0, SEARCH_SIZE - 1).astype(int)
    sx, sy = rng.integers(0, SEARCH_SIZE - np.array([width, height]))
    patch = crop[sy : sy + height, sx : sx + width].copy()
    height, width = crop[y : y + height, x : x + width].shape[:2]
    crop[y : y + height, x : x + width] = patch[:height, :width]
    mask[y : y + height, x : x + width] = 0.0


def recolour(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """The same thing in clearly other colours: channels change places, then gain and offset of each."""
    order = [(1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)][rng.integers(5)]
    gain, offset = rng.uniform(0.5, 1.5, 3), rng.uniform(-50, 50, 3)
    return np.asarray(np.clip(rgb[:, :, order] * gain + offset, 0, 255), np.uint8)


def coarsen(crop: Rgb, factor: float) -> Rgb:
    """Seen with ``factor`` times fewer pixels a side, as a small target is."""
    size = max(8, round(crop.shape[0] / factor))
    small = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, crop.shape[:2], interpolation=cv2.INTER_LINEAR), np.uint8)


def compress(crop: Rgb, share: float, rng: np.random.Generator) -> Rgb:
    """Strongly JPEG-compressed in ``share`` of the cases."""
    if rng.random() >= share:
        return crop
    quality = int(rng.integers(15, 60))
    _, coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def disturb(crop: Rgb, grey: bool, blur: float, rng: np.random.Generator) -> Rgb:
    """Brightness, contrast, saturation, tint, grey, defocus or motion blur."""
    saturation = 0.0 if grey else rng.uniform(0.5, 1.4)
    luma = np.array([0.299, 0.587, 0.114])
    colour = saturation * np.eye(3) + (1 - saturation) * np.tile(luma, (3, 1))
    gain = rng.uniform(0.7, 1.3) * (1 + (0 if grey else 1) * rng.uniform(-0.08, 0.08, 3))
    matrix = colour * gain[:, None] if not grey else colour * float(np.mean(gain))
    changed = cv2.transform(crop, np.column_stack([matrix, np.full(3, rng.uniform(-25, 25))]))
    if rng.random() < blur:
        if rng.random() < 0.5:
            changed = cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.6, 2.2))
        else:
            length = int(rng.integers(3, 12))
            kernel = np.zeros((length, length), np.float32)
            angle = rng.uniform(0, np.pi)
            reach = (length - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
            ends = ((length - 1) / 2 + np.array([-reach, reach])).round().astype(int)
            cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0)
            changed = cv2.filter2D(changed, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(changed, np.uint8)
