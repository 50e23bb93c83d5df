"""``langtrack weights seal``: store the hashes of the shipped weights after a training."""

from __future__ import annotations

import argparse
import json

from langtrack_core.files import sha256_of
from langtrack_core.weights.load import shipped

from ..files import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Store the hashes of the shipped files, which every start compares with the files."


def run(args: argparse.Namespace) -> int:
    return seal()


def seal() -> int:
    """Write ``index.json`` beside the shipped files; 1 when one of them is missing, else 0."""
    entries = shipped()
    missing = [name for entry in entries for name in entry.missing]
    index = {n: sha256_of(e.folder / n) for e in entries for n in e.files if n not in missing}
    final = entries[0].folder / "index.json"
    write_text(final, json.dumps(index, indent=2) + "\n")
    print(f"Sealed {len(index)} files in {final}" + (f"; missing: {', '.join(missing)}" if missing else ""))
    return 1 if missing else 0
