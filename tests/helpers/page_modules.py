"""The page's modules, run by node without a browser."""

from __future__ import annotations

import subprocess

from playwright._impl._driver import compute_driver_executable

from demo.page_data import PAGE


def run_by_node(program: str) -> str:
    """What an ES module prints; fails where it throws. ``PAGE`` in it is the address of the modules."""
    node = compute_driver_executable()[0]  # Playwright brings one
    source = program.replace("PAGE", PAGE.as_uri())
    command = [node, "--input-type=module", "-"]
    result = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout
