"""The networks on a CPU, in OpenVINO: the same calls as in PyTorch, several times faster."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..siammask.network import SEARCH_SIZE, TEMPLATE_SIZE, Response, Template
from ..types import LangTrackError
from .openvino_compiler import TENSOR, Call, CannotCompile, Compiler

_log = logging.getLogger(__name__)

WORD_COUNTS = (4, 8, 16, 32)
"""Expressions are filled up to one of these numbers of words; longer ones run in PyTorch."""

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
"""The view of a whole picture, see `dmn.blocks.seen_in`."""


def padded_count(words: int) -> int:
    """The least of `WORD_COUNTS` that has room for so many words, or the largest."""
    return next((count for count in WORD_COUNTS if count >= words), WORD_COUNTS[-1])


class Padded(NamedTuple):
    """An expression filled up to ``words`` words, as the network wants it; 0 words: it runs in PyTorch."""

    words: int
    language: Any


class _CompiledByShape:
    """A language network for `DMNSegmenter`: the expression is read in PyTorch, once; frames are not.
    CannotCompile as `Compiler.compile`.

    Args:
        compiler: compiles the network's calls.
        first: the shape that is made ready at once: number of words, where it matters, height and width;
            others are when they first come.

    Attributes:
        shapes_in_memory: the last compiled shapes stay; one that is asked for again is loaded from disk.
    """

    shapes_in_memory = 4  # some 110 MB each, and 0.4 s to load
    _compile: Callable[..., Any]  # takes a shape

    def __init__(self, network: Any, compiler: Compiler, first: tuple[int, ...]) -> None:
        self.network, self._compiler = network, compiler
        self.backend = compiler.backend
        self._lock = threading.Lock()
        self._calls: dict[tuple[int, ...], Any] = {first: self._compile(*first)}

    def _prepared(self, *shape: int) -> Any:
        """Compiled when first asked for, kept while among the last; None, after a warning, when it fails."""
        with self._lock:
            try:
                call = self._calls.pop(shape) if shape in self._calls else self._compile(*shape)
            except CannotCompile as error:
                _log.warning("%s; PyTorch runs instead, several times slower.", error)
                call = None
            self._calls[shape] = call  # as the last one
            while len(self._calls) > self.shapes_in_memory:
                del self._calls[next(iter(self._calls))]
            return call


class CompiledLiteDMN(_CompiledByShape):
    """`dmn.lite.LiteDMN`, for a shape of picture and a number of words."""

    def encode(self, ids: Tensor) -> Padded:
        """Word ids ``(T,)`` int64."""
        words = padded_count(len(ids))
        if words < len(ids):
            return Padded(0, self.network.encode(ids))
        word_ids = torch.zeros(1, words, dtype=torch.int64)
        word_ids[0, : len(ids)] = ids
        return Padded(words, self.network.encode_text(word_ids, torch.tensor([len(ids)])))

    def segment(
        self, image: Tensor, text: Padded, view: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """See `dmn.segmenter.GroundingNetwork.segment`."""
        call = self._prepared(text.words, *image.shape[2:]) if text.words else None
        return (call or self.network.segment)(image, text.language, WHOLE if view is None else view)

    def _compile(self, words: int, height: int, width: int) -> Call:
        def arguments() -> tuple[Any, ...]:
            text = self.encode(torch.zeros(words, dtype=torch.int64))
            return smooth_noise(height, width), text.language, WHOLE

        name = f"dmn-{words}-{height}x{width}"
        return self._compiler.compile(name, self.network.segment, arguments, (TENSOR, TENSOR))


class CompiledDMN(_CompiledByShape):
    """`dmn.network.DMN`: the visual and the upsampling module, for a shape of picture. The words and the
    recurrence over them, a quarter of the time, stay in PyTorch."""

    shapes_in_memory = 2  # some 600 MB each

    def encode(self, ids: Tensor) -> Any:
        """Word ids ``(T,)`` int64."""
        return self.network.encode(ids)

    def segment(self, image: Tensor, language: Any) -> tuple[Tensor, None]:
        """See `dmn.segmenter.GroundingNetwork.segment`."""
        calls = self._prepared(*image.shape[2:])
        if calls is None:
            return self.network.segment(image, language)
        see, finish = calls
        visual, skips = see(image)
        return finish(self.network.fuse(visual, language), skips), None

    def _compile(self, height: int, width: int) -> tuple[Call, Call]:
        net, compiled, hw = self.network, self._compiler.compile, f"{height}x{width}"
        picture = smooth_noise(height, width)

        def to_finish() -> tuple[Any, ...]:
            visual, skips = net.visual(picture)
            return net.fuse(visual, net.encode(torch.tensor([0]))), skips

        see = compiled(f"dmn-visual-{hw}", net.visual, lambda: (picture,), (TENSOR, (TENSOR,) * 5))
        return see, compiled(f"dmn-finish-{hw}", net.finish, to_finish, TENSOR)


class CompiledSiamMask:
    """`siammask.network.SiamMask`, either of the two, for `SiamMaskTracker`, one crop at a time;
    CannotCompile as `Compiler.compile`."""

    def __init__(self, network: Any, compiler: Compiler) -> None:
        self.network = network
        self.preprocess = network.preprocess
        self.backend = compiler.backend

        def crop(side: int) -> Tensor:
            levels = (smooth_noise(side, side)[0].permute(1, 2, 0) * 127 + 128).clamp(0, 255)
            return network.preprocess(levels.byte().numpy())

        def to_search() -> tuple[Any, ...]:
            return network.template(crop(TEMPLATE_SIZE)), crop(SEARCH_SIZE)

        def to_refine() -> tuple[Any, ...]:
            return network.refinement_inputs(network.search(*to_search()), torch.tensor([[0, 12, 12]]))

        three = TENSOR, TENSOR, TENSOR
        template, response = Template(TENSOR, three), Response(TENSOR, TENSOR, TENSOR, three, TENSOR)
        make = compiler.compile
        # First the search, whose time decides about the precision: it runs on every frame.
        self.search = make("siammask-search", network.search, to_search, response)
        self.template = make("siammask-template", network.template, lambda: (crop(TEMPLATE_SIZE),), template)
        self._refine = make("siammask-refine", network.refinement, to_refine, TENSOR)

    def refine(self, response: Any, cells: Tensor) -> Tensor:
        """Refined logits ``(1, 127, 127)`` at one cell (1, 3: sample, row, column)."""
        return self._refine(*self.network.refinement_inputs(response, cells))


def smooth_noise(height: int, width: int) -> Tensor:
    """A picture to trace and compare with: smooth, so that features are as strong as on real ones, with the
    grain of a photo. Without grain bfloat16's steps are edges, and it is ten times as far from float32."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=generator) * 2 - 1
    grain = torch.randn(1, 3, height, width, generator=generator) / 10
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear") + grain


