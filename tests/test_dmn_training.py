"""Sentences, samples and the trainer of the language branch, on a tiny data tree that the test writes."""

import argparse
import itertools
import json

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from langtrack_core.dmn import train as trainer
from langtrack_core.dmn.lite import LiteConfig, LiteDMN
from langtrack_core.dmn.samples import INPUT, TARGET, SampleStream, Shot, collate, paste, reframe
from langtrack_core.dmn.sentences import Thing, colour_name, describe, mirror
from langtrack_core.types import LangTrackError

GREY = np.full((80, 120, 3), 128, np.uint8)


def block(x, y, w, h, size_hw=(80, 120)):
    mask = np.zeros(size_hw, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def sentences_of(rgb, things, index, count=60):
    rng = np.random.default_rng(0)
    return {s for s in (describe(rng, rgb, things, index) for _ in range(count)) if s}


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((200, 30, 30), "red"), ((250, 250, 250), "white"), ((15, 15, 15), "black"), ((40, 80, 190), "blue")],
)
def test_clear_colours_are_named(rgb, name):
    assert colour_name(np.full((10, 10, 3), rgb, np.uint8), np.ones((10, 10), bool)) == name


def test_a_mixed_region_has_no_colour():
    picture = np.zeros((10, 12, 3), np.uint8)
    for i, rgb in enumerate([(200, 30, 30), (250, 250, 250), (40, 80, 190)]):
        picture[:, 4 * i : 4 * i + 4] = rgb
    assert colour_name(picture, np.ones((10, 12), bool)) is None


def test_among_its_like_an_object_is_told_by_place_and_size_only():
    things = [Thing("dog", block(5, 20, 20, 20)), Thing("dog", block(80, 20, 35, 35))]
    left, right = sentences_of(GREY, things, 0), sentences_of(GREY, things, 1)
    assert left and right and not left & right
    assert all(any(w in s for w in ("left", "small", "little", "tiny", "farthest")) for s in left)
    assert all(any(w in s for w in ("right", "big", "large", "closest")) for s in right)


def test_colour_is_said_only_if_no_other_of_its_like_has_it():
    rgb = GREY.copy()
    first, second = block(5, 20, 20, 20), block(60, 20, 20, 20)
    rgb[first], rgb[second] = (200, 30, 30), (40, 80, 190)
    assert any("red" in s for s in sentences_of(rgb, [Thing("car", first), Thing("car", second)], 0))
    rgb[second] = (200, 30, 30)
    assert not any("red" in s for s in sentences_of(rgb, [Thing("car", first), Thing("car", second)], 0))


def test_nothing_is_said_of_one_of_many_that_cannot_be_told_apart():
    things = [Thing("dog", block(40, 20, 20, 20)), Thing("dog", block(42, 22, 20, 20))]
    assert sentences_of(GREY, things, 0) == set()


def test_mirror_swaps_the_sides():
    assert mirror("the leftmost dog to the right") == "the rightmost dog to the left"


def test_reframing_keeps_picture_and_mask_together():
    rgb = np.zeros((80, 120, 3), np.uint8)
    mask = block(30, 20, 40, 30)
    rgb[mask] = 255
    for seed in range(20):
        shot = reframe(np.random.default_rng(seed), Shot(rgb, (Thing("dog", mask),)))
        assert shot.rgb.shape == (INPUT, INPUT, 3)
        bright = shot.rgb[..., 0] > 127
        (thing,) = shot.things
        assert thing.mask.any()
        inter, union = (bright & thing.mask).sum(), (bright | thing.mask).sum()
        assert inter / union > 0.9


def test_pasting_hides_what_is_under_it():
    rng = np.random.default_rng(3)
    below = Thing("dog", np.ones((INPUT, INPUT), bool))
    other = Shot(np.full((80, 120, 3), 250, np.uint8), (Thing("cat", block(30, 20, 60, 40)),), ())
    shot = paste(rng, Shot(np.zeros((INPUT, INPUT, 3), np.uint8), (below,), ("cat", "cow")), other)
    dog, cat = shot.things
    assert cat.mask.any() and not (dog.mask & cat.mask).any()
    assert shot.rgb[cat.mask].mean() > 200
    assert shot.absent == ("cow",)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """coco/, davis/ and saliency/ with one red disc on grass in every picture."""
    root = tmp_path_factory.mktemp("data")

    def draw(path, mask_path=None, centre=(60, 40)):
        rng = np.random.default_rng(centre[0])
        rgb = rng.integers(60, 100, (80, 120, 3)).astype(np.uint8)
        rgb[..., 1] += 60
        mask = cv2.circle(np.zeros((80, 120), np.uint8), centre, 18, 255, -1)
        rgb[mask > 0] = (200, 30, 30)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb[..., ::-1])
        if mask_path:
            mask_path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(mask_path), mask)

    images, annotations = [], []
    for i in range(4):
        draw(root / "coco" / "images" / f"{i}.jpg", centre=(40 + 10 * i, 40))
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 120, "height": 80})
        x = 22 + 10 * i
        outline = [x, 22, x + 36, 22, x + 36, 58, x, 58]
        annotations.append(
            {"image_id": i, "category_id": 1, "bbox": [x, 22, 36, 36], "segmentation": [outline]}
        )
        draw(root / "saliency" / "images" / f"{i}.jpg", root / "saliency" / "masks" / f"{i}.png")
        draw(
            root / "davis" / "JPEGImages" / "disc" / f"{i}.jpg",
            root / "davis" / "Annotations" / "disc" / f"{i}.png",
        )
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "frisbee"}]}
    (root / "coco" / "instances.json").write_text(json.dumps(coco))
    (root / "davis" / "expressions.json").write_text(
        json.dumps({"disc": ["the red disc", "a disc on the grass"]})
    )
    return root


