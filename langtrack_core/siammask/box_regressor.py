"""A linear regression from features to the box of one target, fitted to views of the first frame.

The network gives the box of whole objects. Asked to follow a part (a head, a face, a can in a hand) its boxes
and masks grow, a little each frame, until they hold the whole. `BoxRegressor` learns on the first frame what
the given box looks like when it is too large, too small or beside the target, and says of a later frame how
the search has to be moved and scaled to be right again. It is fitted once and to the box that a person drew,
so it cannot drift (the box regression of R-CNN, Girshick et al., arXiv:1311.2524, in a tracker: Nam and Han,
arXiv:1510.07945).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from ..geometry import Float32Array, FloatArray, cxcywh_to_xyxy, xyxy_to_cxcywh
from .network import SEARCH_SIZE, TEMPLATE_SIZE
from .online_classifier import CELL, interpolated

ZOOMS = (0.7, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4)
"""The first frame is seen at these sizes of the target. From one frame to the next it changes by far less."""

BLURS = (0.0, 1.5)
"""Each size is seen sharp and blurred (standard deviation in pixels of the crop): what moves is blurred."""

SHIFT = 20.0
"""The target lies up to so many crop pixels beside the middle of each view: a ring around it, so that places
differ and their mean is the middle."""

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
"""From view to view, around that ring: no two come to lie together."""

OFFSETS_XY = ((0, 0), (-8, 0), (8, 0), (0, -8), (0, 8), (6, 6), (-6, -6))
"""In each view the features are taken around the target and so many crop pixels beside it."""

WINDOW = np.arange(-2, 3)
"""Columns and rows of the window of features, in cells of the averaged features: 80 pixels, a little more
than the target."""

RIDGE = 0.1
"""Weight of the squared map, as a share of the features' mean power. 0.02 to 0.5 hardly differ."""

STEPS = 2
"""The window is moved to the corrected place and read again."""

MOST_SHIFT = 0.2
"""Largest shift in one step, as a share of the target's usual side in the crop: half of it."""

MOST_LOG_ZOOM = 0.4
"""Largest logarithm of the zoom, a factor of 1.5: beyond the views nothing was learnt."""

RATIO_SHARE = 0.3
"""How much the box regressor counts for the ratio of the sides, against its part in place and area: it knows
only the ratio of the first frame. In full, a car that turns loses 0.05 of its clip's AUC."""

STRANGE = 0.5
"""Up to this cosine between the window and the nearest one that was learnt the regressor is not trusted.
Persons who turn fall below 0.7, rigid things stay over 0.85."""

KNOWN = 0.9
"""From this cosine on it is trusted fully; in between, in proportion."""

_SIDE = TEMPLATE_SIZE / 2.0
"""The usual side of a target in the search crop, in pixels: the context doubles it to the template's."""


class BoxRegressor:
    """The map of one target.

    Args:
        view: gives the `averaged` search features of the first frame at a zoom, with a blur, and with the
            target's centre shifted by ``(x, y)`` crop pixels from the middle.
    """

    def __init__(self, view: Callable[[float, float, FloatArray], Float32Array]) -> None:
        inputs, outputs = [], []
        for number, (zoom, blur) in enumerate(product(ZOOMS, BLURS)):
            angle = GOLDEN_ANGLE * number
            shift = SHIFT * np.array([np.cos(angle), np.sin(angle)])
            features = view(zoom, blur, shift)
            for offset in OFFSETS_XY:
                inputs.append(_window(features, np.add(shift, offset)))
                outputs.append([*(-np.array(offset) / _SIDE), np.log(zoom)])
        x, y = np.array(inputs), np.array(outputs)
        self._learnt = x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-6)
        self._input_mean, self._output_mean = x.mean(0), y.mean(0)
        x, y = x - self._input_mean, y - self._output_mean
        products = x @ x.T  # as many rows as views, far fewer than features
        ridge = RIDGE * np.trace(products) / len(products)
        self._map = x.T @ np.linalg.solve(products + ridge * np.eye(len(products)), y)

    def correct(self, features: Float32Array, place_xy: FloatArray) -> tuple[FloatArray, float, float]:
        """Where the target is and how large, around a first guess of its centre.

        Returns:
            Its centre in crop pixels from the middle; how many times larger it is in the crop than the search
            takes it to be; and in [0, 1], how far the window looks like one that was learnt.
        """
        for _ in range(STEPS):
            window = _window(features, place_xy)
            dx, dy, log_zoom = (window - self._input_mean) @ self._map + self._output_mean
            place_xy = place_xy + _SIDE * np.clip([dx, dy], -MOST_SHIFT, MOST_SHIFT)
        zoom = float(np.exp(np.clip(log_zoom, -MOST_LOG_ZOOM, MOST_LOG_ZOOM)))
        likeness = float((self._learnt @ window).max() / (np.linalg.norm(window) + 1e-6))
        return place_xy, zoom, float(np.clip((likeness - STRANGE) / (KNOWN - STRANGE), 0, 1))


def blend_boxes(box_xyxy: FloatArray, other_xyxy: FloatArray, weight: float) -> FloatArray:
    """The box between two: mean of the centres, geometric means of the areas and of the ratios of the sides.

    ``weight`` is the other's, but for the ratio, which counts for `RATIO_SHARE` of it."""
    box, other = xyxy_to_cxcywh(box_xyxy), xyxy_to_cxcywh(other_xyxy)
    centre = (1 - weight) * box[:2] + weight * other[:2]
    larger = other[2:] / box[2:]
    area, ratio = float(larger.prod()), float(larger[0] / larger[1])
    stretch = ratio ** (weight * RATIO_SHARE / 2)
    size = box[2:] * (stretch, 1 / stretch) * area ** (weight / 2)
    return cxcywh_to_xyxy([*centre, *size])


def _window(features: Float32Array, place_xy: FloatArray) -> FloatArray:
    """The features ``(C, 16, 16)`` on a grid around a place, bilinear, scaled to unit power."""
    column, row = (np.asarray(place_xy) + (SEARCH_SIZE - 1) / 2 - CELL / 4) / CELL
    rows = interpolated(features, row + WINDOW, axis=1)
    window = interpolated(rows, column + WINDOW, axis=2).astype(np.float64)
    return (window / np.sqrt(np.square(window).sum(0).mean() + 1e-6)).ravel()
