"""Commands of the laboratory, which `langtrack_core.cli` lists when this package is there."""

from langtrack_core.cli import Command

COMMANDS = {
    ("batch",): Command("langtrack_lab.batch.command", "many videos, a run folder each and one index"),
    ("export",): Command("langtrack_lab.exports.command", "runs in the formats of other tools, and cut-outs"),
    ("train", "language"): Command("langtrack_lab.training.language", "train the language branch", True),
    ("train", "tracker"): Command("langtrack_lab.training.tracker", "train the tracker", True),
    ("train", "phrases"): Command(
        "langtrack_lab.training.phrases", "make training data of Flickr30k Entities"
    ),
    ("train", "detected"): Command("langtrack_lab.training.detected", "make training data with a detector"),
    ("train", "pack"): Command("langtrack_lab.training.pack", "make training data small enough to send"),
    ("evaluate",): Command("langtrack_lab.evaluation.command", "the whole tracker over a data set"),
    ("evaluate", "language"): Command(
        "langtrack_lab.evaluation.single_branch", "the language branch alone, frame by frame"
    ),
    ("evaluate", "tracker"): Command(
        "langtrack_lab.evaluation.single_branch", "the tracker alone, from the true first box"
    ),
    ("evaluate", "refer"): Command(
        "langtrack_lab.evaluation.probes", "the language branch on single pictures"
    ),
    ("evaluate", "absent"): Command(
        "langtrack_lab.evaluation.probes", "sentences that name what is not there"
    ),
    ("evaluate", "contrast"): Command(
        "langtrack_lab.evaluation.probes", "sentences that tell two things apart"
    ),
    ("report",): Command("langtrack_lab.report.command", "result folders, side by side"),
    ("weights",): Command("langtrack_lab.weights.command", "list or verify weights"),
    ("weights", "add"): Command("langtrack_lab.weights.add", "copy a checkpoint into the user's folder"),
    ("weights", "seal"): Command("langtrack_lab.weights.seal", "store the hashes of the shipped weights"),
    ("calibrate", "language"): Command("langtrack_lab.calibrate", "the language branch's confidence"),
    ("calibrate", "tracker"): Command("langtrack_lab.calibrate", "the tracker's confidence"),
    ("quantise", "language"): Command("langtrack_lab.quantise", "ranges for int8 of the language branch"),
    ("quantise", "tracker"): Command("langtrack_lab.quantise", "ranges for int8 of the tracker"),
}
"""The commands of the laboratory, beside those of the core."""
