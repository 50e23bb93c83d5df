"""The decision of one frame: which branch to believe, when to start, re-anchor, give up and find again."""

from dataclasses import replace

import numpy as np
import pytest

from langtrack_core.fusion import (
    FUSION_LIMITS,
    MAX_LOG_ODDS,
    Calibration,
    FusionConfig,
    FusionState,
    decide,
    fuse,
)
from langtrack_core.types import Estimate, LangTrackError, Reason
from langtrack_lab.runs import BranchBox

SIZE = (20, 30)
CONFIG = FusionConfig(start=0.5, lost=0.25, lost_after=1, margin=0.15, overlap=0.5, reanchor_after=3)
SEARCHING, TRACKING, LOST = (FusionState(state) for state in ("searching", "tracking", "lost"))


def seen(confidence, left=0):
    mask = np.zeros(SIZE, np.float32)
    mask[5:15, left : left + 10] = 1
    return Estimate.from_mask(mask, confidence)


def decision_of(language, tracker, state=TRACKING, config=CONFIG):
    return decide(language, tracker, state, config)[0]


def fused(language, tracker):
    return fuse(language, tracker, decision_of(language, tracker), SIZE)


def test_calibration_is_the_logistic_function_and_does_not_overflow():
    calibration = Calibration(slope=2.0, intercept=-1.0)
    assert calibration(1.5) == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert calibration(1e6) == 1.0 and calibration(-1e6) == 0.0


@pytest.mark.parametrize("name", FUSION_LIMITS)
def test_settings_outside_their_range_are_refused_by_name(name):
    limit = FUSION_LIMITS[name]
    for value in (limit.low - limit.step, limit.high + limit.step, float("nan")):
        with pytest.raises(LangTrackError, match=name):
            FusionConfig(**{name: value})


def test_searching_makes_no_guess():
    decision, state = decide(seen(0.49), None, SEARCHING, CONFIG)
    assert decision.source is None and not decision.reanchor and state.state == "searching"
    assert fuse(seen(0.49), None, decision, SIZE).box_xyxy is None


def test_a_confident_language_box_starts_the_tracker():
    decision, state = decide(seen(0.5), None, SEARCHING, CONFIG)
    assert decision.reanchor and decision.source == "language"
    assert decision.state == state.state == "tracking"


@pytest.mark.parametrize(
    ("p_language", "p_tracker", "source"), [(0.6, 0.8, "tracker"), (0.8, 0.6, "language")]
)
def test_where_they_differ_the_more_probable_branch_is_believed(p_language, p_tracker, source):
    decision = decision_of(seen(p_language, left=15), seen(p_tracker))
    assert decision.source == source and decision.state == "tracking"
    assert decision.reason == (Reason.TRACKER_SURER if source == "tracker" else Reason.LANGUAGE_SURER)


def test_a_branch_that_sees_nothing_is_not_believed_however_sure_it_is():
    nothing = Estimate.absent(SIZE, confidence=0.99)
    assert decision_of(nothing, seen(0.4)).source == "tracker"


def test_both_improbable_is_lost_and_absent():
    decision = decision_of(seen(0.24), seen(0.2))
    assert decision.state == "lost" and decision.source is None and decision.confidence == 0
    estimate = fused(seen(0.24), seen(0.2))
    assert estimate.box_xyxy is None and not estimate.mask.any()


def test_a_target_is_lost_only_after_so_many_improbable_frames_in_a_row():
    state, decisions = TRACKING, []
    for confidence in (0.1, 0.1, 0.3, 0.1, 0.1, 0.1):
        decision, state = decide(None, seen(confidence), state, replace(CONFIG, lost_after=3))
        decisions.append(decision)
    assert [d.state for d in decisions] == ["tracking"] * 5 + ["lost"]
    assert [d.reason for d in decisions[:3]] == [Reason.DOUBTFUL, Reason.DOUBTFUL, Reason.TRACKER_ONLY]
    assert [d.confidence for d in decisions] == [0.1, 0.1, 0.3, 0.1, 0.1, 0.0]
    assert state.improbable_streak == 0


def test_without_any_box_the_target_is_lost_at_once():
    decision = decision_of(None, Estimate.absent(SIZE, 0.1), config=replace(CONFIG, lost_after=3))
    assert decision.state == "lost"


def test_the_tracker_is_re_anchored_only_after_so_many_frames_in_a_row():
    state, reanchored = TRACKING, []
    for _ in range(3):
        decision, state = decide(seen(0.9, left=15), seen(0.5), state, CONFIG)
        reanchored.append(decision.reanchor)
    assert reanchored == [False, False, True]
    assert decision.reason == Reason.REANCHORED and state.language_streak == 0


def test_frames_without_language_neither_add_to_the_streak_nor_end_it():
    _, state = decide(seen(0.9, left=15), seen(0.5), TRACKING, CONFIG)
    _, state = decide(None, seen(0.5), state, CONFIG)
    assert state.language_streak == 1
    assert decide(seen(0.9, left=15), seen(0.9), state, CONFIG)[1].language_streak == 0


def test_agreeing_branches_never_re_anchor():
    state = TRACKING
    for _ in range(5):
        decision, state = decide(seen(0.95, left=1), seen(0.5), state, CONFIG)
        assert decision.agree and not decision.reanchor


@pytest.mark.parametrize("finder", ["language", "tracker"])
def test_a_lost_target_is_found_again_by_a_confident_branch_alone(finder):
    weak = decision_of(seen(0.4), seen(0.4), LOST)
    assert weak.state == "lost" and weak.source is None
    decision = decision_of(
        seen(0.6 if finder == "language" else 0.1), seen(0.6 if finder == "tracker" else 0.1), LOST
    )
    assert decision.state == "tracking" and decision.source == finder
    assert decision.reanchor == (finder == "language")


