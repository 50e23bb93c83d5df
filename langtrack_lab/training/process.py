"""The process that trains: its allocator, and the signals that end it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import torch


def keep_freed_memory() -> None:
    """Start this Python again with glibc told to keep large freed blocks; call first thing in a trainer.

    A training step on a CPU frees and takes gigabytes of activations. By default glibc hands them back to the
    kernel, which fills them with zeros page by page when they are taken again: half of the time of a step
    here.
    """
    wanted = {
        "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
        "MALLOC_TOP_PAD_": str(256 << 20),
    }
    if sys.platform == "linux" and not torch.cuda.is_available() and not wanted.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


class StopSignal:
    """True once SIGTERM or SIGINT has come: the trainer saves and ends after the step at hand."""

    def __init__(self) -> None:
        self.received = False
        self.before = {
            number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def __enter__(self) -> StopSignal:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def __bool__(self) -> bool:
        return self.received


def leave_signals(worker: int) -> None:
    """For a data worker: a signal to the whole group is the trainer's business, who ends its workers."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
