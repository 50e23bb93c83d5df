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
from ..types import LangTrackError
from .registry import NETWORKS

if TYPE_CHECKING:  # torch takes seconds to import, and `weights list` needs none of it
    from torch import nn

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a ``.safetensors`` or PyTorch file holds.

    Attributes:
        path: of the file.
        tensors: by name; in a published file they may be wrapped, and other plain values stand beside them.
        metadata: of a ``.safetensors`` file: ``arguments`` of the network and ``calibration``, in JSON.
    """

    path: Path
    tensors: Mapping[str, Any]
    metadata: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read a file.

        Raises:
            LangTrackError: it is missing, damaged, or holds anything but plain values and tensors.
        """
        import torch
        from safetensors import SafetensorError, safe_open

        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as stream:
                    tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
                    return cls(path, tensors, stream.metadata() or {})
            with warnings.catch_warnings():  # PyTorch warns of an odd pickle before it refuses it
                warnings.simplefilter("ignore")
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
        return cls(path, loaded, {})

    @property
    def network(self) -> str:
        """The key in `NETWORKS` of the network that the names of the tensors belong to.

        Raises:
            LangTrackError: they belong to none.
        """
        inner = self.tensors.get("state_dict", self.tensors)
        names = [str(name).removeprefix("module.") for name in inner] if isinstance(inner, Mapping) else []
        for network, known in NETWORKS.items():
            if any(name.startswith(known.mark) for name in names):
                return network
        if "optimiser" in self.tensors:
            raise LangTrackError(
                f"{self.path} is a checkpoint to go on training from; use the .safetensors beside it."
            )
        titles = ", ".join(known.title for known in NETWORKS.values())
        raise LangTrackError(f"{self.path} is for none of the networks known here ({titles}).")

    def make(self, make: Callable[..., T]) -> T:
        """Call ``make``, a network or its configuration, with the sizes that stand in the metadata.

        Raises:
            LangTrackError: the metadata are damaged.
        """
        try:
            return make(**json.loads(self.metadata.get("arguments", "{}")))
        except (TypeError, ValueError, RuntimeError) as error:  # PyTorch refuses a size with a RuntimeError
            raise LangTrackError(f"{self.path} has damaged metadata: {error}.") from error

    @property
    def calibration(self) -> Calibration | None:
        """The one in the metadata, None where there is none.

        Raises:
            LangTrackError: the metadata are damaged.
        """
        if "calibration" not in self.metadata:
            return None
        try:
            slope, intercept = map(float, json.loads(self.metadata["calibration"]))
        except (TypeError, ValueError) as error:
            raise LangTrackError(f"{self.path} has damaged metadata: {error}.") from error
        return Calibration(slope, intercept)

    def fill(self, network: nn.Module, tensors: Mapping[str, Any] | None = None) -> None:
        """Fill a network strictly: every key, no other, every shape; float16 becomes its float32.

        Args:
            tensors: instead of the file's own, where more belong to them.

        Raises:
            LangTrackError: naming what is missing, unexpected or of the wrong shape.
        """
        try:
            network.load_state_dict(dict(self.tensors if tensors is None else tensors))
        except RuntimeError as error:
            problems = " ".join(str(error).split())
            title = NETWORKS[self.network].title
            raise LangTrackError(f"{self.path} does not fit the {title}: {problems[:600]}") from error
