"""A tracker for batches of tests: quick to load in a worker, and does what the expression tells it to."""

from __future__ import annotations

import csv
import os
import signal
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fake_branches import fake_tracker

from langtrack_core.run.command import run_options
from langtrack_core.types import Estimate, Frame, LangTrackError
from langtrack_lab.batch import command
from langtrack_lab.batch.worker import Task


def puppet() -> Any:
    """Follows "the box" on a fixed place. Other expressions: "fault", "hang", "die", "die once <file>",
    "wait <file>" (until it is there), "refuse", "absent"."""

    def there(frame: Frame) -> Estimate:
        mask = np.zeros(frame.size_hw, np.float32)
        mask[4:20, 8:24] = 1
        return Estimate.from_mask(mask, 0.9)

    def language(frame: Frame, text: str) -> Estimate:
        _act(text, frame.index)
        return Estimate.absent(frame.size_hw) if text == "absent" else there(frame)

    return fake_tracker(language, there)


def _act(text: str, frame: int) -> None:
    if text == "fault" and frame == 1:
        raise RuntimeError("told to")
    if text == "refuse":
        raise LangTrackError("The expression is one that is refused.")
    while text.startswith("wait") and not Path(text.removeprefix("wait").strip()).exists():
        time.sleep(0.02)
    if text == "hang" and frame == 1:
        time.sleep(600)
    if text == "die" and frame == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if text.startswith("die once") and frame == 1:
        flag = Path(text.removeprefix("die once").strip())
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def load() -> Any:
    return puppet()


def load_fails() -> Any:
    raise LangTrackError("There are no weights 'nowhere'.")


# --- running a batch ---------------------------------------------------------------------------------------


def manifest(folder: Path, clip: Path, expressions: list[str]) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["video", "expression", "id"])
        table.writerows([clip, text, f"item{number}"] for number, text in enumerate(expressions))
    return path


def arguments(path: Path, out: Path, *options: str) -> Namespace:
    parser = ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(path), "--out", str(out), "--quiet", *options])


def run(path: Path, out: Path, *options: str, load=load) -> int:
    args = arguments(path, out, *options)
    options_of_runs = replace(run_options(args), overwrite=True)
    return command.run_batch(args, Task(load, (out / "runs").resolve(), options=options_of_runs))


def index(out: Path) -> dict[str, dict[str, str]]:
    with (out / "index.csv").open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


def left_over(out: Path) -> list[str]:
    return [p.name for p in (out / "runs").iterdir() if p.name.startswith(".")]
