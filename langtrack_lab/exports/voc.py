"""Pascal VOC (Everingham et al. 2010; VOC2012 development kit): an XML file a picture, boxes in whole pixels.

VOC counts pixels from 1, and the box holds its last pixel: ``xmin`` is our x1 + 1, and ``xmax`` our x2.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from .clip import DEFAULT_LABEL, Clip, Object


def picture(clip: Clip, frame: int) -> str:
    return f"JPEGImages/{frame:06d}.jpg"


def write(clip: Clip, folder: Path) -> None:
    """``Annotations/%06d.xml``, without objects where all are absent, and ``ImageSets/Main/default.txt``.

    ``labelmap.txt`` declares the classes: CVAT and Datumaro refuse others than VOC's own without it.
    """
    annotations, lists = folder / "Annotations", folder / "ImageSets" / "Main"
    annotations.mkdir()
    lists.mkdir(parents=True)
    for frame, objects in clip.each_frame():
        root = _annotation(clip, frame, objects)
        ET.indent(root)
        ET.ElementTree(root).write(annotations / f"{frame:06d}.xml", encoding="utf-8")
    frames = "".join(f"{frame:06d}\n" for frame in clip.frames)
    (lists / "default.txt").write_text(frames, encoding="ascii")
    names = dict.fromkeys(_class_name(label) for label in clip.labels)  # "a:b" and "a b" are one
    classes = "".join(f"{name}:::\n" for name in names)
    (folder / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{classes}", encoding="utf-8")


def _class_name(label: str) -> str:
    """Without what ends a name in ``labelmap.txt``, and what makes its line a comment there."""
    return " ".join(label.replace(":", " ").split()).lstrip("# ") or DEFAULT_LABEL


def _annotation(clip: Clip, frame: int, objects: list[Object]) -> ET.Element:
    root = ET.Element("annotation")
    ET.SubElement(root, "folder").text = "JPEGImages"
    ET.SubElement(root, "filename").text = f"{frame:06d}.jpg"
    ET.SubElement(ET.SubElement(root, "source"), "database").text = "LangTrack"
    size = ET.SubElement(root, "size")
    height, width = clip.size_hw
    for name, value in (("width", width), ("height", height), ("depth", 3)):
        ET.SubElement(size, name).text = str(value)
    ET.SubElement(root, "segmented").text = "0"
    for one in objects:
        entry = ET.SubElement(root, "object")
        texts = {"name": _class_name(one.label), "pose": "Unspecified", "truncated": "0", "difficult": "0"}
        for name, text in texts.items():
            ET.SubElement(entry, name).text = text
        box = ET.SubElement(entry, "bndbox")
        for name, pixel in zip(("xmin", "ymin", "xmax", "ymax"), _whole_pixels(one), strict=True):
            ET.SubElement(box, name).text = str(pixel)
    return root


def _whole_pixels(one: Object) -> list[int]:
    """The first and the last pixel, from 1, of the box rounded to pixels; it keeps one at least."""
    x1, y1, x2, y2 = np.rint(one.box_xyxy).astype(int).tolist()
    return [min(x1 + 1, max(x2, 1)), min(y1 + 1, max(y2, 1)), max(x2, 1), max(y2, 1)]
