"""Weights: one table of what there is, where it is and what it must hash to. `load` reads the files.

``lite`` is in ``assets/weights`` of the repository. An installation has it in ``lite`` beside this file, put
there by pyproject.toml. Its hashes are in ``index.json``, written by ``weights seal`` after a training.
``paper``, or any other name, is what the user adds with ``weights add``: a copy in
``<home>/weights/<name>/<branch>`` with an ``entry.json`` that holds the hashes. A checkpoint can also be used
where it lies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..files import sha256_of
from ..types import Branch, LangTrackError

INSTALLED, IN_REPOSITORY = Path(__file__).parent / "lite", Path(__file__).parents[2] / "assets" / "weights"
SHIPPED = INSTALLED if INSTALLED.is_dir() else IN_REPOSITORY
"""Folder of the weights that come with LangTrack."""


def home() -> Path:
    """Where the user's weights are kept: ``$LANGTRACK_HOME``, or ``~/.cache/langtrack``."""
    return Path(os.environ.get("LANGTRACK_HOME") or "~/.cache/langtrack").expanduser()


@dataclass(frozen=True)
class Network:
    """An architecture that weights can be for.

    Attributes:
        branch: which branch it is.
        title: as a user would call it.
        mark: what a key of its checkpoints begins with, and no key of the others.
        settings: what decides the result and stands in no checkpoint: preprocessing, switches, tracker.
    """

    branch: Branch
    title: str
    mark: str
    settings: Mapping[str, Any]


NETWORKS = {
    # Preprocessing of both: RGB, (v - 127) / 128.
    "dmn-lite": Network("language", "lite DMN", "comb_visual.", {}),
    "siammask-lite": Network("tracker", "lite SiamMask", "lateral8.", {"tracker": "lite"}),
    # RGB, ImageNet-normalised, longest side 512. The authors trained with PyTorch 0.2 to 0.4, where resizing
    # aligned the corners, and evaluated in training mode.
    "dmn": Network(
        "language",
        "published DMN (DPN-92)",
        "langvis.",
        {"input_size": 512, "align_corners": True, "batch_statistics": True},
    ),
    # BGR, 0 to 255, not normalised.
    "siammask": Network(
        "tracker", "published SiamMask (ResNet-50, sharp)", "features.features.", {"tracker": "davis"}
    ),
}

"""The networks that LangTrack has, by the name that entries and manifests give them."""


@dataclass(frozen=True)
class Entry:
    """Weights of one branch under a name.

    Attributes:
        name: what ``--weights`` takes.
        network: key of `NETWORKS`.
        folder: where the files are.
        files: file -> sha256, the checkpoint first; "" for a hash that is not known. Names within ``folder``,
            or full paths.
        licence, source: whose they are.
        settings: where they differ from the network's.
    """

    name: str
    network: str
    folder: Path
    files: Mapping[str, str]
    licence: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def branch(self) -> Branch:
        return NETWORKS[self.network].branch

    @property
    def path(self) -> Path:
        """Where the checkpoint is."""
        return self.folder / next(iter(self.files))

    @property
    def all_settings(self) -> dict[str, Any]:
        return {**NETWORKS[self.network].settings, **self.settings}

    @property
    def missing(self) -> list[str]:
        return [name for name in self.files if not (self.folder / name).is_file()]


class Damaged(NamedTuple):
    """An ``entry.json`` of the user's that cannot be read, and the name and branch that its folder is for."""

    name: str
    branch: str
    error: LangTrackError


_LITE_FILES = {
    "dmn-lite": (
        *("dmn-lite.safetensors", "dmn-lite-backbone.safetensors"),
        *("words-lite.safetensors", "words-lite.txt"),
    ),
    "siammask-lite": ("siammask-lite.safetensors",),
}
_LITE_LICENCE = "research, non-commercial (data: DAVIS CC BY-NC 4.0, COCO, ECSSD)"
_LITE_SOURCE = "this project; backbone EfficientNet-Lite0 and words from MiniLM, both Apache-2.0"

