"""Pictures of the worst and the best frames, with the prediction and the truth."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from langtrack_core.masks import BoolMask
from langtrack_core.run.render import draw, line_width
from langtrack_core.types import Branch, Decision, Estimate, Frame, LangTrackError, Reason, State, Step

from ..datasets.files import read_picture
from ..evaluation.protocol import Item, items_of
from ..evaluation.results import file_name
from ..evaluation.runner import Record
from ..evaluation.scores import Scores
from ..evaluation.tables import Summary, distinct_labels
from ..files import plain_name, replacing
from ..runs import decode_rle

TRUTH_RGB = (0, 200, 60)
"""Colour of the true outline: green, which no branch has."""

WIDTH = 420
"""Width of a picture in the page, in pixels."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame for the report.

    Attributes:
        key, sentence: those of the record.
        frame: index in the sequence.
        overlap: overlap of the fused prediction with the truth; nan where the frame does not count.
        rgb: ``(H, W, 3)`` uint8, with prediction and truth drawn in.
        tracker: its label, where pictures of several stand side by side.
    """

    key: str
    sentence: str
    frame: int
    overlap: float
    rgb: NDArray[np.uint8]
    tracker: str = ""

    @property
    def caption(self) -> str:
        quoted = f' "{self.sentence}"' if self.sentence else ""
        overlap = "not counted" if np.isnan(self.overlap) else f"overlap {self.overlap:.2f}"
        tracker = f", {self.tracker}" if self.tracker else ""
        return f"{self.key}{quoted}, frame {self.frame}{tracker}: {overlap}"

    def jpeg(self, width: int | None = WIDTH) -> bytes:
        """The picture as JPEG, at most ``width`` pixels wide; in full size when None."""
        picture = Image.fromarray(self.rgb)
        if width is not None and picture.width > width:
            picture = picture.resize((width, round(picture.height * width / picture.width)))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=82)
        return stream.getvalue()


def shots(summary: Summary, count: int, data: Path | None = None) -> tuple[list[Shot], list[Shot]]:
    """The worst and the best frames of the fused track, at most one of each for a sequence.

    Args:
        count: at most this many of each, and for at most half of the sequences.
        data: folder of the data set, when it has moved since the measurement.

    Raises:
        LangTrackError: the data set is not there any more, or not the one that was measured.
    """
    pairs = _scored(summary)
    items = _items([summary], data)
    count = min(count, (len(pairs) + 1) // 2)

    def choose(extreme: Callable[..., Any], worst: bool) -> list[Shot]:
        ranked = sorted(pairs, key=lambda pair: float(extreme(pair[1].overlaps)))
        extremes = ranked[:count] if worst else ranked[::-1][:count]
        return [_shot(r, s, items[r.key], _place(s, float(extreme(s.overlaps)))) for r, s in extremes]

    return choose(np.nanmin, True), choose(np.nanmax, False)


def side_by_side(summaries: Sequence[Summary], data: Path | None = None) -> list[list[Shot]]:
    """For every sequence the worst frame of each tracker's fused track, and the other trackers on that frame.

    Args:
        summaries: trackers under one protocol.
        data: folder of the data set, when it has moved since the measurement.

    Returns:
        A list for each sequence: the pictures of one frame in the order of ``summaries``, then those of the
        next. The sequences on which the first tracker is worst come first.

    Raises:
        LangTrackError: the data set is not there any more, or not the one that was measured.
    """
    items = _items(summaries, data)
    sequences: dict[str, dict[str, tuple[Record, Scores]]] = {}
    for label, summary in zip(distinct_labels(summaries), summaries, strict=True):
        for record, scores in _scored(summary):
            sequences.setdefault(record.key, {})[label] = (record, scores)

    rows = []
    for key, pairs in sorted(sequences.items(), key=lambda entry: _mean_overlap(entry[1])):
        places = {_place(scores, float(np.nanmin(scores.overlaps))) for _, scores in pairs.values()}
        rows.append(
            [
                _shot(*pair, items[key], place, label)
                for place in sorted(places)
                for label, pair in pairs.items()
            ]
        )
    return rows


def _mean_overlap(pairs: Mapping[str, tuple[Record, Scores]]) -> float:
    return float(np.nanmean(next(iter(pairs.values()))[1].overlaps))


def _scored(summary: Summary) -> list[tuple[Record, Scores]]:
    """The records of the fused track with a frame that counts."""
    return [(r, s) for r, s in summary.pairs("fused") if not np.isnan(s.overlaps).all()]


def _items(summaries: Sequence[Summary], data: Path | None) -> dict[str, Item]:
    """The items of the data that were measured, by key; refused when the data have changed since."""
    results = summaries[0].results
    folder = Path(data or results.run["data"])
    items = {item.key: item for item in items_of(results.protocol, folder)}
    for record, _ in (pair for summary in summaries for pair in _scored(summary)):
        file, item = results.run["sequences"].get(record.key), items.get(record.key)
        if (
            item is None
            or (file and file_name(item) != file)
            or record.start + len(record.truth_xyxy) > len(item.sequence.frames)
        ):
            raise LangTrackError(
                f"{folder} is not the data that was measured ({record.key} differs); pictures are left out."
            )
    return items


def save_shots(worst: Sequence[Shot], best: Sequence[Shot], folder: Path) -> list[Path]:
    """Writes ``worst-1-bear-12.jpg`` and so on, in full size."""
    return _save(
        {
            f"{kind}-{number}-{plain_name(shot.key, 'item')}-{shot.frame}": shot
            for kind, pictures in (("worst", worst), ("best", best))
            for number, shot in enumerate(pictures, 1)
        },
        folder,
    )


def save_side_by_side(rows: Sequence[Sequence[Shot]], folder: Path) -> list[Path]:
    """Writes ``1-bear-12-before.jpg``, ``1-bear-12-after.jpg`` and so on, in full size."""
    labels = dict.fromkeys(shot.tracker for row in rows for shot in row)
    names = [plain_name(label, "tracker") for label in labels]
    trackers = {  # two labels may be one name, as those without a Latin letter
        label: f"{name}-{i}" if names.count(name) > 1 else name
        for i, (label, name) in enumerate(zip(labels, names, strict=True), 1)
    }
    return _save(
        {
            f"{number}-{plain_name(shot.key, 'item')}-{shot.frame}-{trackers[shot.tracker]}": shot
            for number, row in enumerate(rows, 1)
            for shot in row
        },
        folder,
    )


def _save(pictures: Mapping[str, Shot], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, shot in pictures.items():
        path = folder / f"{name}.jpg"
        with replacing(path) as partial:
            partial.write_bytes(shot.jpeg(None))
        paths.append(path)
    return paths


def _place(scores: Scores, overlap: float) -> int:
    """Place of a frame with this overlap: of several the one in the middle."""
    places = np.flatnonzero(np.isclose(np.nan_to_num(scores.overlaps, nan=-1.0), overlap))
    return int(places[len(places) // 2])


def _shot(record: Record, scores: Scores, item: Item, place: int, tracker: str = "") -> Shot:
    index = record.start + place
    fused = record.predictions["fused"]
    rgb = read_picture(item.sequence.frames[index])
    mask_prob = np.zeros(rgb.shape[:2], np.float32)
    if fused.masks and (encoded := fused.masks[place]) is not None:
        mask_prob = decode_rle(encoded).astype(np.float32)
    box = fused.boxes_xyxy[place]
    source = cast(Branch, record.sources[place] if record.sources else "language")
    confidence = float(np.nan_to_num(fused.confidence[place]))
    estimate = Estimate(mask_prob, confidence, None if np.isnan(box).any() else box)
    state = cast(State, record.states[place] if record.states else "tracking")
    decision = Decision(
        source if estimate.box_xyxy is not None else None,
        state,
        confidence,
        False,
        False,
        Reason.LANGUAGE_ONLY,
    )
    rgb = draw(Step(Frame(index, 0.0, rgb), None, None, estimate, decision), "fused")
    _draw_truth(rgb, item.sequence.mask(index), record.truth_xyxy[place])
    return Shot(record.key, record.sentence or "", index, float(scores.overlaps[place]), rgb, tracker)


def _draw_truth(rgb: NDArray[np.uint8], mask: BoolMask | None, box: NDArray[np.floating]) -> None:
    """Draws the truth as a green outline, in place."""
    width = max(1, line_width(rgb.shape[:2]) // 2)
    if mask is not None:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(rgb, contours, -1, TRUTH_RGB, width, cv2.LINE_AA)
    elif not np.isnan(box).any():
        x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
        cv2.rectangle(rgb, (x1, y1), (x2 - 1, y2 - 1), TRUTH_RGB, width)
