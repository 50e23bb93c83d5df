"""Records on disk: a folder for each way to measure, and in it a file for each sequence.

A folder's name ends with a hash of everything that decides the predictions: the protocol, the hashes of the
weights, the tracker's settings, the code. When one of these changes, the records go into another folder. A
file's name ends with a hash of its sequence's data, so that changed data are measured again. A file is
written completely or not at all.

    OUT/dev-sentence-3f2a91c0/run.json
    OUT/dev-sentence-3f2a91c0/sequences/bear-09a41c77d3e1.json
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import langtrack_core
from langtrack_core.geometry import FloatArray
from langtrack_core.types import LangTrackError, shorten

from ..files import explained, plain_name, write_text
from ..runs import check_rle
from .protocol import INITS, Item, Protocol
from .runner import Predictions, Record

FORMAT = "langtrack-results"
"""Name of the format of a result folder's files; a reader refuses any other."""

FORMAT_VERSION = 2
"""Version of the format; it rises when older results cannot be compared any more."""

RUN = "run.json"
"""File of a result folder that says what was measured, and lists the file of every sequence."""

_CORE = Path(langtrack_core.__file__).resolve().parent
"""Folder of the core, whose code decides whether older results still hold."""


@dataclass(frozen=True)
class Results:
    """A result folder read back.

    Attributes:
        folder: its path.
        run: content of ``run.json``.
        records: records of the sequences that are done.
        missing: keys of the items that are not done.
    """

    folder: Path
    run: dict[str, Any]
    records: tuple[Record, ...]
    missing: tuple[str, ...]

    @property
    def label(self) -> str:
        return str(self.run["label"])

    @property
    def protocol(self) -> Protocol:
        return Protocol(**self.run["protocol"])


class ResultFolder:
    """The folder of the records of one way to measure.

    Args:
        out: parent of the folder, made when missing.
        protocol: what is measured.
        tracker_info: weights with their hashes, and settings.
        items: all runs of the protocol; listed in ``run.json``.
        data: the data set's folder, noted for pictures in reports; no part of the hash.
        label: what the tracker is called in reports; no part of the hash.

    Raises:
        LangTrackError: the folder cannot be written, or holds results of sequences that are no longer asked
            for.
    """

    def __init__(
        self,
        out: Path,
        protocol: Protocol,
        tracker_info: dict[str, Any],
        items: Iterable[Item],
        *,
        data: Path,
        label: str,
    ) -> None:
        question = {"protocol": protocol.as_json(), "tracker": tracker_info, "code": code_hash()}
        fingerprint = hashlib.sha256(_canonical(question).encode()).hexdigest()
        self.path = Path(out) / f"{protocol.kind}-{protocol.init}-{fingerprint[:8]}"
        sequences = {item.key: file_name(item) for item in items}
        run = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "fingerprint": fingerprint,
            "label": label,
            "data": str(Path(data).resolve()),
            **question,
            "sequences": sequences,
        }
        self._refuse_to_forget(sequences)
        with explained(f"Results cannot be written to {self.path}"):
            (self.path / "sequences").mkdir(parents=True, exist_ok=True)
            write_text(self.path / RUN, json.dumps(run, indent=1, default=str) + "\n")

    def _refuse_to_forget(self, sequences: dict[str, str]) -> None:
        """What ``run.json`` no longer lists is in no report: another set of the kind has its own folder."""
        try:
            before = json.loads((self.path / RUN).read_text(encoding="utf-8"))
            forgotten, data = sorted(before["sequences"].keys() - sequences.keys()), before["data"]
        except (AttributeError, KeyError, OSError, TypeError, ValueError):  # none yet, or not as it should be
            return
        if forgotten:
            raise LangTrackError(
                f"{self.path} holds results of other sequences ({shorten(', '.join(forgotten))}), of "
                f"{data}; choose another --out."
            )

    def has(self, item: Item) -> bool:
        return self._path(item).is_file()

    def save(self, item: Item, record: Record) -> None:
        with explained(f"{self._path(item)} cannot be written"):
            write_text(self._path(item), json.dumps(_as_json(record), allow_nan=False))

    def _path(self, item: Item) -> Path:
        return self.path / "sequences" / file_name(item)


def file_name(item: Item) -> str:
    """File name of an item's record, which changes with the item's data."""
    return f"{plain_name(item.key, 'item')}-{item.digest[:12]}.json"


def read_results(folder: Path) -> Results:
    """Read a folder of `ResultFolder`; what is not done yet is listed as missing.

    Raises:
        LangTrackError: it is no such folder, or a file in it is damaged.
    """
    folder = Path(folder)
    path = folder / RUN
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        if run["format"] != FORMAT or run["format_version"] != FORMAT_VERSION:
            raise ValueError(f"expected {FORMAT} {FORMAT_VERSION}")
        _check(run, _RUN)
        protocol = Protocol(**run["protocol"])
        _check(protocol.as_json(), _PROTOCOL)
        if protocol.init not in INITS:
            raise ValueError(f"init is {protocol.init}")
        records, missing = [], []
        for key, name in run["sequences"].items():
            path = folder / "sequences" / Path(name).name
            if path.is_file():
                records.append(_from_json(json.loads(path.read_text(encoding="utf-8"))))
            else:
                missing.append(key)
    except OSError as error:
        raise LangTrackError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LangTrackError(f"{path} is not a result of `evaluate`: {error}.") from error
    return Results(folder, run, tuple(records), tuple(missing))


