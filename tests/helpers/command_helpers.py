"""``langtrack track`` in this process."""

from __future__ import annotations

from pathlib import Path

from langtrack_core import cli


def track(video: Path, out: Path, *options: str) -> int:
    return cli.main(["track", str(video), "--out", str(out), *options])
