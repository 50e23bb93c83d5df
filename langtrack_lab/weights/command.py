"""``langtrack weights list|verify``: what is here, and is it whole."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import NETWORKS
from langtrack_core.weights.load import Entry, check, read_entry, shipped, user_entries

_DATA_OF_BOTH = "DAVIS CC BY-NC 4.0, COCO, ECSSD"

SHIPPED_LICENCES = {
    "dmn-lite": f"research, non-commercial (data: {_DATA_OF_BOTH}, RefCOCO, Flickr8k, Flickr30k Entities)",
    "siammask-lite": f"research, non-commercial (data: {_DATA_OF_BOTH})",
}
"""Licence of the weights that come with LangTrack by network; their model cards tell more."""

LICENCES = {
    "dmn": ("code MIT, weights not stated", "github.com/BCV-Uniandes/DMS (its weight links are dead)"),
    "siammask": ("code MIT, weights not stated", "github.com/foolwood/SiamMask"),
}
"""Licence and source of the published weights by network, which a user may have and which are not shipped."""


class Damaged(NamedTuple):
    """An ``entry.json`` of the user's that cannot be read, and the name and branch that its folder is for."""

    name: str
    branch: str
    error: LangTrackError


def entries() -> tuple[list[Entry], list[Damaged]]:
    """The weights that are here, the shipped ones first, and those that have to be added again."""
    whole, damaged = shipped(), []
    for path in user_entries():
        try:
            whole.append(read_entry(path))
        except LangTrackError as error:
            damaged.append(Damaged(path.parts[-3], path.parts[-2], error))
    return whole, damaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|verify")
    actions.add_parser("list", help="all weights: branch, size, hash, licence")
    verify = actions.add_parser("verify", help="hash the files again and compare")
    verify.add_argument("name", nargs="?", help="only the weights of this name")


def run(args: argparse.Namespace) -> int:
    if args.action == "verify":
        return verify(args.name)
    print(table())
    return 0


def table() -> str:
    """One line a branch and name, and one for each published network that could be added."""
    rows = [("name", "branch", "network", "size", "sha256", "files", "licence")]
    whole, damaged = entries()
    for entry in whole:
        sizes = [(entry.folder / n).stat().st_size for n in entry.files if n not in entry.missing]
        state = f"missing: {', '.join(entry.missing)}" if entry.missing else "present"
        digest = next(iter(entry.files.values()))[:12] or "not sealed"
        size = f"{sum(sizes) / 1e6:.1f} MB"
        licence = entry.licence or SHIPPED_LICENCES.get(entry.network, "")
        rows.append((entry.name, entry.branch, entry.network, size, digest, state, licence))
    rows += [(b.name, b.branch, "", "", "", "damaged: add it again", "") for b in damaged]
    for network, (licence, source) in LICENCES.items():
        if not any(row[0] == "paper" and row[2] == network for row in rows):
            rows.append(
                ("paper", NETWORKS[network].branch, network, "", "", f"bring your own: {source}", licence)
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def verify(name: str | None = None) -> int:
    """Print one line for each entry; 1 when one is damaged, misses a file or has another hash, else 0."""
    whole, damaged = entries()
    matches = [entry for entry in whole if name in (None, entry.name)]
    broken = [entry for entry in damaged if name in (None, entry.name)]
    if not matches and not broken:
        raise LangTrackError(
            f"There are no weights {name!r} to verify; see: python -m langtrack_core weights list"
        )
    failures = 0
    for entry in matches:
        try:
            check(entry)
            sealed = all(entry.files.values())
            outcome = "ok" if sealed else "present, but its hashes are not stored (weights seal)"
            failures += not sealed
        except LangTrackError as error:
            outcome = str(error)
            failures += 1
        print(f"{entry.name} {entry.branch} {entry.network}: {outcome}")
    for unusable in broken:
        print(f"{unusable.name} {unusable.branch}: {unusable.error}")
    return 1 if failures or broken else 0
