"""A detector of COCO's categories as a teacher: boxes on photos that have none, and what photos do not show.

    python -m langtrack_core train detected --detector FILE.onnx --photos DIR --data DATA

writes ``DATA/detected``, of which the training makes sentences (category, place, relative size), and
``DATA/absent.json``, by which it knows what may be asked in vain on photos that people described. The
detector is PicoDet-S in ONNX (Yu et al., arXiv:2111.00902; 416 x 416 pixels, class scores and distances to
the four sides at strides 8 to 64). Nothing of it but these answers reaches the trained network.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from langtrack_core.geometry import FloatArray
from langtrack_core.types import Float32Array, LangTrackError
from langtrack_core.video.pictures import pictures_in
from langtrack_core.weights.openvino_compiler import openvino_core

from ..datasets.files import existing, read_json, read_picture
from ..files import new_folder, write_text
from .annotated_images import SEARCHED_BY_NOBODY
from .image_cache import Rgb
from .photo_files import read_squeezed, write_photo

SIDE = 416
"""Height and width of the detector's input: photos are squeezed."""

LONGEST_SIDE = 320
"""Longest side of the photos that are written, in pixels."""

FOUND, HINT, NOTHING = 0.5, 0.15, 0.08
"""From the first score on a box is taken. A category with one between the first two may have more things than
are boxed; one whose every score is below the third is not there."""

MAX_OVERLAP = 0.5
"""Two boxes of a category with a larger IoU are one thing's."""

MAX_PER_CATEGORY = 7
"""More boxes of a category than this are a crowd, and none of them is taken."""

MEAN, STD = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)


class Detections(NamedTuple):
    """What is on a photo.

    Attributes:
        found: category, score, and the box in shares of the width and height.
        highest: ``(C,)`` the highest score of each category anywhere.
    """

    found: list[tuple[int, float, FloatArray]]
    highest: Float32Array


