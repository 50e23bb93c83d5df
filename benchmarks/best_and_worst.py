"""The best and the worst frame of each shipped example: ``python -m benchmarks.best_and_worst``.

Follows every example by its expression with the shipped weights, compares the fused box with the true one,
and writes the frames side by side to ``assets/best-and-worst.jpg``. The true box is dashed in white.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from langtrack_core import LangTracker, Query, read_frames
from langtrack_core.run.render import Style, draw
from langtrack_lab.metrics.boxes import box_ious, stack_boxes
from langtrack_lab.truth.box_files import read_boxes

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "assets" / "examples"
WIDTH = 480
"""Width of each frame in the picture, in pixels."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "best-and-worst.jpg")
    args = parser.parse_args()
    tracker = LangTracker.from_pretrained("lite")
    rows = [row(tracker, clip) for clip in sorted(EXAMPLES.glob("*.mp4"))]
    sheet = np.concatenate(rows, axis=0)
    args.out.write_bytes(cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return 0


def row(tracker: LangTracker, clip: Path) -> NDArray[np.uint8]:
    """The best and the worst frame of a clip, side by side."""
    expression = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))["expression"]
    truth = read_boxes(clip.with_name(f"{clip.stem}.groundtruth.txt"))
    steps = list(tracker.track(read_frames(clip), Query(text=expression)))
    ious = box_ious(stack_boxes([step.fused.box_xyxy for step in steps]), truth)
    print(
        f"{clip.stem}: mean IoU {np.nanmean(ious):.3f}, {np.mean(ious[~np.isnan(ious)] > 0.5):.0%} over 0.5"
    )
    pictures = []
    for place in (int(np.nanargmax(ious)), int(np.nanargmin(ious))):
        picture = np.ascontiguousarray(draw(steps[place], "fused", Style()))
        dashed(picture, truth[place])
        scale = WIDTH / picture.shape[1]
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        label = f'"{expression}", frame {place}: IoU {ious[place]:.2f}'
        cv2.rectangle(picture, (0, picture.shape[0] - 22), (WIDTH, picture.shape[0]), (0, 0, 0), -1)
        where = (8, picture.shape[0] - 7)
        cv2.putText(picture, label, where, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
        pictures.append(picture)
    return np.concatenate(pictures, axis=1)


def dashed(picture: NDArray[np.uint8], box_xyxy: NDArray[np.float64], dash: int = 8) -> None:
    """Draws a dashed white rectangle, in place."""
    x1, y1, x2, y2 = (round(float(v)) for v in box_xyxy)
    for x in range(x1, x2, 2 * dash):
        for y in (y1, y2):
            cv2.line(picture, (x, y), (min(x + dash, x2), y), (255, 255, 255), 2)
    for y in range(y1, y2, 2 * dash):
        for x in (x1, x2):
            cv2.line(picture, (x, y), (x, min(y + dash, y2)), (255, 255, 255), 2)


if __name__ == "__main__":
    sys.exit(main())
