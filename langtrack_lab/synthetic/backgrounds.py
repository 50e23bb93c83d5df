"""Backgrounds: sky, grass, road, sand, water, a table, made of noise in perspective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]  # (H, W, 3), about 0 to 255


@dataclass(frozen=True)
class Background:
    """A painted background and where objects can be put on it.

    Attributes:
        name: key of `BACKGROUNDS`.
        rgb: ``(H, W, 3)`` uint8, larger than the picture by `pad` on every side, so that the camera can move.
        pad: pixels.
        horizon: row (in picture coordinates) where the ground begins, None for a view without a horizon.
        px_per_metre: at the bottom row of the picture; shrinks linearly to the horizon.
    """

    name: str
    rgb: NDArray[np.uint8]
    pad: int
    horizon: float | None
    px_per_metre: float


def noise(
    rng: np.random.Generator, size_hw: tuple[int, int], cells: float, octaves: int, stretch: float = 1.0
) -> Picture:
    """``(H, W)`` float32 fractal noise of mean about 0 and range about -1 to 1.

    Args:
        cells: grid cells of the coarsest octave along the height.
        stretch: cells are this many times wider than high.
    """
    height, width = size_hw
    total = np.zeros(size_hw, np.float32)
    weight = 0.5
    for _ in range(octaves):
        rows = int(np.clip(round(cells), 2, height))
        columns = int(np.clip(round(cells * width / height / stretch), 2, width))
        grid = rng.random((rows, columns), dtype=np.float32) - 0.5
        total += (2.4 * weight) * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2.1, weight * 0.62
    return total


def _rgb(values: tuple[float, ...]) -> Picture:
    return np.array(values, np.float32)


def _blend(shape_hw: tuple[int, int], top: tuple[float, ...], bottom: tuple[float, ...]) -> Picture:
    ramp = np.linspace(0, 1, shape_hw[0], dtype=np.float32)[:, None, None]
    column = _rgb(top) * (1 - ramp) + _rgb(bottom) * ramp
    return np.repeat(column, shape_hw[1], axis=1)


def _perspective(texture: Picture, size_hw: tuple[int, int], near: float = 0.16) -> Picture:
    """A flat texture laid on the ground: its rows crowd together towards the top edge (the horizon)."""
    height, width = size_hw
    below = (np.arange(height, dtype=np.float32) + 0.5) / height
    distance = 1 / (below + near)
    x = (np.arange(width, dtype=np.float32) - width / 2)[None, :] * (distance * near * 4.0)[:, None]
    y = np.repeat((distance * near * 2.6 * texture.shape[0])[:, None], width, axis=1)
    x = x + texture.shape[1] / 2
    warped = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return warped.astype(np.float32, copy=False)


def _sky(rng: np.random.Generator, size_hw: tuple[int, int]) -> Picture:
    top, bottom = (
        ((88, 144, 214), (190, 214, 236)),
        ((120, 150, 186), (216, 220, 222)),
        ((70, 112, 186), (236, 206, 178)),
        ((156, 166, 176), (206, 208, 210)),
    )[rng.integers(4)]
    sky = _blend(size_hw, top, bottom)
    cloud = np.clip(noise(rng, size_hw, 2.2, 6, 2.5) * 1.4 + rng.uniform(-0.35, 0.25), 0, 0.85)[..., None]
    return sky + (_rgb((246, 246, 248)) - sky) * cloud


def _ridge(rng: np.random.Generator, width: int, steps: tuple[int, ...]) -> Picture:
    """``(width,)`` a skyline of range about -1 to 1: bumps of as many per picture width as the steps say."""
    line = np.zeros((1, width), np.float32)
    for i, bumps in enumerate(steps):
        grid = rng.random((1, max(2, min(bumps, width))), dtype=np.float32) * 2 - 1
        line += cv2.resize(grid, (width, 1), interpolation=cv2.INTER_CUBIC) * np.float32(0.6**i)
    return line[0] / 1.6


def _hills(rng: np.random.Generator, sky: Picture) -> None:
    """Hazy hills and the edge of a wood along the lower edge of the sky, in place."""
    height, width = sky.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    for share, colour, steps in (
        (0.30, (134, 154, 168), (3, 7, 15)),
        (0.20, (58, 84, 60), (5, 22, 48, 90)),
    ):
        top = height * (1 - share * (0.75 + 0.5 * _ridge(rng, width, steps)))
        cover = np.clip(rows - top[None, :], 0, 1)[..., None]
        leaves = noise(rng, (height, width), 16, 3) * (0.5 if len(steps) > 3 else 0.12)
        lit = 1.25 - 0.5 * np.clip((rows - top[None, :]) / max(height * share, 1), 0, 1)
        sky += (_rgb(colour) * ((1 + leaves) * lit)[..., None] * rng.uniform(0.85, 1.1) - sky) * cover


def _grass(rng: np.random.Generator, size_hw: tuple[int, int], flat: bool = False) -> Picture:
    base = _rgb(((92, 132, 52), (110, 136, 60), (78, 122, 58), (132, 140, 78))[rng.integers(4)])
    texture = noise(rng, (320, 480), 4, 3) * 0.22 + noise(rng, (320, 480), 90, 2, 0.5) * 0.40
    field = cv2.resize(texture, size_hw[::-1]) if flat else _perspective(texture, size_hw)
    blades = noise(rng, size_hw, 60, 2, 0.25) * 0.16
    patches = noise(rng, size_hw, 3, 2, 2.0)[..., None] * _rgb((26, 10, -4))
    return base * (1 + (field + blades)[..., None]) + patches


def _sand(rng: np.random.Generator, size_hw: tuple[int, int]) -> Picture:
    base = _rgb(((214, 190, 148), (198, 176, 138), (226, 206, 168))[rng.integers(3)])
    texture = noise(rng, (320, 480), 10, 4, 2.5) * 0.16 + noise(rng, (320, 480), 150, 1) * 0.08
    return base * (1 + _perspective(texture, size_hw)[..., None])


def _water(rng: np.random.Generator, size_hw: tuple[int, int]) -> Picture:
    deep = ((36, 84, 112), (52, 104, 128), (46, 92, 96), (70, 104, 140))[rng.integers(4)]
    water = _blend(size_hw, tuple(0.45 * v + 110 for v in deep), deep)
    texture = noise(rng, (360, 480), 22, 4, 5.0)
    ripples = _perspective(texture, size_hw, 0.10)
    return water * (1 + 0.30 * ripples[..., None]) + np.clip(ripples - 0.55, 0, 1)[..., None] * 170


def _asphalt(rng: np.random.Generator, size_hw: tuple[int, int]) -> Picture:
    base = np.float32(rng.uniform(84, 128)) + _rgb((0, 1, 4))
    texture = noise(rng, size_hw, 120, 2) * 0.10 + noise(rng, size_hw, 3, 4, 4.0) * 0.16
    return base * (1 + texture[..., None])


def _road(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    height, width = size_hw
    sky = _sky(rng, (horizon, width))
    _hills(rng, sky)
    ground = _grass(rng, (height - horizon, width))
    rows = ground.shape[0]
    top, bottom = int(rows * rng.uniform(0.16, 0.24)), int(rows * rng.uniform(0.93, 1.0))
    road = _asphalt(rng, (bottom - top, width))
    line = np.zeros(road.shape[:2], np.float32)
    for share in (0.03, 0.97):
        y = int(share * road.shape[0])
        line[max(0, y - 1) : y + 1 + road.shape[0] // 60] = 1
    y, thick, dash = int(0.42 * road.shape[0]), max(2, road.shape[0] // 36), max(12, width // 9)
    line[y : y + thick] = ((np.arange(width) + rng.integers(dash)) % dash < dash * 0.55)[None, :]
    wear = np.clip(0.9 + 0.5 * noise(rng, road.shape[:2], 40, 2), 0.2, 1)
    road += (_rgb((226, 224, 214)) - road) * (line * wear)[..., None]
    ground[top:bottom] = road
    ground[max(0, top - rows // 40) : top] = _rgb((168, 166, 160))  # the kerb
    return np.concatenate([sky, ground])


def _park(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    sky = _sky(rng, (horizon, size_hw[1]))
    _hills(rng, sky)
    return np.concatenate([sky, _grass(rng, (size_hw[0] - horizon, size_hw[1]))])


def _beach(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    height, width = size_hw
    ground = _sand(rng, (height - horizon, width))
    sea = _water(rng, (max(4, int((height - horizon) * rng.uniform(0.14, 0.26))), width))
    edge = sea.shape[0] - 3 - 5 * (1 + noise(rng, (2, width), 2, 3, 0.05)[0])
    wet = np.clip(edge[None, :] - np.arange(sea.shape[0])[:, None], 0, 1)[..., None].astype(np.float32)
    foam = np.exp(-((edge[None, :] - np.arange(sea.shape[0])[:, None]) ** 2) / 8)[..., None].astype(
        np.float32
    )
    shore = ground[: sea.shape[0]]
    shore += (sea - shore) * wet
    shore += (250 - shore) * foam * 0.8
    return np.concatenate([_sky(rng, (horizon, width)), ground])


def _lake(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    sky = _sky(rng, (horizon, size_hw[1]))
    _hills(rng, sky)
    return np.concatenate([sky, _water(rng, (size_hw[0] - horizon, size_hw[1]))])


def _open_sky(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    return _sky(rng, size_hw)


def _lawn(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    return _grass(rng, size_hw, flat=True)


def _table(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    height, width = size_hw
    wall_colour = _rgb(((196, 188, 174), (150, 164, 170), (176, 150, 130), (208, 208, 204))[rng.integers(4)])
    wall = wall_colour * (1 + 0.12 * noise(rng, (horizon, width), 2, 2)[..., None])
    base = _rgb(((150, 102, 62), (178, 134, 88), (104, 68, 44), (190, 156, 116))[rng.integers(4)])
    grain = noise(rng, (320, 480), 26, 5, 12.0)
    rings = np.sin((grain * 1.3 + np.linspace(0, 22, 320, dtype=np.float32)[:, None]) * 3.0)
    texture = 0.16 * grain + 0.07 * rings
    seams = (np.arange(320) % 64 < 2).astype(np.float32)[:, None] * np.ones((1, 480), np.float32)
    wood = base * (1 + _perspective(texture - 0.35 * seams, (height - horizon, width), 0.4)[..., None])
    wood[:3] *= 0.6
    wall *= np.linspace(1.05, 0.82, horizon, dtype=np.float32)[:, None, None]
    return np.concatenate([wall, wood])


def _under_water(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    water = _blend(size_hw, (78, 168, 190), (14, 56, 88)) * rng.uniform(0.8, 1.1)
    caustics = 1 - np.abs(noise(rng, size_hw, 7, 3, 1.6)) * 2.2
    fade = np.linspace(1, 0.15, size_hw[0], dtype=np.float32)[:, None]
    water += (np.clip(caustics, 0, 1) ** 3 * fade)[..., None] * _rgb((60, 80, 76))
    bed = int(size_hw[0] * 0.86)
    sand = _sand(rng, (size_hw[0] - bed, size_hw[1])) * _rgb((0.42, 0.58, 0.58))
    ramp = np.linspace(0, 1, sand.shape[0], dtype=np.float32)[:, None, None] ** 0.4
    water[bed:] += (sand - water[bed:]) * ramp
    return water


def _from_above(rng: np.random.Generator, size_hw: tuple[int, int], horizon: int) -> Picture:
    height, width = size_hw
    ground = _asphalt(rng, size_hw)
    wear = np.clip(0.85 + 0.5 * noise(rng, size_hw, 40, 2), 0.2, 1)
    mark = np.zeros(size_hw, np.float32)
    lanes = int(rng.integers(3, 5))
    for i in range(lanes + 1):
        y, thick, dash = int((0.08 + 0.84 * i / lanes) * height), max(2, height // 90), max(16, width // 7)
        solid = i in (0, lanes)
        mark[y : y + thick] = (
            1 if solid else ((np.arange(width) + rng.integers(dash)) % dash < dash * 0.5)[None, :]
        )
    ground += (_rgb((228, 226, 214)) - ground) * (mark * wear)[..., None]
    verge = int(0.045 * height)
    grass = _grass(rng, (height, width), flat=True)
    ground[:verge], ground[-verge:] = grass[:verge], grass[-verge:]
    return ground


@dataclass(frozen=True)
class BackgroundSpec:
    """How a background is painted, and which objects belong there.

    Attributes:
        paint: paints ``size_hw`` with the horizon at the given row.
        horizon: range of the horizon's height as a share of the picture, None where there is none.
        picture_metres: range of the height of the picture at the nearest ground, in metres.
        on_ground: categories that stand (or swim) on the ground.
        in_air: categories that float anywhere in the picture.
    """

    paint: Callable[[np.random.Generator, tuple[int, int], int], Picture]
    horizon: tuple[float, float] | None
    picture_metres: tuple[float, float]
    on_ground: tuple[str, ...] = ()
    in_air: tuple[str, ...] = ()


BACKGROUNDS: dict[str, BackgroundSpec] = {
    "road": BackgroundSpec(
        _road, (0.22, 0.40), (4.5, 8.0), ("car", "car", "truck", "bus", "man", "woman", "dog"), ("balloon",)
    ),
    "park": BackgroundSpec(
        _park,
        (0.25, 0.45),
        (2.4, 5.5),
        ("man", "woman", "dog", "ball", "tree", "box"),
        ("balloon", "kite", "bird"),
    ),
    "beach": BackgroundSpec(
        _beach, (0.22, 0.42), (2.4, 5.0), ("man", "woman", "dog", "ball", "box"), ("kite", "bird", "balloon")
    ),
    "lake": BackgroundSpec(_lake, (0.25, 0.42), (3.4, 8.0), ("boat", "boat", "duck"), ("bird", "balloon")),
    "sky": BackgroundSpec(_open_sky, None, (3.0, 7.0), (), ("balloon", "kite", "bird")),
    "lawn": BackgroundSpec(_lawn, None, (3.0, 6.0), ("ball", "dog", "duck", "box", "man", "woman"), ()),
    "table": BackgroundSpec(_table, (0.25, 0.50), (1.8, 3.4), ("cup", "box", "ball", "cup"), ()),
    "pond": BackgroundSpec(_under_water, None, (2.0, 4.5), (), ("fish",)),
    "aerial": BackgroundSpec(_from_above, None, (7.0, 12.0), ("car from above",), ()),
}
"""All backgrounds of the scenes, by name."""


def paint_background(rng: np.random.Generator, name: str, size_hw: tuple[int, int]) -> Background:
    """A background of one of the `BACKGROUNDS`, a little larger than ``size_hw``."""
    spec = BACKGROUNDS[name]
    pad = max(6, round(0.05 * max(size_hw)))
    height, width = size_hw[0] + 2 * pad, size_hw[1] + 2 * pad
    share = rng.uniform(*spec.horizon) if spec.horizon else None
    horizon = None if share is None else share * size_hw[0]
    row = 0 if horizon is None else round(horizon) + pad
    rgb = spec.paint(rng, (height, width), row)
    metres = rng.uniform(*spec.picture_metres)
    return Background(name, np.clip(rgb, 0, 255).astype(np.uint8), pad, horizon, size_hw[0] / metres)
