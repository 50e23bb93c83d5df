"""The lite language network before and after a training: from ImageNet's backbone, and in files to ship."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from timm.data import ImageNetInfo
from torch import Tensor

from langtrack_core.dmn.lite import Backbone, LiteDMN
from langtrack_core.dmn.segmenter import Preprocessing
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.types import LangTrackError
from langtrack_core.weights.checkpoint import Checkpoint
from langtrack_core.weights.load import SHIPPED

from ..datasets.files import read_json
from .annotated_images import NameOf, Rgb
from .checkpoints import imagenet_weights, save_weights
from .words import init_word_heads

BRANCH_FILES = ("dmn-lite.safetensors", "dmn-lite-backbone.safetensors")
"""Names of the files that a training writes: the network, and its backbone by itself."""

NAMES = "names.json"
"""Beside the training folders: what the classifier called each crop, so that it need not look again."""

MIN_NAME_PROBABILITY = 0.35
"""Least probability of ImageNet's classifier at which its name for a thing is used."""


def untrained() -> tuple[LiteDMN, Vocabulary]:
    """The network with ImageNet's backbone, its heads set for words of place and colour; and its words."""
    table = load_file(SHIPPED / "words-lite.safetensors")
    network = LiteDMN(table["words"] / 127, table["classes"] / 127)
    network.backbone = imagenet_backbone()
    vocabulary = Vocabulary.from_file(SHIPPED / "words-lite.txt", "plain")
    init_word_heads(network, vocabulary)
    return network, vocabulary


def imagenet_backbone() -> Backbone:
    """The package's entries come in timm's order."""
    backbone = Backbone()
    target = backbone.net.state_dict()
    tensors = dict(zip(target, imagenet_weights().values(), strict=True))
    if any(tensors[k].shape != v.shape for k, v in target.items()):
        raise LangTrackError("The installed EfficientNet-Lite0 weights do not have timm's shapes.")
    backbone.net.load_state_dict(tensors)
    return backbone


def classifier_names(backbone: Backbone, data: Path) -> NameOf:
    """What ImageNet calls the one thing in a picture, () when the classifier is not sure.

    Names stored in ``data/names.json``, as `pack` leaves them, are taken from there.
    """
    stored = read_json(data / NAMES, "names") if (data / NAMES).exists() else {}
    info = ImageNetInfo()
    names = [info.index_to_description(i, detailed=False).split(", ") for i in range(info.num_classes())]
    preprocessing = Preprocessing.lite((224, 224))
    device = backbone.eval().net.classifier.weight.device

    @torch.inference_mode()
    def name_of(key: str, crop: Callable[[], Rgb]) -> tuple[str, ...]:
        if key in stored:
            return tuple(stored[key])
        prob = backbone.net(preprocessing(crop(), device)).softmax(1)[0]
        best = int(prob.argmax())
        return tuple(n.lower() for n in names[best][:2]) if prob[best] > MIN_NAME_PROBABILITY else ()

    return name_of


def load_branch(network: LiteDMN, folder: Path) -> None:
    """Load what `save_branch` wrote.

    Raises:
        LangTrackError: a file is missing or does not fit.
    """
    state: dict[str, Tensor] = {}
    for name in BRANCH_FILES:
        state |= Checkpoint.read(folder / name).tensors
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise LangTrackError(f"{folder} holds no weights of the lite language branch: {error}") from error


def save_branch(network: LiteDMN, out: Path) -> None:
    """Write the files to ship, the backbone apart from what was trained so that each stays small."""
    state = network.state_dict()
    metadata = {"network": "dmn-lite", "arguments": json.dumps(asdict(network.config))}
    backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
    trained = {name: value for name, value in state.items() if name not in backbone}
    for name, part in zip(BRANCH_FILES, (trained, backbone), strict=True):
        save_weights(out / name, part, metadata)
