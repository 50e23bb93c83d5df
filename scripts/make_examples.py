"""Renders the example clips of `assets/examples` and writes down where the target is in every frame.

    .venv/bin/python -m scripts.make_examples

Each clip is ``NAME.mp4`` with ``NAME.json`` (expression, title, what to look for, seed) and
``NAME.groundtruth.txt`` (a row ``x,y,w,h`` in pixels per frame, ``nan`` when nothing of the target shows).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import xyxy_to_xywh
from langtrack_core.masks import enclosing_box
from langtrack_core.video import VideoWriter
from langtrack_lab.synthetic import (
    Scene,
    moving_object,
    paint_background,
    random_camera,
    random_style,
    render,
)
from langtrack_lab.synthetic.film import Film, focused
from langtrack_lab.synthetic.renderer import Camera, MovingObject

SIZE_HW = (360, 640)
FPS = 25
"""Size in pixels and frame rate of the example clips: small files that still look like a video."""

EXAMPLES_DIR = Path(__file__).resolve().parent.parent / "assets" / "examples"

Keys = list[tuple[float, float, float, float]]
"""Times in seconds, with x and y of the foot and the height in pixels; paths between them are straight, and
smooth at the keys."""


@dataclass(frozen=True)
class Example:
    """One clip.

    Attributes:
        name: stem of its files' names.
        expression: the expression that the page offers.
        title: label of its button.
        what_to_look_for: one sentence under the player.
        seed: of the background, the wording of colours and the noise.
        seconds: length.
        background: a key of `backgrounds.BACKGROUNDS`.
        make_objects: makes the objects, far ones first, for a generator and a number of frames.
        target: index of the one the expression means.
        focus_row: row of the picture whose ground is in focus.
        film: the look of its camera.
    """

    name: str
    expression: str
    title: str
    what_to_look_for: str
    seed: int
    seconds: float
    background: str
    make_objects: Callable[[np.random.Generator, int], list[MovingObject]]
    target: int
    focus_row: float
    film: Film

    @property
    def n_frames(self) -> int:
        return round(self.seconds * FPS)


def _path(keys: Keys, n_frames: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Feet ``(n_frames, 2)`` and heights ``(n_frames,)`` along the keys."""
    times, xs, ys, heights = (np.array(column, np.float64) for column in zip(*keys, strict=True))
    t = np.arange(n_frames) / FPS
    reach = np.hanning(2 * FPS // 3 + 1)
    rows = []
    for values in (xs, ys, heights):
        line = np.interp(t, times, values)
        padded = np.pad(line, len(reach) // 2, mode="reflect", reflect_type="odd")
        rows.append(np.convolve(padded, reach / reach.sum(), mode="valid"))
    return np.stack(rows[:2], axis=1), rows[2]


def _object(
    rng: np.random.Generator,
    n: int,
    category: str,
    colour: str,
    keys: Keys,
    variant: float,
    defocus_px: float = 0.0,
) -> MovingObject:
    """An object on the ground, on a path along the keys."""
    foot, height = _path(keys, n)
    style = replace(random_style(rng, colour), variant=variant, texture=1.0)
    item = moving_object(category, colour, style, foot, height)
    return replace(item, defocus_px=defocus_px)


def _crossing_cars(rng: np.random.Generator, n: int) -> list[MovingObject]:
    return [
        _object(rng, n, "truck", "green", [(0, 820, 206, 96), (5, -170, 206, 96)], variant=0.9),
        _object(rng, n, "car", "red", [(0, 70, 262, 72), (5, 560, 262, 72)], variant=0.2),
        _object(rng, n, "car", "blue", [(0, 640, 322, 84), (5, 30, 322, 84)], variant=0.8),
    ]


def _dog_comes_back(rng: np.random.Generator, n: int) -> list[MovingObject]:
    away_and_back: Keys = [
        (0, 330, 300, 92), (1.4, 560, 306, 94), (2.0, 740, 308, 96), (3.0, 740, 316, 98),
        (3.6, 560, 322, 102), (5.6, 150, 330, 106),
    ]  # fmt: skip
    return [
        _object(rng, n, "man", "grey", [(0, 470, 266, 142), (5.6, 380, 266, 142)], variant=0.6),
        _object(rng, n, "dog", "brown", away_and_back, variant=0.2),
    ]


def _three_boats(rng: np.random.Generator, n: int) -> list[MovingObject]:
    return [
        _object(rng, n, "boat", "yellow", [(0, 300, 196, 96), (5, 350, 196, 96)], variant=0.8),
        _object(rng, n, "boat", "red", [(0, 130, 270, 158), (5, 215, 272, 158)], variant=0.8),
        _object(rng, n, "boat", "red", [(0, 520, 282, 166), (5, 440, 280, 166)], variant=0.85),
        _object(rng, n, "duck", "brown", [(0, 40, 338, 46), (5, 330, 338, 46)], variant=0.9),
    ]


EXAMPLES = (
    Example(
        name="crossing-cars",
        expression="the red car",
        title="Two cars, one colour",
        what_to_look_for="The blue car passes in front of the red one; the track must stay on red.",
        seed=4,
        seconds=5,
        background="road",
        make_objects=_crossing_cars,
        target=1,
        focus_row=280,
        film=Film(exposure=1.15),
    ),
    Example(
        name="dog-comes-back",
        expression="the dog",
        title="Out of the picture and back",
        what_to_look_for="The dog runs off and comes back; in between the right answer is 'not there'.",
        seed=6,
        seconds=5.6,
        background="park",
        make_objects=_dog_comes_back,
        target=1,
        focus_row=310,
        film=Film(exposure=1.1),
    ),
    Example(
        name="boats-left-right",
        expression="the red boat on the right",
        title="Left or right",
        what_to_look_for="Two red boats: only the words 'on the right' tell them apart.",
        seed=11,
        seconds=5,
        background="lake",
        make_objects=_three_boats,
        target=2,
        focus_row=280,
        film=Film(exposure=1.1),
    ),
)


def render_example(example: Example, n_frames: int | None = None) -> Scene:
    """The clip, or its first frames; the same on every machine up to rounding of the drawing library."""
    rng = np.random.default_rng(example.seed)
    background = paint_background(rng, example.background, SIZE_HW)
    background = focused(background, example.focus_row, blur_px=2.6)
    objects = example.make_objects(rng, example.n_frames)
    camera = random_camera(rng, example.n_frames, background.pad)
    camera = replace(camera, shift_xy=camera.shift_xy + _shake(example))
    if n_frames is not None:
        camera = _first_frames(camera, n_frames)
    camera = replace(camera, exposure=1.0, noise_std=0.0, blur_px=0.7, shadow=0.55, film=example.film)
    return render(rng, background, objects, camera, SIZE_HW)


def _shake(example: Example) -> NDArray[np.floating]:
    """``(n_frames, 2)`` pixels by which a hand trembles: slow sways and quick small ones."""
    rng = np.random.default_rng(example.seed)
    shake = np.zeros((example.n_frames, 2))
    for std_px, width in ((3.0, 15), (1.1, 4)):
        steps = rng.standard_normal((example.n_frames + 6 * width, 2))
        kernel = np.hanning(6 * width + 1)
        smooth = np.stack([np.convolve(column, kernel, mode="valid") for column in steps.T], axis=1)
        shake += std_px * smooth / smooth.std()
    return shake


def _first_frames(camera: Camera, n: int) -> Camera:
    return replace(camera, shift_xy=camera.shift_xy[:n], roll_deg=camera.roll_deg[:n], zoom=camera.zoom[:n])


def ground_truth(scene: Scene, target: int) -> list[str]:
    """A row per frame: ``x,y,w,h`` of the rectangle around the visible part, or four times ``nan``."""
    rows = []
    for mask in scene.objects[target].masks:
        box = enclosing_box(mask)
        values = np.full(4, np.nan) if box is None else xyxy_to_xywh(box)
        rows.append(",".join(f"{value:g}" for value in values))
    return rows


def write_example(example: Example, folder: Path) -> None:
    scene = render_example(example)
    with VideoWriter(folder / f"{example.name}.mp4", FPS, crf=23) as writer:
        for frame in scene.frames:
            writer.write(frame)
    (folder / f"{example.name}.groundtruth.txt").write_text(
        "\n".join(ground_truth(scene, example.target)) + "\n"
    )
    card = {
        "expression": example.expression,
        "title": example.title,
        "what_to_look_for": example.what_to_look_for,
        "rendered": True,
        "seed": example.seed,
        "script": "scripts/make_examples.py",
    }
    (folder / f"{example.name}.json").write_text(json.dumps(card, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="which clips (default: all)")
    parser.add_argument("--out", type=Path, default=EXAMPLES_DIR)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {example.name for example in EXAMPLES}
    if unknown:
        parser.error(f"no such clip: {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        if not arguments.names or example.name in arguments.names:
            write_example(example, arguments.out)
            print(f"{example.name}: {example.n_frames} frames")


if __name__ == "__main__":
    main()
