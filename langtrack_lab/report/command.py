"""Result folders side by side, as a page, as tables, as pictures.

python -m langtrack_core report RESULTS… --out report.html            the page, report.csv and report.json
python -m langtrack_core report RESULTS… --markdown                   tables for a README
python -m langtrack_core report RESULTS… --pictures DIR               worst and best frames as JPEG
python -m langtrack_core report BEFORE AFTER --side-by-side --out …   every sequence's worst frame, of both
python -m langtrack_core report RESULTS… --other CSRT=DIR --out …     with another tracker's result files

Other trackers are scored on the data of the first folder, under its protocol, with what `--other-init` says
was given to them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from langtrack_core.run.command import whole_argument
from langtrack_core.types import LangTrackError

from ..evaluation.external import FORMS, read_external
from ..evaluation.protocol import INITS
from ..evaluation.results import find_results, read_results
from ..evaluation.tables import (
    Summary,
    alike,
    as_csv,
    as_json,
    as_markdown,
    attribute_rows,
    branch_rows,
    by_protocol,
    distinct_labels,
    markdown_text,
    notes_of,
    speed_line,
    summarise,
)
from ..files import explained, write_text
from .page import Gallery, page
from .pictures import save_shots, save_side_by_side, shots, side_by_side

PICTURES = 8
"""Number of pictures of each kind, worst and best, unless the command says otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS", help="folders that `evaluate` wrote, or a parent"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="the page; .csv and .json go beside it")
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write worst and best frames as JPEG")
    parser.add_argument(
        "--count", type=whole_argument(0), metavar="N", help=f"pictures of each kind; default {PICTURES}"
    )
    parser.add_argument(
        "--side-by-side",
        action="store_true",
        help="pictures of the worst frame of every sequence instead, of all trackers of a table",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="where the data set lies now, if it was moved"
    )
    parser.add_argument(
        "--other",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=DIR",
        help="result files of another tracker; may be repeated",
    )
    parser.add_argument("--other-form", choices=FORMS, help="of these files; told by the files unless given")
    parser.add_argument(
        "--other-origin", type=int, choices=(0, 1), help="number of their first pixel; as in the set's truth"
    )
    parser.add_argument("--other-init", choices=INITS, default="box", help="what it was given; default box")


def run(args: argparse.Namespace) -> int:
    """Write what is asked for; with nothing asked, print the tables."""
    if args.side_by_side and args.out is None and args.pictures is None:
        raise LangTrackError("--side-by-side chooses pictures; say with --out or --pictures where they go.")
    if args.side_by_side and args.count is not None:
        raise LangTrackError("--count does nothing with --side-by-side; leave it out.")
    folders = [folder for path in args.results for folder in find_results(path)]
    own = [read_results(folder) for folder in dict.fromkeys(f.resolve() for f in folders)]
    others = [
        read_external(
            name,
            folder,
            own[0],
            args.other_init,
            form=args.other_form,
            origin=args.other_origin,
            data=args.data,
        )
        for name, folder in args.other
    ]
    summaries = [summarise(results) for results in [*own, *others]]
    if not any(summary.records for summary in summaries):
        raise LangTrackError(f"Nothing is measured yet in {', '.join(str(f) for f in folders)}.")
    tables = by_protocol(s for s in summaries if s.records)
    summaries = [s for group in tables.values() for s in group]
    gallery_of = cache(lambda title: _gallery(tables[title], args))  # drawn once for the page and the files
    if args.out is not None:
        _write(args.out, summaries, gallery_of)
        print(f"The report is in {args.out}.")
    if args.pictures is not None:
        title, *other_tables = tables
        gallery = gallery_of(title)
        with explained(f"The pictures cannot be written to {args.pictures}"):
            paths = (
                save_side_by_side(gallery.side_by_side, args.pictures)
                if args.side_by_side
                else save_shots(gallery.worst, gallery.best, args.pictures)
            )
        for path in paths:
            print(path)
        if other_tables:
            print(f"These are of the first table, {title}; for another, give its folders alone.")
    if args.markdown or (args.out is None and args.pictures is None):
        print(markdown(summaries))
    return 0


def markdown(summaries: Sequence[Summary]) -> str:
    """A heading and a table for each protocol, then attributes, speed, memory and what is missing."""
    parts = []
    for title, group in by_protocol(summaries).items():
        table = as_markdown(("tracker", "branch"), branch_rows(group), bold=alike(group))
        parts.append(f"**{title}**\n\n{table}")
        attributes = attribute_rows(group)
        if attributes:
            parts.append(as_markdown(("attribute", "tracker", "sequences"), attributes, bold=False))
        labelled = list(zip(distinct_labels(group), group, strict=True))
        lines = [" ".join(speed_line(label, summary) for label, summary in labelled)]
        lines += [note for label, summary in labelled for note in notes_of(summary, label)]
        parts += map(markdown_text, lines)
    return "\n\n".join(parts)


def _write(out: Path, summaries: Sequence[Summary], gallery_of: Callable[[str], Gallery]) -> None:
    if out.suffix.lower() not in (".html", ".htm"):
        raise LangTrackError(f"The report is an HTML page; give --out a name such as {out.stem}.html.")
    galleries = {title: _gallery_or_note(gallery_of, title) for title in by_protocol(summaries)}
    with explained(f"The report cannot be written to {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, page(summaries, galleries))
        write_text(out.with_suffix(".csv"), as_csv(summaries))
        write_text(out.with_suffix(".json"), json.dumps(as_json(summaries), indent=1) + "\n")


def _gallery(group: Sequence[Summary], args: argparse.Namespace) -> Gallery:
    """The pictures of the trackers of one table that were asked for."""
    if args.side_by_side:
        return Gallery(side_by_side=side_by_side(group, args.data))
    return Gallery(*shots(group[0], PICTURES if args.count is None else args.count, args.data))


def _gallery_or_note(gallery_of: Callable[[str], Gallery], title: str) -> Gallery:
    """The same, or a note why there are none: without the data the report is still worth having."""
    try:
        return gallery_of(title)
    except LangTrackError as error:
        return Gallery(note=f"No pictures: {error}")


def _named(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"expected NAME=DIR, got {text!r}")
    return name, Path(folder)
