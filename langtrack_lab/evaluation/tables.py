"""Result folders summed up: tables as text, Markdown, CSV and JSON. A table holds one protocol only."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics.boxes import NORMALISED, PIXELS, THRESHOLDS
from .protocol import INITS
from .results import Results
from .runner import Record
from .scores import BRANCHES, MEASURES, ORACLE, Scores, mean_curve, overall, scores_of

BOX_COLUMNS = ("auc", "precision", "normalised", "normalised_auc", "ao", "sr50", "sr75", "referral")
"""Keys of `MEASURES` for boxes, in the order of the columns."""

MASK_COLUMNS = (
    *("jf", "j", "j_recall", "j_decay", "f", "f_recall", "f_decay"),
    *("mean_iou", "overall_iou", "p50", "p60", "p70", "p80", "p90"),
)
"""Keys of `MEASURES` for masks, in the order of the columns."""
SHORT = ("auc", "precision", "normalised", "ao", "jf", "j", "f", "mean_iou", "overall_iou", "p50", "referral")
"""Measures that fit on a line of text."""


@dataclass(frozen=True, eq=False)
class Summary:
    """One result folder with its figures.

    Attributes:
        results: the folder read back.
        scores: by branch, for each record of ``results`` in order; None where the branch did not run.
    """

    results: Results
    scores: Mapping[str, tuple[Scores | None, ...]]

    @property
    def label(self) -> str:
        return self.results.label

    @property
    def records(self) -> tuple[Record, ...]:
        return self.results.records

    @property
    def fps(self) -> float:
        """Frames a second over all sequences, reading pictures included; nan when unknown."""
        seconds = sum(r.seconds for r in self.records)
        return sum(len(r.truth_xyxy) for r in self.records) / seconds if seconds > 0 else math.nan

    @property
    def peak_mb(self) -> float:
        """Most memory of the process; nan when unknown."""
        peak = max((r.peak_mb for r in self.records), default=0.0)
        return peak or math.nan

    def overall(self, branch: str, attribute: str | None = None) -> dict[str, float]:
        """Figures of one branch, over all sequences or those with an attribute."""
        return overall(s for r, s in self.pairs(branch) if attribute is None or attribute in r.attributes)

    def pairs(self, branch: str) -> list[tuple[Record, Scores]]:
        """The records on which a branch ran, with its scores."""
        scores = self.scores.get(branch, ())
        return [(r, s) for r, s in zip(self.records, scores, strict=False) if s is not None]

    def attributes(self) -> list[str]:
        return sorted({a for r in self.records for a in r.attributes})


def summarise(results: Results) -> Summary:
    """Score every record under its protocol's convention."""
    convention = results.protocol.convention
    each = [scores_of(record, convention) for record in results.records]
    branches = [branch for branch in BRANCHES if any(branch in scores for scores in each)]
    return Summary(results, {branch: tuple(scores.get(branch) for scores in each) for branch in branches})


def by_protocol(summaries: Iterable[Summary]) -> dict[str, list[Summary]]:
    """Groups of summaries that can be in one table: the same protocol, sequences and truth.

    A group's key is the title of its protocol. Those that start with the least information come first.
    """
    groups: dict[tuple[str, frozenset[tuple[str, str]]], list[Summary]] = {}
    for summary in sorted(summaries, key=lambda s: INITS.index(s.results.protocol.init)):
        sequences = frozenset(summary.results.run["sequences"].items())  # with the hashes of their data
        groups.setdefault((summary.results.protocol.title, sequences), []).append(summary)
    groups_by_title: dict[str, list[Summary]] = {}
    for (title, _), group in groups.items():
        number = sum(name == title or name.startswith(f"{title}, set ") for name in groups_by_title)
        groups_by_title[f"{title}, set {number + 1}" if number else title] = group
    return groups_by_title


