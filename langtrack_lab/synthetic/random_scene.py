"""Who plays in a scene: actors on paths, a hand-held camera, and whole scenes by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..colours import COLOURS
from .backgrounds import STAGES, Stage, build_stage
from .objects import HAIR, KINDS, SKIN, Look
from .renderer import Actor, Camera, Scene, film

CYCLES: dict[str, tuple[float, float]] = {
    "bird": (0.5, 0.0), "fish": (0.3, 0.0), "kite": (0.2, 0.0), "man": (0.0, 7.0), "woman": (0.0, 7.0),
    "dog": (0.0, 4.4), "car": (0.0, -5.2), "bus": (0.0, -7.2), "truck": (0.0, -7.0),
}  # fmt: skip
"""Radians of a category's cycle per frame, and per own height travelled (a wheel of radius r turns 1 / r)."""


def random_camera(rng: np.random.Generator, n_frames: int, pad: int) -> Camera:
    """A hand that is nearly still, daylight, an average sensor."""
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


def random_look(rng: np.random.Generator, colour: str) -> Look:
    """A shade of the colour and a variant of the drawing."""
    shade = np.clip(np.array(COLOURS[colour].paint) * rng.uniform(0.85, 1.12) + rng.normal(0, 7, 3), 6, 250)
    return Look(
        colour=tuple(shade),
        skin=SKIN[rng.integers(len(SKIN))],
        hair=HAIR[rng.integers(len(HAIR))],
        style=float(rng.random()),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def make_actor(
    category: str,
    colour: str,
    look: Look,
    foot_xy: NDArray[np.floating],
    height_px: NDArray[np.floating],
    *,
    size: str = "medium",
    on_ground: bool = True,
    faces_right: bool = False,
    tilt_deg: float = 0.0,
) -> Actor:
    """An actor on a path: which way it faces, its steps and its rolling follow from the path.

    ``faces_right`` is for one that has not moved yet; who has moved faces the way it last went.
    """
    step_x = np.diff(foot_xy[:, 0], append=foot_xy[-1:, 0])
    facing = np.empty(len(foot_xy), bool)
    for t, step in enumerate(step_x):
        faces_right = step > 0 if abs(step) > 0.05 else faces_right
        facing[t] = faces_right
    travelled = (foot_xy[:, 0] - foot_xy[0, 0]) / height_px  # in heights of the thing itself
    turn = np.full(len(foot_xy), tilt_deg)
    if category == "ball":
        turn, facing = turn + np.degrees(2 * travelled), np.zeros_like(facing)  # a mirror would turn it back
    distance = np.cumsum(np.abs(np.diff(foot_xy[:, 0], prepend=foot_xy[:1, 0]))) / height_px
    per_frame, per_height = CYCLES.get(category, (0.0, 0.0))
    phase = look.phase + per_frame * np.arange(len(foot_xy)) + per_height * distance
    return Actor(category, colour, size, foot_xy, height_px, look, facing, turn, phase, on_ground)


def _random_actor(
    rng: np.random.Generator,
    stage: Stage,
    category: str,
    colour: str,
    x_share: float,
    n_frames: int,
    size_hw: tuple[int, int],
) -> Actor:
    height, width = size_hw
    setting, kind = STAGES[stage.name], KINDS[category]
    on_ground = category in setting.on_ground
    factor = float(rng.choice((0.62, 1.0, 1.5))) * rng.uniform(0.92, 1.08)
    size = "small" if factor < 0.75 else "large" if factor > 1.3 else "medium"
    depth = rng.uniform(0.22, 1.0) if on_ground and stage.horizon is not None else 1.0  # 0: at the horizon
    tall = kind.metres * stage.px_per_metre * factor * (0.25 + 0.75 * depth)
    tall = float(np.clip(tall, 0.07 * height, min(0.72 * height, 0.62 * width / kind.width)))
    if on_ground and stage.horizon is not None:
        y = stage.horizon + depth * (height * 0.97 - stage.horizon)
    else:  # anywhere in the picture, most of the thing inside
        y = rng.uniform(min(0.85 * tall, 0.8 * height), 0.97 * height)
    x = (x_share + rng.uniform(-0.06, 0.06)) * width
    still = category in ("tree", "box", "cup") or rng.random() < 0.25
    direction = float(rng.choice((-1.0, 1.0)))
    speed = 0.0 if still else direction * (rng.uniform(0.008, 0.044) * tall * kind.width + 0.3)
    t = np.arange(n_frames, dtype=np.float64)
    foot = np.stack([x + speed * t, np.full(n_frames, y)], axis=1)
    if not on_ground:
        foot[:, 1] += 0.05 * height * np.sin(2 * np.pi * (t / rng.uniform(40, 90) + rng.random()))
    tilt = rng.uniform(0, 360) if category == "ball" else 0.0 if on_ground else rng.uniform(-12, 12)
    return make_actor(
        category, colour, random_look(rng, colour), foot, np.full(n_frames, tall),
        size=size, on_ground=on_ground, faces_right=direction > 0, tilt_deg=tilt,
    )  # fmt: skip


def render_scene(rng: np.random.Generator, size_hw: tuple[int, int], n_frames: int, n_objects: int) -> Scene:
    """A scene by chance, the same for the same generator state.

    About half of the objects repeat the category of another one, so that a class name alone is often not
    enough to tell them apart.
    """
    stage = build_stage(rng, str(rng.choice(list(STAGES))), size_hw)
    setting = STAGES[stage.name]
    pool = setting.on_ground + setting.in_air
    actors: list[Actor] = []
    slots = (rng.permutation(n_objects) + 0.5) / max(n_objects, 1)
    for x_share in slots:
        repeat = actors and rng.random() < 0.55
        category = actors[rng.integers(len(actors))].category if repeat else str(rng.choice(pool))
        colours = KINDS[category].colours or tuple(COLOURS)
        actors.append(
            _random_actor(rng, stage, category, str(rng.choice(colours)), x_share, n_frames, size_hw)
        )
    actors.sort(key=lambda actor: (actor.on_ground, actor.foot_xy[0, 1]))  # far things first
    return film(rng, stage, actors, random_camera(rng, n_frames, stage.pad), size_hw)
