"""What all trainers share.

    samples ── StepBatches ── fit: losses, gradients, averaged weights, checkpoints, curves ── weights

A training is a `Trainer`; `fit` does the rest, in one process or in many (`DistributedContext`). Everything
random depends on the seed and on the number of the step or the sample alone. So a resumed run, and a run on
several processes with the same global batch, see what one unbroken process sees.
"""

from .checkpoints import imagenet_weights, save_weights
from .distributed import DistributedContext, init_distributed, tune_malloc
from .loop import STOPPED, Trainer, check_out, fit
from .losses import LossTerm
from .progress import side_by_side
from .recipe import CommonRecipe, LiteRecipe, Settings, adamw, add_arguments, settings_of

__all__ = [
    "STOPPED",
    "CommonRecipe",
    "DistributedContext",
    "LiteRecipe",
    "LossTerm",
    "Settings",
    "Trainer",
    "adamw",
    "add_arguments",
    "check_out",
    "fit",
    "imagenet_weights",
    "init_distributed",
    "save_weights",
    "settings_of",
    "side_by_side",
    "tune_malloc",
]
