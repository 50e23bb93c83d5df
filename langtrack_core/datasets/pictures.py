"""Photos with annotated objects, and what people called them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pycocotools import mask as coco_mask

from ..geometry import BoolMask, FloatArray, box_to_mask, enclosing_box, xywh_to_xyxy, xyxy_to_cxcywh
from ..types import LangTrackError
from .files import existing, pictures_in, read_json, read_mask


@dataclass(frozen=True)
class Instance:
    """One object: a category and an outline (polygons, a mask file, or only a box).

    Attributes:
        box_xyxy: ``(4,)`` pixels, half-open.
        polygons: flat x, y lists in pixels, COCO's way.
        mask_path: a 0 to 255 picture of the picture's size.
    """

    category: str
    box_xyxy: FloatArray
    polygons: tuple[tuple[float, ...], ...] = ()
    mask_path: Path | None = None

    @property
    def has_mask(self) -> bool:
        return bool(self.polygons) or self.mask_path is not None

    def mask(self, size_hw: tuple[int, int]) -> BoolMask:
        """``(H, W)`` bool; the filled box where nothing finer is annotated."""
        if self.mask_path is not None:
            return read_mask(self.mask_path)
        if self.polygons:
            runs = coco_mask.frPyObjects([list(p) for p in self.polygons], *size_hw)
            return coco_mask.decode(coco_mask.merge(runs)).astype(bool)
        return box_to_mask(xyxy_to_cxcywh(self.box_xyxy), size_hw)


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
    data = read_json(path, "COCO annotations")
    try:
        # A file of one kind of object alone may leave the names out.
        names = {c["id"]: c["name"] for c in data.get("categories", [{"id": 1, "name": "person"}])}
        instances: dict[int, list[Instance]] = {image["id"]: [] for image in data["images"]}
        for a in data["annotations"]:
            if not a.get("iscrowd"):
                polygons = tuple(tuple(p) for p in a.get("segmentation", ()) if len(p) >= 6)
                instances[a["image_id"]].append(
                    Instance(names[a["category_id"]], xywh_to_xyxy(a["bbox"]), polygons)
                )
        complete = {"all": None, "one": frozenset[str]()}
        return [
            Picture(
                Path(folder) / "images" / image["file_name"],
                tuple(instances[image["id"]]),
                complete[label] if isinstance(label, str) else frozenset(label),
            )
            for image in data["images"]
            for label in [image.get("labelled_categories", "all")]
        ]
    except (KeyError, TypeError) as error:
        raise LangTrackError(f"{path} is not in COCO format: {error!r} is missing or unknown.") from error


def saliency_pictures(folder: Path) -> list[Picture]:
    """``images/*.jpg`` with ``masks/*.png`` of the same name: one object each, of no known category."""
    pictures = []
    for path in pictures_in(Path(folder) / "images"):
        mask_path = existing(Path(folder) / "masks" / f"{path.stem}.png", "the mask of " + path.name)
        box = enclosing_box(read_mask(mask_path))
        if box is not None:
            pictures.append(Picture(path, (Instance("", box, mask_path=mask_path),)))
    return pictures
