"""From weights to branches: read each checkpoint once, build the network, fill it strictly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ..types import LangTrackError
from .checkpoint import Checkpoint
from .registry import Entry, check

if TYPE_CHECKING:  # torch takes seconds to import, and choosing weights needs none of it
    from ..dmn.lite import LiteDMN
    from ..dmn.network import DMN
    from ..dmn.segmenter import DMNSegmenter
    from ..siammask.network import SiamMask
    from ..siammask.tracker import SiamMaskTracker


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


def build_segmenter(
    entry: Entry, device: str, backend: str = "auto", precision: str = "auto"
) -> tuple[DMNSegmenter, dict[str, Any]]:
    """The language branch with its vocabulary, and what the manifest says of it.

    Raises:
        LangTrackError: a file is missing or altered, or does not belong to the others.
    """
    from ..dmn.lite import LiteConfig, LiteDMN
    from ..dmn.segmenter import LITE, UNCALIBRATED, DMNSegmenter, Preprocessing, SegmenterConfig
    from ..dmn.vocabulary import Vocabulary
    from .openvino_backend import CompiledLiteDMN, on_backend

    files, settings, checkpoint = check(entry), entry.all_settings, entry.read()
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
    return segmenter, _info(entry, files, asdict(config), running.backend)


def build_tracker(
    entry: Entry, device: str, backend: str = "auto", precision: str = "auto"
) -> tuple[Callable[[], SiamMaskTracker], dict[str, Any]]:
    """What makes a tracker with a state of its own around a shared network, and what the manifest says of it.

    Raises:
        LangTrackError: a file is missing or altered, or holds another network.
    """
    from ..siammask.lite import LiteNetwork
    from ..siammask.paper import PaperNetwork, published_name
    from ..siammask.tracker import CONFIGS, SiamMaskTracker
    from .openvino_backend import CompiledSiamMask, on_backend

    files, checkpoint = check(entry), entry.read()
    network: SiamMask
    if entry.network == "siammask":
        network = PaperNetwork()
        checkpoint.fill(network, published_name)
    else:
        network = checkpoint.make(LiteNetwork)
        checkpoint.fill(network)
    make = partial(CompiledSiamMask, network, files.values(), precision)
    network.eval().to(device)
    running = on_backend(backend, device, network, make)
    config = CONFIGS[entry.all_settings["tracker"]]
    new_tracker = partial(SiamMaskTracker, running.network, config, checkpoint.calibration, device)
    return new_tracker, _info(entry, files, asdict(config), running.backend)


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
