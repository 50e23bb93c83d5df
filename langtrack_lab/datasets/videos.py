"""Video object segmentation with sentences: Ref-DAVIS17 and Ref-YouTube-VOS. One sequence an object."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from langtrack_core.types import LangTrackError
from langtrack_core.video.pictures import natural_key, pictures_in

from .files import first_existing, masks_for, parts_of, read_json, read_lines
from .sequences import Sequence

# --- Ref-DAVIS17 -------------------------------------------------------------------------------------------

_DAVIS_TEXTS = (
    "Davis17_annot1.txt",
    "Davis17_annot1_full_video.txt",
    "Davis17_annot2.txt",
    "Davis17_annot2_full_video.txt",
)
"""The files of sentences: each of two annotators saw the first frame, and then the whole video."""

_DAVIS_MISSPELT = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
"""Names of clips as the text files spell them, and as the folders are called."""

_DAVIS_LINE = re.compile(r'(\S+)\s+(\d+)\s+"?(.*?)"?')
"""A line of these files: the clip, the number of the object, and the sentence, often in quotes."""


def ref_davis17_sequences(folder: Path, split: str | None = None) -> list[Sequence]:
    """DAVIS 2017 (480p) with the sentences of Khoreva et al., ACCV 2018.

    ``DAVIS`` (or the folder itself) with ``JPEGImages/480p``, ``ImageSets/2017/train.txt`` and ``val.txt``,
    and palette masks in ``Annotations_unsupervised/480p``, which published Ref-DAVIS17 results use, else
    ``Annotations/480p``. ``davis_text_annotations`` with up to four files, a line ``NAME OBJECT "SENTENCE"``
    each: annotator 1 having seen the first frame, the whole video, then annotator 2 likewise. An object's
    `expressions` come in that order.
    """
    parts = parts_of(split, ("train", "val"), folder)
    root = folder / "DAVIS" if (folder / "DAVIS").is_dir() else folder
    sentences = _davis_sentences(
        first_existing(
            [d / "davis_text_annotations" for d in (folder, root)], "The folder of Ref-DAVIS17 sentences"
        )
    )
    masks = first_existing(
        [root / kind / "480p" for kind in ("Annotations_unsupervised", "Annotations")], "The folder of masks"
    )
    sequences = []
    for part in parts:
        for name in read_lines(root / "ImageSets" / "2017" / f"{part}.txt", "the names of the videos"):
            frames = pictures_in(root / "JPEGImages" / "480p" / name)
            paths = masks_for(frames, masks / name)
            for object_id, texts in sorted(sentences.get(name, {}).items()):
                sequences.append(
                    Sequence(f"{name}.{object_id}", tuple(frames), tuple(texts), paths, object_id=object_id)
                )
    return sequences


def _davis_sentences(folder: Path) -> dict[str, dict[int, list[str]]]:
    """Sentences by the name of the video and the number of the object."""
    sentences: dict[str, dict[int, list[str]]] = {}
    paths = [folder / name for name in _DAVIS_TEXTS if (folder / name).exists()]
    if not paths:
        raise LangTrackError(f"{folder} holds no sentences: expected {', '.join(_DAVIS_TEXTS)}.")
    for path in paths:
        for number, line in enumerate(read_lines(path, "sentences"), 1):
            match = _DAVIS_LINE.fullmatch(line)
            if match is None or not match[3].strip():
                raise LangTrackError(
                    f'{path}, line {number}, should be NAME OBJECT "SENTENCE", but is: {line}'
                )
            name = _DAVIS_MISSPELT.get(match[1], match[1])
            sentences.setdefault(name, {}).setdefault(int(match[2]), []).append(match[3].strip())
    return sentences


# --- Ref-YouTube-VOS ---------------------------------------------------------------------------------------

_YOUTUBE_FOLDERS = {"train": "train", "val": "valid", "test": "test"}
"""The folder of each split as the data set is unpacked, by the name that all our commands use."""


def ref_youtube_vos_sequences(folder: Path, split: str | None = None) -> list[Sequence]:
    """Ref-YouTube-VOS (Seo et al., ECCV 2020), and sets converted to its layout.

    ``meta_expressions/PART/meta_expressions.json`` and ``PART/JPEGImages/VIDEO/*.jpg``, PART being train,
    valid (asked for as "val") or test; ``PART/Annotations/VIDEO/*.png`` are palette masks, every fifth frame
    in the original. Where a sentence says its object (train), all sentences of an object make one sequence
    VIDEO.OBJECT; where it doesn't (the truth is kept by the benchmark), each makes one without masks,
    VIDEO.SENTENCE. The file of "val" also lists the videos of "test", which are left out if the test file is
    there.
    """
    sequences = []
    for part in parts_of(split, _YOUTUBE_FOLDERS, folder):
        if split is not None or _expressions_file(folder, part).exists():
            sequences += _youtube_part(folder, part)
    return sequences


def _expressions_file(folder: Path, part: str) -> Path:
    return folder / "meta_expressions" / _YOUTUBE_FOLDERS[part] / "meta_expressions.json"


def _videos(path: Path) -> dict[str, Any]:
    data = read_json(path, "sentences of Ref-YouTube-VOS")
    if not isinstance(data, dict) or not isinstance(data.get("videos"), dict):
        raise LangTrackError(f'{path} is not the sentences of Ref-YouTube-VOS: it has no "videos".')
    return data["videos"]


def _youtube_part(folder: Path, part: str) -> list[Sequence]:
    path = _expressions_file(folder, part)
    videos = _videos(path)
    hidden: set[str] = set()
    if part == "val" and _expressions_file(folder, "test").exists():
        hidden = set(_videos(_expressions_file(folder, "test")))
    sequences = []
    for name, video in sorted(videos.items()):
        if name in hidden:
            continue
        try:
            stems = sorted(video["frames"], key=natural_key)
            expressions = sorted(video["expressions"].items(), key=lambda item: natural_key(item[0]))
            sentences = [(key, e["exp"].strip(), e.get("obj_id")) for key, e in expressions]
            by_object: dict[int, list[str]] = {}
            for _, text, object_id in sentences:
                if object_id is not None:
                    by_object.setdefault(int(object_id), []).append(text)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LangTrackError(
                f'{path}: video "{name}" is malformed: expected frames and expressions with exp and obj_id; '
                f"{error!r} is missing or wrong."
            ) from error
        frames = _youtube_frames(folder / _YOUTUBE_FOLDERS[part], name, stems)
        annotated = folder / _YOUTUBE_FOLDERS[part] / "Annotations" / name
        masks = masks_for(frames, annotated) if by_object else ()
        sequences += [
            Sequence(f"{name}.{object_id}", tuple(frames), tuple(texts), masks, object_id=object_id)
            for object_id, texts in sorted(by_object.items())
        ]
        sequences += [
            Sequence(f"{name}.{key}", tuple(frames), (text,))
            for key, text, object_id in sentences
            if object_id is None
        ]
    return sequences


def _youtube_frames(part: Path, name: str, stems: list[str]) -> list[Path]:
    frames = {path.stem: path for path in pictures_in(part / "JPEGImages" / name)}
    if missing := [stem for stem in stems if stem not in frames]:
        raise LangTrackError(
            f"{part / 'JPEGImages' / name} lacks {len(missing)} of {len(stems)} frames, "
            f"{missing[0]}.jpg first."
        )
    return [frames[stem] for stem in stems]
