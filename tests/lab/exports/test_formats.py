"""Every format read back by somebody else's reader, or by one written here from the format's description."""

from __future__ import annotations

import configparser
import contextlib
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import motmetrics
import numpy as np
import pytest
import supervision
import yaml
from export_clips import ABSENT, FRAMES, SIZE_HW, START, Exported
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from langtrack_core.masks import BoolMask, encode_rle
from langtrack_core.video import read_frames
from langtrack_lab.exports import Clip, Track, export
from langtrack_lab.exports.clip import empty_rle
from langtrack_lab.runs import Run, read_run
from langtrack_lab.truth.track_files import read_tracks

HEIGHT, WIDTH = SIZE_HW
NAMES = ["the red ellipse", "late one"]


def check_pictures(exported: Exported, paths: list[Path]) -> None:
    """The frames of the video, but for JPEG."""
    assert len(paths) == FRAMES
    for path, frame in zip(sorted(paths), read_frames(exported.video), strict=True):
        picture = np.asarray(Image.open(path)).astype(int)
        assert np.abs(picture - frame.rgb).mean() < 4


def found_by(dataset: supervision.DetectionDataset) -> dict[int, supervision.Detections]:
    """By the frame's number, which is the picture's name."""
    return {int(Path(path).stem): detections for path, _, detections in dataset}


def check_boxes(exported: Exported, frames: dict[int, supervision.Detections], within: float) -> None:
    """The boxes of every frame, by class; the classes of the targets differ."""
    truth = exported.truth()
    assert sorted(frames) == list(range(FRAMES))
    pairs = set()
    for frame, detections in frames.items():
        for box, category in zip(detections.xyxy, detections.class_id, strict=True):
            np.testing.assert_allclose(box, truth[frame, category + 1][1], atol=within)
            pairs.add((frame, category + 1))
    assert pairs == set(truth)


# --- COCO --------------------------------------------------------------------------------------------------


