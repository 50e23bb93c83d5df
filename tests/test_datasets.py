"""Readers, each on a tiny tree in the real layout; what is wrong with a file is said by name."""

import json

import cv2
import numpy as np
import pytest

from langtrack_core.datasets import (
    box_sequences,
    coco_pictures,
    davis_sequences,
    read_rgb,
    saliency_pictures,
)
from langtrack_core.types import LangTrackError


def picture(path, size_hw=(12, 16), value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size_hw, 3), value, np.uint8))


def mask(path, box=(2, 3, 7, 9), size_hw=(12, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    x1, y1, x2, y2 = box
    values = np.zeros(size_hw, np.uint8)
    values[y1:y2, x1:x2] = 255
    cv2.imwrite(str(path), values)


def coco(folder, **image):
    picture(folder / "images" / "a.jpg")
    data = {
        "categories": [{"id": 7, "name": "dog"}],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 16, "height": 12, **image}],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 7,
                "bbox": [2, 3, 5, 6],
                "segmentation": [[2, 3, 7, 3, 7, 9, 2, 9]],
            },
            {"image_id": 1, "category_id": 7, "bbox": [0, 0, 4, 4], "iscrowd": 1},
        ],
    }
    (folder / "instances.json").write_text(json.dumps(data))
    return folder


def test_coco_polygons_boxes_and_crowds(tmp_path):
    (found,) = coco_pictures(coco(tmp_path))
    (dog,) = found.instances
    assert dog.category == "dog" and dog.box_xyxy.tolist() == [2, 3, 7, 9]
    expected = np.zeros((12, 16), bool)
    expected[3:9, 2:7] = True
    np.testing.assert_array_equal(dog.mask((12, 16)), expected)
    assert read_rgb(found.path).shape == (12, 16, 3)


@pytest.mark.parametrize(
    ("label", "dog", "cat"), [("all", True, True), (["dog"], True, False), ("one", False, False)]
)
def test_coco_says_which_categories_are_complete(tmp_path, label, dog, cat):
    (found,) = coco_pictures(coco(tmp_path, labelled_categories=label))
    assert (found.is_complete("dog"), found.is_complete("cat")) == (dog, cat)


def test_davis(tmp_path):
    (tmp_path / "expressions.json").write_text(json.dumps({"cow": ["the cow", "a brown cow"]}))
    for i, box in enumerate([(2, 3, 7, 9), (0, 0, 0, 0)]):
        picture(tmp_path / "JPEGImages" / "cow" / f"{i:05d}.jpg")
        mask(tmp_path / "Annotations" / "cow" / f"{i:05d}.png", box)
    (cow,) = davis_sequences(tmp_path)
    assert cow.name == "cow" and cow.expressions == ("the cow", "a brown cow") and len(cow.frames) == 2
    assert cow.boxes_xyxy[0].tolist() == [2, 3, 7, 9]
    assert np.isnan(cow.boxes_xyxy[1]).all()


def test_davis_with_a_mask_missing_names_the_sequence(tmp_path):
    (tmp_path / "expressions.json").write_text(json.dumps({"cow": ["the cow"]}))
    for i in range(2):
        picture(tmp_path / "JPEGImages" / "cow" / f"{i:05d}.jpg")
    mask(tmp_path / "Annotations" / "cow" / "00000.png")
    with pytest.raises(LangTrackError, match="cow has 2 frames and 1 masks"):
        davis_sequences(tmp_path)


def lasot(folder, lines="3,4,5,6\nnan,nan,nan,nan\n"):
    for i in (1, 2):
        picture(folder / "Car" / "img" / f"{i:08d}.jpg")
    (folder / "Car" / "groundtruth_rect.txt").write_text(lines)
    (folder / "Car" / "nlp.txt").write_text("the white car\n")
    return folder


def test_lasot(tmp_path):
    (car,) = box_sequences(lasot(tmp_path))
    assert car.expressions == ("the white car",)
    assert car.boxes_xyxy[0].tolist() == [3, 4, 8, 10]
    assert np.isnan(car.boxes_xyxy[1]).all()


@pytest.mark.parametrize(
    ("lines", "complaint"), [("1,2,3,4\n", "1 lines for 2 frames"), ("a,b\n", "x,y,w,h")]
)
def test_lasot_with_a_bad_truth_file_names_it(tmp_path, lines, complaint):
    with pytest.raises(LangTrackError, match=rf"groundtruth_rect.txt.*{complaint}"):
        box_sequences(lasot(tmp_path, lines))


def test_saliency(tmp_path):
    picture(tmp_path / "images" / "0001.jpg")
    mask(tmp_path / "masks" / "0001.png")
    (found,) = saliency_pictures(tmp_path)
    assert found.instances[0].box_xyxy.tolist() == [2, 3, 7, 9]
    (tmp_path / "masks" / "0001.png").unlink()
    with pytest.raises(LangTrackError, match=r"0001\.png is missing"):
        saliency_pictures(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"images": []}', '{"images": [{}], "annotations": []}'])
def test_malformed_coco_names_the_file(tmp_path, text):
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(LangTrackError, match=r"instances\.json"):
        coco_pictures(tmp_path)


def test_a_picture_that_is_none_names_itself(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(LangTrackError, match=r"a\.jpg is not a readable picture"):
        read_rgb(tmp_path / "a.jpg")
