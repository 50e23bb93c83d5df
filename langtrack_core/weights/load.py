"""Checkpoints to networks: strictly, and nothing in a file is ever run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..types import LangTrackError
from .checkpoint import read_checkpoint
from .registry import NETWORKS, Branch, Entry, check, damaged, entries, entry_beside

if TYPE_CHECKING:  # torch takes seconds to import, and `weights list` needs none of it
    from torch import nn

    from ..dmn.lite import LiteDMN
    from ..dmn.network import DMN
    from ..dmn.segmenter import DMNSegmenter
    from ..fusion import Calibration
    from ..siammask.network import SiamMask
    from ..siammask.tracker import SiamMaskTracker

T = TypeVar("T")


class LanguageBranch(NamedTuple):
    """The language branch, and what runs its network (`OnBackend.backend`)."""

    segmenter: DMNSegmenter
    backend: dict[str, str]


class TrackerBranch(NamedTuple):
    """What makes a tracker with a state of its own, and what runs the network that they share."""

    new_tracker: Callable[[], SiamMaskTracker]
    backend: dict[str, str]


class Branches(NamedTuple):
    """Both branches, ready to run.

    Attributes:
        segmenter: the language branch.
        new_tracker: makes a tracker with a state of its own; all share one network.
        infos: for the manifest, one for each branch: branch, name, network, files with sha256, settings,
            backend.
    """

    segmenter: DMNSegmenter
    new_tracker: Callable[[], SiamMaskTracker]
    infos: tuple[dict[str, Any], ...]


def load_branches(name: str = "lite", device: str = "cpu", backend: str = "auto") -> Branches:
    """Build both branches.

    Args:
        name: a name from `entries`, or the path of one branch's checkpoint. The branch that it does not have
            is the lite one; ``infos`` says so.
        device: as PyTorch names it.
        backend: see `openvino_backend.on_backend`; ``infos`` say what it came to.

    Raises:
        LangTrackError: no such weights, device or backend, a missing, damaged or altered file, or another
            network's.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise LangTrackError(f"The device {device!r} cannot be used here; try cpu.") from error
    chosen = choose(name)
    infos: dict[Branch, dict[str, Any]] = {
        branch: {
            "branch": branch,
            "name": entry.name,
            "network": entry.network,
            "files": check(entry),
            "settings": {**NETWORKS[entry.network].settings, **entry.settings},
        }
        for branch, entry in chosen.items()
    }
    language = build_segmenter(chosen["language"], device, backend)
    tracker = build_tracker(chosen["tracker"], device, backend)
    infos["language"]["settings"] |= asdict(language.segmenter.config)
    infos["tracker"]["settings"] |= asdict(tracker.new_tracker().config)
    infos["language"]["backend"] = language.backend
    infos["tracker"]["backend"] = tracker.backend
    return Branches(language.segmenter, tracker.new_tracker, tuple(infos.values()))


def choose(name: str) -> dict[Branch, Entry]:
    """The entry of each branch for a name or a file, lite where it has none."""
    for broken in damaged():
        if broken.name == name:
            raise broken.error
    here = entries()
    named = [entry for entry in here if entry.name == name]
    if not named and Path(name).is_file():
        named = [entry_of_file(Path(name))]
    if not named and name == "paper":
        raise LangTrackError(
            "No published weights are here; add yours with: "
            "python -m langtrack_core weights add SiamMask_DAVIS.pth"
        )
    if not named:
        known = ", ".join(dict.fromkeys(entry.name for entry in here))
        raise LangTrackError(f"There are no weights {name!r}; give one of {known}, or a file that exists.")
    lite: dict[Branch, Entry] = {entry.branch: entry for entry in here if entry.name == "lite"}
    return lite | {entry.branch: entry for entry in named}


def entry_of_file(path: Path, vocabulary: Path | None = None) -> Entry:
    """A checkpoint that lies anywhere, identified by its keys; with its vocabulary for a published DMN."""
    return entry_beside(path, identify(read_checkpoint(path)[0], path), vocabulary)


def identify(state: Mapping[str, Any], path: Path) -> str:
    """Key in `NETWORKS` of the mark that the checkpoint has; LangTrackError when it has none."""
    inner = state.get("state_dict", state)
    keys = [str(key).removeprefix("module.") for key in inner] if isinstance(inner, Mapping) else []
    for network, known in NETWORKS.items():
        if any(key.startswith(known.mark) for key in keys):
            return network
    if "optimiser" in state:
        raise LangTrackError(
            f"{path} is a checkpoint to go on training from; use the .safetensors beside it."
        )
    titles = ", ".join(known.title for known in NETWORKS.values())
    raise LangTrackError(f"{path} is for none of the networks known here ({titles}).")


