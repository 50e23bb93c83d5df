"""Where the page is served: on this machine, on a Space with a CPU, or on one that lends a GPU (ZeroGPU).

A Space says so in its environment: ``SPACE_ID``, and ``SPACES_ZERO_GPU`` on ZeroGPU
(huggingface.co/docs/hub/spaces-zerogpu). ``spaces`` is imported on a Space alone.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from langtrack_core.types import LangTrackError

Answer = TypeVar("Answer")

START_S = 20
"""Seconds that a loan allows for the networks to move to the GPU and for the clip to be opened."""
FRAME_S = 0.06
"""Seconds that a loan allows for one frame of both branches with its decoding. Most GPUs need less, but the
processor beside them is shared."""
MAX_LOAN_S = 300
"""Longest loan in seconds that is asked for: visitors have a quota of minutes a day."""


def on_space(environ: Mapping[str, str] = os.environ) -> bool:
    return bool(environ.get("SPACE_ID"))


def on_zero_gpu(environ: Mapping[str, str] = os.environ) -> bool:
    return on_space(environ) and environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def device(environ: Mapping[str, str] = os.environ) -> str:
    """Where the networks are put unless the command line says so."""
    return "cuda" if on_zero_gpu(environ) else "cpu"


def seconds_for(frames: int) -> int:
    """How long a GPU is asked for, estimated from the number of frames."""
    return min(MAX_LOAN_S, START_S + round(frames * FRAME_S))


def on_gpu(
    function: Callable[..., Answer],
    frames_of: Callable[..., int],
    environ: Mapping[str, str] = os.environ,
) -> Callable[..., Answer]:
    """The function itself; on ZeroGPU, one that runs it with a GPU on loan.

    There the function, or generator, runs in a process of its own: what goes in and comes out is pickled, and
    what it keeps for itself (the networks) has to be there when the server starts.

    Args:
        frames_of: takes the same arguments and returns how many frames will be computed.
    """
    if not on_zero_gpu(environ):
        return function
    import spaces

    def seconds(*arguments: Any) -> int:
        return seconds_for(frames_of(*arguments))

    return spaces.GPU(duration=seconds)(function)


def prepare_threads(threads: int) -> None:
    """Hold the networks' arithmetic to so many threads; 0 leaves it as it is."""
    if threads:
        import torch

        torch.set_num_threads(threads)


def check_mcp() -> None:
    """
    Raises:
        LangTrackError: the package that an MCP server needs is not installed.
    """
    if importlib.util.find_spec("mcp") is None:
        raise LangTrackError(
            "The MCP server needs a package that is not installed; run: pip install “gradio[mcp]”."
        )
