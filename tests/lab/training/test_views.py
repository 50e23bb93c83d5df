"""Closer views for the training: what they show, where they lie, and what is not in them."""

import numpy as np

from langtrack_core.masks import enclosing_box
from langtrack_lab.expressions.photos import AnnotatedObject
from langtrack_lab.training.augment import old_video
from langtrack_lab.training.views import Query, cut_view

SIZE_HW = (96, 160)


def picture_with(*boxes_xyxy, **about):
    """Twice the size of a view, each thing of its own grey, with its query."""
    rgb, queries = np.full((192, 320, 3), 20, np.uint8), []
    for i, (x1, y1, x2, y2) in enumerate(boxes_xyxy):
        mask = np.zeros((192, 320), bool)
        mask[y1:y2, x1:x2] = True
        rgb[mask] = 120 + 60 * i
        queries.append(Query(f"thing {i}", AnnotatedObject("thing", mask, **about)))
    return rgb, queries


def test_a_view_shows_picture_and_masks_of_one_place():
    boxes = (40, 30, 80, 60), (200, 120, 240, 160)
    shown = 0
    for seed in range(40):
        rgb, queries, view = cut_view(*picture_with(*boxes), np.random.default_rng(seed), SIZE_HW)
        assert rgb.shape == (*SIZE_HW, 3) and view.dtype == np.float32
        assert (view >= 0).all() and (view <= 1).all() and (view[2:] - view[:2] < 0.75).all()
        for i, (query, box) in enumerate(zip(queries, boxes, strict=True)):
            mask = query.target.mask
            assert mask.shape == SIZE_HW
            if mask.any():
                shown += 1
                scale = np.array((160, 96) * 2) / np.tile(view[2:] - view[:2], 2)
                expected = (np.array(box) / (320, 192, 320, 192) - np.tile(view[:2], 2)) * scale
                np.testing.assert_allclose(enclosing_box(mask), expected.clip(0, (160, 96) * 2), atol=2.5)
                assert abs(int(np.median(rgb[mask])) - (120 + 60 * i)) < 3
    assert 20 < shown < 80


def test_what_lies_outside_is_not_there_and_has_no_box():
    rgb, queries = picture_with((10, 10, 40, 40), (280, 150, 310, 180), box_only=True)
    for seed in range(20):
        _, placed, _ = cut_view(rgb, queries, np.random.default_rng(seed), SIZE_HW)
        assert [query.sentence for query in placed] == ["thing 0", "thing 1"]
        for query in placed:
            assert query.target.box_only == bool(query.target.mask.any())
        assert not all(query.target.mask.any() for query in placed)


def test_two_sentences_of_one_thing_share_its_mask():
    rgb, [query] = picture_with((100, 60, 160, 120))
    _, (one, other), _ = cut_view(rgb, [query, query], np.random.default_rng(0), SIZE_HW)
    assert one.target.mask is other.target.mask


def test_a_large_thing_is_shown_whole_with_the_whole_picture():
    rgb, queries = picture_with((20, 10, 300, 180))
    views = [cut_view(rgb, queries, np.random.default_rng(seed), SIZE_HW)[2].tolist() for seed in range(60)]
    assert 30 < views.count([0, 0, 1, 1]) < 60


def test_old_video_has_the_size_and_less_detail():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    for _ in range(5):
        changed = old_video(rgb, rng)
        assert changed.shape == rgb.shape and changed.dtype == np.uint8
        assert (
            np.abs(np.diff(changed.astype(int), axis=1)).mean()
            < np.abs(np.diff(rgb.astype(int), axis=1)).mean() / 2
        )
