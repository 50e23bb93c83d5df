"""Boxes from annotation tools and from our own runs, each form told by its content."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from langtrack_core.types import LangTrackError
from langtrack_lab.truth.mask_files import SeveralObjectsError
from langtrack_lab.truth.track_files import read_tracks

NAN = [np.nan] * 4


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_cvat_for_video(tmp_path: Path) -> None:
    box = '<box frame="{}" xtl="{}" ytl="2" xbr="9" ybr="8" outside="{}"/>'
    tracks = f"""<track id="0" label="car">{box.format(1, 3, 0)}{box.format(2, 4, 1)}</track>
        <track id="1" label="man"><polygon frame="3" outside="0" points="1,2;5,1;4,7.5"/></track>
        <track id="2" label="cat"><mask frame="0" left="1" top="2" width="3" height="4"/></track>"""
    path = written(tmp_path / "a.xml", f'<?xml version="1.0"?><annotations>{tracks}</annotations>')
    file = read_tracks(path)
    assert file.form == "CVAT XML" and list(file.tracks) == ["car 0", "man 1", "cat 2"]
    car = file.of("car 0")
    assert sorted(car) == [0, 1, 2, 3] and car[1].tolist() == [3, 2, 9, 8] and np.isnan(car[2]).all()
    assert file.of("man 1")[3].tolist() == [1, 1, 5, 7.5] and file.of("cat 2")[0].tolist() == [1, 2, 4, 6]
    with pytest.raises(SeveralObjectsError, match="3 objects: car 0, cat 2, man 1"):
        file.of()
    with pytest.raises(LangTrackError, match="no object dog"):
        file.of("dog")


def test_cvat_for_images(tmp_path: Path) -> None:
    box = '<box label="car" xtl="1" ytl="2" xbr="9" ybr="8"/>'
    images = f'<image id="0" name="a.jpg">{box}</image><image id="5" name="b.jpg"><tag label="x"/></image>'
    track = read_tracks(written(tmp_path / "a.xml", f"<annotations>{images}</annotations>")).of()
    assert sorted(track) == [0, 5] and track[0].tolist() == [1, 2, 9, 8] and np.isnan(track[5]).all()
    twice = f'<annotations><image id="0" name="a.jpg">{box}{box}</image></annotations>'
    with pytest.raises(LangTrackError, match=r"two objects.*frame 0"):
        read_tracks(written(tmp_path / "a.xml", twice))


@pytest.mark.parametrize("angle", [0, 30, 90, 200.5, -45])
@pytest.mark.parametrize("ellipse", [False, True])
def test_turned_shapes_of_cvat_are_enclosed(tmp_path: Path, angle: float, ellipse: bool) -> None:
    """Compared with the turned points of the outline, y downwards as CVAT turns them."""
    shape = '<box frame="0" xtl="100" ytl="150" xbr="300" ybr="190" rotation="{}"/>'
    steps = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    points = np.array([[-100, -20], [100, -20], [100, 20], [-100, 20]])
    if ellipse:
        shape = '<ellipse frame="0" cx="200" cy="170" rx="100" ry="20" rotation="{}"/>'
        points = np.stack([100 * np.cos(steps), 20 * np.sin(steps)], axis=1)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = points @ np.array([[cos, sin], [-sin, cos]]) + [200, 170]
    text = f'<annotations><track id="0" label="car">{shape.format(angle)}</track></annotations>'
    box = read_tracks(written(tmp_path / "a.xml", text)).of()[0]
    np.testing.assert_allclose(box, [*turned.min(axis=0), *turned.max(axis=0)], atol=0.01)


def coco(*annotations: dict[str, Any]) -> str:
    images = [{"id": 7, "file_name": "10.jpg"}, {"id": 9, "file_name": "2.jpg"}]
    categories = [{"id": 1, "name": "car"}]
    return json.dumps({"images": images, "categories": categories, "annotations": annotations})


def test_coco(tmp_path: Path) -> None:
    polygon = {"image_id": 9, "category_id": 1, "segmentation": [[1, 2, 5, 1, 4, 8]]}
    box = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}
    track = read_tracks(written(tmp_path / "a.json", coco(polygon, box))).of()
    assert track[2].tolist() == [1, 1, 5, 8] and track[10].tolist() == [1, 2, 4, 6]  # 2.jpg and 10.jpg
    one, two = (box | {"attributes": {"track_id": number}} for number in (4, 6))
    file = read_tracks(written(tmp_path / "a.json", coco(one, two)))
    assert list(file.tracks) == ["car 4", "car 6"] and np.isnan(file.of("car 4")[2]).all()
    with pytest.raises(LangTrackError, match="no track_id"):
        read_tracks(written(tmp_path / "a.json", coco(box, box)))


@pytest.mark.parametrize("names", [["4.jpg", "6.jpg", "9.jpg"], ["a.jpg", "b.jpg", "c.jpg"]])
def test_youtube_vis(tmp_path: Path, names: list[str]) -> None:
    video = {"id": 1, "file_names": [f"clip/{name}" for name in names]}
    track = {"id": 3, "video_id": 1, "category_id": 1, "bboxes": [[1, 2, 3, 4], None, [2, 2, 3, 4]]}
    document = {"videos": [video], "categories": [{"id": 1, "name": "car"}], "annotations": [track]}
    file = read_tracks(written(tmp_path / "a.json", json.dumps(document)))
    first, second, third = (4, 6, 9) if names[0] == "4.jpg" else (0, 1, 2)
    boxes = file.of("car 3")
    assert file.form == "YouTube-VIS JSON" and boxes[first].tolist() == [1, 2, 4, 6]
    assert np.isnan(boxes[second]).all() and boxes[third].tolist() == [2, 2, 5, 6]
    document["videos"].append(video)
    with pytest.raises(LangTrackError, match=r"a\.json is of 2 videos"):
        read_tracks(written(tmp_path / "a.json", json.dumps(document)))


@pytest.mark.parametrize(
    ("names", "frames", "how"),
    [
        (["clip/0040.jpg", "clip/0045.jpg", "clip/0041.jpg"], [40, 45, 41], "by their names' numbers"),
        (["c2_000000_png.jpg", "c2_000001_png.jpg", "c2_000002_png.jpg"], [0, 1, 2], "numbers"),
        (["frame_2.jpg", "frame_1.jpg", "frame_3.jpg"], [1, 0, 2], "in the order of their names"),
        (["7.jpg", "7.png", "8.jpg"], [0, 1, 2], "order"),
        (["a.jpg", "b.jpg", "c.jpg"], [0, 1, 2], "order"),
        (["a9_jpg.rf.5e12.jpg", "a10_jpg.rf.77a3.jpg", "a11_jpg.rf.b008.jpg"], [0, 1, 2], "order"),
    ],
)
def test_coco_pictures_without_a_frame_id(
    tmp_path: Path, names: list[str], frames: list[int], how: str
) -> None:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    boxes = [{"image_id": number, "bbox": [number, 2, 3, 4]} for number in range(3)]
    file = read_tracks(written(tmp_path / "a.json", json.dumps({"images": images, "annotations": boxes})))
    assert {frame: box[0] for frame, box in file.of().items()} == dict(zip(frames, range(3), strict=True))
    assert file.form.startswith("COCO JSON, pictures") and how in file.form


def test_coco_pictures_of_a_folder_have_its_frames(tmp_path: Path) -> None:
    """Their numbers begin where those of the folder's pictures do, which is no frame of the clip."""
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in (1001, 1003)]
    boxes = [{"image_id": number, "bbox": [number, 2, 3, 4]} for number in (1001, 1003)]
    path = written(tmp_path / "a.json", json.dumps({"images": images, "annotations": boxes}))
    file = read_tracks(path, pictures=("1000", "1001", "1002", "1003"))
    assert {frame: box[0] for frame, box in file.of().items()} == {1: 1001, 3: 1003}
    assert "clip's pictures" in file.form
    assert set(read_tracks(path).of()) == {1001, 1003}