def distinct_labels(summaries: Sequence[Summary]) -> list[str]:
    """Their labels; with the folder's hash where two are the same, and a number where that is, too."""
    plain = [s.label for s in summaries]
    labels = [
        f"{label} {s.results.folder.name.rsplit('-', 1)[-1]}" if plain.count(label) > 1 else label
        for label, s in zip(plain, summaries, strict=True)
    ]
    return [
        f"{label} ({labels[:i].count(label)})" if labels.count(label) > 1 else label
        for i, label in enumerate(labels, 1)
    ]


def alike(summaries: Iterable[Summary]) -> bool:
    """Whether all have the same sequences done, so that the best figure of a column means something."""
    return len({frozenset(record.key for record in summary.records) for summary in summaries}) == 1


def notes_of(summary: Summary, label: str) -> list[str]:
    """What a reader of the figures has to know: sequences without an answer, and those not done."""
    notes = [f"{r.key}: nothing was answered: {r.note}" for r in summary.records if r.note]
    if missing := summary.results.missing:
        count = len(summary.results.run["sequences"])
        more = f", and {len(missing) - 10} more" if len(missing) > 10 else ""
        names = ", ".join(missing[:10]) + more
        notes.append(f"{label} is not complete, {len(missing)} of {count} are missing: {names}.")
    return notes


# --- rows --------------------------------------------------------------------------------------------------


Row = tuple[tuple[str, ...], dict[str, float]]
"""Name cells of a row, and its figures by key of `MEASURES`."""


def branch_rows(summaries: Sequence[Summary]) -> list[Row]:
    """A row for each tracker and branch; a tracker of one piece has "-" for it."""
    return [
        ((label, branch if len(summary.scores) > 1 else "-"), summary.overall(branch))
        for label, summary in zip(distinct_labels(summaries), summaries, strict=True)
        for branch in summary.scores
    ]


def sequence_rows(summary: Summary, branch: str = "fused") -> list[Row]:
    """A row for each record."""
    return [
        ((record.key, record.sentence or "", str(len(record.truth_xyxy))), overall([scores]))
        for record, scores in summary.pairs(branch)
    ]


def attribute_rows(summaries: Sequence[Summary], branch: str = "fused") -> list[Row]:
    """A row for each attribute and tracker; none where the set has no attributes."""
    names = sorted({name for summary in summaries for name in summary.attributes()})
    return [
        ((name, label, str(sum(name in r.attributes for r in summary.records))), figures)
        for name in names
        for label, summary in zip(distinct_labels(summaries), summaries, strict=True)
        if (figures := summary.overall(branch, name))
    ]


def columns_of(rows: Iterable[Row], columns: Sequence[str] = SHORT) -> list[str]:
    """The columns measures that some row has."""
    there = {key for _, figures in rows for key in figures}
    return [key for key in columns if key in there]


def as_decimal(value: float | None, decimals: int = 3) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


# --- text --------------------------------------------------------------------------------------------------


def as_text(head: Sequence[str], rows: Sequence[Row]) -> str:
    """A table as text, with aligned columns."""
    keys = columns_of(rows)
    lines = [[*head, *(MEASURES[k].title for k in keys)]]
    lines += [[*names, *(as_decimal(figures.get(k)) for k in keys)] for names, figures in rows]
    return aligned(lines, len(head))


