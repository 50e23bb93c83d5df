"""The evaluation of a data set with trackers whose figures are known: right, moved, absent, interrupted."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import evaluation_helpers
import numpy as np
import psutil
import pytest
from evaluation_helpers import (
    FRAMES,
    CountingTracker,
    colour_tracker,
    follow_and_die,
    follow_and_fail,
    follow_by_colour,
    moved,
    nothing,
    right,
    write_dev,
)
from PIL import Image

from langtrack_core import cli
from langtrack_core.pipeline import LangTracker
from langtrack_core.types import LangTrackError
from langtrack_core.weights import load as weights
from langtrack_lab.datasets import davis_sequences
from langtrack_lab.evaluation import command
from langtrack_lab.evaluation import results as folder
from langtrack_lab.evaluation.command import mask_readings
from langtrack_lab.evaluation.protocol import INITS, Protocol, items_of
from langtrack_lab.evaluation.results import ResultFolder, read_results
from langtrack_lab.evaluation.runner import compared, run_items, run_items_at_once, run_sequence
from langtrack_lab.evaluation.tables import (
    Summary,
    as_csv,
    as_json,
    as_markdown,
    branch_rows,
    by_protocol,
    distinct_labels,
    notes_of,
    summarise,
)
from langtrack_lab.report.command import markdown
from langtrack_lab.report.significance import verdicts
from langtrack_lab.truth.mask_files import MaskPicture


@pytest.fixture(scope="module")
def dev(tmp_path_factory) -> Path:
    return write_dev(tmp_path_factory.mktemp("dev"))


SENTENCE = Protocol("dev")


def evaluated(tracker: LangTracker, dev: Path, out: Path, protocol: Protocol = SENTENCE) -> Summary:
    items = items_of(protocol, dev)
    place = ResultFolder(out, protocol, tracker.info, items, data=dev, label="ours")
    for item in items:
        if not place.has(item):
            place.save(item, run_sequence(partial(tracker.track, every=protocol.every), item))
    return summarise(read_results(place.path))


# --- figures -----------------------------------------------------------------------------------------------


def test_the_truth_is_perfect(dev: Path, tmp_path: Path):
    summary = evaluated(colour_tracker(), dev, tmp_path)
    for branch in ("fused", "language", "tracker", "oracle"):
        figures = summary.overall(branch)
        assert figures["auc"] == pytest.approx(20 / 21)
        ones = ("precision", "normalised", "ao", "sr75", "jf", "j", "f", "mean_iou", "overall_iou", "p90")
        assert {figures[key] for key in (*ones, "referral")} == {1.0}
        assert figures["j_decay"] == figures["f_decay"] == 0.0
    assert summary.fps > 0 and summary.peak_mb > 10
    assert summary.overall("fused", "boxes").keys() == {
        "auc", "precision", "normalised", "normalised_auc", "ao", "sr50", "sr75", "referral"
    }  # fmt: skip


def test_void_pixels_count_nowhere():
    truth, void = np.zeros((2, 20, 30), bool)
    truth[5:15, 10:20], void[5:15, 20:24] = True, True
    answer = truth | void
    assert compared(answer, MaskPicture(truth, void, (1,))) == (100, 100, 1.0)
    assert compared(answer, MaskPicture(truth, np.zeros_like(void), (1,)))[:2] == (100, 140)


def test_a_mask_of_another_size_names_its_clip(tmp_path: Path):
    tree = write_dev(tmp_path / "tree")
    Image.new("L", (30, 20), 255).save(tree / "davis" / "Annotations" / "beta" / "00003.png")
    with pytest.raises(LangTrackError, match=r"picture of beta and its mask differ .*64x48 and 30x20"):
        evaluated(colour_tracker(), tree, tmp_path)


def test_nothing_is_right_only_where_nothing_is(dev: Path, tmp_path: Path):
    figures = evaluated(colour_tracker(nothing, nothing), dev, tmp_path).overall("fused")
    assert figures["auc"] == figures["precision"] == figures["overall_iou"] == 0.0
    assert figures["referral"] == figures["j"] == pytest.approx(2 / 12)  # two of twelve frames are empty


def test_the_oracle_takes_the_better_branch_on_each_frame(dev: Path, tmp_path: Path):
    turns = colour_tracker(
        lambda i, truth: truth if i % 2 else moved(i, truth),
        lambda i, truth: moved(i, truth) if i % 2 else truth,
    )
    summary = evaluated(turns, dev, tmp_path)
    assert summary.overall("oracle")["j"] == summary.overall("oracle")["ao"] == 1.0
    for branch in ("fused", "language", "tracker"):
        assert summary.overall(branch)["j"] < 0.9
    assert summary.overall("fused") == summary.overall("language")


def test_the_oracle_bounds_boxes_and_masks_alike(dev: Path, tmp_path: Path):
    def speck(index, truth):  # nearly the right mask, far from the right box
        mask = truth.copy()
        mask[0, 0] = truth.any()
        return mask

    def frame(index, truth):  # the right box, and little of the mask
        mask = np.zeros_like(truth)
        rows, columns = np.nonzero(truth)
        if len(rows):
            mask[rows.min(), columns.min() : columns.max() + 1] = True
            mask[rows.min() : rows.max() + 1, columns.min()] = True
        return mask

    summary = evaluated(colour_tracker(speck, frame), dev, tmp_path)
    figures = {branch: summary.overall(branch) for branch in ("language", "tracker", "oracle")}
    assert figures["tracker"]["ao"] == figures["oracle"]["ao"] == 1.0 > figures["language"]["ao"]
    assert figures["language"]["j"] == figures["oracle"]["j"] > 0.9 > figures["tracker"]["j"]


def test_a_box_is_given_on_the_first_frame_that_has_one(dev: Path, tmp_path: Path):
    late = write_dev(tmp_path / "late", absent=(0, 1))
    protocol = Protocol("dev", init="box")
    items = items_of(protocol, late)
    assert [item.start for item in items] == [2, 2, 2]
    assert [item.start for item in items_of(Protocol("dev"), late)] == [0, 0, 0]
    summary = evaluated(colour_tracker(tracker=nothing), late, tmp_path, protocol)
    assert set(summary.scores) == {"fused", "tracker"}  # nothing was said
    assert summary.overall("fused")["auc"] == 0.0  # the given frame is no gift
    assert len(summary.records[0].truth_xyxy) == 10
    assert summary.pairs("fused")[0][1].values["ao"].weight == 9


def test_a_sequence_without_any_box_is_named(dev: Path, tmp_path: Path):
    tree = write_dev(tmp_path / "tree", absent=tuple(range(FRAMES)))
    with pytest.raises(
        LangTrackError, match=r"Sequence alpha has no true box .* leave it out, or evaluate with"
    ):
        evaluated(colour_tracker(), tree, tmp_path, Protocol("dev", init="box"))


def test_a_sequence_without_any_box_does_not_stop_the_others(tmp_path: Path, monkeypatch, capsys):
    tree, tracker = write_dev(tmp_path / "tree"), colour_tracker()
    (tree / "boxes" / "gamma" / "groundtruth_rect.txt").write_text("nan,nan,nan,nan\n" * FRAMES)
    monkeypatch.setattr(command, "load_tracker", lambda *_, **options: tracker)
    arguments = ["--data", str(tree), "--init", "box", "--out", str(tmp_path / "out"), "--workers", "1"]
    for done in (0, 2):
        assert cli.main(["evaluate", *arguments]) == 0
        output = capsys.readouterr()
        assert "gamma is left out: it has no true box to start on.\n" in output.err
        assert f"{done} of 3 are in" in output.out
    (place,) = (tmp_path / "out").iterdir()
    results = read_results(place)
    assert [r.key for r in results.records] == ["alpha", "beta"] and results.missing == ("gamma",)


def test_language_answers_stand_until_the_next(dev: Path, tmp_path: Path):
    summary = evaluated(colour_tracker(), dev, tmp_path, Protocol("dev", every=4))
    assert list(by_protocol([summary])) == ["dev, by sentence only, language on one frame of 4"]
    language = summary.records[0].predictions["language"]
    assert np.isnan(language.confidence).tolist() == [i % 4 != 0 for i in range(12)]
    assert (language.boxes_xyxy[1] == language.boxes_xyxy[0]).all() and summary.overall("language")["j"] < 1.0


def test_a_sentence_that_cannot_be_read_finds_nothing(dev: Path, tmp_path: Path):
    tree = write_dev(tmp_path / "tree")
    (tree / "davis" / "expressions.json").write_text('{"alpha": ["unknown words"], "beta": ["red"]}')
    summary = evaluated(colour_tracker(), tree, tmp_path)
    lost = next(r for r in summary.records if r.name == "alpha")
    assert "None of the words" in lost.note and set(lost.states) == {"searching"}
    assert [s.values["auc"].value for r, s in summary.pairs("tracker") if r is lost] == [0.0]


def test_sequences_that_were_published_without_a_sentence_are_measured(dev: Path, tmp_path: Path):
    for name in ("with", "without"):
        clip = shutil.copytree(dev / "boxes" / "gamma", tmp_path / "data" / "test" / name)
        (clip / "img").rename(clip / "imgs")
        lines = (clip / "groundtruth_rect.txt").read_text().replace("nan", "0")
        (clip / "groundtruth.txt").write_text(lines)
        (clip / "language.txt").write_text("the red ellipse\n" if name == "with" else "\n")
    aucs = {}
    for init in ("sentence", "both"):
        summary = evaluated(colour_tracker(), tmp_path / "data", tmp_path, Protocol("tnl2k", init=init))
        aucs[init] = [round(scores.values["auc"].value, 2) for _, scores in summary.pairs("fused")]
        notes = [record.note for record in summary.records]
        assert notes[0] == "" and (init == "both") == (notes[1] == "")
    assert aucs["sentence"][1] == 0 and aucs["both"][1] == aucs["both"][0] > 0.7


def test_from_a_box_nobody_needs_sentences(dev: Path, tmp_path: Path):
    bare = shutil.copytree(dev, tmp_path / "bare")
    (bare / "davis" / "expressions.json").unlink()
    (bare / "boxes" / "gamma" / "nlp.txt").unlink()
    keys = {}
    for kind, part in (("dev", bare), ("davis", bare / "davis"), ("boxes", bare / "boxes")):
        items = items_of(Protocol(kind, init="box"), part)
        keys[kind] = [item.key for item in items]
        with_sentences = items_of(Protocol(kind, init="box"), dev / part.relative_to(bare))
        assert [i.digest for i in items] == [i.digest for i in with_sentences]  # the same measurement
        with pytest.raises(LangTrackError, match=r"(expressions\.json|nlp\.txt) is missing"):
            items_of(Protocol(kind), part)
    assert keys == {"dev": ["alpha", "beta", "gamma"], "davis": ["alpha", "beta"], "boxes": ["gamma"]}


def test_every_sentence_is_a_run_of_its_own(dev: Path):
    keys = [item.key for item in items_of(Protocol("dev", sentences="all"), dev)]
    assert keys == ["alpha", "alpha (2)", "beta", "gamma"]
    assert [len(i.sequence.frames) for i in items_of(Protocol("dev", frames=3), dev)] == [3, 3, 3]


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (Protocol("nonsense"), '"nonsense" is not a known kind of data set; known are dev, boxes'),
        (Protocol("dev", split="test"), "parts of dev are davis and boxes, not test"),
        (Protocol("davis"), "is missing"),
    ],
)
def test_what_cannot_be_measured_says_so(dev: Path, protocol: Protocol, message: str):
    with pytest.raises(LangTrackError, match=message):
        items_of(protocol, dev)


# --- resuming ----------------------------------------------------------------------------------------------


def test_a_rerun_does_only_what_is_missing(dev: Path, tmp_path: Path, monkeypatch):
    class Interrupted(CountingTracker):
        def track(self, frames, query, **options):
            if len(self.expressions) == 1:
                raise KeyboardInterrupt
            return super().track(frames, query, **options)

    with pytest.raises(KeyboardInterrupt):
        evaluated(colour_tracker(cls=Interrupted), dev, tmp_path)
    (place,) = tmp_path.iterdir()
    assert len(list((place / "sequences").iterdir())) == 1  # whole, and nothing beside it
    assert read_results(place).missing == ("beta", "gamma")
    second = colour_tracker()
    summary = evaluated(second, dev, tmp_path)
    assert second.expressions == ["a red <b>disc</b>", "the red ellipse"] and not summary.results.missing
    third = colour_tracker()
    evaluated(third, dev, tmp_path)
    assert third.expressions == []


def test_other_weights_protocols_and_code_never_mix(dev: Path, tmp_path: Path, monkeypatch):
    evaluated(colour_tracker(), dev, tmp_path)
    evaluated(colour_tracker(name="other"), dev, tmp_path)
    evaluated(colour_tracker(), dev, tmp_path, Protocol("dev", frames=3))
    monkeypatch.setattr(folder, "code_hash", lambda: "changed")
    evaluated(colour_tracker(), dev, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 4 and all(name.startswith("dev-sentence-") for name in names)


def test_what_a_box_alone_makes_no_use_of_makes_no_folder_of_its_own(dev: Path, tmp_path: Path):
    for protocol in (Protocol("dev", init="box"), Protocol("dev", init="box", sentences="all", every=3)):
        evaluated(colour_tracker(), dev, tmp_path, protocol)
    assert len(list(tmp_path.iterdir())) == 1


def test_changed_data_is_measured_anew(tmp_path: Path):
    tree = write_dev(tmp_path / "tree")
    evaluated(colour_tracker(), tree, tmp_path / "out")
    (tree / "boxes" / "gamma" / "nlp.txt").write_text("another sentence\n")
    again = colour_tracker()
    evaluated(again, tree, tmp_path / "out")
    assert again.expressions == ["another sentence"]


def test_another_set_of_the_same_kind_does_not_push_out_the_first_one(dev: Path, tmp_path: Path):
    first = evaluated(colour_tracker(), dev, tmp_path / "out").results
    other = write_dev(tmp_path / "other")
    (other / "boxes" / "gamma").rename(other / "boxes" / "delta")
    with pytest.raises(LangTrackError, match=rf"other sequences \(gamma\), of {dev}; choose another --out"):
        evaluated(colour_tracker(), other, tmp_path / "out")
    assert read_results(first.folder).run == first.run


@pytest.mark.parametrize("spoilt", ["{", "{}", "[]", '{"sequences": []}'])
def test_a_damaged_list_of_what_was_measured_is_written_anew(dev: Path, tmp_path: Path, spoilt: str):
    first = evaluated(colour_tracker(), dev, tmp_path).results
    (first.folder / "run.json").write_text(spoilt)
    again = colour_tracker()
    assert evaluated(again, dev, tmp_path).results.run == first.run and again.expressions == []


def test_records_come_back_as_they_were(dev: Path, tmp_path: Path):
    protocol = Protocol("dev")
    items = items_of(protocol, dev)
    place = ResultFolder(tmp_path, protocol, {}, items, data=dev, label="ours")
    record = run_sequence(colour_tracker(moved).track, items[0])
    place.save(items[0], record)
    read = read_results(place.path).records[0]
    assert (read.key, read.states, read.sources, read.size_hw) == (
        record.key, record.states, record.sources, record.size_hw
    )  # fmt: skip
    for name, predictions in record.predictions.items():
        for field in ("boxes_xyxy", "confidence", "intersections", "unions", "boundaries"):
            np.testing.assert_array_equal(getattr(read.predictions[name], field), getattr(predictions, field))
        assert read.predictions[name].masks == predictions.masks


@pytest.mark.parametrize("spoilt", ["{", "[]", '{"format": "other"}', '{"key": "alpha"}'])
def test_damaged_results_name_themselves(dev: Path, tmp_path: Path, spoilt: str):
    summary = evaluated(colour_tracker(), dev, tmp_path)
    victim = next((summary.results.folder / "sequences").iterdir())
    victim.write_text(spoilt)
    with pytest.raises(LangTrackError, match=r"sequences/.*not a result"):
        read_results(summary.results.folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("states",), ["tracking"]),
        (("sources", 0), None),
        (("attributes",), None),
        (("absent",), [0]),
        (("name",), 7),
        (("start",), "0"),
        (("seconds",), None),
        (("size_hw",), [1e999, 64]),
        (("predictions", "tracker", "unions"), []),
        (("predictions", "fused", "confidence", 0), 7),
        (("predictions", "language", "masks"), []),
    ],
)
def test_a_record_of_which_a_part_is_spoilt_names_itself(dev: Path, tmp_path: Path, place: tuple, value: Any):
    summary = evaluated(colour_tracker(), dev, tmp_path)
    _spoil(next((summary.results.folder / "sequences").glob("alpha*")), place, value)
    with pytest.raises(LangTrackError, match=r"sequences/alpha.*not a result"):
        read_results(summary.results.folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [(("protocol", "init"), "mask"), (("protocol", "every"), None), (("data",), 1), (("label",), None)],
)
def test_a_list_of_which_a_part_is_spoilt_names_itself(dev: Path, tmp_path: Path, place: tuple, value: Any):
    summary = evaluated(colour_tracker(), dev, tmp_path)
    _spoil(summary.results.folder / "run.json", place, value)
    with pytest.raises(LangTrackError, match=r"run\.json is not a result"):
        read_results(summary.results.folder)


def _spoil(path: Path, place: tuple, value: Any) -> None:
    document = part = json.loads(path.read_text())
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    path.write_text(json.dumps(document))


def test_the_code_that_answers_is_known_but_for_its_comments(tmp_path: Path):
    file = tmp_path / "fusion.py"
    file.write_text("def decide():\n    return 1\n")
    before = folder.code_hash(tmp_path)
    file.write_text('def decide():\n    """Decide."""\n    return 1  # one\n')
    folder.code_hash.cache_clear()
    assert folder.code_hash(tmp_path) == before
    file.write_text("def decide():\n    return 2\n")
    folder.code_hash.cache_clear()
    assert folder.code_hash(tmp_path) != before


# --- tables and the command --------------------------------------------------------------------------------


def test_tables_say_what_was_measured(dev: Path, tmp_path: Path):
    summary = evaluated(colour_tracker(right, moved), dev, tmp_path)
    lines = as_markdown(("tracker", "branch"), branch_rows([summary])).splitlines()
    assert lines[0].startswith("| tracker | branch | AUC |") and "| **0.952** |" in lines[2]
    assert "**" not in lines[5] and "oracle" in lines[5]
    rows = list(csv.DictReader(as_csv([summary]).splitlines()))
    assert [r["sequence"] for r in rows if r["branch"] == "tracker"] == ["alpha", "beta", "gamma", "all"]
    assert float(rows[0]["j"]) == 1.0 and rows[2]["j"] == ""
    (document,) = json.loads(json.dumps(as_json([summary]), allow_nan=False))
    assert (
        document["branches"]["fused"]["all"]["j"] == 1.0
        and len(document["branches"]["tracker"]["curves"]["success"]) == 21
    )
    assert document["branches"]["fused"]["attributes"].keys() == {"boxes", "davis"}


def test_a_box_with_a_sentence_holds_the_track_as_in_use(dev: Path):
    held = {init: {i.query().hold for i in items_of(Protocol("dev", init=init), dev)} for init in INITS}
    assert held == {"sentence": {False}, "box": {False}, "both": {True}}


def test_one_table_holds_one_protocol_on_one_set(dev: Path, tmp_path: Path):
    other = write_dev(tmp_path / "other")
    (other / "boxes" / "gamma").rename(other / "boxes" / "delta")
    runs = [(dev, SENTENCE), (dev, Protocol("dev", init="both")), (other, SENTENCE), (dev, SENTENCE)]
    summaries = [evaluated(colour_tracker(), data, tmp_path / data.name, protocol) for data, protocol in runs]
    groups = by_protocol(summaries)
    assert {words: len(group) for words, group in groups.items()} == {
        "dev, by sentence only": 2, "dev, by sentence only, set 2": 1, "dev, by box and sentence": 1
    }  # fmt: skip


def test_results_on_another_truth_are_another_set(dev: Path, tmp_path: Path):
    other = shutil.copytree(dev, tmp_path / "other")
    truth = other / "boxes" / "gamma" / "groundtruth_rect.txt"
    truth.write_text("1,1,9,9\n" * 12)
    summaries = [evaluated(colour_tracker(), data, tmp_path / f"out-{data.name}") for data in (dev, other)]
    assert list(by_protocol(summaries)) == ["dev, by sentence only", "dev, by sentence only, set 2"]
    rows = csv.DictReader(as_csv(summaries).splitlines())
    assert {row["protocol"] for row in rows} == set(by_protocol(summaries))


def test_what_is_missing_is_said_and_no_figure_of_a_part_is_called_the_best(dev: Path, tmp_path: Path):
    whole = evaluated(colour_tracker(right, moved, "whole"), dev, tmp_path)
    part = evaluated(colour_tracker(right, right, "part"), dev, tmp_path)
    next((part.results.folder / "sequences").glob("beta-*")).unlink()
    part = summarise(read_results(part.results.folder))
    text = markdown([whole, part])
    table, *_, note = text.split("\n\n")[1:]
    assert "**" not in table
    assert note == f"{distinct_labels([whole, part])[1]} is not complete, 1 of 3 are missing: beta."
    assert "**" in markdown([whole]).split("\n\n")[1] and "not complete" not in markdown([whole])
    rows = [row for row in csv.DictReader(as_csv([whole, part]).splitlines()) if row["branch"] == "fused"]
    assert [row["missing"] for row in rows] == ["", "", "", "0", "", "", "1"]


def test_of_many_missing_sequences_ten_are_named_and_the_others_counted(dev: Path, tmp_path: Path):
    whole = evaluated(colour_tracker(), dev, tmp_path)
    part = replace(whole, results=replace(whole.results, missing=tuple(f"s{i}" for i in range(12))))
    (note,) = notes_of(part, "ours")
    assert note.endswith("are missing: s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, and 2 more.")


def test_the_best_is_the_best_on_the_sequences_that_all_have(dev: Path, tmp_path: Path):
    answers = {"good": right, "poor": moved, "useless": nothing}
    good, poor, useless = (
        evaluated(colour_tracker(f, f, name), dev, tmp_path / name).results.folder
        for name, f in answers.items()
    )
    for name in ("beta", "gamma"):  # the good one fails on two clips that the poor one left out
        (failed,) = (useless / "sequences").glob(f"{name}-*")
        shutil.copy(failed, good / "sequences")
        next((poor / "sequences").glob(f"{name}-*")).unlink()
    summaries = [summarise(read_results(folder)) for folder in (good, poor, useless)]
    assert summaries[1].overall("fused")["auc"] > summaries[0].overall("fused")["auc"]
    first, second, third = distinct_labels(summaries)
    against_the_best = verdicts(summaries)[:2]
    assert all(first in sentence for sentence in against_the_best)
    assert second in against_the_best[0] and third in against_the_best[1]


def test_the_command(dev: Path, tmp_path: Path, monkeypatch, capsys):
    tracker = colour_tracker()
    monkeypatch.setattr(command, "load_tracker", lambda *_, **options: tracker)
    arguments = ["evaluate", "--data", str(dev), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert cli.main([*arguments, "--frames", "4"]) == 0  # the kind is guessed
    output = capsys.readouterr().out
    assert "Masks of alpha, beta: The object is value 255." in output and "Masks of gamma" not in output
    assert "0 of 3 are in" in output and "alpha" in output and "oracle" in output and "peak memory" in output
    (place,) = (tmp_path / "out").iterdir()
    assert {path.name for path in place.iterdir()} == {"run.json", "sequences", "summary.csv", "summary.json"}
    assert cli.main([*arguments, "--frames", "4"]) == 0
    assert "3 of 3 are in" in capsys.readouterr().out and len(tracker.expressions) == 3
    for name, what in (("summary.csv", "summary"), ("run.json", "Results")):  # nobody can write there
        (place / name).unlink()
        (place / name / "full").mkdir(parents=True)
        assert cli.main([*arguments, "--frames", "4"]) == 1
        assert re.search(f"{what} cannot be written to .*: [a-z ]+\\.$", capsys.readouterr().err)


def test_how_masks_are_read_is_said(dev: Path, tmp_path: Path):
    clip = shutil.copytree(dev / "davis", tmp_path / "davis")
    for number, path in enumerate(sorted((clip / "Annotations" / "beta").iterdir())):
        values = np.asarray(Image.open(path)) // 255
        values[:2, :3] = 255 * (number < 2)
        Image.fromarray(values).save(path)
    assert mask_readings(davis_sequences(clip)) == [
        "Masks of alpha: The object is value 255.",
        "Masks of beta: The object is value 1; 12 void pixels are not counted.",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "nowhere", "--kind", "dev"], 1, "is not a folder"),
        (["--data", "nowhere"], 1, "cannot be told; say it with --kind"),
        (["--data", "nowhere", "--init", "mask"], 2, "invalid choice"),
        (["--data", "nowhere", "--frames", "0"], 2, "whole number from 1"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, code, message, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        exit_code = cli.main(["evaluate", *arguments, "--out", "out"])
    except SystemExit as stop:
        exit_code = stop.code
    errors = capsys.readouterr().err
    assert exit_code == code and message in errors and errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# --- several at once ---------------------------------------------------------------------------------------


def test_several_at_once_give_what_one_after_the_other_gives(dev: Path):
    items = items_of(SENTENCE, dev)
    alone = dict(run_items(follow_by_colour(), items))
    at_once = dict(run_items_at_once(follow_by_colour, items, 2))
    assert at_once.keys() == alone.keys()
    for item, record in alone.items():
        other = at_once[item]
        assert (other.key, other.states, other.sources) == (record.key, record.states, record.sources)
        for branch, predictions in record.predictions.items():
            for name, values in vars(predictions).items():
                np.testing.assert_equal(vars(other.predictions[branch])[name], values)


@pytest.mark.parametrize(
    ("make", "message"), [(follow_and_fail, "no picture"), (follow_and_die, "fewer --workers")]
)
def test_an_error_of_one_ends_all(dev: Path, make, message):
    with pytest.raises(LangTrackError, match=message):
        list(run_items_at_once(make, items_of(SENTENCE, dev), 2))
    assert not multiprocessing.active_children()


_PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from evaluation_helpers import follow_and_wait
from langtrack_lab.evaluation.protocol import Protocol, items_of
from langtrack_lab.evaluation.runner import run_items_at_once
dev, folder = map(Path, sys.argv[1:])
list(run_items_at_once(partial(follow_and_wait, folder), items_of(Protocol("dev"), dev), 2))
"""


