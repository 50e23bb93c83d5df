"""The weights of one branch, for commands that measure, calibrate or quantise that branch alone."""

from __future__ import annotations

from langtrack_core.types import Branch, LangTrackError
from langtrack_core.weights.load import Entry, choose


def choose_branch(name: str, branch: Branch) -> Entry:
    """The weights that a name or a file has of a branch.

    Raises:
        LangTrackError: as `choose`, or it has none of the branch, for which `choose` gives the shipped ones.
    """
    entry = choose(name)[branch]
    if entry.name == "lite" and name != "lite":
        raise LangTrackError(f"{name} has no weights of the {branch} branch; give others with --weights.")
    return entry
