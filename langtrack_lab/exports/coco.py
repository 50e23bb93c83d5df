"""COCO: instances of single pictures, and of videos as YouTube-VIS has them (cocodataset.org, Yang 2019).

Boxes are ``x, y, w, h`` in pixels from 0, and masks compressed run lengths, both exactly as in the run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from langtrack_core.geometry import xyxy_to_xywh

from .clip import Clip, Object, empty_rle


def instances_picture(clip: Clip, frame: int) -> str:
    return f"images/{_file_name(frame)}"


def video_picture(clip: Clip, frame: int) -> str:
    return f"JPEGImages/{clip.name}/{_file_name(frame)}"


def write_instances(clip: Clip, path: Path) -> None:
    """A picture for every frame, an annotation for every target that was found on it.

    ``track_id`` is the same for a target on all frames, ``score`` is its confidence.
    """
    height, width = clip.size_hw
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for frame, objects in clip.each_frame():
        images.append(
            {
                "id": frame + 1,
                "file_name": _file_name(frame),
                "width": width,
                "height": height,
                "frame_id": frame,
                "time_s": clip.time_s(frame),
            }
        )
        for one in objects:
            rle = one.rle or empty_rle(clip.size_hw)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": frame + 1,
                    "category_id": one.category + 1,
                    "track_id": one.track,
                    "bbox": _bbox(one),
                    "area": int(coco_mask.area(rle)),
                    "segmentation": rle,
                    "iscrowd": 0,
                    "score": one.confidence,
                }
            )
    _write(path, {"images": images, "annotations": annotations, "categories": _categories(clip)})


def write_video(clip: Clip, path: Path) -> None:
    """One video, an annotation for every target; null on frames on which it is absent."""
    height, width = clip.size_hw
    names = [f"{clip.name}/{_file_name(frame)}" for frame in clip.frames]
    size = {"width": width, "height": height, "length": len(names)}
    tracks: list[dict[str, Any]] = [
        {
            "id": number,
            "video_id": 1,
            "category_id": clip.labels.index(track.label) + 1,
            "iscrowd": 0,
            **size,
            "segmentations": [],
            "bboxes": [],
            "areas": [],
            "scores": [],
        }
        for number, track in enumerate(clip.tracks, 1)
    ]
    for _, objects in clip.each_frame():
        by_track = {one.track: one for one in objects}
        for track in tracks:
            one = by_track.get(track["id"])
            rle = one and (one.rle or empty_rle(clip.size_hw))
            track["segmentations"].append(rle)
            track["bboxes"].append(one and _bbox(one))
            track["areas"].append(rle and int(coco_mask.area(rle)))
            track["scores"].append(one and one.confidence)
    videos = [{"id": 1, "name": clip.name, **size, "file_names": names}]
    _write(path, {"videos": videos, "annotations": tracks, "categories": _categories(clip)})


def _file_name(frame: int) -> str:
    return f"{frame:06d}.jpg"


def _bbox(one: Object) -> list[float]:
    return [round(float(value), 3) for value in xyxy_to_xywh(one.box_xyxy)]


def _categories(clip: Clip) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in enumerate(clip.labels, 1)]


def _write(path: Path, document: dict[str, Any]) -> None:
    document = {"info": {"description": "LangTrack"}, "licenses": [], **document}
    path.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
