"""The published recipe, stage by stage, on a tiny OTB-99-Lang, LaSOT and ReferIt that the test writes."""

import json
import pickle
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from langtrack_core.cli import main
from langtrack_core.dmn import network as dmn_network
from langtrack_core.dmn.network import DMN, DMNConfig, published_name
from langtrack_core.dmn.segmenter import Preprocessing
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.types import Frame, LangTrackError
from langtrack_core.weights.checkpoint import fill
from langtrack_core.weights.load import build_segmenter, choose_file
from langtrack_lab.training import paper, save_weights
from langtrack_lab.training.paper import SWITCHES, InitialWeights, PaperRecipe, build_network, to_published
from langtrack_lab.training.paper_data import categories_data, clips_data, epoch_order, read_pair, words_of

SIZES = {"embedding": 6, "hidden": 6, "filters": 2, "mixed": 6, "mixed_hidden": 7}
TINY = PaperRecipe(otb_sequences=2, lasot_sequences=1, input_size=64, rate=1e-3, **SIZES)
BEST = "best/dmn-paper.safetensors"


class TinyVisual(nn.Module):
    """In the place of the DPN-92: five strides, and a batch norm to follow."""

    def __init__(self):
        super().__init__()
        channels = (3, 3, 4, 4, 4, 8)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(channels))
        self.norm = nn.BatchNorm2d(8)

    def forward(self, image):
        skips, x = [], image
        for conv in self.convs:
            x = conv(x)
            skips.append(x)
        return torch.relu(self.norm(x)), skips


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(dmn_network, "VisualModule", TinyVisual)
    monkeypatch.setattr(dmn_network, "VISUAL_CHANNELS", 8)
    monkeypatch.setattr(dmn_network, "CELL_CHANNELS", 16)
    monkeypatch.setattr(dmn_network, "SKIP_CHANNELS", (3, 4, 4, 4, 8))
    monkeypatch.setattr(dmn_network, "UPSAMPLING_CHANNELS", (8, 8, 4, 4, 4))
    monkeypatch.setattr(paper, "RECIPE", TINY)


