"""Human phrases and captions with boxes, from Flickr30k Entities (Plummer et al., ICCV 2015).

    python -m langtrack_core train phrases --entities DIR --split FILE --photos DIR --out DATA

writes two folders that a training of the language branch reads. ``flickr``: the noun phrases of the captions
whose thing has exactly one box; the training takes those that name nothing else of the photo. ``captioned``:
longer sentences of such things, the noun phrase with the next one ("a man in a blue shirt") and the caption
that begins with it.
"""

from __future__ import annotations

import argparse
import json
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from langtrack_core.geometry import FloatArray
from langtrack_core.types import LangTrackError
from langtrack_core.video.pictures import pictures_in

from ..datasets.described import SEVERAL
from ..datasets.files import read_lines
from ..files import new_folder, write_text
from .photo_files import read_squeezed, write_photo

LONGEST_SIDE = 300
"""Longest side of the photos that are written, in pixels; the annotation has their proportions."""

MIN_BOX = 6
"""Least width and height in these pixels of what is asked for."""

MAX_PHRASE_WORDS, MAX_LINK_WORDS, MAX_CAPTION_WORDS = 8, 4, 20

ACTORS = ("people", "animals", "vehicles")
"""Kinds whose phrase, joined to the next one by whatever stands between, still means the first thing."""

THINGS = ("other", "instruments")
"""Kinds for which a preposition has to stand between: in "a white helmet races" it is not the helmet."""

PREPOSITIONS = frozenset(
    ("in", "on", "with", "near", "next", "under", "above", "behind", "beside", "of", "at", "by",
     "inside", "against", "wearing", "holding", "covered")
)  # fmt: skip

CLAUSES = frozenset(("and", "or", "while", "as", "who", "that", "which", "but"))
"""Words with which another thing or another clause begins."""

CHUNK = re.compile(r"\[/EN#(\d+)/(\S+) ([^\]]+)\]|([^\[\]]+)")


class Chunk(NamedTuple):
    """A noun phrase, or what stands between two.

    Attributes:
        chain: of all phrases of one thing, None between phrases.
        kind: such as "people"; several with "/" between.
    """

    chain: str | None
    kind: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--entities", type=Path, required=True, help="folder with Annotations (XML) and Sentences (text)"
    )
    parser.add_argument("--split", type=Path, required=True, help="ids of the photos to take, one a line")
    parser.add_argument(
        "--photos", type=Path, required=True,
        help="folder of photos; a name begins with the id. They may be squeezed: the annotation says how",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="training folder to write into")


def run(args: argparse.Namespace) -> int:
    """Writes ``flickr`` and ``captioned`` and says how much there is."""
    for part in ("flickr", "captioned"):
        if (args.out / part).exists():
            raise LangTrackError(f"{args.out / part} exists already; choose another --out.")
    wanted = frozenset(read_lines(args.split, "the ids of the photos"))
    photos = [path for path in pictures_in(args.photos) if photo_id(path) in wanted]
    if not photos:
        raise LangTrackError(f"{args.photos} has no photo whose name begins with an id of {args.split}.")
    phrases: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    with new_folder(args.out / "flickr") as flickr, new_folder(args.out / "captioned") as captioned:
        for path in tqdm(photos, "photos", disable=None):
            size_wh, boxes = read_boxes(args.entities / "Annotations" / f"{photo_id(path)}.xml")
            sentences = args.entities / "Sentences" / f"{photo_id(path)}.txt"
            short, long = sentences_of(read_lines(sentences, "captions"), frozenset(boxes))
            rgb = read_squeezed(path, size_wh)
            for folder, key, found, entries in (
                (flickr, "phrase", short, phrases),
                (captioned, "expression", long, captions),
            ):
                if found:
                    write_photo(rgb, folder / "images" / path.name)
                entries += [
                    {"file_name": path.name, "box_xyxy": boxes[chain], key: text}
                    for chain, text in sorted(found)
                ]
        write_text(flickr / "phrases.json", json.dumps(phrases))
        write_text(captioned / "expressions.json", json.dumps(captions))
    print(f"{args.out}: {len(photos)} photos, {len(phrases)} phrases, {len(captions)} longer sentences")
    return 0


