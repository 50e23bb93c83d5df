"""What the published recipe learns from: single frames, each with a sentence and a filled box.

The draw of sequences depends on the seed and on the names that are there; a stage's manifest records it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from langtrack_core.dmn.segmenter import Preprocessing
from langtrack_core.dmn.vocabulary import Vocabulary, published_tokens
from langtrack_core.geometry import FloatArray
from langtrack_core.types import LangTrackError

from ..datasets import Instance, Referral, Sequence, open_dataset, open_sequences
from ..datasets.files import read_picture
from ..datasets.pictures import box_to_mask

VALIDATION_STRIDE = 50
"""Frames between two that are validated on; neighbours in a clip say the same."""


class PaperPair(NamedTuple):
    """One picture and one query.

    Attributes:
        target: the box ``[x1, y1, x2, y2]`` in pixels, to be filled; or, for photos, the object.
    """

    picture: Path
    sentence: str
    target: FloatArray | Instance


class PaperSample(NamedTuple):
    """What the network takes: ``image`` (1, 3, h, w), ``ids`` (T,), ``target`` (h, w) bool."""

    image: Tensor
    ids: Tensor
    target: Tensor


@dataclass(frozen=True)
class StageData:
    """Pairs to learn from and to validate on, and the names of the sequences or sets they are from."""

    pairs: list[PaperPair]
    validation: list[PaperPair]
    sources: list[str]
    validation_sources: list[str]


# --- choosing ----------------------------------------------------------------------------------------------


def draw_sequences(sequences: list[Sequence], count: int, seed: int, what: str) -> list[Sequence]:
    """``count`` of them at random.

    Raises:
        LangTrackError: there are not that many.
    """
    if len(sequences) < count:
        raise LangTrackError(f"The recipe takes {count} sequences of {what}, but {len(sequences)} are there.")
    places = np.random.default_rng(seed).permutation(len(sequences))[:count]
    return [sequences[i] for i in sorted(places)]


def clips_data(otb: Path, lasot: Path, otb_count: int, lasot_count: int, seed: int) -> StageData:
    """Clips of OTB-99-Lang and of LaSOT, both of their training parts.

    The clips of OTB that were not drawn are validated on.
    """
    otb_clips, lasot_clips = open_sequences("otb-lang", otb, "train"), open_sequences("lasot", lasot, "train")
    otb_drawn = draw_sequences(otb_clips, otb_count, seed, "OTB-99-Lang (train)")
    lasot_drawn = draw_sequences(lasot_clips, lasot_count, seed, "LaSOT (train)")
    return _data([*otb_drawn, *lasot_drawn], _without(otb_clips, otb_drawn))


def categories_data(otb: Path, lasot: Path, otb_count: int, seed: int) -> StageData:
    """One clip of each LaSOT category; validated on the same clips as `clips_data`."""
    otb_clips = open_sequences("otb-lang", otb, "train")
    rng = np.random.default_rng(seed)
    categories: dict[str, list[Sequence]] = {}
    for sequence in open_sequences("lasot", lasot, "train"):
        categories.setdefault(sequence.name.rpartition("-")[0], []).append(sequence)
    training = [clips[rng.integers(len(clips))] for _, clips in sorted(categories.items())]
    return _data(
        training, _without(otb_clips, draw_sequences(otb_clips, otb_count, seed, "OTB-99-Lang (train)"))
    )


def referit_data(referit: Path) -> StageData:
    """Photos of ReferIt (refCLEF) with the outline of what is meant."""
    return StageData(
        _referral_pairs(referit, "train"),
        _referral_pairs(referit, "val")[::VALIDATION_STRIDE],
        ["refclef train"],
        ["refclef val"],
    )


def _without(sequences: list[Sequence], others: list[Sequence]) -> list[Sequence]:
    names = {sequence.name for sequence in others}
    rest = [sequence for sequence in sequences if sequence.name not in names]
    if not rest:
        raise LangTrackError("No sequence of OTB-99-Lang (train) is left to choose the best checkpoint on.")
    return rest


def _data(training: list[Sequence], validation: list[Sequence]) -> StageData:
    return StageData(
        clip_pairs(training),
        clip_pairs(validation, VALIDATION_STRIDE),
        [sequence.name for sequence in training],
        [sequence.name for sequence in validation],
    )


def clip_pairs(sequences: Iterable[Sequence], stride: int = 1) -> list[PaperPair]:
    """Every ``stride``-th frame on which the target is visible; several sentences take turns."""
    pairs = []
    for sequence in sequences:
        if not sequence.expressions:
            raise LangTrackError(f"The sequence {sequence.name} has no sentence to learn from.")
        boxes = sequence.boxes_xyxy
        visible = np.flatnonzero(np.isfinite(boxes).all(axis=1))[::stride]
        for turn, i in enumerate(visible):
            sentence = sequence.expressions[turn % len(sequence.expressions)]
            pairs.append(PaperPair(sequence.frames[i], sentence, boxes[i]))
    return pairs


def _referral_pairs(folder: Path, split: str) -> list[PaperPair]:
    return [
        PaperPair(referral.picture.path, sentence, referral.instance)
        for referral in open_dataset("refclef", folder, split)
        if isinstance(referral, Referral)
        for sentence in referral.sentences
    ]


# --- reading -----------------------------------------------------------------------------------------------


def read_pair(pair: PaperPair, preprocessing: Preprocessing, vocabulary: Vocabulary) -> PaperSample:
    """The target is drawn at the size of the network's input; unknown words are ``<unk>``."""
    rgb = read_picture(pair.picture)
    image = preprocessing(rgb)
    h, w = image.shape[-2:]
    unknown = vocabulary.ids["<unk>"]
    ids = [vocabulary.ids.get(token, unknown) for token in published_tokens(pair.sentence)] or [unknown]
    return PaperSample(image, torch.tensor(ids), torch.from_numpy(_target(pair, rgb.shape[:2], (h, w))))


def _target(pair: PaperPair, size_hw: tuple[int, ...], input_hw: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size_hw
    if isinstance(pair.target, Instance):
        mask = pair.target.mask((height, width)).astype(np.uint8)
        return cv2.resize(mask, input_hw[::-1], interpolation=cv2.INTER_NEAREST) > 0
    scale = np.array([input_hw[1] / width, input_hw[0] / height] * 2)
    return box_to_mask(pair.target * scale, input_hw)


def words_of(pairs: Iterable[PaperPair]) -> Vocabulary:
    """Every word of the sentences, for a network that starts from nothing."""
    tokens = {token for pair in pairs for token in published_tokens(pair.sentence)}
    words = sorted(token for token in tokens if any(c.isalnum() for c in token))
    return Vocabulary.from_lines(words, "published")


@lru_cache(maxsize=4)
def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch takes the pairs, each once."""
    return np.random.default_rng((seed, epoch)).permutation(count)
