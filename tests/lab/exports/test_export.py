"""The command line and `export`: outputs that are whole or not there, labels, errors in one sentence."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from clips import listed, save
from export_clips import FRAMES, Exported

from langtrack_core import cli
from langtrack_core.types import LangTrackError
from langtrack_lab.exports import FORMATS, Clip, Track, export, formats
from langtrack_lab.runs import BranchBox, Row, Run


def test_command_with_two_runs(exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = [str(run) for run in exported.runs]
    out = tmp_path / "new" / "both.json"
    labels = ["--label", "red thing", "--label", "red thing"]
    assert cli.main(["export", *runs, "--format", "coco", "--out", str(out), *labels]) == 0
    assert f"2 targets on {FRAMES} frames as coco: {out}." in capsys.readouterr().out
    document = json.loads(out.read_text(encoding="utf-8"))
    assert [category["name"] for category in document["categories"]] == ["red thing"]
    assert {(a["track_id"], a["category_id"]) for a in document["annotations"]} == {(1, 1), (2, 1)}


def test_a_target_is_called_what_it_was_described_as(exported: Exported) -> None:
    track = Track(exported.clip().tracks[0].run)
    assert track.label == "the red ellipse"
    assert Track(track.run, "caf\udce9").label == "caf?"  # an argument in another encoding than the files
    assert (
        Track(track.run, "red\x01\x7f\ufffe car").label == "red car"
    )  # XML and YAML have no such characters
    assert Track(track.run, "\x01").label == Track(track.run, "\u200d").label == "object"
    for written in (
        "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}",
        "\N{DEVANAGARI LETTER KA}\N{ZERO WIDTH NON-JOINER}\N{DEVANAGARI LETTER KA}",
    ):
        assert Track(track.run, written).label == written
    assert (
        Track(Run({**track.run.manifest, "expression": None}, track.run.rows, track.run.masks)).label
        == "object"
    )


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_calls_back_and_leaves_nothing_when_it_is_stopped(
    exported: Exported, name: str, tmp_path: Path
) -> None:
    def stop(frame: int) -> None:
        if frame == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(exported.clip(video=exported.video, on_frame=stop), name, tmp_path / "a" / "out")
    if FORMATS[name].suffix:
        video = exported.video if FORMATS[name].needs_video else None
        with pytest.raises(KeyboardInterrupt):
            out = tmp_path / "a" / f"out{FORMATS[name].suffix}"
            export(exported.clip(video=video, on_frame=stop), name, out)
    assert listed(tmp_path) == []


def test_what_cannot_be(exported: Exported, tmp_path: Path) -> None:
    clip = exported.clip()
    for name, out, message in (
        ("coc", "out", "no format 'coc'; there are coco, "),
        ("cutout-png", "out", "cutout-png is made of the pictures, .* give the video too"),
        ("yolo", "out.json", "yolo does not end in .json; give a folder."),
        ("cvat", "out.json", "give a folder, or a file that ends in .xml"),
        ("coco", "out.mp4", "coco does not end in .mp4; give a folder, or a file that ends in .json"),
    ):
        with pytest.raises(LangTrackError, match=message):
            export(clip, name, tmp_path / out)
    with pytest.raises(LangTrackError, match=r"leave .json out"):
        export(exported.clip(video=exported.video), "coco", tmp_path / "out.json")
    assert listed(tmp_path) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    for out in (tmp_path / "mine", tmp_path / "mine" / "file"):
        with pytest.raises(LangTrackError, match="exists already"):
            export(clip, "voc", out)
    assert listed(tmp_path) == ["mine"] and listed(tmp_path / "mine") == ["file"]


def test_the_current_folder_is_no_output(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (Path(), tmp_path):
        with pytest.raises(LangTrackError, match="give one inside it"):
            export(exported.clip(), "yolo", out)
    assert listed(tmp_path) == []


def test_runs_and_video_must_belong_together(exported: Exported, tmp_path: Path) -> None:
    first = exported.clip().tracks[0]
    manifest = {**first.run.manifest, "video": {**first.run.manifest["video"], "sha256": "0" * 64}}
    with pytest.raises(LangTrackError, match="different videos"):
        Clip([first, Track(Run(manifest, first.run.rows, first.run.masks))])
    with pytest.raises(LangTrackError, match=r"not the video.*clip\.mp4"):
        Clip([first], save(tmp_path / "frames", 1, 2))
    with pytest.raises(LangTrackError, match="no track"):
        Clip([])


def test_command_line_errors(exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(exported.runs[0])
    out = ["--out", str(tmp_path / "out")]
    for arguments, code, message in (
        ([run, "--format", "coco", *out, "--label", "a", "--label", "b"], 1, "once for each of the 1 runs"),
        ([str(tmp_path), "--format", "coco", *out], 1, "manifest.json cannot be read"),
        ([run, "--format", "png", *out], 2, "invalid choice: 'png'"),
        ([run, "--format", "voc", *out, "--tolerance", "-1"], 2, "expected a number of pixels"),
        ([run, "--format", "voc", *out, "--video", "no.mp4"], 1, "There is no file or folder no.mp4"),
    ):
        try:
            assert cli.main(["export", *arguments]) == code
        except SystemExit as error:
            assert error.code == code
        assert message in capsys.readouterr().err
    assert listed(tmp_path) == []


def test_a_full_disk_is_said(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(clip: Clip, folder: Path) -> None:
        raise OSError(errno.ENOSPC, "no space")

    def full_of_video(clip: Clip, path: Path) -> None:
        raise LangTrackError(f"{path} cannot be written: the disk is full.")

    monkeypatch.setitem(formats.FORMATS, "cutout-webm", formats.Format("", full_of_video, "a.webm", ".webm"))
    for name in ("out.webm", "folder"):
        with pytest.raises(
            LangTrackError, match=rf"^{tmp_path}/{name}\S* cannot be written: the disk is full"
        ):
            export(exported.clip(), "cutout-webm", tmp_path / name)
    monkeypatch.setitem(formats.FORMATS, "voc", formats.Format("", full))
    with pytest.raises(LangTrackError, match="the disk is full"):
        export(exported.clip(), "voc", tmp_path / "out")
    assert listed(tmp_path) == []


def changed(exported: Exported, box: list[float], mask: np.ndarray | None = None) -> Clip:
    """The first target with one box on every frame."""
    run = exported.clip().tracks[0].run
    rows = [
        Row(r.frame, r.time_s, r.decision, BranchBox(np.array(box), 0.5), r.language, r.tracker)
        for r in run.rows
    ]
    return Clip([Track(Run(run.manifest, rows, run.masks if mask is None else {}))])


def test_boxes_are_cut_to_the_picture_and_a_box_needs_no_mask(exported: Exported, tmp_path: Path) -> None:
    clip = changed(exported, [-3.4, 10.6, 20.4, 500], np.zeros(0))
    export(clip, "voc", tmp_path / "voc")
    text = (tmp_path / "voc/Annotations/000000.xml").read_text()
    numbers = [f"<{n}>{v}</{n}>" for n, v in (("xmin", 1), ("ymin", 12), ("xmax", 20), ("ymax", 72))]
    assert all(number in text for number in numbers)
    export(clip, "coco", tmp_path / "coco.json")
    first = json.loads((tmp_path / "coco.json").read_text())["annotations"][0]
    assert first["bbox"] == [0, 10.6, 20.4, 61.4] and first["area"] == 0
    export(clip, "labelme", tmp_path / "labelme")
    assert json.loads((tmp_path / "labelme/000000.json").read_text())["shapes"] == []
    export(changed(exported, [-30, 10, -20, 50]), "yolo", tmp_path / "yolo")
    assert (tmp_path / "yolo/labels/train/000000.txt").read_text() == ""


def test_a_mask_of_another_size_is_refused(exported: Exported, tmp_path: Path) -> None:
    clip = exported.clip()
    clip.tracks[0].run.masks[0]["fused"] = {"size": [2, 2], "counts": "4"}
    with pytest.raises(LangTrackError, match=r"mask of frame 0.*: "):
        export(clip, "davis", tmp_path / "out")
    assert listed(tmp_path) == []