def build_tracker(entry: Entry, device: str, backend: str = "auto") -> TrackerBranch:
    """The tracker's network, filled strictly, with its settings."""
    from ..siammask.network import (
        SEARCH_SIZE,
        TEMPLATE_SIZE,
        LiteNetwork,
        PaperNetwork,
        convert_published,
    )
    from ..siammask.tracker import CONFIGS, SiamMaskTracker, uncalibrated
    from .openvino_backend import CompiledSiam, on_backend

    state, metadata = read_checkpoint(entry.checkpoint)
    if entry.network == "siammask":
        network: SiamMask = PaperNetwork()
        try:
            state = convert_published(state)
        except LangTrackError as error:
            raise LangTrackError(f"{entry.checkpoint} cannot be used: {error}") from error
    else:
        network = _made(LiteNetwork, metadata, entry)
    _fill(network, state, entry)
    settings = {**NETWORKS[entry.network].settings, **entry.settings}
    network.eval().to(device)
    make = partial(CompiledSiam, network, TEMPLATE_SIZE, SEARCH_SIZE)
    running = on_backend(backend, device, network, make if isinstance(network, LiteNetwork) else None)
    calibration = _calibration(metadata, entry) or uncalibrated
    parts = (running.network, CONFIGS[settings["tracker"]], calibration, device)
    return TrackerBranch(partial(SiamMaskTracker, *parts), running.backend)


def build_segmenter(entry: Entry, device: str, backend: str = "auto") -> LanguageBranch:
    """The language branch, filled strictly, with its vocabulary."""
    from ..dmn.lite import LiteConfig, LiteDMN
    from ..dmn.segmenter import LITE, UNCALIBRATED, DMNSegmenter, Preprocessing, SegmenterConfig
    from ..dmn.vocabulary import Vocabulary
    from .openvino_backend import CompiledGrounding, on_backend

    settings = {**NETWORKS[entry.network].settings, **entry.settings}
    names = list(entry.files)
    state, metadata = read_checkpoint(entry.checkpoint)
    if entry.network == "dmn":
        network: DMN | LiteDMN = _published_dmn(state, settings, entry)
        vocabulary = Vocabulary.from_file(entry.folder / names[1], "published")
        size, align_corners = settings["input_size"], settings["align_corners"]
        config = SegmenterConfig(Preprocessing("longest_side", size, align_corners=align_corners))
    else:
        backbone, table, words = (entry.folder / name for name in names[1:])
        vectors = read_checkpoint(table)[0]
        sizes = _made(LiteConfig, metadata, entry)
        network = LiteDMN(vectors["words"] / 127, vectors["classes"] / 127, sizes)
        _fill(network, read_checkpoint(backbone)[0] | state, entry)
        vocabulary = Vocabulary.from_file(words, "plain")
        config = LITE
    if len(vocabulary) != network.vocabulary_size:
        raise LangTrackError(
            f"The vocabulary does not belong to {entry.checkpoint}: it has {len(vocabulary)} words, but the "
            f"network was trained with {network.vocabulary_size}."
        )
    network.eval().to(device)
    shapes_hw = config.preprocessing.shapes_hw
    make = partial(CompiledGrounding, network, shapes_hw[-1]) if isinstance(network, LiteDMN) else None
    running = on_backend(backend, device, network, make)
    calibration = _calibration(metadata, entry) or UNCALIBRATED
    segmenter = DMNSegmenter(running.network, vocabulary, config, calibration, device)
    return LanguageBranch(segmenter, running.backend)


def _published_dmn(state: Mapping[str, Any], settings: Mapping[str, Any], entry: Entry) -> DMN:
    from ..dmn.network import DMN, config_of, load_published

    switches = {key: settings[key] for key in ("recurrence", "align_corners", "batch_statistics")}
    try:
        network = DMN(config_of(state, **switches))
        load_published(network, state)
    except LangTrackError as error:
        raise LangTrackError(f"{entry.checkpoint} cannot be used: {error}") from error
    return network


def _fill(network: nn.Module, state: Mapping[str, Any], entry: Entry) -> None:
    """Strictly: every key, no other, every shape; float16 on disk becomes the network's float32."""
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        problems = " ".join(str(error).split())
        raise LangTrackError(
            f"{entry.checkpoint} does not fit the {NETWORKS[entry.network].title}: {problems[:600]}"
        ) from error


def _made(make: Callable[..., T], metadata: Mapping[str, str], entry: Entry) -> T:
    """A network, or its configuration, of the sizes that stand in the checkpoint's metadata."""
    try:
        return make(**json.loads(metadata.get("arguments", "{}")))
    except (TypeError, ValueError, RuntimeError) as error:  # PyTorch refuses a size with a RuntimeError
        raise LangTrackError(f"{entry.checkpoint} has damaged metadata: {error}.") from error


def _calibration(metadata: Mapping[str, str], entry: Entry) -> Calibration | None:
    """Slope and intercept from the checkpoint's metadata; None where there are none."""
    if "calibration" not in metadata:
        return None
    from ..fusion import Calibration

    try:
        slope, intercept = map(float, json.loads(metadata["calibration"]))
        return Calibration(slope, intercept)
    except (TypeError, ValueError) as error:
        raise LangTrackError(f"{entry.checkpoint} has damaged metadata: {error}.") from error
