"""A scene with two things that the words fit alike, as both branches see it."""

from __future__ import annotations

import numpy as np
from app_helpers import HEIGHT, WIDTH

from langtrack_core.types import Estimate, Frame

LEFT, RIGHT = "20,30,50,60", "100,40,140,80"
"""The boxes of the two things that the words fit on every frame; language alone takes the right one."""


def two_things(frame: Frame, text: str = "", *, every_region: bool = False) -> Estimate:
    height, width = frame.size_hw
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[40:80, 100:140] = 0.9
    if every_region:
        mask[30:60, 20:50] = 0.9
    large = np.repeat(np.repeat(mask, height // HEIGHT, 0), width // WIDTH, 1)
    return Estimate.from_mask(large, 0.8)
