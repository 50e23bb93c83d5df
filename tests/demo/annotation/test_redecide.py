"""A recorded run decided anew: equal to a real run where the recording can know it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_branches import decided, fake_tracker
from synthetic import moving_object, write_folder

from demo.annotation.redecide import (
    PATH_NOTE,
    FusionOverrides,
    Redecided,
    corners_of,
    redecide,
    redecided_run,
    steps_from_run,
)
from demo.timeline import FrameGeometry
from langtrack_core.fusion import FusionConfig
from langtrack_core.masks import encode_rle
from langtrack_core.run.recorder import Recorder, RunOptions
from langtrack_core.types import Estimate, Frame, LangTrackError, Query
from langtrack_core.video import probe, read_frames
from langtrack_lab.metrics.masks import mask_iou
from langtrack_lab.runs import BranchBox, Row, Run, decode_rle, read_run

CLIP = moving_object(24)
HEIGHT, WIDTH = CLIP.frames[0].size_hw


def whim(seed: int) -> Callable[[Frame], Estimate]:
    """The truth, shifted by a whim of the frame, with that frame's confidence. Where a branch was started
    plays no part, so that a recording can know everything."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0, 1, len(CLIP.frames)).round(4)
    shift = rng.choice([0, 0, 25], len(CLIP.frames))

    def answer(frame: Frame) -> Estimate:
        mask = np.roll(CLIP.masks[frame.index], shift[frame.index], axis=1)
        return Estimate.from_mask(mask.astype(np.float32), confidence[frame.index])

    return answer


def recorded(
    folder: Path, seed: int, query: Query, every: int = 1, fusion: FusionConfig | None = None
) -> Run:
    language = whim(seed)
    tracker = fake_tracker(lambda frame, text: language(frame), whim(seed + 100), fusion=fusion)
    clip = folder / "clip"
    if not clip.exists():
        write_folder(CLIP, clip)
    out = folder / f"run-{seed}-{every}-{fusion is None}"
    with Recorder(out, probe(clip), query, tracker.info, RunOptions(every, video=False)) as recorder:
        for step in tracker.track(CLIP.frames, query, every=every):
            recorder.add(step)
    return read_run(out)


def same(a: Run, b: Run) -> None:
    """All that a run says; the tracker's first look on a frame is recorded in both."""
    for x, y in zip(a.rows, b.rows, strict=True):
        assert (x.frame, x.decision) == (y.frame, y.decision)
        for one, other in ((x.fused, y.fused), (x.language, y.language), (x.tracker, y.tracker)):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.confidence == other.confidence
                np.testing.assert_equal(one.box_xyxy, other.box_xyxy)


