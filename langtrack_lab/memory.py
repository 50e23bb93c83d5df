"""Memory of this process, on every system."""

from __future__ import annotations

import psutil


def memory_mb() -> float:
    """Megabytes of memory that this process holds now, shared libraries included."""
    return psutil.Process().memory_info().rss / (1 << 20)
