"""Both trainers in small, on trees of a few pictures that are written here; and two processes of them.

Run as a module by torchrun-like environment variables, it trains each branch for a few steps:
``python tests/helpers/tiny_training.py DATA OUT``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from ports import free_port

from langtrack_core.dmn.lite import Backbone, LiteConfig, LiteDMN
from langtrack_core.dmn.vocabulary import Vocabulary
from langtrack_core.siammask.lite import LiteNetwork
from langtrack_lab.training import DistributedContext, Settings, fit, init_distributed
from langtrack_lab.training.language import LanguageRecipe, LanguageTrainer
from langtrack_lab.training.tracker import TrackerRecipe, TrackerTrainer

WORDS = ("the", "red", "disc", "a", "frisbee", "grass")


# --- data --------------------------------------------------------------------------------------------------


def write_data(root: Path) -> Path:
    """davis/, coco/, saliency/ and persons/: a red disc on green noise in every picture."""

    def draw(path: Path, centre: tuple[int, int], mask_path: Path | None = None) -> None:
        rng = np.random.default_rng(centre[0])
        rgb = rng.integers(60, 100, (80, 120, 3)).astype(np.uint8)
        rgb[..., 1] += 60
        mask = cv2.circle(np.zeros((80, 120), np.uint8), centre, 18, 255, -1)
        rgb[mask > 0] = (200, 30, 30)
        for target, picture in ((path, rgb[..., ::-1]), (mask_path, mask)):
            if target is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(target), picture)

    images, annotations = [], []
    for i in range(4):
        x = 40 + 10 * i
        draw(root / "coco" / "images" / f"{i}.jpg", (x, 40))
        draw(root / "persons" / "images" / f"{i}.jpg", (x, 40))
        draw(root / "saliency" / "images" / f"{i}.jpg", (x, 40), root / "saliency" / "masks" / f"{i}.png")
        draw(
            root / "davis" / "JPEGImages" / "disc" / f"{i:05d}.jpg",
            (60 + 4 * i, 40),
            root / "davis" / "Annotations" / "disc" / f"{i:05d}.png",
        )
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 120, "height": 80})
        angles = np.arange(8) * np.pi / 4
        outline = np.stack([x + 18 * np.cos(angles), 40 + 18 * np.sin(angles)], 1).ravel().tolist()
        annotation = {"id": i, "image_id": i, "category_id": 1, "bbox": [x - 18, 22, 36, 36], "iscrowd": 0}
        annotations.append(annotation | {"segmentation": [outline]})
    categories = [{"id": 1, "name": "frisbee"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (root / "coco" / "instances.json").write_text(json.dumps(coco))
    boxes = [{k: v for k, v in a.items() if k != "segmentation"} for a in annotations]
    (root / "persons" / "boxes.json").write_text(json.dumps(coco | {"annotations": boxes}))
    (root / "davis" / "expressions.json").write_text(
        json.dumps({"disc": ["the red disc", "a disc on the grass"]})
    )
    return root


# --- trainers ----------------------------------------------------------------------------------------------


def language_trainer(data: Path, out: Path, **recipe) -> tuple[LanguageTrainer, Settings]:
    """A small `LiteDMN` with a random backbone; every salient thing is a disc."""
    torch.manual_seed(0)
    words = torch.nn.functional.normalize(torch.randn(len(WORDS), 12), dim=1)
    classes = torch.nn.functional.normalize(torch.randn(1000, 12), dim=1)
    network = LiteDMN(words, classes, LiteConfig(channels=16, hidden=16, filters=2, skip8=8, skip4=8))
    settings = Settings(out, seed=5, workers=0, save_every=2, measure_every=1000)
    small = LanguageRecipe(**{"steps": 4, "batch": 4, "queries": 1, "precision": "float32"} | recipe)
    vocabulary, name_of = Vocabulary(WORDS, "plain"), lambda key, crop: ("disc",)
    return LanguageTrainer(network, vocabulary, Backbone(), name_of, small, settings, data), settings


def tracker_trainer(data: Path, out: Path, **recipe) -> tuple[TrackerTrainer, Settings]:
    """A small `LiteNetwork` with random weights; of the backbone only the last stage learns."""
    torch.manual_seed(0)
    network = LiteNetwork(channels=16, mask_rank=8)
    settings = Settings(out, seed=5, workers=0, save_every=2, measure_every=1000)
    small = {"steps": 4, "batch": 4, "precision": "float32", "frozen_stages": 4} | recipe
    return TrackerTrainer(network, TrackerRecipe(**small), settings, data), settings


TRAINERS = {"language": language_trainer, "tracker": tracker_trainer}


def recorded(
    trainer, settings: Settings, context: DistributedContext | None = None, sigterm_after: int | None = None
) -> list[dict[str, float]]:
    """`fit`, and the terms of the loss at every step; with SIGTERM after that many of them."""
    steps = []

    def on_step(step, losses):
        steps.append(losses)
        if len(steps) == sigterm_after:
            os.kill(os.getpid(), signal.SIGTERM)

    fit(trainer, settings, context, on_step)
    return steps


def tensorboard_content(folder: Path) -> tuple[set[str], dict[str, tuple[int, int]]]:
    """Names of the scalars in TensorBoard's files, and the pictures with their width and height."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    images = {name: events.Images(name)[-1] for name in events.Tags()["images"]}
    return set(events.Tags()["scalars"]), {name: (i.width, i.height) for name, i in images.items()}


# --- two processes -----------------------------------------------------------------------------------------


def in_two_processes(data: Path, out: Path) -> None:
    """Both trainers in two gloo processes, as torchrun would start them."""
    root = Path(__file__).resolve().parents[2]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, str(Path(__file__).resolve()), str(data), str(out)]
    running = [
        subprocess.Popen(
            command, cwd=root, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **common, "RANK": str(rank), "PYTHONPATH": str(root)},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        errors = [process.communicate(timeout=240)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], errors


def steepest(trainer):
    """Plain gradient descent. Adam divides by the gradient: where that is zero but for rounding, as for a
    bias before a normalisation, the rounding decides."""
    parameters = [p for p in trainer.network.parameters() if p.requires_grad]
    trainer.optimiser = lambda: torch.optim.SGD(parameters, momentum=0.9)
    trainer.rate = lambda step: 0.02
    return trainer


def _train_both(data: Path, out: Path) -> None:
    with init_distributed() as context:
        for name, make in TRAINERS.items():
            trainer, settings = make(data, out / name, steps=2, batch=2)
            losses = recorded(steepest(trainer), settings, context)
            (out / f"{name}-{context.rank}.json").write_text(json.dumps(losses))
        (out / f"largest-{context.rank}.json").write_text(json.dumps(context.max(context.rank)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    _train_both(*map(Path, sys.argv[1:3]))
