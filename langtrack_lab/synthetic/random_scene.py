"""Objects on paths, a hand-held camera, and whole scenes, all at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..colours import COLOURS
from .backgrounds import BACKGROUNDS, Background, paint_background
from .objects import HAIR, OBJECTS, SKIN, Style
from .renderer import Camera, MovingObject, Scene, render


def random_camera(rng: np.random.Generator, n_frames: int, pad: int) -> Camera:
    """A camera in a nearly still hand, in daylight, with an average sensor."""
    t = np.arange(n_frames)[:, None]
    period = rng.uniform(40, 160, 2)
    shift = rng.uniform(0.1, 0.6, 2) * pad * np.sin(2 * np.pi * (t / period + rng.random(2)))
    side = rng.choice((-1.0, 1.0)) * rng.uniform(0.15, 0.7)
    return Camera(
        shift_xy=shift,
        roll_deg=rng.uniform(0, 0.5) * np.sin(2 * np.pi * t[:, 0] / rng.uniform(60, 200)),
        zoom=1.02 + 0.015 * np.sin(2 * np.pi * t[:, 0] / rng.uniform(80, 240)),
        light_xy=(side, -float(np.sqrt(1 - side**2))),
        exposure=float(rng.uniform(0.78, 1.15)),
        tint=tuple(rng.uniform(0.95, 1.05, 3)),
        blur_px=float(rng.uniform(0.3, 0.9)),
        noise_std=float(rng.uniform(1.0, 6.0)),
        shadow=float(rng.uniform(0.15, 0.5)),
    )


def random_style(rng: np.random.Generator, colour: str) -> Style:
    """A shade of the colour and a variant of the drawing."""
    shade = np.clip(np.array(COLOURS[colour].paint) * rng.uniform(0.85, 1.12) + rng.normal(0, 7, 3), 6, 250)
    return Style(
        colour=tuple(shade),
        skin=SKIN[rng.integers(len(SKIN))],
        hair=HAIR[rng.integers(len(HAIR))],
        variant=float(rng.random()),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def moving_object(
    category: str,
    colour: str,
    style: Style,
    foot_xy: NDArray[np.floating],
    height_px: NDArray[np.floating],
    *,
    on_ground: bool = True,
    faces_right: bool = False,
    tilt_deg: float = 0.0,
) -> MovingObject:
    """An object on a path ``foot_xy`` (n_frames, 2), from which its facing, steps and rolling follow.

    ``faces_right`` is the facing before its first step; later it faces the way it last went.
    """
    step_x = np.diff(foot_xy[:, 0], append=foot_xy[-1:, 0])
    facing = np.empty(len(foot_xy), bool)
    for t, step in enumerate(step_x):
        faces_right = step > 0 if abs(step) > 0.05 else faces_right
        facing[t] = faces_right
    travelled = (foot_xy[:, 0] - foot_xy[0, 0]) / height_px  # in heights of the object itself
    turn = np.full(len(foot_xy), tilt_deg)
    if category == "ball":
        turn, facing = turn + np.degrees(2 * travelled), np.zeros_like(facing)  # a mirror would turn it back
    distance = np.cumsum(np.abs(np.diff(foot_xy[:, 0], prepend=foot_xy[:1, 0]))) / height_px
    per_frame, per_height = OBJECTS[category].phase_rates or (0.0, 0.0)
    phase = style.phase + per_frame * np.arange(len(foot_xy)) + per_height * distance
    return MovingObject(category, colour, foot_xy, height_px, style, facing, turn, phase, on_ground)


def _random_object(
    rng: np.random.Generator,
    background: Background,
    category: str,
    colour: str,
    x_share: float,
    n_frames: int,
    size_hw: tuple[int, int],
) -> MovingObject:
    height, width = size_hw
    spec, on_ground = OBJECTS[category], category in BACKGROUNDS[background.name].on_ground
    factor = float(rng.choice((0.62, 1.0, 1.5))) * rng.uniform(0.92, 1.08)
    # 0 is at the horizon, 1 at the lower edge of the picture.
    depth = rng.uniform(0.22, 1.0) if on_ground and background.horizon is not None else 1.0
    tall = spec.metres * background.px_per_metre * factor * (0.25 + 0.75 * depth)
    tall = float(np.clip(tall, 0.07 * height, min(0.72 * height, 0.62 * width / spec.width)))
    if on_ground and background.horizon is not None:
        y = background.horizon + depth * (height * 0.97 - background.horizon)
    else:  # anywhere in the picture, most of the object inside
        y = rng.uniform(min(0.85 * tall, 0.8 * height), 0.97 * height)
    x = (x_share + rng.uniform(-0.06, 0.06)) * width
    still = category in ("tree", "box", "cup") or rng.random() < 0.25
    direction = float(rng.choice((-1.0, 1.0)))
    speed = 0.0 if still else direction * (rng.uniform(0.008, 0.044) * tall * spec.width + 0.3)
    t = np.arange(n_frames, dtype=np.float64)
    foot = np.stack([x + speed * t, np.full(n_frames, y)], axis=1)
    if not on_ground:
        foot[:, 1] += 0.05 * height * np.sin(2 * np.pi * (t / rng.uniform(40, 90) + rng.random()))
    tilt = rng.uniform(0, 360) if category == "ball" else 0.0 if on_ground else rng.uniform(-12, 12)
    return moving_object(
        category, colour, random_style(rng, colour), foot, np.full(n_frames, tall),
        on_ground=on_ground, faces_right=direction > 0, tilt_deg=tilt,
    )  # fmt: skip


def render_random_scene(
    rng: np.random.Generator, size_hw: tuple[int, int], n_frames: int, n_objects: int
) -> Scene:
    """A random scene, the same for the same state of the generator.

    About half of the objects repeat the category of another one, so that a class name alone is often not
    enough to tell them apart.
    """
    background = paint_background(rng, str(rng.choice(list(BACKGROUNDS))), size_hw)
    spec = BACKGROUNDS[background.name]
    pool = spec.on_ground + spec.in_air
    objects: list[MovingObject] = []
    slots = (rng.permutation(n_objects) + 0.5) / max(n_objects, 1)
    for x_share in slots:
        repeat = objects and rng.random() < 0.55
        category = objects[rng.integers(len(objects))].category if repeat else str(rng.choice(pool))
        colours = OBJECTS[category].colours or tuple(COLOURS)
        objects.append(
            _random_object(rng, background, category, str(rng.choice(colours)), x_share, n_frames, size_hw)
        )
    objects.sort(key=lambda o: (o.on_ground, o.foot_xy[0, 1]))  # far ones first
    return render(rng, background, objects, random_camera(rng, n_frames, background.pad), size_hw)
