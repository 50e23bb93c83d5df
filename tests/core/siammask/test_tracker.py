"""The tracker around canned network outputs (golden rows), and its behaviour on odd input."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from langtrack_core.geometry import box_iou, clip_box, cxcywh_to_xyxy, xyxy_to_cxcywh
from langtrack_core.masks import enclosing_box, enclosing_rectangle, largest_component
from langtrack_core.siammask.box_regressor import BoxRegressor
from langtrack_core.siammask.crops import crop, paste
from langtrack_core.siammask.network import Response, Template
from langtrack_core.siammask.tracker import CONFIGS, SiamMaskTracker, TrackerConfig
from langtrack_core.types import Frame, LangTrackError

GOLDEN = Path(__file__).parents[2] / "golden" / "siammask_postprocess_canned.npz"


class CannedNetwork:
    """Gives the golden outputs, one step after another, whatever it is shown."""

    def __init__(self):
        self.t = 0

    def preprocess(self, crop_rgb):
        return torch.from_numpy(crop_rgb.copy())

    def template(self, pictures):
        nothing = torch.zeros(1)
        return Template(nothing, (nothing, nothing, nothing))

    def search(self, template, pictures):
        self.t += 1
        random = np.random.RandomState(99 + self.t)
        y, x = np.mgrid[:25, :25]
        cx, cy = 12 + 3 * np.sin(0.7 * self.t), 12 + 2 * np.cos(0.9 * self.t)
        blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 6)
        cls = 0.3 * random.randn(1, 10, 25, 25)
        cls[:, 5:] += 4 * blob
        cls[:, :5] -= 2 * blob
        loc = 0.1 * random.randn(1, 20, 25, 25)
        nothing = torch.zeros(1)
        as_float = [torch.from_numpy(v.astype(np.float32)) for v in (cls, loc)]
        return Response(*as_float, nothing, (nothing, nothing, nothing), torch.zeros(1, 1, 32, 32))

    def refine(self, response, cells):
        angle = np.deg2rad(20 + 3 * self.t)
        y, x = np.mgrid[:127, :127]
        u = (x - 63) * np.cos(angle) + (y - 60) * np.sin(angle)
        v = -(x - 63) * np.sin(angle) + (y - 60) * np.cos(angle)
        logits = 6 * np.exp(-((u / 22) ** 2 + (v / 44) ** 2)) - 3
        return torch.from_numpy(logits.astype(np.float32))[None]


class EmptyMasks(CannedNetwork):
    def refine(self, response, cells):
        return torch.full((1, 127, 127), -9.0)


class Steady(CannedNetwork):
    """Sees the same in every crop."""

    def search(self, template, pictures):
        self.t = 0
        return super().search(template, pictures)


def frame(index=0, size_hw=(480, 854), colour=90):
    return Frame(index, index / 25, np.full((*size_hw, 3), colour, np.uint8))


def started(network=None, config=CONFIGS["davis"], **options):
    """Before the first golden step: starting takes a look of its own, which the golden rows do not count."""
    network = network or CannedNetwork()
    tracker = SiamMaskTracker(network, config, **options)
    tracker.init(frame(), [300, 150, 450, 400])
    network.t = 0
    return tracker


def same_rectangle(a, b, tolerance):
    """The same corners, whichever comes first."""
    return any(np.abs(np.roll(a, turn, axis=0) - b).max() < tolerance for turn in range(4))


def rectangle_through_pixel_centres(mask):
    """The published rotated rectangle: of the largest region, a pixel's centre being its index."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.boxPoints(cv2.minAreaRect(max(outlines, key=cv2.contourArea)))


def test_eleven_steps_are_the_published_trackers():
    """Golden rows: centre, size and score of the regressed box, rotated rectangle, pixels of the mask.

    Where the search goes does not depend on the masks, and without any the regressed box is given out.
    """
    tracker, without_masks = started(), started(EmptyMasks())
    for t, row in enumerate(np.load(GOLDEN)["rows"], start=1):
        estimate = tracker.update(frame(t))
        regressed = without_masks.update(frame(t))
        box = clip_box(cxcywh_to_xyxy(row[:4]), (480, 854))
        assert np.abs(regressed.box_xyxy - box).max() < 0.05
        assert estimate.confidence == regressed.confidence == pytest.approx(row[4], abs=1e-4)
        assert same_rectangle(rectangle_through_pixel_centres(estimate.mask), row[5:13].reshape(4, 2), 0.05)
        assert np.count_nonzero(estimate.mask) == row[13]
        # The box and the rectangle that are given out follow the half-open convention instead.
        region = largest_component(estimate.mask)
        assert np.array_equal(estimate.box_xyxy, enclosing_box(region))
        assert same_rectangle(estimate.corners_xy, enclosing_rectangle(region), 0.05)


