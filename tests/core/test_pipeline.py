"""The loop, with branches that a test scripts, and with real networks of random weights."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_branches import fake_tracker
from synthetic import moving_object

from langtrack_core.dmn.lite import LiteConfig, LiteDMN
from langtrack_core.dmn.segmenter import DMNSegmenter, Preprocessing, SegmenterConfig
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.fusion import FusionConfig
from langtrack_core.pipeline import LangTracker
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.tracker import CONFIGS, SiamMaskTracker
from langtrack_core.types import Estimate, Frame, LangTrackError, Query

CLIP = moving_object(12)
BOX = CLIP.boxes_xyxy[0]


def scripted(language=lambda t: 0.9, tracker=lambda t: 0.8, fusion=None):
    """Both branches see the truth, with these confidences by frame."""

    def truth(frame, confidence):
        return Estimate.from_mask(CLIP.masks[frame.index].astype(np.float32), confidence(frame.index))

    return fake_tracker(
        lambda frame, text: truth(frame, language), lambda frame: truth(frame, tracker), fusion=fusion
    )


def test_text_alone_searches_until_language_is_sure_and_then_starts_the_tracker_on_its_box():
    tracker = scripted(lambda t: 0.9 if t >= 3 else 0.2)
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    assert [s.decision.state for s in steps[:4]] == ["searching"] * 3 + ["tracking"]
    assert all(s.fused.box_xyxy is None and s.tracker is None for s in steps[:3])
    assert tracker.starts == [(3, tuple(CLIP.boxes_xyxy[3]))]
    assert len(steps) == len(CLIP.frames)


def test_of_the_frames_ahead_the_surest_is_begun_on_and_from_there_it_goes_back_and_on():
    sure = {1: 0.5, 4: 0.8, 6: 0.7, 9: 0.95}
    tracker = scripted(lambda t: sure.get(t, 0.2), fusion=FusionConfig(look_ahead=7))
    seen = []
    steps = tracker.track((seen.append(frame.index) or frame for frame in CLIP.frames), Query(text="it"))
    first = next(steps)
    assert max(seen) <= 6 + 2 + 1  # what the second thread may be ahead
    steps = [first, *steps]
    assert [s.frame.index for s in steps] == list(range(12))
    assert {s.decision.state for s in steps} == {"tracking"} and all(s.tracker is not None for s in steps)
    assert [s.frame.index for s in steps if s.decision.reason == "found"] == [4]
    start = (4, tuple(CLIP.boxes_xyxy[4]))
    assert tracker.starts == [start, start]
    assert tracker.segmenter.frames == list(range(12))


def test_a_run_begins_where_four_frames_in_a_row_are_sure_in_the_mean():
    for unsure in ({5: 0.8}, {2: 0.7, 6: 0.7, 10: 0.7}):
        flukes = scripted(lambda t, unsure=unsure: unsure.get(t, 0.2), fusion=FusionConfig())
        assert {s.decision.state for s in flukes.track(CLIP.frames, Query(text="it"))} == {"searching"}
    sure = scripted(lambda t: {5: 0.7, 6: 0.4, 7: 0.2, 8: 0.6}.get(t, 0.2), fusion=FusionConfig())
    assert {s.decision.state for s in sure.track(CLIP.frames, Query(text="it"))} == {"tracking"}
    assert {frame for frame, _ in sure.starts} == {5}
    seldom = scripted(lambda t: 0.5, fusion=FusionConfig())  # the frames between say nothing
    list(seldom.track(CLIP.frames, Query(text="it"), every=8))
    assert {frame for frame, _ in seldom.starts} == {0}


def test_frames_that_a_runs_files_call_equally_sure_are_taken_in_order():
    tracker = scripted(lambda t: {3: 0.80001, 6: 0.80004}.get(t, 0.5), fusion=FusionConfig())
    list(tracker.track(CLIP.frames, Query(text="it")))
    assert {frame for frame, _ in tracker.starts} == {3}


def test_on_the_way_back_less_sure_words_do_not_wear_the_tracker_down():
    def language(frame, text):
        t = frame.index
        mask = CLIP.masks[t] if t >= 10 else np.roll(CLIP.masks[t], 60, axis=1)
        return Estimate.from_mask(mask.astype(np.float32), 0.89 if t == 10 else 0.8)

    def tracker(frame):
        return Estimate.from_mask(CLIP.masks[frame.index].astype(np.float32), 0.94)

    branches = fake_tracker(language, tracker, fusion=FusionConfig())
    steps = list(branches.track(CLIP.frames, Query(text="it")))
    assert [s.decision.source for s in steps[:10]] == ["tracker"] * 10
    forward = fake_tracker(language, tracker, fusion=FusionConfig())
    last = list(forward.track(CLIP.frames[10::-1], Query(text="it", start=10)))[-1]
    assert last.frame.index == 0 and last.decision.source == "language"  # as any pass is, which goes on


def test_what_is_not_there_yet_on_the_way_back_was_never_lost():
    tracker = scripted(
        lambda t: 0.95 if t == 9 else 0.05,
        lambda t: 0.8 if t >= 8 or t in (4, 5) else 0.05,
        fusion=FusionConfig(lost_after=1),
    )
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    states = [s.decision.state for s in steps]
    assert states == ["searching"] * 4 + ["tracking"] * 2 + ["lost"] * 2 + ["tracking"] * 4
    assert [s.fused.box_xyxy is not None for s in steps] == [state == "tracking" for state in states]
    assert all(s.tracker is not None for s in steps) and steps[0].decision.reason == "improbable"


def test_frames_are_given_up_one_by_one_until_a_sure_one_comes_in_sight():
    tracker = scripted(lambda t: 0.95 if t == 7 else 0.2, fusion=FusionConfig(look_ahead=2))
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    assert [s.decision.state for s in steps] == ["searching"] * 2 + [
        "tracking"
    ] * 10  # six wait, two are looked at
    assert tracker.starts == [(7, tuple(CLIP.boxes_xyxy[7]))] * 2
    assert tracker.segmenter.searched == [0, 3, 6]


def test_the_surest_of_those_looked_at_counts_and_not_of_all_that_wait():
    sure = {0: 0.7, 5: 0.6, 6: 0.65, 7: 0.6, 8: 0.6}  # 0 alone is no row of four
    tracker = scripted(lambda t: sure.get(t, 0.1), fusion=FusionConfig(look_ahead=4))
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    assert {s.decision.state for s in steps} == {"tracking"}
    assert {frame for frame, _ in tracker.starts} == {6}


def test_what_is_plain_to_see_is_followed_at_once():
    tracker, seen = scripted(lambda t: 0.95 if t == 2 else 0.5, fusion=FusionConfig()), []
    steps = tracker.track((seen.append(frame.index) or frame for frame in CLIP.frames), Query(text="it"))
    next(steps)
    assert max(seen) <= 2 + 2 + 1
    assert len(list(steps)) == 11
    assert tracker.starts == [(2, tuple(CLIP.boxes_xyxy[2]))] * 2


def test_a_clip_that_ends_within_the_look_ahead_is_decided_on_what_there_is():
    sure = scripted(lambda t: 0.2 + t / 20, fusion=FusionConfig(look_ahead=100))
    steps = list(sure.track(CLIP.frames, Query(text="it")))
    assert [s.frame.index for s in steps] == list(range(12))
    assert sure.starts == [(11, tuple(CLIP.boxes_xyxy[11]))] * 2
    unsure = scripted(lambda t: 0.2, fusion=FusionConfig(look_ahead=100))
    assert [s.decision.state for s in unsure.track(CLIP.frames, Query(text="it"))] == ["searching"] * 12
    assert list(unsure.track([], Query(text="it"))) == []


def test_frames_that_are_done_are_let_go():
    alive: weakref.WeakSet = weakref.WeakSet()

    def frames():
        for index in range(80):
            frame = Frame(index, index / 25, CLIP.frames[0].rgb.copy())
            alive.add(frame)
            yield frame

    seen = Estimate.from_mask(CLIP.masks[0].astype(np.float32), 0.8)
    for queries in ([Query(text="it")], [Query(text="it"), Query(text="it", box_xyxy=BOX)]):
        tracker = fake_tracker(
            lambda frame, text: seen, lambda frame: seen, fusion=FusionConfig(look_ahead=4)
        )
        held = [len(alive) for _ in tracker.track_all(frames(), queries)]
        assert len(held) == 80 and max(held) <= 4 + 2 + 3  # ahead, in the second thread, in hand


def test_large_pictures_are_looked_ahead_at_and_gone_back_to_as_far_as_memory_lasts():
    config = FusionConfig(look_ahead=32)
    assert [config.frames_ahead(hw) for hw in ((360, 640), (1080, 1920), (2160, 3840), (9000, 9000))] == [
        (32, 96), (20, 20), (5, 5), (1, 1),
    ]  # fmt: skip


def test_what_waits_while_it_is_looked_ahead_has_its_mask_in_bytes():
    alive: weakref.WeakSet = weakref.WeakSet()

    def seen(confidence: float) -> Estimate:
        estimate = Estimate.from_mask(CLIP.masks[0].astype(np.float32) * np.float32(0.9), confidence)
        alive.add(estimate)
        return estimate

    tracker = fake_tracker(
        lambda frame, text: seen(0.8 if frame.index == 11 else 0.6),
        lambda frame: seen(0.8),
        fusion=FusionConfig(look_ahead=12),
    )
    tracker.prefetch = 0
    steps = tracker.track(CLIP.frames, Query(text="it"))
    first = next(steps)
    assert tracker.starts[0][0] == 11  # all twelve frames wait, eleven of them with the way back done
    assert len(alive) <= 3
    rest = list(steps)
    assert [step.decision.state for step in (first, *rest)] == ["tracking"] * 12
    for estimate in (first.language, first.tracker, first.fused):
        assert np.array_equal(estimate.mask, CLIP.masks[0]) and estimate.mask_prob.max() == np.float32(
            230 / 255
        )


def test_each_target_looks_ahead_for_itself():
    tracker = scripted(lambda t: {2: 0.8, 5: 0.9}.get(t, 0.2), fusion=FusionConfig(look_ahead=6))
    queries = [Query(text="it"), Query(text="it", box_xyxy=BOX), Query(text="that")]
    rows = list(tracker.track_all(CLIP.frames, queries))
    assert [[step.frame.index for step in row] for row in rows] == [[t] * 3 for t in range(12)]
    assert tracker.segmenter.frames == [t for t in range(12) for _ in ("it", "that")]
    founds = [
        [s.frame.index for s in track if s.decision.reason == "found"] for track in zip(*rows, strict=True)
    ]
    assert founds == [[5], [], [5]]


def test_a_box_alone_never_asks_the_language_branch():
    tracker = scripted()
    steps = list(tracker.track(CLIP.frames, Query(box_xyxy=BOX)))
    assert tracker.starts == [(0, tuple(BOX))]
    assert tracker.segmenter.frames == []
    assert all(s.language is None and s.decision.source == "tracker" for s in steps)


def test_a_drawn_box_is_the_fused_one_on_its_frame_and_no_further():
    box = BOX + 3
    steps = list(scripted().track(CLIP.frames, Query(text="it", box_xyxy=box)))
    assert steps[0].fused.box_xyxy == pytest.approx(box) and steps[0].fused.confidence == 1
    assert [step.decision.reason for step in steps[:2]] == ["user_box", "agree"]
    assert (steps[0].fused.mask_prob == steps[0].tracker.mask_prob).all()


@pytest.mark.parametrize("first", [0.0, 0.05])
def test_a_drawn_target_is_not_lost_by_what_the_tracker_sees_on_its_frame(first):
    def tracker(frame):
        if frame.index == 0 and not first:
            return Estimate.absent(frame.size_hw)
        mask = CLIP.masks[frame.index].astype(np.float32)
        return Estimate.from_mask(mask, 0.3 if frame.index else first)

    branches = fake_tracker(lambda frame, text: None, tracker, fusion=FusionConfig(lost_after=1))
    steps = list(branches.track(CLIP.frames, Query(box_xyxy=BOX)))
    assert [s.decision.reason for s in steps] == ["user_box"] + ["tracker_only"] * 11


def test_text_and_box_run_both_from_the_first_frame():
    tracker = scripted()
    steps = list(tracker.track(CLIP.frames, Query(text="it", box_xyxy=BOX)))
    assert all(s.tracker is not None and s.language is not None for s in steps)


def test_language_runs_on_every_kth_frame_counted_from_the_start():
    tracker = scripted()
    steps = list(tracker.track(CLIP.frames, Query(text="it", start=2), every=3))
    assert tracker.segmenter.frames == [2, 5, 8, 11]
    assert [s.frame.index for s in steps] == list(range(2, 12))


def test_lost_and_found_again():
    tracker = scripted(
        language=lambda t: 0.05 if 3 <= t < 8 else 0.9,
        tracker=lambda t: 0.8 if t < 3 else 0.05,
        fusion=FusionConfig(lost_after=3),
    )
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    assert [s.decision.state for s in steps] == ["tracking"] * 5 + ["lost"] * 3 + ["tracking"] * 4
    assert [s.fused.box_xyxy is not None for s in steps] == [True] * 5 + [False] * 3 + [True] * 4
    assert [index for index, _ in tracker.starts] == [0, 8]


def test_closer_views_are_asked_on_every_third_frame_while_nothing_is_followed_and_the_whole_is_unsure():
    tracker = scripted(lambda t: 0.1 if t < 8 else 0.9, lambda t: 0.8)
    sure = Estimate.from_mask(CLIP.masks[6].astype(np.float32), 0.9)
    closer = {3: replace(sure, confidence=0.5), 5: sure, 6: sure}
    tracker.segmenter.closer = lambda frame, text: closer.get(frame.index)
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    assert tracker.segmenter.searched == [0, 3, 6]
    assert [s.decision.state for s in steps[:7]] == ["searching"] * 6 + ["tracking"]
    assert steps[3].language.confidence == 0.1 and steps[6].language.confidence == 0.9
    assert np.array_equal(steps[6].language.mask_u8, sure.mask_u8)
    assert tracker.starts == [(6, tuple(CLIP.boxes_xyxy[6]))]


def test_a_lost_target_is_looked_for_closer_on_every_third_frame():
    tracker = scripted(lambda t: 0.95 if t == 0 else 0.05, lambda t: 0.05, fusion=FusionConfig(lost_after=1))
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    assert [s.decision.state for s in steps] == ["tracking"] + ["lost"] * 11
    assert tracker.segmenter.searched == [4, 7, 10]  # on the first frame after the start around the target


def test_a_sure_whole_needs_no_closer_view():
    tracker = scripted()
    list(tracker.track(CLIP.frames, Query(text="it")))
    assert tracker.segmenter.searched == []


def test_what_a_run_may_start_on_is_asked_again_in_a_finer_precision():
    coarse = {2: 0.43, 3: 0.9, 5: 0.46}
    tracker = scripted(lambda t: coarse.get(t, 0.1), fusion=FusionConfig(start=0.44, look_ahead=1))
    finer = scripted(lambda t: {2: 0.4, 3: 0.42, 5: 0.47}.get(t, 0.3)).segmenter
    tracker.segmenter.finer = finer
    steps = list(tracker.track(CLIP.frames, Query(text="it")))
    assert finer.frames == [2, 3, 5]  # where something was seen, until it is followed
    assert finer.searched == [0, 3] and not tracker.segmenter.searched
    assert [s.decision.state for s in steps] == ["searching"] * 5 + ["tracking"] * 7
    assert [s.language.confidence for s in steps[2:7]] == [0.4, 0.42, 0.1, 0.47, 0.1]


def test_a_target_that_is_held_to_is_not_searched_for():
    tracker = scripted(lambda t: 0.05, lambda t: 0.8 if t < 3 else 0.05, fusion=FusionConfig(lost_after=2))
    steps = list(tracker.track(CLIP.frames, Query(text="it", box_xyxy=BOX, hold=True)))
    assert steps[-1].decision.state == "lost" and tracker.segmenter.searched == []


def test_around_the_target_every_third_language_frame_is_looked_at_and_the_surer_answer_counts():
    tracker, looks = scripted(lambda t: 0.6, lambda t: 0.8), []
    sure = Estimate.from_mask(CLIP.masks[6].astype(np.float32), 0.9)

    def look_around(frame, encoded, box_xyxy):
        looks.append((frame.index, tuple(box_xyxy)))
        return replace(sure, confidence=0.9 if frame.index == 7 else 0.5)

    tracker.segmenter.look_around = look_around
    steps = {
        s.frame.index: s for s in tracker.track(CLIP.frames, Query(text="it", box_xyxy=BOX, start=1), every=2)
    }
    assert looks == [(index, tuple(steps[index].tracker.box_xyxy)) for index in (1, 7)]
    assert steps[7].language.confidence == 0.9 and steps[1].language.confidence == 0.6


@pytest.mark.parametrize("every", [0, 1.5])
def test_a_cadence_that_is_no_number_of_frames_is_refused_before_any(every):
    tracker = scripted()
    with pytest.raises(LangTrackError, match=f"got {every}"):
        next(tracker.track(unread(), Query(text="it"), every=every))


def test_an_expression_that_cannot_be_read_is_refused_before_any_frame():
    tracker = random_tracker()
    with pytest.raises(LangTrackError):
        next(tracker.track(unread(), Query(text="xyzzy")))


def unread():
    raise AssertionError("a frame was read")
    yield


def random_tracker():
    """Both lite networks with random weights: nothing sensible comes out, but always the same."""
    torch.manual_seed(0)
    words = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
    classes = torch.nn.functional.normalize(torch.randn(1000, 16), dim=1)
    network = LiteDMN(words, classes, LiteConfig(channels=16, hidden=16, filters=2, skip8=8, skip4=8))
    vocabulary = Vocabulary.from_lines(["the", "red", "ellipse", "thing"], "plain")
    config = SegmenterConfig(Preprocessing.lite((96, 96)), largest_region=True, refine_edges=True)
    segmenter = DMNSegmenter(network.eval(), vocabulary, config)
    siamese = LiteNetwork().eval()
    return LangTracker(segmenter, lambda: SiamMaskTracker(siamese, CONFIGS["lite"]), FusionConfig(start=0.0))


def outcome(step):
    parts = []
    for estimate in (step.language, step.tracker, step.fused):
        if estimate is not None:
            parts += [estimate.mask_prob.tobytes(), estimate.confidence, repr(estimate.box_xyxy)]
    return (step.frame.index, step.decision, *parts)


def test_two_runs_interleaved_give_exactly_what_each_gives_alone():
    tracker = random_tracker()
    other = moving_object(6, seed=5)
    one, two = Query(text="the red ellipse"), Query(text="thing", box_xyxy=other.boxes_xyxy[0])
    frames = CLIP.frames[:6]
    alone = [
        [outcome(s) for s in tracker.track(clip, query)]
        for clip, query in ((frames, one), (other.frames, two))
    ]
    first, second = tracker.track(frames, one), tracker.track(other.frames, two)
    mixed: list[list] = [[], []]
    for _ in range(6):
        mixed[0].append(outcome(next(first)))
        mixed[1].append(outcome(next(second)))
    assert mixed == alone
    assert alone[0] != alone[1]


def test_backward_goes_from_the_start_frame_to_the_first():
    tracker = scripted()
    steps = list(tracker.track(CLIP.frames[7::-1], Query(text="it", start=7), every=3))
    assert [s.frame.index for s in steps] == list(range(7, -1, -1))
    assert tracker.segmenter.frames == [7, 4, 1]
    assert tracker.starts == [(7, tuple(CLIP.boxes_xyxy[7]))]


def test_several_targets_share_one_decoding_and_are_what_each_is_alone():
    tracker = random_tracker()
    queries = [Query(text="the red ellipse"), Query(text="thing", box_xyxy=BOX)]
    decoded = []

    def frames():
        for frame in CLIP.frames[:5]:
            decoded.append(frame.index)
            yield frame

    together = list(tracker.track_all(frames(), queries, every=2))
    assert decoded == list(range(5))
    for place, query in enumerate(queries):
        alone = tracker.track(CLIP.frames[:5], query, every=2)
        assert [outcome(s[place]) for s in together] == [outcome(s) for s in alone]
    with pytest.raises(LangTrackError, match="one start frame"):
        next(tracker.track_all(CLIP.frames, [Query(text="it"), Query(text="it", start=2)]))


@pytest.mark.parametrize("every", [1, 3])
def test_frames_that_a_gpu_is_asked_about_together_give_what_each_gives_alone(every):
    one_by_one, together = random_tracker(), random_tracker()
    together.segmenter.at_once = 4
    query = Query(text="the red ellipse", start=1)
    rows = [[*tracker.track(CLIP.frames, query, every=every)] for tracker in (one_by_one, together)]
    assert len(rows[0]) == 11
    for alone, in_a_call in zip(*rows, strict=True):
        assert (alone.language is None) == (in_a_call.language is None)
        assert in_a_call.decision.state == alone.decision.state
        np.testing.assert_allclose(in_a_call.fused.mask_prob, alone.fused.mask_prob, atol=1.01 / 255)


def test_one_frame_can_be_segmented_alone_with_all_its_regions():
    segmenter = random_tracker().segmenter
    encoded = segmenter.encode("the red ellipse")
    one = segmenter.segment(CLIP.frames[0], encoded)
    every = segmenter.segment(CLIP.frames[0], encoded, every_region=True)
    assert not (one.mask & ~every.mask).any()
    positive = every.mask_prob > 129 / 255
    assert (one.mask_prob[~positive] == every.mask_prob[~positive]).all()


def test_targets_with_the_same_words_share_the_language_branch():
    tracker = scripted()
    queries = [
        Query("it", BOX, hold=True),
        Query("it", BOX + 3, hold=True),
        Query("that", BOX),
        Query(None, BOX),
    ]
    rows = list(tracker.track_all(CLIP.frames, queries, every=2))
    assert tracker.segmenter.frames == [frame for frame in range(0, 12, 2) for _ in ("it", "that")]
    assert rows[0][0].language is rows[0][1].language and rows[0][3].language is None
