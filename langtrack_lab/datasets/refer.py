"""Photos with referring expressions: ReferIt (refCLEF), RefCOCO, RefCOCO+, RefCOCOg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError

from .files import existing, first_existing, read_json
from .pickles import read_plain_pickle
from .pictures import Instance, Picture, Referral, parse_coco

SPLITTERS = {
    "refclef": ("unc", "berkeley"),
    "refcoco": ("unc", "google"),
    "refcoco+": ("unc",),
    "refcocog": ("umd", "google"),
}
"""By set, those who divided it into parts; the first of them is the default."""

_PHOTOS = ("images/mscoco/images/train2014", "images/train2014", "mscoco/train2014", "train2014", "images")
_CLEF_PHOTOS = ("images/saiapr_tc-12", "saiapr_tc-12", "images")
"""Where copies of the sets keep COCO's photos, and refCLEF's; the first folder that exists is taken."""


def refer_referrals(
    folder: Path, name: str, split: str | None = None, splitter: str | None = None
) -> list[Referral]:
    """One of the four sets in the layout of the "refer" toolkit (Yu et al., ECCV 2016).

    ``NAME/refs(SPLITTER).p`` and ``NAME/instances.json`` in `folder`, or both in `folder` itself; the photos
    in ``images/mscoco/images/train2014`` (refclef: ``images/saiapr_tc-12``) or where else they are commonly
    put, in `folder` or beside it. The pickle is read without running anything of it.

    Args:
        name: a key of `SPLITTERS`.
        split: "train", "val", "test", "testA" and so on, as the set has them. "test" is every test part; a
            letter also finds mixed parts, "testA" those called "testAB".
    """
    splitter = splitter or SPLITTERS[name][0]
    directory = folder if (folder / "instances.json").exists() else folder / name
    annotations = existing(directory / "instances.json", f"the COCO-format annotations of {name}")
    refs_path = existing(directory / f"refs({splitter}).p", f"the referring expressions of {name}")
    roots = [folder, folder.parent] if directory == folder else [folder, directory]
    places = _CLEF_PHOTOS if name == "refclef" else _PHOTOS
    photos = first_existing(
        [root / place for root in roots for place in places], f"The folder of photos of {name}"
    )
    refs = read_plain_pickle(refs_path, f"the referring expressions of {name}")
    data = read_json(annotations, "COCO annotations")
    # In refCLEF only what somebody described is annotated; the others have all of COCO's instances.
    pictures, instances = parse_coco(data, photos, annotations, complete=name != "refclef")
    try:
        referrals = [
            _referral(ref, pictures, instances)
            for ref in refs
            if split is None or _in_split(ref["split"], split)
        ]
        splits = sorted({ref["split"] for ref in refs})
    except (AttributeError, KeyError, TypeError) as error:
        raise LangTrackError(
            f"{refs_path} does not fit {annotations}: {error!r} is missing or unknown; expected a list of "
            "entries with ann_id, image_id, split and sentences."
        ) from error
    referrals = [referral for referral in referrals if referral.sentences]
    if split is not None and not referrals:
        raise LangTrackError(f'{refs_path} has no part "{split}"; known are {", ".join(splits)}.')
    if referrals:
        existing(referrals[0].picture.path, "the first of the photos that instances.json names")
    return referrals


def _referral(ref: dict[str, Any], pictures: dict[int, Picture], instances: dict[int, Instance]) -> Referral:
    sentences = (sentence["sent"].strip() for sentence in ref["sentences"])
    texts = tuple(text for text in sentences if text)
    return Referral(pictures[ref["image_id"]], instances[ref["ann_id"]], texts, ref["split"])


def _in_split(name: str, split: str) -> bool:
    """Whether a part called ``name`` in the file belongs to the part that is asked for."""
    if split == "test":
        return name.startswith("test")
    if split in ("testA", "testB", "testC"):
        return name.startswith("test") and split[-1] in name[4:]
    return name == split
