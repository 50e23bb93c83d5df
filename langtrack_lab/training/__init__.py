"""What both trainers share.

    samples ── StepBatches ── fit: losses, gradients, averaged weights, checkpoints, board ── weights

A trainer is a `Task`; `fit` does the rest, in one process or in many (`World`). Everything that is left to
chance depends on the seed and on the number of the step or the sample alone. So a resumed run, and a run on
several processes with the same global batch, see what one unbroken process sees.
"""

from .averaging import Average
from .checkpoints import imagenet_weights, save_atomically, save_weights
from .distributed import World, joined
from .loop import Task, fit
from .losses import Part, dice_loss
from .process import StopSignal, keep_freed_memory, leave_signals
from .progress import strip
from .recipe import CommonRecipe, Settings, add_arguments, cosine_rate, parameter_groups, settings_of

__all__ = [
    "Average",
    "CommonRecipe",
    "Part",
    "Settings",
    "StopSignal",
    "Task",
    "World",
    "add_arguments",
    "cosine_rate",
    "dice_loss",
    "fit",
    "imagenet_weights",
    "joined",
    "keep_freed_memory",
    "leave_signals",
    "parameter_groups",
    "save_atomically",
    "save_weights",
    "settings_of",
    "strip",
]
