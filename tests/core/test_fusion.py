"""The decision of one frame: whom to believe, when to start, to re-anchor, to give up and to find again."""

import numpy as np
import pytest

from langtrack_core import fusion
from langtrack_core.fusion import SURE, Calibration, FusionConfig, Memory, fuse
from langtrack_core.run.format import BoxOf
from langtrack_core.types import Estimate, LangTrackError

SIZE = (20, 30)
CONFIG = FusionConfig(start=0.5, lost=0.25, margin=0.15, overlap=0.5, patience=3)
TRACKING = Memory("tracking")


def seen(source, confidence, left=0):
    mask = np.zeros(SIZE, np.float32)
    mask[5:15, left : left + 10] = 1
    return Estimate.from_mask(mask, confidence, source)


def decide(tracked, grounded, memory=TRACKING):
    return fuse(tracked, grounded, memory, CONFIG, SIZE)


def test_calibration_is_the_logistic_function_and_does_not_overflow():
    calibration = Calibration(slope=2.0, intercept=-1.0)
    assert calibration(1.5) == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert calibration(1e6) == 1.0 and calibration(-1e6) == 0.0


@pytest.mark.parametrize("field", ["start", "lost", "margin", "overlap", "doubt"])
def test_settings_outside_their_range_are_refused_by_name(field):
    with pytest.raises(LangTrackError, match=field):
        FusionConfig(**{field: 1.5})


def test_searching_makes_no_guess():
    decision = decide(None, seen("lgm", 0.49), Memory())
    assert not decision.fused.present and not decision.anchor
    assert decision.memory.state == "searching"


def test_a_confident_language_box_starts_the_tracker():
    decision = decide(None, seen("lgm", 0.5), Memory())
    assert decision.anchor and decision.fused.source == "lgm"
    assert decision.memory.state == "tracking"


@pytest.mark.parametrize(("p_siam", "p_lgm", "source"), [(0.8, 0.6, "siam"), (0.6, 0.8, "lgm")])
def test_where_they_differ_the_more_probable_branch_is_believed(p_siam, p_lgm, source):
    decision = decide(seen("siam", p_siam), seen("lgm", p_lgm, left=15))
    assert decision.fused.source == source and decision.memory.state == "tracking"


def test_a_branch_that_sees_nothing_is_not_believed_however_sure_it_is():
    nothing = Estimate.absent(SIZE, "lgm", confidence=0.99)
    assert decide(seen("siam", 0.4), nothing).fused.source == "siam"


def test_both_improbable_is_lost_and_absent():
    decision = decide(seen("siam", 0.2), seen("lgm", 0.24))
    assert decision.memory.state == "lost"
    assert not decision.fused.present and decision.fused.source == "none" and not decision.fused.mask.any()


def test_the_tracker_is_re_anchored_only_after_patience_frames_in_a_row():
    memory, anchors = TRACKING, []
    for _ in range(3):
        decision = decide(seen("siam", 0.5), seen("lgm", 0.9, left=15), memory)
        memory = decision.memory
        anchors.append(decision.anchor)
    assert anchors == [False, False, True]
    assert memory.lead == 0


def test_frames_without_language_neither_add_to_the_lead_nor_end_it():
    memory = decide(seen("siam", 0.5), seen("lgm", 0.9, left=15)).memory
    memory = decide(seen("siam", 0.5), None, memory).memory
    assert memory.lead == 1
    assert decide(seen("siam", 0.9), seen("lgm", 0.9, left=15), memory).memory.lead == 0


def test_agreeing_branches_never_re_anchor():
    memory = TRACKING
    for _ in range(5):
        decision = decide(seen("siam", 0.5), seen("lgm", 0.95, left=1), memory)
        memory = decision.memory
        assert not decision.anchor


@pytest.mark.parametrize("finder", ["lgm", "siam"])
def test_a_lost_target_is_found_again_by_a_confident_branch_alone(finder):
    lost = Memory("lost")
    weak = decide(seen("siam", 0.4), seen("lgm", 0.4), lost)
    assert weak.memory.state == "lost" and not weak.fused.present
    found = decide(
        seen("siam", 0.6 if finder == "siam" else 0.1), seen("lgm", 0.6 if finder == "lgm" else 0.1), lost
    )
    assert found.memory.state == "tracking" and found.fused.source == finder
    assert found.anchor == (finder == "lgm")