def aligned(lines: Sequence[Sequence[str]], names: int) -> str:
    """A text with aligned columns: the first ``names`` of them flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < names else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(
    head: Sequence[str], rows: Sequence[Row], columns: Sequence[str] = SHORT, *, bold: bool = True
) -> str:
    """A table for a README; the best of each column is bold if columns, the oracle out of the contest."""
    keys = columns_of(rows, columns)
    best = {key: best_of(rows, key) for key in keys}
    lines = [[*head, *(MEASURES[k].title for k in keys)], ["---"] * len(head) + ["---:"] * len(keys)]
    for names, figures in rows:
        cells = []
        for key in keys:
            cell = as_decimal(figures.get(key))
            contest = bold and ORACLE not in names and cell != "" and len(rows) > 1
            cells.append(f"**{cell}**" if contest and cell == as_decimal(best[key]) else cell)
        lines.append([*(markdown_text(name) for name in names), *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def best_of(rows: Sequence[Row], key: str) -> float | None:
    """The best figure of a column; the oracle does not compete."""
    values = [f[key] for names, f in rows if key in f and ORACLE not in names]
    if not values:
        return None
    return max(values) if MEASURES[key].higher_is_better else min(values)


def markdown_text(text: str) -> str:
    """A text of one line that Markdown shows as it is: no cell ends in it, and no HTML begins."""
    return re.sub(r"[\\|<]", r"\\\g<0>", text).replace("\n", " ")


def speed_line(label: str, summary: Summary) -> str:
    """Speed and memory in words."""
    if math.isnan(summary.fps):
        return f"{label}: speed unknown."
    memory = "" if math.isnan(summary.peak_mb) else f", peak memory {summary.peak_mb:.0f} MB"
    return f"{label}: {summary.fps:.1f} frames a second{memory}."


def precision_line(weights: Iterable[Mapping[str, Any]]) -> str:
    """What each network ran in, by what the manifest says of their weights."""
    precisions = [f"{about['branch']} {about['backend']['precision']}" for about in weights]
    return f"Precision: {', '.join(precisions)}."


# --- files -------------------------------------------------------------------------------------------------


def as_csv(summaries: Sequence[Summary]) -> str:
    """A line for each tracker, branch and sequence, then one for all sequences ("all").

    The last one says how many sequences are missing.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ("protocol", "tracker", "branch", "sequence", "sentence", "frames", "fps", "missing")
    writer.writerow([*head, *MEASURES])
    titles = {summary: title for title, group in by_protocol(summaries).items() for summary in group}
    for label, summary in zip(distinct_labels(summaries), summaries, strict=True):
        protocol = titles[summary]
        for branch in summary.scores:
            for record, scores in summary.pairs(branch):
                frames = len(record.truth_xyxy)
                names = [record.key, record.sentence or "", frames, as_decimal(record.fps, 2), ""]
                writer.writerow([protocol, label, branch, *names, *_cells(overall([scores]))])
            frames = sum(len(r.truth_xyxy) for r, _ in summary.pairs(branch))
            names = ["all", "", frames, as_decimal(summary.fps, 2), len(summary.results.missing)]
            writer.writerow([protocol, label, branch, *names, *_cells(summary.overall(branch))])
    return stream.getvalue()


def _cells(figures: Mapping[str, float]) -> list[str]:
    return [as_decimal(figures.get(key), 6) for key in MEASURES]


def as_json(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Everything that the report shows but the pictures: figures, curves, weights, settings."""
    return [
        {
            "label": label,
            "protocol": summary.results.run["protocol"],
            "convention": summary.results.protocol.convention.name,
            "tracker": summary.results.run["tracker"],
            "fingerprint": summary.results.run["fingerprint"],
            "missing": list(summary.results.missing),
            "fps": _finite(summary.fps),
            "peak_mb": _finite(summary.peak_mb),
            "thresholds": {
                "success": THRESHOLDS.round(2).tolist(),
                "precision": PIXELS.tolist(),
                "normalised": NORMALISED.tolist(),
            },
            "branches": {
                branch: {
                    "all": summary.overall(branch),
                    "attributes": {a: summary.overall(branch, a) for a in summary.attributes()},
                    "curves": {
                        name: np.round(mean_curve((s for _, s in summary.pairs(branch)), name), 6).tolist()
                        for name in ("success", "precision", "normalised")
                    },
                    "sequences": {r.key: overall([s]) for r, s in summary.pairs(branch)},
                }
                for branch in summary.scores
            },
        }
        for label, summary in zip(distinct_labels(summaries), summaries, strict=True)
    ]


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