def test_an_empty_mask_leaves_the_regressed_box():
    estimate = started(EmptyMasks()).update(frame(1))
    assert not estimate.mask.any() and estimate.box_xyxy is not None
    assert np.allclose(estimate.corners_xy[[0, 2]].ravel(), estimate.box_xyxy)


def test_starting_gives_the_first_estimate_and_the_next_search_starts_from_the_given_box():
    user_box = [300, 150, 450, 400]
    tracker, again = (SiamMaskTracker(Steady(), CONFIGS["davis"]) for _ in range(2))
    first = tracker.init(frame(), user_box)
    assert first.box_xyxy is not None and first.mask.any()
    again.init(frame(), user_box)
    again.reanchor(frame(), user_box)  # learns without a look
    for later in (tracker.update(frame(1)), again.update(frame(1))):
        assert np.array_equal(later.mask_prob, first.mask_prob)
        assert np.array_equal(later.box_xyxy, first.box_xyxy)
    assert not np.array_equal(tracker.update(frame(2)).box_xyxy, first.box_xyxy)  # this one went on


class Damaged(CannedNetwork):
    """From the third look on one of its outputs is not a number."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def search(self, template, pictures):
        response = super().search(template, pictures)
        if self.t > 2 and self.output != "mask":
            getattr(response, self.output)[0, 7, 3, 3] = torch.nan
        return response

    def refine(self, response, cells):
        return super().refine(response, cells) + (torch.nan if self.t > 2 and self.output == "mask" else 0)


@pytest.mark.parametrize("output", ["cls", "loc", "mask"])
def test_damaged_weights_are_named_not_followed(output):
    tracker = SiamMaskTracker(Damaged(output), CONFIGS["davis"])
    tracker.init(frame(), [300, 150, 450, 400])
    tracker.update(frame(1))
    with pytest.raises(LangTrackError, match=r"frame 7; its weights are damaged"):
        tracker.update(frame(7))


def test_update_before_init_names_the_missing_call():
    with pytest.raises(LangTrackError, match=r"call init\("):
        SiamMaskTracker(CannedNetwork(), CONFIGS["davis"]).update(frame())


@pytest.mark.parametrize(
    "box", [[900, 10, 950, 60], [-80, -80, -1, -1], [50, 50, 40, 60], [5, 5, 5, 9], [1, 2, np.nan, 4], [1, 2]]
)
def test_boxes_without_a_part_in_the_picture_are_refused(box):
    tracker = SiamMaskTracker(CannedNetwork(), CONFIGS["davis"])
    with pytest.raises(LangTrackError, match=r"outside .* 854x480|x2 > x1|four finite"):
        tracker.init(frame(), box)
    with pytest.raises(LangTrackError, match="no target yet"):
        tracker.update(frame())


def test_a_box_partly_outside_is_cut_to_the_picture():
    outside, inside = (
        SiamMaskTracker(CannedNetwork(), CONFIGS["davis"]).init(frame(), box)
        for box in ([-50, 400, 100, 900], [0, 400, 100, 480])
    )
    assert np.array_equal(outside.mask_prob, inside.mask_prob)


def test_a_second_init_forgets_the_first():
    used, fresh = started(), SiamMaskTracker(CannedNetwork(), CONFIGS["davis"])
    used.update(frame(1))
    used.network.t = 0
    for tracker in (used, fresh):
        tracker.init(frame(2, colour=30), [500, 200, 640, 300])
    a, b = used.update(frame(3)), fresh.update(frame(3))
    assert np.array_equal(a.mask_prob, b.mask_prob) and np.array_equal(a.box_xyxy, b.box_xyxy)


def test_later_boxes_relate_to_the_mask_as_the_given_one_did():
    user_box = [260, 100, 500, 420]  # the mask fills a part of it
    config = replace(CONFIGS["davis"], box_correction=1.0)
    tracker = SiamMaskTracker(Steady(), config)
    for exact in (True, False, True):
        box = tracker.init(frame(), user_box, exact=exact).box_xyxy
        tracker.reanchor(frame(), user_box, exact=exact)
        for later_box in (box, tracker.update(frame(1)).box_xyxy):
            assert box_iou(later_box, user_box) > 0.9 if exact else box_iou(later_box, user_box) < 0.7


def test_the_size_of_the_box_follows_slowly():
    fast, slow = (started(config=replace(CONFIGS["davis"], box_rate=rate)) for rate in (1.0, 0.5))
    user_box = [380, 200, 450, 280]  # far from the borders, which would cut it
    first = [tracker.init(frame(), user_box).box_xyxy for tracker in (fast, slow)]
    assert np.allclose(*first)
    (_, _, before_w, before_h), (_, _, w, h), (_, _, slow_w, slow_h) = (
        xyxy_to_cxcywh(box)
        for box in (first[0], fast.update(frame(1)).box_xyxy, slow.update(frame(1)).box_xyxy)
    )
    assert np.allclose([slow_w, slow_h], [np.sqrt(before_w * w), np.sqrt(before_h * h)])


def test_confidence_is_the_calibrated_score():
    raw = started().update(frame(1))
    calibrated = started(calibration=lambda score: score / 4).update(frame(1))
    assert calibrated.confidence == raw.confidence / 4


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 300), (5000, 3)])
def test_pictures_of_any_size_are_survived(size_hw):
    tracker = SiamMaskTracker(CannedNetwork(), CONFIGS["davis"])
    height, width = size_hw
    tracker.init(frame(0, size_hw), [0, 0, width, height])
    for t in (1, 2, 3):
        estimate = tracker.update(frame(t, size_hw))
        assert estimate.mask_prob.shape == size_hw


def test_crop_pads_with_the_given_colour_and_keeps_the_rest():
    rgb = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    picture = crop(rgb, (2.0, 3.0), 9, 9, (7, 8, 9))
    # round(2 - 5) = -3, round(3 - 5) = -2: three columns and two rows of padding
    assert (picture[:2] == (7, 8, 9)).all() and (picture[:, :3] == (7, 8, 9)).all()
    assert np.array_equal(picture[2:, 3:], rgb[:7, :6])
    assert (crop(rgb, (500, 500), 9, 5, (7, 8, 9)) == (7, 8, 9)).all()


def test_a_huge_crop_is_thinned_out_and_still_shows_the_same():
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[16:48, 16:48] = 200
    small = crop(rgb, (32, 32), 128, 64, (0, 0, 0))
    big = np.repeat(np.repeat(rgb, 80, 0), 80, 1)  # a crop of 10240 pixels
    difference = np.abs(crop(big, (32 * 80, 32 * 80), 128 * 80, 64, (0, 0, 0)).astype(int) - small)
    assert difference.mean() < 8  # of 200: the edges move by less than a pixel


def test_a_pasted_window_covers_what_its_cell_sees():
    side = 255.0  # one crop pixel is one picture pixel
    full = np.ones((127, 127), np.float32)
    for row, column in [(12, 12), (0, 0), (20, 7)]:
        whole = paste(full, np.array([100.0, 50.0]), side, row, column, (500, 600))
        left, top = 100 + 8 * (column - 4), 50 + 8 * (row - 4)
        assert box_iou(enclosing_box(whole > 0.5), [left, top, left + 127, top + 127]) > 0.97
        assert whole.min() >= 0 and whole.max() <= 1


@pytest.mark.parametrize(
    "bad", [{"lr": 1.5}, {"mask_threshold": -0.1}, {"penalty_k": -1.0}, {"context": -1.0}]
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(LangTrackError, match="must be"):
        TrackerConfig(**{"penalty_k": 0.1, "window_influence": 0.4, "lr": 0.3, "mask_threshold": 0.3, **bad})


class Growing(EmptyMasks):
    """Takes the target to be in the middle and half as large again; its features are the picture's own."""

    def search(self, template, pictures):
        cls = torch.full((1, 10, 25, 25), -3.0)
        cls[:, 7, 12, 12] = 3.0  # the square anchor, 64x64
        loc = torch.zeros(1, 20, 25, 25)
        loc[:, 10:] = np.log(1.5)
        rgb = pictures[None].permute(0, 3, 1, 2).float() / 255
        blurred = torch.nn.functional.avg_pool2d(rgb, 5, 1, 2)
        feature = torch.nn.functional.interpolate(torch.cat([rgb, blurred, 1 - rgb], 1), (32, 32))
        nothing = torch.zeros(1)
        return Response(cls, loc, nothing, (nothing, nothing, nothing), feature)


