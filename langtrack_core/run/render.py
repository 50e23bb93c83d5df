"""Pictures of a step: the four panels of a run. The colour says who made what is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..geometry import FloatArray
from ..masks import BoolMask, bounding_slices
from ..types import Branch, Estimate, Reason, Step
from ..video.pictures import RGB

Panel = Literal["mask", "rectangle", "tracker", "fused"]
PANELS: tuple[Panel, ...] = get_args(Panel)
"""The language branch's binary mask, its minimum enclosing rectangle, the tracker's box, the fused track."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Style:
    """How pictures look.

    Attributes:
        rotated: draw the rotated rectangle of minimum area too, thinner than the axis-aligned box.
        labels: write the small label in the corner.
        mask_opacity: opacity of a filled mask's tint, in [0, 1].
        language_rgb: colour of what the language branch made; red, as its rectangle has to be.
        tracker_rgb: colour of what the tracker made; told from red by every common kind of colour vision.
    """

    rotated: bool = False
    labels: bool = True
    mask_opacity: float = 0.45
    language_rgb: Colour = (255, 32, 32)
    tracker_rgb: Colour = (0, 190, 255)

    def colour(self, branch: Branch) -> Colour:
        return self.tracker_rgb if branch == "tracker" else self.language_rgb


def draw(step: Step, panel: Panel, style: Style | None = None) -> RGB:
    """One panel of one step: ``(H, W, 3)`` uint8 RGB of the frame's size, a new array. An absent target gets
    no box, and a label that says so."""
    style = style or Style()
    picture = step.frame.rgb.copy()
    if panel not in PANELS:
        raise ValueError(f"panel must be one of {', '.join(PANELS)}, got {panel!r}")
    text = _fused(picture, step, style) if panel == "fused" else _branch(picture, step, panel, style)
    if text and style.labels:
        _label(picture, text)
    return picture


def _branch(picture: RGB, step: Step, panel: Panel, style: Style) -> str:
    """Draws in place and returns the label, "" for none; so does `_fused`."""
    branch: Branch = "tracker" if panel == "tracker" else "language"
    estimate = step.tracker if branch == "tracker" else step.language
    if estimate is None:
        return "tracker: not running" if branch == "tracker" else "language: not run here"
    if estimate.box_xyxy is None or (panel == "mask" and not estimate.mask.any()):
        return f"{branch}: absent"
    if panel == "mask":
        _tint(picture, estimate.mask, style.language_rgb, style.mask_opacity)
        _contour(picture, estimate.mask, (255, 255, 255))
        return ""
    if panel == "tracker":
        _contour(picture, estimate.mask, style.tracker_rgb)
    _rectangles(picture, estimate, style.colour(branch), style)
    return ""


def _fused(picture: RGB, step: Step, style: Style) -> str:
    fused, decision = step.fused, step.decision
    frame = f"frame {step.frame.index}"
    if decision.source is None:
        return f"{decision.state} · {frame}"
    colour = style.colour(decision.source)
    _tint(picture, fused.mask, colour, style.mask_opacity * 0.7)
    _rectangles(picture, fused, colour, style)
    source = "you" if decision.reason is Reason.USER_BOX else decision.source
    return f"{decision.state} · {source} {fused.confidence:.2f} · {frame}"


def line_width(size_hw: tuple[int, int]) -> int:
    """Pixels of a box's line: 2 up to 300 pixels of the shorter side, 4 at 480, 9 at 1080. Video halves the
    resolution of colour, which thins a red line out; hence no finer."""
    return max(2, round(min(size_hw) / 120))


