"""Result files of other trackers, written as the toolkits write them, and the three small sets."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_helpers import FRAMES, colour_tracker, moved, truth_of, write_dev

from langtrack_core import cli
from langtrack_core.dmn.segmenter import DMNSegmenter
from langtrack_core.geometry import xyxy_to_xywh
from langtrack_core.masks import enclosing_box
from langtrack_core.types import Estimate, LangTrackError
from langtrack_lab.evaluation import probes, protocol
from langtrack_lab.evaluation.external import read_external
from langtrack_lab.evaluation.protocol import Protocol, items_of
from langtrack_lab.evaluation.results import ResultFolder, Results, read_results
from langtrack_lab.evaluation.runner import run_sequence
from langtrack_lab.evaluation.single_branch import tracker_table
from langtrack_lab.evaluation.tables import summarise
from langtrack_lab.metrics import LASOT


@pytest.fixture(scope="module")
def dev(tmp_path_factory) -> Path:
    return write_dev(tmp_path_factory.mktemp("dev"))


@pytest.fixture(scope="module")
def ours(dev: Path, tmp_path_factory) -> Results:
    """A tracker that is five pixels off, from a box."""
    protocol = Protocol("dev", init="box")
    items = items_of(protocol, dev)
    place = ResultFolder(tmp_path_factory.mktemp("out"), protocol, {}, items, data=dev, label="ours")
    for item in items:
        place.save(item, run_sequence(colour_tracker(tracker=moved).track, item))
    return read_results(place.path)


def lines_of(results: Results, key: str, origin: int) -> list[str]:
    """Boxes as ``x,y,w,h``; nan where absent."""
    record = next(r for r in results.records if r.key == key)
    shift = np.array([origin, origin, 0, 0])
    return [
        ",".join(f"{v:g}" for v in xyxy_to_xywh(b) + shift) for b in record.predictions["fused"].boxes_xyxy
    ]


def write_form(folder: Path, results: Results, form: str, origin: int) -> Path:
    for record in results.records:
        lines = lines_of(results, record.key, origin)
        if form in ("otb", "lasot"):
            path = folder / f"{record.key}.txt"
        else:
            path = folder / record.key / f"{record.key}_001.txt"
        if form == "lasot":  # tabs, and 0,0,0,0 for absent
            lines = ["0\t0\t0\t0" if "nan" in line else line.replace(",", "\t") for line in lines]
        if form == "vot":
            lines = ["1", *("0" if "nan" in line else line for line in lines[1:])]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("form", "origin"), [("otb", 0), ("otb", 1), ("lasot", 1), ("got10k", 1), ("vot", 0)]
)
def test_every_text_form_gives_the_same_figures(ours: Results, tmp_path: Path, form: str, origin: int):
    folder = write_form(tmp_path / "theirs", ours, form, origin)
    form_name = None if form == "lasot" else form  # tabs in NAME.txt are otb's form too
    theirs = summarise(read_external("theirs", folder, ours, "box", origin=origin))
    by_name = summarise(read_external("theirs", folder, ours, "box", form=form_name, origin=origin))
    expected = summarise(ours).overall("fused")
    boxes = ("auc", "precision", "normalised", "ao", "sr50")
    for summary in (theirs, by_name):
        assert {k: summary.overall("fused")[k] for k in boxes} == {k: expected[k] for k in boxes}
        assert list(summary.scores) == ["fused"]
    assert theirs.label == "theirs" and np.isnan(theirs.fps)


def test_boxes_count_as_filled_where_the_truth_is_masks(ours: Results, dev: Path, tmp_path: Path):
    theirs = read_external("theirs", write_form(tmp_path, ours, "otb", 0), ours, "box")
    alpha, gamma = theirs.records[0].predictions["fused"], theirs.records[2].predictions["fused"]
    x1, y1, x2, y2 = alpha.boxes_xyxy[3].astype(int)
    truth = items_of(Protocol("dev"), dev)[0].sequence.mask(3)
    assert alpha.intersections[3] == truth[y1:y2, x1:x2].sum()
    assert alpha.unions[3] == truth.sum() + (x2 - x1) * (y2 - y1) - alpha.intersections[3]
    assert len(gamma.unions) == len(gamma.masks) == 0


def test_masks_as_vot_writes_them(ours: Results, dev: Path, tmp_path: Path):
    from vot.region import Special
    from vot.region.io import write_trajectory
    from vot.region.shapes import Mask

    from langtrack_lab.runs import decode_rle

    for record in ours.records:
        regions = []
        for encoded in record.predictions["fused"].masks or [None] * FRAMES:
            mask = None if encoded is None else np.ascontiguousarray(decode_rle(encoded), np.uint8)
            regions.append(Special(0) if mask is None else Mask(mask, optimize=True))
        (tmp_path / record.key).mkdir()
        write_trajectory(str(tmp_path / record.key / f"{record.key}_object1_001.txt"), regions)
    theirs = summarise(read_external("theirs", tmp_path, ours, "box")).overall("fused", "davis")
    expected = summarise(ours).overall("fused", "davis")
    assert theirs == pytest.approx(expected)


def test_polygons_times_and_what_is_missing(ours: Results, tmp_path: Path):
    folder = tmp_path / "gamma"
    folder.mkdir()
    (folder / "gamma_001.txt").write_text("1\n" + "4,4,9,5,7,9,2,8\n" * (FRAMES - 1))
    (folder / "gamma_time.txt").write_text("0.05\n" * FRAMES)
    results = read_external("theirs", tmp_path, ours, "box")
    assert results.missing == ("alpha", "beta")
    (record,) = results.records
    assert record.predictions["fused"].boxes_xyxy[1].tolist() == [2, 4, 9, 9]
    assert record.predictions["fused"].boxes_xyxy[0].tolist() == record.truth_xyxy[0].tolist()
    assert record.fps == pytest.approx(20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n" * FRAMES, "Line 1 of .*got '1,2,3'"),
        ("1,2,3,4\n", f"has 1 lines, but alpha has {FRAMES} frames"),
        ("1,2,3,4\n" * (FRAMES + 1), f"has {FRAMES + 1} lines, but alpha has {FRAMES} frames"),
        ("a,b,c,d\n" * FRAMES, "Line 1"),
    ],
)
def test_malformed_files_name_themselves(ours: Results, tmp_path: Path, text: str, message: str):
    (tmp_path / "alpha.txt").write_text(text)
    with pytest.raises(LangTrackError, match=message):
        read_external("theirs", tmp_path, ours, "box")


def test_by_lasots_rules_a_sequence_whose_file_is_too_short_is_left_out(
    ours: Results, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setitem(protocol._CONVENTIONS, "dev", LASOT)
    (tmp_path / "alpha.txt").write_text("1,2,3,4\n" * (FRAMES - 1))
    (tmp_path / "beta.txt").write_text("1,2,3,4\n" * FRAMES)
    results = read_external("theirs", tmp_path, ours, "box")
    assert [r.key for r in results.records] == ["beta"] and results.missing == ("alpha", "gamma")
    assert f"alpha is left out of theirs: {tmp_path / 'alpha.txt'} has 11 lines" in capsys.readouterr().err


def test_a_sequence_without_any_box_is_left_out_of_others(dev: Path, ours: Results, tmp_path: Path, capsys):
    tree = shutil.copytree(dev, tmp_path / "tree")
    (tree / "boxes" / "gamma" / "groundtruth_rect.txt").write_text("nan,nan,nan,nan\n" * FRAMES)
    folder = write_form(tmp_path / "theirs", ours, "otb", 0)
    results = read_external("theirs", folder, ours, "box", data=tree)
    assert [r.key for r in results.records] == ["alpha", "beta"] and results.missing == ("gamma",)
    assert "gamma is left out: it has no true box" in capsys.readouterr().err


def test_more_lines_are_for_the_frames_that_are_left_out(ours: Results, tmp_path: Path, monkeypatch):
    (tmp_path / "alpha.txt").write_text("1,2,3,4\n" * (FRAMES + 1))
    short = replace(ours, run={**ours.run, "protocol": {**ours.run["protocol"], "frames": 4}})
    (record,) = read_external("theirs", tmp_path, short, "box").records
    assert len(record.truth_xyxy) == 4
    monkeypatch.setitem(protocol._CONVENTIONS, "dev", LASOT)
    (record,) = read_external("theirs", tmp_path, ours, "box").records
    assert len(record.truth_xyxy) == FRAMES


@pytest.mark.parametrize("mask", ["m0,0,9,9,5,99", "m0,0,-3,9,1", "m1,2", "m0,0,99999999,99999999,1"])
def test_impossible_masks_are_refused(ours: Results, tmp_path: Path, mask: str):
    (tmp_path / "alpha").mkdir()
    (tmp_path / "alpha" / "alpha_001.txt").write_text("1\n" + f"{mask}\n" * (FRAMES - 1))
    with pytest.raises(LangTrackError, match=r"Line 2.*region in vot"):
        read_external("theirs", tmp_path, ours, "box")


def test_no_files_at_all(ours: Results, tmp_path: Path):
    with pytest.raises(LangTrackError, match=r"no known form.*alpha\.txt"):
        read_external("theirs", tmp_path, ours, "box")
    with pytest.raises(LangTrackError, match="no folder"):
        read_external("theirs", tmp_path / "nowhere", ours, "box")


# --- refer, absent, contrast -------------------------------------------------------------------------------


class ColourSegmenter:
    """Finds the red object, or nothing when asked for another colour; "beside" is two thirds off, but seen in
    a closer view."""

    look = DMNSegmenter.look

    def encode(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(text=text)

    def segment(self, frame, encoded, *, every_region=False) -> Estimate:
        mask = truth_of(frame)
        if "beside" in encoded.text:
            mask = np.roll(mask, 10, axis=1)
        if "red" not in encoded.text:
            mask = np.zeros_like(mask)
        return Estimate.from_mask(mask.astype(np.float32), 0.7 if mask.any() else 0.1)

    def search(self, frame, encoded) -> Estimate | None:
        return (
            Estimate.from_mask(truth_of(frame).astype(np.float32), 0.8) if "beside" in encoded.text else None
        )


@pytest.fixture
def photo(dev: Path, tmp_path: Path) -> tuple[Path, list[float]]:
    """A folder with one photo, and the true box on it."""
    source = dev / "davis" / "JPEGImages" / "alpha" / "00000.png"
    images = tmp_path / "refer" / "images"
    images.mkdir(parents=True)
    (images / "one.png").write_bytes(source.read_bytes())
    item = items_of(Protocol("dev"), dev)[0]
    return tmp_path, item.sequence.boxes_xyxy[0].tolist()


def test_refer(photo):
    folder, box = photo
    sentences = ("red one", "red, beside it", "the blue one", "a red thing")
    entries = [{"file_name": "one.png", "expression": text, "box_xyxy": box} for text in sentences]
    (folder / "refer" / "expressions.json").write_text(json.dumps(entries))
    ious = probes.referral_ious(ColourSegmenter(), folder / "refer", closer=False)
    assert ious[[0, 2, 3]].tolist() == [1, 0, 1] and 0 < ious[1] < 0.5
    assert probes.referral_ious(ColourSegmenter(), folder / "refer").tolist() == [1, 1, 0, 1]


def test_refer_on_chosen_photos_alone(photo):
    folder, box = photo
    entry = {"file_name": "one.png", "expression": "red", "box_xyxy": box}
    (folder / "refer" / "expressions.json").write_text(json.dumps([entry]))
    ious = probes.referral_ious(ColourSegmenter(), folder / "refer", frozenset(["one.png"]))
    assert ious.tolist() == [1]
    with pytest.raises(LangTrackError, match="no photo to measure"):
        probes.referral_ious(ColourSegmenter(), folder / "refer", frozenset())


def test_contrast(photo):
    folder, box = photo
    width = box[2] - box[0]
    other = [box[0] + width, box[1], box[2] + width, box[3]]
    pair = {"picture": "refer/images/one.png", "box_xyxy": box, "other_box_xyxy": other}
    entries = [{**pair, "expression": text} for text in ("red", "red, beside it", "blue", "red one")]
    path = folder / "pairs.json"
    path.write_text(json.dumps(entries))
    contrasts = probes.contrasts_of(ColourSegmenter(), folder, path)
    assert [contrast.right for contrast in contrasts] == [True, False, False, True]
    path.write_text(json.dumps([{**pair, "picture": "refer/images/one.png"}]))
    with pytest.raises(LangTrackError, match=r"Entry 1 of .* cannot be used: KeyError\('expression'\)"):
        probes.contrasts_of(ColourSegmenter(), folder, path)


GOOD = {"expression": "red", "box_xyxy": [0, 0, 9, 9], "other_box_xyxy": [20, 20, 30, 30]}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"expression": "red"}, "is not a list of contrasting sentences"),
        ([7], "is not a list of contrasting sentences"),
        ([{**GOOD, "clip": "alpha", "frame": -1}], "there is no frame -1"),
        ([{**GOOD, "clip": "alpha", "frame": 0, "box_xyxy": [0, 0, None, 9]}], "four finite numbers"),
        ([{**GOOD, "clip": "alpha", "frame": 0, "other_box_xyxy": [20, 20, 10, 10]}], "needs x2 > x1"),
        ([{**GOOD, "clip": "alpha", "frame": 0, "box_xyxy": [90, 0, 99, 9]}], "outside the picture"),
    ],
)
def test_contrasts_that_cannot_be_judged_are_refused(entries, message, dev: Path, tmp_path: Path):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(entries))
    for swapped in (False, True) if "list" in message else (False,):
        with pytest.raises(LangTrackError, match=message):
            probes.contrasts_of(ColourSegmenter(), dev, path, swapped)


def test_swapped_sentences_have_the_same_words(photo):
    folder, box = photo
    common, other = {"picture": "refer/images/one.png"}, [0, 0, 3, 3]
    entries = [
        {**common, "expression": "red", "box_xyxy": box, "other_box_xyxy": other},
        {**common, "expression": "blue", "box_xyxy": other, "other_box_xyxy": box},
        {**common, "expression": "green", "box_xyxy": [0, 0, 1, 1], "other_box_xyxy": other},
    ]
    path = folder / "pairs.json"
    path.write_text(json.dumps(entries))
    first, second = probes.contrasts_of(ColourSegmenter(), folder, path, swapped=True)
    assert (first.expression, second.expression) == ("red next to blue", "blue next to red")
    assert first.right and not second.right  # it finds what is red both times


def test_contrast_on_a_frame_of_a_clip(dev: Path, tmp_path: Path):
    truth = items_of(Protocol("dev"), dev)[0].sequence
    other = [0, 0, 3, 3]
    entry = {"clip": "alpha", "frame": 3, "expression": "red", "other_box_xyxy": other}
    entry["mask"] = str(truth.masks[3].relative_to(dev))
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([entry]))
    assert [c.right for c in probes.contrasts_of(ColourSegmenter(), dev, path)] == [True]


def test_absent_counts_where_nothing_is_said_to_be_there(dev: Path, tmp_path: Path):
    tree = write_dev(tmp_path / "dev", absent=())
    (tree / "davis" / "expressions.json").write_text('{"alpha": ["a car"], "beta": ["another car"]}')

    def half_right(index, truth):
        return truth if index < 3 else np.zeros_like(truth)

    half = colour_tracker(half_right, half_right)
    counts = probes.absence(half, tree, frames=6)
    # The two cars are of a kind: each is searched for gamma's object alone, gamma for both cars.
    assert counts == {"alpha": (6, 3, 3), "beta": (6, 3, 3), "gamma": (12, 6, 6)}
    total = probes.absence_table(counts).splitlines()[-1]
    assert total.split() == ["said", "absent", "24", "0.500", "0.500"]


def test_absent_needs_clips_of_two_kinds(dev: Path, tmp_path: Path):
    tree = write_dev(tmp_path / "dev", frames=2)
    (tree / "davis" / "expressions.json").write_text('{"alpha": ["a car"], "beta": ["another car"]}')
    (tree / "boxes" / "gamma" / "nlp.txt").write_text("the car\n")
    with pytest.raises(LangTrackError, match="no two clips of different kinds"):
        probes.absence(colour_tracker(), tree)


@pytest.mark.parametrize("frames", ["0", "-4", "1.5"])
def test_absent_looks_at_one_frame_at_least(frames: str, tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "absent", "--data", str(tmp_path), "--frames", frames])
    assert "expected a whole number from 1 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "options", "of"),
    [
        ("absent", ["--held-out"], "refer"),
        ("refer", ["--pairs", "pairs.json"], "contrast"),
        ("refer", ["--swapped"], "contrast"),
        ("contrast", ["--frames", "5"], "absent"),
    ],
)
def test_an_option_of_another_test_is_refused(target, options, of, tmp_path: Path, capsys):
    assert cli.main(["evaluate", target, "--data", str(tmp_path), *options]) == 1
    assert f"{options[0]} is for evaluate {of}, not for evaluate {target}" in capsys.readouterr().err


def test_the_tracker_has_no_figures_on_a_single_frame(dev: Path, tmp_path: Path):
    items = items_of(Protocol("dev", init="box", frames=1), dev)
    table = tracker_table([run_sequence(colour_tracker().track, item) for item in items])
    assert [line.split() for line in table.splitlines()[1:]] == [
        *(["alpha", "0"], ["beta", "0"], ["gamma", "0"], ["mean"])
    ]


def test_boxes_enclose(ours: Results):
    """What is written in text forms is the box of the mask."""
    from langtrack_lab.runs import decode_rle

    fused = ours.records[0].predictions["fused"]
    for box, encoded in list(zip(fused.boxes_xyxy, fused.masks, strict=True))[1:]:  # the first box is given
        expected = None if encoded is None else enclosing_box(decode_rle(encoded))
        assert np.isnan(box).all() if expected is None else (box == expected).all()