def test_the_processes_of_an_evaluation_that_was_killed_end_with_it(dev: Path, tmp_path: Path):
    here = Path(evaluation_helpers.__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    command_line = [sys.executable, "-c", _PROGRAM, str(dev), str(tmp_path)]
    parent = subprocess.Popen(command_line, env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200  # seconds, for the busiest machine
    while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait(60)
    try:
        while any(map(_is_alive, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for pid in filter(_is_alive, workers):
            os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- with the real networks, small and random --------------------------------------------------------------


@pytest.fixture
def tiny(lite_files: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights, "SHIPPED", lite_files)
    monkeypatch.setitem(sys.modules, "openvino", None)  # converting takes longer than all else here


def test_real_networks_are_measured_together_and_alone(tiny, tmp_path: Path, capsys):
    data = str(write_dev(tmp_path / "dev", absent=(), frames=2))
    arguments = ["--data", data, "--init", "both", "--workers", "1", "--out", str(tmp_path / "out")]
    assert cli.main(["evaluate", *arguments]) == 0
    output = capsys.readouterr().out
    assert "by box and sentence" in output and output.endswith(
        "Precision: language float32, tracker float32.\n"
    )
    run = json.loads(next(tmp_path.glob("out/*/run.json")).read_text())
    assert {w["branch"] for w in run["tracker"]["weights"]} == {"language", "tracker"}
    assert all(len(h) == 64 for w in run["tracker"]["weights"] for h in w["files"].values())

    assert cli.main(["evaluate", "language", "--data", data]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == "Precision: language float32."
    assert lines[0].split() == ["sequence", "sentence", "frames", "IoU"] and lines[-1].startswith("mean")
    assert len(lines) == 5 and "a red <b>disc</b>" in lines[3]
    assert cli.main(["evaluate", "tracker", "--data", data]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == "Precision: tracker float32."
    assert [line.split()[0] for line in lines] == ["sequence", "alpha", "beta", "gamma", "mean"]

    assert cli.main(["evaluate", "absent", "--data", data]) == 0
    assert capsys.readouterr().out.endswith("Precision: language float32, tracker float32.\n")
    entry = {"picture": "davis/JPEGImages/alpha/00000.png", "expression": "the red ellipse"}
    entry |= {"box_xyxy": [0, 0, 20, 20], "other_box_xyxy": [30, 20, 60, 40]}
    (tmp_path / "pairs.json").write_text(json.dumps([entry]))
    assert cli.main(["evaluate", "contrast", "--data", data, "--pairs", str(tmp_path / "pairs.json")]) == 0
    assert capsys.readouterr().out.endswith("right\nPrecision: language float32.\n")
