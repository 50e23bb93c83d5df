"""Text files of boxes: the one reader for ground truth, for data sets and for the results of other trackers.

A line stands for a frame and holds ``x,y,w,h``: the top left corner and the size in pixels; or eight numbers,
the corners of a quadrilateral as in VOT, of which the enclosing box is taken. Between numbers stand commas,
semicolons, tabs or blanks; OTB mixes them, once within a file. nan, or a box without an area, means that the
target is absent. A first line that names the columns x, y, w and h is passed over.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from langtrack_core.geometry import FloatArray
from langtrack_core.types import LangTrackError, shorten

from ..files import read_text

MAX_LINES = 1_000_000
"""Longest file that is read, in lines, and most frames: eleven hours of video at 25 frames a second."""

_SEPARATOR = re.compile(r"[,;\s]+")
"""What may stand between two numbers of a line."""

_HEADERS = ("x,y,w,h", "x,y,width,height", "left,top,width,height")
"""Names of the columns, as tables have them in their first line, in small letters."""

_PAIRS = re.compile(r"\d+,\d+([;\s]+\d+,\d+){3}")
"""Four pairs of whole numbers: a quadrilateral, or four numbers of a country that writes 1,5."""


def xywh_to_xyxy(box_xywh: ArrayLike) -> FloatArray:
    """Top-left corner and size to corners, ``(..., 4)`` in pixels."""
    x, y, w, h = np.moveaxis(np.asarray(box_xywh, np.float64), -1, 0)
    return np.stack([x, y, x + w, y + h], axis=-1)


def read_boxes(path: Path, *, first_pixel: int = 0) -> FloatArray:
    """The boxes of a file.

    Args:
        first_pixel: what the file calls the first column and row of a picture: 0, or 1 in those from MATLAB.

    Returns:
        ``(N, 4)`` xyxy in pixels, half-open, from 0; nan where the target is absent. N is at least 1.

    Raises:
        LangTrackError: no text file, or a line that is not four finite numbers or nan.
    """
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        if number == 1 and ",".join(_SEPARATOR.split(line.strip().lower())) in _HEADERS:
            continue
        if _PAIRS.fullmatch(line.strip()):
            raise LangTrackError(
                f"Line {number} of {path} may be four numbers or the eight of a quadrilateral: "
                f"{shorten(line)!r}; write 1.5 for 1,5, or commas alone."
            )
        try:
            numbers = numbers_in(line)
            if len(numbers) == 8:
                left, top = min(numbers[::2]), min(numbers[1::2])
                numbers = [left, top, max(numbers[::2]) - left, max(numbers[1::2]) - top]
            x, y, w, h = numbers
            if any(map(math.isinf, numbers)):
                raise ValueError
        except ValueError:
            raise LangTrackError(
                f"Line {number} of {path} is not a box: four numbers x,y,w,h are needed, "
                f"got {shorten(line)!r}."
            ) from None
        rows.append((x, y, w, h))
    if not rows:
        raise LangTrackError(f"{path} is empty; boxes are x,y,w,h a line.")
    rows_xywh = np.array(rows, np.float64)
    boxes = xywh_to_xyxy(rows_xywh) - first_pixel
    boxes[~(rows_xywh[:, 2:] > 0).all(axis=1) | np.isnan(rows_xywh).any(axis=1)] = np.nan
    return boxes


def read_lines(path: Path) -> list[str]:
    """The lines of a text file; blank ones at its end are left out.

    Raises:
        LangTrackError: no text file, or more than `MAX_LINES`.
    """
    try:
        text = read_text(path)[0]
        if "\0" in text:
            raise ValueError("these bytes are no text")
    except FileNotFoundError:
        raise LangTrackError(f"{path} is missing; it needs to hold boxes, x,y,w,h a line.") from None
    except (ValueError, OSError) as error:  # of which UnicodeDecodeError is one
        raise LangTrackError(f"{path} is not a readable text file; boxes are x,y,w,h a line.") from error
    lines = text.rstrip().splitlines()
    if len(lines) > MAX_LINES:
        raise LangTrackError(f"{path} has {len(lines)} lines; at most {MAX_LINES} are read.")
    return lines


def numbers_in(line: str) -> list[float]:
    """The numbers of a line, whatever of commas, semicolons, tabs and blanks stands between them.

    Raises:
        ValueError: something else is in it.
    """
    return [float(part) for part in _SEPARATOR.split(line.strip(" ,;\t"))]
