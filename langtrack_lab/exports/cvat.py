"""CVAT for video 1.1 (docs.cvat.ai, "CVAT for video"): a track of boxes for each target, to open in CVAT.

Boxes are corners in pixels from 0, as here. Every frame is a key frame, so CVAT interpolates nothing. On the
first frame of an absence the last box stands with ``outside="1"``, which ends it until the next one.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from .clip import Clip, Object


def write(clip: Clip, path: Path) -> None:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    root.append(_meta(clip))
    tracks = [
        ET.SubElement(root, "track", id=str(number), label=track.label, source="auto")
        for number, track in enumerate(clip.tracks)
    ]
    last: dict[int, Object] = {}  # by the target's number, while it is in sight
    for frame, objects in clip.each_frame():
        now = {one.track: one for one in objects}
        for number, element in enumerate(tracks, 1):
            if number in now:
                _box(element, frame, now[number], outside=False)
            elif number in last:
                _box(element, frame, last[number], outside=True)
        last = now
    if not clip.complete:  # else CVAT would hold the last box to the end of the video
        for one in last.values():
            _box(tracks[one.track - 1], clip.frames[-1] + 1, one, outside=True)
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
