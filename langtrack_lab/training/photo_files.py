"""Photos of a training folder that is being made."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..datasets.files import read_picture
from .image_cache import Rgb

JPEG_QUALITY = 92


def read_squeezed(path: Path, size_wh: tuple[int, int]) -> Rgb:
    """A photo in another size, whatever its proportions were."""
    rgb = read_picture(path)
    shrinks = max(size_wh) < max(rgb.shape[:2])
    return np.asarray(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def write_photo(rgb: Rgb, path: Path) -> None:
    """OSError where it cannot be written, of which OpenCV itself says nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    path.write_bytes(cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)[1].tobytes())
