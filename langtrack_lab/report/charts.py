"""Curves as inline SVG, coloured by the page's style sheet so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

import numpy as np

from langtrack_core.geometry import FloatArray

_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 10, 34  # margins around the axes, in pixels, for their labels
MOST_POINTS = 600
"""A curve gets at most about this many points, one for each pixel or two of its width; others are skipped."""

Scale = Callable[[float], float]


class Line(NamedTuple):
    """A curve: its name, its values (nan interrupts it), and the style sheet's class for it."""

    name: str
    values: FloatArray
    style: str


def line_chart(
    lines: Sequence[Line],
    x: FloatArray,
    *,
    label: str,
    x_title: str,
    size_wh: tuple[int, int] = (380, 260),
    states: Sequence[str] = (),
) -> str:
    """Curves over one x axis; y runs from 0 to 1.

    Args:
        lines: values ``(N,)`` each.
        x: ``(N,)`` ascending.
        label: what it shows, for those who cannot see it.
        states: N words; those other than "tracking" become a strip under the curves.
    """
    width, height = size_wh
    inner_w, inner_h = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    low, high = float(x[0]), float(x[-1])
    span = high - low or 1.0

    def at_x(value: float) -> float:
        return _LEFT + (value - low) / span * inner_w

    def at_y(value: float) -> float:
        return _TOP + (1 - value) * inner_h

    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">',
        *(_y_tick(value, width, at_y(value)) for value in (0.0, 0.25, 0.5, 0.75, 1.0)),
        *(_x_tick(value, at_x(value), height) for value in ticks(low, high)),
        f'<text class="axis" x="{_LEFT + inner_w / 2:.0f}" y="{height - 4}" text-anchor="middle">'
        f"{escape(x_title)}</text>",
    ]
    if states:
        parts += _strip(states, at_x, x, height - _BOTTOM + 1)
    for line in lines:
        path = _path(x, line.values, at_x, at_y)
        parts.append(f'<path class="line {line.style}" d="{path}"><title>{escape(line.name)}</title></path>')
    return "".join([*parts, "</svg>"])


def legend(lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """Names of the curves with their strokes; ``notes`` stand behind the names."""
    entries = [
        f'<li><svg class="key" viewBox="0 0 26 8" aria-hidden="true"><path class="line {line.style}" '
        f'd="M1 4H25"/></svg>{escape(line.name)}{f" <b>{escape(note)}</b>" if note else ""}</li>'
        for line, note in zip(lines, notes or [""] * len(lines), strict=True)
    ]
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _path(x: FloatArray, values: FloatArray, at_x: Scale, at_y: Scale) -> str:
    step = max(1, -(-len(values) // MOST_POINTS))
    parts, pen_down = [], False
    for xi, value in zip(x[::step], values[::step], strict=True):
        if np.isnan(value):
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{at_x(xi):.1f} {at_y(value):.1f}")
        pen_down = True
    return "".join(parts)


def _strip(states: Sequence[str], at_x: Scale, x: FloatArray, top: float) -> list[str]:
    parts, index = [], 0
    for state, run in groupby(states):
        count = len(list(run))
        if state != "tracking":
            left, right = at_x(x[index]), at_x(x[min(index + count, len(x) - 1)])
            parts.append(
                f'<rect class="state {escape(state)}" x="{left:.1f}" y="{top}" '
                f'width="{max(right - left, 1):.1f}" height="5"><title>{escape(state)}</title></rect>'
            )
        index += count
    return parts


def _y_tick(value: float, width: int, y: float) -> str:
    return (
        f'<path class="grid" d="M{_LEFT} {y:.1f}H{width - _RIGHT}"/>'
        f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    )


def _x_tick(value: float, x: float, height: int) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{height - _BOTTOM + 17}" text-anchor="middle">{value:g}</text>'


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers."""
    if high <= low:
        return [low]
    rough = (high - low) / 5
    unit = 10.0 ** np.floor(np.log10(rough))
    step = min((m * unit for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    first = np.ceil(low / step - 1e-9)
    return [round(float(k * step), 6) + 0.0 for k in np.arange(first, np.floor(high / step + 1e-9) + 1)]
