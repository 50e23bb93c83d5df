"""The lite networks on a CPU: converted from their PyTorch modules by OpenVINO, and kept on disk.

PyTorch stays the reference and the way onto a GPU; here the very same calls are traced, converted and
compiled (bfloat16 where the processor has it). Nothing knows a layer by name, so the networks may change. A
compiled call is stored under a hash of the weights, the code and the versions; whatever goes wrong with the
store only costs the conversion, a few seconds.

Conversion goes through OpenVINO's front end and not through ``openvino.convert_model``, which would report
its use to the makers.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import logging
import os
import secrets
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..files import write_bytes
from ..types import LangTrackError
from .registry import home

_log = logging.getLogger(__name__)
_IMPORTED_AT = time.time()

FORMAT = 1
"""Raised when what is stored changes its meaning."""

STORE_LIMIT_BYTES = 400_000_000
"""The oldest entries beyond it are deleted: each training leaves some 40 MB."""

PRECISIONS = {"bf16": ("bfloat16", 0.2), "f32": ("float32", 1e-3)}
"""OpenVINO's name, the one everybody knows, and how far a call may be from PyTorch before something is wrong
with it (root mean square, as a share). On noise bfloat16 comes to 0.1; the tests say what masks come to."""

WORDS = (8, 16, 32)
"""Expressions are filled up to one of these numbers of words; longer ones run in PyTorch."""


KEPT = 4
"""Compiled shapes of the language branch in memory, some 110 MB each; one that is asked for again comes from
the store in 0.3 s."""


class CannotCompile(Exception):
    """OpenVINO is not installed, or does not give what PyTorch gives; the text says which."""


# --- one call ----------------------------------------------------------------------------------------------


class Call:
    """One function of a network with fixed shapes, compiled. May be called from several threads.

    Args:
        compiled: of OpenVINO.
        example: what the function gave in PyTorch, for the nesting of its tuples.
    """

    def __init__(self, compiled: Any, example: Any) -> None:
        self._compiled, self._example = compiled, example
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def __call__(self, *arguments: Any) -> Any:
        """Tensors, in (named) tuples as deep as they were in the example; the same way out."""
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        # NumPy copies where PyTorch's threads would meet: beside the other branch they wait, and spin.
        inputs = [np.ascontiguousarray(tensor.detach().numpy()) for tensor in _leaves(arguments)]
        outputs = request.infer(inputs, share_inputs=True)  # the outputs are copies
        self._idle.put(request)
        return _like(self._example, iter([torch.from_numpy(value) for value in outputs.to_tuple()]))


class _Traced(nn.Module):
    """A function with the network inside, of flat tensors, as tracing wants it."""

    def __init__(self, network: nn.Module, function: Callable[..., Any], example: Any) -> None:
        super().__init__()
        self.network, self.function, self.example = network, function, example

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_leaves(self.function(self.network, *_like(self.example, iter(inputs)))))


def _leaves(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    else:
        for branch in tree:
            yield from _leaves(branch)


def _like(example: Any, tensors: Iterator[Tensor]) -> Any:
    """The next tensors, nested as the example is."""
    if isinstance(example, Tensor):
        return next(tensors)
    branches = [_like(branch, tensors) for branch in example]
    return type(example)(*branches) if hasattr(example, "_fields") else tuple(branches)


# --- compiling, and what is kept ---------------------------------------------------------------------------


@functools.cache
def _core() -> Any:
    """The one `openvino.Core` of the process, never freed.

    Its CPU plugin gives the thread that made it another signal stack, for the registers of AMX. Freed in
    another thread, it would leave that thread without one, and the next SIGTERM would end in a crash.
    """
    import openvino

    return openvino.Core()


class Compiler:
    """Compiles calls of one network.

    Args:
        network: in evaluation mode, on the CPU.

    Attributes:
        backend: for the manifest: name, version and precision.

    Raises:
        CannotCompile: OpenVINO is not there.
    """

    def __init__(self, network: nn.Module) -> None:
        try:
            import openvino
        except ImportError as error:
            raise CannotCompile("OpenVINO is not installed") from error
        self.network = network
        self._core = _core()
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if "BF16" in able else "f32"
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            # Both branches run at once; and two threads of one call spend a third more in waiting.
            "INFERENCE_NUM_THREADS": max(1, torch.get_num_threads() // 2),
            "ENABLE_CPU_PINNING": False,  # both branches' threads would be pinned to the same core
        }
        self.backend = {
            "name": "openvino",
            "version": importlib.metadata.version("openvino"),
            "precision": PRECISIONS[precision][0],
        }
        self._tolerance = PRECISIONS[precision][1]
        told = [FORMAT, openvino.get_version(), torch.__version__, precision, able]
        told.append(self._core.get_property("CPU", "FULL_DEVICE_NAME"))
        self._key = hashlib.sha256(repr(told).encode() + _code(network) + _state(network)).hexdigest()

    def compile(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Call:
        """A function of the network, called as ``function(network, *arguments)``, for arguments of these
        shapes.

        Args:
            name: of the function, for the store.

        Raises:
            CannotCompile: the conversion fails, or gives something else than PyTorch.
        """
        path = home() / "compiled" / f"{name}-{self._key[:40]}.bin"
        with torch.inference_mode():
            example = function(self.network, *arguments)
        stored = _read(path)
        if stored is not None:
            with contextlib.suppress(RuntimeError):  # another build of the same version may refuse it
                return Call(self._core.import_model(stored, "CPU", self._settings), example)
        try:
            compiled = self._core.compile_model(self._convert(function, arguments), "CPU", self._settings)
        except Exception as error:  # the front end raises what its dozens of translators raise
            reason = str(error).strip().splitlines()[-1][:200] if str(error).strip() else ""
            raise CannotCompile(f"OpenVINO cannot convert {name}: {type(error).__name__} {reason}") from error
        call = Call(compiled, example)
        for ours, theirs in zip(_leaves(call(*arguments)), _leaves(example), strict=True):
            off = (ours - theirs).square().mean().sqrt() / (theirs.square().mean().sqrt() + 1)
            if not off <= self._tolerance:
                raise CannotCompile(f"OpenVINO's {name} is off by {float(off):.2f}")
        with contextlib.suppress(RuntimeError):
            _write(path, bytes(compiled.export_model().getbuffer()))
        return call

    def _convert(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        from openvino import PartialShape
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that become constants, as they are meant to
            inputs = tuple(tensor.clone() for tensor in _leaves(arguments))  # no inference tensors
            traced = torch.jit.trace(_Traced(self.network, function, arguments), inputs, check_trace=False)
            decoder = TorchScriptPythonDecoder(traced, example_input=inputs)
            frontend = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
        for port, tensor in zip(model.inputs, inputs, strict=True):
            port.get_node().set_partial_shape(PartialShape(list(tensor.shape)))
        model.validate_nodes_and_infer_types()
        return model


def _state(network: nn.Module) -> bytes:
    digest = hashlib.sha256()
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.digest()


def _code(network: nn.Module) -> bytes:
    """Of this module, of the network's, and of every module of ours that they take something from. Random
    when one was edited after it was imported: what runs is then unknown."""
    package = __name__.partition(".")[0]
    pending, seen = {__name__, *(type(module).__module__ for module in network.modules())}, set()
    while pending:
        name = pending.pop()
        if name in seen or name.partition(".")[0] != package or name not in sys.modules:
            continue
        seen.add(name)
        pending |= {str(getattr(value, "__module__", "")) for value in vars(sys.modules[name]).values()}
    files = [Path(sys.modules[name].__file__ or "") for name in sorted(seen)]
    if any(file.stat().st_mtime > _IMPORTED_AT for file in files):
        return secrets.token_bytes(32)
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).digest()


def _read(path: Path) -> bytes | None:
    """What is stored, None when it is not there, or not whole."""
    try:
        content = path.read_bytes()
        os.utime(path)  # the store forgets what has not been used for longest
    except OSError:
        return None
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else None


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; a store that cannot be written is no error."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, hashlib.sha256(content).digest() + content)
        files = sorted(path.parent.glob("*.bin"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > STORE_LIMIT_BYTES:
                file.unlink(missing_ok=True)


# --- the branches ------------------------------------------------------------------------------------------


class Padded(NamedTuple):
    """An expression filled up to ``words`` words, as the network wants it; 0 words: it runs in PyTorch."""

    words: int
    language: Any


class CompiledGrounding:
    """`dmn.lite.LiteDMN` for `DMNSegmenter`: the expression is read in PyTorch, once; frames are not.

    Args:
        input_hw: shape of picture that is made ready at once; others are when they first come.

    Raises:
        CannotCompile: see `Compiler`.
    """

    def __init__(self, network: Any, input_hw: tuple[int, int]) -> None:
        self.network = network
        self._compiler = Compiler(network)
        self._calls: dict[tuple[int, int, int], Call | None] = {}
        self._lock = threading.Lock()
        self.backend = self._compiler.backend
        self._calls[WORDS[0], *input_hw] = self._compile(WORDS[0], input_hw)

    def encode(self, ids: Tensor) -> Padded:
        """Word ids ``(T,)`` int64."""
        words = next((words for words in WORDS if words >= len(ids)), 0)
        if not words:
            return Padded(0, self.network.encode(ids))
        filled = torch.zeros(1, words, dtype=torch.int64)
        filled[0, : len(ids)] = ids
        return Padded(words, self.network.read(filled, torch.tensor([len(ids)])))

    def segment(self, image: Tensor, padded: Padded) -> tuple[Tensor, Tensor | None]:
        """See `dmn.segmenter.GroundingNetwork.segment`."""
        call = self._prepared(padded.words, (image.shape[2], image.shape[3])) if padded.words else None
        return (call or self.network.segment)(image, padded.language)

    @torch.inference_mode()
    def _compile(self, words: int, input_hw: tuple[int, int]) -> Call:
        language = self.network.read(torch.zeros(1, words, dtype=torch.int64), torch.tensor([words]))
        name = f"language{words}-{input_hw[0]}x{input_hw[1]}"
        return self._compiler.compile(name, _segment, (_noise(*input_hw), language))

    def _prepared(self, words: int, input_hw: tuple[int, int]) -> Call | None:
        """Compiled when it is first asked for; None, after a warning, when that fails. The `KEPT` last ones
        stay."""
        key = (words, *input_hw)
        with self._lock:
            if key in self._calls:
                call = self._calls.pop(key)
            else:
                try:
                    call = self._compile(words, input_hw)
                except CannotCompile as error:
                    _log.warning("%s; PyTorch runs instead, several times slower.", error)
                    call = None
            self._calls[key] = call  # as the last one
            while len(self._calls) > KEPT:
                del self._calls[next(iter(self._calls))]
            return call


def _segment(network: Any, image: Tensor, language: Any) -> Any:
    return network.segment(image, language)


class CompiledSiam:
    """`siammask.network.LiteNetwork` for `SiamMaskTracker`, one crop at a time.

    Raises:
        CannotCompile: see `Compiler`.
    """

    def __init__(self, network: Any, template_size: int, search_size: int) -> None:
        self.network = network
        self.preprocess = network.preprocess
        compiler = Compiler(network)
        self.backend = compiler.backend
        small, large = _noise(template_size, template_size), _noise(search_size, search_size)
        with torch.inference_mode():
            template = network.template(small)
            response = network.search(template, large)
            seen = network.seen(response, torch.tensor([[0, 12, 12]]))
        self.template = compiler.compile("tracker-template", lambda n, p: n.template(p), (small,))
        self.search = compiler.compile("tracker-search", lambda n, t, p: n.search(t, p), (template, large))
        self._refine = compiler.compile("tracker-refine", lambda n, c, v: n.refinement(c, v), seen)

    def refine(self, response: Any, cells: Tensor) -> Tensor:
        """Refined logits ``(1, 127, 127)`` at one cell (1, 3: sample, row, column)."""
        return self._refine(*self.network.seen(response, cells))


def _noise(height: int, width: int) -> Tensor:
    """A picture to trace and compare with: smooth, so that features are as strong as on real ones."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=generator) * 2 - 1
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear")