def test_a_box_alone_is_lost_and_found_by_the_tracker():
    lost, state = decide(None, seen(0.1), TRACKING, CONFIG)
    assert lost.state == "lost"
    assert decide(None, seen(0.3), state, CONFIG)[0].state == "lost"
    assert decide(None, seen(0.7), state, CONFIG)[0].state == "tracking"


@pytest.mark.parametrize(
    ("language", "tracker", "state", "reason"),
    [
        (None, None, SEARCHING, Reason.LANGUAGE_NOT_ASKED),
        (seen(0.1), None, SEARCHING, Reason.LANGUAGE_UNSURE),
        (seen(0.9), None, SEARCHING, Reason.FOUND),
        (seen(0.9), seen(0.1), LOST, Reason.FOUND_AGAIN),
        (seen(0.1), seen(0.1), LOST, Reason.IMPROBABLE),
        (None, seen(0.1), LOST, Reason.TRACKER_IMPROBABLE),
        (None, seen(0.9), TRACKING, Reason.TRACKER_ONLY),
        (seen(0.9), None, TRACKING, Reason.LANGUAGE_ONLY),
        (seen(0.1), seen(0.1, left=15), TRACKING, Reason.IMPROBABLE),
        (seen(0.8), seen(0.9), TRACKING, Reason.AGREE),
        (Estimate.absent(SIZE), seen(0.9), TRACKING, Reason.LANGUAGE_ABSENT),
    ],
)
def test_every_decision_says_why(language, tracker, state, reason):
    assert decision_of(language, tracker, state).reason == reason


def test_every_reason_has_its_words():
    assert len({reason.text for reason in Reason}) == len(Reason)


def test_where_the_branches_agree_the_mask_is_the_mean_of_their_maps():
    estimate = fused(seen(0.6, left=2), seen(0.8))
    np.testing.assert_array_equal(estimate.box_xyxy, seen(0.8).box_xyxy)
    assert estimate.mask_prob[8, 5] == 1.0 and estimate.mask_prob[8, 11] == 0.5


def test_where_they_differ_the_chosen_branch_keeps_its_own_mask():
    np.testing.assert_array_equal(fused(seen(0.6, left=15), seen(0.8)).mask, seen(0.8).mask)


def test_the_decision_is_the_same_from_recorded_boxes_as_from_estimates():
    rng = np.random.default_rng(3)
    state = recorded_state = SEARCHING
    for _ in range(200):
        branches = [seen(float(rng.random()), int(rng.integers(20))) for _ in range(2)]
        live = [b if rng.random() < 0.9 else None for b in branches]
        recorded = [b and BranchBox(b.box_xyxy, b.confidence) for b in live]
        decision, state = decide(*live, state, CONFIG)
        again, recorded_state = decide(*recorded, recorded_state, CONFIG)
        assert again == decision and recorded_state == state


def test_where_they_agree_the_box_is_the_trackers_and_the_surer_ones_confidence_counts():
    decision = decision_of(seen(0.9, left=2), seen(0.6))
    assert decision.agree and decision.source == "tracker" and decision.confidence == 0.9


def test_a_tracker_that_language_keeps_contradicting_loses_belief():
    """It was started by a guess, is sure of itself, and language is nearly as sure of another place."""
    _, state = decide(seen(0.6), None, SEARCHING, CONFIG)
    reanchored = False
    for _ in range(12):
        decision, state = decide(seen(0.85, left=15), seen(0.95), state, CONFIG)
        reanchored |= decision.reanchor
    assert reanchored
    state = TRACKING
    for _ in range(12):
        _, state = decide(seen(0.85, left=15), seen(0.95), state, FusionConfig(distrust_rate=0.0))
    assert state.log_odds_same_target == MAX_LOG_ODDS and state.language_streak == 0


def test_a_box_that_a_person_drew_is_doubted_later_than_one_that_language_found():
    frames = {}
    for name, state in (("drawn", TRACKING), ("found", FusionState("tracking", log_odds_same_target=0.0))):
        count, reanchored = 0, False
        while not reanchored and count < 200:
            decision, state = decide(seen(0.8, left=15), seen(0.95), state, CONFIG)
            reanchored, count = decision.reanchor, count + 1
        frames[name] = count
    assert frames["found"] < frames["drawn"] < 200


def test_a_chosen_target_is_held_to_however_sure_language_is_of_another_place():
    state = replace(TRACKING, hold=True)
    for _ in range(40):
        decision, state = decide(seen(0.99, left=15), seen(0.6), state, CONFIG)
        assert (decision.source, decision.reason, decision.reanchor) == ("tracker", Reason.HELD, False)
    decision, state = decide(seen(0.9), seen(0.6), state, CONFIG)
    assert decision.agree and decision.reason is Reason.AGREE and decision.confidence == 0.9
    assert decide(seen(0.9, left=15), seen(0.6), TRACKING, CONFIG)[0].source == "language"


def test_a_chosen_target_that_is_lost_is_found_again_by_the_tracker_alone():
    state = replace(TRACKING, hold=True)
    decision, state = decide(seen(0.9, left=15), seen(0.1), state, CONFIG)
    assert decision.source is None and state == replace(LOST, hold=True)
    decision, state = decide(seen(0.9, left=15), seen(0.3), state, CONFIG)
    assert decision.state == "lost"
    decision, state = decide(seen(0.9, left=15), seen(0.6), state, CONFIG)
    assert (decision.source, decision.state, state.hold) == ("tracker", "tracking", True)