class Detector:
    """PicoDet in OpenVINO, a photo at a time.

    Raises:
        LangTrackError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        existing(path, "a detector")
        try:
            self.network = openvino_core().compile_model(str(path), "CPU")
        except RuntimeError as error:
            raise LangTrackError(f"{path} is no network that OpenVINO reads: {error}") from error

    def __call__(self, rgb: Rgb) -> Detections:
        image = (cv2.resize(rgb, (SIDE, SIDE)).astype(np.float32) / 255 - MEAN) / STD
        answers = self.network(image.transpose(2, 0, 1)[None])
        return decode([np.asarray(answers[output])[0] for output in self.network.outputs])


def decode(outputs: list[Float32Array]) -> Detections:
    """The detector's outputs, at each of the strides ``(cells, C)`` scores and ``(cells, 4 D)`` distributions
    of the distances, with C > 4 D."""
    by_width: dict[int, list[Float32Array]] = {}
    for output in sorted(outputs, key=len, reverse=True):
        by_width.setdefault(output.shape[1], []).append(output)
    if len(by_width) != 2:
        raise LangTrackError(
            f"Expected scores and distances, got outputs of {sorted(by_width)} numbers a cell."
        )
    distances, scores = (by_width[width] for width in sorted(by_width))
    score = np.concatenate(scores)
    box = np.concatenate([_boxes(at_stride) for at_stride in distances])
    box = np.clip(box / SIDE, 0, 1)
    found = []
    for category in range(score.shape[1]):
        of_category = score[:, category]
        candidates = np.flatnonzero(of_category > HINT)
        kept = cv2.dnn.NMSBoxes(
            [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in box[candidates].tolist()],
            of_category[candidates].tolist(), HINT, MAX_OVERLAP,
        )  # fmt: skip
        found += [(category, float(of_category[i]), box[i]) for i in candidates[np.array(kept, int)]]
    return Detections(found, score.max(0))


def _boxes(distances: Float32Array) -> FloatArray:
    """``(cells, 4)`` corners in pixels of the input, of a square grid of cells."""
    cells = round(len(distances) ** 0.5)
    stride = 2 ** math.ceil(math.log2(SIDE / cells))  # the coarsest grid reaches over the picture's end
    centre = (np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), -1).reshape(-1, 2) + 0.5) * stride
    weight = distances.reshape(len(distances), 4, -1)
    weight = np.exp(weight - weight.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)
    left, top, right, bottom = ((weight * np.arange(weight.shape[-1])).sum(-1) * stride).T
    x, y = centre.T
    return np.stack([x - left, y - top, x + right, y + bottom], axis=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", type=Path, required=True, help="PicoDet in ONNX")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos; none of a test set")
    parser.add_argument("--data", type=Path, required=True, help="training folder to write into")


def run(args: argparse.Namespace) -> int:
    """Writes ``detected`` and ``absent.json`` and says how much there is."""
    out, data = args.data / "detected", args.data
    if out.exists():
        raise LangTrackError(f"{out} exists already; remove it first.")
    photos = pictures_in(args.photos)
    coco = data / "coco" / "instances.json"
    names = category_names(coco)
    detector = Detector(args.detector)
    known_to_it = len(detector(np.zeros((SIDE, SIDE, 3), np.uint8)).highest)
    if known_to_it != len(names):
        raise LangTrackError(
            f"The detector knows {known_to_it} categories and {coco} has {len(names)}: they have to be the "
            "same ones in the same order, COCO's 80."
        )
    parts = [part for part in SEARCHED_BY_NOBODY if (data / part / "images").is_dir()]
    known = {path.name for part in (*parts, "coco", "persons") for path in _photos(data / part / "images")}
    absent = {
        f"{part}/{path.name}": _lacking(detector(read_picture(path)), names)
        for part in parts
        for path in tqdm(_photos(data / part / "images"), part, disable=None)
    }
    photos = [path for path in photos if path.name not in known]
    with new_folder(out) as folder:
        boxes = boxed(detector, photos, names, folder / "images")
        write_text(folder / "boxes.json", json.dumps(boxes))
        write_text(data / "absent.json", json.dumps(absent))
    print(f"{out}: {len(boxes['annotations'])} boxes on {len(boxes['images'])} of {len(photos)} photos")
    return 0


def category_names(path: Path) -> list[str]:
    """The names of the categories of COCO annotations, in order."""
    try:
        return [category["name"] for category in read_json(path, "COCO annotations")["categories"]]
    except (KeyError, TypeError) as error:
        raise LangTrackError(f"{path} is not in COCO format: {error!r} is missing or wrong.") from error


def _photos(folder: Path) -> list[Path]:
    return pictures_in(folder) if folder.is_dir() else []


def _lacking(detections: Detections, names: list[str]) -> list[str]:
    return [name for name, score in zip(names, detections.highest, strict=True) if score < NOTHING]


def boxed(detector: Detector, photos: list[Path], names: list[str], out: Path) -> dict[str, Any]:
    """COCO-format annotations of the photos where something is found, which are written to the folder."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for path in tqdm(photos, "photos", disable=None):
        rgb = read_picture(path)
        detections = detector(rgb)
        sure: dict[int, list[FloatArray]] = {}
        for category, score, box in detections.found:
            if score > FOUND:
                sure.setdefault(category, []).append(box)
        hinted = {category for category, score, _ in detections.found if score <= FOUND}
        things = [(c, box) for c, boxes in sure.items() if len(boxes) <= MAX_PER_CATEGORY for box in boxes]
        if not things:
            continue
        scale = LONGEST_SIDE / max(rgb.shape[:2])
        height, width = (round(side * scale) for side in rgb.shape[:2])
        write_photo(read_squeezed(path, (width, height)), out / path.name)
        complete = {names[c] for c, _ in things if c not in hinted} | set(_lacking(detections, names))
        number = len(images) + 1
        images.append(
            {"id": number, "file_name": path.name, "width": width, "height": height,
             "labelled_categories": sorted(complete)}
        )  # fmt: skip
        for category, box in things:
            x1, y1, x2, y2 = (box * (width, height, width, height)).round(1).tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": category + 1,
                 "bbox": [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)]}
            )  # fmt: skip
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}
