"""What both trainings share: the loop, in one process and in two; and its small parts."""

import argparse
import json
import math
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import TRAINERS, in_two_processes, recorded, steepest
from torch import nn

from langtrack_core.types import LangTrackError
from langtrack_lab.training import (
    CommonRecipe,
    DistributedContext,
    LossTerm,
    Settings,
    Trainer,
    add_arguments,
    checkpoints,
    distributed,
    fit,
    loop,
    settings_of,
    side_by_side,
)
from langtrack_lab.training.checkpoints import WeightAverage, data_hash, save_checkpoint, save_weights
from langtrack_lab.training.distributed import SyncBatchNorm, synchronise_batch_norms
from langtrack_lab.training.losses import dice_loss


class Line(Trainer):
    """Learns a line from points.

    `broken` puts a nan into the loss of that step, `steep` into its gradient alone; `signals` sends SIGTERM.
    """

    name = "line"

    def __init__(self, steps=6, broken=None, steep=None, signals=None, figure=None):
        torch.manual_seed(1)
        self.network = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.3), nn.Linear(4, 1))
        self.recipe = CommonRecipe(steps=steps, batch=2, rate=0.05, precision="float32")
        self.broken, self.steep, self.signals, self.figure = broken, steep, signals, figure
        self.batches = []

    def optimiser(self):
        return torch.optim.Adam(self.network.parameters())

    def sample(self, index):
        return torch.tensor([index / 10])

    def collate(self, samples):
        return torch.stack(samples)

    def losses(self, batch):
        step = round(float(batch[0]) * 10) // 2
        self.batches.append(step)
        if step == self.signals:
            os.kill(os.getpid(), signal.SIGTERM)
        error = (self.network(batch) - 3 * batch).square()
        if step == self.broken:
            error = error * math.nan
        if step == self.steep:
            error = error + (0 * error).sqrt()
        return {"slope": LossTerm.mean(error), "offset": LossTerm.mean(self.network[2].bias.square(), 0.1)}

    def measure(self):
        return {"figure": self.figure.pop(0)} if self.figure else {}

    def export(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.network.state_dict(), folder / "weights.pt")


def settings(out, every=2):
    return Settings(out, seed=3, workers=0, save_every=every, measure_every=every)


def state(out):
    return torch.load(out / "checkpoint.pt", weights_only=True)


# --- the loop ----------------------------------------------------------------------------------------------


def test_sigterm_saves_and_the_same_command_goes_on_as_if_unbroken(tmp_path, capsys):
    whole = recorded(Line(), settings(tmp_path / "whole"))
    before = signal.getsignal(signal.SIGTERM)
    first = Line(signals=2)
    assert fit(first, settings(tmp_path / "broken", every=100)) is False
    assert "Stopped after step 3" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) == before
    assert state(tmp_path / "broken")["step"] == 3 and first.batches == [0, 1, 2]
    second = Line()
    rest = recorded(second, settings(tmp_path / "broken", every=100))
    assert second.batches == [3, 4, 5] and rest == whole[3:]  # dropout included
    same(state(tmp_path / "whole"), state(tmp_path / "broken"))


def same(a, b):
    assert a["average"]["count"] == b["average"]["count"]
    for left, right in ((a["network"], b["network"]), (a["average"]["values"], b["average"]["values"])):
        assert left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_workers_and_their_number_change_nothing(tmp_path):
    alone = recorded(Line(), settings(tmp_path / "alone"))
    helped = Settings(tmp_path / "helped", seed=3, workers=2)
    assert recorded(Line(), helped) == alone


def test_by_the_clock_the_rate_falls_with_the_time_and_the_run_ends(tmp_path, monkeypatch):
    now, positions = [100.0], []
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    minute = replace(settings(tmp_path, every=4), minutes=1.0)

    class Clocked(Line):
        def rate(self, step):
            positions.append(round(step))
            return super().rate(step)

    def six_seconds(step, losses):
        now[0] += 6.0

    assert fit(Clocked(steps=1000), minute, on_step=six_seconds)
    assert positions == [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]
    assert fit(Clocked(steps=1000), minute) and len(positions) == 10  # it is over
    assert fit(Clocked(steps=1000), replace(minute, minutes=1.2), on_step=six_seconds)
    assert positions[10:] == [833, 917] and state(tmp_path)["step"] == 12


