"""A detector's answers made into training data, with answers that the test writes."""

import json
import shutil

import cv2
import numpy as np
import pytest

from langtrack_core.cli import main
from langtrack_core.types import LangTrackError
from langtrack_lab.datasets import coco_pictures
from langtrack_lab.training import detected
from langtrack_lab.training.annotated_images import read_absent
from langtrack_lab.training.detected import Detections, Detector, decode
from langtrack_lab.training.image_cache import ImageCache
from langtrack_lab.training.language_samples import SampleStream

NAMES = ("frisbee", "dog", "cat", "cow")
BINS = 8


def outputs(*things: tuple[int, int, int, int, float]) -> list[np.ndarray]:
    """What the network says where things, as grid, cell, category, distance in cells and score, are seen."""
    scores = {cells: np.full((cells**2, 40), 0.01, np.float32) for cells in (52, 26, 13, 7)}
    distances = {cells: np.zeros((cells**2, 4 * BINS), np.float32) for cells in scores}
    for cells, cell, category, distance, score in things:
        scores[cells][cell, category] = score
        distances[cells][cell].reshape(4, BINS)[:, distance] = 50
    return [*distances.values(), *scores.values()]


def test_boxes_are_where_the_cells_and_distances_say():
    found, highest = decode(outputs((52, 52 * 20 + 30, 3, 2, 0.9), (7, 7 * 2 + 1, 5, 1, 0.6)))
    small, large = sorted(found, key=lambda thing: thing[0])
    assert small[:2] == pytest.approx((3, 0.9)) and large[:2] == pytest.approx((5, 0.6))
    x, y = 30.5 * 8 / 416, 20.5 * 8 / 416
    assert small[2] == pytest.approx([x - 16 / 416, y - 16 / 416, x + 16 / 416, y + 16 / 416], abs=1e-4)
    # Seven cells of 64 pixels are more than 416: the coarsest grid reaches over the end.
    assert large[2] == pytest.approx([32 / 416, 96 / 416, 160 / 416, 224 / 416], abs=1e-4)
    assert highest[[3, 5]] == pytest.approx([0.9, 0.6]) and highest[7] == pytest.approx(0.01)


def test_one_thing_has_one_box():
    near = [(13, 13 * 6 + 6, 2, 3, 0.9), (26, 26 * 13 + 13, 2, 6, 0.7), (26, 26 * 13 + 13, 4, 6, 0.7)]
    assert sorted((category, round(score, 2)) for category, score, _ in decode(outputs(*near)).found) == [
        (2, 0.9), (4, 0.7),
    ]  # fmt: skip


def test_another_network_is_refused(tmp_path):
    with pytest.raises(LangTrackError, match="Expected scores and distances"):
        decode([np.zeros((4, 3), np.float32)])
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(LangTrackError, match="no network that OpenVINO reads"):
        Detector(tmp_path / "a.onnx")
    with pytest.raises(LangTrackError, match="detector"):
        Detector(tmp_path / "b.onnx")


class Answers:
    """Stands for the detector: a frisbee on the left, a hint of a dog, a crowd of cows; never a cat."""

    def __init__(self, path):
        pass

    def __call__(self, rgb):
        left = np.array([0.1, 0.2, 0.4, 0.8])
        found = [(0, 0.9, left), (1, 0.3, left), *((3, 0.8, left) for _ in range(8))]
        return Detections(found, np.array([0.9, 0.3, 0.02, 0.8], np.float32))


@pytest.fixture
def tree(data, tmp_path, monkeypatch):
    """The tiny tree with one captioned photo, and two photos for the detector, one of them known already."""
    root, photos = shutil.copytree(data, tmp_path / "data"), tmp_path / "photos"
    coco = json.loads((root / "coco" / "instances.json").read_text())
    coco["categories"] = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
    (root / "coco" / "instances.json").write_text(json.dumps(coco))
    (root / "captioned" / "images").mkdir(parents=True)
    photos.mkdir()
    for path in (root / "captioned" / "images" / "7.jpg", photos / "7.jpg", photos / "8.jpg"):
        cv2.imwrite(str(path), np.full((60, 80, 3), 128, np.uint8))
    entry = {"file_name": "7.jpg", "box_xyxy": [10, 10, 40, 40], "expression": "a grey thing"}
    (root / "captioned" / "expressions.json").write_text(json.dumps([entry]))
    monkeypatch.setattr(detected, "Detector", Answers)
    return tmp_path


def detect(root):
    return main(
        [
            "train",
            "detected",
            "--detector",
            "a.onnx",
            "--photos",
            str(root / "photos"),
            "--data",
            str(root / "data"),
        ]
    )


def test_what_is_found_is_written_and_what_is_unsure_is_not_called_absent(tree, capsys):
    assert detect(tree) == 0
    assert "1 boxes on 1 of 1 photos" in capsys.readouterr().out
    (picture,) = coco_pictures(tree / "data" / "detected", "boxes.json")
    assert picture.path.name == "8.jpg" and cv2.imread(str(picture.path)).shape == (240, 320, 3)
    (frisbee,) = picture.instances
    assert frisbee.category == "frisbee" and frisbee.box_xyxy == pytest.approx([32, 48, 128, 192])
    assert picture.complete == {"frisbee", "cat"}
    assert read_absent(tree / "data") == {"captioned/7.jpg": {"cat"}}
    assert detect(tree) == 1
    assert "exists already" in capsys.readouterr().err


def test_nothing_is_left_of_a_detection_that_fails(tree, capsys):
    (tree / "photos" / "9.jpg").write_bytes(b"no picture")
    assert detect(tree) == 1
    assert "9.jpg" in capsys.readouterr().err
    assert not any((tree / "data" / name).exists() for name in ("detected", "absent.json"))


def test_a_folder_that_is_not_there_is_named(tree, capsys):
    shutil.rmtree(tree / "photos")
    assert detect(tree) == 1
    assert "photos" in capsys.readouterr().err and not (tree / "data" / "absent.json").exists()


@pytest.mark.parametrize("categories", [[{"id": 1, "name": "dog"}], None])
def test_categories_that_are_not_the_detector_s_are_told(tree, capsys, categories):
    path = tree / "data" / "coco" / "instances.json"
    coco = json.loads(path.read_text())
    path.write_text(json.dumps({**coco, "categories": categories}))
    assert detect(tree) == 1
    error = capsys.readouterr().err
    assert ("detector knows 4 categories and" in error and "has 1" in error) or "not in COCO format" in error
    assert "internal error" not in error and not (tree / "data" / "detected").exists()


def stream(root, **settings):
    cache = ImageCache(10**8)
    return SampleStream(root / "data", lambda key, crop: ("disc",), lambda a, b: 1.0, cache, **settings)


def test_a_training_asks_for_what_was_detected_and_in_vain_for_what_was_not(tree):
    assert stream(tree).detected is None
    assert detect(tree) == 0
    of_all = stream(tree, mosaics=0.0, scenes=0.0)
    image = of_all.detected.draw(np.random.default_rng(0))
    (thing,) = image.objects
    assert thing.box_only and thing.category_complete and image.absent == {"cat"}
    draws = [of_all._random_image(np.random.default_rng(seed)) for seed in range(60)]
    assert 0 < sum(draw.absent == {"cat"} for draw in draws) < 30
    described = stream(tree, described=1.0).described
    captioned = described._read("captioned", described.parts["captioned"][0])
    assert captioned.absent == {"cat"}
