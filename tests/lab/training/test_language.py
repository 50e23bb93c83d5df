"""Sentences, samples and the trainer of the language branch, on a tiny data tree that the test writes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tiny_training import WORDS, language_trainer, recorded, tensorboard_content, write_data

from langtrack_core.cli import main
from langtrack_core.dmn.lite import Backbone
from langtrack_core.dmn.segmenter import LITE_SHAPES_HW
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.types import LangTrackError
from langtrack_core.video import read_picture
from langtrack_lab.datasets import held_out_clips
from langtrack_lab.expressions.photos import AnnotatedObject
from langtrack_lab.training import fit, language_network, pack
from langtrack_lab.training.annotated_images import UNNAMED, AnnotatedImage, training_clips
from langtrack_lab.training.augment import paste_object, random_crop, shift_hue
from langtrack_lab.training.image_cache import ImageCache
from langtrack_lab.training.language_samples import Query, SampleStream, relate, relation
from langtrack_lab.training.losses import box_agreement, projection_loss
from langtrack_lab.training.words import MAX_WORDS, SynonymSwap, word_ids

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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def test_samples_are_seeded_and_have_the_promised_form(data):
    stream = SampleStream(data, lambda key, crop: ("disc",), lambda a, b: 0.0, ImageCache(10**8))
    first = [stream.draw(np.random.default_rng((5, i)), WIDE) for i in range(12)]
    again = [stream.draw(np.random.default_rng((5, i)), WIDE) for i in range(12)]
    for (rgb, queries), (same_rgb, same_queries) in zip(first, again, strict=True):
        np.testing.assert_array_equal(rgb, same_rgb)
        assert [q.sentence for q in queries] == [q.sentence for q in same_queries]
        assert rgb.shape == (*WIDE, 3) and rgb.dtype == np.uint8 and len(queries) == 4
    masks = [q.target.mask for _, queries in first for q in queries]
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
    queries = [query for _, some in draws for query in some]
    clips = set(stream.clips.sequences[0].expressions)
    assert {q.sentence for q in queries} <= {"the round one", "a red frisbee"} | clips
    assert all(len(some) == 4 for _, some in draws) and all(q.target.mask.any() for q in queries)
    assert {True, False} == {q.target.box_only for q in queries}


def test_in_mosaics_of_described_things_long_sentences_stay(described):
    """Every picture may show another disc, so that "the round one" does not single one out."""
    texts = [f"{i}.jpg\t{i}\tthe round one in picture number {i}" for i in range(4)]
    for part in ("coco", "persons"):
        with (described / part / "expressions.tsv").open("a") as lines:
            lines.write("\n".join(texts) + "\n")
    stream = described_stream(described, mosaics=1.0)
    for seed in range(8):
        rgb, queries = stream.draw(np.random.default_rng(seed), WIDE)
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
    assert main(["train", "pack", "--data", str(described), "--out", str(packed)]) == 0
    assert not (packed / "tld").exists()
    before, after = (
        {path.relative_to(root) for path in root.rglob("*") if path.is_file()} for root in (described, packed)
    )
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


# --- the trainer -------------------------------------------------------------------------------------------


def test_words_are_read_as_the_branch_reads_them():
    ids, lengths = word_ids(Vocabulary(WORDS, "plain"), ["The red disc's grass!", "zebra", "a " * 40])
    assert ids[0, : lengths[0]].tolist() == [0, 1, 2, 5]
    assert ids[1, : lengths[1]].tolist() == [WORDS.index("a")]  # no known word
    assert lengths[2] == ids.shape[1] == MAX_WORDS


def test_synonyms_take_the_place_of_nouns_alone():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1]]), dim=1)
    always = SynonymSwap(vectors, [0], share=1.0, min_similarity=0.5)
    ids = torch.tensor([[0, 1, 2]]).repeat(50, 1)
    changed = always(ids, np.random.default_rng(0))
    assert set(changed[:, 0].tolist()) == {0, 1}  # near enough, unlike the third
    assert (changed[:, 1] == 1).all() and (changed[:, 2] == 2).all()


def test_a_box_asks_for_its_shadows_and_for_nothing_outside():
    box = torch.zeros(1, 1, 20, 20)
    box[..., 5:15, 4:12] = 1
    diamond = torch.full_like(box, -8.0)
    for row in range(5, 15):
        half = min(row - 4, 15 - row)
        diamond[..., row, max(4, 8 - half) : min(12, 8 + half)] = 8.0
    shifted, empty = diamond.roll(4, dims=3), torch.full_like(box, -8.0)
    fits, misses, nothing = (projection_loss(m, box, 0.002).item() for m in (diamond, shifted, empty))
    assert fits < 0.1 and min(misses, nothing) > 0.5


def test_masks_agree_with_boxes_by_their_shadows():
    box = torch.zeros(3, 1, 20, 20, dtype=torch.bool)
    box[..., 5:15, 4:12] = True
    mask = torch.zeros_like(box)
    mask[0, 0, 5:15, 8] = mask[0, 0, 9, 4:12] = True  # a cross fills the box's shadows
    mask[1, 0, 5:15, 4:8] = True  # half of it
    torch.testing.assert_close(box_agreement(mask, box), torch.tensor([1.0, 0.5, 0.0]))


def test_a_batch_is_its_samples(data, tmp_path):
    trainer, _ = language_trainer(data, tmp_path, queries=2)
    samples = [trainer.sample(i) for i in (3, 1)]
    batch = trainer.collate(samples)
    h, w = batch.image.shape[2:]
    assert (h, w) in LITE_SHAPES_HW and batch.network_image().abs().max() <= 1
    assert batch.image.shape == (2, 3, h, w) and batch.masks.shape == (4, 1, h // 4, w // 4)
    assert batch.ids.shape == batch.dropped.shape == (4, MAX_WORDS)
    assert len(batch.box_only) == len(batch.weak_name) == len(batch.lengths) == len(batch.noise) == 4
    assert all(map(torch.equal, trainer.sample(3), samples[0]))


def test_four_samples_are_learnt_by_heart(data, tmp_path):
    plain = {"synonyms": 0.0, "word_noise": 0.0, "dropped_words": 0.0, "ema": 0.0, "backbone_rate": 0.0}
    trainer, settings = language_trainer(data, tmp_path, steps=80, rate=0.01, **plain)
    # A small picture, encoded once, is enough here: the backbone does not learn.
    whole = trainer.collate([trainer.sample(i) for i in range(4)])
    image = F.interpolate(whole.image.float(), WIDE, mode="area").byte()
    masks = F.interpolate(whole.masks.float(), (WIDE[0] // 4, WIDE[1] // 4), mode="area").byte()
    four = whole._replace(image=image, masks=masks, box_only=torch.zeros_like(whole.box_only))
    trainer.train_mode()
    visual = trainer.network.encode_image(four.network_image())
    trainer.network.encode_image = lambda image: visual
    trainer.sample, trainer.collate = lambda index: index, lambda indices: four
    losses = [sum(step.values()) for step in recorded(trainer, settings)]
    assert losses[-1] < 0.5 * losses[0], losses
    prediction, truth = trainer.forward(four, visual).mask_logits > 0, masks > 127
    assert (prediction & truth).sum() / (prediction | truth).sum() > 0.5


def test_a_resumed_training_has_the_losses_and_weights_of_an_unbroken_one(data, tmp_path):
    whole = recorded(*language_trainer(data, tmp_path / "whole", batch=1))
    first = recorded(*language_trainer(data, tmp_path / "broken", batch=1), sigterm_after=2)
    second = recorded(*language_trainer(data, tmp_path / "broken", batch=1))
    assert len(first) == len(second) == 2 and first + second == whole
    a, b = (load_file(tmp_path / run / "dmn-lite.safetensors") for run in ("whole", "broken"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_loss_that_is_not_finite_names_its_terms(data, tmp_path):
    trainer, settings = language_trainer(data, tmp_path, steps=1)
    with torch.no_grad():
        trainer.network.out_low.bias.fill_(torch.nan)
    with pytest.raises(LangTrackError, match="not finite at step 0: bce_low nan"):
        fit(trainer, settings)


def test_figures_and_pictures_of_the_dev_set(data, tmp_path):
    trainer, settings = language_trainer(data, tmp_path, steps=1, batch=1)
    trainer.dev = data / "davis"
    fit(trainer, settings)
    assert trainer.measure().keys() == {"disc"} and 0 <= trainer.measure()["disc"] <= 1
    assert (tmp_path / "best" / "dmn-lite.safetensors").exists()
    scalars, pictures = tensorboard_content(tmp_path / "tensorboard")
    assert {"dev/disc", "run/waiting for data"} <= scalars
    h, w = trainer.sample(0).image.shape[1:]
    assert pictures == {"input, target, prediction": (3 * w, h)}


def test_the_backbone_learns_slowly_and_is_held_to_its_classes(data, tmp_path):
    trainer, settings = language_trainer(data, tmp_path, steps=2, batch=1, rate=1e-3)
    network = trainer.network
    trainer.teacher.load_state_dict(network.backbone.state_dict())
    before = {name: value.clone() for name, value in network.backbone.net.state_dict().items()}
    first, second = recorded(trainer, settings)
    assert abs(first["classes"]) < 1e-5 < abs(second["classes"])  # at first it is the teacher
    after = network.backbone.net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("blocks.3") for name in moved)
    frozen = ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2")
    assert not [name for name in moved if name.startswith(frozen) or "running" in name]
    groups = trainer.optimiser().param_groups
    assert [group.get("rate_scale", 1.0) for group in groups] == [trainer.recipe.backbone_rate, 1.0]


def test_without_a_rate_the_backbone_stays(data, tmp_path):
    trainer, settings = language_trainer(data, tmp_path, steps=1, batch=1, backbone_rate=0.0)
    (losses,) = recorded(trainer, settings)
    assert "classes" not in losses and len(trainer.optimiser().param_groups) == 1
    assert not any(p.requires_grad for p in trainer.network.backbone.parameters())


def test_a_run_starts_from_given_weights_or_says_what_is_wrong(data, tmp_path):
    trainer, _ = language_trainer(data, tmp_path)
    language_network.save_branch(trainer.network, tmp_path / "kept")
    other, _ = language_trainer(data, tmp_path)
    with torch.no_grad():
        other.network.out_low.weight.zero_()
    language_network.load_branch(other.network, tmp_path / "kept")
    expected = trainer.network.out_low.weight.half().float()
    assert torch.equal(other.network.out_low.weight, expected)
    with pytest.raises(LangTrackError, match=r"dmn-lite\.safetensors"):
        language_network.load_branch(other.network, tmp_path / "nowhere")
    with pytest.raises(LangTrackError, match="no weights of the lite language branch"):
        language_network.load_branch(language_network.untrained()[0], tmp_path / "kept")


def test_the_preset_lite_asks_for_its_data(tmp_path, capsys):
    assert main(["train", "language", "--out", str(tmp_path)]) == 1
    assert "needs --data" in capsys.readouterr().err
