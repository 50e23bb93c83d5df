"""From a name to both branches: what weights there are, where, and what they must hash to; built strictly.

``lite`` is in ``assets/weights`` of the repository. An installation has it in ``lite`` beside this file, put
there by pyproject.toml. Its hashes are in ``index.json``, written by ``weights seal`` after a training.
``paper``, or any other name, is what the user adds with ``weights add``: a copy in
``<home>/weights/<name>/<branch>`` with an ``entry.json`` that holds the hashes. A checkpoint can also be used
where it lies.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import sha256_of
from ..types import Branch, LangTrackError
from .checkpoint import NETWORKS, Checkpoint, fill

if TYPE_CHECKING:  # torch takes seconds to import, and choosing weights needs none of it
    from ..dmn.lite import LiteDMN
    from ..dmn.network import DMN
    from ..dmn.segmenter import DMNSegmenter
    from ..siammask.network import SiamMask
    from ..siammask.tracker import SiamMaskTracker

_INSTALLED = Path(__file__).parent / "lite"
"""Where pyproject.toml puts the weights in an installed package."""

SHIPPED = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "assets" / "weights"
"""Folder of the weights that come with LangTrack: in the package, or in the repository where it has none."""

_LITE_FILES = {
    "dmn-lite": (
        *("dmn-lite.safetensors", "dmn-lite-backbone.safetensors"),
        *("words-lite.safetensors", "words-lite.txt"),
    ),
    "siammask-lite": ("siammask-lite.safetensors",),
}
"""Files in `SHIPPED` of each lite network, the checkpoint first."""

Example = tuple[tuple[int, int], str | None]
"""What the language network is made ready for at once: a picture's height and width, and an expression."""


def home() -> Path:
    """Where the user's weights are kept: ``$LANGTRACK_HOME``, or ``~/.cache/langtrack``."""
    return Path(os.environ.get("LANGTRACK_HOME") or "~/.cache/langtrack").expanduser()


@dataclass(frozen=True)
class Entry:
    """Weights of one branch under a name.

    Attributes:
        name: what ``--weights`` takes.
        network: key of `NETWORKS`.
        folder: where the files are.
        files: file -> sha256, the checkpoint first; "" for a hash that is not known. Names within ``folder``,
            or full paths.
        settings: where they differ from the network's.
        licence, source: whose they are, as far as their ``entry.json`` says.
        checkpoint: the file's content, where it had to be read to know whose it is.
    """

    name: str
    network: str
    folder: Path
    files: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    source: str = ""
    checkpoint: Checkpoint | None = field(default=None, repr=False, compare=False)

    @property
    def branch(self) -> Branch:
        return NETWORKS[self.network].branch

    @property
    def path(self) -> Path:
        """Where the checkpoint is."""
        return self.folder / next(iter(self.files))

    @property
    def missing(self) -> list[str]:
        return [name for name in self.files if not (self.folder / name).is_file()]

    @property
    def all_settings(self) -> dict[str, Any]:
        return {**NETWORKS[self.network].settings, **self.settings}

    def read(self) -> Checkpoint:
        return self.checkpoint or Checkpoint.read(self.path)


def choose(name: str) -> dict[Branch, Entry]:
    """The weights of each branch for a name or a file, lite where it has none; LangTrackError when nothing
    has this name, or the user's weights of this name are damaged."""
    lite, user_paths = shipped(), user_entries()
    entries = [entry for entry in lite if entry.name == name]
    entries += [read_entry(path) for path in user_paths if path.parts[-3] == name]
    if not entries and Path(name).is_file():
        entries = [choose_file(Path(name))]
    if not entries and name == "paper":
        raise LangTrackError(
            "No published weights are here; add yours with: "
            "python -m langtrack_core weights add SiamMask_DAVIS.pth"
        )
    if not entries:
        names = ", ".join(dict.fromkeys(["lite", *(path.parts[-3] for path in user_paths)]))
        raise LangTrackError(f"There are no weights {name!r}; give one of {names}, or a file that exists.")
    return {entry.branch: entry for entry in lite + entries}


def choose_file(path: Path, vocabulary: Path | None = None) -> Entry:
    """A checkpoint that lies anywhere, under its own file name; its keys tell the network.

    Args:
        path: the checkpoint. Of a lite DMN the other files are the shipped ones, unless they lie beside it.
        vocabulary: for a published DMN, the words it was trained with.
    """
    checkpoint = Checkpoint.read(path)
    names, network = [path.name], checkpoint.network
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
    files = dict.fromkeys(names, "")
    return Entry(path.name, network, path.parent.resolve(), files, settings, checkpoint=checkpoint)


def shipped() -> list[Entry]:
    """The weights of both branches that come with LangTrack."""
    index = _read_json(SHIPPED / "index.json") if (SHIPPED / "index.json").is_file() else {}
    return [
        Entry("lite", network, SHIPPED, {name: index.get(name, "") for name in names})
        for network, names in _LITE_FILES.items()
    ]


def user_entries() -> list[Path]:
    """The ``entry.json`` of the weights that the user added, in folders ``<name>/<branch>``."""
    return sorted(home().glob("weights/[!.]*/[!.]*/entry.json"))


def read_entry(path: Path) -> Entry:
    """What an ``entry.json`` says; LangTrackError when it is damaged."""
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
        return {**json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, TypeError, ValueError) as error:  # a TypeError for anything but an object
        raise LangTrackError(f"{path} cannot be read ({error}); add or seal these weights again.") from error


