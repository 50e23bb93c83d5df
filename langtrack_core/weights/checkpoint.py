"""One weights file: tensors by name, and what stands beside them. Nothing in a file is ever run."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..fusion import Calibration
from ..types import Branch, LangTrackError
from .int8 import Ranges

if TYPE_CHECKING:  # torch takes seconds to import, and a list of weights needs none of it
    from torch import nn

T = TypeVar("T")


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


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a ``.safetensors`` or PyTorch file holds.

    Attributes:
        path: where the file is.
        tensors: by name; a training may have stored other plain values among them.
        metadata: what a ``.safetensors`` file says beside: ``arguments`` of the network, ``calibration`` and
            ``ranges``, in JSON.
    """

    path: Path
    tensors: Mapping[str, Any]
    metadata: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read a file; LangTrackError when it is missing, damaged, or holds anything but plain values and
        tensors."""
        import torch
        from safetensors import SafetensorError, safe_open

        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as stream:
                    tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
                    return cls(path, tensors, stream.metadata() or {})
            with warnings.catch_warnings(action="ignore"):  # of an odd pickle, before PyTorch refuses it
                loaded = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise LangTrackError(f"There is no weights file {path}.") from error
        except (SafetensorError, pickle.UnpicklingError) as error:
            raise LangTrackError(
                f"{path} was refused: it is damaged, or holds more than tensors (nothing in it was run)."
            ) from error
        except Exception as error:  # torch.load fails in a dozen ways on bytes that are no checkpoint
            raise LangTrackError(f"{path} is not a weights file ({type(error).__name__}).") from error
        if not isinstance(loaded, Mapping):
            raise LangTrackError(
                f"{path} holds a {type(loaded).__name__}; a weights file holds tensors by name."
            )
        return cls(path, _unwrapped(loaded), {})

    @property
    def network(self) -> str:
        """The key in `NETWORKS` of the network that the tensors' names belong to; LangTrackError for none."""
        for key, network in NETWORKS.items():
            if any(str(name).startswith(network.mark) for name in self.tensors):
                return key
        if "optimiser" in self.tensors:
            raise LangTrackError(
                f"{self.path} is a checkpoint to go on training from; use the .safetensors beside it."
            )
        titles = ", ".join(network.title for network in NETWORKS.values())
        raise LangTrackError(f"{self.path} is for none of the networks known here ({titles}).")

    def make(self, make: Callable[..., T]) -> T:
        """Call ``make``, a network or its configuration, with the sizes that stand in the metadata."""
        return self._stated("arguments", lambda sizes: make(**sizes))

    @property
    def calibration(self) -> Calibration | None:
        """The one in the metadata, None where there is none."""

        def of_two(numbers: Any) -> Calibration:
            slope, intercept = map(float, numbers)
            return Calibration(slope, intercept)

        return self._stated("calibration", of_two) if "calibration" in self.metadata else None

    @property
    def ranges(self) -> Ranges:
        """What int8 needs, see `int8`; empty where the metadata have none."""
        return self._stated("ranges", dict)

    def _stated(self, name: str, convert: Callable[[Any], T]) -> T:
        """What the metadata say under a name, or an empty object, as ``convert`` gives it; LangTrackError
        when they are damaged."""
        try:
            return convert(json.loads(self.metadata.get(name, "{}")))
        except (TypeError, ValueError, RuntimeError) as error:  # PyTorch refuses a size with a RuntimeError
            raise LangTrackError(f"{self.path} has damaged metadata: {error}.") from error

    def fill(self, network: nn.Module, name_in_file: Callable[[str], str] = str) -> None:
        """As `fill`, from this file."""
        try:
            fill(network, self.tensors, name_in_file)
        except LangTrackError as error:
            title = NETWORKS[self.network].title
            raise LangTrackError(f"{self.path} does not fit the {title}: {error}") from error


def fill(network: nn.Module, tensors: Mapping[str, Any], name_in_file: Callable[[str], str] = str) -> None:
    """Fill a network strictly: every key, no other, every shape; float16 becomes its float32.

    Only ``num_batches_tracked`` may be missing: PyTorch before 0.4.1 did not write it, nothing here reads it.

    Args:
        tensors: by their names in a file.
        name_in_file: gives that name for the network's own.

    Raises:
        LangTrackError: naming what is missing, unexpected or of the wrong shape; the network is as before.
    """
    own = {name_in_file(name): (name, tuple(t.shape)) for name, t in network.state_dict().items()}
    shapes = {name: tuple(t.shape) if hasattr(t, "shape") else None for name, t in tensors.items()}
    wrong = [n for n in own if n in tensors and shapes[n] != own[n][1]]
    problems = {
        "missing": [n for n in own if n not in tensors and not n.endswith("num_batches_tracked")],
        "unexpected": [str(name) for name in tensors if name not in own],
        "of the wrong shape": [f"{n} ({shapes[n]}, expected {own[n][1]})" for n in wrong],
    }
    complaints = [
        f"{len(keys)} {kind}: {', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}"
        for kind, keys in problems.items()
        if keys
    ]
    if complaints:
        raise LangTrackError("; ".join(complaints) + ".")
    network.load_state_dict({own[name][0]: tensor for name, tensor in tensors.items()}, strict=False)


def _unwrapped(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without ``state_dict`` around it, and without DataParallel's ``module.`` before each key."""
    while isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    while state and all(str(name).startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state