BRING_YOUR_OWN = {
    "dmn": ("code MIT, weights not stated", "github.com/BCV-Uniandes/DMS (its weight links are dead)"),
    "siammask": ("code MIT, weights not stated", "github.com/foolwood/SiamMask"),
}
"""Licence and source of the published weights, which a user may have and which are not shipped."""


def entries() -> list[Entry]:
    """The weights that are here: the shipped ones, then the user's by name and branch, but `damaged` ones."""
    index = _read_json(SHIPPED / "index.json") if (SHIPPED / "index.json").is_file() else {}
    shipped = [
        Entry("lite", network, SHIPPED, {n: index.get(n, "") for n in names}, _LITE_LICENCE, _LITE_SOURCE)
        for network, names in _LITE_FILES.items()
    ]
    return shipped + [entry for entry in _user_entries() if isinstance(entry, Entry)]


def damaged() -> list[Damaged]:
    """Those of the user's weights that have to be added again."""
    return [entry for entry in _user_entries() if isinstance(entry, Damaged)]


def entry_beside(path: Path, network: str, vocabulary: Path | None = None) -> Entry:
    """A checkpoint of ``network`` that lies anywhere, under its own file name.

    Args:
        path: the checkpoint. Of a lite DMN the other files are the shipped ones, unless they lie beside it.
        network: key of `NETWORKS`.
        vocabulary: for a published DMN, the words it was trained with.
    """
    names = [path.name]
    settings: dict[str, Any] = {}
    if network == "dmn-lite":
        names += [n if (path.parent / n).is_file() else str(SHIPPED / n) for n in _LITE_FILES[network][1:]]
    elif network == "dmn":
        if vocabulary is None:
            raise LangTrackError(
                f"{path.name} is a published DMN, which needs its vocabulary; add both with: "
                f"python -m langtrack_core weights add {path.name} --vocabulary FILE"
            )
        names.append(str(vocabulary.resolve()))
    elif network == "siammask" and "vot" in path.name.lower():
        settings["tracker"] = "vot2018"  # the two published checkpoints have settings of their own
    folder = path.parent.resolve()
    licence, source = BRING_YOUR_OWN.get(network, (_LITE_LICENCE, "a training of this project"))
    return Entry(path.name, network, folder, dict.fromkeys(names, ""), licence, source, settings)


def _user_entries() -> Iterator[Entry | Damaged]:
    for path in sorted(home().glob("weights/[!.]*/[!.]*/entry.json")):
        try:
            yield _user_entry(path)
        except LangTrackError as error:
            yield Damaged(path.parts[-3], path.parts[-2], error)


def _user_entry(path: Path) -> Entry:
    stored = _read_json(path)
    try:
        entry = Entry(folder=path.parent, **{**stored, "files": dict(stored["files"])})
        if entry.network not in NETWORKS or not entry.files:
            raise ValueError(f"network {entry.network!r} with {len(entry.files)} files")
        return entry
    except (KeyError, TypeError, ValueError) as error:
        raise LangTrackError(f"{path} is damaged ({error}); add these weights again.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LangTrackError(f"{path} cannot be read ({error}); add or seal these weights again.") from error
    if not isinstance(value, dict):
        raise LangTrackError(f"{path} should hold a JSON object; add or seal these weights again.")
    return value


def check(entry: Entry) -> dict[str, str]:
    """The files' sha256, after comparing them with what they should be.

    Raises:
        LangTrackError: a file is missing or its hash is another.
    """
    if entry.missing:
        raise LangTrackError(
            f"The weights {entry.name} lack {', '.join(entry.missing)} in {entry.folder}; add them again."
        )
    hashes = {}
    for name, expected in entry.files.items():
        path = entry.folder / name
        hashes[path.name] = actual = sha256_of(path)
        if expected and actual != expected:
            raise LangTrackError(
                f"{path} is not what it was: its sha256 is {actual[:12]}…, expected {expected[:12]}…; "
                "add or copy it again."
            )
    return hashes
