"""Modules of the page with node alone: what they do with answers, without a browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")


def check(script: str) -> None:
    """Run a module beside the page's own; it throws where something is wrong."""
    if NODE is None:
        pytest.skip("needs node")
    parts = (ROOT / "tests" / "helpers" / "page_parts.js").as_uri()
    page = (ROOT / "demo" / "page").as_uri()
    head = f'import assert from "node:assert/strict";\nimport {{ page, settled, target }} from "{parts}";\n'
    source = head + script.replace("PAGE", page)
    result = subprocess.run(
        [NODE, "--input-type=module", "-"], input=source, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_a_verdict_on_a_range_counts_for_the_frames_of_the_track() -> None:
    check("""
        import { judgeTool } from "PAGE/judge.js";
        const { player, server } = page([target(1, 8, 19, 20)]);
        const changes = [];
        const { judge } = judgeTool(player, server, { change: (_, change) => changes.push(...change) });
        player.setRange(0, 10);
        judge("both");
        assert.deepEqual(Object.keys(player.target.verdicts.frames), ["8", "9", "10"]);
        assert.deepEqual(changes, [{ first: 0, last: 10, verdict: "both", note: null }]);
    """)