def frame(path, i=0):
    """96x64 with a bright rectangle at (20 + 2 i, 16) of 30x24."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.full((64, 96, 3), 40, np.uint8)
    rgb[16:40, 20 + 2 * i : 50 + 2 * i] = (30, 60, 220)
    cv2.imwrite(str(path), rgb)


def rows(first_pixel, count=3):
    return "".join(f"{20 + 2 * i + first_pixel},{16 + first_pixel},30,24\n" for i in range(count))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    (root / "otb/OTB_query_train").mkdir(parents=True)
    for name in ("Box", "Car", "Dog", "Fish"):
        for i in range(3):
            frame(root / f"otb/OTB_videos/{name}/img/{i + 1:04d}.jpg", i)
        (root / f"otb/OTB_videos/{name}/groundtruth_rect.txt").write_text(rows(1))
        (root / f"otb/OTB_query_train/{name}.txt").write_text(f"the red {name.lower()}\n")
    for name in ("cat-2", "cat-4", "dog-2", "dog-1"):  # dog-1 is a test sequence
        folder = root / "lasot" / name.partition("-")[0] / name
        for i in range(3):
            frame(folder / f"img/{i + 1:08d}.jpg", i)
        (folder / "groundtruth.txt").write_text(rows(1))
        (folder / "nlp.txt").write_text(f"red {name[:3]} walking")
        (folder / "full_occlusion.txt").write_text("0,1,0")
        (folder / "out_of_view.txt").write_text("0,0,0")
    write_refclef(root / "refer")
    return root


def write_refclef(root):
    outline = [20, 16, 50, 16, 50, 40, 20, 40]
    images, annotations, refs = [], [], []
    for i, split in enumerate(("train", "train", "val")):
        frame(root / f"images/saiapr_tc-12/{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 96, "height": 64})
        annotation = {"id": i, "image_id": i, "category_id": 1, "bbox": [20, 16, 30, 24], "iscrowd": 0}
        annotations.append(annotation | {"segmentation": [outline]})
        refs.append(
            {"ref_id": i, "ann_id": i, "image_id": i, "split": split, "sentences": [{"sent": "red box"}]}
        )
    (root / "refclef").mkdir(parents=True)
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "box"}]}
    (root / "refclef/instances.json").write_text(json.dumps(coco))
    (root / "refclef/refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))


@pytest.fixture
def train(sets, tmp_path):
    def command(*flags, steps=2, where=("otb", "lasot")):
        data = [word for name in where for word in (f"--{name}", str(sets / name))]
        common = ["--preset", "paper", "--out", str(tmp_path / "out"), "--workers", "0"]
        return main(
            ["train", "language", *common, *data, *(["--steps", str(steps)] if steps else []), *flags]
        )

    return command


# --- data --------------------------------------------------------------------------------------------------


def test_sequences_are_drawn_by_the_seed_and_the_rest_is_validated_on(sets):
    draws = [clips_data(sets / "otb", sets / "lasot", 2, 1, seed) for seed in (0, 0, 1, 2, 3)]
    assert draws[0].sources == draws[1].sources
    assert len({tuple(d.sources) for d in draws}) > 1
    for data in draws:
        otb, (lasot,) = data.sources[:2], data.sources[2:]
        assert set(otb) | set(data.validation_sources) == {"Box", "Car", "Dog", "Fish"}
        assert not set(otb) & set(data.validation_sources)
        assert lasot != "dog-1"
        assert len(data.pairs) == 2 * 3 + 2  # LaSOT's second frame is occluded
        assert len(data.validation) == 2  # one frame in fifty


def test_the_last_stage_takes_one_video_of_each_category(sets):
    data = categories_data(sets / "otb", sets / "lasot", 2, 0)
    assert [name.partition("-")[0] for name in data.sources] == ["cat", "dog"] and "dog-1" not in data.sources
    assert data.validation_sources == clips_data(sets / "otb", sets / "lasot", 2, 1, 0).validation_sources


def test_too_few_sequences_are_reported(sets):
    with pytest.raises(LangTrackError, match=r"22 sequences of OTB-99-Lang .* 4"):
        clips_data(sets / "otb", sets / "lasot", 22, 14, 0)
    with pytest.raises(LangTrackError, match="No sequence of OTB-99-Lang"):
        clips_data(sets / "otb", sets / "lasot", 4, 1, 0)


def test_the_target_is_the_filled_box_at_the_size_of_the_input(sets):
    data = clips_data(sets / "otb", sets / "lasot", 2, 1, 0)
    vocabulary = words_of(data.pairs)
    example = read_pair(data.pairs[1], Preprocessing(48), vocabulary)
    assert example.image.shape == (1, 3, 32, 48) and example.target.shape == (32, 48)
    expected = np.zeros((32, 48), bool)
    expected[8:20, 11:26] = True  # 22,16 to 52,40 halved
    np.testing.assert_array_equal(example.target.numpy(), expected)
    assert [vocabulary.words[i] for i in example.ids][::2] == data.pairs[1].sentence.split()


def test_an_epoch_takes_every_pair_once():
    first, second = (epoch_order(50, 3, epoch).tolist() for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50)) and first != second


# --- stages ------------------------------------------------------------------------------------------------


def test_one_command_runs_all_stages_from_nothing(train, tmp_path, sets, capsys):
    assert train("--init", "random", "--referit", str(sets / "refer")) == 0
    out = tmp_path / "out"
    output = capsys.readouterr().out
    assert all(words in output for words in ("stage low: 3 sequences", "8 pictures", "39,891 frames"))
    for stage in ("referit", "low", "high", "lasot"):
        assert (out / stage / BEST).exists() and (out / stage / "checkpoint.pt").exists()
    low, high = (json.loads((out / stage / "manifest.json").read_text()) for stage in ("low", "high"))
    assert low["sequences"] == high["sequences"] and (low["seed"], low["frames"]) == (0, 8)
    assert low["recipe"]["rate"] == 1e-3 and low["recipe"]["steps"] == 2

    # What comes out is a published DMN to everything else, recurrence and statistics included.
    trained = choose_file(out / "lasot" / BEST, out / "vocabulary.txt")
    segmenter, _ = build_segmenter(trained, "cpu", "torch")
    assert segmenter.network.config.resolution == "high" and segmenter.network.config.batch_statistics
    rgb = np.full((64, 96, 3), 80, np.uint8)
    assert segmenter.segment(Frame(0, 0.0, rgb), segmenter.encode("the red box")).mask_prob.shape == (64, 96)

    # The same command again finds everything done.
    before = (out / "lasot" / "checkpoint.pt").stat().st_mtime_ns
    assert train("--init", "random", "--referit", str(sets / "refer")) == 0
    assert (out / "lasot" / "checkpoint.pt").stat().st_mtime_ns == before


def test_a_stage_alone_begins_where_the_stage_before_it_ended(train, tmp_path, capsys):
    assert train("--init", "random", "--stage", "high") == 1
    assert "weights of the stage before it" in capsys.readouterr().err
    assert train("--init", "random", "--stage", "low") == 0
    assert not (tmp_path / "out" / "high" / "checkpoint.pt").exists()
    assert train("--init", "random", "--stage", "high", "--rate", "1e-12") == 0
    low, high = (torch_weights(tmp_path / "out" / stage / BEST) for stage in ("low", "high"))
    shared = [name for name in high if not name.startswith("upsample.")]
    assert len(shared) > 10 and "langvis.output_collapse.weight" in low
    assert all(torch.allclose(low[name], high[name], atol=1e-6) for name in shared)


def torch_weights(path):
    from safetensors.torch import load_file

    return load_file(path)


def test_without_steps_a_stage_takes_its_epochs(train, tmp_path):
    assert train("--init", "random", "--stage", "low", steps=None) == 0
    state = torch.load(tmp_path / "out/low/checkpoint.pt", weights_only=True)
    assert state["step"] == 5 * 8
    assert state["best"] > -1


def test_a_stage_that_a_signal_stopped_ends_the_command_with_an_error(train, monkeypatch):
    monkeypatch.setattr(paper, "fit", lambda *_: False)
    assert train("--init", "random", "--stage", "low") == 1


def test_given_weights_keep_their_upsampling_through_the_low_stage(tmp_path):
    torch.manual_seed(0)
    vocabulary = Vocabulary(("the", "red", "box", "<unk>"), "published")
    published = DMN(DMNConfig(4, resolution="high", **SIZES))
    start = InitialWeights(to_published(published), vocabulary, tmp_path / "words.txt", "given")
    low = build_network("low", tmp_path, start, TINY)
    assert low.config == DMNConfig(4, resolution="low", **SIZES, **SWITCHES)
    with torch.no_grad():
        low.mixing.weight += 1
    save_weights(tmp_path / "low" / BEST, to_published(low), {}, torch.float32)
    high = build_network("high", tmp_path, start, TINY)
    torch.testing.assert_close(high.mixing.weight, published.mixing.weight + 1)
    assert torch.equal(high.upsampling.steps[0].weight, published.upsampling.steps[0].weight)
    fill(published, to_published(high), published_name)  # nothing missing, nothing more


def test_a_vocabulary_of_another_length_is_refused(tmp_path):
    state = to_published(DMN(DMNConfig(9, **SIZES)))
    vocabulary = Vocabulary(("a", "<unk>"), "published")
    start = InitialWeights(state, vocabulary, tmp_path / "w.txt", "nine words")
    with pytest.raises(LangTrackError, match=r"know 9 words and the vocabulary .*w\.txt has 2"):
        build_network("high", tmp_path, start, TINY)


def test_training_leaves_the_stored_statistics_alone(train, tmp_path):
    assert train("--init", "random", "--stage", "low") == 0
    weights = torch_weights(tmp_path / "out/low/dmn-paper.safetensors")
    (mean,) = [value for name, value in weights.items() if name.endswith("norm.running_mean")]
    assert not mean.any()


def test_another_draw_does_not_go_on(train, capsys):
    assert train("--init", "random", "--stage", "low") == 0
    assert train("--init", "random", "--stage", "low", "--seed", "5") == 1
    assert "began with other data (seed" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["out", "out/low"])
def test_an_output_folder_that_cannot_be_is_one_sentence(train, tmp_path, capsys, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert train("--init", "random") == 1
    assert "The training cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "where", "message"),
    [
        (("--init", "random"), ("lasot",), "needs --otb DIR"),
        (("--init", "random", "--stage", "referit"), (), "needs --referit DIR"),
        (("--init", "nowhere"), ("otb", "lasot"), "'nowhere'"),
        (("--init", __file__), ("otb", "lasot"), "needs --vocabulary"),
    ],
)
def test_what_is_missing_is_named(train, capsys, flags, where, message):
    assert train(*flags, where=where) == 1
    assert message in capsys.readouterr().err
