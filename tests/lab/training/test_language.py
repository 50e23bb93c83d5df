"""The trainer of the language branch, on a tiny data tree that the test writes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tiny_training import WORDS, language_trainer, recorded, tensorboard_content

from langtrack_core.cli import main
from langtrack_core.dmn.segmenter import LITE_SHAPES_HW
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.types import LangTrackError
from langtrack_lab.training import fit, language_network
from langtrack_lab.training.losses import box_agreement, projection_loss
from langtrack_lab.training.words import MAX_WORDS, SynonymSwap, word_ids

WIDE = (96, 160)


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


def test_a_dev_set_is_looked_at_before_the_first_step(data, tmp_path, capsys):
    arguments = ["--data", str(data), "--dev", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    assert main(["train", "language", *arguments, "--steps", "1"]) == 1
    assert "nowhere/expressions.json is missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("preset", "option"), [("lite", "--stage=low"), ("lite", "--vocabulary=words"), ("paper", "--data=data")]
)
def test_an_option_of_the_other_preset_is_refused(preset, option, tmp_path, capsys):
    assert main(["train", "language", "--preset", preset, "--out", str(tmp_path / "out"), option]) == 1
    assert f"does nothing with the preset {preset}" in capsys.readouterr().err


def test_the_preset_lite_asks_for_its_data(tmp_path, capsys):
    assert main(["train", "language", "--out", str(tmp_path)]) == 1
    assert "needs --data" in capsys.readouterr().err
