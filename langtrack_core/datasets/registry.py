"""Every layout by its name: the one way in for commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..types import LangTrackError
from .pictures import Picture, Referral, coco_pictures, saliency_pictures
from .sequences import Sequence, davis_sequences, lasot_sequences

Dataset = list[Sequence] | list[Picture] | list[Referral]


class Kind(NamedTuple):
    """A layout: ``reader(folder, split)``, and one line on what it expects to find."""

    reader: Callable[[Path, str | None], Dataset]
    layout: str


def _whole(read: Callable[[Path], Dataset]) -> Callable[[Path, str | None], Dataset]:
    """A reader of a layout without parts."""

    def reader(folder: Path, split: str | None) -> Dataset:
        if split is not None:
            raise LangTrackError(f'{folder} has no part "{split}": this layout has no parts.')
        return read(folder)

    return reader


KINDS: dict[str, Kind] = {
    "davis": Kind(
        _whole(davis_sequences), "JPEGImages/NAME, Annotations/NAME (0 and 255), expressions.json by NAME"
    ),
    "boxes": Kind(
        _whole(lasot_sequences),
        "NAME/img, NAME/groundtruth_rect.txt (x,y,w,h from 0, nan absent), NAME/nlp.txt",
    ),
    "coco": Kind(_whole(coco_pictures), "images beside instances.json in COCO format"),
    "saliency": Kind(_whole(saliency_pictures), "images/NAME.jpg, masks/NAME.png of one object each"),
}


def open_dataset(kind: str, folder: Path, split: str | None = None) -> Dataset:
    """Read the annotations of a data set.

    Args:
        kind: a key of `KINDS`.
        split: the set's own name of a part, such as "train" or "val"; None for everything that is there.

    Raises:
        LangTrackError: the kind or the split is unknown, or a file is missing or malformed.
    """
    if kind not in KINDS:
        raise LangTrackError(
            f'"{kind}" is not a known kind of data set; known are {", ".join(sorted(KINDS))}.'
        )
    if not Path(folder).is_dir():
        raise LangTrackError(f"{folder} is not a folder: expected {KINDS[kind].layout}.")
    return KINDS[kind].reader(Path(folder), split)


def open_sequences(kind: str, folder: Path, split: str | None = None) -> list[Sequence]:
    """`open_dataset` for those who need clips.

    Raises:
        LangTrackError: as `open_dataset`, and when the kind holds single pictures.
    """
    found = open_dataset(kind, folder, split)
    clips = [item for item in found if isinstance(item, Sequence)]
    if len(clips) != len(found):
        raise LangTrackError(f'A data set of kind "{kind}" holds single pictures; expected sequences.')
    return clips