def test_the_box_regressor_keeps_the_size_of_a_part():
    y, x = np.mgrid[:300, :400]
    rings = 127 + 120 * np.cos(np.hypot(x - 200, y - 150) / 9)
    picture = Frame(0, 0.0, np.repeat(rings[..., None], 3, axis=2).astype(np.uint8))
    sides = {}
    for rate in (0.0, 0.5):
        tracker = SiamMaskTracker(Growing(), replace(CONFIGS["davis"], lr=0.3, regressor_rate=rate))
        tracker.init(picture, [170, 120, 230, 180])
        for _ in range(10):
            box = tracker.update(picture).box_xyxy
        sides[rate] = np.sqrt(np.prod(box[2:] - box[:2]))
    assert sides[0.0] > 85 and sides[0.5] == pytest.approx(60, rel=0.15)


def test_the_box_is_drawn_to_the_regressors_only_where_a_person_drew_it():
    user_box = [170, 120, 230, 180]
    rings = 127 + 120 * np.cos(np.hypot(*np.mgrid[-150:150, -200:200]) / 9)
    picture = Frame(0, 0.0, np.repeat(rings[..., None], 3, axis=2).astype(np.uint8))
    config = replace(CONFIGS["davis"], regressor_weight=1.0)
    by_user, by_mask = (
        SiamMaskTracker(Growing(), config).init(picture, user_box, exact=exact).box_xyxy
        for exact in (True, False)
    )
    assert box_iou(by_user, user_box) > 0.8 > box_iou(by_mask, user_box)


