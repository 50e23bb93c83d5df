"""Pairs, labels and losses of the SiamMask training, and that a resumed run goes on as if unbroken."""

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from tiny_training import recorded, tensorboard_content, tracker_trainer

from langtrack_core.cli import main
from langtrack_core.geometry import xyxy_to_cxcywh
from langtrack_core.masks import enclosing_box
from langtrack_core.siammask.crops import paste
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_core.siammask.network import ANCHORS_CXCYWH, ANCHORS_WH, GRID, decode
from langtrack_core.types import LangTrackError
from langtrack_lab.training import fit, language, save_weights, tracker
from langtrack_lab.training.image_cache import ImageCache, bytes_per_worker
from langtrack_lab.training.losses import anchor_box_loss, anchor_class_loss
from langtrack_lab.training.tracker import WEIGHTS, trained_network
from langtrack_lab.training.tracker_crops import anchor_iou, anchor_labels, mask_windows
from langtrack_lab.training.tracker_pairs import PairRecipe, PairSampler


def sampler(data, seed, recipe=None, max_bytes=10**8):
    return PairSampler(data, seed, ImageCache(max_bytes), recipe)


def test_a_pair_depends_on_seed_and_index_alone(data):
    first, second = sampler(data, 7), sampler(data, 7)
    for index in (3, 0):
        again = second.sample(index)
        assert all(map(torch.equal, first.sample(index), again))
    assert not torch.equal(first.sample(0).search, sampler(data, 8).sample(0).search)


def test_all_caches_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=800))
    assert (bytes_per_worker(0), bytes_per_worker(1), bytes_per_worker(2)) == (200, 200, 100)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "5")  # as torchrun sets it
    assert bytes_per_worker(2) == 20


