"""Readers of annotated pictures and sequences, as they lie on disk.

A missing or malformed file raises LangTrackError and names itself. Readers hold paths and annotations only;
pictures and masks are read when asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .geometry import BoolMask, FloatArray, binarise, box_to_mask, enclosing_box, xywh_to_xyxy, xyxy_to_cxcywh
from .types import LangTrackError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB, whatever the file's own mode."""
    try:
        return iio.imread(path, plugin="pillow", mode="RGB")
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not a readable picture: {error}") from error


def read_mask(path: Path) -> BoolMask:
    """``(H, W)`` bool from a grey mask picture: values over 128 are positive."""
    try:
        return binarise(iio.imread(path, plugin="pillow", mode="L"))
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} is not a readable mask: {error}") from error


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        raise LangTrackError(f"{path} is missing: expected {what}.")
    return path


def _read_json(path: Path, what: str) -> Any:
    try:
        return json.loads(_existing(path, what).read_text(encoding="utf-8"))
    except ValueError as error:
        raise LangTrackError(f"{path} is not valid JSON: {error}") from error


def _pictures_in(folder: Path) -> list[Path]:
    paths = sorted(
        p for p in _existing(folder, "a folder of pictures").iterdir() if p.suffix.lower() in IMAGE_SUFFIXES
    )
    if not paths:
        raise LangTrackError(f"{folder} holds no pictures ({', '.join(IMAGE_SUFFIXES)}).")
    return paths


# --- single pictures ---------------------------------------------------------------------------------------


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


def coco_pictures(folder: Path, annotations: str = "instances.json") -> list[Picture]:
    """COCO instances (``images/`` beside a COCO-format JSON), with or without polygons.

    An image may carry ``labelled_categories``: "all", "one" (one person, others unlabelled) or a list.
    Without it every category counts as complete, as in COCO itself.
    """
    path = Path(folder) / annotations
    data = _read_json(path, "COCO annotations")
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
    for path in _pictures_in(Path(folder) / "images"):
        mask_path = _existing(Path(folder) / "masks" / f"{path.stem}.png", "the mask of " + path.name)
        box = enclosing_box(read_mask(mask_path))
        if box is not None:
            pictures.append(Picture(path, (Instance("", box, mask_path=mask_path),)))
    return pictures


# --- sequences ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sequence:
    """A clip as a folder of frames with one target.

    Attributes:
        frames: the pictures in order.
        expressions: sentences that single out the target.
        masks: mask pictures in order, where the set has masks.
        boxes_xyxy: ``(N, 4)`` pixels, half-open, nan where the target is absent; from the masks if there
        are any.
    """

    name: str
    frames: tuple[Path, ...]
    expressions: tuple[str, ...]
    masks: tuple[Path, ...] = ()
    boxes: FloatArray | None = field(default=None, repr=False)

    @property
    def boxes_xyxy(self) -> FloatArray:
        if self.boxes is not None:
            return self.boxes
        found = [enclosing_box(read_mask(path)) for path in self.masks]
        return np.stack([np.full(4, np.nan) if box is None else box for box in found])


def davis_sequences(folder: Path) -> list[Sequence]:
    """DAVIS layout: ``JPEGImages/<name>``, ``Annotations/<name>``, and ``expressions.json`` by name."""
    expressions = _read_json(Path(folder) / "expressions.json", "sentences by sequence name")
    sequences = []
    for name, sentences in sorted(expressions.items()):
        frames = _pictures_in(Path(folder) / "JPEGImages" / name)
        masks = _pictures_in(Path(folder) / "Annotations" / name)
        if [p.stem for p in frames] != [p.stem for p in masks]:
            raise LangTrackError(
                f"{folder}: sequence {name} has {len(frames)} frames and {len(masks)} masks; "
                "each frame needs a mask of the same name."
            )
        sequences.append(Sequence(name, tuple(frames), tuple(sentences), tuple(masks)))
    return sequences


def lasot_sequences(folder: Path) -> list[Sequence]:
    """LaSOT layout: ``<name>/img``, ``<name>/groundtruth_rect.txt`` (x,y,w,h; nan absent),
    ``<name>/nlp.txt``."""
    sequences = []
    for directory in sorted(p for p in _existing(Path(folder), "sequences").iterdir() if p.is_dir()):
        truth = _existing(directory / "groundtruth_rect.txt", "x,y,w,h a line")
        try:
            boxes = xywh_to_xyxy(np.loadtxt(truth, delimiter=",", ndmin=2))
        except ValueError as error:
            raise LangTrackError(f"{truth} is not x,y,w,h a line: {error}") from error
        frames = _pictures_in(directory / "img")
        if len(frames) != len(boxes):
            raise LangTrackError(f"{truth} has {len(boxes)} lines for {len(frames)} frames.")
        sentence = _existing(directory / "nlp.txt", "one sentence").read_text(encoding="utf-8").strip()
        sequences.append(Sequence(directory.name, tuple(frames), (sentence,), boxes=boxes))
    return sequences
