"""Reading what lies on disk: pictures, masks, tables, JSON. Every complaint names its file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from langtrack_core.geometry import FloatArray, xywh_to_xyxy
from langtrack_core.masks import BoolMask, binarise
from langtrack_core.types import LangTrackError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


# --- pictures ----------------------------------------------------------------------------------------------


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
        return _read_indices(path) == object_id
    try:
        return binarise(iio.imread(path, plugin="pillow", mode="L"))
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not a readable mask: {error}") from error


def _read_indices(path: Path) -> NDArray[np.uint8]:
    """``(H, W)`` uint8 palette indices as stored, not the colours they stand for."""
    try:
        with Image.open(path) as picture:
            if picture.mode in ("P", "L"):
                return np.array(picture, dtype=np.uint8)
            mode = picture.mode
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not a readable mask: {error}") from error
    raise LangTrackError(f"{path} holds no object numbers: expected a palette picture, got mode {mode}.")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order (2 before 10); at least one.

    Files whose name starts with a dot are no pictures: some archives bring a "._0001.jpg" beside each.
    """
    found = [p for p in entries(folder, "a folder of pictures") if is_picture(p)]
    if not found:
        raise LangTrackError(f"{folder} holds no pictures ({', '.join(IMAGE_SUFFIXES)}).")
    return sorted(found, key=lambda p: natural_order(p.name))


def is_picture(path: Path) -> bool:
    """By its name alone."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def masks_for(frames: list[Path], folder: Path) -> tuple[Path | None, ...]:
    """The PNG of the same stem for each frame, None where there is none; at least one is there."""
    there = {path.name for path in entries(folder, "a folder of masks")}
    names = [f"{frame.stem}.png" for frame in frames]
    if there.isdisjoint(names):
        raise LangTrackError(
            f"{folder} holds no mask for any of the {len(frames)} frames in {frames[0].parent}; "
            f"expected names like {names[0]}."
        )
    return tuple(folder / name if name in there else None for name in names)


# --- text --------------------------------------------------------------------------------------------------


def natural_order(name: str) -> list[str | int]:
    """Sort key by which 2 comes before 10."""
    parts: list[str | int] = list(re.split(r"([0-9]+)", name))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts


def existing(path: Path, what: str) -> Path:
    """The path itself, if it is there; ``what`` completes "missing: expected …"."""
    if not path.exists():
        raise LangTrackError(f"{path} is missing: expected {what}.")
    return path


def one_of(candidates: list[Path], what: str) -> Path:
    """The first path that is there: published sets are unpacked in more than one way."""
    for path in candidates:
        if path.exists():
            return path
    tried = ", ".join(str(path) for path in candidates)
    raise LangTrackError(f"{what} is missing: expected one of {tried}.")


def entries(folder: Path, what: str) -> list[Path]:
    """What is in a folder, in no order."""
    try:
        return list(existing(folder, what).iterdir())
    except OSError as error:
        raise LangTrackError(f"{folder} cannot be opened: expected {what}, got: {error}.") from error


def folders_in(folder: Path, what: str) -> list[Path]:
    """The folders of a folder in natural order, those whose name starts with a dot left out."""
    found = [p for p in entries(folder, what) if p.is_dir() and not p.name.startswith(".")]
    return sorted(found, key=lambda p: natural_order(p.name))


def read_json(path: Path, what: str) -> Any:
    try:
        return json.loads(existing(path, what).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not valid JSON: {error}") from error


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file that are not blank, without blanks around them.

    UTF-8, else Latin-1, in which some of the published sentences are.
    """
    try:
        data = existing(path, what).read_bytes()
    except OSError as error:
        raise LangTrackError(f"{path} is not readable: expected {what}, got: {error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_rows(path: Path) -> FloatArray:
    """``(N, 4)`` x, y, w, h as a file has them, a line each.

    Between numbers stand commas, tabs or blanks: OTB mixes them, once within a file.
    """
    what = "x,y,w,h a line"
    rows = []
    for number, line in enumerate(read_lines(path, what), 1):
        try:
            row = [float(value) for value in line.replace(",", " ").split()]
        except ValueError:
            row = []
        if len(row) != 4 or any(np.isinf(row)):
            raise LangTrackError(
                f'{path}, line {number}, is not four numbers: expected {what}, got "{line}".'
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def to_boxes(rows_xywh: FloatArray, *, first_pixel: int) -> FloatArray:
    """``(N, 4)`` xyxy half-open from 0; nan where a row is nan or without an area.

    Args:
        first_pixel: what the file calls the first column and row of a picture, 0 or 1.
    """
    boxes = xywh_to_xyxy(rows_xywh) - first_pixel
    boxes[~((rows_xywh[:, 2] > 0) & (rows_xywh[:, 3] > 0) & ~np.isnan(rows_xywh).any(axis=1))] = np.nan
    return boxes


def read_numbers(path: Path, count: int, what: str) -> NDArray[np.int64]:
    """``(count,)`` whole numbers, a line each or between commas."""
    texts = [value for line in read_lines(path, what) for value in re.split(r"[,\s]+", line) if value]
    if wrong := [value for value in texts if not re.fullmatch(r"-?[0-9]{1,9}", value)]:
        raise LangTrackError(f'{path} is not a list of whole numbers: expected {what}, got "{wrong[0]}".')
    values = np.array(texts, dtype=np.int64)
    if len(values) != count:
        raise LangTrackError(f"{path} has {len(values)} numbers for {count} frames.")
    return values
