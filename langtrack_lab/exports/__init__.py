"""Runs in the formats of other tools: ``langtrack export RUN… --format NAME --out OUT``, and from Python.

formats   `FORMATS`, the table of formats, and `export`
clip      the tracks of one video as every format needs them
polygons  outlines of masks
coco, yolo, mot, cvat, voc, labelme, davis, cutout
          a format, or a family of them, each
command   the command line

Example:
    >>> from langtrack_lab.exports import Clip, Track, export
    >>> clip = Clip([Track(read_run("runs/car"), "car"), Track(read_run("runs/dog"), "dog")])
    >>> export(clip, "coco", Path("car-and-dog.json"))
"""

from .clip import Clip, Track
from .formats import FORMATS, export

__all__ = ["Clip", "Track", "FORMATS", "export"]
