"""Other systems: everything runs without what Linux alone has, and prints into any encoding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import foreign_system
from clips import encode, numbered

EVERYTHING = """
import importlib, pkgutil, sys
import app, demo, langtrack_core, langtrack_lab
for package in (langtrack_core, langtrack_lab, demo):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
assert sys.modules["fcntl"] is None
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A process of a foreign system, with what it printed; no file was opened in the system's encoding."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=foreign_system.environ(folder),
        cwd=foreign_system.ROOT,
        capture_output=True,
    )
    ours = [line for line in done.stderr.decode("cp1252").splitlines() if "EncodingWarning" in line]
    assert not [line for line in ours if str(foreign_system.ROOT) in line and "site-packages" not in line]
    return done


def test_everything_is_imported_without_what_linux_alone_has(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", EVERYTHING)
    assert done.returncode == 0, done.stderr.decode()


def test_a_run_with_an_expression_that_the_terminal_cannot_print(tmp_path: Path) -> None:
    """The folder's name has no place in the terminal's encoding either."""
    clip, out = encode(tmp_path / "Łódź.mp4", map(numbered, range(2))), tmp_path / "走る"
    track = (
        "-m",
        "langtrack_core",
        "track",
        str(clip),
        "--text",
        "the car 🚗",
        "--out",
        str(out),
        "--no-video",
    )
    done = run(tmp_path, *track)
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert b"the car \\U0001f697" in done.stdout and b"internal" not in done.stderr
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["expression"] == "the car 🚗"


def test_a_batch_with_its_worker(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from batch_helpers import index, manifest, run\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1])\n"
        "    items = manifest(folder, folder / 'clip.mp4', ['the box', 'the box 🚗'])\n"
        "    assert run(items, folder / 'out') == 0, index(folder / 'out')\n"
    )
    encode(tmp_path / "clip.mp4", map(numbered, range(2)))
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    done = run(tmp_path, str(tmp_path / "program.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr.decode("cp1252")


def test_output_that_nobody_reads_is_no_fault(tmp_path: Path) -> None:
    program = (
        "import os, sys; from langtrack_core import cli\n"
        "reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 1)\n"
        "sys.exit(cli.main(['weights', 'list']))"
    )
    done = run(tmp_path, "-c", program)
    assert done.returncode == 141
    assert b"langtrack:" not in done.stderr and b"BrokenPipe" not in done.stderr, done.stderr.decode()
