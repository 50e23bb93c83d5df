"""Described pictures on a tiny tree, and what trainings leave out."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from langtrack_core.types import LangTrackError
from langtrack_lab.datasets import described_pictures, held_out_clips, held_out_photos
from langtrack_lab.datasets.described import read_expressions


def write_photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((80, 120, 3), 128, np.uint8))


def write_persons(root: Path) -> None:
    """Two photos: on "1.jpg" one person with a face and two sentences, on "2.jpg" two, one without any."""
    people = [(1, 1, [10, 10, 40, 60]), (2, 2, [5, 5, 20, 40]), (3, 2, [60, 5, 20, 40])]
    data = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 120, "height": 80} for i in (1, 2)],
        "annotations": [{"id": i, "image_id": photo, "category_id": 1, "bbox": b} for i, photo, b in people],
        "categories": [{"id": 1, "name": "person"}],
    }
    for i in (1, 2):
        write_photo(root / "persons" / "images" / f"{i}.jpg")
    (root / "persons" / "boxes.json").write_text(json.dumps(data))
    lines = ("1.jpg\t1\tman in red", "1.jpg\t1\tthe dancer", "2.jpg\t2\tleft child")
    (root / "persons" / "expressions.tsv").write_text("\n".join(lines) + "\n")
    faces = [
        {"file_name": "persons/images/1.jpg", "annotation_id": 1, "face_xyxy": [20, -4, 40, 25]},
        {"file_name": "persons/images/2.jpg", "annotation_id": 3, "face_xyxy": [62, 5, 78, 20]},
        {"file_name": "persons/images/2.jpg", "annotation_id": 2, "face_xyxy": [8, 5, 14, 12]},
    ]
    (root / "faces.json").write_text(json.dumps(faces))


def test_sentences_find_their_objects_and_faces_their_owners(tmp_path):
    write_persons(tmp_path)
    first, second = described_pictures(tmp_path)["persons"]
    man, face = first.instances
    assert man.category == "person" and man.sentences == ("man in red", "the dancer")
    assert face.category == "face" and face.box_xyxy.tolist() == [20, 0, 40, 25]
    assert {"face", "the face of man in red", "the face of the dancer"} <= set(face.sentences)
    # A face of six pixels, and one of a person whom nobody described, are left out.
    assert [i.sentences for i in second.instances] == [("left child",), ()]


def test_parts_that_are_not_there_are_left_out(tmp_path):
    assert described_pictures(tmp_path) == {}


def test_a_line_without_three_columns_is_named(tmp_path):
    path = tmp_path / "expressions.tsv"
    path.write_text("1.jpg\t1\ta dog\n1.jpg a cat\n")
    with pytest.raises(LangTrackError, match=r"line 2.*sentence"):
        read_expressions(path)


def test_of_captions_those_phrases_are_kept_that_name_one_thing(tmp_path):
    write_photo(tmp_path / "flickr" / "images" / "a.jpg")
    boxes = {"one": [0, 0, 20, 40], "again": [1, 0, 20, 40], "other": [60, 0, 80, 40], "hat": [5, 0, 15, 8]}
    phrases = [
        ("the tall man", "one"), ("a boy", "again"),  # two captions name one person
        ("old dog", "one"), ("black dog", "other"),  # either may be meant
        ("two hats", "hat"), ("green hat", "hat"),
    ]  # fmt: skip
    entries = [{"file_name": "a.jpg", "box_xyxy": boxes[box], "phrase": text} for text, box in phrases]
    (tmp_path / "flickr" / "phrases.json").write_text(json.dumps(entries))
    (picture,) = described_pictures(tmp_path)["flickr"]
    assert [i.sentences for i in picture.instances] == [("the tall man",), ("a boy",), ("green hat",)]


def test_a_fixed_fifth_of_the_photos_is_held_out_of_every_part(tmp_path):
    names = [f"{i:012d}.jpg" for i in range(200)]
    for name in names:
        write_photo(tmp_path / "refcoco" / "images" / name)
    entries = [{"file_name": n, "box_xyxy": [0, 0, 9, 9], "expression": "it"} for n in names]
    (tmp_path / "refcoco" / "expressions.json").write_text(json.dumps(entries))
    held_out = held_out_photos(tmp_path / "refcoco")
    assert 25 < len(held_out) < 55 and held_out_photos(tmp_path) == frozenset()
    trained = {picture.path.name for picture in described_pictures(tmp_path)["refcoco"]}
    assert trained == set(names) - held_out


def test_the_held_out_clips_depend_on_the_names_alone():
    names = [f"clip{i}" for i in range(26)]
    assert len(held_out_clips(names)) == 4 and held_out_clips(names) == held_out_clips(reversed(names))
    assert held_out_clips(names[:16]) == frozenset()  # so few are used whole
