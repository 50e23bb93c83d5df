"""From a name to both branches: choose the weights, read each checkpoint once, build, fill strictly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..types import Branch, LangTrackError
from .checkpoint import Checkpoint
from .registry import Entry, check, damaged, entries, entry_beside

if TYPE_CHECKING:  # torch takes seconds to import, and choosing weights needs none of it
    from ..dmn.lite import LiteDMN
    from ..dmn.network import DMN
    from ..dmn.segmenter import DMNSegmenter
    from ..siammask.network import SiamMask
    from ..siammask.tracker import SiamMaskTracker


# --- choosing ----------------------------------------------------------------------------------------------


class Chosen(NamedTuple):
    """The weights of one branch; with the checkpoint when it had to be read to know whose it is."""

    entry: Entry
    checkpoint: Checkpoint | None = None

    def read(self) -> Checkpoint:
        return self.checkpoint or Checkpoint.read(self.entry.path)


def choose(name: str) -> dict[Branch, Chosen]:
    """The weights of each branch for a name or a file, lite where it has none."""
    for broken in damaged():
        if broken.name == name:
            raise broken.error
    here = entries()
    named = [Chosen(entry) for entry in here if entry.name == name]
    if not named and Path(name).is_file():
        named = [choose_file(Path(name))]
    if not named and name == "paper":
        raise LangTrackError(
            "No published weights are here; add yours with: "
            "python -m langtrack_core weights add SiamMask_DAVIS.pth"
        )
    if not named:
        known = ", ".join(dict.fromkeys(entry.name for entry in here))
        raise LangTrackError(f"There are no weights {name!r}; give one of {known}, or a file that exists.")
    lite = [Chosen(entry) for entry in here if entry.name == "lite"]
    return {chosen.entry.branch: chosen for chosen in lite + named}


def choose_file(path: Path, vocabulary: Path | None = None) -> Chosen:
    """A checkpoint that lies anywhere, identified by its keys; with its vocabulary for a published DMN."""
    checkpoint = Checkpoint.read(path)
    return Chosen(entry_beside(path, checkpoint.network, vocabulary), checkpoint)


# --- building ----------------------------------------------------------------------------------------------


def check_device(device: str) -> None:
    """
    Raises:
        LangTrackError: PyTorch cannot use a device of this name here.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise LangTrackError(f"The device {device!r} cannot be used here; try cpu.") from error


class LanguageBranch(NamedTuple):
    """The language branch, and what the manifest says of it."""

    segmenter: DMNSegmenter
    info: dict[str, Any]


class TrackerBranch(NamedTuple):
    """What makes a tracker with a state of its own, and what the manifest says of it."""

    new_tracker: Callable[[], SiamMaskTracker]
    info: dict[str, Any]


def build_segmenter(
    chosen: Chosen, device: str, backend: str = "auto", precision: str = "auto"
) -> LanguageBranch:
    """The language branch, with its vocabulary.

    Raises:
        LangTrackError: a file is missing or altered, or does not belong to the others.
    """
    from ..dmn.lite import LiteConfig, LiteDMN
    from ..dmn.segmenter import LITE, UNCALIBRATED, DMNSegmenter, Preprocessing, SegmenterConfig
    from ..dmn.vocabulary import Vocabulary
    from .openvino_backend import CompiledLiteDMN, on_backend

    entry, settings = chosen.entry, chosen.entry.all_settings
    files = check(entry)
    checkpoint = chosen.read()
    others = [entry.folder / name for name in list(entry.files)[1:]]
    network: DMN | LiteDMN
    if entry.network == "dmn":
        network = _published_dmn(checkpoint, settings)
        vocabulary = Vocabulary.from_file(others[0], "published")
        size, align_corners = settings["input_size"], settings["align_corners"]
        config = SegmenterConfig(Preprocessing("longest_side", size, align_corners=align_corners))
        make = None
    else:
        backbone, table, words = others
        vectors = Checkpoint.read(table).tensors
        sizes = checkpoint.make(LiteConfig)
        network = LiteDMN(vectors["words"] / 127, vectors["classes"] / 127, sizes)
        checkpoint.fill(network, more=Checkpoint.read(backbone).tensors)
        vocabulary = Vocabulary.from_file(words, "plain")
        config = LITE
        shape_hw = config.preprocessing.shapes_hw[-1]
        make = partial(CompiledLiteDMN, network, files.values(), shape_hw, precision)
    if len(vocabulary) != network.vocabulary_size:
        raise LangTrackError(
            f"The vocabulary does not belong to {entry.path}: it has {len(vocabulary)} words, but the "
            f"network was trained with {network.vocabulary_size}."
        )
    network.eval().to(device)
    running = on_backend(backend, device, network, make)
    calibration = checkpoint.calibration or UNCALIBRATED
    segmenter = DMNSegmenter(running.network, vocabulary, config, calibration, device)
    return LanguageBranch(segmenter, _info(entry, files, asdict(config), running.backend))


def build_tracker(
    chosen: Chosen, device: str, backend: str = "auto", precision: str = "auto"
) -> TrackerBranch:
    """The tracker: its network, shared by all that are made, with its settings.

    Raises:
        LangTrackError: a file is missing or altered, or holds another network.
    """
    from ..siammask.lite import LiteNetwork
    from ..siammask.paper import PaperNetwork, published_name
    from ..siammask.tracker import CONFIGS, SiamMaskTracker, uncalibrated
    from .openvino_backend import CompiledLiteNetwork, on_backend

    entry = chosen.entry
    files = check(entry)
    checkpoint = chosen.read()
    network: SiamMask
    if entry.network == "siammask":
        network, make = PaperNetwork(), None
        checkpoint.fill(network, published_name)
    else:
        network = checkpoint.make(LiteNetwork)
        checkpoint.fill(network)
        make = partial(CompiledLiteNetwork, network, files.values(), precision)
    network.eval().to(device)
    running = on_backend(backend, device, network, make)
    config = CONFIGS[entry.all_settings["tracker"]]
    calibration = checkpoint.calibration or uncalibrated
    new_tracker = partial(SiamMaskTracker, running.network, config, calibration, device)
    return TrackerBranch(new_tracker, _info(entry, files, asdict(config), running.backend))


def _published_dmn(checkpoint: Checkpoint, settings: dict[str, Any]) -> DMN:
    from ..dmn.network import DMN, config_of, published_name

    switches = {key: settings[key] for key in ("align_corners", "batch_statistics")}
    try:
        network = DMN(config_of(checkpoint.tensors, **switches))
    except LangTrackError as error:
        raise LangTrackError(f"{checkpoint.path} cannot be used: {error}") from error
    checkpoint.fill(network, published_name)
    return network


def _info(
    entry: Entry, files: dict[str, str], config: dict[str, Any], backend: dict[str, str]
) -> dict[str, Any]:
    return {
        "branch": entry.branch,
        "name": entry.name,
        "network": entry.network,
        "files": files,
        "settings": entry.all_settings | config,
        "backend": backend,
    }
