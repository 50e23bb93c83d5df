"""Reading what lies on disk: pictures, masks, JSON. Every complaint names its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..geometry import BoolMask, binarise
from ..types import LangTrackError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB, whatever the file's own mode."""
    try:
        return iio.imread(path, plugin="pillow", mode="RGB")
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not a readable picture: {error}") from error


def read_mask(path: Path, object_id: int | None = None) -> BoolMask:
    """``(H, W)`` bool from a mask picture.

    Args:
        object_id: the palette index that is the object; None for a grey mask, whose values over 128 are.
    """
    if object_id is not None:
        return read_palette(path) == object_id
    try:
        return binarise(iio.imread(path, plugin="pillow", mode="L"))
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not a readable mask: {error}") from error


def read_palette(path: Path) -> NDArray[np.uint8]:
    """``(H, W)`` uint8 palette indices (or grey values) as stored, not the colours they stand for.

    Raises:
        LangTrackError: the file is unreadable or its pixels are colours.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L"):
                raise LangTrackError(
                    f"{path} is not a mask of object numbers: expected a palette or grey picture, "
                    f"got mode {picture.mode}."
                )
            return np.array(picture, dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not a readable mask: {error}") from error


def existing(path: Path, what: str) -> Path:
    """The path itself, if it is there; ``what`` completes "missing: expected …"."""
    if not path.exists():
        raise LangTrackError(f"{path} is missing: expected {what}.")
    return path


def read_json(path: Path, what: str) -> Any:
    try:
        return json.loads(existing(path, what).read_text(encoding="utf-8"))
    except ValueError as error:
        raise LangTrackError(f"{path} is not valid JSON: {error}") from error


def read_text(path: Path, what: str) -> str:
    try:
        return existing(path, what).read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise LangTrackError(f"{path} is not a text file in UTF-8: {error}") from error


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names; at least one."""
    paths = sorted(
        p for p in existing(folder, "a folder of pictures").iterdir() if p.suffix.lower() in IMAGE_SUFFIXES
    )
    if not paths:
        raise LangTrackError(f"{folder} holds no pictures ({', '.join(IMAGE_SUFFIXES)}).")
    return paths
