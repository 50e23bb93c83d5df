"""How each item ended: an append-only file, so that a crash loses at most the line being written."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from filelock import FileLock, Timeout

from langtrack_core.types import LangTrackError

from ..files import explained, write_text


@dataclass(frozen=True, slots=True)
class Entry:
    """How an item ended.

    Attributes:
        status: "done", with a run folder, or "failed", with a reason and without one.
        attempts: how often it was started; more than once when a worker was lost.
        frames: number of frames written.
        seconds: time it took, decoding and writing included.
        states: number of frames in each state.
        asked: `Item.asked`; empty in ledgers of earlier versions.
        video_stamp: `Item.video_stamp`; likewise.
    """

    id: str
    status: Literal["done", "failed"]
    reason: str = ""
    attempts: int = 1
    frames: int = 0
    seconds: float = 0.0
    states: dict[str, int] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    video_stamp: list[int] = field(default_factory=list)


class Ledger:
    """The entries of a batch folder, and the lock that keeps a second batch out of it.

    Args:
        folder: folder of the batch, made when missing.

    Raises:
        LangTrackError: another batch is at work in the folder, or the file is not a ledger.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ledger.jsonl"
        self.entries: dict[str, Entry] = {}

    def __enter__(self) -> Ledger:
        self._lock = FileLock(self.folder / ".lock", blocking=False)
        with explained(f"The batch cannot be written to {self.folder}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout as error:
                raise LangTrackError(
                    f"Another batch is at work in {self.folder}; wait for it or stop it."
                ) from error
        try:
            self._read()
            self._stream = self.path.open("a", encoding="utf-8", newline="\n")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._lock.release()

    def _read(self) -> None:
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # a line cut off by a crash: its item is still to do
            os.truncate(self.path, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):  # of bytes: a text has more kinds of line ends
            try:
                entry = Entry(**json.loads(line.decode("utf-8", "replace")))
            except (ValueError, TypeError) as error:
                raise LangTrackError(
                    f"{self.path}, line {number}, is not of a batch's ledger: {error}; choose another --out."
                ) from error
            self.entries[entry.id] = entry

    def add(self, entry: Entry) -> None:
        """Writes an entry; it is on disk when this returns."""
        self._stream.write(json.dumps(asdict(entry)) + "\n")  # in ASCII, whatever an expression holds
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.entries[entry.id] = entry


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Keep the settings of a batch beside its results; refuse to add results made with other settings."""
    path = folder / "batch.json"
    if not path.exists():
        write_text(path, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        return
    try:
        before = {**settings, **json.loads(path.read_text(encoding="utf-8"))}  # earlier versions kept fewer
    except (OSError, TypeError, ValueError) as error:
        raise LangTrackError(f"{path} cannot be read: {error}; choose another --out.") from error
    flags = {"video": "--no-video", "style": "--rotated"}  # the others are called as their settings
    differences = sorted(k for k in before if before[k] != settings.get(k))
    if differences:
        named = (flags.get(name, f"--{name.replace('_', '-')}") for name in differences)
        raise LangTrackError(
            f"{folder} holds results made with other options ({', '.join(named)}); choose another --out, "
            "or ask with the same options as before."
        )


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what a killed process left under hidden names in a folder: all of it, or that of one name."""
    pattern = rf"\.{re.escape(name) or '.+'}\.[0-9a-f]{{8}}\.part"
    for path in folder.glob(".*.part"):
        if re.fullmatch(pattern, path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