@pytest.mark.parametrize(
    ("branch", "module", "first_reader"),
    [("language", language, "classifier_names"), ("tracker", tracker, "PairSampler")],
)
def test_an_output_folder_that_cannot_be_is_told_before_the_data_are_read(
    branch, module, first_reader, data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(module, first_reader, lambda *_: pytest.fail("the data are read"))
    (tmp_path / "file").touch()
    (tmp_path / "busy").mkdir()
    command = ["train", branch, "--data", str(data), "--out"]
    with FileLock(tmp_path / "busy" / ".lock"):
        for name, message in (("file", "cannot be written to"), ("busy", "Another training is at work in")):
            assert main([*command, str(tmp_path / name)]) == 1
            assert message in capsys.readouterr().err


def test_a_cache_keeps_what_was_used_last_within_its_bound(data):
    paths = [data / "coco" / "images" / f"{i}.jpg" for i in range(4)]
    size = 80 * 120 * 3
    cache = ImageCache(2 * size)
    first = cache.rgb(paths[0])
    cache.rgb(paths[1])
    assert cache.rgb(paths[0]) is first and not first.flags.writeable
    cache.rgb(paths[2])
    assert cache.bytes == 2 * size and cache.rgb(paths[0]) is first
    small, large = sampler(data, 7, max_bytes=0), sampler(data, 7)
    assert all(map(torch.equal, small.sample(5), large.sample(5)))


def test_box_and_mask_of_a_pair_agree(data):
    pairs = sampler(data, 1, PairRecipe(negatives=0, neighbours=0, patches=0, shift=20))
    count = 0
    for pair in (pairs.sample(i) for i in range(40)):
        mask = pair.mask.numpy()
        if not mask.any() or mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue  # cut by the crop: the box is of the whole object
        box = xyxy_to_cxcywh(enclosing_box(mask)) - (127.5, 127.5, 0, 0)
        assert np.abs(box - pair.box.numpy()).max() < 3.5
        assert (pair.labels == 1).any() and (pair.cells[0] >= 0).all()
        count += 1
    assert count > 15


def test_pairs_of_two_things_have_no_positives(data):
    pairs = sampler(data, 1, PairRecipe(negatives=1))
    for pair in (pairs.sample(i) for i in range(8)):
        assert (pair.labels == 0).all() and (pair.cells == -1).all()


def test_labels_follow_the_iou_with_each_anchor():
    box = ANCHORS_CXCYWH[:, 2 * GRID * GRID + 12 * GRID + 7]  # the square anchor at row 12, column 7
    iou = anchor_iou(box)
    labels = anchor_labels(box).reshape(len(ANCHORS_WH), GRID, GRID)
    assert iou.max() == 1.0 and labels[2, 12, 7] == 1
    assert labels[2, 0, 24] == 0
    assert ((iou >= 0.6) == (labels.ravel() == 1)).all()
    assert ((iou < 0.3) == (labels.ravel() == 0)).all()


def test_an_odd_box_takes_the_best_anchors_and_a_far_one_none():
    assert (anchor_labels(np.array([0.0, 0.0, 200.0, 9.0])) == 1).any()
    assert not (anchor_labels(np.array([150.0, 0.0, 64.0, 64.0])) == 1).any()


def test_losses_vanish_for_the_right_answer():
    box = torch.tensor([[10.0, -20.0, 70.0, 50.0]])
    labels = torch.from_numpy(anchor_labels(box[0].numpy()))[None]
    cx, cy, w, h = torch.from_numpy(ANCHORS_CXCYWH).float()
    x, y, bw, bh = box[0]
    loc = torch.stack([(x - cx) / w, (y - cy) / h, torch.log(bw / w), torch.log(bh / h)])
    loc = loc.reshape(1, 20, GRID, GRID)
    assert anchor_box_loss(loc, box, labels).value == pytest.approx(0, abs=1e-5)
    assert anchor_box_loss(loc + 0.5, box, labels).value > 0.3
    decoded = decode(loc[0].double().numpy())[:, int(labels[0].argmax())]
    assert np.allclose(decoded, box[0], atol=1e-3)  # the tracker reads the same box
    cls = torch.stack([(labels[0] != 1), labels[0] == 1]).float().reshape(1, 10, GRID, GRID) * 40
    assert sum(p.value for p in anchor_class_loss(cls, labels, 64).values()) == pytest.approx(0, abs=1e-5)
    assert sum(p.value for p in anchor_class_loss(-cls, labels, 64).values()) > 10


def test_a_pair_without_positives_has_no_box_loss():
    labels = torch.zeros(1, 5 * GRID * GRID, dtype=torch.long)
    loss = anchor_box_loss(torch.randn(1, 20, GRID, GRID, requires_grad=True), torch.ones(1, 4), labels)
    assert loss.value == 0.0 and loss.divisor == 0.0
    loss.total.backward()


def test_what_a_cell_learns_is_what_the_tracker_pastes_back():
    mask = torch.zeros(1, 255, 255)
    mask[:, 90:180, 60:130] = 1
    window = mask_windows(mask, torch.tensor([[0, 13, 9]]))[0].numpy()
    whole = paste(window, np.zeros(2), 255.0, 13, 9, (255, 255))
    assert np.abs((whole > 0.5) - mask[0].numpy()).mean() < 0.01


# --- the trainer -------------------------------------------------------------------------------------------


def test_four_pairs_are_learnt_by_heart(data, tmp_path):
    trainer, settings = tracker_trainer(data, tmp_path, steps=30, rate=0.01, ema=0.0)
    four = trainer.collate([trainer.sample(i) for i in range(4)])
    trainer.sample, trainer.collate = lambda index: index, lambda indices: four
    # The backbone does not learn here, so it is run once.
    backbone, features = trainer.network.backbone.requires_grad_(False), {}
    run = backbone.forward
    backbone.forward = lambda x: (
        features[x.shape] if x.shape in features else features.setdefault(x.shape, run(x))
    )
    losses = [sum(step.values()) for step in recorded(trainer, settings)]
    assert losses[-1] < 0.6 * losses[0], losses


def test_a_resumed_training_has_the_losses_and_weights_of_an_unbroken_one(data, tmp_path):
    whole = recorded(*tracker_trainer(data, tmp_path / "whole", batch=1))
    first = recorded(*tracker_trainer(data, tmp_path / "broken", batch=1), sigterm_after=2)
    second = recorded(*tracker_trainer(data, tmp_path / "broken", batch=1))
    assert len(first) == len(second) == 2 and first + second == whole
    a, b = (load_file(tmp_path / run / WEIGHTS) for run in ("whole", "broken"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_second_stage_changes_the_refinement_alone(data, tmp_path):
    trainer, settings = tracker_trainer(data, tmp_path, stage="refine", steps=2, batch=2)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    (losses, _) = recorded(trainer, settings)
    assert losses.keys() == {"refine", "dice"}
    after = trainer.network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"refinement"}


def test_the_second_stage_begins_with_the_weights_of_the_first(data, tmp_path):
    torch.manual_seed(0)
    network = LiteNetwork()
    save_weights(tmp_path / WEIGHTS, network.state_dict(), {})
    flags = ["--data", str(data), "--out", str(tmp_path), "--steps", "1", "--batch", "1", "--workers", "0"]
    assert main(["train", "tracker", "--stage", "refine", *flags]) == 0
    first, second = load_file(tmp_path / WEIGHTS), load_file(tmp_path / "refine" / WEIGHTS)
    assert torch.equal(first["cls.head.0.weight"], second["cls.head.0.weight"])
    LiteNetwork().load_state_dict(second)


def test_a_training_that_a_signal_stopped_has_not_done_what_it_was_asked(data, tmp_path, monkeypatch):
    monkeypatch.setattr(tracker, "fit", lambda *_: False)
    monkeypatch.setattr(language, "fit", lambda *_: False)
    monkeypatch.setattr(language, "classifier_names", lambda *_: lambda key, crop: ("thing",))
    for branch in ("tracker", "language"):
        assert main(["train", branch, "--data", str(data), "--out", str(tmp_path)]) == 1


def test_only_lite_is_trained(tmp_path, capsys):
    assert main(["train", "tracker", "--preset", "paper", "--data", ".", "--out", str(tmp_path)]) == 1
    assert "published SiamMask" in capsys.readouterr().err


def test_weights_of_another_network_are_no_start(tmp_path):
    save_weights(tmp_path / "other.safetensors", {"a": torch.ones(1)}, {})
    with pytest.raises(LangTrackError, match=r"other\.safetensors .* lite SiamMask"):
        trained_network(tmp_path / "other.safetensors")


def test_a_loss_that_is_not_finite_names_its_terms(data, tmp_path):
    trainer, settings = tracker_trainer(data, tmp_path, batch=1)
    trainer.network.cls.head[3].bias.data.fill_(float("nan"))
    with pytest.raises(LangTrackError, match=r"not finite at step 0: cls_other nan"):
        fit(trainer, settings)


def test_pictures_show_what_a_cell_sees(data, tmp_path):
    trainer, settings = tracker_trainer(data, tmp_path, steps=1, batch=2)
    fit(trainer, settings)
    scalars, pictures = tensorboard_content(tmp_path / "tensorboard")
    assert "run/waiting for data" in scalars
    assert pictures == {"input, target, prediction": (3 * 127, 2 * 127)}


@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("shift", 40.0, "search"),
        ("scale", 0.3, "search"),
        ("template_shift", 8.0, "template"),
        ("template_scale", 0.3, "template"),
        ("negatives", 1.0, "labels"),
        ("mirror", 1.0, "search"),
        ("surroundings", 1.0, "search"),
        ("blur", 1.0, "search"),
        ("patches", 1.0, "mask"),
        ("poles", 1.0, "mask"),
        ("paste", 0.9, "search"),
        ("low_resolution", 1.0, "template"),
        ("jpeg", 1.0, "search"),
    ],
)
def test_each_augmentation_is_there(data, setting, value, part):
    none = {f.name: 0.0 for f in fields(PairRecipe) if f.name not in ("persons", "saliency", "max_gap")}
    plain, augmented = (sampler(data, 2, PairRecipe(**none | one)) for one in ({}, {setting: value}))
    parts = [(getattr(plain.sample(i), part), getattr(augmented.sample(i), part)) for i in range(3)]
    assert not all(torch.equal(*both) for both in parts)


def test_grey_pairs_have_no_colour(data):
    pair = sampler(data, 2, PairRecipe(grey=1.0)).sample(0)
    for crop in (pair.template, pair.search):
        assert crop.float().std(dim=2).max() < 1.5  # rounding
    coloured = sampler(data, 2, PairRecipe(grey=0.0)).sample(0)
    assert coloured.search.float().std(dim=2).max() > 30
