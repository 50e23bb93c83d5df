"""``langtrack weights add``: bring a checkpoint of one's own, once, to use it by name ever after."""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

from langtrack_core.files import replacing_folder, sha256_of
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import NETWORKS
from langtrack_core.weights.load import Entry, build_segmenter, build_tracker, choose_file, home

from ..files import write_text
from .command import LICENCES
from .corpus import is_pickled, read_vocabulary

TRAINED_HERE = "not stated; that of the data it was trained on", "a training of this project"
"""Licence and source of a lite network that the user trained, on data that only the user knows."""

URL_TIMEOUT_S = 30
"""Seconds that a server may be silent while a checkpoint is fetched from it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Copy a checkpoint into the user's folder, after checking it."
    parser.add_argument("source", metavar="FILE", help="a checkpoint, or https://... together with --sha256")
    parser.add_argument("--name", help="name for --weights (default: paper, for a published network)")
    parser.add_argument("--vocabulary", type=Path, metavar="FILE", help="words of a published DMN")
    parser.add_argument("--sha256", metavar="HEX", help="what the file must hash to; required for a URL")


def run(args: argparse.Namespace) -> int:
    entry = add(args.source, name=args.name, vocabulary=args.vocabulary, sha256=args.sha256)
    title = NETWORKS[entry.network].title
    print(f"Added {title} as {entry.name}, {entry.folder}; use it with --weights {entry.name}")
    return 0


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
            if vocabulary is not None and is_pickled(vocabulary):
                vocabulary = _as_text(vocabulary, Path(folder))
            entry = choose_file(checkpoint, vocabulary)
            licence, origin = LICENCES.get(entry.network, TRAINED_HERE)
            entry = replace(entry, licence=licence, source=source if "://" in source else origin)
            return _install(entry, name)
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
        with urllib.request.urlopen(url, timeout=URL_TIMEOUT_S) as reply, target.open("wb") as stream:
            shutil.copyfileobj(reply, stream, 1 << 20)
    except (urllib.error.URLError, http.client.HTTPException) as error:
        raise LangTrackError(f"{url} cannot be fetched: {getattr(error, 'reason', error)}.") from error
    return target


def _as_text(corpus: Path, folder: Path) -> Path:
    """The words of the authors' pickled corpus as a text file, which is what LangTrack keeps."""
    vocabulary = read_vocabulary(corpus)
    path = folder / f"{corpus.stem}.txt"
    path.write_text("\n".join(vocabulary.words) + "\n", encoding="utf-8")
    if read_vocabulary(path) != vocabulary:
        raise LangTrackError(f"{corpus} has words with blanks or capitals, which the published one has not.")
    return path


def _install(entry: Entry, name: str | None) -> Entry:
    """Copy the files, and build the network once, which checks every key and shape."""
    if name is None and entry.network not in LICENCES:
        raise LangTrackError(f"{entry.path.name} is a {NETWORKS[entry.network].title}; give it a --name.")
    final = home() / "weights" / (name or "paper") / entry.branch
    with replacing_folder(final) as folder:
        copies = [folder / Path(file).name for file in entry.files]
        for file, copy in zip(entry.files, copies, strict=True):
            shutil.copyfile(entry.folder / file, copy)
        hashes = {copy.name: sha256_of(copy) for copy in copies}
        new_entry = replace(entry, name=name or "paper", folder=folder, files=hashes)
        build = build_tracker if new_entry.branch == "tracker" else build_segmenter
        build(new_entry, "cpu", "torch")
        names = ("name", "network", "files", "licence", "source", "settings")
        stored = {name: getattr(new_entry, name) for name in names}
        write_text(folder / "entry.json", json.dumps(stored, indent=2) + "\n")
    return replace(new_entry, folder=final, checkpoint=None)
