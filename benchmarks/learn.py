"""Training from scratch, shortened to minutes: does it visibly learn?

    .venv/bin/python -m benchmarks.learn language --data DATA/train --dev DATA/dev/davis --minutes 10
    .venv/bin/python -m benchmarks.learn tracker  --data DATA/train --dev DATA/dev/davis --minutes 10

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
from langtrack_lab.evaluation.protocol import Protocol, items_of
from langtrack_lab.evaluation.scores import scores_of
from langtrack_lab.evaluation.single_branch import tracker_records
from langtrack_lab.metrics import PLAIN
from langtrack_lab.training import Settings, fit, language, language_network, tracker, tune_malloc

TIMED_STEPS = 4
"""Steps that are timed first, to know how many fit into the time; what they learn is thrown away."""

MEASUREMENTS = 4
"""Times that the dev set is measured, evenly over the run: a curve, without much of its time."""


class Language(language.LanguageTrainer):
    """The language branch from ImageNet features, with a sparser look at the dev set."""

    def __init__(self, args: argparse.Namespace, recipe: language.LanguageRecipe, settings: Settings) -> None:
        torch.manual_seed(0)
        network, vocabulary = language_network.untrained()
        teacher = language_network.imagenet_backbone()
        names = language_network.classifier_names(teacher, args.data)
        super().__init__(network, vocabulary, teacher, names, recipe, settings, args.data, args.dev)

    def measure(self) -> dict[str, float]:
        assert self.dev is not None
        return language.measure(self.network, self.vocabulary, self.dev, stride=20)


class Tracker(tracker.TrackerTrainer):
    """The tracker from ImageNet features."""

    def __init__(self, args: argparse.Namespace, recipe: tracker.TrackerRecipe, settings: Settings) -> None:
        torch.manual_seed(0)
        self.items = items_of(Protocol("davis", init="box", frames=20), args.dev)
        super().__init__(tracker.imagenet_network(), recipe, settings, args.data)

    def measure(self) -> dict[str, float]:
        follower = SiamMaskTracker(self.network, CONFIGS["lite"])
        records = tracker_records(follower, self.items)
        return {r.key: scores_of(r, PLAIN)["tracker"].values["auc"].value for r in records}


BRANCHES = {
    "language": (Language, language.PRESETS["lite"]),
    "tracker": (Tracker, tracker.PRESETS["lite"]["all"]),
}
"""What trains and measures each branch here, and its recipe."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("branch", choices=BRANCHES)
    parser.add_argument("--data", type=Path, required=True, help="as for `train`")
    parser.add_argument("--dev", type=Path, required=True, help="folder in DAVIS layout")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    tune_malloc()
    make, recipe = BRANCHES[args.branch]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        trial = Settings(out / "trial", workers=args.workers, save_every=10**9, measure_every=10**9)
        trainer = make(args, replace(recipe, steps=TIMED_STEPS), trial)
        untrained = copy.deepcopy(trainer.network.state_dict())
        measure, ends = trainer.measure, []
        trainer.measure = dict  # no figures of the trial
        fit(trainer, trial, on_step=lambda step, losses: ends.append(time.monotonic()))
        seconds = (ends[-1] - ends[0]) / (TIMED_STEPS - 1)  # without the time that the data take to start
        trainer.network.load_state_dict(untrained)
        trainer.network.eval()
        print(f"before: {listed(measure())}", flush=True)

        steps = max(MEASUREMENTS, int(60 * args.minutes / seconds))
        every = steps // MEASUREMENTS
        print(f"{seconds:.2f} s a step: {steps} steps in {args.minutes:g} minutes", flush=True)
        trainer.measure, trainer.recipe = measure, replace(recipe, steps=steps)
        fit(trainer, Settings(out / "run", workers=args.workers, save_every=every, measure_every=every))


def listed(figures: dict[str, float]) -> str:
    each = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    return f"{each}, mean {sum(figures.values()) / len(figures):.3f}"


if __name__ == "__main__":
    main()