def test_samples_are_seeded_and_have_the_promised_form(data):
    stream = SampleStream(data, lambda rgb: ("disc",), seed=5)
    first = [stream.sample(np.random.default_rng((5, i))) for i in range(6)]
    again = [stream.sample(np.random.default_rng((5, i))) for i in range(6)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.sentences == b.sentences
    images, sentences, masks = collate(first)
    assert images.shape == (6, 3, INPUT, INPUT) and images.min() >= -1 and images.max() <= 1
    assert len(sentences) == 18 and masks.shape == (18, 1, TARGET, TARGET)
    assert masks.min() >= 0 and masks.max() <= 1 and masks.flatten(1).any(1).float().mean() > 0.5


def test_a_resumed_stream_goes_on_where_it_stopped(data):
    stream = SampleStream(data, lambda rgb: ("disc",), seed=5, batch=2)
    whole = [batch.sentences for batch in itertools.islice(stream, 6)]
    stream.first = 4
    assert [batch.sentences for batch in itertools.islice(stream, 2)] == whole[4:]


def test_dice_loss_is_zero_for_the_truth_and_nearly_one_for_its_opposite():
    target = torch.zeros(2, 1, 8, 8)
    target[0, :, :4] = 1
    right, wrong = (
        trainer.dice_loss(40 * (target - 0.5), target),
        trainer.dice_loss(40 * (0.5 - target), target),
    )
    assert right.max() < 1e-3 and wrong.min() > 0.9


@pytest.fixture
def arguments(tmp_path, data):
    parser = argparse.ArgumentParser()
    trainer.add_arguments(parser)
    return lambda *more: parser.parse_args(
        ["--data", str(data), "--out", str(tmp_path / "out"), "--batch", "2", "--workers", "0", *more]
    )


def small_network():
    torch.manual_seed(0)
    words = torch.nn.functional.normalize(torch.randn(6, 12), dim=1)
    classes = torch.nn.functional.normalize(torch.randn(1000, 12), dim=1)
    network = LiteDMN(words, classes, LiteConfig(channels=16, hidden=16, filters=2, skip8=8, skip4=8))
    network.backbone.requires_grad_(False)
    return network, trainer.Reader(["the", "red", "disc", "a", "frisbee", "grass"])


def test_a_resumed_training_ends_where_an_unbroken_one_does(arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "classifier_names", lambda network: lambda rgb: ("disc",))
    whole, reader = small_network()
    trainer.train(whole, reader, arguments("--steps", "4", "--every", "2"))
    saved = load_file(tmp_path / "out" / "dmn-lite.safetensors")

    broken, reader = small_network()
    args = arguments("--steps", "4", "--every", "2")
    args.out = tmp_path / "broken"
    stopped = argparse.Namespace(**vars(args))
    monkeypatch.setattr(trainer, "StopSignal", lambda: Stops(after=2))
    trainer.train(broken, reader, stopped)
    assert torch.load(args.out / "checkpoint.pt", weights_only=True)["step"] == 2
    monkeypatch.setattr(trainer, "StopSignal", lambda: False)
    resumed, reader = small_network()
    args.resume = True
    trainer.train(resumed, reader, args)
    again = load_file(args.out / "dmn-lite.safetensors")
    assert again.keys() == saved.keys()
    for name, value in saved.items():
        torch.testing.assert_close(again[name], value, atol=0, rtol=0, msg=name)


class Stops:
    """A stop signal that comes during the given step."""

    def __init__(self, after):
        self.after, self.asked = after, 0

    def __bool__(self):
        self.asked += 1
        return self.asked > 2 * (self.after - 1)


def test_a_loss_that_is_not_finite_stops_the_training_and_shows_its_parts(arguments, monkeypatch):
    monkeypatch.setattr(trainer, "classifier_names", lambda network: lambda rgb: ("disc",))
    network, reader = small_network()
    with torch.no_grad():
        network.out_low.bias.fill_(torch.nan)
    with pytest.raises(LangTrackError, match="bce_low': nan"):
        trainer.train(network, reader, arguments("--steps", "1"))
