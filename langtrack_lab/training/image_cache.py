"""Decoded pictures and masks that a data worker keeps: reading them again costs more than all else."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from langtrack_core.masks import BoolMask

from ..datasets.files import read_picture
from ..truth.mask_files import read_mask

Rgb = NDArray[np.uint8]

MEMORY_SHARE = 0.25
"""Share of the machine's free memory that the caches of all data workers of all processes on it may take."""


def bytes_per_worker(workers: int) -> int:
    """Size of each worker's cache; torchrun says how many processes of this machine have such workers."""
    caches = max(1, workers) * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return int(MEMORY_SHARE * psutil.virtual_memory().available / caches)


class ImageCache:
    """Decoded pictures and masks; the one that was not used for longest goes first.

    Args:
        max_bytes: of all arrays together. Every data worker fills a cache of its own.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.arrays: OrderedDict[tuple[str, Path], NDArray] = OrderedDict()

    def rgb(self, path: Path) -> Rgb:
        return self._array("rgb", path, read_picture)

    def mask(self, path: Path) -> BoolMask:
        return self._array("mask", path, lambda path: read_mask(path).mask)

    def _array(self, kind: str, path: Path, read: Callable[[Path], NDArray]) -> NDArray:
        key = kind, path
        if key not in self.arrays:
            array = read(path)
            array.flags.writeable = False  # it is lent to many pairs
            self.arrays[key] = array
            self.bytes += array.nbytes
            while self.bytes > self.max_bytes:
                self.bytes -= self.arrays.popitem(last=False)[1].nbytes
            return array
        self.arrays.move_to_end(key)
        return self.arrays[key]
