"""Pictures: what is drawn where, in whose colour, and that absence draws nothing but its label."""

from __future__ import annotations

import numpy as np
import pytest
from fake_branches import oracle_tracker
from synthetic import moving_object

from langtrack_core.run.render import PANELS, Panel, Style, draw, line_width
from langtrack_core.types import Branch, Decision, Estimate, Frame, Query, Reason, State, Step

SIZE_HW = (240, 320)
BOX = np.array([100.0, 80.0, 180.0, 160.0])
PLAIN = Style(labels=False)


def step_with(estimate: Estimate | None, rgb_value: int = 90, **changes) -> Step:
    frame = Frame(7, 0.28, np.full((*SIZE_HW, 3), rgb_value, np.uint8))
    fused = estimate or Estimate.absent(SIZE_HW)
    return Step(frame, estimate, estimate, fused, decision(fused, **changes))


def decision(fused: Estimate, source: Branch = "language", state: State = "tracking") -> Decision:
    return Decision(
        source if fused.box_xyxy is not None else None, state, fused.confidence, False, False, Reason.FOUND
    )


def box_estimate(box: np.ndarray = BOX) -> Estimate:
    x1, y1, x2, y2 = box.astype(int)
    mask_prob = np.zeros(SIZE_HW, np.float32)
    mask_prob[y1:y2, x1:x2] = 1
    return Estimate.from_mask(mask_prob, 0.75)


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("size_hw", [(96, 128), (33, 47), (1, 1), (7, 300)])
def test_every_panel_keeps_the_size_and_leaves_the_frame_alone(panel: Panel, size_hw):
    rgb = np.random.default_rng(1).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    before = rgb.copy()
    mask = np.ones(size_hw, np.float32)
    for estimate in (Estimate.from_mask(mask, 0.5), Estimate.absent(size_hw), None):
        fused = estimate or Estimate.absent(size_hw)
        step = Step(Frame(0, 0.0, rgb), estimate, estimate, fused, decision(fused))
        picture = draw(step, panel, Style(rotated=True))
        assert picture.shape == rgb.shape and picture.dtype == np.uint8
        assert np.array_equal(rgb, before) and not np.shares_memory(picture, rgb)


def test_rectangle_is_solid_red_on_the_box_edge_and_nowhere_else():
    picture = draw(step_with(box_estimate()), "rectangle", PLAIN)
    red = (picture == Style().language_rgb).all(axis=2)
    x1, y1, x2, y2 = BOX.astype(int)
    for edge in (red[y1, x1:x2], red[y2 - 1, x1:x2], red[y1:y2, x1], red[y1:y2, x2 - 1]):
        assert edge.all()
    reach = line_width(SIZE_HW) + 2
    assert (picture[: y1 - reach] == 90).all() and (picture[:, x2 + reach :] == 90).all()
    assert (picture[y1 + reach : y2 - reach, x1 + reach : x2 - reach] == 90).all()


def test_box_at_the_border_of_the_picture_is_drawn_whole():
    height, width = SIZE_HW
    whole = box_estimate(np.array([0.0, 0.0, width, height]))
    red = (draw(step_with(whole), "rectangle", PLAIN) == Style().language_rgb).all(axis=2)
    assert red[1, 3:-3].all() and red[-2, 3:-3].all() and red[3:-3, 1].all() and red[3:-3, -2].all()


def test_mask_panel_changes_the_mask_and_its_outline_only():
    clip = moving_object(2, SIZE_HW)
    step = next(oracle_tracker(clip.masks).track(clip.frames, Query(text="red")))
    picture = draw(step, "mask", PLAIN)
    changed = (picture != step.frame.rgb).any(axis=2)
    inside = clip.masks[0]
    grown = np.zeros_like(inside)
    for shift_y in range(-2, 3):
        for shift_x in range(-2, 3):
            grown |= np.roll(inside, (shift_y, shift_x), (0, 1))
    assert changed[inside].mean() > 0.99
    assert not (changed & ~grown).any()


@pytest.mark.parametrize("source", ["language", "tracker"])
def test_fused_has_the_colour_of_its_source(source):
    picture = draw(step_with(box_estimate(), source=source), "fused", PLAIN)
    assert tuple(picture[int(BOX[1]), 140]) == Style().colour(source)
    assert Style().colour("language") != Style().colour("tracker")
    assert (picture[120, 140] != 90).any()  # its mask is tinted


def test_rotated_rectangle_is_drawn_on_request_and_thinner():
    clip = moving_object(1, SIZE_HW, seed=0)  # a tilted ellipse: the two rectangles differ
    step = next(oracle_tracker(clip.masks).track(clip.frames, Query(text="red")))
    assert step.language is not None and step.language.corners_xy is not None
    upright, both = (draw(step, "rectangle", Style(labels=False, rotated=r)) for r in (False, True))
    extra = (upright != both).any(axis=2)
    assert 20 < np.count_nonzero(extra) < 4 * np.hypot(*SIZE_HW)


@pytest.mark.parametrize("panel", PANELS)
def test_absent_draws_no_box_but_says_so(panel: Panel):
    step = step_with(Estimate.absent(SIZE_HW), state="lost")
    assert np.array_equal(draw(step, panel, PLAIN), step.frame.rgb)
    labelled = draw(step, panel)
    changed = np.argwhere((labelled != step.frame.rgb).any(axis=2))
    assert len(changed) > 50 and changed[:, 0].max() < 40  # in the top corner alone


def test_searching_and_lost_have_labels_of_their_own():
    absent = Estimate.absent(SIZE_HW)
    searching, lost = (draw(step_with(absent, state=state), "fused") for state in ("searching", "lost"))
    assert not np.array_equal(searching, lost)


@pytest.mark.parametrize("background", [0, 255, 128])
def test_label_is_readable_on_any_background(background):
    label = draw(step_with(None, background), "fused")[:16, :60].astype(int)
    assert label.max() - label.min() > 130


def test_lines_scale_with_the_picture():
    assert line_width((100, 100)) == 2 and line_width((1080, 1920)) == 9
    assert line_width((1920, 1080)) == 9


def test_unknown_panel_is_named():
    with pytest.raises(ValueError, match="heat"):
        draw(step_with(None), "heat")  # type: ignore[arg-type]
