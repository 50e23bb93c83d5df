"""The objects that can appear in a scene, drawn with a few shapes each.

A drawing has the height 1, its foot is at y = 1, and x goes from 0 to its width; it faces left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..colours import Rgb
from .canvas import Canvas, darker, lighter

SKIN: tuple[Rgb, ...] = ((236, 188, 156), (206, 150, 112), (150, 100, 70), (96, 62, 44))
"""Colours of skin, 0 to 255. They and those below stay when an object changes its colour: no red tyres."""
HAIR: tuple[Rgb, ...] = ((40, 28, 22), (96, 62, 34), (196, 156, 92), (120, 118, 116))
"""Colours of hair."""
GLASS: Rgb = (58, 76, 92)
"""Colour of window panes."""
RUBBER: Rgb = (28, 28, 30)
"""Colour of tyres."""


@dataclass(frozen=True)
class Style:
    """What makes one object look different from the next of its category.

    Attributes:
        colour, skin, hair: sRGB, 0 to 255.
        variant: in [0, 1), chooses between variants of the drawing.
        phase: of the walking or flapping cycle, in radians.
        texture: strength of the grain of cloth, coat or dust on it; 0 is plain paint.
    """

    colour: Rgb
    skin: Rgb
    hair: Rgb
    variant: float
    phase: float = 0.0
    texture: float = 0.0


# fmt: off
# One shape a line reads better here than one point a line.

# --- vehicles ----------------------------------------------------------------------------------------------


def _wheel(c: Canvas, x: float, y: float, r: float, phase: float) -> None:
    c.ellipse(x, y, r, r, RUBBER)
    c.ellipse(x, y, r * 0.66, r * 0.66, (150, 154, 160))
    c.ellipse(x, y, r * 0.56, r * 0.56, (70, 72, 78))
    for k in range(5):
        angle = phase + k * 2 * np.pi / 5
        c.line([(x, y), (x + 0.56 * r * np.cos(angle), y + 0.56 * r * np.sin(angle))], r * 0.2, (176, 180,
            186))
    c.ellipse(x, y, r * 0.16, r * 0.16, (90, 92, 98))


def _car(c: Canvas, k: Style) -> None:
    paint, estate = k.colour, k.variant > 0.5
    tail = ([(2.38, 0.05), (2.66, 0.14), (2.86, 0.44)] if estate else [(1.86, 0.05), (2.18, 0.16), (2.52,
        0.40)])
    glass_tail = ([(2.34, 0.12), (2.56, 0.20), (2.66, 0.42)] if estate else [(1.82, 0.12), (2.05, 0.19),
        (2.28, 0.41)])
    c.spline([(0.03, 0.66), (0.07, 0.52), (0.32, 0.46), (0.78, 0.42), (1.16, 0.12), (1.40, 0.05), *tail,
        (2.86, 0.47), (2.93, 0.60), (2.90, 0.80), (2.40, 0.86), (0.50, 0.86), (0.08, 0.82)], paint)
    c.spline([(0.90, 0.42), (1.22, 0.15), (1.44, 0.11), *glass_tail, (1.60, 0.44)], GLASS)
    c.poly([(1.22, 0.17), (1.40, 0.13), (1.20, 0.42), (1.02, 0.42)], lighter(GLASS, 0.28))
    c.line([(1.56, 0.10), (1.60, 0.44)], 0.06, darker(paint, 0.3))
    if estate:
        c.line([(2.16, 0.10), (2.26, 0.42)], 0.05, darker(paint, 0.3))
    c.poly([(0.06, 0.76), (2.92, 0.76), (2.88, 0.86), (0.10, 0.86)], darker(paint, 0.55))
    c.line([(0.14, 0.57), (2.84, 0.55)], 0.025, lighter(paint, 0.35))
    for points in ([(0.98, 0.44), (0.96, 0.74)], [(1.60, 0.44), (1.62, 0.76)], [(2.28, 0.44), (2.12, 0.60)]):
        c.line(points, 0.014, darker(paint, 0.5))
    c.line([(1.42, 0.51), (1.54, 0.51)], 0.03, darker(paint, 0.45))
    c.spline([(0.06, 0.55), (0.22, 0.50), (0.30, 0.54), (0.12, 0.60)], (250, 246, 214))
    c.spline([(2.76, 0.49), (2.87, 0.50), (2.90, 0.58), (2.80, 0.57)], (176, 22, 22))
    for x in (0.56, 2.30):
        c.ellipse(x, 0.80, 0.235, 0.235, darker(paint, 0.8))
        _wheel(c, x, 0.81, 0.19, k.phase)


def _bus(c: Canvas, k: Style) -> None:
    paint = k.colour
    c.poly([(0.03, 0.10), (0.12, 0.03), (2.78, 0.03), (2.86, 0.10), (2.88, 0.86), (0.02, 0.86)], paint)
    c.poly([(0.02, 0.58), (2.88, 0.58), (2.88, 0.66), (0.02, 0.66)], lighter(paint, 0.6))
    c.poly([(0.02, 0.78), (2.88, 0.78), (2.88, 0.87), (0.02, 0.87)], darker(paint, 0.5))
    c.poly([(0.03, 0.16), (0.20, 0.16), (0.20, 0.54), (0.03, 0.56)], lighter(GLASS, 0.15))
    for i in range(6):
        x = 0.56 + i * 0.385
        c.poly([(x, 0.16), (x + 0.34, 0.16), (x + 0.34, 0.50), (x, 0.50)], GLASS)
        c.poly([(x + 0.05, 0.16), (x + 0.15, 0.16), (x + 0.06, 0.50), (x, 0.50), (x, 0.36)], lighter(GLASS,
            0.22))
    c.poly([(0.26, 0.16), (0.50, 0.16), (0.50, 0.80), (0.26, 0.80)], darker(GLASS, 0.25))
    c.line([(0.38, 0.16), (0.38, 0.80)], 0.015, lighter(paint, 0.3))
    c.ellipse(0.07, 0.72, 0.04, 0.05, (250, 246, 214))
    for x in (0.78, 2.25):
        c.ellipse(x, 0.84, 0.165, 0.165, darker(paint, 0.8))
        _wheel(c, x, 0.86, 0.135, k.phase)


def _truck(c: Canvas, k: Style) -> None:
    paint, load = k.colour, (206, 206, 200)
    c.poly([(0.30, 0.72), (2.34, 0.72), (2.34, 0.82), (0.30, 0.82)], (52, 54, 58))
    c.poly([(0.78, 0.03), (2.36, 0.03), (2.36, 0.74), (0.78, 0.74)], load if k.variant > 0.45 else paint)
    for i in range(1, 6):
        c.line([(0.78 + i * 0.263, 0.04), (0.78 + i * 0.263, 0.73)], 0.012, darker(load if k.variant > 0.45
            else paint, 0.2))
    c.spline([(0.03, 0.60), (0.06, 0.48), (0.16, 0.24), (0.26, 0.18), (0.72, 0.18), (0.74, 0.50), (0.74,
        0.84), (0.40, 0.86), (0.04, 0.84)], paint)
    c.poly([(0.13, 0.46), (0.24, 0.24), (0.56, 0.24), (0.56, 0.48)], GLASS)
    c.poly([(0.20, 0.40), (0.28, 0.25), (0.36, 0.25), (0.28, 0.47)], lighter(GLASS, 0.25))
    c.line([(0.60, 0.24), (0.60, 0.80)], 0.012, darker(paint, 0.4))
    c.ellipse(0.06, 0.70, 0.03, 0.05, (250, 246, 214))
    for x in (0.36, 1.72, 2.08):
        c.ellipse(x, 0.84, 0.175, 0.175, (30, 30, 34))
        _wheel(c, x, 0.86, 0.14, k.phase)


def _car_from_above(c: Canvas, k: Style) -> None:
    paint = k.colour
    for x in (0.42, 1.58):
        for y in (0.05, 0.95):
            c.line([(x - 0.12, y), (x + 0.12, y)], 0.1, RUBBER)
    c.spline([(0.02, 0.5), (0.06, 0.18), (0.30, 0.06), (1.0, 0.04), (1.80, 0.06), (2.08, 0.16), (2.13, 0.5),
        (2.08, 0.84), (1.80, 0.94), (1.0, 0.96), (0.30, 0.94), (0.06, 0.82)], paint)
    c.spline([(0.62, 0.5), (0.66, 0.18), (0.92, 0.24), (0.88, 0.5), (0.92, 0.76), (0.66, 0.82)], GLASS)
    c.spline([(1.86, 0.5), (1.82, 0.2), (1.60, 0.27), (1.62, 0.5), (1.60, 0.73), (1.82, 0.8)], GLASS)
    for y0, y1 in ((0.11, 0.17), (0.89, 0.83)):
        c.poly([(0.86, y0), (1.68, y0), (1.58, y1), (0.98, y1)], darker(GLASS, 0.2))
    c.poly([(0.94, 0.26), (1.56, 0.29), (1.56, 0.71), (0.94, 0.74)], lighter(paint, 0.16))
    for y in (0.30, 0.70):
        c.line([(0.12, y), (0.58, y + (0.5 - y) * 0.2)], 0.015, darker(paint, 0.3))
    for y in (0.17, 0.83):
        c.ellipse(0.10, y, 0.05, 0.05, (250, 246, 214))
        c.ellipse(2.06, y, 0.03, 0.07, (170, 24, 24))


def _boat(c: Canvas, k: Style) -> None:
    if k.variant > 0.4:  # a sailing boat: the sail carries the colour
        c.line([(0.56, 0.02), (0.56, 0.82)], 0.02, (92, 70, 48))
        c.spline([(0.59, 0.04), (0.76, 0.34), (0.98, 0.70), (0.80, 0.72), (0.60, 0.70), (0.58, 0.4)],
            k.colour)
        c.poly([(0.53, 0.12), (0.53, 0.70), (0.14, 0.72), (0.36, 0.42)], lighter(k.colour, 0.25))
        for y in (0.25, 0.42, 0.58):
            c.line([(0.60, y), (0.60 + (y - 0.02) * 0.52, y + 0.02)], 0.008, darker(k.colour, 0.25))
        c.spline([(0.03, 0.77), (0.40, 0.80), (1.08, 0.77), (0.98, 0.95), (0.75, 0.99), (0.30, 0.99)], (240,
            238, 230))
        c.poly([(0.10, 0.84), (1.04, 0.84), (1.02, 0.88), (0.14, 0.88)], darker(k.colour, 0.2))
        return
    c.poly([(0.42, 0.40), (0.92, 0.40), (0.98, 0.68), (0.34, 0.68)], (238, 238, 234))
    for x in (0.46, 0.63, 0.80):
        c.poly([(x, 0.46), (x + 0.12, 0.46), (x + 0.12, 0.58), (x - 0.01, 0.58)], GLASS)
    c.poly([(0.66, 0.14), (0.82, 0.14), (0.84, 0.40), (0.64, 0.40)], darker(k.colour, 0.1))
    c.poly([(0.655, 0.20), (0.825, 0.20), (0.83, 0.26), (0.65, 0.26)], (238, 238, 234))
    c.line([(0.36, 0.12), (0.36, 0.66)], 0.02, (90, 84, 78))
    c.spline([(0.01, 0.58), (0.20, 0.66), (0.60, 0.68), (1.09, 0.64), (1.04, 0.90), (0.90, 0.98), (0.26,
        0.98), (0.10, 0.82)], k.colour)
    c.line([(0.06, 0.66), (0.24, 0.71), (1.06, 0.70)], 0.02, lighter(k.colour, 0.6))


# --- living things -----------------------------------------------------------------------------------------


def _dog(c: Canvas, k: Style) -> None:
    coat, step = k.colour, 0.13 * np.sin(k.phase)
    far = darker(coat, 0.3)
    for x, s, shade in ((0.52, -step, far), (1.06, step, far), (0.44, step, coat), (1.16, -step, coat)):
        knee = (x + s * 0.6 + (0.05 if x > 0.8 else 0), 0.76)
        c.limb([(x, 0.58), knee, (x + s * 1.3, 0.95)], (0.20, 0.12, 0.08), shade)
        c.ellipse(x + s * 1.3 - 0.03, 0.97, 0.07, 0.035, shade)
    wag = 0.06 * np.sin(2 * k.phase)
    c.limb([(1.22, 0.42), (1.36, 0.26), (1.42, 0.10 + wag)], (0.10, 0.08, 0.04), coat)
    c.spline([(0.34, 0.46), (0.46, 0.36), (0.85, 0.40), (1.18, 0.36), (1.30, 0.50), (1.22, 0.66), (0.90,
        0.64), (0.56, 0.72), (0.38, 0.64)], coat)
    c.limb([(0.46, 0.48), (0.30, 0.28)], (0.30, 0.22), coat)
    c.spline([(0.03, 0.28), (0.12, 0.22), (0.22, 0.12), (0.36, 0.12), (0.42, 0.26), (0.34, 0.36), (0.18,
        0.37), (0.05, 0.35)], coat)
    c.spline([(0.33, 0.12), (0.43, 0.16), (0.46, 0.34), (0.40, 0.36), (0.34, 0.24)], darker(coat, 0.4))
    c.ellipse(0.05, 0.29, 0.035, 0.03, (20, 18, 18))
    c.ellipse(0.21, 0.20, 0.022, 0.022, (16, 14, 14))
    c.line([(0.36, 0.40), (0.48, 0.50)], 0.05, (180, 40, 40) if k.variant > 0.5 else (40, 70, 150))


def _duck(c: Canvas, k: Style) -> None:
    body = k.colour
    c.spline([(0.34, 0.66), (0.48, 0.50), (0.80, 0.46), (1.10, 0.50), (1.34, 0.36), (1.30, 0.66), (1.10,
        0.90), (0.76, 0.99), (0.46, 0.92)], body)
    c.limb([(0.46, 0.70), (0.42, 0.46), (0.36, 0.26)], (0.30, 0.18, 0.20), body)
    c.ellipse(0.34, 0.20, 0.17, 0.15, darker(body, 0.1) if k.variant < 0.6 else (30, 92, 56))
    c.spline([(0.03, 0.24), (0.10, 0.18), (0.22, 0.17), (0.22, 0.27), (0.08, 0.29)], (236, 150, 30))
    c.ellipse(0.29, 0.16, 0.024, 0.026, (14, 14, 14))
    c.spline([(0.62, 0.62), (0.84, 0.54), (1.24, 0.58), (1.08, 0.76), (0.80, 0.82)], darker(body, 0.2))
    for i in range(3):
        c.line([(0.82 + 0.1 * i, 0.62), (1.14 - 0.03 * i, 0.64 + 0.04 * i)], 0.012, darker(body, 0.4))


def _bird(c: Canvas, k: Style) -> None:
    body, lift = k.colour, float(np.sin(k.phase))
    tip = 0.50 - 0.40 * lift
    c.spline([(0.62, 0.50), (0.76, 0.34 - 0.14 * lift), (1.02, tip + 0.02), (1.12, tip + 0.06), (0.90,
        0.52)], darker(body, 0.3))
    c.spline([(1.06, 0.48), (1.44, 0.40), (1.48, 0.50), (1.42, 0.60), (1.06, 0.56)], darker(body, 0.25))
    c.spline([(0.24, 0.46), (0.36, 0.38), (0.70, 0.38), (1.14, 0.50), (0.86, 0.64), (0.48, 0.64), (0.28,
        0.56)], body)
    c.ellipse(0.28, 0.46, 0.15, 0.13, body)
    c.ellipse(0.56, 0.60, 0.24, 0.06, lighter(body, 0.4), 8)
    c.poly([(0.16, 0.44), (0.02, 0.50), (0.16, 0.52)], (232, 160, 40))
    c.ellipse(0.23, 0.43, 0.024, 0.026, (14, 14, 14))
    c.spline([(0.48, 0.48), (0.60, 0.32 - 0.16 * lift), (0.86, tip - 0.04), (1.02, tip), (0.84, 0.52),
        (0.64, 0.56)], darker(body, 0.12))
    for i in range(3):
        x = 0.66 + 0.08 * i
        c.line([(x, 0.50), (x + 0.16, 0.48 + (tip - 0.45) * 0.8)], 0.012, darker(body, 0.4))


def _fish(c: Canvas, k: Style) -> None:
    body, sway = k.colour, 0.06 * np.sin(k.phase)
    c.spline([(1.22, 0.50), (1.40, 0.30 + sway), (1.66, 0.10 + sway), (1.58, 0.48 + sway), (1.68, 0.90 +
        sway), (1.40, 0.70 + sway)], darker(body, 0.15))
    c.spline([(0.52, 0.24), (0.80, 0.02), (1.06, 0.10), (1.16, 0.36), (0.80, 0.32)], darker(body, 0.2))
    c.spline([(0.60, 0.80), (0.80, 0.98), (0.94, 0.94), (0.92, 0.74)], darker(body, 0.2))
    c.spline([(0.03, 0.54), (0.24, 0.30), (0.62, 0.18), (1.02, 0.32), (1.34, 0.48), (1.02, 0.72), (0.60,
        0.86), (0.22, 0.74)], body)
    if k.variant > 0.5:
        for x in (0.52, 0.92):
            c.spline([(x, 0.24), (x + 0.12, 0.26), (x + 0.15, 0.52), (x + 0.12, 0.76), (x, 0.80), (x + 0.05,
                0.5)], lighter(body, 0.75))
    c.spline([(0.10, 0.62), (0.45, 0.74), (0.95, 0.70), (0.60, 0.84), (0.26, 0.75)], lighter(body, 0.35))
    c.spline([(0.56, 0.54), (0.80, 0.48), (0.88, 0.60), (0.72, 0.68)], darker(body, 0.3))
    c.ellipse(0.25, 0.46, 0.065, 0.075, (240, 240, 232))
    c.ellipse(0.24, 0.46, 0.036, 0.042, (14, 14, 16))
    c.line([(0.04, 0.58), (0.13, 0.60)], 0.015, darker(body, 0.6))


def _person(c: Canvas, k: Style, *, woman: bool) -> None:
    trousers: Rgb = (44, 52, 76) if k.variant > 0.5 else (58, 54, 50)
    swing = float(np.sin(k.phase))
    legs = ((-swing, 0.35), (swing, 0.0))
    for s, shade in legs:
        colour = darker(k.skin if woman else trousers, shade)
        knee, foot = (0.20 + 0.06 * s - 0.02, 0.74), (0.20 + 0.12 * s, 0.955 - 0.03 * max(s, 0) * 0.5)
        c.limb([(0.20, 0.52), knee, foot], (0.115, 0.085, 0.055), colour)
        c.ellipse(foot[0] - 0.025, foot[1] + 0.015, 0.05, 0.025, (38, 32, 30))
    c.limb([(0.20, 0.22), (0.20 - 0.09 * swing + 0.01, 0.37), (0.16 - 0.14 * swing, 0.50)], (0.07, 0.055,
        0.04), darker(k.colour, 0.35))
    if woman:
        c.spline([(0.22, 0.02), (0.29, 0.06), (0.30, 0.20), (0.27, 0.30), (0.20, 0.28), (0.16, 0.10)], k.hair)
    c.limb([(0.20, 0.11), (0.20, 0.19)], (0.06, 0.06), darker(k.skin, 0.2))
    if woman:
        c.spline([(0.13, 0.20), (0.20, 0.175), (0.27, 0.20), (0.255, 0.36), (0.33, 0.68), (0.20, 0.71),
            (0.08, 0.68), (0.145, 0.36)], k.colour)
    else:
        c.spline([(0.115, 0.21), (0.20, 0.175), (0.285, 0.21), (0.285, 0.38), (0.27, 0.54), (0.20, 0.555),
            (0.13, 0.54), (0.115, 0.38)], k.colour)
    c.ellipse(0.195, 0.09, 0.06, 0.075, k.skin)
    c.ellipse(0.135, 0.095, 0.014, 0.014, k.skin)
    c.spline([(0.15, 0.05), (0.19, 0.008), (0.25, 0.02), (0.268, 0.09), (0.245, 0.13), (0.225, 0.07)], k.hair)
    hand = (0.24 + 0.14 * swing, 0.50)
    c.limb([(0.21, 0.225), (0.22 + 0.09 * swing, 0.37), hand], (0.075, 0.06, 0.042), darker(k.colour, 0.12))
    c.ellipse(*hand, 0.028, 0.03, k.skin)


def _man(c: Canvas, k: Style) -> None:
    _person(c, k, woman=False)


def _woman(c: Canvas, k: Style) -> None:
    _person(c, k, woman=True)


# --- things ------------------------------------------------------------------------------------------------


def _ball(c: Canvas, k: Style) -> None:
    c.ellipse(0.5, 0.5, 0.48, 0.48, k.colour)
    if k.variant > 0.8:  # a beach ball
        for i in range(3):
            a = i * 2 * np.pi / 3 + 0.3
            arc = [(0.5 + 0.48 * np.cos(a + d), 0.5 + 0.48 * np.sin(a + d)) for d in np.linspace(0, np.pi /
                3, 9)]
            c.poly([(0.44, 0.42), *arc], lighter(k.colour, 0.7))
        c.ellipse(0.44, 0.42, 0.08, 0.08, lighter(k.colour, 0.85))
    elif k.variant > 0.33:  # seams
        for x in (0.24, 0.76):
            arc = [(x + (0.5 - x) * 0.55 * np.cos(d), 0.5 + 0.44 * np.sin(d)) for d in np.linspace(-1.35,
                1.35, 12)]
            c.line(arc, 0.022, darker(k.colour, 0.5))
        c.line([(0.02, 0.5), (0.98, 0.5)], 0.022, darker(k.colour, 0.5))


def _balloon(c: Canvas, k: Style) -> None:
    c.line([(0.34, 0.64), (0.31, 0.76), (0.36, 0.88), (0.33, 0.99)], 0.012, (220, 220, 220))
    c.poly([(0.34, 0.60), (0.29, 0.67), (0.39, 0.67)], darker(k.colour, 0.25))
    c.spline([(0.34, 0.01), (0.56, 0.08), (0.66, 0.28), (0.54, 0.50), (0.34, 0.63), (0.14, 0.50), (0.02,
        0.28), (0.12, 0.08)], k.colour)
    c.ellipse(0.20, 0.19, 0.055, 0.09, lighter(k.colour, 0.7), 25)


def _kite(c: Canvas, k: Style) -> None:
    sway = 0.05 * np.sin(k.phase)
    c.line([(0.36, 0.64), (0.30 + sway, 0.76), (0.40 - sway, 0.87), (0.34 + sway, 0.98)], 0.014, (90, 84, 80))
    for x, y in ((0.31 + sway, 0.75), (0.39 - sway, 0.86), (0.345 + sway, 0.96)):
        c.poly([(x - 0.06, y - 0.03), (x + 0.06, y + 0.03), (x + 0.06, y - 0.03), (x - 0.06, y + 0.03)],
            lighter(k.colour, 0.2))
    c.poly([(0.36, 0.01), (0.68, 0.25), (0.36, 0.65), (0.04, 0.25)], k.colour)
    c.poly([(0.36, 0.01), (0.36, 0.25), (0.04, 0.25)], lighter(k.colour, 0.45))
    c.poly([(0.36, 0.65), (0.36, 0.25), (0.68, 0.25)], darker(k.colour, 0.3))


def _box(c: Canvas, k: Style) -> None:
    c.poly([(0.02, 0.24), (0.80, 0.24), (0.80, 0.99), (0.02, 0.99)], k.colour)
    c.poly([(0.02, 0.24), (0.28, 0.03), (1.06, 0.03), (0.80, 0.24)], lighter(k.colour, 0.3))
    c.poly([(0.80, 0.24), (1.06, 0.03), (1.06, 0.76), (0.80, 0.99)], darker(k.colour, 0.35))
    if k.variant > 0.4:  # tape or ribbon
        band = lighter(k.colour, 0.6) if k.variant > 0.7 else darker(k.colour, 0.45)
        c.poly([(0.34, 0.24), (0.46, 0.24), (0.46, 0.99), (0.34, 0.99)], band)
        c.poly([(0.34, 0.24), (0.60, 0.03), (0.72, 0.03), (0.46, 0.24)], lighter(band, 0.2))


def _cup(c: Canvas, k: Style) -> None:
    for radius, colour in ((0.24, darker(k.colour, 0.15)),):
        arc = [(0.80 + 0.75 * radius * np.cos(d), 0.50 + radius * np.sin(d)) for d in np.linspace(-1.7, 1.7,
            14)]
        c.line(arc, 0.075, colour)
    c.spline([(0.03, 0.10), (0.30, 0.14), (0.60, 0.14), (0.85, 0.10), (0.83, 0.50), (0.76, 0.90), (0.60,
        0.98), (0.30, 0.98), (0.12, 0.90), (0.05, 0.50)], k.colour)
    c.ellipse(0.44, 0.11, 0.41, 0.085, lighter(k.colour, 0.35))
    c.ellipse(0.44, 0.12, 0.36, 0.065, (70, 44, 30))
    if k.variant > 0.5:
        c.poly([(0.05, 0.56), (0.83, 0.56), (0.80, 0.68), (0.07, 0.68)], lighter(k.colour, 0.6))


def _tree(c: Canvas, k: Style) -> None:
    c.limb([(0.40, 0.99), (0.41, 0.72), (0.40, 0.50)], (0.13, 0.09, 0.06), (88, 62, 42))
    c.limb([(0.41, 0.74), (0.54, 0.58)], (0.05, 0.03), (88, 62, 42))
    blobs = ((0.22, 0.46, 0.18), (0.58, 0.46, 0.18), (0.40, 0.54, 0.19), (0.28, 0.28, 0.18), (0.54, 0.28,
        0.17), (0.41, 0.16, 0.15), (0.41, 0.38, 0.20))
    for i, (x, y, r) in enumerate(blobs):
        shade = darker(k.colour, 0.28 - 0.03 * i)
        turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        wobble = r * (1 + 0.13 * np.sin(5 * turn + 7 * k.variant + i) + 0.07 * np.sin(9 * turn + i))
        c.spline([(x + w * np.cos(a), y + w * np.sin(a)) for a, w in zip(turn, wobble, strict=True)], shade)
        for j in range(9):
            a, d = 2.4 * j + i, r * 0.24 * np.sqrt(j)
            c.ellipse(x + d * np.cos(a), y - 0.03 + d * np.sin(a), 0.028, 0.02, lighter(shade, 0.16 if j % 2
                else 0.05), 40 * j)

# fmt: on


@dataclass(frozen=True)
class ObjectSpec:
    """How the objects of a category are drawn.

    Attributes:
        draw: draws one on a canvas.
        width: width of the drawing over its height.
        metres: natural height, which fixes the sizes of objects relative to each other.
        gloss: strength of the highlight, 0 to 1.
        roundness: how far the shading bends round the outline, 0 (flat) to 1 (a ball).
        phase_rates: how fast the phase of its cycle runs, in radians per frame, and in radians per own height
            that it travels (a wheel of radius r turns by 1 / r); None for a drawing without a cycle.
        colours: names of the colours that it can have; empty for all.
    """

    draw: Callable[[Canvas, Style], None]
    width: float
    metres: float
    gloss: float = 0.0
    roundness: float = 0.6
    phase_rates: tuple[float, float] | None = None
    colours: tuple[str, ...] = ()


OBJECTS: dict[str, ObjectSpec] = {
    "car": ObjectSpec(_car, 2.95, 1.5, 0.5, 0.5, (0.0, -5.2)),
    "bus": ObjectSpec(_bus, 2.90, 2.6, 0.2, 0.25, (0.0, -7.2)),
    "truck": ObjectSpec(_truck, 2.40, 2.5, 0.2, 0.25, (0.0, -7.0)),
    "car from above": ObjectSpec(_car_from_above, 2.15, 1.8, 0.4, 0.45),
    "boat": ObjectSpec(_boat, 1.12, 3.2, 0.1, 0.5),
    "dog": ObjectSpec(_dog, 1.48, 0.85, 0.0, 0.6, (0.0, 4.4), ("brown", "black", "white", "grey", "orange")),
    "duck": ObjectSpec(_duck, 1.40, 0.8, 0.0, 0.7, None, ("brown", "white", "yellow", "grey", "black")),
    "bird": ObjectSpec(_bird, 1.50, 0.8, 0.0, 0.6, (0.5, 0.0)),
    "fish": ObjectSpec(_fish, 1.72, 0.8, 0.4, 0.7, (0.3, 0.0)),
    "man": ObjectSpec(_man, 0.44, 1.8, 0.0, 0.6, (0.0, 7.0)),
    "woman": ObjectSpec(_woman, 0.44, 1.7, 0.0, 0.6, (0.0, 7.0)),
    "ball": ObjectSpec(_ball, 1.0, 0.7, 0.6, 1.0),
    "balloon": ObjectSpec(_balloon, 0.68, 1.6, 0.5, 0.9),
    "kite": ObjectSpec(_kite, 0.72, 1.6, 0.0, 0.15, (0.2, 0.0)),
    "box": ObjectSpec(_box, 1.08, 0.8, 0.0, 0.12),
    "cup": ObjectSpec(_cup, 1.02, 0.8, 0.4, 0.7),
    "tree": ObjectSpec(_tree, 0.80, 3.6, 0.0, 0.8, None, ("green", "yellow", "orange", "red")),
}
"""The objects by the word that sentences call them, with the proportions and sizes of real ones."""