@lru_cache(maxsize=32)
def _mixture(colour: Colour, opacity: float) -> RGB:
    """``(1, 256, 3)``: what each value of each channel becomes under a colour."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    mixed = cv2.addWeighted(ramp, 1.0 - opacity, np.full_like(ramp, colour), opacity, 0.0)
    return np.asarray(mixed, np.uint8)


def _tint(picture: RGB, mask: BoolMask, colour: Colour, opacity: float) -> None:
    part = bounding_slices(mask)
    if part is not None and (region := picture[part]).size:
        mixed = cv2.LUT(region, _mixture(colour, opacity))
        cv2.copyTo(mixed, mask[part].view(np.uint8), region)


def _contour(picture: RGB, mask: BoolMask, colour: Colour) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(1, line_width(mask.shape) // 2)
    cv2.drawContours(picture, contours, -1, colour, width, cv2.LINE_AA)


def _rectangles(picture: RGB, estimate: Estimate, colour: Colour, style: Style) -> None:
    assert estimate.box_xyxy is not None
    width = line_width(estimate.mask_prob.shape)
    if style.rotated and estimate.corners_xy is not None:
        # OpenCV counts from a pixel's centre, we from its corner; four fractional bits keep the half pixel.
        corners = np.rint((estimate.corners_xy - 0.5) * 16).astype(np.int32)
        cv2.polylines(picture, [corners], True, colour, max(1, width // 2), cv2.LINE_AA, shift=4)
    # A darker rim, so that the box is seen on its own colour too.
    _box(picture, estimate.box_xyxy, (0, 0, 0), width // 2 + 1, width + 2, opacity=0.45)
    _box(picture, estimate.box_xyxy, colour, width // 2, width, opacity=1.0)


def _box(
    picture: RGB, box_xyxy: FloatArray, colour: Colour, outside: int, width: int, *, opacity: float
) -> None:
    """An outline from ``outside`` pixels out of the box inwards, ``width`` wide, kept inside the picture."""
    height, total_width = picture.shape[:2]
    grown = np.rint(box_xyxy) + np.array([-outside, -outside, outside, outside])
    x1, y1, x2, y2 = np.clip(grown, 0, [total_width, height, total_width, height]).astype(int).tolist()
    region = picture[y1:y2, x1:x2]
    rows = region[width:-width]
    for strip in (region[:width], region[width:][-width:], rows[:, :width], rows[:, width:][:, -width:]):
        if strip.size:
            strip[:] = cv2.LUT(strip, _mixture(colour, opacity))


_font = lru_cache(maxsize=16)(ImageFont.load_default)


@lru_cache(maxsize=512)
def _glyph(letter: str, size: int) -> tuple[Image.Image, float]:
    """Opacity of a letter, kept since a whole text takes a millisecond; and how far the next one is."""
    font = _font(size)
    _, _, right, bottom = font.getbbox(letter)
    glyph = Image.new("L", (int(right) + 1, int(bottom) + 1))
    ImageDraw.Draw(glyph).text((0, 0), letter, fill=255, font=font)
    return glyph, font.getlength(letter)


@lru_cache(maxsize=64)
def _label_layers(text: str, size: int) -> tuple[FloatArray, FloatArray]:
    """White text on a dark rounded plate: opacity of the plate and of the text, ``(h, w, 1)`` in [0, 1]."""
    _, top, _, bottom = _font(size).getbbox("Ag")  # the same height whatever the letters
    pad_x, pad_y = round(size * 0.5), round(size * 0.3)
    glyphs = [_glyph(letter, size) for letter in text]
    size_wh = (int(sum(width for _, width in glyphs)) + 1 + 2 * pad_x, int(bottom - top) + 2 * pad_y)
    plate, letters = Image.new("L", size_wh), Image.new("L", size_wh)
    corner = (0, 0, size_wh[0] - 1, size_wh[1] - 1)
    ImageDraw.Draw(plate).rounded_rectangle(corner, size * 0.4, fill=150)
    left = float(pad_x)
    for glyph, width in glyphs:
        letters.paste(255, (round(left), round(pad_y - top)), glyph)
        left += width
    plate_share, text_share = (np.asarray(layer, np.float32)[..., None] / 255 for layer in (plate, letters))
    return plate_share, text_share


def _label(picture: RGB, text: str) -> None:
    """Write in the top left corner, in place: smaller in a narrow picture, cut off in a tiny one."""
    height, width = picture.shape[:2]
    size = max(11, round(min(height, width) * 0.032))
    margin = max(2, round(min(height, width) * 0.012))
    plate, letters = _label_layers(text, size)
    if plate.shape[1] > width - 2 * margin:
        plate, letters = _label_layers(text, max(7, size * (width - 2 * margin) // plate.shape[1]))
    region = picture[margin : margin + plate.shape[0], margin : margin + plate.shape[1]]
    plate, letters = (layer[: region.shape[0], : region.shape[1]] for layer in (plate, letters))
    region[:] = np.rint(region * (1 - plate) * (1 - letters) + 255 * letters).astype(np.uint8)