def test_a_regressor_that_looks_outside_the_picture_loses_nothing(monkeypatch):
    picture = Frame(0, 0.0, np.full((300, 400, 3), 127, np.uint8))
    tracker = SiamMaskTracker(Growing(), replace(CONFIGS["davis"], regressor_weight=1.0))
    tracker.init(picture, [170, 120, 230, 180])
    outside = np.array([-5000.0, 0.0]), 1.0, 1.0  # place in the crop, size, trust
    monkeypatch.setattr(BoxRegressor, "correct", lambda self, features, centre_xy: outside)
    box = tracker.update(picture).box_xyxy
    assert box is not None and box_iou(box, [170, 120, 230, 180]) > 0.3


class SeesBright(CannedNetwork):
    """The target is what is bright, wherever in the crop; nothing else is like it."""

    def search(self, template, pictures):
        brightness = torch.nn.functional.avg_pool2d(pictures[None, ..., 0].float(), 31, 8, 15)[0, 3:28, 3:28]
        row, column = divmod(int(brightness.argmax()), 25)
        cls = torch.full((1, 10, 25, 25), -4.0)
        cls[:, 5 + 2, row, column] = 4.0 if brightness.max() > 120 else -4.0
        cls[:, :5] = 0.0
        nothing = torch.zeros(1)
        return Response(
            cls, torch.zeros(1, 20, 25, 25), nothing, (nothing, nothing, nothing), torch.zeros(1, 3, 32, 32)
        )


def bright_at(index, centre_xy):
    rgb = np.full((360, 640, 3), 30, np.uint8)
    if centre_xy is not None:
        cv2.circle(rgb, centre_xy, 15, (255, 255, 255), -1)
    return Frame(index, index / 25, rgb)


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_target_that_comes_back_far_away_is_found_again(everywhere):
    config = replace(CONFIGS["davis"], look_again=everywhere)
    tracker = SiamMaskTracker(SeesBright(), config)
    tracker.init(bright_at(0, (80, 80)), [65, 65, 95, 95])
    assert tracker.update(bright_at(1, (82, 80))).confidence > 0.9
    for index in range(2, 60):
        assert tracker.update(bright_at(index, None)).confidence < 0.1
    sure = [tracker.update(bright_at(index, (560, 290))).confidence > 0.9 for index in range(60, 200)]
    assert any(sure) == everywhere
    assert (sum(sure) > 3) == everywhere  # and is followed from there


class SeesColour(SeesBright):
    """Finds what has the colour of the template's middle, surely where it nearly has."""

    def template(self, pictures):
        side = pictures.shape[0]
        return pictures[side // 2 - 3 : side // 2 + 4, side // 2 - 3 : side // 2 + 4].float().mean((0, 1))

    def search(self, template, pictures):
        likeness = 255 - (pictures.float() - template).abs().amax(-1)
        return super().search(template, (likeness * (likeness > 200))[..., None])


@pytest.mark.parametrize("again", [True, False])
def test_a_target_that_changes_its_look_is_followed_by_how_it_last_looked(again):
    tracker = SiamMaskTracker(SeesColour(), replace(CONFIGS["davis"], look_again=again))
    confidences = []
    for index in range(45):
        rgb = np.full((360, 640, 3), 30, np.uint8)
        cv2.circle(rgb, (80 + index, 80), 15, (250, 250 - 4 * index, 250 - 4 * index), -1)
        frame = Frame(index, index / 25, rgb)
        if index == 0:
            tracker.init(frame, [65, 65, 95, 95])
        else:
            confidences.append(tracker.update(frame).confidence)
    assert min(confidences[:10]) > 0.9
    assert (confidences[-1] > 0.9) == again
