"""Tracking sets with a box a frame: OTB-99-Lang, LaSOT, TNL2K, GOT-10k."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from langtrack_core.geometry import FloatArray
from langtrack_core.types import LangTrackError
from langtrack_core.video.pictures import natural_key, pictures_in

from ..truth.box_files import read_boxes
from .files import (
    existing,
    first_existing,
    folders_in,
    parts_of,
    read_lines,
    read_numbers,
)
from .sequences import Sequence

ONE_BASED = frozenset({"got10k", "lasot", "otb-lang"})
"""Kinds whose box files call the first pixel 1, and so do result files that other trackers wrote for them.

LaSOT: its author in issue 14 of LaSOT_Evaluation_Toolkit; GOT-10k: its author in issue 6 of its toolkit;
OTB: annotated and measured in MATLAB.
"""


def _agree(truth: Path, boxes: FloatArray, frames: list[Path]) -> None:
    if len(boxes) != len(frames):
        raise LangTrackError(f"{truth} has {len(boxes)} lines for {len(frames)} frames.")


# --- OTB-99-Lang -------------------------------------------------------------------------------------------

# Numbers of the first and the last picture that belong to a sequence, where the folder may hold more. From
# the benchmark's own list of sequences; the first five frames of Tiger1 are left out there too ("initOmit").
_OTB_SPANS = {
    "BlurCar1": (247, 988),
    "BlurCar3": (3, 359),
    "BlurCar4": (18, 397),
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
    "Tiger1": (6, 354),
}


def otb_lang_sequences(folder: Path, split: str | None = None) -> list[Sequence]:
    """OTB-99-Lang (Li et al., "Tracking by natural language specification", CVPR 2017).

    ``OTB_videos/NAME/img/*.jpg`` and ``groundtruth_rect.txt``; ``OTB_query_train/NAME.txt`` and
    ``OTB_query_test/NAME.txt``, a sentence a line. Of two targets in one clip the sentences are in
    NAME-1.txt and NAME-2.txt, the frames in a folder of that name or in NAME, the boxes in
    groundtruth_rect.1.txt and .2.txt. A box of zeros (the last of Board and of Twinnings) is none.
    OTB's ``attrs.txt`` beside the boxes is read where it is there.
    """
    sequences = []
    for part in parts_of(split, ("train", "test"), folder):
        queries = existing(folder / f"OTB_query_{part}", "a folder of sentences, NAME.txt each")
        # Not what an archive of a Mac brings beside each file: ._Deer.txt.
        for query in sorted(queries.glob("[!.]*.txt"), key=lambda p: natural_key(p.name)):
            sequences.append(_otb_sequence(folder / "OTB_videos", query))
    return sequences


def _otb_sequence(videos: Path, query: Path) -> Sequence:
    name = query.stem
    clip, _, target = name.rpartition("-")
    directory = first_existing(
        [videos / name, *([videos / clip] if clip else [])], f"The folder of frames of {query}"
    )
    # Human4 has its boxes in .2, beside an empty .1.
    names = ["groundtruth_rect.txt", "groundtruth_rect.2.txt"]
    if clip:
        names.insert(0, f"groundtruth_rect.{target}.txt")
    truth = first_existing([directory / file for file in names], f"The boxes of {name}")
    boxes = read_boxes(truth, first_pixel=1)
    everything = pictures_in(directory / "img")
    first, last = _OTB_SPANS.get(name, (None, None))
    if first is None or last is None:
        frames = everything
    else:
        frames = [p for p in everything if first <= _number(p) <= last]
        if len(boxes) == len(everything):  # boxes of all pictures, not only of those that count
            boxes = boxes[[first <= _number(p) <= last for p in everything]]
    _agree(truth, boxes, frames)
    attributes = directory / "attrs.txt"
    words = ",".join(read_lines(attributes, "")) if attributes.exists() else ""
    return Sequence(
        name,
        tuple(frames),
        tuple(read_lines(query, "a sentence")),
        boxes=boxes,
        absent=np.zeros(len(frames), bool),
        attributes=frozenset(w.strip() for w in words.split(",") if w.strip()),
    )


def _number(picture: Path) -> int:
    try:
        return int(picture.stem)
    except ValueError:
        raise LangTrackError(f"{picture} has no number for a name: expected one such as 0001.jpg.") from None


# --- LaSOT -------------------------------------------------------------------------------------------------

# The official split: four of the twenty clips of each category are for testing.
_LASOT_TEST = """airplane 1 9 13 15, basketball 1 6 7 11, bear 2 4 6 17, bicycle 2 7 9 18, bird 2 3 15 17,
boat 3 4 12 17, book 3 10 11 19, bottle 1 12 14 18, bus 2 5 17 19, car 2 6 9 17, cat 1 3 18 20,
cattle 2 7 12 13, chameleon 3 6 11 20, coin 3 6 7 18, crab 3 6 12 18, crocodile 3 4 10 14, cup 1 4 7 17,
deer 4 8 10 14, dog 1 7 15 19, drone 2 7 13 15, electricfan 1 10 18 20, elephant 1 12 16 18, flag 2 3 5 9,
fox 2 3 5 20, frog 3 4 9 20, gametarget 1 2 7 13, gecko 1 5 16 19, giraffe 2 10 13 15, goldfish 3 7 8 10,
gorilla 4 6 9 13, guitar 3 8 10 16, hand 2 3 9 16, hat 1 2 5 18, helmet 5 11 13 19, hippo 1 7 9 20,
horse 1 4 12 15, kangaroo 2 5 11 14, kite 4 6 10 15, leopard 1 7 16 20, licenseplate 6 12 13 15,
lion 1 5 12 20, lizard 1 3 6 13, microphone 2 6 14 16, monkey 3 4 9 17, motorcycle 1 3 9 18, mouse 1 8 9 17,
person 1 5 10 12, pig 2 10 13 18, pool 3 7 12 15, rabbit 10 13 17 19, racing 10 15 16 20, robot 1 5 8 19,
rubicCube 1 6 14 19, sepia 6 8 13 16, shark 2 3 5 6, sheep 3 5 7 9, skateboard 3 8 16 19,
spider 14 16 18 20, squirrel 8 11 13 19, surfboard 4 5 8 12, swing 10 14 17 20, tank 6 9 14 16,
tiger 4 6 12 18, train 1 7 11 20, truck 3 6 7 16, turtle 5 8 9 16, umbrella 2 9 17 19,
volleyball 1 13 18 19, yoyo 7 15 17 19, zebra 10 14 16 17"""


def lasot_test_names() -> frozenset[str]:
    """The 280 sequences that LaSOT keeps for testing (its "protocol II")."""
    entries = (entry.split() for entry in _LASOT_TEST.split(","))
    return frozenset(f"{category}-{number}" for category, *numbers in entries for number in numbers)


def lasot_sequences(folder: Path, split: str | None = None) -> list[Sequence]:
    """LaSOT (Fan et al., CVPR 2019), whole or some of its categories.

    ``CATEGORY/CATEGORY-N`` with ``img/%08d.jpg``, ``groundtruth.txt`` (x,y,w,h from 1), ``nlp.txt`` (one
    sentence), ``full_occlusion.txt`` and ``out_of_view.txt`` (0 or 1 a frame between commas; either means
    absent). Sequences may also lie in the folder itself, without the categories between.

    Args:
        split: "train" or "test" of the official 1,120 and 280; of categories of the later extension
            everything is "test".
    """
    parts_of(split, ("train", "test"), folder)
    test = lasot_test_names()
    categories = {name.rpartition("-")[0] for name in test}
    clips = []
    for directory in folders_in(folder, "the folders of the categories"):
        if (directory / "img").is_dir():
            clips.append(directory)
        else:
            inner = folders_in(directory, "sequences")
            clips += [clip for clip in inner if clip.name.startswith(f"{directory.name}-")]
    sequences = []
    for directory in clips:
        name = directory.name
        is_test = name in test or name.rpartition("-")[0] not in categories
        if split is None or is_test == (split == "test"):
            sequences.append(_lasot_sequence(directory))
    return sequences


def _lasot_sequence(directory: Path) -> Sequence:
    truth = directory / "groundtruth.txt"
    boxes = read_boxes(truth, first_pixel=1)
    frames = pictures_in(directory / "img")
    if directory.name == "monkey-17":  # has pictures beyond its last box, which its authors cut off
        frames = frames[: len(boxes)]
    _agree(truth, boxes, frames)
    flag = "0 or 1 a frame"
    occluded = read_numbers(directory / "full_occlusion.txt", len(frames), flag) > 0
    outside = read_numbers(directory / "out_of_view.txt", len(frames), flag) > 0
    attributes = {"full occlusion": occluded.any(), "out of view": outside.any()}
    return Sequence(
        directory.name,
        tuple(frames),
        (" ".join(read_lines(directory / "nlp.txt", "one sentence")),),
        boxes=_visible(boxes, occluded | outside),
        absent=occluded | outside,
        attributes=frozenset(name for name, present in attributes.items() if present),
    )


def _visible(boxes: FloatArray, absent: NDArray[np.bool_]) -> FloatArray:
    """Some sets give a box where they say that nothing is to be seen: a guess, not an annotation."""
    return np.where(absent[:, None], np.nan, boxes)


# --- TNL2K -------------------------------------------------------------------------------------------------


def tnl2k_sequences(folder: Path, split: str | None = None) -> list[Sequence]:
    """TNL2K (Wang et al., "Towards more flexible and accurate object tracking with natural language", 2021).

    ``TNL2K_train_subset/NAME`` or ``TNL2K_test_subset/NAME`` (also: train, test) with ``imgs``,
    ``groundtruth.txt`` (x,y,w,h) and ``language.txt``. In some the sentence is empty, as published. Where
    the target is absent only the evaluation toolkit says, of the test part: put its ``annos/absent`` folder
    (NAME.txt, 0 or 1 a line) beside the sequences or into `folder`. A box of zeros alone is no box.
    """
    sequences = []
    for part in parts_of(split, ("train", "test"), folder):
        candidates = [folder / f"TNL2K_{part}_subset", folder / f"TNL2K_{part}", folder / part]
        if split is None and not any(path.is_dir() for path in candidates):
            continue
        directory = first_existing(candidates, f"The {part} part of TNL2K")
        flags = [d / "annos" / "absent" for d in (directory, folder) if (d / "annos" / "absent").is_dir()]
        for clip in folders_in(directory, "sequences"):
            if clip.name != "annos":
                sequences.append(_tnl2k_sequence(clip, flags))
    return sequences


def _tnl2k_sequence(directory: Path, flags: list[Path]) -> Sequence:
    truth = directory / "groundtruth.txt"
    boxes = read_boxes(truth)
    frames = pictures_in(directory / "imgs")
    if directory.name == "test_015_Sord_video_Q01_done" and len(frames) == len(boxes) - 1:
        # Picture 492 was published damaged, under a name that is no picture's; its neighbour stands in.
        before = next(i for i, p in enumerate(frames) if _number(p) == 491)
        frames.insert(before + 1, frames[before])
    _agree(truth, boxes, frames)
    absent = np.zeros(len(frames), bool)
    for path in (d / f"{directory.name}.txt" for d in flags):
        if path.exists():
            absent = read_numbers(path, len(frames), "0 or 1 a frame") > 0
            break
    sentences = read_lines(directory / "language.txt", "one sentence")
    return Sequence(
        directory.name,
        tuple(frames),
        (" ".join(sentences),) if sentences else (),
        boxes=_visible(boxes, absent),
        absent=absent,
    )


# --- GOT-10k -----------------------------------------------------------------------------------------------


def got10k_sequences(folder: Path, split: str | None = None) -> list[Sequence]:
    """GOT-10k (Huang et al., PAMI 2019): boxes, no sentences.

    ``train``, ``val`` and ``test``, each with ``list.txt`` (names) and ``NAME/%08d.jpg``,
    ``NAME/groundtruth.txt`` (x,y,w,h from 1), and but for test ``absence.label`` (1: absent),
    ``cover.label`` (0 to 8: the visible part; 0 is nothing, such frames aren't measured) and
    ``meta_info.ini``. Of a test sequence the first box is public, the rest is not annotated.
    """
    sequences = []
    for part in parts_of(split, ("train", "val", "test"), folder):
        if split is None and not (folder / part).is_dir():
            continue
        names = read_lines(folder / part / "list.txt", "the names of the sequences")
        sequences += [_got10k_sequence(folder / part / name, public=part != "test") for name in names]
    return sequences


def _got10k_sequence(directory: Path, *, public: bool) -> Sequence:
    frames = pictures_in(existing(directory, "a sequence that list.txt names"))
    truth = directory / "groundtruth.txt"
    boxes = read_boxes(truth, first_pixel=1)
    absent = np.zeros(len(frames), bool)
    attributes: frozenset[str] = frozenset()
    if public:
        flags = read_numbers(directory / "absence.label", len(frames), "0 or 1 a line")
        cover = read_numbers(directory / "cover.label", len(frames), "0 to 8 a line")
        absent = (flags > 0) | (cover == 0)
        attributes = _got10k_classes(directory / "meta_info.ini")
    elif len(boxes) == 1:
        boxes = np.concatenate([boxes, np.full((len(frames) - 1, 4), np.nan)])
    _agree(truth, boxes, frames)
    boxes = _visible(boxes, absent)
    return Sequence(directory.name, tuple(frames), (), boxes=boxes, absent=absent, attributes=attributes)


def _got10k_classes(path: Path) -> frozenset[str]:
    """What moves, and how: "object_class: dog", "motion_class: running"."""
    keys = ("object_class", "motion_class")
    pairs = (line.partition(":") for line in read_lines(path, "a line each such as object_class: dog"))
    values = {key.strip(): value.strip() for key, _, value in pairs}
    if missing := [key for key in keys if key not in values]:
        raise LangTrackError(f"{path} does not say {missing[0]}: expected a line such as {missing[0]}: dog.")
    return frozenset(f"{key}: {values[key]}" for key in keys)
