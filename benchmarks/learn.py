"""Training from scratch, shortened to minutes: does it visibly learn?

    .venv/bin/python -m benchmarks.learn language --data DATA/train --dev DATA/dev/davis --minutes 10
    .venv/bin/python -m benchmarks.learn tracking --data DATA/train --dev DATA/dev/davis --minutes 10

Starts from ImageNet features alone and prints the figure on the dev set over time, before the first step too:
of the language branch the mean IoU of every 20th frame, of the tracker, started on the true first box, the
success AUC over the first 20 frames. The schedule is the recipe's, over as many steps as fit into the time.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from langtrack_core.siammask.tracker import CONFIGS, SiamMaskTracker
from langtrack_lab.datasets import davis_sequences
from langtrack_lab.evaluation.protocol import shortened
from langtrack_lab.evaluation.single_branch import follow
from langtrack_lab.metrics import success_auc
from langtrack_lab.training import Settings, fit, keep_freed_memory
from langtrack_lab.training import language as dmn_train
from langtrack_lab.training import tracker as siam_train

TRIAL = 4
"""Steps that are timed first; they count for nothing."""
MEASUREMENTS = 4


class Language(dmn_train.Trainer):
    """The language branch from ImageNet features, with a sparser look at the dev set."""

    def __init__(self, args: argparse.Namespace, recipe: dmn_train.Recipe, settings: Settings) -> None:
        torch.manual_seed(0)
        network, vocabulary = dmn_train.untrained()
        network.to(memory_format=torch.channels_last)
        teacher = dmn_train.imagenet_backbone()
        super().__init__(network, vocabulary, teacher, recipe, settings, args.data, args.dev)

    def measure(self) -> dict[str, float]:
        assert self.dev is not None
        return dmn_train.measure(self.network, self.vocabulary, self.dev, stride=20)


class Tracking(siam_train.Trainer):
    """The tracker from ImageNet features."""

    def __init__(self, args: argparse.Namespace, recipe: siam_train.Recipe, settings: Settings) -> None:
        torch.manual_seed(0)
        self.clips = [shortened(clip, 20) for clip in davis_sequences(args.dev)]
        super().__init__(siam_train.imagenet_network(), recipe, settings, args.data)

    def measure(self) -> dict[str, float]:
        tracker = SiamMaskTracker(self.network, CONFIGS["lite"])
        return {clip.name: success_auc(follow(tracker, clip).ious) for clip in self.clips}


BRANCHES = {
    "language": (Language, dmn_train.PRESETS["lite"]),
    "tracking": (Tracking, siam_train.PRESETS["lite"]["all"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("branch", choices=BRANCHES)
    parser.add_argument("--data", type=Path, required=True, help="as for `train`")
    parser.add_argument("--dev", type=Path, required=True, help="folder in DAVIS layout")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    keep_freed_memory()
    make, recipe = BRANCHES[args.branch]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        trial = Settings(out / "trial", workers=args.workers, save_every=10**9, measure_every=10**9)
        trainer = make(args, replace(recipe, steps=TRIAL), trial)
        untrained = copy.deepcopy(trainer.network.state_dict())
        measure, losses, began = trainer.measure, trainer.losses, []

        def timed(batch):
            began.append(time.monotonic())
            return losses(batch)

        trainer.measure, trainer.losses = dict, timed
        fit(trainer, trial)
        seconds = (began[-1] - began[0]) / (TRIAL - 1)  # without the time that the data take to start
        trainer.network.load_state_dict(untrained)
        trainer.network.eval()
        print(f"before: {shown(measure())}", flush=True)

        steps = max(MEASUREMENTS, int(60 * args.minutes / seconds))
        every = steps // MEASUREMENTS
        print(f"{seconds:.2f} s a step: {steps} steps in {args.minutes:g} minutes", flush=True)
        trainer.measure, trainer.losses, trainer.recipe = measure, losses, replace(recipe, steps=steps)
        fit(trainer, Settings(out / "run", workers=args.workers, save_every=every, measure_every=every))


def shown(figures: dict[str, float]) -> str:
    each = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    return f"{each}, mean {sum(figures.values()) / len(figures):.3f}"


if __name__ == "__main__":
    main()