TEXT, BOTH = Query(text="it"), Query(text="it", box_xyxy=CLIP.boxes_xyxy[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("query", [TEXT, BOTH], ids=["text", "both"])
@pytest.mark.parametrize(
    "fusion",
    [
        FusionConfig(look_ahead=1),
        FusionConfig(start=0.6, look_ahead=5),
        FusionConfig(),
        FusionConfig(lost=0.8, lost_after=1),
    ],
)
def test_with_its_own_settings_a_run_comes_out_as_it_was(
    tmp_path: Path, seed: int, query: Query, fusion: FusionConfig
) -> None:
    run = recorded(tmp_path, seed, query, every=2, fusion=fusion)
    overrides = FusionOverrides.of_run(run)
    assert overrides == FusionOverrides(fusion, every=2)
    result = redecide(run, overrides)
    assert result.changed == 0 and result.notes == (PATH_NOTE,)
    same(redecided_run(run, overrides), run)
    assert all(
        redecided_run(run, overrides).mask(row.frame, "fused").tolist()
        == run.mask(row.frame, "fused").tolist()  # type: ignore[union-attr]
        for row in run.rows
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "fusion", [FusionConfig(start=0.2, lost=0.1), FusionConfig(reanchor_after=1, margin=0.0, lost=0.4)]
)
def test_other_settings_give_what_a_real_run_with_them_gives(
    tmp_path: Path, seed: int, fusion: FusionConfig
) -> None:
    """The tracker is started on the first frame by a box, so no setting can start it elsewhere."""
    run, real = recorded(tmp_path, seed, BOTH), recorded(tmp_path, seed, BOTH, 3, fusion)
    again = redecided_run(run, FusionOverrides(fusion, every=3))
    same(again, real)
    for row in real.rows:
        if not row.decision.agree:  # there the mean of two maps, which are not kept
            assert mask_iou(again.mask(row.frame, "fused"), real.mask(row.frame, "fused")) == 1  # type: ignore[arg-type]
    assert again.manifest["what_if"]["reanchor_after"] == fusion.reanchor_after
    assert run.manifest.get("what_if") is None  # the run itself stays


def first_anchor(result: Redecided) -> int:
    return next(row.frame for row in result.rows if row.decision.reanchor)


def test_a_later_start_hides_the_tracker_until_then(tmp_path: Path) -> None:
    run = recorded(tmp_path, 1, TEXT)
    strict = redecide(run, FusionOverrides(FusionConfig(start=0.9, look_ahead=1)))
    first = first_anchor(strict)
    assert first > first_anchor(redecide(run, FusionOverrides(FusionConfig(look_ahead=1))))
    assert all(
        row.tracker is None and row.decision.source is None for row in strict.rows if row.frame < first
    )


def test_a_run_from_before_the_look_ahead_is_decided_without_it(tmp_path: Path) -> None:
    run = recorded(tmp_path, 1, TEXT)
    del run.manifest["settings"]["fusion"]["look_ahead"]
    overrides = FusionOverrides.of_run(run)
    assert overrides.fusion.look_ahead == 1 and redecide(run, overrides).changed == 0


@pytest.mark.parametrize("video", [None, [], {"height": 0, "width": 0}, {"height": "x"}])
def test_a_manifest_that_says_nothing_of_its_video_is_decided_all_the_same(
    tmp_path: Path, video: object
) -> None:
    run = recorded(tmp_path, 1, TEXT, fusion=FusionConfig())
    run.manifest["video"] = video
    assert redecide(run, FusionOverrides.of_run(run)).changed == 0


@pytest.mark.parametrize(("rule", "source"), [("language", "language"), ("tracker", "tracker")])
def test_one_branch_alone(tmp_path: Path, rule: str, source: str) -> None:
    run = recorded(tmp_path, 2, BOTH)
    result = redecide(run, FusionOverrides(FusionConfig(lost=0.25), rule=rule))  # type: ignore[arg-type]
    first, *later = result.rows
    assert first.decision.reason == "user_box" and {row.decision.source for row in later} == {source, None}
    for row in later:
        branch = getattr(row, source)
        assert (row.decision.source == source) == (branch.confidence >= 0.25)
        assert row.decision.state in ("tracking", "searching", "lost")
    states = [row.decision.state for row in result.rows]
    assert "searching" not in states[states.index("tracking") :]


def test_what_the_recording_cannot_know_is_said(tmp_path: Path) -> None:
    run = recorded(tmp_path, 0, TEXT, every=2)
    (_, note) = redecide(run, FusionOverrides(every=3)).notes
    assert "one frame in 2" in note
    assert len(redecide(run, FusionOverrides(every=4)).notes) == 1
    box_only = recorded(tmp_path, 5, Query(box_xyxy=CLIP.boxes_xyxy[0]))
    assert "no expression" in redecide(box_only, FusionOverrides(rule="language")).notes[-1]


def test_ten_thousand_frames_take_less_than_a_second_of_computing() -> None:
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 300, (10_000, 2, 2)), axis=1).reshape(-1, 4)
    rows = [
        Row(k, k / 25, decided("tracker"), BranchBox(b, 0.5), BranchBox(b, p), BranchBox(b + 9, q))
        for k, (b, p, q) in enumerate(zip(boxes, *rng.uniform(0, 1, (2, 10_000)), strict=True))
    ]
    start_s = time.process_time()
    assert len(redecide(Run({}, rows, {}), FusionOverrides(every=2)).rows) == 10_000
    # Processor time, not wall time: five times what an idle machine needs.
    assert time.process_time() - start_s < 2.5


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"start": float("nan")}, "start must be a finite number"),
        ({"start": 1.5}, r"start must be in \[0, 1\]"),
        ({"every": 0}, "every must be"),
        ({"every": 1.5}, "every must be a whole number"),
        ({"reanchor_after": True}, "reanchor_after must be a whole number"),
        ({"reanchor_after": 0}, r"reanchor_after must be in \[1, 30\]"),
        ({"rule": "magic"}, "rule must be one of fused, language, tracker"),
        ({"rule": ["fused"]}, "rule must be one of"),
        ({"rectangle": "round"}, "rectangle must be one of"),
        ({"speed": 3}, "no what-if setting 'speed'"),
        ([], "an object"),
    ],
)
def test_settings_from_outside_are_checked(document: object, why: str) -> None:
    with pytest.raises(LangTrackError, match=why):
        FusionOverrides.from_json(document)  # type: ignore[arg-type]


