"""Photos with annotated objects, and what people called them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pycocotools import mask as coco_mask

from langtrack_core.geometry import FloatArray
from langtrack_core.masks import BoolMask, enclosing_box
from langtrack_core.types import LangTrackError, check_box
from langtrack_core.video.pictures import pictures_in

from ..truth.box_files import xywh_to_xyxy
from ..truth.mask_files import read_mask
from .files import existing, first_existing, read_json


def box_to_mask(box_xyxy: ArrayLike, size_hw: tuple[int, int]) -> BoolMask:
    """A box filled with ones.

    Args:
        box_xyxy: corners in pixels; parts outside the picture are cut off.
        size_hw: height and width of the mask.

    Returns:
        ``(H, W)`` bool; a pixel is set when its centre lies in the half-open box.
    """
    height, width = size_hw
    x1, y1, x2, y2 = np.asarray(box_xyxy, dtype=np.float64)
    columns = np.arange(width) + 0.5
    rows = np.arange(height) + 0.5
    inside_x = (columns >= x1) & (columns < x2)
    inside_y = (rows >= y1) & (rows < y2)
    return inside_y[:, None] & inside_x[None, :]


@dataclass(frozen=True)
class Instance:
    """One object: a category and an outline (polygons, run lengths, a mask file, or only a box).

    Attributes:
        box_xyxy: ``(4,)`` pixels, half-open.
        polygons: flat x, y lists in pixels, COCO's way.
        mask_path: a 0 to 255 picture of the picture's size.
        runs: COCO run lengths, dicts of size (height, width) and counts.
        sentences: what people wrote that fits this one alone.
    """

    category: str
    box_xyxy: FloatArray
    polygons: tuple[tuple[float, ...], ...] = ()
    mask_path: Path | None = None
    runs: tuple[dict[str, Any], ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def has_mask(self) -> bool:
        return bool(self.polygons or self.runs) or self.mask_path is not None

    def mask(self, size_hw: tuple[int, int]) -> BoolMask:
        """``(H, W)`` bool; the filled box where nothing finer is annotated.

        Raises:
            LangTrackError: the run lengths are of another size.
        """
        if self.mask_path is not None:
            return read_mask(self.mask_path).mask
        if self.polygons:
            return _decode(coco_mask.frPyObjects([list(p) for p in self.polygons], *size_hw))
        if self.runs:
            if any(tuple(run["size"]) != size_hw for run in self.runs):
                raise LangTrackError(
                    f"The mask of a {self.category or 'object'} has {self.runs[0]['size']} pixels, but its "
                    f"picture has {list(size_hw)} (height, width)."
                )
            # Counts are a list, or packed into a string.
            packed = [
                coco_mask.frPyObjects(run, *size_hw) if isinstance(run["counts"], list) else run
                for run in self.runs
            ]
            return _decode(packed)
        return box_to_mask(self.box_xyxy, size_hw)


def _decode(runs: list[dict[str, Any]]) -> BoolMask:
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


@dataclass(frozen=True)
class Picture:
    """A photo with its objects.

    Attributes:
        complete: categories of which every instance is annotated; None when all that the set knows are.
    """

    path: Path
    instances: tuple[Instance, ...]
    complete: frozenset[str] | None = frozenset()

    def is_complete(self, category: str) -> bool:
        return self.complete is None or category in self.complete


@dataclass(frozen=True)
class Referral:
    """What people wrote so that another finds one object of a photo.

    Attributes:
        picture: the photo with all its objects.
        instance: the one that is meant.
        sentences: at least one.
        split: the set's own name of the part, such as "train", "val", "testA".
    """

    picture: Picture
    instance: Instance
    sentences: tuple[str, ...]
    split: str = ""


def coco_pictures(folder: Path, annotations: str = "instances.json") -> list[Picture]:
    """COCO instances (``images/`` beside a COCO-format JSON), with or without polygons.

    An image may carry ``labelled_categories``: "all", "one" (one person, others unlabelled) or a list.
    Without it every category counts as complete, as in COCO itself.
    """
    path = Path(folder) / annotations
    pictures, _ = parse_coco(read_json(path, "COCO annotations"), Path(folder) / "images", path)
    return list(pictures.values())


def coco_set(folder: Path, split: str | None = None) -> list[Picture]:
    """COCO as it is published, or a small set in its format.

    ``annotations/instances_train2017.json`` with ``train2017/*.jpg`` (in `folder` or its ``images``), so for
    val and for 2014; else ``instances.json`` (or ``boxes.json``, without outlines) beside ``images``. The
    sentences are made in training, from categories, places, sizes and colours.
    """
    files = sorted((folder / "annotations").glob("instances_*.json"))
    if not files:
        if split is not None:
            raise LangTrackError(f"{folder} has no annotations/instances_{split}2017.json.")
        path = first_existing(
            [folder / "instances.json", folder / "boxes.json"], "The COCO-format annotations"
        )
        return coco_pictures(folder, path.name)
    paths = {path.stem.removeprefix("instances_"): path for path in files}
    parts = [name for name in paths if split in (None, name, name.rstrip("0123456789"))]
    if not parts:
        raise LangTrackError(f'{folder} has no part "{split}"; known are {", ".join(paths)}.')
    pictures: list[Picture] = []
    for part in parts:
        photos = first_existing(
            [folder / part, folder / "images" / part], f"The folder of photos of {paths[part]}"
        )
        pictures += parse_coco(read_json(paths[part], "COCO annotations"), photos, paths[part])[0].values()
    return pictures


def parse_coco(
    data: Any, photos: Path, path: Path, *, complete: bool = True
) -> tuple[dict[int, Picture], dict[int, Instance]]:
    """COCO-format annotations as pictures by image id, and instances by annotation id (crowds only there).

    Args:
        photos: folder that file names count from.
        path: where the data are from, for complaints.
        complete: whether pictures that don't say anything else have every instance annotated, but for
            categories of which they have crowds.
    """
    try:
        # A file of one kind of object alone may leave the names out.
        names = {c["id"]: c["name"] for c in data.get("categories", [{"id": 1, "name": "person"}])}
        by_image: dict[int, list[Instance]] = {image["id"]: [] for image in data["images"]}
        crowds: dict[int, set[str]] = {image["id"]: set() for image in data["images"]}
        instances = {}
        for number, a in enumerate(data["annotations"]):
            outline = a.get("segmentation") or ()
            parts = [outline] if isinstance(outline, dict) else list(outline)
            polygons = tuple(tuple(p) for p in parts if isinstance(p, list) and len(p) >= 6)
            runs = tuple(p for p in parts if isinstance(p, dict))
            instance = Instance(names[a["category_id"]], xywh_to_xyxy(a["bbox"]), polygons, runs=runs)
            instances[a.get("id", number)] = instance
            if a.get("iscrowd"):
                crowds[a["image_id"]].add(instance.category)
            else:
                by_image[a["image_id"]].append(instance)
        pictures = {}
        for image in data["images"]:
            label = image.get("labelled_categories", "all" if complete else "one")
            categories = {"all": names.values(), "one": ()}[label] if isinstance(label, str) else label
            # A crowd is several of a category in one outline, so not every instance is annotated by itself.
            incomplete = crowds[image["id"]]
            pictures[image["id"]] = Picture(
                photos / image["file_name"],
                tuple(by_image[image["id"]]),
                None if label == "all" and not incomplete else frozenset(categories) - incomplete,
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LangTrackError(f"{path} is not in COCO format: {error!r} is missing or wrong.") from error
    return pictures, instances


def saliency_pictures(folder: Path) -> list[Picture]:
    """``images/*.jpg`` with ``masks/*.png`` of the same name: one object each, of no known category."""
    pictures = []
    for path in pictures_in(Path(folder) / "images"):
        mask_path = existing(Path(folder) / "masks" / f"{path.stem}.png", "the mask of " + path.name)
        box = enclosing_box(read_mask(mask_path).mask)
        if box is not None:
            pictures.append(Picture(path, (Instance("", box, mask_path=mask_path),)))
    return pictures


def box_referrals(folder: Path) -> list[Referral]:
    """``images`` beside ``expressions.json``, a list of file_name, expression and box_xyxy.

    Boxes are half-open pixels. Sentences for the same box of the same photo belong together.
    """
    path = Path(folder) / "expressions.json"
    entries = read_json(path, "a list of expressions")
    sentences_of: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    try:
        for number, entry in enumerate(entries, 1):
            x1, y1, x2, y2 = check_box(entry["box_xyxy"]).tolist()
            if not isinstance(entry["expression"], str):
                raise TypeError(f"expression {entry['expression']!r:.40} of entry {number}")
            sentences_of.setdefault((entry["file_name"], (x1, y1, x2, y2)), []).append(entry["expression"])
    except LangTrackError as error:
        raise LangTrackError(f"Entry {number} of {path} cannot be used: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise LangTrackError(
            f"{path} is not a list of file_name, expression and box_xyxy: {error!r} is missing or wrong."
        ) from error
    referrals = []
    for (name, box), sentences in sentences_of.items():
        instance = Instance("", np.array(box))
        picture = Picture(existing(Path(folder) / "images" / name, "a photo"), (instance,))
        referrals.append(Referral(picture, instance, tuple(sentences)))
    return referrals