def test_by_the_clock_all_processes_go_by_the_one_that_is_furthest(tmp_path):
    class OneAhead(DistributedContext):
        def max(self, value):
            return value + 5

    positions = []

    class Clocked(Line):
        def rate(self, step):
            positions.append(step)
            return super().rate(step)

    assert fit(Clocked(steps=10), replace(settings(tmp_path), minutes=60.0), OneAhead())
    assert positions == [0, 6, 7, 8, 9]


def test_weights_are_written_with_every_checkpoint(tmp_path):
    with pytest.raises(LangTrackError, match="not finite"):
        fit(Line(broken=3), settings(tmp_path))
    assert (tmp_path / "weights.pt").is_file()


def test_a_finished_run_is_left_as_it_is(tmp_path):
    assert fit(Line(), settings(tmp_path))
    again = Line()
    assert fit(again, settings(tmp_path)) and again.batches == []


def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_terms(tmp_path):
    with pytest.raises(LangTrackError, match=r"not finite at step 3: slope nan, offset [\d.e-]+\."):
        fit(Line(broken=3), settings(tmp_path))
    assert state(tmp_path)["step"] == 2  # the last good checkpoint


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_step(tmp_path):
    trainer = Line(steep=3)
    with pytest.raises(LangTrackError, match="gradient is not finite at step 3"):
        fit(trainer, settings(tmp_path))
    assert all(parameter.isfinite().all() for parameter in trainer.network.parameters())


def test_another_recipe_or_seed_does_not_go_on(tmp_path):
    fit(Line(), settings(tmp_path))
    other = Line()
    other.recipe = CommonRecipe(steps=6, batch=4, rate=0.05, precision="float32")
    with pytest.raises(LangTrackError, match=r"other settings \(batch\)"):
        fit(other, settings(tmp_path))
    with pytest.raises(LangTrackError, match=r"\(seed\)"):
        fit(Line(), Settings(tmp_path, seed=4))
    with pytest.raises(LangTrackError, match=r"\(weights to start from\).*another --out"):
        fit(Line(), replace(settings(tmp_path), start="another file's hash"))


def test_other_data_do_not_go_on(data, tmp_path):
    assert {make(data, tmp_path)[0].data_hash for make in TRAINERS.values()} == {data_hash(data)}
    first, other = Line(), Line()
    first.data_hash, other.data_hash = "some", "other"
    fit(first, settings(tmp_path))
    with pytest.raises(LangTrackError, match=r"\(annotations and number of pictures of the data\)"):
        fit(other, settings(tmp_path))


def test_a_checkpoint_that_does_not_know_its_data_goes_on_and_says_so(tmp_path, capsys):
    fit(Line(), settings(tmp_path))
    before = state(tmp_path)
    recipe = json.loads(before["recipe"])
    del recipe[loop.DATA]  # as an earlier version left it
    torch.save({**before, "recipe": json.dumps(recipe)}, tmp_path / "checkpoint.pt")
    trainer = Line(steps=8)
    trainer.data_hash = "some"
    assert fit(trainer, settings(tmp_path)) and trainer.batches == [6, 7]
    assert "does not say what data it learnt from" in capsys.readouterr().out


def test_the_hash_of_data_is_that_of_annotations_and_of_the_number_of_pictures(data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "copy")
    hashes = [data_hash(data), data_hash(copy)]
    assert hashes[0] == hashes[1]
    (copy / "davis" / "expressions.json").write_text('{"disc": ["a frisbee"]}')
    hashes.append(data_hash(copy))
    shutil.copy(copy / "coco" / "images" / "0.jpg", copy / "coco" / "images" / "9.jpg")
    hashes.append(data_hash(copy))
    (copy / "coco" / "expressions.tsv").write_text("0.jpg\t0\tthe disc\n")
    assert len({*hashes, data_hash(copy)}) == 4


