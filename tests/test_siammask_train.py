"""Pairs, labels and losses of the SiamMask training, and that a resumed run goes on as if unbroken."""

import io
import json

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.utils.data import default_collate

from langtrack_core.geometry import enclosing_box, xyxy_to_cxcywh
from langtrack_core.siammask.network import ANCHORS_WH, GRID, LiteNetwork
from langtrack_core.siammask.pairs import PairDataset, PairRecipe, anchor_iou, anchor_labels
from langtrack_core.siammask.tracker import ANCHORS_CXCYWH, decode, paste
from langtrack_core.siammask.train import (
    Recipe,
    Trainer,
    box_loss,
    class_loss,
    freeze,
    mask_windows,
)
from langtrack_core.training import save_weights
from langtrack_core.types import LangTrackError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny tree of the four sets: bright discs on noise."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def picture(path, cx, cy, radius, mask_path=None):
        rgb = rng.integers(0, 90, (120, 160, 3), dtype=np.uint8)
        mask = np.zeros((120, 160), np.uint8)
        cv2.circle(mask, (cx, cy), radius, 255, -1)
        rgb[mask > 0] = (200, 160, 40)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb)
        if mask_path is not None:
            mask_path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(mask_path), mask)

    for i in range(6):
        picture(
            root / f"davis/JPEGImages/disc/{i:05d}.jpg",
            *(60 + 6 * i, 50 + 3 * i, 18),
            root / f"davis/Annotations/disc/{i:05d}.png",
        )
    (root / "davis/expressions.json").write_text(json.dumps({"disc": ["the disc"]}))
    picture(root / "saliency/images/a.jpg", 80, 60, 25, root / "saliency/masks/a.png")
    for name, file in (("coco", "instances.json"), ("persons", "boxes.json")):
        picture(root / name / "images/1.jpg", 50, 40, 20)
        octagon = [v for k in range(8) for v in (50 + 20 * np.cos(k * 0.785), 40 + 20 * np.sin(k * 0.785))]
        annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [30, 20, 40, 40], "iscrowd": 0}
        if name == "coco":
            annotation["segmentation"] = [octagon]
        data = {"images": [{"id": 1, "file_name": "1.jpg", "width": 160, "height": 120}]}
        data |= {"annotations": [annotation], "categories": [{"id": 1, "name": "disc"}]}
        (root / name / file).write_text(json.dumps(data))
    return root


def test_a_pair_depends_on_seed_and_index_alone(folder):
    first, second = PairDataset(folder, 10, 7), PairDataset(folder, 1000, 7)
    for index in (3, 0):
        a, b = first[index], second[index]
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(first[0]["search"], PairDataset(folder, 10, 8)[0]["search"])


def test_box_and_mask_of_a_pair_agree(folder):
    pairs = PairDataset(folder, 100, 1, PairRecipe(negatives=0, neighbours=0, occlusion=0, shift=20))
    seen = 0
    for pair in (pairs[i] for i in range(40)):
        mask = pair["mask"].numpy()
        if not mask.any() or mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue  # cut by the crop: the box is of the whole object
        box = xyxy_to_cxcywh(enclosing_box(mask)) - (127.5, 127.5, 0, 0)
        assert np.abs(box - pair["box"].numpy()).max() < 3.5
        assert (pair["labels"] == 1).any() and (pair["cells"][0] >= 0).all()
        seen += 1
    assert seen > 15


def test_pairs_of_two_things_have_no_positives(folder):
    pairs = PairDataset(folder, 100, 1, PairRecipe(negatives=1))
    for pair in (pairs[i] for i in range(8)):
        assert (pair["labels"] == 0).all() and (pair["cells"] == -1).all()


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
    assert float(box_loss(loc, box, labels)) == pytest.approx(0, abs=1e-5)
    assert float(box_loss(loc + 0.5, box, labels)) > 0.3
    found = decode(loc[0].double().numpy())[:, int(labels[0].argmax())]
    assert np.allclose(found, box[0], atol=1e-3)  # the tracker reads the same box
    cls = torch.stack([(labels[0] != 1), labels[0] == 1]).float().reshape(1, 10, GRID, GRID) * 40
    assert float(class_loss(cls, labels, 64)) == pytest.approx(0, abs=1e-5)
    assert float(class_loss(-cls, labels, 64)) > 10


def test_a_pair_without_positives_has_no_box_loss():
    labels = torch.zeros(1, 5 * GRID * GRID, dtype=torch.long)
    loss = box_loss(torch.randn(1, 20, GRID, GRID, requires_grad=True), torch.ones(1, 4), labels)
    assert float(loss.detach()) == 0.0
    loss.backward()


def test_what_a_cell_learns_is_what_the_tracker_pastes_back():
    mask = torch.zeros(1, 255, 255)
    mask[:, 90:180, 60:130] = 1
    window = mask_windows(mask, torch.tensor([[0, 13, 9]]))[0].numpy()
    laid = paste(window, np.zeros(2), 255.0, 13, 9, (255, 255))
    assert np.abs((laid > 0.5) - mask[0].numpy()).mean() < 0.01


def batches(folder, count):
    pairs = PairDataset(folder, 2 * count, 3)
    return [default_collate([pairs[2 * i], pairs[2 * i + 1]]) for i in range(count)]


def fresh_trainer():
    torch.manual_seed(5)
    network = LiteNetwork(channels=16, mask_rank=8)
    recipe = Recipe(batch=2)
    freeze(network, recipe)
    return Trainer(network, recipe)


def test_a_resumed_run_goes_on_as_if_unbroken(folder):
    first, second = batches(folder, 2)
    unbroken = fresh_trainer()
    unbroken.learn(first, 50, bfloat16=False)
    resumed = fresh_trainer()
    resumed.load(through_a_file(unbroken.state()))
    for trainer in (unbroken, resumed):
        trainer.running = {}
    a, b = (trainer.learn(second, 50, bfloat16=False) for trainer in (unbroken, resumed))
    assert a == pytest.approx(b, rel=1e-5) and resumed.step == 2
    assert set(a) >= {"cls", "box"}


def through_a_file(state):
    """No tensor stays shared with the run that goes on."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_a_checkpoint_of_another_recipe_is_refused():
    state = fresh_trainer().state()
    other = Trainer(LiteNetwork(channels=16, mask_rank=8), Recipe(batch=4))
    with pytest.raises(LangTrackError, match="other settings"):
        other.load(state)


def test_a_loss_that_is_not_finite_names_its_parts(folder):
    trainer = fresh_trainer()
    trainer.network.cls.head[3].bias.data.fill_(float("nan"))
    with pytest.raises(LangTrackError, match=r"not finite at step 0: cls nan, box"):
        trainer.learn(batches(folder, 1)[0], 10, bfloat16=False)


def test_saved_weights_load_strictly(tmp_path):
    network = LiteNetwork(channels=16, mask_rank=8)
    path = tmp_path / "w.safetensors"
    save_weights(path, network.state_dict(), {"arguments": json.dumps({"channels": 16, "mask_rank": 8})})
    with safe_open(path, "pt") as stream:
        arguments = json.loads(stream.metadata()["arguments"])
    LiteNetwork(**arguments).load_state_dict(load_file(path))
    assert list(tmp_path.iterdir()) == [path]
