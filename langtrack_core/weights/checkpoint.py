"""A checkpoint's bytes to tensors by name; nothing in a file is ever run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..types import LangTrackError


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a ``.safetensors`` or PyTorch file holds, and its metadata; nothing in it is run.

    Raises:
        LangTrackError: it is missing, damaged, or holds anything but plain values and tensors.
    """
    import pickle

    import torch
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stream:
                names = stream.keys()
                return {name: stream.get_tensor(name) for name in names}, stream.metadata() or {}
        with warnings.catch_warnings():  # PyTorch warns of an odd pickle before it refuses it
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise LangTrackError(f"There is no weights file {path}.") from error
    except (SafetensorError, pickle.UnpicklingError) as error:
        raise LangTrackError(
            f"{path} was refused: it is damaged, or holds more than plain tensors (nothing in it was run)."
        ) from error
    except Exception as error:  # torch.load fails in a dozen ways on bytes that are no checkpoint
        raise LangTrackError(f"{path} is not a weights file ({type(error).__name__}).") from error
    if not isinstance(loaded, Mapping):
        raise LangTrackError(f"{path} holds a {type(loaded).__name__}; a weights file holds tensors by name.")
    return dict(loaded), {}
