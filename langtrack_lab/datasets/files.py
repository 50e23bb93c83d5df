"""Reading what lies on disk: pictures, folders, texts, JSON. Every complaint names its file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from langtrack_core.types import LangTrackError
from langtrack_core.video.pictures import RGB, Levels, as_rgb, natural_key, opened_pictures

from ..files import read_text


def read_picture(path: Path, levels: Levels | None = None) -> RGB:
    """One picture, upright by EXIF, alpha over black; the first where there are several.

    Args:
        levels: those of its clip, for a picture deeper than 8 bits; its own without.

    Raises:
        LangTrackError: as `opened_pictures`.
    """
    with opened_pictures(path) as file:
        return as_rgb(file.pixels(), levels)


def masks_for(frames: list[Path], folder: Path) -> tuple[Path | None, ...]:
    """The PNG of the same stem for each frame, None where there is none; at least one is there."""
    files = {path.name for path in entries(folder, "a folder of masks")}
    names = [f"{frame.stem}.png" for frame in frames]
    if files.isdisjoint(names):
        raise LangTrackError(
            f"{folder} holds no mask for any of the {len(frames)} frames in {frames[0].parent}; "
            f"expected names like {names[0]}."
        )
    return tuple(folder / name if name in files else None for name in names)


# --- text --------------------------------------------------------------------------------------------------


def existing(path: Path, what: str) -> Path:
    """The path itself, if it is there; ``what`` completes "missing: expected …"."""
    if not path.exists():
        raise LangTrackError(f"{path} is missing: expected {what}.")
    return path


def first_existing(candidates: list[Path], what: str) -> Path:
    """The first path that is there: published sets are unpacked in more than one way."""
    for path in candidates:
        if path.exists():
            return path
    paths = ", ".join(str(path) for path in candidates)
    raise LangTrackError(f"{what} is missing: expected one of {paths}.")


def entries(folder: Path, what: str) -> list[Path]:
    """What is in a folder, in no order."""
    try:
        return list(existing(folder, what).iterdir())
    except OSError as error:
        raise LangTrackError(f"{folder} cannot be opened: expected {what}, got: {error}.") from error


def folders_in(folder: Path, what: str) -> list[Path]:
    """The folders of a folder in natural order, those whose name starts with a dot left out."""
    folders = [p for p in entries(folder, what) if p.is_dir() and not p.name.startswith(".")]
    return sorted(folders, key=lambda p: natural_key(p.name))


def parts_of(split: str | None, parts: Iterable[str], folder: Path) -> tuple[str, ...]:
    """The parts of a data set that are asked for: all of them for None.

    Raises:
        LangTrackError: the set has no such part.
    """
    parts = tuple(parts)
    if split is not None and split not in parts:
        raise LangTrackError(f'{folder} has no part "{split}"; known are {", ".join(parts)}.')
    return parts if split is None else (split,)


def read_json(path: Path, what: str) -> Any:
    try:
        # Of bytes: UTF-8 or UTF-16, with a mark or without.
        return json.loads(existing(path, what).read_bytes())
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not valid JSON: {error}") from error


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file that are not blank, without blanks around them.

    UTF-8 or UTF-16, else Windows-1252 or Latin-1, in which some of the published sentences are.
    """
    try:
        text, _ = read_text(existing(path, what))
    except OSError as error:
        raise LangTrackError(f"{path} is not readable: expected {what}, got: {error}") from error
    except UnicodeDecodeError:
        text = path.read_bytes().decode("latin-1")
    if "\0" in text:
        raise LangTrackError(f"{path} is no text: expected {what}.")
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_numbers(path: Path, count: int, what: str) -> NDArray[np.int64]:
    """``(count,)`` whole numbers, a line each or between commas."""
    texts = [value for line in read_lines(path, what) for value in re.split(r"[,\s]+", line) if value]
    if wrong := [value for value in texts if not re.fullmatch(r"-?[0-9]{1,9}", value)]:
        raise LangTrackError(f'{path} is not a list of whole numbers: expected {what}, got "{wrong[0]}".')
    values = np.array(texts, dtype=np.int64)
    if len(values) != count:
        raise LangTrackError(f"{path} has {len(values)} numbers for {count} frames.")
    return values
