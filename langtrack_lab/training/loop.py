"""The one training loop: steps, averaged weights, checkpoints, figures, a graceful stop.

Where a run is stands in one file, ``OUT/checkpoint.pt``: network, optimiser, averages, best figure and the
number of steps done. The schedule, the position in the data and everything random follow from that number
and the seed, so there is no other state to save; but for a run by the clock, whose seconds are kept, too.
"""

from __future__ import annotations

import json
import math
import pickle
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from langtrack_core.types import LangTrackError

from ..files import explained
from .checkpoints import WeightAverage, save_checkpoint
from .distributed import DistributedContext, StopSignal, synchronise_batch_norms
from .losses import LossTerm, stacked
from .prefetch import PrefetchLoader, StepBatches
from .progress import TensorBoardLogger, progress_line
from .recipe import CommonRecipe, Settings, cosine_rate

STARTING = "weights to start from"
"""What a checkpoint calls `Settings.start`."""

DATA = "annotations and number of pictures of the data"
"""What a checkpoint calls `Trainer.data_hash`."""

CHECKPOINT = "checkpoint.pt"
"""Name of the file in the output folder from which an interrupted training goes on."""

SMOOTHING = 0.98
"""Share of the old value in the running mean of a loss that the progress bar shows: about 50 steps."""

LOG_EVERY = 10
"""Steps between two points of TensorBoard's curves."""