def find_results(folder: Path) -> list[Path]:
    """The folder itself when it holds results, or else the folders in it that do.

    Raises:
        LangTrackError: there are none.
    """
    if (folder / RUN).is_file():
        return [folder]
    folders = sorted(path.parent for path in folder.glob(f"*/{RUN}"))
    if not folders:
        raise LangTrackError(f"{folder} holds no results of `evaluate`; expected a {RUN} in it.")
    return folders


# --- hash of the code --------------------------------------------------------------------------------------


@cache
def code_hash(package: Path = _CORE) -> str:
    """Hash of the tracker's code, any of which may change a prediction, without comments and docstrings."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [n for n in body if not _is_text(n)]  # type: ignore[attr-defined]
        digest.update(f"{path.relative_to(package)}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


# --- records as JSON ---------------------------------------------------------------------------------------


def _as_json(record: Record) -> dict[str, Any]:
    predictions = {
        branch: {
            "boxes_xyxy": _rows(a.boxes_xyxy.round(4)),
            "confidence": _numbers(a.confidence.round(6)),
            "masks": [None if m is None else m["counts"] for m in a.masks],
            "intersections": _numbers(a.intersections),
            "unions": _numbers(a.unions),
            "boundaries": _numbers(a.boundaries),
        }
        for branch, a in record.predictions.items()
    }
    return {
        **{name: getattr(record, name) for name in _PLAIN},
        "truth_xyxy": _rows(record.truth_xyxy),
        "absent": record.absent.astype(int).tolist(),
        "predictions": predictions,
    }


_PLAIN: dict[str, Any] = {
    **dict.fromkeys(("key", "name", "init", "note"), str),
    "sentence": str | None,
    **dict.fromkeys(("attributes", "size_hw", "states", "sources"), list),
    "start": int,
    **dict.fromkeys(("seconds", "peak_mb"), int | float),
}
"""Fields of a `Record` that JSON keeps as they are, and their types there."""

_RUN: dict[str, Any] = {**dict.fromkeys(("label", "data", "fingerprint"), str), "tracker": dict}
_PROTOCOL: dict[str, Any] = {
    **dict.fromkeys(("kind", "init", "sentences"), str),
    "split": str | None,
    "frames": int | None,
    "every": int,
}
"""Types of what ``run.json`` holds, and of its protocol."""


def _check(values: dict[str, Any], types: dict[str, Any]) -> None:
    for name, kind in types.items():
        if not isinstance(values[name], kind):
            raise ValueError(f"{name} is {shorten(repr(values[name]))}")


def _from_json(data: dict[str, Any]) -> Record:
    _check(data, _PLAIN)
    height, width = size = [int(n) for n in data["size_hw"]]
    count = len(data["truth_xyxy"])
    for name in ("states", "sources"):
        if len(data[name]) not in (0, count):
            raise ValueError(f"there are {len(data[name])} {name} for {count} frames")
    if not all(isinstance(word, str) for n in ("attributes", "states", "sources") for word in data[n]):
        raise ValueError("a word is none")
    if min(height, width) <= 0 or data["start"] < 0 or len(data["absent"]) != count:
        raise ValueError("its size, start or absence is impossible")
    predictions = {}
    mask_counts = set()
    for branch, a in data["predictions"].items():
        masks = tuple(None if m is None else {"size": size, "counts": m} for m in a["masks"])
        for mask in filter(None, masks):
            check_rle(mask)
        numbers = [_array(a[n]) for n in ("confidence", "intersections", "unions", "boundaries")]
        mask_counts |= {len(masks), *map(len, numbers[1:])}
        if len(numbers[0]) != count or mask_counts not in ({0}, {count}):
            raise ValueError(f"the {branch} branch has not {count} frames")
        if any(not 0 <= value <= 1 for value in a["confidence"] if value is not None):
            raise ValueError(f"a confidence of the {branch} branch is not between 0 and 1")
        boxes = _boxes(a["boxes_xyxy"], count)
        predictions[branch] = Predictions(boxes, numbers[0], masks, *numbers[1:])
    plain = {name: data[name] for name in _PLAIN}
    plain |= {name: tuple(plain[name]) for name in ("attributes", "size_hw", "states", "sources")}
    truth = _boxes(data["truth_xyxy"], count)
    return Record(**plain, truth_xyxy=truth, absent=np.array(data["absent"], bool), predictions=predictions)


def _rows(boxes: FloatArray) -> list[list[float] | None]:
    return [None if np.isnan(box).any() else box.tolist() for box in boxes]


def _boxes(rows: list[list[float] | None], count: int) -> FloatArray:
    boxes = np.array([[np.nan] * 4 if row is None else row for row in rows], np.float64).reshape(-1, 4)
    if len(boxes) != count:
        raise ValueError(f"there are {len(boxes)} boxes for {count} frames")
    return boxes


def _numbers(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(v) else v for v in values.tolist()]


def _array(values: list[float | None]) -> FloatArray:
    return np.array([np.nan if v is None else v for v in values], np.float64)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