def test_a_coco_picture_has_its_frame(tmp_path: Path) -> None:
    document = json.loads(coco({"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}))
    for name in ("frame_id", "frame"):  # the second one was ours until November 2026
        images = [image | {name: number} for image, number in zip(document["images"], (5, 4), strict=True)]
        track = read_tracks(written(tmp_path / "a.json", json.dumps(document | {"images": images}))).of()
        assert track[5].tolist() == [1, 2, 4, 6] and np.isnan(track[4]).all()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", coco({"image_id": 9, "bbox": [1, 2, 3, 4]}, {"image_id": 7, "bbox": [0, 0, 0, 0]})),
        ("gt.txt", "1,3,2,3,3,4,1,1,1\n2,3,0,0,0,0,1,1,1\n"),
    ],
)
def test_a_box_without_an_area_is_an_absent_target(tmp_path: Path, name: str, text: str) -> None:
    track = read_tracks(written(tmp_path / name, text)).of()
    there, absent = (track[frame] for frame in sorted(track))
    assert there.tolist() == [1, 2, 4, 6] and np.isnan(absent).all()


def test_boxes_of_a_run_may_begin_with_the_mark_that_windows_writes(tmp_path: Path) -> None:
    text = "frame,time_s,x1,y1,x2,y2\n0,0,1,2,3,4\n1,0.04,,,,\n"
    (tmp_path / "boxes.csv").write_text(text, encoding="utf-8-sig", newline="\r\n")
    boxes = read_tracks(tmp_path / "boxes.csv").of()
    assert boxes[0].tolist() == [1, 2, 3, 4] and np.isnan(boxes[1]).all()


def test_mot(tmp_path: Path) -> None:
    lines = "1,3,11,21,5,6,1,1,0.5\n3,3,12,21,5,6,1,1,1\n2,3,11,21,5,6,0,1,1\n"
    file = read_tracks(written(tmp_path / "gt.txt", lines))
    track = file.of()
    assert "MOT" in file.form and track[0].tolist() == [10, 20, 15, 26] and track[2][0] == 11
    assert np.isnan(track[1]).all()  # its flag is 0


def test_a_small_file_of_a_late_frame_takes_little_memory(tmp_path: Path) -> None:
    lines = "".join(f"900000,{number},3,3,4,4\n" for number in range(1, 21))
    path = written(tmp_path / "gt.txt", lines)
    tracemalloc.start()
    try:
        track = read_tracks(path).of("7")
        assert np.isnan(track[123_456]).all() and track[899_999].tolist() == [2, 2, 6, 6]
        assert 900_000 not in track and tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_corners_of_vot(tmp_path: Path) -> None:
    file = read_tracks(written(tmp_path / "a.txt", "4,4,9,5,7,9,2,8\n"))
    assert file.lines and file.of()[0].tolist() == [2, 4, 9, 9]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xml", "<annotations><track id='0'></annotations>"),
        ("a.xml", "<annotations><track id='0'><box/></track></annotations>"),
        ("a.xml", "<annotations/>"),
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.json", coco({"image_id": 1, "bbox": [1, 2, 3, 4]})),
        ("a.json", coco({"image_id": 7, "bbox": [1, 2]})),
        ("a.csv", "frame,time_s,x\n0,1,2\n"),
        ("a.txt", "1,1,1,1,1,1\n1,1,x\n"),
        ("a.txt", "0,1,2,3,4,5\n"),
        ("a.txt", "hello\n"),
        ("a.txt", "1700000000,1,10,20,30,40\n1700000040,1,10,20,30,40\n"),
        ("a.txt", "1,1,10,20,30,40\ninf,1,10,20,30,40\n"),
        ("a.txt", "nan,nan,nan,nan,nan,nan\n"),
        ("a.txt", "inf,1,3,4,5,6\n"),
        ("a.xml", "<annotations><track id='0'><box frame='1700000000' outside='1'/></track></annotations>"),
        ("a.xml", f"<annotations><image id='{'9' * 400}'/></annotations>"),
        ("a.json", '{"images": [{"id": 1, "file_name": "a", "frame_id": 1e999}], "annotations": []}'),
        ("a.json", '{"images": ' + "[" * 100_000),
        ("a.json", coco({"image_id": 9, "bbox": [1, 2, float("inf"), 4]})),
        ("a.json", coco({"image_id": 9, "bbox": [1, 2, 10**400, 4]})),
        ("a.csv", "frame,time_s,x1,y1,x2,y2\n1,0,1,1,inf,2\n"),
        ("a.csv", "frame,time_s,x1,y1,x2,y2\n" + "1" * 200_000),
    ],
)
def test_what_is_no_file_of_boxes_names_itself(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(LangTrackError, match=name.replace(".", r"\.")):
        read_tracks(written(tmp_path / name, text))
