"""Pictures whose objects people described, for trainings: sentences, and outlines or boxes.

Where a person wrote a sentence for one object of a picture, it fits that object alone. Phrases of captions
name a thing; of those only the ones are kept that name nothing else of the picture. What `held_out` keeps
from trainings is left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from langtrack_core.geometry import box_iou
from langtrack_core.types import LangTrackError

from .files import read_json
from .held_out import held_out_photos
from .pictures import Instance, Picture, box_referrals, parse_coco, saliency_pictures

FACE = "face"
"""Category of a face, a target in its own right: the face of a man is not the man."""

MIN_FACE_WIDTH = 12.0
"""Least width of a face in pixels: of fewer, little is left in the network's input."""

SEVERAL = re.compile(
    r"\b(two|three|four|five|six|several|many|some|group|crowd|people|men|women|children|kids|boys|girls|"
    r"others?|another|both|all|each)\b"
)
"""Words of phrases that mean more than one thing, or one that only the rest of the caption tells."""

ANYBODY = {"person", "man", "woman", "boy", "girl", "child", "kid", "guy", "lady", "player", "one", "baby"}
"""Nouns that may all mean one person; two captions of a photo call a person by different ones."""


def described_pictures(data: Path) -> dict[str, list[Picture]]:
    """By part, the pictures with at least one sentence; parts that are not there are left out.

    ``coco`` and ``persons`` with ``expressions.tsv`` (and ``faces.json`` beside them), ``saliency`` with the
    same, ``refcoco`` with ``expressions.json``, ``flickr`` with ``phrases.json``.
    """
    readers: dict[str, tuple[str, Callable[[], list[Picture]]]] = {
        "coco": ("expressions.tsv", lambda: _coco(data, "coco", "instances.json")),
        "persons": ("expressions.tsv", lambda: _coco(data, "persons", "boxes.json")),
        "saliency": ("expressions.tsv", lambda: _saliency(data / "saliency")),
        "refcoco": ("expressions.json", lambda: _refcoco(data / "refcoco")),
        "captioned": ("expressions.json", lambda: _refcoco(data / "captioned")),
        "flickr": ("phrases.json", lambda: _phrases(data / "flickr")),
    }
    parts = {name: read() for name, (file, read) in readers.items() if (data / name / file).exists()}
    held_out = held_out_photos(data / "refcoco")
    trained = {name: [p for p in pictures if p.path.name not in held_out] for name, pictures in parts.items()}
    return {name: pictures for name, pictures in trained.items() if pictures}


def read_expressions(path: Path) -> dict[str, tuple[str, ...]]:
    """Sentences by annotation id, of lines of file name, id and sentence, with tabs between.

    Raises:
        LangTrackError: a line has not three columns.
    """
    sentences: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        columns = line.split("\t")
        if len(columns) != 3:
            raise LangTrackError(f"{path}, line {number}: expected file name, id and sentence, got {line!r}.")
        sentences[columns[1]].append(columns[2])
    return {key: tuple(texts) for key, texts in sentences.items()}


def _coco(data: Path, part: str, annotations: str) -> list[Picture]:
    path = data / part / annotations
    sentences = read_expressions(data / part / "expressions.tsv")
    pictures, instances = parse_coco(read_json(path, "COCO annotations"), data / part / "images", path)
    # An instance is known by what it is, not by what it says: two may be alike.
    texts = {id(instances[int(k)]): lines for k, lines in sentences.items() if int(k) in instances}
    faces = _faces(data, part, instances)
    described = []
    for picture in pictures.values():
        owners = [replace(i, sentences=texts.get(id(i), ())) for i in picture.instances]
        people = sum(i.category == "person" for i in picture.instances)
        alone = people == 1 and picture.is_complete("person")
        parts = [
            Instance(FACE, faces[id(i)], sentences=_face_sentences(owner.sentences, alone))
            for i, owner in zip(picture.instances, owners, strict=True)
            if id(i) in faces
        ]
        objects = (*owners, *(face for face in parts if face.sentences))
        if any(i.sentences for i in objects):
            described.append(replace(picture, instances=objects))
    return described


def _faces(data: Path, part: str, instances: dict[int, Instance]) -> dict[int, np.ndarray]:
    """Boxes of faces by the identity of the person that they belong to."""
    path = data / "faces.json"
    boxes = {}
    for entry in read_json(path, "faces") if path.exists() else []:
        owner = instances.get(entry.get("annotation_id"))
        box = np.maximum(np.array(entry["face_xyxy"], dtype=np.float64), 0.0)
        if entry["file_name"].startswith(f"{part}/") and owner and box[2] - box[0] >= MIN_FACE_WIDTH:
            boxes[id(owner)] = box
    return boxes


def _face_sentences(of_person: tuple[str, ...], alone: bool) -> tuple[str, ...]:
    bare = ("face", "the face", "the face of the person") if alone else ()
    return (*bare, *(f"the face of {text}" for text in of_person))


def _saliency(folder: Path) -> list[Picture]:
    sentences = read_expressions(folder / "expressions.tsv")
    pictures = [(p, sentences.get(p.path.stem, ())) for p in saliency_pictures(folder)]
    return [
        replace(p, instances=(replace(p.instances[0], sentences=texts),)) for p, texts in pictures if texts
    ]


def _refcoco(folder: Path) -> list[Picture]:
    instances: dict[Path, list[Instance]] = defaultdict(list)
    for referral in box_referrals(folder):
        instances[referral.picture.path].append(replace(referral.instance, sentences=referral.sentences))
    return [Picture(path, tuple(objects)) for path, objects in instances.items()]


def _phrases(folder: Path) -> list[Picture]:
    """The photos, each with the phrases whose noun names one box alone."""
    by_photo: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for entry in read_json(folder / "phrases.json", "phrases"):
        by_photo[entry["file_name"]].append((entry["phrase"].lower(), np.array(entry["box_xyxy"])))
    pictures = []
    for name, phrases in by_photo.items():
        clear = [
            Instance("", box, sentences=(phrase,))
            for phrase, box in phrases
            if len(phrase) > 2
            and not SEVERAL.search(phrase)
            and all(box_iou(box, other) > 0.5 for text, other in phrases if _may_mean_one(phrase, text))
        ]
        if clear:
            pictures.append(Picture(folder / "images" / name, tuple(clear)))
    return pictures


def _may_mean_one(a: str, b: str) -> bool:
    heads = {a.split()[-1], b.split()[-1]}
    return len(heads) == 1 or heads <= ANYBODY
