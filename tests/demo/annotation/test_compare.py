"""Agreement of several expressions, words left out one by one, and separate regions."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_branches import decided, fake_tracker

from demo.annotation.compare import (
    MAX_WORDS,
    FrameSegmenter,
    agreement,
    attribute,
    check_completions,
    completed,
    regions,
    split_regions,
)
from langtrack_core.masks import encode_rle
from langtrack_core.types import Estimate, Frame, LangTrackError
from langtrack_lab.metrics.masks import mask_iou
from langtrack_lab.runs import BranchBox, Row, Run

SIZE = (40, 60)
FRAME = Frame(0, 0.0, np.zeros((*SIZE, 3), np.uint8))


def blob(x: int, y: int = 5, w: int = 10, h: int = 10) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def run_of(masks: dict[int, np.ndarray | None]) -> Run:
    rows = [Row(k, k / 25, decided("language"), BranchBox(None, 0.5), None, None) for k in masks]
    encoded = {k: {} if m is None else {"fused": encode_rle(m)} for k, m in masks.items()}
    return Run({}, rows, encoded)


def test_agreement_is_the_pairwise_iou_of_the_masks() -> None:
    rng = np.random.default_rng(0)
    masks = [[blob(int(rng.integers(0, 30))) for _ in range(5)] for _ in range(3)]
    masks[0][2] = masks[1][2] = np.zeros(SIZE, bool)
    matrix = agreement([run_of(dict(enumerate(one))) for one in masks])
    assert matrix.frames == list(range(5)) and matrix.pairs == [(0, 1), (0, 2), (1, 2)]
    for (a, b), row in zip(matrix.pairs, matrix.ious, strict=True):
        expected = [mask_iou(x, y) for x, y in zip(masks[a], masks[b], strict=True)]
        np.testing.assert_allclose(row, expected)
        assert matrix.matrix[a, b] == matrix.matrix[b, a] == pytest.approx(np.mean(expected))
    assert matrix.ious[0][2] == 1  # both say absent
    np.testing.assert_array_equal(np.diag(matrix.matrix), 1)


def test_only_shared_frames_count_and_a_branch_that_did_not_run_is_nan() -> None:
    table = agreement(
        [run_of({0: blob(0), 1: blob(0), 2: None}), run_of({1: blob(0), 2: blob(1), 3: blob(2)})]
    )
    assert table.frames == [1, 2] and table.ious[0][0] == 1 and math.isnan(table.ious[0][1])
    assert table.to_json()["ious"] == [[1.0, None]] and table.to_json()["matrix"] == [[1.0, 1.0], [1.0, 1.0]]


def test_runs_that_cannot_be_compared_are_refused() -> None:
    one = run_of({0: blob(0)})
    with pytest.raises(LangTrackError, match="Two expressions or more"):
        agreement([one])
    with pytest.raises(LangTrackError, match="no frame in common"):
        agreement([one, run_of({7: blob(0)})])
    small = Run({}, one.rows, {0: {"fused": encode_rle(np.ones((5, 5), bool))}})
    with pytest.raises(LangTrackError, match="different sizes"):
        agreement([one, small])
    broken = Run({}, one.rows, {0: {"fused": {"size": list(SIZE), "counts": 7}}})
    with pytest.raises(LangTrackError, match="run-length"):
        agreement([one, broken])


class ScriptedSegmenter:
    """Cars at three places; "left" and "red" choose, other words change nothing."""

    def __init__(self, places: tuple[int, ...] = (2, 25, 48)) -> None:
        self.places = places

    def read_text(self, text: str) -> Any:
        vocabulary = {"the", "red", "car", "left", "right", "middle", "on", "in"}
        words = text.lower().split()
        if not set(words) & vocabulary:
            raise LangTrackError("no known word")
        return SimpleNamespace(unknown=tuple(w for w in words if w not in vocabulary))

    def segment(self, frame: Frame, text: str, *, every_region: bool = False) -> Estimate:
        self.read_text(text)
        if every_region:
            mask = np.any([blob(x) for x in self.places], axis=0)
        else:
            which = -1 if "right" in text else 1 if "red" in text else 0
            mask = blob(self.places[which])
        return Estimate.from_mask(mask.astype(np.float32) * 0.9, 0.8 if "car" in text else 0.3)


def test_all_regions_hold_what_a_closer_view_shows_where_that_is_surer() -> None:
    confidence = {"whole": 0.2, "closer": 0.7}

    def language(frame: Frame, text: str, *, every_region: bool = False) -> Estimate:
        return Estimate.from_mask(blob(5).astype(np.float32), confidence["whole"])

    tracker = fake_tracker(language, lambda frame: Estimate.absent(frame.size_hw))
    tracker.segmenter.closer = lambda frame, text: Estimate.from_mask(
        blob(40).astype(np.float32), confidence["closer"]
    )
    look = FrameSegmenter(tracker)
    both = look.segment(FRAME, "the car", every_region=True)
    assert (both.mask == (blob(5) | blob(40))).all() and both.confidence == 0.7
    assert (look.segment(FRAME, "the car").mask == blob(5)).all()
    confidence.update(closer=0.5)  # too little for a run to start on
    assert (look.segment(FRAME, "the car", every_region=True).mask == (blob(5) | blob(40))).all()
    confidence.update(whole=0.8)
    assert (look.segment(FRAME, "the car", every_region=True).mask == blob(5)).all()


def test_the_word_that_moves_the_mask_is_found() -> None:
    result = attribute(ScriptedSegmenter(), FRAME, "the red zorp car")
    assert [w.word for w in result.words] == ["the", "red", "zorp", "car"]
    assert result.decisive == 1 and result.words[1].iou == 0 and result.words[1].box_xyxy == [2, 5, 12, 15]
    assert [w.known for w in result.words] == [True, True, False, True]
    assert result.words[0].iou == 1 and result.words[0].change == 0
    assert result.words[3].change == pytest.approx(-0.5) and result.box_xyxy == [25, 5, 35, 15]


def test_a_single_word_and_words_that_change_nothing() -> None:
    (word,) = attribute(ScriptedSegmenter(), FRAME, "car").words
    assert word.iou == 0 and word.box_xyxy is None and word.confidence == 0
    assert attribute(ScriptedSegmenter(), FRAME, "the car").decisive is None
    with pytest.raises(LangTrackError, match=f"up to {MAX_WORDS}"):
        attribute(ScriptedSegmenter(), FRAME, "car " * 30)
    with pytest.raises(LangTrackError, match="no known word"):
        attribute(ScriptedSegmenter(), FRAME, "zorp")


def test_three_regions_are_left_middle_right_in_order() -> None:
    result = regions(ScriptedSegmenter(), FRAME, "the car.")
    assert [r.completion for r in result] == ["on the left", "in the middle", "on the right"]
    assert result[0].text == "the car on the left"
    assert [r.box_xyxy[0] for r in result] == [2, 25, 48]
    assert sum(r.share for r in result) == pytest.approx(1, abs=1e-3)
    assert all(r.strength == pytest.approx(0.9, abs=1e-3) for r in result)
    # The network follows "right" and takes the first car for the two others.
    assert check_completions(ScriptedSegmenter(), FRAME, result) == [0, 0, 2]


def test_regions_above_each_other_and_specks() -> None:
    mask = blob(20, 2) | blob(22, 25)
    mask[39, 59] = True
    result = split_regions(mask.astype(np.float32), "the boat")
    assert [r.completion for r in result] == ["at the top", "at the bottom"]
    assert split_regions(np.zeros(SIZE, np.float32), "x") == []
    (one,) = split_regions(blob(3).astype(np.float32), "the boat!")
    assert one.completion == "" and one.text == "the boat!"


def test_at_most_three_regions_the_largest() -> None:
    sizes = [6, 8, 4, 7]
    mask = np.any([blob(15 * k, 5, s, s) for k, s in enumerate(sizes)], axis=0)
    result = split_regions(mask.astype(np.float32), "the ball")
    widths = [r.box_xyxy[2] - r.box_xyxy[0] for r in result]
    assert widths == [6, 8, 7]
    assert all(a.box_xyxy[0] < b.box_xyxy[0] for a, b in itertools.pairwise(result))


@pytest.mark.parametrize(
    ("text", "whole"), [("the car.", "the car on the left"), (" a dog! ", "a dog on the left")]
)
def test_completions_read_as_one_sentence(text: str, whole: str) -> None:
    assert completed(text, "on the left") == whole and completed(text, "") == text
