"""Calls of a network on a CPU: converted from its PyTorch module by OpenVINO, and kept on disk.

PyTorch stays the reference and the way onto a GPU; here the very same calls are traced, converted and
compiled, in a precision that is fast on this machine. Nothing knows a layer by name, so the networks may
change. A converted model is saved in OpenVINO's own format, with an example of what PyTorch gave: it has to
give the same each time it is loaded. OpenVINO keeps what it compiled beside it (its ``CACHE_DIR``). Whatever
goes wrong with the files only costs the conversion, a few seconds.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import inspect
import itertools
import json
import logging
import os
import shutil
import tempfile
import time
import timeit
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..files import replacing_folder
from ..types import LangTrackError
from .int8 import Ranges, is_exact, layer_of_ones, quantised
from .load import home

_log = logging.getLogger(__name__)

SAVED_MODELS = 16
"""Models that stay on disk, the last used ones, of 50 MB at most (published 450): three of the tracker, of
language one for each picture shape and length of expression; five shapes and two lengths make 13."""

PRECISIONS = {
    "float32": ("f32", "FP32", 1e-3),
    "bfloat16": ("bf16", "BF16", 0.2),
    "int8": ("", "INT8", 0.3),  # all else in bfloat16, where that is faster than float32
}
"""The precisions: OpenVINO's names of the setting and of the processor's ability, and how far a call may be
from PyTorch on noise (root mean square, as a share) before float32 runs instead: a guard against a damaged
network. Bfloat16 comes to 0.003 to 0.18, most at 448x256; int8 with all else in it to 0.01 to 0.06."""

MEASURED_S = 0.2
"""Seconds of processor time for which each precision of a network is timed; the fastest call counts."""

LEAST_GAIN = 0.1
"""A coarser precision is taken only where it saves this share of the time in float32."""

TENSOR: Any = ...
"""Stands for a tensor where the nesting of (named) tuples is described."""

SavedExample = dict[str, list[Tensor]]
"""The tensors of one call: those of its "input", and those of PyTorch's "output"."""


class CannotCompile(Exception):
    """OpenVINO is not installed, or does not give what PyTorch gives; the text says which."""


class Call:
    """One function of a network with fixed shapes, compiled. May be called from several threads.

    Args:
        compiled: the model, compiled by OpenVINO.
        result: how the tensors that it gives are nested, each of them a `TENSOR`.
    """

    def __init__(self, compiled: Any, result: Any) -> None:
        self._compiled, self._result = compiled, result
        self._idle: list[Any] = []

    def __call__(self, *arguments: Any) -> Any:
        """Tensors, in tuples nested as the function takes them; the same way out."""
        try:
            request = self._idle.pop()
        except IndexError:  # all are at work in other threads, or there is none yet
            request = self._compiled.create_infer_request()
        # NumPy copies where PyTorch's threads would meet: beside the other branch they wait, and spin.
        inputs = [np.ascontiguousarray(tensor.detach().numpy()) for tensor in _leaves(arguments)]
        outputs = request.infer(inputs, share_inputs=True)  # the outputs are copies
        self._idle.append(request)
        return _nested(self._result, iter([torch.from_numpy(value) for value in outputs.to_tuple()]))


class _Traced(nn.Module):
    """A method of a network, of flat tensors, as tracing wants it."""

    def __init__(self, network: nn.Module, function: Callable[..., Any], example: Any) -> None:
        super().__init__()
        self.network, self.function, self.example = network, function, example

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_leaves(self.function(*_nested(self.example, iter(inputs)))))


