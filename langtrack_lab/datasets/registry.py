"""Every kind of data set by its name: the one way in for commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from langtrack_core.types import LangTrackError

from .boxes import got10k_sequences, lasot_sequences, otb_lang_sequences, tnl2k_sequences
from .pictures import Picture, Referral, box_referrals, coco_set, saliency_pictures
from .refer import SPLITTERS, refer_referrals
from .sequences import Sequence, box_sequences, davis_sequences, plain_sequences
from .videos import ref_davis17_sequences, ref_youtube_vos_sequences

Dataset = list[Sequence] | list[Picture] | list[Referral]


Reader = Callable[[Path, str | None], Dataset]
"""Takes the folder of a data set and the set's own name of a part, None for everything."""


class Layout(NamedTuple):
    """How a kind of data set lies on disk.

    Attributes:
        files: one line on what is expected to be found.
        read_bare: for those who need no sentences, where these lie in files of their own.
    """

    read: Reader
    files: str
    read_bare: Reader | None = None


def _whole(read: Callable[[Path], Dataset]) -> Reader:
    """A reader of a layout without parts."""

    def reader(folder: Path, split: str | None) -> Dataset:
        if split is not None:
            raise LangTrackError(f'{folder} has no part "{split}": this layout has no parts.')
        return read(folder)

    return reader


def _refer(name: str, splitter: str) -> Layout:
    return Layout(
        lambda folder, split: refer_referrals(folder, name, split, splitter),
        f"{name}/refs({splitter}).p and instances.json, photos in images/…",
    )


KINDS: dict[str, Layout] = {
    "boxes": Layout(
        _whole(box_sequences),
        "NAME/img, NAME/groundtruth_rect.txt (x,y,w,h from 0, nan absent), NAME/nlp.txt",
        _whole(partial(box_sequences, sentences=False)),
    ),
    "coco": Layout(
        coco_set, "annotations/instances_train2017.json and train2017; or instances.json and images"
    ),
    "davis": Layout(
        _whole(davis_sequences),
        "JPEGImages/NAME, Annotations/NAME (0 and 255), expressions.json by NAME",
        _whole(partial(davis_sequences, sentences=False)),
    ),
    "got10k": Layout(got10k_sequences, "train, val, test: list.txt, NAME/*.jpg, groundtruth.txt, *.label"),
    "lasot": Layout(
        lasot_sequences, "CATEGORY/CATEGORY-N: img, groundtruth.txt, nlp.txt, full_occlusion.txt, …"
    ),
    "otb-lang": Layout(
        otb_lang_sequences, "OTB_videos/NAME, OTB_query_train/NAME.txt, OTB_query_test/NAME.txt"
    ),
    "plain": Layout(
        _whole(plain_sequences),
        "NAME/*.jpg with, if there, expressions.txt, groundtruth.txt (x,y,w,h), masks",
    ),
    "ref-davis17": Layout(ref_davis17_sequences, "DAVIS (JPEGImages/480p, …) and davis_text_annotations"),
    "ref-youtube-vos": Layout(
        ref_youtube_vos_sequences, "train, valid: JPEGImages, Annotations; meta_expressions/train/…json"
    ),
    "refer-boxes": Layout(
        _whole(box_referrals), "images, expressions.json (file_name, expression, box_xyxy)"
    ),
    "saliency": Layout(_whole(saliency_pictures), "images/NAME.jpg, masks/NAME.png of one object each"),
    "tnl2k": Layout(
        tnl2k_sequences, "TNL2K_train_subset/NAME: imgs, groundtruth.txt, language.txt; so for test"
    ),
    # A set's usual division goes by the set's name alone.
    **{
        name if splitter == splitters[0] else f"{name}-{splitter}": _refer(name, splitter)
        for name, splitters in SPLITTERS.items()
        for splitter in splitters
    },
}
"""The layouts that are read, by the name of the kind of data set."""


def open_dataset(kind: str, folder: Path, split: str | None = None, *, sentences: bool = True) -> Dataset:
    """Read the annotations of a data set.

    Args:
        kind: a key of `KINDS`.
        split: the set's own name of a part, such as "train" or "val"; None for everything that is there.
        sentences: their files have to be there.

    Raises:
        LangTrackError: the kind or the split is unknown, a file is missing or malformed, or there is nothing.
    """
    if kind not in KINDS:
        raise LangTrackError(
            f'"{kind}" is not a known kind of data set; known are {", ".join(sorted(KINDS))}.'
        )
    if not Path(folder).is_dir():
        raise LangTrackError(f"{folder} is not a folder: expected {KINDS[kind].files}.")
    layout = KINDS[kind]
    read = layout.read if sentences or layout.read_bare is None else layout.read_bare
    dataset = read(Path(folder), split)
    if not dataset:
        part = "" if split is None else f' of part "{split}"'
        raise LangTrackError(f"{folder} holds nothing{part}: expected {KINDS[kind].files}.")
    return dataset


def open_sequences(
    kind: str, folder: Path, split: str | None = None, *, sentences: bool = True
) -> list[Sequence]:
    """`open_dataset` for those who need clips.

    Raises:
        LangTrackError: as `open_dataset`, and when the kind holds single pictures.
    """
    dataset = open_dataset(kind, folder, split, sentences=sentences)
    clips = [item for item in dataset if isinstance(item, Sequence)]
    if len(clips) != len(dataset):
        raise LangTrackError(f'A data set of kind "{kind}" holds single pictures; expected sequences.')
    return clips


# Files that only one layout has.
_MARKS = (
    ("boxes", ("*/groundtruth_rect.txt", "*/nlp.txt")),
    ("coco", ("annotations/instances_*.json",)),
    ("coco", ("images", "instances.json")),
    ("davis", ("JPEGImages", "expressions.json")),
    ("got10k", ("*/GOT-10k_*",)),
    ("lasot", ("*/*/full_occlusion.txt",)),
    ("otb-lang", ("OTB_videos",)),
    ("ref-davis17", ("davis_text_annotations",)),
    ("ref-youtube-vos", ("meta_expressions",)),
    ("refer-boxes", ("images", "expressions.json")),
    ("saliency", ("images", "masks")),
    ("tnl2k", ("TNL2K_*",)),
)


def guess_kind(folder: Path) -> str | None:
    """The kind whose unmistakable files lie in a folder; None when there are none, or of several kinds."""
    kinds = {kind for kind, patterns in _MARKS if all(any(Path(folder).glob(p)) for p in patterns)}
    return kinds.pop() if len(kinds) == 1 else None