def check(entry: Entry) -> dict[str, str]:
    """The files' sha256; LangTrackError when a file is missing, or its hash is not what it should be."""
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


def build_segmenter(
    entry: Entry, device: str, backend: str = "auto", precision: str = "auto", example: Example | None = None
) -> tuple[DMNSegmenter, dict[str, Any]]:
    """The language branch with its vocabulary, and what the manifest says of it; LangTrackError when a file
    is missing or altered, or does not belong to the others."""
    from ..dmn.lite import Backbone, LiteConfig, LiteDMN
    from ..dmn.segmenter import LITE, UNCALIBRATED, DMNSegmenter, Preprocessing, SegmenterConfig
    from ..dmn.vocabulary import Vocabulary
    from .openvino_backend import CompiledDMN, CompiledLiteDMN, on_backend, padded_count
    from .openvino_compiler import Compiler

    files, settings, checkpoint = check(entry), entry.all_settings, entry.read()
    others = [entry.folder / name for name in list(entry.files)[1:]]
    size_hw, text = example or ((9, 16), None)
    network: DMN | LiteDMN
    compiled: type[CompiledDMN | CompiledLiteDMN]
    counts: tuple[int, ...] = ()
    if entry.network == "dmn":
        from ..dmn.network import DMN, config_of, published_name

        switches = {key: settings[key] for key in ("align_corners", "batch_statistics")}
        try:
            network = DMN(config_of(checkpoint.tensors, **switches))
        except LangTrackError as error:
            raise LangTrackError(f"{checkpoint.path} cannot be used: {error}") from error
        checkpoint.fill(network, published_name)
        vocabulary = Vocabulary.from_file(others[0], "published")
        size, align_corners = settings["input_size"], settings["align_corners"]
        config, compiled = SegmenterConfig(Preprocessing(size, align_corners=align_corners)), CompiledDMN
    else:
        backbone_file, table, word_list = others

        def new_backbone() -> Backbone:
            backbone = Backbone()
            fill(backbone, Checkpoint.read(backbone_file).tensors, "backbone.{}".format)
            return backbone.eval().to(device)

        has_backbone = any(name.startswith("backbone.") for name in checkpoint.tensors)
        vectors, sizes = Checkpoint.read(table).tensors, checkpoint.make(LiteConfig)
        words, classes = vectors["words"] / 127, vectors["classes"] / 127
        network = LiteDMN(words, classes, sizes, late_backbone=None if has_backbone else new_backbone)
        checkpoint.fill(network)
        vocabulary = Vocabulary.from_file(word_list, "plain")
        counts = (padded_count(len(vocabulary.read(text).ids) if text else 1),)
        config, compiled = LITE, CompiledLiteDMN
    if len(vocabulary) != network.vocabulary_size:
        raise LangTrackError(
            f"The vocabulary does not belong to {entry.path}: it has {len(vocabulary)} words, but the "
            f"network was trained with {network.vocabulary_size}."
        )
    network.eval().to(device)
    first = (*counts, *config.preprocessing.input_hw(size_hw))

    def in_openvino(precision: str) -> Any:
        return compiled(network, Compiler(network, files.values(), precision, checkpoint.ranges), first)

    running, about = on_backend(backend, device, precision, network, lambda: in_openvino(precision))
    if running is network and isinstance(network, LiteDMN):
        network.load_backbone()  # PyTorch needs it on the first frame, a borrowed GPU in each loan anew
    segmenter = DMNSegmenter(running, vocabulary, config, checkpoint.calibration or UNCALIBRATED, device)
    if about["precision"] == "int8":
        segmenter.finer = copy.copy(segmenter)
        segmenter.finer.network = in_openvino("bfloat16")
    return segmenter, _info(entry, files, config, about)


def build_tracker(
    entry: Entry, device: str, backend: str = "auto", precision: str = "auto"
) -> tuple[Callable[[], SiamMaskTracker], dict[str, Any]]:
    """What makes a tracker with a state of its own around a shared network, and what the manifest says of it;
    LangTrackError when a file is missing or altered, or holds another network."""
    from ..siammask.lite import LiteNetwork
    from ..siammask.paper import PaperNetwork, published_name
    from ..siammask.tracker import CONFIGS, SiamMaskTracker
    from .openvino_backend import CompiledSiamMask, on_backend
    from .openvino_compiler import Compiler

    files, checkpoint = check(entry), entry.read()
    published = entry.network == "siammask"
    network: SiamMask = PaperNetwork() if published else checkpoint.make(LiteNetwork)
    checkpoint.fill(network, published_name if published else str)
    network.eval().to(device)
    new_compiler = partial(Compiler, network, files.values(), precision, checkpoint.ranges)
    running, about = on_backend(
        backend, device, precision, network, lambda: CompiledSiamMask(network, new_compiler())
    )
    config = CONFIGS[entry.all_settings["tracker"]]
    new_tracker = partial(SiamMaskTracker, running, config, checkpoint.calibration, device)
    return new_tracker, _info(entry, files, config, about)


def _info(entry: Entry, files: dict[str, str], config: Any, backend: dict[str, str]) -> dict[str, Any]:
    return {
        "branch": entry.branch,
        "name": entry.name,
        "network": entry.network,
        "files": files,
        "settings": entry.all_settings | asdict(config),
        "backend": backend,
    }
