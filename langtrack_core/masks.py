"""Masks: from probabilities to pixels, to rectangles, to the edges of the picture, and to text (COCO RLE).

Pixels and boxes are those of `geometry`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .geometry import Float32Array, FloatArray

BoolMask = NDArray[np.bool_]

POSITIVE_ABOVE = 128
"""A pixel of a ``mask_u8`` (0 to 255) is positive when its value is **over** this."""


def prob_to_u8(mask_prob: Float32Array) -> NDArray[np.uint8]:
    """``mask_prob`` in [0, 1] to ``mask_u8`` in 0 to 255, rounded to nearest."""
    if not mask_prob.size:  # OpenCV wants pixels
        return np.zeros(mask_prob.shape, np.uint8)
    return np.asarray(cv2.convertScaleAbs(np.maximum(mask_prob, 0.0), alpha=255.0), np.uint8)


def binarise(mask_u8: NDArray[np.uint8]) -> BoolMask:
    """Positive pixels of a 0 to 255 mask: those **over** 128."""
    if mask_u8.dtype != np.uint8:
        raise ValueError(f"mask_u8 must be uint8 in 0 to 255, got {mask_u8.dtype}")
    return mask_u8 > POSITIVE_ABOVE


def largest_component(mask: BoolMask) -> BoolMask:
    """Only the largest 8-connected region of a mask; among equals one of them, always the same."""
    window = bounding_slices(mask)
    if window is None:  # OpenCV crashes the process on a picture without pixels
        return mask
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask[window].view(np.uint8), connectivity=8)
    if count == 2:  # the background and one region: nothing to choose from
        return mask
    largest = np.zeros_like(mask)
    largest[window] = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return largest


def bounding_slices(mask: BoolMask, margin: int = 0) -> tuple[slice, slice] | None:
    """The part of the picture that encloses all true pixels, with a margin; None when there are none."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return None
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)


def enclosing_box(mask: BoolMask) -> FloatArray | None:
    """Axis-aligned minimum enclosing rectangle ``[x1, y1, x2, y2]`` of the positive pixels of ``(H, W)``
    bool, half-open in pixels; None for an empty mask."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return np.array([x, y, x + width, y + height], dtype=np.float64) if width else None


def enclosing_rectangle(mask: BoolMask) -> FloatArray | None:
    """Rotated rectangle of minimum area around the positive pixels, whole pixel squares included: ``(4, 2)``
    corners x, y in pixels, in order around it; None for an empty mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    # The hull of a mask touches each row only at its first and last positive pixel.
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = [np.stack([x, y], axis=1) for x in (first, last) for y in (rows, rows + 1)]
    points = np.concatenate(corners).astype(np.float32)
    return cv2.boxPoints(cv2.minAreaRect(points)).astype(np.float64)


# --- edges -------------------------------------------------------------------------------------------------
# The networks see cells of several pixels, the annotator sees pixels. The fast guided filter (He, Sun, Tang,
# TPAMI 2013; He, Sun, arXiv:1505.00996): around each pixel the probability is the linear function of the
# colour that fits it best, so that it changes where the colour does.

WINDOW_SHARE = 0.12
"""Radius of the windows in which the functions are fitted, as a share of the object's size (the root of its
area). On 26 training clips of DAVIS the tracker's masks gain 0.023 IoU with it; no clip loses more than
0.005."""

MAX_WINDOW_SHARE = 0.02
"""The radius is at most this share of the picture's longest side: a large object has fine edges too."""

SMOOTHNESS = 1e-4
"""Variance of the colours (0 to 1) below which a window counts as even, and the mask there is only
blurred."""

SHRINK = 3
"""The functions are fitted on a picture that is smaller by this factor, which takes a ninth of the time."""

FAINT = 0.25
"""Where the mask is at most this probable, and far from anything more probable, it is left as it is."""


def refine_edges(prob: Float32Array, rgb: NDArray[np.uint8]) -> Float32Array:
    """Move the borders of a mask ``(H, W)`` in [0, 1] to those of the colours ``(H, W, 3)``; float32."""
    size = float(np.count_nonzero(prob > 0.5)) ** 0.5
    radius = max(1, round(min(WINDOW_SHARE * size, MAX_WINDOW_SHARE * max(prob.shape)) / SHRINK))
    part = bounding_slices(prob > FAINT, 4 * SHRINK * radius)
    if part is None:
        return prob.copy()
    colour = rgb[part].astype(np.float32) / np.float32(255)
    size_wh = colour.shape[1], colour.shape[0]
    small_wh = max(1, size_wh[0] // SHRINK), max(1, size_wh[1] // SHRINK)
    small_colour, small_prob = (
        np.asarray(cv2.resize(whole, small_wh, interpolation=cv2.INTER_AREA), np.float32)
        for whole in (colour, prob[part])
    )
    planes = _fit(small_colour, small_prob, 2 * radius + 1)
    planes = np.asarray(cv2.resize(planes, size_wh, interpolation=cv2.INTER_LINEAR), np.float32)
    fitted = planes[..., 3]
    for channel in range(3):
        fitted = fitted + planes[..., channel] * colour[..., channel]
    refined = prob.copy()
    np.clip(fitted, 0.0, 1.0, out=refined[part])
    return refined


def _fit(colour: Float32Array, prob: Float32Array, side: int) -> Float32Array:
    """The linear function at each pixel, ``(h, w, 4)``: factors of red, green and blue, and a constant.

    Least squares in each window of ``side`` pixels, then the mean over the windows that a pixel is in."""

    def mean(values: Float32Array) -> Float32Array:
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    values = [*(np.ascontiguousarray(colour[..., channel]) for channel in range(3)), prob]
    mean_r, mean_g, mean_b, mean_p = means = [mean(plane) for plane in values]
    # Covariances of the colours, a symmetric matrix: six of nine; and with the probability.
    rr, rg, rb, rp, gg, gb, gp, bb, bp = (
        mean(values[i] * values[j]) - means[i] * means[j] for i in range(3) for j in range(i, 4)
    )
    rr, gg, bb = (variance + np.float32(SMOOTHNESS) for variance in (rr, gg, bb))
    # The inverse of the matrix by cofactors.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = 1 / np.maximum(rr * c_rr + rg * c_rg + rb * c_rb, np.float32(SMOOTHNESS**3))
    rows = (c_rr, c_rg, c_rb), (c_rg, c_gg, c_gb), (c_rb, c_gb, c_bb)
    red, green, blue = ((r * rp + g * gp + b * bp) * scale for r, g, b in rows)
    return mean(np.dstack([red, green, blue, mean_p - red * mean_r - green * mean_g - blue * mean_b]))


RLE = dict[str, Any]
"""A mask as text: ``size`` [height, width] and ``counts``, the lengths of its runs in COCO's ASCII code."""


def encode_rle(mask: BoolMask) -> RLE:
    """``(H, W)`` bool to COCO run-length encoding."""
    rle = coco_mask.encode(cv2.transpose(mask.view(np.uint8)).T)  # in Fortran's order, as it wants it
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}
