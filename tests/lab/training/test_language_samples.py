"""Sentences and samples of the language branch, on a tiny data tree that the test writes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from langtrack_core.cli import main
from langtrack_core.dmn.lite import Backbone
from langtrack_core.dmn.segmenter import LITE_SHAPES_HW
from langtrack_lab.datasets import held_out_clips
from langtrack_lab.datasets.files import read_picture
from langtrack_lab.expressions.photos import AnnotatedObject
from langtrack_lab.training import language_network, pack
from langtrack_lab.training.annotated_images import UNNAMED, AnnotatedImage, training_clips
from langtrack_lab.training.augment import paste_object, random_crop, shift_hue
from langtrack_lab.training.image_cache import ImageCache
from langtrack_lab.training.language_samples import Query, SampleStream, relate, relation

GREY = np.full((80, 120, 3), 128, np.uint8)
WIDE = (96, 160)


def block(x, y, w, h, size_hw=(80, 120)):
    mask = np.zeros(size_hw, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def test_cropping_keeps_picture_and_mask_together():
    rgb = np.zeros((80, 120, 3), np.uint8)
    mask = block(30, 20, 40, 30)
    rgb[mask] = 255
    for seed in range(20):
        photo = AnnotatedImage(rgb, (AnnotatedObject("dog", mask),))
        image = random_crop(photo, np.random.default_rng(seed), WIDE)
        assert image.rgb.shape == (*WIDE, 3)
        bright = image.rgb[..., 0] > 127
        (thing,) = image.objects
        assert thing.mask.any()
        inter, union = (bright & thing.mask).sum(), (bright | thing.mask).sum()
        assert inter / union > 0.9


def test_cropping_nearly_keeps_the_proportions():
    rgb, mask = np.zeros((200, 200, 3), np.uint8), block(80, 80, 40, 40, (200, 200))
    for seed in range(20):
        for size_hw in LITE_SHAPES_HW:
            photo = AnnotatedImage(rgb, (AnnotatedObject("disc", mask),))
            image = random_crop(photo, np.random.default_rng(seed), size_hw)
            rows, columns = (np.flatnonzero(image.objects[0].mask.any(axis)) for axis in (1, 0))
            if rows[0] > 0 and rows[-1] < size_hw[0] - 1 and columns[0] > 0 and columns[-1] < size_hw[1] - 1:
                assert 0.75 < len(rows) / len(columns) < 1.33


def test_pasting_hides_what_is_under_it():
    rng = np.random.default_rng(3)
    below = AnnotatedObject("dog", np.ones(WIDE, bool))
    other = AnnotatedImage(
        np.full((80, 120, 3), 250, np.uint8), (AnnotatedObject("cat", block(30, 20, 60, 40)),)
    )
    absent = frozenset(("cat", "cow"))
    image = paste_object(AnnotatedImage(np.zeros((*WIDE, 3), np.uint8), (below,), absent), rng, other)
    dog, cat = image.objects
    assert cat.mask.any() and not (dog.mask & cat.mask).any()
    assert image.rgb[cat.mask].mean() > 100  # its hue may be another
    assert image.absent == {"cow"}


def test_what_has_only_a_box_is_never_pasted():
    image = AnnotatedImage(GREY, (AnnotatedObject("cat", block(5, 20, 20, 20)),))
    box_only = AnnotatedImage(GREY, (AnnotatedObject("person", block(30, 20, 60, 40), box_only=True),))
    assert paste_object(image, np.random.default_rng(0), box_only) is image


def test_another_hue_is_clearly_another():
    red = np.full((4, 4, 3), (200, 30, 30), np.uint8)
    for seed in range(5):
        hue = cv2.cvtColor(shift_hue(red, np.random.default_rng(seed)), cv2.COLOR_RGB2HSV)[0, 0, 0]
        assert 15 < hue < 165  # red is at 0 and at 180


def test_samples_are_seeded_and_have_the_promised_form(data):
    stream = SampleStream(data, lambda key, crop: ("disc",), lambda a, b: 0.0, ImageCache(10**8), views=0.3)
    first = [stream.draw(np.random.default_rng((5, i)), WIDE) for i in range(12)]
    again = [stream.draw(np.random.default_rng((5, i)), WIDE) for i in range(12)]
    for (rgb, queries, view), (same_rgb, same_queries, same_view) in zip(first, again, strict=True):
        np.testing.assert_array_equal(view, same_view)
        np.testing.assert_array_equal(rgb, same_rgb)
        assert [q.sentence for q in queries] == [q.sentence for q in same_queries]
        assert rgb.shape == (*WIDE, 3) and rgb.dtype == np.uint8 and len(queries) == 4
    assert 0 < sum(view.tolist() != [0, 0, 1, 1] for _, _, view in first) < 8
    masks = [q.target.mask for _, queries, _ in first for q in queries]
    assert {mask.shape for mask in masks} == {WIDE} and np.mean([mask.any() for mask in masks]) > 0.4


@pytest.fixture
def described(data, tmp_path):
    """The tree with two sentences for each disc of coco and persons."""
    tree = shutil.copytree(data, tmp_path / "data")
    lines = [f"{i}.jpg\t{i}\t{text}" for i in range(4) for text in ("the round one", "a red frisbee")]
    for part in ("coco", "persons"):
        (tree / part / "expressions.tsv").write_text("\n".join(lines) + "\n")
    return tree


def described_stream(tree, **settings):
    cache = ImageCache(10**8)
    return SampleStream(tree, lambda key, crop: ("disc",), lambda a, b: 1.0, cache, described=1.0, **settings)


def test_described_pictures_are_asked_by_what_people_wrote(described):
    tree = described
    stream = described_stream(tree, mosaics=0.0)
    draws = [stream.draw(np.random.default_rng((7, i)), WIDE) for i in range(16)]
    queries = [query for _, some, _ in draws for query in some]
    clips = set(stream.clips.sequences[0].expressions)
    assert {q.sentence for q in queries} <= {"the round one", "a red frisbee"} | clips
    assert all(len(some) == 4 for _, some, _ in draws) and all(q.target.mask.any() for q in queries)
    assert {True, False} == {q.target.box_only for q in queries}


def test_where_people_are_a_foreign_sentence_often_lacks_its_thing_alone(described):
    stream = described_stream(described)
    stream.described.needing = {"person": {frozenset({"horse"}): ["a man on a horse"]}, "animal": {}}
    rider = AnnotatedImage(GREY, (AnnotatedObject("person", block(10, 10, 20, 40)),), frozenset({"horse"}))
    sentences = [stream._absent_described(np.random.default_rng(seed), rider) for seed in range(200)]
    assert 70 < sentences.count("a man on a horse") < 130
    for image in (replace(rider, absent=frozenset({"dog"})), replace(rider, objects=())):
        absent = [stream._absent_described(np.random.default_rng(seed), image) for seed in range(50)]
        assert "a man on a horse" not in absent


def test_in_mosaics_of_described_things_long_sentences_stay(described):
    """Every picture may show another disc, so that "the round one" does not single one out."""
    texts = [f"{i}.jpg\t{i}\tthe round one in picture number {i}" for i in range(4)]
    for part in ("coco", "persons"):
        with (described / part / "expressions.tsv").open("a") as lines:
            lines.write("\n".join(texts) + "\n")
    stream = described_stream(described, mosaics=1.0)
    for seed in range(8):
        rgb, queries, _ = stream.draw(np.random.default_rng(seed), WIDE)
        assert rgb.shape == (*WIDE, 3)
        for sentence, target in queries:
            assert len(sentence.split()) >= 5
            if target.mask.sum() > 100 and not target.box_only:
                red, green, _ = rgb[target.mask].mean(0)
                assert red > 1.5 * green


def test_two_things_that_are_related_are_told_by_the_order_of_words():
    left = Query("a dog", AnnotatedObject("dog", block(5, 20, 30, 30)))
    right = Query("man in red", AnnotatedObject("person", block(80, 25, 30, 30)))
    pairs = [relate(np.random.default_rng(seed), [left, right]) for seed in range(8)]
    sentences = {query.sentence: query.target for pair in pairs for query in pair}
    assert sentences["a dog left of the man in red"] is left.target
    assert sentences["man in red to the right of a dog"] is right.target
    assert all(len(pair) == 2 for pair in pairs) and not any("above" in s for s in sentences)
    again = Query("the animal", left.target)
    assert relate(np.random.default_rng(0), [left, again]) == [left, again]  # one thing is beside nothing


def test_relations_are_said_where_they_are_clear():
    def said(a, b):
        return {relation(np.random.default_rng(seed), a, b) for seed in range(30)}

    far = said(block(5, 5, 20, 10), block(10, 65, 20, 10))
    assert far == {("above", "below")}
    near = said(block(40, 30, 20, 20), block(61, 30, 20, 20))
    assert ("left of", "right of") in near and ("next to", "next to") in near
    assert said(block(0, 0, 20, 20), block(90, 50, 20, 20)) <= {
        ("left of", "right of"), ("to the left of", "to the right of"), ("above", "below"),
    }  # fmt: skip
    assert said(block(40, 20, 40, 40), block(45, 25, 30, 30)) == {
        (near, near) for near in ("next to", "beside", "near")
    }


def test_a_packed_folder_trains_as_the_original_and_is_smaller(described, tmp_path, monkeypatch):
    packed = tmp_path / "packed"
    monkeypatch.setattr(pack, "imagenet_backbone", Backbone)
    (described / "tld").mkdir()
    (described / "tld" / "clip.mpg").write_bytes(b"not read by trainings")
    before = {path.relative_to(described) for path in described.rglob("*") if path.is_file()}
    (described / "coco").rename(tmp_path / "elsewhere")
    (described / "coco").symlink_to(tmp_path / "elsewhere")
    assert main(["train", "pack", "--data", str(described), "--out", str(packed)]) == 0
    assert not (packed / "tld").exists()
    after = {path.relative_to(packed) for path in packed.rglob("*") if path.is_file()}
    dropped = {path for path in before - after if path.parts[0] != "tld"}
    assert dropped == {
        Path("davis", part, "disc", f"{i:05d}.{suffix}")
        for part, suffix in (("JPEGImages", "jpg"), ("Annotations", "png"))
        for i in (1, 3)
    }
    assert after - before == {Path("names.json")}
    assert json.loads((packed / "names.json").read_text()).keys() == {
        f"{part}/{i}.{suffix}#0" for part, suffix in (("coco", "jpg"), ("saliency", "jpg")) for i in range(4)
    }
    photo = packed / "coco" / "images" / "0.jpg"
    assert photo.read_bytes()[8:12] == b"WEBP" and read_picture(photo).shape == (80, 120, 3)
    streams = [described_stream(root) for root in (described, packed)]
    draws = [stream.draw(np.random.default_rng(3), WIDE)[1] for stream in streams]
    assert [query.sentence for query in draws[0]] == [query.sentence for query in draws[1]]
    assert (
        main(["train", "pack", "--data", str(described), "--out", str(packed)]) == 1
    )  # nothing is overwritten


def test_a_pack_is_whole_or_not_there(described, tmp_path, capsys):
    (described / "saliency" / "images" / "3.jpg").write_bytes(b"no picture")
    assert main(["train", "pack", "--data", str(described), "--out", str(tmp_path / "new" / "packed")]) == 1
    assert "3.jpg" in capsys.readouterr().err and not (tmp_path / "new").exists()


@pytest.mark.parametrize("part", ["coco", "saliency"])
def test_what_a_pack_needs_is_asked_for_before_the_work(described, tmp_path, capsys, monkeypatch, part):
    monkeypatch.setattr(pack, "new_folder", lambda path: pytest.fail("it has begun"))
    shutil.rmtree(described / part)
    assert main(["train", "pack", "--data", str(described), "--out", str(tmp_path / "packed")]) == 1
    assert f"{described / part}" in capsys.readouterr().err


def test_packed_photos_are_seen_as_a_training_sees_the_original(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "_store_names", lambda out: None)
    photos = [tmp_path / folder / "captioned" / "images" for folder in ("data", "packed")]
    photos[0].mkdir(parents=True)
    upright_by_exif = Image.Exif()
    upright_by_exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (40, 24), (200, 0, 0)).save(photos[0] / "turned.jpg", exif=upright_by_exif)
    Image.new("RGBA", (40, 24), (200, 0, 0, 0)).save(photos[0] / "clear.png")
    pack.pack(tmp_path / "data", tmp_path / "packed")
    for name in ("turned.jpg", "clear.png"):
        original, packed = (read_picture(folder / name).astype(int) for folder in photos)
        assert original.shape == packed.shape and abs(original - packed).max() < 8


def test_stored_names_need_no_look_at_the_picture(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps({"coco/1.jpg#0": ["tabby", "cat"]}))
    name_of = language_network.classifier_names(Backbone(), tmp_path)

    def crop():
        raise AssertionError("looked at")

    assert name_of("coco/1.jpg#0", crop) == ("tabby", "cat")
    assert name_of("coco/2.jpg#0", lambda: GREY) == ()  # random weights are not sure


def test_a_described_thing_that_is_cut_in_two_loses_its_sentences():
    mask = block(0, 20, 120, 40)
    photo = AnnotatedImage(GREY, (AnnotatedObject("dog", mask, sentences=("the long dog",)),))
    for seed in range(20):
        (dog,) = random_crop(photo, np.random.default_rng(seed), (160, 96)).objects
        # How much is left shows in the height, which the crop never cuts so far.
        height = dog.mask.any(1).sum()
        left = dog.mask.sum() / (height * height * 3)
        assert bool(dog.sentences) == (left > 0.6) or abs(left - 0.6) < 0.1


def test_of_many_clips_four_are_left_out(data, tmp_path):
    tree = shutil.copytree(data / "davis", tmp_path / "davis")
    for folder in ("JPEGImages", "Annotations"):
        for i in range(20):
            shutil.copytree(tree / folder / "disc", tree / folder / f"clip{i}")
    (tree / "expressions.json").write_text(json.dumps({f"clip{i}": ["a disc"] for i in range(20)}))
    names = {sequence.name for sequence in training_clips(tree)}
    assert len(names) == 16 and not names & held_out_clips(f"clip{i}" for i in range(20))


def test_in_mosaics_only_what_is_surely_the_only_one_is_asked_for(data):
    stream = SampleStream(data, lambda key, crop: ("disc",), lambda a, b: float(a == b), ImageCache(10**8))
    mask = block(30, 20, 40, 40)
    disc, dog = AnnotatedObject("frisbee", mask), AnnotatedObject("dog", mask)
    assert stream.kind_is_known(AnnotatedImage(GREY, (dog,), frozenset(("frisbee",))), disc)
    assert not stream.kind_is_known(AnnotatedImage(GREY, (dog,)), disc)  # nobody looked for discs there
    assert stream.kind_is_known(AnnotatedImage(GREY, (disc,)), disc)
    incomplete = replace(disc, category_complete=False)
    assert not stream.kind_is_known(AnnotatedImage(GREY, (incomplete,)), disc)
    unnamed = AnnotatedObject("object", mask, UNNAMED)
    assert not stream.kind_is_known(AnnotatedImage(GREY, (), frozenset(("frisbee",))), unnamed)


def test_the_masks_of_a_mosaic_stay_with_their_pictures(data):
    stream = SampleStream(data, lambda key, crop: ("disc",), lambda a, b: float(a == b), ImageCache(10**8))
    for seed in range(8):
        image = stream.mosaic(np.random.default_rng(seed), WIDE)
        assert image.rgb.shape == (*WIDE, 3) and 2 <= len(image.objects) <= 4
        for thing in image.objects:
            if not thing.box_only and thing.mask.sum() > 100:
                red, green, _ = image.rgb[thing.mask].mean(0)
                assert red > 1.5 * green  # discs are red, grass is green


def test_photographed_things_get_imagenets_names_that_are_similar(data):
    def similarity(a, b):
        return 0.5 if (a, b) == ("flying disc", "frisbee") else 0.0

    stream = SampleStream(data, lambda key, crop: ("flying disc", "plate"), similarity, ImageCache(10**8))
    assert len(stream.photos.names) == 4
    for names in stream.photos.names.values():
        assert {"flying disc", "frisbee"} <= set(names) and "plate" not in names


def test_absent_sentences_name_what_is_not_there(data):
    def similarity(a, b):
        return float("disc" in a and "disc" in b)

    stream = SampleStream(data, lambda key, crop: ("disc",), similarity, ImageCache(10**8))
    rng, mask = np.random.default_rng(0), block(5, 20, 20, 20)

    def sentences(*args, **kwargs):
        image = AnnotatedImage(GREY, *args, **kwargs)
        return [stream.absent_sentence(rng, image) for _ in range(20)]

    whole = sentences((AnnotatedObject("dog", mask),), frozenset(("frisbee",)))
    assert any("frisbee" in (sentence or "") for sentence in whole)
    assert set(sentences((AnnotatedObject("dog", mask),))) == {None}
    salient = sentences((AnnotatedObject("disc", mask, ("disc",)),), single_object=True)
    assert all("disc" not in (sentence or "") for sentence in salient)
