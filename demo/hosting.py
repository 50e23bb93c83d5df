"""Differences between hosts: this machine, a Space with a CPU, or one that lends a GPU (ZeroGPU).

A Space says so in its environment: ``SPACE_ID``, and ``SPACES_ZERO_GPU`` on ZeroGPU
(huggingface.co/docs/hub/spaces-zerogpu). ``spaces`` is imported on a Space alone.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import inspect
import os
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

from langtrack_core.types import LangTrackError

Answer = TypeVar("Answer")

START_S = 20
"""Seconds that a loan of a GPU allows for the networks to move there and for the clip to be opened."""
FRAME_S = 0.06
"""Seconds that a loan of a GPU allows for each frame: both branches and the decoding. Most GPUs need less,
but the processor beside them is shared."""
WORKER_ERROR = "ZeroGPU worker error"
"""Title of an error of the process on the GPU whose text is not for people: a class's name."""
MAX_LOAN_S = 280
"""Longest loan of a GPU in seconds: some Spaces refuse 300, and visitors have a quota of minutes a day."""


def on_space(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a Space."""
    return bool(environ.get("SPACE_ID"))


def on_zero_gpu(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a Space that lends a GPU."""
    return on_space(environ) and environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def device(environ: Mapping[str, str] = os.environ) -> str:
    """The device of the networks unless the command line names one."""
    return "cuda" if on_zero_gpu(environ) else "cpu"


def seconds_for(frames: int) -> int:
    """Seconds for which a GPU is borrowed, estimated from the number of frames."""
    return min(MAX_LOAN_S, START_S + round(frames * FRAME_S))


def frames_per_loan() -> int:
    """Frames of one target that the longest loan allows for."""
    return round((MAX_LOAN_S - START_S) / FRAME_S)


def on_gpu(
    function: Callable[..., Answer],
    frames_of: Callable[..., int],
    environ: Mapping[str, str] = os.environ,
) -> Callable[..., Answer]:
    """The function itself; on ZeroGPU, one that runs it with a GPU on loan.

    There the function, or generator, runs in a process of its own: its arguments and results are pickled, and
    what it holds itself (the networks) has to exist when the server starts. Of its errors only those of
    Gradio's class come back with their text.

    Args:
        frames_of: takes the same arguments and returns how many frames will be computed.

    Raises:
        LangTrackError: as the function; or there is no GPU for this visitor.
    """
    if not on_zero_gpu(environ):
        return function
    import gradio as gr
    import spaces

    def seconds(*arguments: Any) -> int:
        return seconds_for(frames_of(*arguments))

    def sent(error: Exception) -> Exception:
        return gr.Error(str(error), print_exception=False) if isinstance(error, LangTrackError) else error

    def received(error: Exception) -> Exception:
        if isinstance(error, gr.Error) and error.title != WORKER_ERROR:
            return LangTrackError(str(error.message))
        return error

    generates = inspect.isgeneratorfunction(function)
    lent = spaces.GPU(duration=seconds)(_raising(function, sent, generates))
    return _raising(lent, received, generates)


def _raising(function: Callable[..., Any], other: Callable[[Exception], Exception], generates: bool) -> Any:
    """The function, or generator, with other errors in place of its own."""

    def called(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            raise other(error) from None

    def generated(*arguments: Any) -> Generator[Any]:
        try:
            yield from function(*arguments)
        except Exception as error:
            raise other(error) from None

    return generated if generates else called


ARENAS = 2
"""Heaps that threads share. By default the C library makes eight for each core, and each keeps what it once
needed: a server has dozens of threads, and every run brings new ones."""

_M_ARENA_MAX = -8
"""The C library's number of that setting (malloc.h); its environment variable is read at the start alone."""


def bound_memory() -> None:
    """Bound the heaps of this process, where the C library is glibc; before threads start."""
    if _glibc is not None:
        _glibc.mallopt(_M_ARENA_MAX, ARENAS)


def give_memory_back() -> None:
    """Give the system what the heaps hold and nobody uses: a few milliseconds."""
    if _glibc is not None:
        _glibc.malloc_trim(0)


def _load_glibc() -> Any:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


_glibc = _load_glibc()


PORTS_TRIED = 100
"""Ports above a busy one that are looked at for a free one to name: as many as Gradio tries itself."""


def check_address(host: str, port: int) -> None:
    """Tell at once, before the networks are loaded, that the page cannot be served at an address.

    Raises:
        LangTrackError: it names the flag that helps.
    """
    error = _listening_error(host, port)
    if error is None:
        return
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        raise LangTrackError(f"This machine has no address {host}; choose another with --host.")
    later = range(port + 1, min(port + 1 + PORTS_TRIED, 65536))
    free = next((other for other in later if _listening_error(host, other) is None), None)
    advice = "choose another with --port" + (f", for instance --port {free}" if free else "")
    if error.errno == errno.EADDRINUSE:
        raise LangTrackError(f"Port {port} is in use, perhaps by a page that is open already; {advice}.")
    raise LangTrackError(f"Port {port} cannot be used ({os.strerror(error.errno or 0)}); {advice}.")


def _listening_error(host: str, port: int) -> OSError | None:
    """What happens to a server there. Gradio wants the port to be free on this machine's own address too."""
    for address in dict.fromkeys((host.strip("[]"), "127.0.0.1")):
        try:
            family, *_, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
            socket.create_server(where[:2], family=family).close()
        except OSError as error:
            return error
    return None


def check_mcp() -> None:
    """Check that the MCP server can start.

    Raises:
        LangTrackError: the package that an MCP server needs is not installed.
    """
    if importlib.util.find_spec("mcp") is None:
        raise LangTrackError(
            "The MCP server needs a package that is not installed; run: pip install “gradio[mcp]”."
        )


FILE_FORMAT = "the file itself as a data: address, data:video/mp4;base64,…; web addresses are not fetched"
"""What an MCP tool says of a file that it takes."""


def describe_mcp_files() -> None:
    """Have the MCP server ask for files as they are taken here: Gradio's own text asks for an address."""
    from gradio.mcp import GradioMCPServer

    simplify = GradioMCPServer.simplify_filedata_schema

    def simplified(server: Any, schema: dict[str, Any]) -> tuple[dict[str, Any], list[list[str | int]]]:
        simple, places = simplify(server, schema)
        return with_file_format(simple), places

    GradioMCPServer.simplify_filedata_schema = simplified  # type: ignore[method-assign, assignment]


def with_file_format(schema: Any) -> Any:
    """A schema whose file inputs have `FILE_FORMAT`."""
    if isinstance(schema, list):
        return [with_file_format(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    is_file = str(schema.get("format")).startswith("Gradio File Input")
    fields = {key: with_file_format(value) for key, value in schema.items()}
    return {**fields, "format": FILE_FORMAT} if is_file else fields
