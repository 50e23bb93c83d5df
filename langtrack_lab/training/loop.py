"""The one training loop: steps, averaged weights, checkpoints, figures, a graceful stop.

Where a run is stands in one file, ``OUT/checkpoint.pt``: network, optimiser, averages, best figure and the
number of steps done. The schedule, the position in the data and all chance follow from that number and the
seed, so there is no other state to save.
"""

from __future__ import annotations

import json
import math
import pickle
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from langtrack_core.types import LangTrackError

from .averaging import Average
from .checkpoints import save_atomically
from .distributed import World, share_statistics
from .losses import Part, combined
from .prefetch import Feed, StepBatches
from .process import StopSignal
from .progress import Board
from .recipe import CommonRecipe, Settings, cosine_rate

CHECKPOINT = "checkpoint.pt"


class Task(ABC):
    """One training: what `fit` cannot know. ``network`` is on its device when `fit` is called.

    Attributes:
        name: for the progress bar.
        shared_statistics: batch norms take the statistics of the global batch.
    """

    name: str
    network: nn.Module
    recipe: CommonRecipe
    shared_statistics = True

    @abstractmethod
    def optimiser(self) -> torch.optim.Optimizer:
        """Over all that is trained. A group's ``share`` is its part of the learning rate (1 without)."""

    def rate(self, step: int) -> float:
        return cosine_rate(step, self.recipe.steps, self.recipe.rate, min(100, self.recipe.steps // 10))

    def train_mode(self) -> None:
        self.network.train()

    @abstractmethod
    def sample(self, index: int) -> Any:
        """Sample ``index``; it depends on the seed and on the index alone. Runs in a worker."""

    @abstractmethod
    def collate(self, samples: list[Any]) -> Any:
        """Samples to a batch of tensors."""

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Part]:
        """Parts of the loss by name, always the same ones; what is minimised is the sum of their means.

        Every trained parameter takes part in every step, if only with a gradient of zero.
        """

    def pictures(self, batch: Any) -> list[Tensor]:
        """A few `strip`s of input, target and prediction. The network is in evaluation mode."""
        return []

    def measure(self) -> dict[str, float]:
        """Figures on the dev set, more is better, their mean decides; none without a dev set."""
        return {}

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the weights to ship. The network holds the averaged ones."""


# --- the loop ----------------------------------------------------------------------------------------------


def fit(task: Task, settings: Settings, world: World | None = None) -> bool:
    """Train, or go on from the checkpoint in ``settings.out``.

    Leaves the weights of the last step there and, when something was measured, those of the best figure in
    ``best``. On SIGTERM or SIGINT it saves after the step at hand and ends.

    Returns:
        Whether the run has come to its end; False when a signal stopped it.

    Raises:
        LangTrackError: the loss is not finite (its parts are named), the checkpoint is of another recipe or
            seed, or the batch cannot be shared by the processes.
    """
    world = world or World()
    if task.recipe.batch % world.size:
        raise LangTrackError(
            f"A batch of {task.recipe.batch} cannot be shared by {world.size} processes: "
            f"give --batch {world.size}, or a multiple of it."
        )
    with StopSignal() as stop:
        return _Run(task, settings, world).go(stop)


class _Objective(nn.Module):
    """The losses as a module, which is what `DistributedDataParallel` wraps."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task, self.network = task, task.network

    def forward(self, batch: Any) -> dict[str, Part]:
        return self.task.losses(batch)


class _Run:
    """One `fit`: the task with its optimiser, averages and position."""

    def __init__(self, task: Task, settings: Settings, world: World) -> None:
        self.task, self.settings, self.world = task, settings, world
        self.recipe, self.device = task.recipe, world.device
        torch.manual_seed(settings.seed)
        torch.backends.cudnn.deterministic = True
        if world.size > 1 and task.shared_statistics:
            share_statistics(task.network)
        self.optimiser = task.optimiser()
        self.average = Average(task.network, self.recipe.ema)
        self.step, self.best = 0, -math.inf
        self.checkpoint = settings.out / CHECKPOINT
        if self.checkpoint.exists():
            self._load()
        self.objective: nn.Module = _Objective(task)
        if world.size > 1:
            with warnings.catch_warnings():  # the argument has another name in the newest PyTorch alone
                warnings.simplefilter("ignore", FutureWarning)
                # Buffers need no copying: shared batch norms keep the same statistics everywhere.
                self.objective = DistributedDataParallel(self.objective, broadcast_buffers=False)

    def go(self, stop: StopSignal) -> bool:
        task, settings, steps = self.task, self.settings, self.recipe.steps
        batches = StepBatches(
            task.sample, task.collate, range(self.step, steps), self.recipe.batch, self.world
        )
        feed = Feed(batches, settings.workers)
        smoothed: dict[str, float] = {}
        started = time.monotonic()
        task.train_mode()
        with (
            Board(settings.out / "tensorboard", self.step, self.world.first) as board,
            tqdm(
                total=steps, initial=self.step, desc=task.name, unit="step", mininterval=5.0,
                disable=not self.world.first,
            ) as bar,
        ):  # fmt: skip
            for batch in feed:
                now = self._learn(batch)
                bar.update()
                for name, value in now.items():
                    smoothed[name] = 0.98 * smoothed.get(name, value) + 0.02 * value
                if self.step % 10 == 0:
                    bar.set_postfix({k: f"{v:.3f}" for k, v in smoothed.items()}, refresh=False)
                    board.numbers("loss", {**now, "sum": sum(now.values())}, self.step)
                    board.numbers("run", {"rate": self.optimiser.param_groups[-1]["lr"]}, self.step)
                stopped = self.world.any(bool(stop))
                last = self.step == steps
                measured = last or (self.step % settings.measure_every == 0 and not stopped)
                if (measured or stopped or self.step % settings.save_every == 0) and self.world.first:
                    figures = self._keep(measured, export=measured or stopped)
                    waiting = feed.waiting_share()
                    board.numbers("dev", figures, self.step)
                    board.numbers("run", {"waiting for data": waiting}, self.step)
                    if measured:
                        board.pictures(self._pictures(batch), self.step)
                        minutes = (time.monotonic() - started) / 60
                        bar.write(_line(self.step, minutes, waiting, smoothed, figures))
                if stopped and not last:
                    if self.world.first:
                        bar.write(f"Stopped after step {self.step}; the same command goes on from there.")
                    return False
        self.world.wait()  # for the files of the first one
        return True

    def _learn(self, batch: Any) -> dict[str, float]:
        """One step; gives the parts of the loss over the global batch."""
        # What a network draws by itself depends on the step alone, so that a resumed run draws the same.
        torch.manual_seed((self.settings.seed << 32) + self.step * self.world.size + self.world.rank)
        rate = self.task.rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        bfloat16 = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            parts = self.objective(batch)
        totals, counts = combined(parts)
        means = totals / self.world.sum(counts).clamp(min=1)  # this process's part of the global means
        values = dict(zip(parts, self.world.sum(means.detach()).tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise LangTrackError(f"The loss is not finite at step {self.step}: {shown}.")
        self.optimiser.zero_grad(set_to_none=True)
        total = means.sum() * self.world.size  # the processes' gradients are averaged, and should be added
        total.backward()
        trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, self.recipe.clip)
        self.optimiser.step()
        self.average.update(self.task.network)
        self.step += 1
        return values

    def _keep(self, measured: bool, export: bool) -> dict[str, float]:
        """Checkpoint, weights, and the figures, if it is time to measure."""
        task, out = self.task, self.settings.out
        figures: dict[str, float] = {}
        out.mkdir(parents=True, exist_ok=True)
        with self.average.applied(task.network):
            task.network.eval()
            if export:
                task.export(out)
            if measured:
                figures = task.measure()
            mean = float(sum(figures.values()) / len(figures)) if figures else -math.inf
            if mean > self.best:
                self.best = mean
                task.export(out / "best")
        task.train_mode()
        save_atomically(self._state(), self.checkpoint)
        return figures

    @torch.no_grad()
    def _pictures(self, batch: Any) -> list[Tensor]:
        self.task.network.eval()
        try:
            return self.task.pictures(batch)
        finally:
            self.task.train_mode()

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.task.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(),
            "step": self.step,
            "best": self.best,
            "recipe": json.dumps(self._terms()),
        }

    def _terms(self) -> dict[str, Any]:
        """What has to be the same for a run to go on."""
        terms = {"seed": self.settings.seed, **asdict(self.recipe)}
        return {name: value for name, value in terms.items() if name != "steps"}

    def _load(self) -> None:
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            before = json.loads(state["recipe"])
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
            raise LangTrackError(
                f"{self.checkpoint} is no checkpoint to go on from: remove it, or choose another --out."
            ) from error
        now = json.loads(json.dumps(self._terms()))
        other = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
        if other:
            raise LangTrackError(
                f"{self.checkpoint} was made with other settings ({', '.join(sorted(other))}): "
                "choose another --out."
            )
        self.task.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load_state_dict(state["average"])
        self.step, self.best = state["step"], state["best"]


def _line(
    step: int, minutes: float, waiting: float, losses: Mapping[str, float], figures: Mapping[str, float]
) -> str:
    shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
    line = f"step {step} after {minutes:.1f} min, {waiting:.0%} waiting for data: {shown}"
    if figures:
        dev = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
        line += f" | {dev} | mean {sum(figures.values()) / len(figures):.3f}"
    return line