def test_settings_survive_json() -> None:
    overrides = FusionOverrides(
        FusionConfig(start=0.3, reanchor_after=5), every=4, rule="tracker", rectangle="rotated"
    )
    assert FusionOverrides.from_json(overrides.to_json()) == overrides
    assert FusionOverrides.from_json({}) == FusionOverrides()


def test_a_masks_size_is_kept_where_nothing_is_chosen(tmp_path: Path) -> None:
    run = recorded(tmp_path, 3, TEXT)
    none = redecided_run(run, FusionOverrides(FusionConfig(start=1.0, lost=1.0)))
    for row in none.rows:
        mask = none.mask(row.frame, "fused")
        assert mask is not None and mask.shape == (HEIGHT, WIDTH) and not mask.any()
        assert none.masks[row.frame]["fused"] == encode_rle(mask)


def test_steps_again_write_the_same_run(tmp_path: Path) -> None:
    run = recorded(tmp_path, 4, BOTH, every=2)
    clip = tmp_path / "clip"
    with Recorder(tmp_path / "again", probe(clip), BOTH, {}, RunOptions(2, video=False)) as recorder:
        for step in steps_from_run(run, read_frames(clip)):
            recorder.add(step)
    again = read_run(tmp_path / "again")
    same(again, run)
    assert again.masks == run.masks


def test_steps_again_refuses_another_video(tmp_path: Path) -> None:
    run = recorded(tmp_path, 4, BOTH)
    other = moving_object(3, (64, 64))
    with pytest.raises(LangTrackError, match="another video"):
        list(steps_from_run(run, other.frames))


def test_rotated_rectangles_are_those_that_the_videos_show(tmp_path: Path) -> None:
    """Around the fused mask, which is no branch's own where both agree."""
    run = recorded(tmp_path, 4, BOTH)
    for rles in run.masks.values():
        rles["fused"] = encode_rle(np.roll(decode_rle(rles["fused"]), 5, axis=1))
    geometry = FrameGeometry.of_run(run)
    assert {row.decision.agree for row in run.rows} == {True, False}
    for step, corners in zip(steps_from_run(run, CLIP.frames), corners_of(run, run.rows), strict=True):
        if step.fused.corners_xy is not None:
            shown = [round(float(value), 1) for value in step.fused.corners_xy.ravel()]
            assert corners == shown
            on_page = geometry[step.frame.index].fused_corners
            assert on_page == (shown if step.decision.agree else None)
            assert FrameGeometry.of_step(step).fused_corners == on_page


def test_rotated_rectangles_of_a_run_without_masks_are_its_boxes(tmp_path: Path) -> None:
    run = recorded(tmp_path, 4, BOTH)
    bare = dataclasses.replace(run, masks={})
    for corners, boxed, row in zip(
        corners_of(run, run.rows), corners_of(bare, run.rows), run.rows, strict=True
    ):
        assert (corners is None) == (row.fused.box_xyxy is None)
        if corners is not None and boxed is not None:
            assert len(corners) == 8
            x1, y1, x2, y2 = row.fused.box_xyxy  # type: ignore[misc]
            assert boxed == [x1, y1, x2, y1, x2, y2, x1, y2]
            assert min(corners[::2]) > x1 - 8 and max(corners[::2]) < x2 + 8