class Trainer(ABC):
    """One training: what `fit` cannot know. ``network`` is on its device when `fit` is called.

    Attributes:
        name: for the progress bar.
        data_hash: what it learns from, see `data_hash`; "" where a checkpoint goes on with any data.
        global_batch_norm: batch norms take the statistics of the global batch.
    """

    name: str
    data_hash: str = ""
    network: nn.Module
    recipe: CommonRecipe
    global_batch_norm = True

    @abstractmethod
    def optimiser(self) -> torch.optim.Optimizer:
        """Over all that is trained. A group's ``rate_scale`` multiplies the learning rate (1 without)."""

    def rate(self, step: float) -> float:
        """Learning rate at a step; by the clock, at the step that the time gone stands for."""
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
    def losses(self, batch: Any) -> dict[str, LossTerm]:
        """Terms of the loss by name, always the same ones; what is minimised is the sum of their means.

        Every trained parameter takes part in every step, if only with a gradient of zero.
        """

    def pictures(self, batch: Any) -> list[Tensor]:
        """A few rows of `side_by_side`: input, target, prediction. The network is in evaluation mode."""
        return []

    def measure(self) -> dict[str, float]:
        """Figures on the dev set, more is better, their mean decides; none without a dev set."""
        return {}

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the weights to ship. The network holds the averaged ones."""


STOPPED = 1
"""Exit code of a training that a signal stopped: no script goes on with half-trained weights."""

OnStep = Callable[[int, Mapping[str, float]], None]
"""Called after each step with the number of steps done and the terms of its loss over the global batch."""


# --- the loop ----------------------------------------------------------------------------------------------


def fit(
    trainer: Trainer,
    settings: Settings,
    context: DistributedContext | None = None,
    on_step: OnStep | None = None,
) -> bool:
    """Train, or go on from the checkpoint in ``settings.out``.

    Leaves the weights there, as they are at every checkpoint and at last, and, when something was measured,
    those of the best figure in ``best``. On SIGTERM or SIGINT it saves after the step at hand and ends. With
    ``settings.minutes`` the schedule goes by the clock, and the run ends when they are over.

    Returns:
        Whether the run has come to its end; False when a signal stopped it.

    Raises:
        LangTrackError: the loss (its terms are named) or the gradient is not finite, the checkpoint is of
            another recipe, seed or data, the batch cannot be shared by the processes, or ``settings.out``
            cannot be written or is that of a training at work.
    """
    context = context or DistributedContext()
    recipe, is_main = trainer.recipe, context.is_main
    if recipe.batch % context.size:
        raise LangTrackError(
            f"A batch of {recipe.batch} cannot be shared by {context.size} processes: "
            f"give --batch {context.size}, or a multiple of it."
        )
    alone = _alone_in(settings.out) if is_main else nullcontext()
    with alone, StopSignal() as stop, _gpu_arithmetic():
        run = _Run(trainer, settings, context)
        steps = range(run.step, recipe.steps if run.position < recipe.steps else run.step)
        batches = StepBatches(trainer.sample, trainer.collate, steps, recipe.batch, context)
        loader = PrefetchLoader(batches, settings.workers)
        smoothed: dict[str, float] = {}
        started = time.monotonic()
        trainer.train_mode()
        with (
            TensorBoardLogger(settings.out / "tensorboard", run.step, is_main) as logger,
            tqdm(
                total=recipe.steps, initial=run.step, desc=trainer.name, unit="step", mininterval=5.0,
                disable=not is_main,
            ) as bar,
        ):  # fmt: skip
            for batch in loader:
                losses = run.learn(batch)
                bar.update()
                if on_step is not None:
                    on_step(run.step, losses)
                for name, value in losses.items():
                    smoothed[name] = SMOOTHING * smoothed.get(name, value) + (1 - SMOOTHING) * value
                if run.step % LOG_EVERY == 0:
                    bar.set_postfix({k: f"{v:.3f}" for k, v in smoothed.items()}, refresh=False)
                    logger.scalars("loss", {**losses, "sum": sum(losses.values())}, run.step)
                    logger.scalars("run", {"rate": run.optimiser.param_groups[-1]["lr"]}, run.step)
                run.update_position()
                stopped, last = context.any(bool(stop)), run.position >= recipe.steps
                measuring = last or (run.step % settings.measure_every == 0 and not stopped)
                if is_main and (measuring or stopped or run.step % settings.save_every == 0):
                    figures = run.save(measuring)
                    waiting = loader.waiting_share()
                    logger.scalars("dev", figures, run.step)
                    logger.scalars("run", {"waiting for data": waiting}, run.step)
                    if measuring:
                        logger.pictures(run.pictures(batch), run.step)
                        minutes = (time.monotonic() - started) / 60
                        bar.write(progress_line(run.step, minutes, waiting, smoothed, figures))
                if stopped and not last:
                    if is_main:
                        bar.write(f"Stopped after step {run.step}; the same command goes on from there.")
                    return False
                if last:
                    break
        context.barrier()  # the other processes wait for the files of the main one
        return True


def check_out(settings: Settings, context: DistributedContext) -> None:
    """Tell what is wrong with the folder of a training, as `fit` would, before data are read for minutes."""
    if context.is_main:
        with _alone_in(settings.out):
            pass


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other trainings out of it: each would write over what the other learns."""
    lock = FileLock(folder / ".lock", blocking=False)
    with explained(f"The training cannot be written to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise LangTrackError(
                f"Another training is at work in {folder}; wait for it, or choose another --out."
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _gpu_arithmetic() -> Iterator[None]:
    """On a GPU: convolutions that give the same result every time, as a resumed run needs, and products of
    float32 in TF32; only in here.

    cuDNN does not try its algorithms out: with five shapes of pictures that took the first 130 s on an H200.
    """
    before = torch.backends.cudnn.deterministic, torch.get_float32_matmul_precision()
    torch.backends.cudnn.deterministic = True
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before[0]
        torch.set_float32_matmul_precision(before[1])


class _Objective(nn.Module):
    """The losses as a module, which is what `DistributedDataParallel` wraps."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self.trainer, self.network = trainer, trainer.network

    def forward(self, batch: Any) -> dict[str, LossTerm]:
        return self.trainer.losses(batch)


class _Run:
    """The state of one `fit`: optimiser, averages, position, best figure; read from the checkpoint if any.

    Attributes:
        position: how far the run is, in steps; the same in all processes.
    """

    def __init__(self, trainer: Trainer, settings: Settings, context: DistributedContext) -> None:
        self.trainer, self.settings, self.context = trainer, settings, context
        self.recipe, self.device = trainer.recipe, context.device
        torch.manual_seed(settings.seed)
        if context.size > 1 and trainer.global_batch_norm:
            synchronise_batch_norms(trainer.network)
        self.optimiser = trainer.optimiser()
        self.average = WeightAverage(trainer.network, self.recipe.ema)
        self.step, self.best, self.seconds = 0, -math.inf, 0.0
        self.checkpoint = settings.out / CHECKPOINT
        if self.checkpoint.exists():
            self._load()
        self.started = time.monotonic()
        self.update_position()
        self.objective: nn.Module = _Objective(trainer)
        if context.size > 1:
            with warnings.catch_warnings():  # the argument has another name in the newest PyTorch alone
                warnings.simplefilter("ignore", FutureWarning)
                # Buffers need no copying: synchronised batch norms keep the same statistics everywhere.
                self.objective = DistributedDataParallel(self.objective, broadcast_buffers=False)

    def update_position(self) -> None:
        """By the steps done, or, by the clock, by the time that is gone in the process that is furthest."""
        self.position: float = self.step
        if self.settings.minutes is not None and self.step:
            share = (self.seconds + time.monotonic() - self.started) / (60 * self.settings.minutes)
            self.position = self.context.max(max(self.step, min(1.0, share) * self.recipe.steps))

    def learn(self, batch: Any) -> dict[str, float]:
        """One step; gives the terms of the loss over the global batch."""
        # What a network draws by itself depends on the step alone, so that a resumed run draws the same.
        torch.manual_seed((self.settings.seed << 32) + self.step * self.context.size + self.context.rank)
        rate = self.trainer.rate(self.position)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("rate_scale", 1.0)
        bfloat16 = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            terms = self.objective(batch)
        totals, divisors = stacked(terms)
        means = totals / self.context.sum(divisors).clamp(min=1)  # this process's part of the global means
        values = dict(zip(terms, self.context.sum(means.detach()).tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            listed = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise LangTrackError(f"The loss is not finite at step {self.step}: {listed}.")
        self.optimiser.zero_grad(set_to_none=True)
        total = means.sum() * self.context.size  # the processes' gradients are averaged, and should be added
        total.backward()
        trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        if not nn.utils.clip_grad_norm_(trained, self.recipe.clip).isfinite():
            raise LangTrackError(f"The gradient is not finite at step {self.step}.")
        self.optimiser.step()
        self.average.update(self.trainer.network)
        self.step += 1
        return values

    def save(self, measuring: bool) -> dict[str, float]:
        """Write checkpoint and weights; give the figures, if it is time to measure."""
        trainer, out = self.trainer, self.settings.out
        figures: dict[str, float] = {}
        out.mkdir(parents=True, exist_ok=True)
        with self.average.applied(trainer.network):
            trainer.network.eval()
            trainer.export(out)
            if measuring:
                figures = trainer.measure()
            mean = float(sum(figures.values()) / len(figures)) if figures else -math.inf
            if mean > self.best:
                self.best = mean
                trainer.export(out / "best")
        trainer.train_mode()
        state = {
            "network": trainer.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(),
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds + time.monotonic() - self.started,
            "recipe": json.dumps(self._fixed_settings()),
        }
        save_checkpoint(state, self.checkpoint)
        return figures

    @torch.no_grad()
    def pictures(self, batch: Any) -> list[Tensor]:
        self.trainer.network.eval()
        try:
            return self.trainer.pictures(batch)
        finally:
            self.trainer.train_mode()

    def _fixed_settings(self) -> dict[str, Any]:
        """What has to be the same for a run to go on."""
        run = {"seed": self.settings.seed, STARTING: self.settings.start, DATA: self.trainer.data_hash}
        fixed = {**run, **asdict(self.recipe)}
        return {name: value for name, value in fixed.items() if name != "steps"}

    def _load(self) -> None:
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            before = json.loads(state["recipe"])
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
            raise LangTrackError(
                f"{self.checkpoint} is no checkpoint to go on from: remove it, or choose another --out."
            ) from error
        now = json.loads(json.dumps(self._fixed_settings()))
        if now[DATA] and DATA not in before and self.context.is_main:
            print(f"{self.checkpoint} does not say what data it learnt from; it goes on with those of now.")
        before = {STARTING: now[STARTING], DATA: now[DATA], **before}  # which earlier versions did not note
        different = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
        if different:
            raise LangTrackError(
                f"{self.checkpoint} was made with other settings ({', '.join(sorted(different))}): "
                "choose another --out."
            )
        self.trainer.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load_state_dict(state["average"])
        self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]