def _leaves(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    else:
        for branch in tree:
            yield from _leaves(branch)


def _nested(example: Any, tensors: Iterator[Tensor]) -> Any:
    """The next tensors, nested as those of the example are."""
    if example is TENSOR or isinstance(example, Tensor):
        return next(tensors)
    branches = [_nested(branch, tensors) for branch in example]
    return type(example)(*branches) if hasattr(example, "_fields") else tuple(branches)


@functools.cache
def openvino_core() -> Any:
    """The one `openvino.Core` of the process, never freed.

    Its CPU plugin gives the thread that made it another signal stack, for the registers of AMX. Freed in
    another thread, it would leave that thread without one, and the next SIGTERM would end in a crash."""
    import openvino

    return openvino.Core()


def able_precisions() -> list[str]:
    """Those of `PRECISIONS` that this processor gains by, fine to coarse; ImportError without OpenVINO."""
    core = openvino_core()
    able = {"FP32", *core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")}
    names = [name for name, (_, capability, _) in PRECISIONS.items() if capability in able]
    trials = {"bfloat16": is_faster, "int8": is_exact}
    return [name for name in names if trials.get(name, bool)(core)]


@functools.cache
def is_faster(core: Any) -> bool:
    """Whether bfloat16 is faster than float32: with Intel's AVX-512 but without its AMX it is slower."""
    model, ones = layer_of_ones()

    def seconds(precision: str) -> float:
        hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision][0], "INFERENCE_NUM_THREADS": 1}
        call = functools.partial(core.compile_model(model, "CPU", hints), [ones])
        return min(timeit.repeat(call, timer=time.thread_time, number=1, repeat=9))  # others are at work too

    with contextlib.suppress(RuntimeError):  # one that has it by its name alone
        return seconds("bfloat16") < (1 - LEAST_GAIN) * seconds("float32")
    return False


def in_precision(model: Any, precision: str, ranges: Ranges) -> tuple[Any, str]:
    """The model to compile for a precision, and OpenVINO's setting; LookupError as `quantised`."""
    if precision != "int8":
        return model, PRECISIONS[precision][0]
    finer = "bfloat16" if "bfloat16" in able_precisions() else "float32"
    return quantised(model, ranges), PRECISIONS[finer][0]