def photo_id(path: Path) -> str:
    return path.stem.split("_")[0]


def read_boxes(path: Path) -> tuple[tuple[int, int], dict[str, list[float]]]:
    """The size in which to write a photo, and in its pixels the boxes of the chains that have exactly one."""
    try:
        root = ET.parse(path).getroot()
        width, height = (int(_text(root, f"size/{name}")) for name in ("width", "height"))
        boxes: dict[str, list[FloatArray]] = defaultdict(list)
        for thing in root.iter("object"):
            if thing.find("bndbox") is not None:
                sides = [float(_text(thing, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
                for name in thing.findall("name"):
                    boxes[name.text or ""].append(np.array(sides))
    except (OSError, ET.ParseError, ValueError) as error:
        raise LangTrackError(f"{path} is no annotation of Flickr30k Entities: {error}") from error
    scale = LONGEST_SIDE / max(width, height)
    size_wh = round(width * scale), round(height * scale)
    factor = np.array([size_wh[0] / width, size_wh[1] / height] * 2)
    alone = {
        chain: np.clip(found[0] * factor, 0, [*size_wh, *size_wh]).round(1)
        for chain, found in boxes.items()
        if len(found) == 1
    }
    kept = {chain: box for chain, box in alone.items() if (box[2:] - box[:2]).min() >= MIN_BOX}
    return size_wh, {chain: box.tolist() for chain, box in kept.items()}


def _text(parent: ET.Element, path: str) -> str:
    found = parent.findtext(path)
    if found is None:
        raise ValueError(f"{path} is missing")
    return found


def parse_caption(line: str) -> list[Chunk]:
    """A caption in its chunks, in small letters without punctuation."""
    chunks = [
        Chunk(chain or None, kind or "", _plain(phrase or between or ""))
        for chain, kind, phrase, between in CHUNK.findall(line)
    ]
    return [chunk for chunk in chunks if chunk.text]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9' -]", " ", text.lower()).split())


def sentences_of(
    captions: list[str], chains: frozenset[str]
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Noun phrases and longer sentences that mean a thing of these chains, each with the chain."""
    short: set[tuple[str, str]] = set()
    long: set[tuple[str, str]] = set()
    for caption in captions:
        chunks = parse_caption(caption)
        for index, (chain, kind, text) in enumerate(chunks):
            if chain is None or chain not in chains or kind.startswith("scene"):
                continue
            if len(text.split()) <= MAX_PHRASE_WORDS:
                short.add((chain, text))
            if SEVERAL.search(text):
                continue
            if joined := _with_next_phrase(chunks[index:]):
                long.add((chain, joined))
            if index == 0 and (whole := _whole_caption(chunks)):
                long.add((chain, whole))
    return short, long


def _with_next_phrase(chunks: list[Chunk]) -> str | None:
    """The first phrase, what stands between and the next one, where that says more of the first thing."""
    if len(chunks) < 3 or chunks[1].chain is not None or chunks[2].chain in (None, chunks[0].chain):
        return None
    kind, link = chunks[0].kind.split("/")[0], chunks[1].text.split()
    fits = kind in ACTORS or (kind in THINGS and link[0] in PREPOSITIONS)
    goes_on = len(chunks) > 3 and chunks[3].text.split()[0] == "and"  # "in a shirt and a hat" is one
    if not fits or goes_on or len(link) > MAX_LINK_WORDS or CLAUSES & set(link):
        return None
    return " ".join(chunk.text for chunk in chunks[:3])


def _whole_caption(chunks: list[Chunk]) -> str | None:
    """The whole caption, unless its first phrase is but one of those that act."""
    caption = " ".join(chunk.text for chunk in chunks)
    first, rest = chunks[0], chunks[1:]
    joined = bool(rest) and rest[0].text.split()[0] in ("and", "with")
    acts = first.kind.split("/")[0] in (*ACTORS, "other")
    return caption if acts and not joined and len(caption.split()) <= MAX_CAPTION_WORDS else None