def loaded(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_coco_instances(exported: Exported, tmp_path: Path) -> None:
    export(exported.clip(video=exported.video), "coco", tmp_path / "out")
    coco = loaded(tmp_path / "out" / "annotations" / "instances_default.json")
    truth = exported.truth()
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == NAMES
    assert len(coco.imgs) == FRAMES and len(coco.anns) == len(truth)
    for image in coco.imgs.values():
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            mask, box = truth[image["frame_id"], annotation["track_id"]]
            assert np.array_equal(coco.annToMask(annotation).astype(bool), mask)
            x, y, w, h = annotation["bbox"]
            np.testing.assert_allclose([x, y, x + w, y + h], box, atol=0.002)
            assert annotation["area"] == mask.sum() and annotation["iscrowd"] == 0
    pictures = tmp_path / "out" / "images"
    check_pictures(exported, [pictures / image["file_name"] for image in coco.imgs.values()])

    other = supervision.DetectionDataset.from_coco(
        str(pictures), str(tmp_path / "out" / "annotations" / "instances_default.json"), force_masks=True
    )
    check_boxes(exported, found_by(other), 0.002)


@pytest.mark.parametrize("format_name", ["coco", "coco-video", "cvat", "mot"])
def test_a_run_that_starts_later_comes_back_on_its_own_frames(
    exported: Exported, tmp_path: Path, format_name: str
) -> None:
    late = read_run(exported.runs[1])
    export(Clip([Track(late)]), format_name, tmp_path / "out")
    [file] = (p for p in (tmp_path / "out").rglob("*") if p.suffix in (".json", ".xml") or p.name == "gt.txt")
    track = read_tracks(file).of()
    there = {row.frame: row.fused.box_xyxy for row in late.rows if row.fused.box_xyxy is not None}
    assert min(there) == START and there.keys() <= track.keys()
    for frame, box in track.items():
        np.testing.assert_allclose(box, there.get(frame, np.full(4, np.nan)), atol=0.01)


def test_coco_video(exported: Exported, tmp_path: Path) -> None:
    """As the readers of YouTube-VIS do: a list for each track, an entry for each of the video's files."""
    export(exported.clip(), "coco-video", tmp_path / "tracks.json")
    document = json.loads((tmp_path / "tracks.json").read_text(encoding="utf-8"))
    (video,) = document["videos"]
    assert video["file_names"] == [f"clip/{frame:06d}.jpg" for frame in range(FRAMES)]
    assert (video["height"], video["width"], video["length"]) == (*SIZE_HW, FRAMES)
    truth = exported.truth()
    for annotation in document["annotations"]:
        assert annotation["video_id"] == video["id"] and annotation["category_id"] == annotation["id"]
        columns = [annotation[name] for name in ("segmentations", "bboxes", "areas", "scores")]
        assert {len(column) for column in columns} == {FRAMES}
        for frame, (rle, box, area, _) in enumerate(zip(*columns, strict=True)):
            if (frame, annotation["id"]) not in truth:
                assert rle is None and box is None and area is None
                continue
            mask, box_xyxy = truth[frame, annotation["id"]]
            assert np.array_equal(coco_mask.decode(rle).astype(bool), mask) and area == mask.sum()
            x, y, w, h = box
            np.testing.assert_allclose([x, y, x + w, y + h], box_xyxy, atol=0.002)
    absent = [a["bboxes"] for a in document["annotations"]]
    assert all(absent[0][frame] is None for frame in ABSENT) and absent[1][:START] == [None] * START

    export(exported.clip(video=exported.video), "coco-video", tmp_path / "out")
    check_pictures(exported, [tmp_path / "out" / "JPEGImages" / name for name in video["file_names"]])


# --- YOLO --------------------------------------------------------------------------------------------------


def yolo(folder: Path, **more: bool) -> supervision.DetectionDataset:
    paths = [str(folder / part) for part in ("images/train", "labels/train", "data.yaml")]
    return supervision.DetectionDataset.from_yolo(*paths, **more)


def test_yolo_detection(exported: Exported, tmp_path: Path) -> None:
    export(exported.clip(video=exported.video), "yolo", tmp_path / "out")
    dataset = yolo(tmp_path / "out")
    assert dataset.classes == NAMES
    # Ultralytics takes a "path" from where it is started, and without one the folder of this file.
    assert yaml.safe_load((tmp_path / "out" / "data.yaml").read_text()).keys() == {"train", "val", "names"}
    check_boxes(exported, found_by(dataset), 0.001)
    assert (tmp_path / "out/labels/train/000003.txt").read_text().count("\n") == 1  # the first one is absent
    check_pictures(exported, list((tmp_path / "out" / "images" / "train").iterdir()))


def test_yolo_segmentation(exported: Exported, tmp_path: Path) -> None:
    export(exported.clip(video=exported.video), "yolo-seg", tmp_path / "out")
    check_boxes(exported, found_by(yolo(tmp_path / "out")), 1.0)  # theirs hold the last pixel
    truth = exported.truth()
    for frame, detections in found_by(yolo(tmp_path / "out", force_masks=True)).items():
        for mask, category in zip(detections.mask, detections.class_id, strict=True):
            check_opencv_mask(mask, truth[frame, category + 1][0])

    for (frame, track), (mask, _) in truth.items():  # exactly, by the polygons' own rasteriser
        for line in (tmp_path / f"out/labels/train/{frame:06d}.txt").read_text().splitlines():
            category, *shares = line.split()
            if int(category) + 1 == track:
                points = np.array(shares, float).reshape(-1, 2) * (WIDTH, HEIGHT)
                assert np.array_equal(filled([points.ravel().tolist()]), mask)


def check_opencv_mask(mask: BoolMask, truth: BoolMask) -> None:
    """OpenCV takes points for centres of pixels, so its fill has one more to the right and below."""
    grown = np.pad(truth, ((1, 0), (1, 0)))
    grown = grown[1:, 1:] | grown[:-1, 1:] | grown[1:, :-1] | grown[:-1, :-1]
    assert np.array_equal(mask & truth, truth) and np.array_equal(mask | grown, grown)


def filled(polygons: list[list[float]]) -> BoolMask:
    encoded = coco_mask.merge(coco_mask.frPyObjects(polygons, *SIZE_HW))
    return coco_mask.decode(encoded).astype(bool)


# --- MOT ---------------------------------------------------------------------------------------------------


def test_mot(exported: Exported, tmp_path: Path) -> None:
    export(exported.clip(video=exported.video), "mot", tmp_path / "out")
    truth = exported.truth()
    for name in ("gt/gt.txt", "results.txt"):
        table = motmetrics.io.loadtxt(tmp_path / "out" / name, fmt="mot16")
        assert {(frame - 1, track) for frame, track in table.index} == set(truth)
        for (frame, track), row in table.iterrows():
            box = [row.X, row.Y, row.X + row.Width, row.Y + row.Height]  # the reader counts from 0 again
            np.testing.assert_allclose(box, truth[frame - 1, track][1], atol=0.002)
            assert name == "results.txt" or (row.ClassId == track and row.Confidence == 1)
    assert (tmp_path / "out/gt/labels.txt").read_text().splitlines() == NAMES
    sequence = configparser.ConfigParser()
    sequence.read(tmp_path / "out" / "seqinfo.ini")
    about = sequence["Sequence"]
    assert [about[key] for key in ("seqLength", "imWidth", "frameRate")] == [str(FRAMES), str(WIDTH), "24"]
    check_pictures(exported, list((tmp_path / "out" / about["imDir"]).glob(f"*{about['imExt']}")))


# --- XML ---------------------------------------------------------------------------------------------------


def cvat_boxes(path: Path, frames: int) -> dict[tuple[int, int], list[float]]:
    """By CVAT's description: a box holds until the next one of its track, unless it is outside."""
    tracks = {}
    for track in ET.parse(path).getroot().iter("track"):
        boxes = {int(box.get("frame", "")): box for box in track.iter("box")}
        current = None
        for frame in range(frames):
            current = boxes.get(frame, current)
            if current is not None and current.get("outside") == "0":
                corners = [float(current.get(name, "")) for name in ("xtl", "ytl", "xbr", "ybr")]
                tracks[frame, int(track.get("id", "")) + 1] = corners
    return tracks


def test_cvat(exported: Exported, tmp_path: Path) -> None:
    export(exported.clip(), "cvat", tmp_path / "out.xml")
    root = ET.parse(tmp_path / "out.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iterfind("meta/task/labels/label")] == NAMES
    assert [track.get("label") for track in root.iter("track")] == NAMES
    boxes, truth = cvat_boxes(tmp_path / "out.xml", FRAMES), exported.truth()
    assert set(boxes) == set(truth)
    for key, corners in boxes.items():
        np.testing.assert_allclose(corners, truth[key][1], atol=0.01)


@pytest.mark.parametrize(
    "frames", [((0, 1, 2), (5, 6, 7)), ((0, 1, 2), (5, 6)), ((0, 1, 6, 7), ()), ((7,), ())]
)
def test_cvat_has_no_box_where_no_run_found_one(
    exported: Exported, tmp_path: Path, frames: tuple[tuple[int, ...], ...]
) -> None:
    """The runs were stopped, or have a gap between corrections; CVAT would hold a box until the next one."""
    tracks = []
    for track, there in zip(exported.clip().tracks, frames, strict=True):
        manifest = {**track.run.manifest, "complete": 7 in there}
        rows = [row for row in track.run.rows if row.frame in there]
        tracks.append(Track(Run(manifest, rows, track.run.masks), track.label))
    export(Clip(tracks), "cvat", tmp_path / "out.xml")
    root = ET.parse(tmp_path / "out.xml").getroot()
    assert max(int(box.get("frame", "")) for box in root.iter("box")) < FRAMES  # CVAT refuses one behind
    boxes = cvat_boxes(tmp_path / "out.xml", FRAMES)
    assert set(boxes) == {(frame, number) for number, there in enumerate(frames, 1) for frame in there}
    assert all(track.find("box") is not None for track in root.iter("track"))  # nor one without any box
    assert len(list(root.iter("track"))) == sum(map(bool, frames))


def test_pascal_voc(exported: Exported, tmp_path: Path) -> None:
    export(exported.clip(video=exported.video), "voc", tmp_path / "out")
    folders = [str(tmp_path / "out" / name) for name in ("JPEGImages", "Annotations")]
    dataset = supervision.DetectionDataset.from_pascal_voc(*folders)
    boxes = {}
    for frame, detections in found_by(dataset).items():  # its classes are in another order
        numbers = [NAMES.index(dataset.classes[number]) for number in detections.class_id]
        detections.class_id = np.array(numbers, int)
        boxes[frame] = detections
    check_boxes(exported, boxes, 0.51)
    for (frame, track), (mask, _) in exported.truth().items():
        root = ET.parse(tmp_path / f"out/Annotations/{frame:06d}.xml").getroot()
        (box,) = [o.find("bndbox") for o in root.iter("object") if o.findtext("name") == NAMES[track - 1]]
        assert box is not None
        left, top, right, bottom = (int(box.findtext(n, "")) for n in ("xmin", "ymin", "xmax", "ymax"))
        rows, columns = np.nonzero(mask)  # from 1, the last pixel inside, as the development kit says
        inside = [columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1]
        assert [left, top, right, bottom] == inside
        assert root.findtext("size/width") == str(WIDTH) and root.findtext("filename") == f"{frame:06d}.jpg"
    declared = (tmp_path / "out/labelmap.txt").read_text().splitlines()[1:]
    assert [line.split(":")[0] for line in declared] == NAMES
    names = (tmp_path / "out/ImageSets/Main/default.txt").read_text().split()
    check_pictures(exported, [tmp_path / "out" / "JPEGImages" / f"{name}.jpg" for name in names])


def test_pascal_voc_declares_a_class_once(exported: Exported, tmp_path: Path) -> None:
    """A colon ends a name in ``labelmap.txt``, so that it becomes a blank."""
    tracks = [Track(read_run(run), label) for run, label in zip(exported.runs, ("a:b", "a b"), strict=True)]
    export(Clip(tracks), "voc", tmp_path / "out")
    assert (tmp_path / "out/labelmap.txt").read_text().splitlines()[1:] == ["a b:::"]


@pytest.mark.parametrize(("label", "name"), [("#7 jersey", "7 jersey"), (": car", "car"), ("#:", "object")])
def test_pascal_voc_has_no_class_that_its_label_map_cannot_declare(
    exported: Exported, tmp_path: Path, label: str, name: str
) -> None:
    """A line that begins with "#" is a comment there, and blanks at its ends do not count."""
    export(Clip([Track(read_run(exported.runs[0]), label)]), "voc", tmp_path / "out")
    lines = (tmp_path / "out/labelmap.txt").read_text().splitlines()
    assert [line.strip().split(":")[0] for line in lines if not line.startswith("#")] == [name]
    document = ET.parse(tmp_path / "out/Annotations/000000.xml")
    assert {entry.text for entry in document.iter("name")} == {name}


# --- LabelMe, DAVIS ----------------------------------------------------------------------------------------


def test_labelme(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(exported.clip(video=exported.video), "labelme", out)
    dataset = supervision.DetectionDataset.from_labelme(str(out), str(out))
    numbers = set()
    truth = exported.truth()
    for frame, detections in found_by(dataset).items():
        for mask, number in zip(detections.mask, detections.class_id, strict=True):
            track = NAMES.index(dataset.classes[number]) + 1
            check_opencv_mask(mask, truth[frame, track][0])
            numbers.add((frame, track))
    assert numbers == set(truth)
    for frame in range(FRAMES):
        document = json.loads((out / f"{frame:06d}.json").read_text(encoding="utf-8"))
        assert (document["imageHeight"], document["imageWidth"]) == SIZE_HW
        assert (out / document["imagePath"]).is_file()
        for track in {shape["group_id"] for shape in document["shapes"]}:
            shapes = [shape for shape in document["shapes"] if shape["group_id"] == track]
            points = [np.ravel(shape["points"]).tolist() for shape in shapes]
            assert np.array_equal(filled(points), truth[frame, track][0])
    check_pictures(exported, list(out.glob("*.jpg")))


def test_davis(exported: Exported, tmp_path: Path) -> None:
    """As the evaluation of DAVIS reads it: the numbers of the palette picture."""
    export(exported.clip(video=exported.video), "davis", tmp_path / "out")
    (name,) = (tmp_path / "out/ImageSets/2017/val.txt").read_text().split()
    truth = exported.truth()
    folder = tmp_path / "out" / "Annotations" / "Full-Resolution" / name
    assert len(list(folder.iterdir())) == FRAMES
    for frame in range(FRAMES):
        picture = Image.open(folder / f"{frame:05d}.png")
        numbers = np.asarray(picture)
        assert picture.mode == "P" and picture.getpalette()[:12] == [
            0,
            0,
            0,
            128,
            0,
            0,
            0,
            128,
            0,
            128,
            128,
            0,
        ]
        masks = {track: truth[frame, track][0] for track in (1, 2) if (frame, track) in truth}
        for track, mask in masks.items():
            others = np.logical_or.reduce([m for t, m in masks.items() if t != track] or [np.zeros(SIZE_HW)])
            assert np.array_equal((numbers == track) & ~others.astype(bool), mask & ~others.astype(bool))
        assert np.array_equal(numbers > 0, np.logical_or.reduce([*masks.values(), np.zeros(SIZE_HW)]))
    pictures = tmp_path / "out" / "JPEGImages" / "Full-Resolution" / name
    check_pictures(exported, list(pictures.iterdir()))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 15), (1, 16), (7, 73), (360, 640), (4320, 7680)])
def test_the_encoding_of_nothing_needs_no_mask(size_hw: tuple[int, int]) -> None:
    assert empty_rle(size_hw) == encode_rle(np.zeros(size_hw, bool))
