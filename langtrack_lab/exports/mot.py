"""MOTChallenge text (Milan et al. 2016; motchallenge.net/instructions): frames, targets and pixels from 1.

| file | a line |
|---|---|
| ``gt/gt.txt`` | ``frame,id,x,y,w,h,1,class,1``: counted, class (the line of ``gt/labels.txt``), visible |
| ``results.txt`` | ``frame,id,x,y,w,h,confidence,-1,-1,-1``, as trackers hand in |

An absent target has no line. Frame 1 is frame 0 of the video.
"""

from __future__ import annotations

from pathlib import Path

from langtrack_core.geometry import xyxy_to_xywh

from .clip import Clip


def picture(clip: Clip, frame: int) -> str:
    return f"img1/{frame + 1:06d}.jpg"


def write(clip: Clip, folder: Path) -> None:
    (folder / "gt").mkdir()
    truth, results = [], []
    for frame, objects in clip.each_frame():
        for one in objects:
            x, y, w, h = xyxy_to_xywh(one.box_xyxy)
            begin = f"{frame + 1},{one.track},{x + 1:.3f},{y + 1:.3f},{w:.3f},{h:.3f}"
            truth.append(f"{begin},1,{one.category + 1},1\n")
            results.append(f"{begin},{one.confidence:.4f},-1,-1,-1\n")
    (folder / "gt" / "gt.txt").write_text("".join(truth), encoding="ascii")
    (folder / "results.txt").write_text("".join(results), encoding="ascii")
    (folder / "gt" / "labels.txt").write_text("".join(f"{name}\n" for name in clip.labels), encoding="utf-8")
    height, width = clip.size_hw
    sequence = {
        "name": clip.name,
        "imDir": "img1",
        "frameRate": max(1, round(clip.fps)),
        "seqLength": clip.frames[-1] + 1,
        "imWidth": width,
        "imHeight": height,
        "imExt": ".jpg",
    }
    lines = "".join(f"{key}={value}\n" for key, value in sequence.items())
    (folder / "seqinfo.ini").write_text(f"[Sequence]\n{lines}", encoding="utf-8")
