"""The report as one HTML page that needs no other file. All text from outside is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from langtrack_core.run.render import Style
from langtrack_core.types import BRANCHES

from ..evaluation.runner import Record
from ..evaluation.scores import MEASURES, ORACLE, Scores, mean_curve
from ..evaluation.tables import (
    BOX_COLUMNS,
    MASK_COLUMNS,
    Row,
    Summary,
    alike,
    as_decimal,
    attribute_rows,
    best_of,
    branch_rows,
    by_protocol,
    columns_of,
    distinct_labels,
    notes_of,
    sequence_rows,
)
from ..metrics import LASOT, OTB, PLAIN
from ..metrics.boxes import NORMALISED, PIXELS, THRESHOLDS
from .charts import Line, legend, line_chart
from .pictures import TRUTH_RGB, Shot
from .significance import verdicts

_HERE = Path(__file__).parent
"""Folder of the style sheet and the script, which are copied into each page: it stays one file."""

_CURVES = (
    ("success", THRESHOLDS, "Success", "IoU over", "auc"),
    ("precision", PIXELS, "Precision", "centre within, in pixels", "precision"),
    ("normalised", NORMALISED, "Normalised precision", "centre within, in sizes of the box", "normalised"),
)
"""The curves of a section: field of `Scores`, places on the x axis, title, text of the axis, and the measure
that names the area under it or the point on it."""

_NUMBERS = frozenset({"frames", "sequences", "frames/s", "peak MB"})
"""Columns beside the measures that hold numbers, so that they stand to the right and sort by value."""

_ONCE = frozenset({"sentence", "frames", "frames/s", "peak MB"})
"""Columns that the table of boxes and that of masks would both show: they stand in the first alone."""

_ORACLE = ' class="oracle"'
"""Mark of the rows of the oracle, which no tracker is: the style sheet sets them in soft italics."""

_RULES = {
    PLAIN.name: "Frames without a true box are not counted, a missing box overlaps by 0.",
    OTB.name: "As in OTB's toolkit, where no box is given the last one stands.",
    LASOT.name: "As in LaSOT's toolkit, absent frames are right nowhere but stay in the denominator, and "
    "where no box is given the last one stands.",
}
"""What a reader has to know of each convention, by its name: one sentence below the table."""


@dataclass(frozen=True)
class Gallery:
    """Pictures of one tracker, or of all ``side_by_side``; ``note`` says why there are none."""

    worst: Sequence[Shot] = field(default=())
    best: Sequence[Shot] = field(default=())
    side_by_side: Sequence[Sequence[Shot]] = field(default=())
    note: str = ""


def page(summaries: Sequence[Summary], galleries: Mapping[str, Gallery]) -> str:
    """The whole page.

    Args:
        galleries: pictures of the first tracker of a table, or of all, by the title of its protocol.
    """
    groups = by_protocol(summaries)
    sections = "".join(
        _section(title, group, galleries.get(title, Gallery())) for title, group in groups.items()
    )
    count = "one way to measure" if len(groups) == 1 else f"{len(groups)} ways to measure"
    runs = "one result" if len(summaries) == 1 else f"{len(summaries)} results"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>LangTrack evaluation</title><style>{page_style()}</style></head><body>"
        "<h1>LangTrack evaluation</h1>"
        f'<p class="soft">{runs}, {count}. What is given on the first frame (a sentence, a box, or both) '
        "makes another task, so figures of one never stand in the table of another. Click the head of a "
        "column to sort, point at it to read what it means.</p>"
        f"{sections}<script>{_asset('page.js')}</script></body></html>\n"
    )


def page_style() -> str:
    """The style sheet of our pages, light and dark, with the colours of the branches as variables."""
    colours = "".join(f" --lt-{branch}: rgb{Style().colour(branch)};" for branch in BRANCHES)
    return f":root {{{colours} }}\n" + _asset("page.css")


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _section(title: str, group: Sequence[Summary], gallery: Gallery) -> str:
    parts = [f"<h2>{escape(title)}</h2>", f'<p class="soft">{_counts(group)} {_rule(group)}</p>']
    for label, summary in zip(distinct_labels(group), group, strict=True):
        parts += [f'<p class="note">{escape(note)}</p>' for note in notes_of(summary, label)]
    parts += ["<h3>By branch</h3>", _branch_table(group)]
    sentences = verdicts(group)
    if sentences:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        parts.append(f'<h3>Noise or not</h3><ul class="verdicts">{items}</ul>')
    parts.append(_plots(group))
    attributes = attribute_rows(group)
    if attributes:
        parts += ["<h3>By attribute (fused)</h3>", _tables(("attribute", "tracker", "sequences"), attributes)]
    parts += [_gallery(gallery), "<h3>By sequence (fused)</h3>"]
    for label, summary in zip(distinct_labels(group), group, strict=True):
        if len(group) > 1:
            parts.append(f"<p><b>{escape(label)}</b></p>")
        parts.append(_tables(("sequence", "sentence", "frames"), sequence_rows(summary)))
    parts += ["<h3>Overlap over time</h3>", _times(group)]
    return f"<section>{''.join(parts)}</section>"


def _counts(group: Sequence[Summary]) -> str:
    records = group[0].records
    frames = sum(len(r.truth_xyxy) for r in records)
    return f"{len({r.name for r in records})} sequences, {frames} frames."


def _rule(group: Sequence[Summary]) -> str:
    protocol = group[0].results.protocol
    rule = protocol.convention
    if protocol.init == "sentence":
        first = "No frame is given, so every one counts as it was predicted."
    elif rule.first_is_right:
        first = "The frame whose box was given counts as right."
    else:
        first = "The frame whose box was given is left out; J and F leave out the first and the last."
    return f"{_RULES[rule.name]} {first}"


# --- tables ------------------------------------------------------------------------------------------------


def _branch_table(group: Sequence[Summary]) -> str:
    """Accuracy by branch, and before it speed and memory, on the first row of each tracker."""
    speed = {
        label: (as_decimal(s.fps, 1), as_decimal(s.peak_mb, 0))
        for label, s in zip(distinct_labels(group), group, strict=True)
    }
    rows = [((*names, *speed.pop(names[0], ("", ""))), figures) for names, figures in branch_rows(group)]
    return _tables(("tracker", "branch", "frames/s", "peak MB"), rows, best=alike(group))


def _tables(head: Sequence[str], rows: Sequence[Row], *, best: bool = False) -> str:
    """A table of the box figures and one of the mask figures, each with the rows that have any.

    Names that both would show stand in the first alone.
    """
    parts: list[str] = []
    for caption, columns in (("boxes", BOX_COLUMNS), ("masks", MASK_COLUMNS)):
        rows_with_any = [row for row in rows if any(key in row[1] for key in columns)]
        if rows_with_any:
            parts.append(_table(caption, head, rows_with_any, columns_of(rows_with_any, columns), best=best))
            places = [i for i, title in enumerate(head) if title not in _ONCE]
            head = [head[i] for i in places]
            rows = [(tuple(names[i] for i in places), figures) for names, figures in rows]
    return "".join(parts)


def _table(caption: str, head: Sequence[str], rows: Sequence[Row], keys: Sequence[str], *, best: bool) -> str:
    """A sortable table; with ``best`` the best figure of each column is bold, the oracle's left aside."""
    tops = {key: as_decimal(best_of(rows, key)) for key in keys} if best and len(rows) > 1 else {}
    heads = [_head(name, "", number=name in _NUMBERS) for name in head]
    heads += [_head(MEASURES[key].title, MEASURES[key].about, number=True) for key in keys]
    lines = []
    for names, figures in rows:
        oracle = ORACLE in names
        cells = [_named(title, name) for title, name in zip(head, names, strict=True)]
        for key in keys:
            cell = as_decimal(figures.get(key))
            mark = ' class="best"' if cell and not oracle and cell == tops.get(key) else ""
            cells.append(f"<td{mark}>{cell}</td>")
        lines.append(f"<tr{_ORACLE if oracle else ''}>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _named(title: str, name: str) -> str:
    if title in _NUMBERS:
        return f"<td>{escape(name)}</td>"
    return f'<td class="name{" said" if title == "sentence" else ""}">{escape(name)}</td>'


def _head(title: str, about: str, *, number: bool) -> str:
    attributes = 'data-kind="number"' if number else 'class="name"'
    hint = f' title="{escape(about)}"' if about else ""
    return f'<th scope="col" {attributes}><button type="button"{hint}>{escape(title)}</button></th>'


# --- curves ------------------------------------------------------------------------------------------------


def _plots(group: Sequence[Summary]) -> str:
    """Success and precision: the branches of one tracker, or the fused tracks of several."""
    figures = []
    for name, x, title, x_title, key in _CURVES:
        lines, notes = [], []
        for label, style, summary, branch in _curves_of(group):
            values = mean_curve((s for _, s in summary.pairs(branch)), name)
            if len(values):
                lines.append(Line(label, values, style))
                notes.append(as_decimal(summary.overall(branch).get(key)))
        if lines:
            chart = line_chart(
                lines, x, label=f"{title} of {', '.join(n.name for n in lines)}", x_title=x_title
            )
            figures.append(f"<figure><figcaption>{title}</figcaption>{chart}{legend(lines, notes)}</figure>")
    return f'<h3>Curves</h3><div class="charts">{"".join(figures)}</div>' if figures else ""


def _curves_of(group: Sequence[Summary]) -> list[tuple[str, str, Summary, str]]:
    if len(group) == 1:
        return [(branch, branch, group[0], branch) for branch in group[0].scores]
    labels = distinct_labels(group)
    return [(label, f"s{i % 8}", s, "fused") for i, (label, s) in enumerate(zip(labels, group, strict=True))]


def _times(group: Sequence[Summary]) -> str:
    """For each sequence the overlap of every frame, worst sequence first."""
    curves: dict[str, list[tuple[str, str, Record, Scores]]] = {}
    for label, style, summary, branch in _curves_of(group):
        for record, scores in summary.pairs(branch):
            curves.setdefault(record.key, []).append((label, style, record, scores))
    folded = [_time(entries) for entries in curves.values()]
    return "".join(text for _, text in sorted(folded))


def _time(entries: Sequence[tuple[str, str, Record, Scores]]) -> tuple[float, str]:
    _, _, record, first = entries[0]
    mean = float(np.nanmean(first.overlaps)) if not np.isnan(first.overlaps).all() else float("nan")
    x = record.start + np.arange(len(record.truth_xyxy), dtype=np.float64)
    lines = [
        Line(label, scores.overlaps, style)
        for label, style, own, scores in entries
        if len(scores.overlaps) == len(x) and own.start == record.start
    ]
    chart = line_chart(
        lines,
        x,
        label=f"Overlap over time on {record.key}",
        x_title="frame",
        size_wh=(1080, 240),
        states=record.states,
    )
    quoted = f' <span class="soft">"{escape(record.sentence)}"</span>' if record.sentence else ""
    head = f"{escape(record.key)}{quoted}: mean overlap {as_decimal(mean)}"
    return mean, f"<details><summary>{head}</summary><div>{chart}{legend(lines)}</div></details>"


# --- pictures ----------------------------------------------------------------------------------------------


def _gallery(gallery: Gallery) -> str:
    parts = []
    if gallery.note:
        parts.append(f'<p class="note">{escape(gallery.note)}</p>')
    for title, shots in (("Worst frames", gallery.worst), ("Best frames", gallery.best)):
        if shots:
            figures = "".join(_picture(shot) for shot in shots)
            parts.append(
                f'<h3>{title}</h3>{_key("At most one of each sequence.")}<div class="shots">{figures}</div>'
            )
    if gallery.side_by_side:
        text = "For each sequence the frame on which each tracker is worst, and what the others say there."
        parts.append(f"<h3>Worst frame of every sequence, side by side</h3>{_key(text)}")
        for row in gallery.side_by_side:
            parts.append(f'<div class="shots">{"".join(_picture(shot) for shot in row)}</div>')
    return "".join(parts)


def _key(text: str) -> str:
    style = Style()
    colours = (("truth", TRUTH_RGB), ("language", style.language_rgb), ("tracker", style.tracker_rgb))
    swatches = "".join(
        f'<span class="swatch" style="background:rgb{rgb}"></span>{name}' for name, rgb in colours
    )
    return f'<p class="soft">{text}{swatches}</p>'


def _picture(shot: Shot) -> str:
    data = base64.b64encode(shot.jpeg()).decode("ascii")
    caption = escape(shot.caption)
    image = f'<img alt="{caption}" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
