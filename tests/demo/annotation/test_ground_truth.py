"""Ground truth dropped beside a run: read, aligned, and scored by branch."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_branches import decided
from PIL import Image

from demo.annotation.ground_truth import read_truth, score_run
from langtrack_core.masks import encode_rle
from langtrack_core.types import LangTrackError
from langtrack_lab.metrics import success_curve
from langtrack_lab.runs import BranchBox, Row, Run
from langtrack_lab.truth.mask_files import SeveralObjectsError

HEIGHT, WIDTH = 40, 60


def box_of(frame: int) -> list[float]:
    return [5 + frame, 6, 20, 15]


def mask_of(frame: int, *, absent: tuple[int, ...] = ()) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if frame not in absent:
        x, y, w, h = map(int, box_of(frame))
        mask[y : y + h, x : x + w] = 1
    return mask


def run_of(
    frames: range, *, shift: float = 0, absent: tuple[int, ...] = (), every: int = 1, complete: bool = True
) -> Run:
    """The tracker has the truth, and the fused track is its; the language branch is ``shift`` pixels beside
    it, and says absent where told."""
    rows, masks = [], {}
    for place, frame in enumerate(frames):
        x, y, w, h = box_of(frame)
        exact = BranchBox(np.array([x, y, x + w, y + h], float), 0.9)
        beside = BranchBox(
            None if frame in absent else np.array([x + shift, y, x + shift + w, y + h], float), 0.8
        )
        language = beside if place % every == 0 else None
        rows.append(Row(frame, frame / 25, decided("tracker"), exact, language, exact))
        mask = encode_rle(mask_of(frame).astype(bool))
        masks[frame] = {"tracker": mask, "fused": mask, **({"language": mask} if language else {})}
    return Run({"video": {"width": WIDTH, "height": HEIGHT}, "complete": complete}, rows, masks)


def write_boxes(path: Path, frames: range, *, join: str = ",", absent: dict[int, str] | None = None) -> Path:
    lines = [(absent or {}).get(k) or join.join(f"{v:g}" for v in box_of(k)) for k in frames]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_masks(folder: Path, frames: range, *, first: int = 0, value: int = 255, **how) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for k in frames:
        path = folder / f"{k + first:05d}.png"
        Image.fromarray(mask_of(k, **how) * np.uint8(value)).save(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize("join", [",", "\t", " ", ", ", ";"])
def test_boxes_with_any_separator(tmp_path: Path, join: str) -> None:
    run = run_of(range(10))
    report = score_run(run, read_truth(write_boxes(tmp_path / "gt.txt", range(10), join=join), run))
    for branch in ("language", "tracker", "fused"):
        scores = report["branches"][branch]
        assert scores["counted"] == 10 and scores["mean_iou"] == 1 and scores["precision"] == 1
        assert scores["auc"] == pytest.approx(20 / 21, abs=1e-4) and scores["overlap"] == [1.0] * 10
        assert "mask_overlap" not in scores
    assert report["frames"] == list(range(10)) and len(report["thresholds"]) == 21


def test_a_run_that_starts_late_takes_its_part_of_the_whole_videos_truth(tmp_path: Path) -> None:
    whole = write_boxes(tmp_path / "gt.txt", range(12))
    truth = read_truth(whole, run_of(range(4, 12)))
    np.testing.assert_array_equal(truth.boxes_xyxy[:, 0], [5 + k for k in range(4, 12)])
    own = write_boxes(tmp_path / "own.txt", range(4, 12))
    again = read_truth(own, run_of(range(4, 12)))
    np.testing.assert_array_equal(again.boxes_xyxy, truth.boxes_xyxy)
    assert truth.notes[0].startswith("Taken by frame number") and again.notes[0].startswith("Taken in order")
    partial = read_truth(whole, run_of(range(0, 7), complete=False))  # a cancelled run
    assert len(partial.boxes_xyxy) == 7


def test_absent_frames_are_not_counted_but_told(tmp_path: Path) -> None:
    absent_lines = {2: "nan,nan,nan,nan", 3: "0,0,0,0", 4: "10,10,0,5", 5: "NaN NaN NaN NaN"}
    run = run_of(range(10), absent=(3, 4, 8))
    report = score_run(run, read_truth(write_boxes(tmp_path / "gt.txt", range(10), absent=absent_lines), run))
    assert report["absent"] == [2, 3, 4, 5]
    language, tracker = report["branches"]["language"], report["branches"]["tracker"]
    assert language["counted"] == tracker["counted"] == 6
    assert language["absence"] == {"frames": 4, "recognised": 2} and tracker["absence"] == {
        "frames": 4,
        "recognised": 0,
    }
    assert language["overlap"] == [
        1.0,
        1.0,
        None,
        None,
        None,
        None,
        1.0,
        1.0,
        0.0,
        1.0,
    ]  # 8: there, and missed
    assert language["mean_iou"] == pytest.approx(5 / 6, abs=1e-4)


def test_a_branch_is_not_counted_where_it_did_not_run(tmp_path: Path) -> None:
    run = run_of(range(9), shift=10, every=3)
    report = score_run(run, read_truth(write_boxes(tmp_path / "gt.txt", range(9)), run))
    language = report["branches"]["language"]
    assert language["counted"] == 3 and [v is None for v in language["overlap"]] == [
        k % 3 != 0 for k in range(9)
    ]
    iou = 10 / 30
    assert language["mean_iou"] == pytest.approx(iou, abs=1e-3) and language["precision"] == 1
    assert language["auc"] == pytest.approx(success_curve([iou] * 3).mean(), abs=1e-4)
    box_alone = Run(run.manifest, [replace(r, language=None) for r in run.rows], {})
    nothing = score_run(box_alone, read_truth(tmp_path / "gt.txt", box_alone))["branches"]["language"]
    assert nothing["counted"] == 0 and nothing["auc"] is None and nothing["success"] is None


@pytest.mark.parametrize("value", [255, 1, 7])
def test_masks_of_grey_or_of_object_numbers(tmp_path: Path, value: int) -> None:
    run = run_of(range(6), shift=10)
    paths = write_masks(tmp_path / "m", range(6), value=value, absent=(2,))
    report = score_run(run, read_truth(paths, run))
    tracker = report["branches"]["tracker"]
    assert report["absent"] == [2] and tracker["counted"] == 5
    assert tracker["mean_mask_iou"] == 1 and tracker["mask_overlap"][2] is None
    assert report["branches"]["language"]["mean_iou"] == pytest.approx(1 / 3, abs=1e-3)


def test_void_pixels_count_nowhere(tmp_path: Path) -> None:
    run = run_of(range(3))
    for k, path in enumerate(write_masks(tmp_path / "m", range(3), value=1)):
        values = mask_of(k)
        x, y, _, h = map(int, box_of(k))
        values[y : y + h, x : x + 5] = 255  # the tracker's masks reach into it
        values[0, :7] = 255
        Image.fromarray(values).save(path)
    truth = read_truth(sorted((tmp_path / "m").iterdir()), run)
    assert truth.boxes_xyxy[0].tolist() == [10, 6, 25, 21] and "246 void pixels" in truth.notes[-1]
    assert score_run(run, truth)["branches"]["tracker"]["mask_overlap"] == [1.0, 1.0, 1.0]


def test_a_zip_of_masks_in_a_folder_with_a_systems_own_files(tmp_path: Path) -> None:
    run = run_of(range(5))
    archive = tmp_path / "masks.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in write_masks(tmp_path / "m", range(5), first=1):  # numbered from 1: taken in order
            stream.write(path, f"bear/{path.name}")
        stream.writestr("__MACOSX/._x.png", b"")
        stream.writestr("bear/.DS_Store", b"")
    truth = read_truth(archive, run)
    assert score_run(run, truth)["branches"]["fused"]["mean_mask_iou"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "masks.zip"]  # nothing unpacked remains


def test_sparse_masks_go_by_their_numbers(tmp_path: Path) -> None:
    run = run_of(range(20))
    truth = read_truth(write_masks(tmp_path / "m", range(0, 20, 5)), run)
    assert truth.annotated.sum() == 4 and "4 of 20 frames have a mask" in truth.notes[0]
    tracker = score_run(run, truth)["branches"]["tracker"]
    assert tracker["counted"] == 4 and tracker["mean_mask_iou"] == 1


@pytest.mark.parametrize("frames", [20, 16])
def test_sparse_masks_that_count_from_1_begin_with_the_first_frame(tmp_path: Path, frames: int) -> None:
    run = run_of(range(frames))
    truth = read_truth(write_masks(tmp_path / "m", range(0, frames, 5), first=1), run)
    assert np.flatnonzero(truth.annotated).tolist() == [0, 5, 10, 15] and "from 1" in truth.notes[0]
    assert score_run(run, truth)["branches"]["tracker"]["mean_mask_iou"] == 1
    first = read_truth(write_masks(tmp_path / "f", range(8), first=1), run)  # as FFmpeg numbers them
    assert np.flatnonzero(first.annotated).tolist() == [*range(8)] and "from 1" in first.notes[0]
    assert score_run(run, first)["branches"]["tracker"]["mean_mask_iou"] == 1
    other = read_truth(write_masks(tmp_path / "o", [1, 6, 12]), run)  # somebody's choice of frames
    assert np.flatnonzero(other.annotated).tolist() == [1, 6, 12]


@pytest.mark.parametrize(
    ("frames", "complete", "expected"),
    [
        (range(7), False, [0, 5]),  # cancelled
        (range(4), False, [0]),  # with as many frames as there are masks
        (range(6, 20), True, [10, 15]),
        (range(15, 20), True, [15]),
        (range(4), True, [0, 1, 2, 3]),  # of a video of every fifth picture, whose frames have other numbers
    ],
)
def test_sparse_masks_of_the_whole_video_go_by_their_numbers(
    tmp_path: Path, frames: range, complete: bool, expected: list[int]
) -> None:
    run = run_of(frames, complete=complete)
    run.manifest["video"]["frames_estimate"] = 20
    truth = read_truth(write_masks(tmp_path / "m", range(0, 20, 5)), run)
    assert [frame for frame, known in zip(frames, truth.annotated, strict=True) if known] == expected
    if len(expected) < len(frames):
        assert score_run(run, truth)["branches"]["tracker"]["mean_mask_iou"] == 1
    if not complete:
        without = run_of(range(1, 3), complete=False)
        without.manifest["video"]["frames_estimate"] = 20
        with pytest.raises(LangTrackError, match="No mask is of the frames 1 to 2"):
            read_truth(list((tmp_path / "m").iterdir()), without)


def test_palette_masks_with_several_objects(tmp_path: Path) -> None:
    run = run_of(range(2))
    for k in range(2):
        values = mask_of(k)
        values[30:35, 50:55] = 2
        picture = Image.fromarray(values)
        picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0] + [0] * 759)
        picture.save(tmp_path / f"{k}.png")
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    with pytest.raises(SeveralObjectsError, match="2 objects: 1, 2") as caught:
        read_truth(paths, run)
    assert caught.value.objects == ("1", "2")
    truth = read_truth(paths, run, "2")
    assert truth.boxes_xyxy[0].tolist() == [50, 30, 55, 35] and "value 2" in truth.notes[-1]


@pytest.mark.parametrize(
    ("name", "lines", "pixel", "note"),
    [
        ("gt.txt", ["6,7,20,15", "7,7,20,15"], None, "from 0 (OTB, LaSOT and GOT-10k count from 1"),
        ("gt.txt", ["6,7,20,15", "7,7,20,15"], 1, "from 1"),
        ("gt.txt", ["0,7,20,15", "7,7,20,15"], None, "from 0."),
        ("gt.txt", ["6,7,20,15", "41,7,20,15"], None, "from 1"),  # ends a pixel after the picture of 60
        ("otb.txt", ["6,7,20,15", "7,7,20,15"], None, "from 1"),
    ],
)
def test_where_pixels_count_from_is_recognised_or_chosen(tmp_path, name, lines, pixel, note) -> None:
    (tmp_path / name).write_text("\n".join(lines))
    truth = read_truth(tmp_path / name, run_of(range(2)), pixel=pixel)
    assert note in truth.notes[-1]
    shift = 1 if "from 1" in note and "(" not in note else 0
    assert truth.boxes_xyxy[1, 0] == float(lines[1].split(",")[0]) - shift


def test_boxes_of_a_run_and_of_annotation_tools(tmp_path: Path) -> None:
    run = run_of(range(2, 5))
    header = "frame,time_s,state,source,agree,reanchor,reason,x1,y1,x2,y2,confidence\n"
    rows = ["3,0.1,tracking,tracker,1,0,agree,8,6,28,21,0.9", "4,0.2,lost,,0,0,improbable,,,,,0.1"]
    (tmp_path / "boxes.csv").write_text(header + "\n".join(rows))
    truth = read_truth(tmp_path / "boxes.csv", run)
    assert truth.annotated.tolist() == [False, True, True] and truth.absent.tolist() == [False, False, True]
    assert score_run(run, truth)["branches"]["tracker"]["overlap"] == [None, 1.0, None]
    (tmp_path / "gt.txt").write_text("3,1,8,7,20,15,1,-1,-1\n4,1,9,7,20,15,1,-1,-1\n4,2,1,1,9,9,1,-1,-1\n")
    with pytest.raises(SeveralObjectsError, match="1, 2"):
        read_truth(tmp_path / "gt.txt", run)
    truth = read_truth(tmp_path / "gt.txt", run, "1")
    assert score_run(run, truth)["branches"]["tracker"]["overlap"] == [1.0, 1.0, None]
    (tmp_path / "late.txt").write_text("1,1,8,7,20,15,1,-1,-1\n")
    with pytest.raises(LangTrackError, match=r"no box.*2 to 4"):
        read_truth(tmp_path / "late.txt", run)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.txt", "1,2,3,4\n" * 9, "has 9 lines, but the run has 5 frames, 0 to 4"),
        ("a.txt", "", "is empty"),
        ("a.txt", "1,2,3\n" * 5, r"Line 1 of .*a\.txt"),
        ("a.txt", "1,2,3,4\n1,2,x,4\n", r"Line 2 of .*a\.txt.*'1,2,x,4'"),
        ("a.txt", "1,2,3,inf\n", r"Line 1 of .*a\.txt"),
        ("a.txt", "1,2,3,4\n" * 3, "has 3 lines, but the run has 5 frames, 0 to 4"),
        ("a.pdf", "1,2,3,4\n", "Ground truth is mask pictures"),
        ("a.png", "no picture", r"a\.png.*no picture"),
        ("a.zip", "no archive", "not a ZIP"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, name: str, text: str, why: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    paths = [path] * 5 if name.endswith("png") else [path]
    with pytest.raises(LangTrackError, match=why):
        read_truth(paths, run_of(range(5)))


def test_wrong_masks_are_refused(tmp_path: Path) -> None:
    run = run_of(range(5))
    Image.new("L", (10, 10)).save(tmp_path / "small.png")
    with pytest.raises(LangTrackError, match=r"10x10.*60x40"):
        read_truth([tmp_path / "small.png"] * 5, run)
    with pytest.raises(LangTrackError, match=r"3 masks.*5 frames"):
        read_truth(write_masks(tmp_path / "few", range(0, 3), first=100), run)
    with pytest.raises(LangTrackError, match="Drop a ZIP"):
        read_truth([], run)
    archive = tmp_path / "t.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("readme.txt", "x")
    with pytest.raises(LangTrackError, match=r"mask pictures.*readme"):
        read_truth(archive, run)
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("a/0.png", "x")
        stream.writestr("b/0.png", "x")
    with pytest.raises(LangTrackError, match="in 2 folders"):
        read_truth(archive, run)
    assert not list(tmp_path.glob("truth-*"))


def test_a_text_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\0\0\r")
    with pytest.raises(LangTrackError, match="text file"):
        read_truth(tmp_path / "a.txt", run_of(range(2)))