def on_backend(
    backend: str, device: str, precision: str, network: Any, make: Callable[[], Any]
) -> tuple[Any, dict[str, str]]:
    """The network as the backend wants it.

    Args:
        backend: "auto" compiles on a CPU, and takes PyTorch, with a note, where that fails; "openvino" raises
            instead; "torch" never compiles.
        precision: "auto" is left to OpenVINO, and float32 in PyTorch, which has no int8.
        make: gives the compiled form, which has the same calls.

    Returns:
        What runs, and for the manifest: name, version, precision, and a note when it is not as asked.

    Raises:
        LangTrackError: an unknown backend, or one that cannot be had, or not in that precision.
    """
    if backend not in ("auto", "torch", "openvino"):
        raise LangTrackError(f"The backend is auto, torch or openvino, got {backend!r}.")
    in_torch = {"name": "torch", "version": torch.__version__, "precision": "float32"}
    kind = torch.device(device).type
    if backend == "openvino" and kind != "cpu":
        raise LangTrackError(f"OpenVINO runs on the CPU, not on {device!r}; use --backend torch or auto.")
    if backend == "torch" or kind != "cpu":
        if precision not in ("auto", "float32", "bfloat16"):
            raise LangTrackError(f"PyTorch runs in float32 or bfloat16, not in {precision} (int8: OpenVINO).")
        if precision == "bfloat16":  # the convolutions and products of pictures; words are read in float32
            in_torch["precision"] = precision
            for name in {"segment", "template", "search", "refine"} & set(dir(network)):
                setattr(network, name, torch.autocast(kind, torch.bfloat16)(getattr(network, name)))
        return network, in_torch
    try:
        compiled = make()
        return compiled, compiled.backend
    except CannotCompile as error:
        if backend == "openvino":
            raise LangTrackError(f"{error}; use --backend torch or auto.") from error
        _log.warning("%s; PyTorch runs instead, several times slower.", error)
        return network, in_torch | {"note": str(error)}