def test_a_damaged_checkpoint_is_reported(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"PK not really")
    with pytest.raises(LangTrackError, match=r"checkpoint\.pt is no checkpoint"):
        fit(Line(), settings(tmp_path))


def test_the_weights_of_the_best_figure_are_kept_apart(tmp_path):
    trainer = Line(figure=[0.2, 0.9, 0.5])
    fit(trainer, settings(tmp_path))
    best, last = (torch.load(tmp_path / d / "weights.pt") for d in ("best", "."))
    assert state(tmp_path)["best"] == 0.9
    assert not torch.equal(best["0.weight"], last["0.weight"])
    # What is kept are the averages, and the network itself goes on with its own weights.
    assert torch.equal(last["0.weight"], state(tmp_path)["average"]["values"]["0.weight"])
    assert torch.equal(trainer.network[0].weight, state(tmp_path)["network"]["0.weight"])


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path):
    with pytest.raises(LangTrackError, match=r"batch of 2 .* 3 processes: give --batch 3"):
        fit(Line(), settings(tmp_path), DistributedContext(0, 3))


def test_an_output_folder_that_cannot_be_is_told_before_the_first_step(tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(LangTrackError, match=r"cannot be written to .*file"):
            fit(Line(), settings(out), on_step=lambda *step: pytest.fail("it has begun"))


def test_a_folder_in_which_another_training_is_at_work_is_refused(tmp_path):
    def second(*step):
        with pytest.raises(LangTrackError, match=r"Another training is at work in .*choose another --out"):
            fit(Line(steps=9), settings(tmp_path, every=1))
        seen.append(step)

    seen: list[tuple] = []
    fit(Line(), settings(tmp_path), on_step=second)
    assert len(seen) == 6 and state(tmp_path)["step"] == 6
    assert fit(Line(steps=7), settings(tmp_path)) and state(tmp_path)["step"] == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_is_told_and_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    for number, save in enumerate((save_checkpoint, lambda state, path: save_weights(path, state, {}))):
        path = tmp_path / f"{number}.bin"
        save({"a": torch.zeros(3)}, path)
        before = path.read_bytes()

        def full(*_, **__):
            Path("/dev/full").write_bytes(b"x")

        with monkeypatch.context() as patch, pytest.raises(LangTrackError, match="the disk is full"):
            patch.setattr(torch, "save", full)
            patch.setattr(checkpoints, "save_file", full)
            save({"a": torch.ones(3)}, path)
        assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


# --- two processes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    in_two_processes(data, out)
    return out


def test_cudnn_is_deterministic_in_training_alone(tmp_path):
    before, during = torch.backends.cudnn.deterministic, []
    fit(Line(), settings(tmp_path), on_step=lambda *_: during.append(torch.backends.cudnn.deterministic))
    assert during == [True] * 6 and torch.backends.cudnn.deterministic == before


@pytest.mark.parametrize("branch", TRAINERS)
def test_two_processes_learn_what_one_does_with_the_same_global_batch(two, data, tmp_path, branch):
    trainer, settings = TRAINERS[branch](data, tmp_path / branch, steps=2, batch=2)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    losses = recorded(steepest(trainer), settings)
    for rank in range(2):
        theirs = json.loads((two / f"{branch}-{rank}.json").read_text())
        assert theirs == [pytest.approx(step, rel=2e-4, abs=1e-6) for step in losses]
    after = [state(folder)["network"] for folder in (tmp_path / branch, two / branch)]
    parts = [(list(before), 1e-3)]
    if branch == "language":
        # Its backbone is random here, which multiplies rounding: by how much, the same training with another
        # number of threads tells. What is above the backbone has to agree all the better.
        other = trained_with_other_threads(TRAINERS[branch], data, tmp_path / "other")
        inside = [name for name in before if name.startswith("backbone.")]
        above = [name for name in before if name not in inside]
        parts = [(inside, 1e-2), (above, max(1e-4, 4 * difference(before, after[0], other, above)))]
    for names, tolerance in parts:
        assert change(before, after[0], names).norm() > 0.005  # weights and running statistics have moved
        assert difference(before, after[0], after[1], names) < tolerance


def test_two_processes_agree_on_the_largest_value(two):
    assert [json.loads((two / f"largest-{rank}.json").read_text()) for rank in range(2)] == [1, 1]


def change(before, after, names):
    return torch.cat([(after[name] - before[name]).flatten().double() for name in names])


def difference(before, ours, theirs, names) -> float:
    """How far two trainings ended from each other, as a share of how far the first one went."""
    moved = change(before, ours, names)
    return float((moved - change(before, theirs, names)).norm() / moved.norm())


def trained_with_other_threads(make, data, folder):
    threads = torch.get_num_threads()
    trainer, settings = make(data, folder, steps=2, batch=2)
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        recorded(steepest(trainer), settings)
    finally:
        torch.set_num_threads(threads)
    return state(folder)["network"]


def test_shares_of_a_batch_are_the_batch():
    whole = [*DistributedContext(0, 1).sample_indices(7, 6)]
    assert (
        [i for rank in range(3) for i in DistributedContext(rank, 3).sample_indices(7, 6)]
        == whole
        == [*range(42, 48)]
    )


def test_synchronised_batch_norms_take_the_place_of_the_others():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.BatchNorm2d(2)))
    parameters = [id(p) for p in network.parameters()]
    names = list(network.state_dict())
    synchronise_batch_norms(network)
    assert isinstance(network[1][0], SyncBatchNorm)
    assert [id(p) for p in network.parameters()] == parameters and list(network.state_dict()) == names