def test_a_box_alone_is_lost_and_found_by_the_tracker():
    lost = decide(seen("siam", 0.1), None)
    assert lost.memory.state == "lost"
    assert decide(seen("siam", 0.3), None, lost.memory).memory.state == "lost"
    assert decide(seen("siam", 0.7), None, lost.memory).memory.state == "tracking"


def test_every_decision_says_why():
    cases = [
        decide(None, None, Memory()),
        decide(None, seen("lgm", 0.9), Memory()),
        decide(seen("siam", 0.9), None),
        decide(seen("siam", 0.1), seen("lgm", 0.1)),
        decide(seen("siam", 0.9), seen("lgm", 0.8)),
        decide(seen("siam", 0.9), Estimate.absent(SIZE, "lgm")),
    ]
    assert all(case.reason for case in cases)
    assert len({case.reason for case in cases}) == len(cases)


def test_where_the_branches_agree_the_mask_is_the_mean_of_their_maps():
    decision = decide(seen("siam", 0.8), seen("lgm", 0.6, left=2))
    assert decision.fused.source == "siam"
    np.testing.assert_array_equal(decision.fused.box_xyxy, seen("siam", 0.8).box_xyxy)
    assert decision.fused.mask_prob[8, 5] == 1.0 and decision.fused.mask_prob[8, 11] == 0.5


def test_where_they_differ_the_chosen_branch_keeps_its_own_mask():
    decision = decide(seen("siam", 0.8), seen("lgm", 0.6, left=15))
    np.testing.assert_array_equal(decision.fused.mask, seen("siam", 0.8).mask)


def test_the_decision_is_the_same_from_recorded_boxes_as_from_estimates():
    rng = np.random.default_rng(3)
    memory = replayed = Memory()
    for _ in range(200):
        branches = [seen(s, float(rng.random()), int(rng.integers(20))) for s in ("siam", "lgm")]
        shown = [b if rng.random() < 0.9 else None for b in branches]
        kept = [b and BoxOf(b.box_xyxy, b.confidence) for b in shown]
        decision = decide(*shown, memory=memory)
        choice = fusion.decide(*kept, replayed, CONFIG)
        memory, replayed = decision.memory, choice.memory
        assert memory == replayed
        assert (choice.reason, choice.anchor) == (decision.reason, decision.anchor)
        assert choice.source == decision.fused.source


def test_where_they_agree_the_box_is_the_trackers():
    decision = decide(seen("siam", 0.6), seen("lgm", 0.9, left=2))
    assert decision.fused.source == "siam" and "tracker" in decision.reason


def test_a_tracker_that_language_keeps_contradicting_loses_belief():
    """It was started by a guess, is sure of itself, and language is nearly as sure of another place."""
    memory = decide(None, seen("lgm", 0.6), Memory()).memory
    sources = []
    for _ in range(12):
        decision = decide(seen("siam", 0.95), seen("lgm", 0.85, left=15), memory)
        memory = decision.memory
        sources.append("anchored" if decision.anchor else decision.fused.source)
    assert "anchored" in sources
    trusting = FusionConfig(doubt=0.0)
    kept = Memory("tracking")
    for _ in range(12):
        kept = fuse(seen("siam", 0.95), seen("lgm", 0.85, left=15), kept, trusting, SIZE).memory
    assert kept.support == SURE and kept.lead == 0


def test_a_box_that_a_person_drew_is_doubted_later_than_one_that_language_found():
    drawn, found = Memory("tracking"), Memory("tracking", support=0.0)
    frames = {}
    for name, memory in (("drawn", drawn), ("found", found)):
        decisions = 0
        while decisions < 200:
            decision = decide(seen("siam", 0.95), seen("lgm", 0.8, left=15), memory)
            memory, decisions = decision.memory, decisions + 1
            if decision.anchor:
                break
        frames[name] = decisions
    assert frames["found"] < frames["drawn"] < 200