@contextlib.contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    """OpenVINO maps its files: one that another process writes anew meanwhile ends in a bus error."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, NotImplementedError):  # nobody writes there, locks, or lets go
            (home() / "openvino").mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(home() / "openvino.lock", timeout=120))  # s, one call takes 30
        yield


class Compiler:
    """Compiles calls of one network.

    Args:
        network: in evaluation mode, on the CPU.
        hashes: the sha256 of the files that its weights are from.
        precision: a key of `PRECISIONS`; "auto" times the first call in float32 and bfloat16 (or int8, where
            the processor gains nothing by that), and takes the faster. One that the processor does not have,
            or gains nothing by, and one that is too far from PyTorch, is the next finer one.
        ranges: of the layers that int8 rounds; without them there is no int8.

    Attributes:
        backend: for the manifest: name, version, from the first call on precision; a note if another runs.

    Raises:
        CannotCompile: OpenVINO is not there.
        LangTrackError: an unknown precision.
    """

    def __init__(
        self, network: nn.Module, hashes: Iterable[str], precision: str = "auto", ranges: Ranges | None = None
    ) -> None:
        if precision not in ("auto", *PRECISIONS):
            raise LangTrackError(f"The precision is auto, {', '.join(PRECISIONS)}; got {precision!r}.")
        try:
            import openvino
        except ImportError as error:
            raise CannotCompile("OpenVINO is not installed") from error
        self._network, self._ranges = network, ranges or {}
        self._core = openvino_core()
        self._able = [name for name in able_precisions() if ranges or name != "int8"]
        self._order = [] if precision == "auto" else self._down_from(precision)
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            # Both branches run at once; and two threads of one call spend a third more in waiting.
            "INFERENCE_NUM_THREADS": max(1, torch.get_num_threads() // 2),
            "ENABLE_CPU_PINNING": False,  # both branches' threads would be pinned to the same core
        }
        self._machine = ", ".join([self._core.get_property("CPU", "FULL_DEVICE_NAME"), *self._able])
        self.backend = {"name": "openvino", "version": importlib.metadata.version("openvino")}
        if precision not in ("auto", *self._able):
            self.backend["note"] = f"{precision} is missing here, or no faster"
        # With the network's own source: who edits it and keeps the weights must not run what it was before.
        sources = sorted(Path(inspect.getfile(type(network))).parent.glob("*.py"))
        parts = [openvino.get_version(), torch.__version__, *hashes, *(p.read_text("utf-8") for p in sources)]
        self._key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @_one_process_at_a_time()
    def compile(
        self, name: str, function: Callable[..., Any], arguments: Callable[[], tuple[Any, ...]], result: Any
    ) -> Call:
        """A method of the network, or a part of it, called as ``function(*arguments())``, for these shapes;
        CannotCompile when the conversion fails, or gives something else than PyTorch.

        Args:
            name: names the function and its shapes, for the saved model.
            arguments: makes an example; called only when there is no saved model.
            result: see `Call`.
        """
        folder = home() / "openvino" / f"{name}-{self._key}"
        if (saved := self._load(folder, result)) is not None:
            return saved
        with torch.inference_mode():
            inputs = arguments()
            example = {"input": list(_leaves(inputs)), "output": list(_leaves(function(*inputs)))}
        try:
            model = self.convert(function, inputs)
        except Exception as error:  # the front end raises what its dozens of translators raise
            reason = str(error).strip().splitlines()[-1][:200] if str(error).strip() else ""
            raise CannotCompile(f"OpenVINO cannot convert {name}: {type(error).__name__} {reason}") from error
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            for place in (folder, Path(temporary) / "model"):  # where the home cannot be written, the other
                _save(place, model, example)
                if (saved := self._load(place, result)) is not None:
                    return saved
        return self._fastest(model, example, result, folder)

    def _load(self, folder: Path, result: Any) -> Call | None:
        """The saved model, None when there is none, or it is broken."""
        try:
            model = self._core.read_model(folder / "model.xml")
            _keep_divisions(model)
            flat, compiled = load_file(folder / "example.safetensors"), set(folder.rglob("*.blob"))
            names = {kind: [f"{kind}{i}" for i in range(len(flat))] for kind in ("input", "output")}
            example = {kind: [flat[name] for name in each if name in flat] for kind, each in names.items()}
            call = self._fastest(model, example, result, folder, keep=True)
            if set(folder.rglob("*.blob")) != compiled:
                # Once more: what OpenVINO reads back, as on every later start, adds up in another order.
                call = self._fastest(model, example, result, folder, keep=True)
            with contextlib.suppress(OSError):  # of another user, who may have them read alone
                os.utime(folder)
            return call
        except (RuntimeError, OSError, SafetensorError, CannotCompile):
            return None

    def _fastest(
        self, model: Any, example: SavedExample, result: Any, folder: Path, *, keep: bool = False
    ) -> Call:
        """Compiled in the network's precision, or in the next finer one where that is too far from PyTorch.
        With ``keep``, OpenVINO's files stay in the folder, each precision's apart: it tells them not."""
        compiled = functools.partial(self._compared, model, example, result, folder if keep else None)
        self._order = self._order or self._down_from(self._measured(compiled, example, folder))
        self.backend.setdefault("precision", self._order[0])
        for precision, finer in itertools.pairwise(self._order):
            try:
                return compiled(precision)
            except (CannotCompile, LookupError) as error:
                self.backend["note"] = note = f"{finer} for {folder.name.rpartition('-')[0]}: {error}"
                _log.warning("%s.", note)
        return compiled(self._order[-1])

    def _measured(self, compiled: Callable[[str], Call], example: SavedExample, folder: Path) -> str:
        """The fastest precision; stored with the times beside the models, for all of them."""
        path = folder.parent / f"precision-{self._key}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no file, or a damaged one
            record = json.loads(path.read_text("utf-8"))
            if record["machine"] == self._machine and record["precision"] in self._able:
                return str(record["precision"])
        calls, able = {}, self._able[:2]  # not int8 beside bfloat16, nearly as fast and one network less
        for precision in able if len(able) > 1 else ():
            with contextlib.suppress(CannotCompile, LookupError, RuntimeError):
                calls[precision] = compiled(precision)
        times = {precision: float("inf") for precision in calls}
        end = time.process_time() + MEASURED_S * len(calls)
        while calls and time.process_time() < end:
            for precision, call in calls.items():
                start = time.process_time()  # by the clock, others' work on the machine would count
                call(*example["input"])
                times[precision] = min(times[precision], time.process_time() - start)
        fine, coarse = (times.get(name, float("inf")) for name in (able[0], able[-1]))
        fastest = able[-1] if coarse < (1 - LEAST_GAIN) * fine else able[0]
        for precision in times.keys() - {fastest}:
            shutil.rmtree(folder / precision, ignore_errors=True)
        record = {"machine": self._machine, "precision": fastest, "seconds": times}
        with contextlib.suppress(OSError):
            path.write_text(json.dumps(record, indent=1), "utf-8")
        return fastest

    def _down_from(self, precision: str) -> list[str]:
        """The precision, where the processor has it, and the finer ones down to float32."""
        names = list(PRECISIONS)
        return [name for name in names[names.index(precision) :: -1] if name in self._able]

    def _compared(
        self, model: Any, example: SavedExample, result: Any, folder: Path | None, precision: str
    ) -> Call:
        """The compiled model, after it has given what PyTorch gave; else CannotCompile, or LookupError."""
        tolerance = PRECISIONS[precision][2]
        model, hint = in_precision(model, precision, self._ranges)
        settings = self._settings | {"INFERENCE_PRECISION_HINT": hint}
        if folder is not None:
            settings["CACHE_DIR"] = str(folder / precision)
        compiled = self._core.compile_model(model, "CPU", settings)
        outputs = Call(compiled, (TENSOR,) * len(example["output"]))(*example["input"])
        for ours, theirs in zip(outputs, example["output"], strict=True):
            error = (ours - theirs).square().mean().sqrt() / (theirs.square().mean().sqrt() + 1)
            if not error <= tolerance:
                raise CannotCompile(f"OpenVINO is off by {float(error):.2f} in {precision}")
        return Call(compiled, result)

    def convert(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """OpenVINO's model of a call, for the arguments' shapes."""
        from openvino import PartialShape
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that become constants, as they are meant to
            inputs = tuple(tensor.clone() for tensor in _leaves(arguments))  # no inference tensors
            traced = torch.jit.trace(_Traced(self._network, function, arguments), inputs, check_trace=False)
            decoder = TorchScriptPythonDecoder(traced, example_input=inputs)
            frontend = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
        for port, tensor in zip(model.inputs, inputs, strict=True):
            port.get_node().set_partial_shape(PartialShape(list(tensor.shape)))
        model.validate_nodes_and_infer_types()
        return model


def _save(folder: Path, model: Any, example: SavedExample) -> None:
    """Whole or not at all; files that cannot be written are no error. Deletes those unused for longest."""
    import openvino

    with contextlib.suppress(OSError, RuntimeError, SafetensorError):
        with replacing_folder(folder) as partial:
            openvino.save_model(model, partial / "model.xml", compress_to_fp16=False)
            flat = {f"{kind}{i}": t.contiguous() for kind, ts in example.items() for i, t in enumerate(ts)}
            save_file(flat, partial / "example.safetensors")
        saved = sorted(folder.parent.glob("*/"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in saved[SAVED_MODELS:]:
            shutil.rmtree(old, ignore_errors=True)


def _keep_divisions(model: Any) -> None:
    """Mark the divisions of a model that was read from a file as the front end does those that it converts.

    The files do not keep the mark. Without it a division becomes a product with the reciprocal, which in
    bfloat16 is another number: the language branch's logits would differ by up to 0.015."""
    for operation in model.get_ops():
        if operation.get_type_name() == "Divide":
            operation.get_rt_info()["nonconvertable_divide_0"] = ""