@pytest.mark.parametrize("cells", [0, 1])
def test_a_synchronised_batch_norm_goes_on_where_no_process_has_two_cells(monkeypatch, cells):
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda values: None)
    layer = SyncBatchNorm(2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(torch.ones(cells, 2, 1, 1)).sum().backward()
    assert torch.equal(layer.running_mean, before["running_mean"])
    assert torch.equal(layer.running_var, before["running_var"])
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


# --- small parts -------------------------------------------------------------------------------------------


def test_a_loss_term_divides_by_what_counts():
    values = torch.tensor([1.0, 2.0, 30.0])
    assert LossTerm.mean(values, 0.5).value == pytest.approx(5.5)
    assert LossTerm.mean(values, where=torch.tensor([True, True, False])).value == 1.5
    assert LossTerm.mean(values[:0]).value == 0


def test_dice_loss_is_zero_for_the_truth_and_nearly_one_for_its_opposite():
    target = torch.zeros(2, 1, 8, 8)
    target[0, :, :4] = 1
    assert dice_loss(40 * (target - 0.5), target, 0.1).max() < 1e-3
    assert dice_loss(40 * (0.5 - target), target, 0.1).min() > 0.9


def test_averages_are_lent_to_the_network():
    network = nn.Linear(1, 1)
    average = WeightAverage(network, decay=0.9)
    own = network.weight.detach().clone()
    with torch.no_grad():
        network.weight += 1
    average.update(network)
    with average.applied(network):
        assert own < network.weight < own + 1
    torch.testing.assert_close(network.weight.detach(), own + 1)


def test_side_by_side_shows_input_target_and_prediction():
    row = side_by_side(torch.full((3, 4, 6), 0.5), torch.ones(2, 3), torch.zeros(4, 6))
    assert row.shape == (3, 4, 18)
    assert [row[:, :, x : x + 6].unique().tolist() for x in (0, 6, 12)] == [[0.5], [1.0], [0.0]]


def test_flags_change_the_recipe_and_nonsense_is_refused(tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flags = ["--out", str(tmp_path), "--rate", "0.5", "--every", "7"]
    recipe, run = settings_of(parser.parse_args(flags), CommonRecipe())
    assert recipe == CommonRecipe(rate=0.5)
    assert (run.save_every, run.measure_every, run.seed) == (7, 7, 0)
    for flag, value in (
        ("--steps", "0"),
        ("--batch", "-1"),
        ("--every", "0"),
        ("--seed", "-1"),
        ("--minutes", "nan"),
        ("--rate", "nan"),
        ("--rate", "inf"),
    ):
        with pytest.raises(LangTrackError, match=flag):
            settings_of(parser.parse_args([*flags, flag, value]), CommonRecipe())
