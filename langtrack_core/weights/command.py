"""``python -m langtrack_core weights list|verify|add|seal``: what is here, is it whole, bring more."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

from ..files import replacing_folder, sha256_of, write_text
from ..types import LangTrackError
from .load import Chosen, build_segmenter, build_tracker, choose_file
from .registry import BRING_YOUR_OWN, NETWORKS, Entry, check, damaged, entries, home

_URL_TIMEOUT_S = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|verify|add|seal")
    actions.add_parser("list", help="all weights: branch, size, hash, licence")
    verify = actions.add_parser("verify", help="hash the files again and compare")
    verify.add_argument("name", nargs="?", help="only the weights of this name")
    add = actions.add_parser("add", help="copy a checkpoint into the user's folder, after checking it")
    add.add_argument("source", metavar="FILE", help="a checkpoint, or https://... together with --sha256")
    add.add_argument("--name", help="name for --weights (default: paper, for a published network)")
    add.add_argument("--vocabulary", type=Path, metavar="FILE", help="words of a published DMN")
    add.add_argument("--sha256", metavar="HEX", help="what the file must hash to; required for a URL")
    actions.add_parser("seal", help="for developers: store the hashes of the shipped files after a training")


def run(args: argparse.Namespace) -> int:
    if args.action == "list":
        print(table())
        return 0
    if args.action == "verify":
        return verify(args.name)
    if args.action == "seal":
        return seal()
    entry = add(args.source, name=args.name, vocabulary=args.vocabulary, sha256=args.sha256)
    title = NETWORKS[entry.network].title
    print(f"Added {title} as {entry.name}, {entry.folder}; use it with --weights {entry.name}")
    return 0


# --- list, verify, seal ------------------------------------------------------------------------------------


def table() -> str:
    """One line a branch and name, and one for each published network that could be added."""
    rows = [("name", "branch", "network", "size", "sha256", "files", "licence")]
    for entry in entries():
        sizes = [(entry.folder / n).stat().st_size for n in entry.files if n not in entry.missing]
        state = f"missing: {', '.join(entry.missing)}" if entry.missing else "present"
        digest = next(iter(entry.files.values()))[:12] or "not sealed"
        size = f"{sum(sizes) / 1e6:.1f} MB"
        rows.append((entry.name, entry.branch, entry.network, size, digest, state, entry.licence))
    rows += [(b.name, b.branch, "", "", "", "damaged: add it again", "") for b in damaged()]
    for network, (licence, source) in BRING_YOUR_OWN.items():
        if not any(row[0] == "paper" and row[2] == network for row in rows):
            rows.append(
                ("paper", NETWORKS[network].branch, network, "", "", f"bring your own: {source}", licence)
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def verify(name: str | None = None) -> int:
    """Print one line for each entry; 1 when one is damaged, misses a file or has another hash, else 0."""
    chosen = [entry for entry in entries() if name in (None, entry.name)]
    broken = [entry for entry in damaged() if name in (None, entry.name)]
    if not chosen and not broken:
        raise LangTrackError(
            f"There are no weights {name!r} to verify; see: python -m langtrack_core weights list"
        )
    failures = 0
    for entry in chosen:
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


def seal() -> int:
    """Write ``index.json`` beside the shipped files; 1 when one of them is missing, else 0."""
    shipped = [entry for entry in entries() if entry.name == "lite"]
    missing = [name for entry in shipped for name in entry.missing]
    index = {n: sha256_of(e.folder / n) for e in shipped for n in e.files if n not in missing}
    final = shipped[0].folder / "index.json"
    write_text(final, json.dumps(index, indent=2) + "\n")
    print(f"Sealed {len(index)} files in {final}" + (f"; missing: {', '.join(missing)}" if missing else ""))
    return 1 if missing else 0


# --- add ---------------------------------------------------------------------------------------------------


def add(
    source: str, *, name: str | None = None, vocabulary: Path | None = None, sha256: str | None = None
) -> Entry:
    """Copy one branch's checkpoint into the user's folder; it is there whole and checked, or not at all.

    Args:
        source: a file, or an ``https://`` address together with ``sha256``.
        name: what ``--weights`` will take; ``paper`` for the published networks unless told otherwise.
        vocabulary: for a published DMN.
        sha256: 64 hexadecimal digits that the file must hash to.

    Raises:
        LangTrackError: for everything that can be wrong with these; nothing is left then.
    """
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise LangTrackError(f"A name has letters, digits, '.', '_' and '-', got {name!r}.")
    if name == "lite":
        raise LangTrackError("The name lite belongs to the shipped weights; choose another.")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise LangTrackError(f"--sha256 takes 64 hexadecimal digits, got {sha256!r}.")
    try:
        with tempfile.TemporaryDirectory(prefix="langtrack-") as folder:
            checkpoint = Path(source) if "://" not in source else _download(source, sha256, Path(folder))
            if sha256 is not None and checkpoint.is_file() and sha256_of(checkpoint) != sha256.lower():
                raise LangTrackError(
                    f"{source} has the sha256 {sha256_of(checkpoint)}, expected {sha256.lower()}; not added."
                )
            chosen = choose_file(checkpoint, vocabulary)
            if "://" in source:
                chosen = chosen._replace(entry=replace(chosen.entry, source=source))
            return _install(chosen, name)
    except OSError as error:
        raise LangTrackError(
            f"{error.filename or source} cannot be used: {error.strerror or error}."
        ) from error


def _download(url: str, sha256: str | None, folder: Path) -> Path:
    """The only place where LangTrack uses the network, and only for a file whose hash is known beforehand."""
    address = urlparse(url)
    if address.scheme != "https" or sha256 is None:
        raise LangTrackError("An address has to begin with https:// and comes with --sha256 HEX.")
    target = folder / (Path(unquote(address.path)).name or "checkpoint.pth")
    try:
        with urllib.request.urlopen(url, timeout=_URL_TIMEOUT_S) as reply, target.open("wb") as stream:
            shutil.copyfileobj(reply, stream, 1 << 20)
    except urllib.error.URLError as error:
        raise LangTrackError(f"{url} cannot be fetched: {error.reason}.") from error
    return target


def _install(chosen: Chosen, name: str | None) -> Entry:
    """Copy the files, and build the network once, which checks every key and shape."""
    entry = chosen.entry
    if name is None and entry.network not in BRING_YOUR_OWN:
        raise LangTrackError(f"{entry.path.name} is a {NETWORKS[entry.network].title}; give it a --name.")
    final = home() / "weights" / (name or "paper") / entry.branch
    with replacing_folder(final) as folder:
        copies = [folder / Path(file).name for file in entry.files]
        for file, copy in zip(entry.files, copies, strict=True):
            shutil.copyfile(entry.folder / file, copy)
        hashes = {copy.name: sha256_of(copy) for copy in copies}
        added = replace(entry, name=name or "paper", folder=folder, files=hashes)
        build = build_tracker if added.branch == "tracker" else build_segmenter
        build(chosen._replace(entry=added), "cpu", "torch")
        names = ("name", "network", "files", "licence", "source", "settings")
        stored = {name: getattr(added, name) for name in names}
        write_text(folder / "entry.json", json.dumps(stored, indent=2) + "\n")
    return replace(added, folder=final)