class OnBackend(NamedTuple):
    """A network, and what runs it.

    Attributes:
        network: in PyTorch, or its compiled form, which has the same calls.
        backend: for the manifest: name, version and precision; a note when it is not what was asked for.
    """

    network: Any
    backend: dict[str, str]


def on_backend(backend: str, device: str, network: Any, make: Callable[[], Any] | None) -> OnBackend:
    """The network as the backend wants it.

    Args:
        backend: "auto" compiles on a CPU, and takes PyTorch, with a note, where that fails; "openvino" raises
            instead; "torch" never compiles.
        network: in PyTorch.
        make: gives the compiled form; None for networks that have none.

    Raises:
        LangTrackError: an unknown backend, or one that cannot be had.
    """
    if backend not in ("auto", "torch", "openvino"):
        raise LangTrackError(f"The backend is auto, torch or openvino, got {backend!r}.")
    in_torch = {"name": "torch", "version": torch.__version__, "precision": "float32"}
    on_cpu = torch.device(device).type == "cpu"
    if backend == "openvino" and not on_cpu:
        raise LangTrackError(f"OpenVINO runs on the CPU, not on {device!r}; use --backend torch or auto.")
    if backend == "openvino" and make is None:
        raise LangTrackError("OpenVINO runs the lite networks only; use --backend torch or auto.")
    if backend == "torch" or not on_cpu or make is None:
        return OnBackend(network, in_torch)
    try:
        compiled = make()
        return OnBackend(compiled, compiled.backend)
    except CannotCompile as error:
        if backend == "openvino":
            raise LangTrackError(f"{error}; use --backend torch or auto.") from error
        _log.warning("%s; PyTorch runs instead, several times slower.", error)
        return OnBackend(network, in_torch | {"note": str(error)})
