"""Memory of this process and of the machine, on every system."""

from __future__ import annotations

import os

import psutil


def memory_mb() -> float:
    """Megabytes of memory that this process holds now, shared libraries included."""
    return psutil.Process().memory_info().rss / (1 << 20)


WORKER_MB = 1500
"""Megabytes that a process with both networks takes at most on pictures of usual size."""


def usual_workers(device: str = "cpu") -> int:
    """Processes that follow videos at once: one for each core with memory for it; one on another device."""
    if not device.startswith("cpu"):
        return 1
    free = psutil.virtual_memory().available / (1 << 20)
    return max(1, min(os.cpu_count() or 1, int(free / WORKER_MB)))
