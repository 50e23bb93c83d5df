"""CVAT for video 1.1 (docs.cvat.ai, "CVAT for video"): a track of boxes for each target, to open in CVAT.

Boxes are corners in pixels from 0, as here. Every frame is a key frame, so CVAT interpolates nothing. On the
first frame of an absence the last box stands with ``outside="1"``, which ends it until the next one. There is
none behind the video's end, and no track without any box: CVAT refuses both.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from .clip import Clip, Object


def write(clip: Clip, path: Path) -> None:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    root.append(_meta(clip))
    tracks: list[dict[int, Object]] = [{} for _ in clip.tracks]  # by frame
    for frame, objects in clip.each_frame():
        for one in objects:
            tracks[one.track - 1][frame] = one
    for number, boxes in enumerate(tracks):
        if not boxes:
            continue
        label = clip.tracks[number].label
        element = ET.SubElement(root, "track", id=str(number), label=label, source="auto")
        for frame, one in boxes.items():
            _box(element, frame, one, outside=False)
            if frame + 1 not in boxes and (frame < clip.frames[-1] or clip.video_goes_on):
                _box(element, frame + 1, one, outside=True)  # else CVAT would hold it until the next one
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _meta(clip: Clip) -> ET.Element:
    meta = ET.Element("meta")
    task = ET.SubElement(meta, "task")
    height, width = clip.size_hw
    entries = {"name": clip.name, "size": clip.frames[-1] + 1, "mode": "interpolation", "overlap": 0}
    for key, value in entries.items():
        ET.SubElement(task, key).text = str(value)
    labels = ET.SubElement(task, "labels")
    for name in clip.labels:
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = name
        ET.SubElement(label, "attributes")
    size = ET.SubElement(task, "original_size")
    ET.SubElement(size, "width").text = str(width)
    ET.SubElement(size, "height").text = str(height)
    return meta


def _box(track: ET.Element, frame: int, one: Object, *, outside: bool) -> None:
    corners = {
        name: f"{value:.2f}" for name, value in zip(("xtl", "ytl", "xbr", "ybr"), one.box_xyxy, strict=True)
    }
    flags = {"keyframe": "1", "outside": str(int(outside)), "occluded": "0", "z_order": "0"}
    ET.SubElement(track, "box", {"frame": str(frame), **flags, **corners})
