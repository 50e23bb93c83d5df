"""ZIP files from strangers: unpacked whole within limits, or refused with nothing left behind."""

from __future__ import annotations

import errno
import lzma
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from langtrack_core.files import replacing_folder, why
from langtrack_core.types import LangTrackError, shorten

BLOCK_BYTES = 1 << 20
"""Bytes that are unpacked at a time, a megabyte: the limits are checked after each block."""
MAX_PATH = 240
"""Largest number of characters of a file's path in an archive. Most file systems take 255 for one name."""
MAX_ENTRY_BYTES = MAX_PATH + 400
"""Largest size in bytes of a file's entry in the archive's directory: its path and some extra fields."""
MAX_END_RECORD_BYTES = 65_557
"""Size in bytes of the record at the end of an archive with the longest comment that it can have."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes:
        files: how many.
        total_mb: megabytes of all files, unpacked.
        ratio: how many times larger a file may get, above the first megabyte. Masks of a still clip shrink to
            a hundredth, a bomb of zeros to a thousandth.
    """

    files: int = 20_000
    total_mb: float = 2_000.0
    ratio: float = 250.0


def unpack(archive: Path | str, into: Path | str, limits: Limits | None = None) -> list[PurePosixPath]:
    """Unpack a ZIP into a new folder.

    Every name is checked before the first byte is written, and every byte is counted while it is: what the
    archive claims of its own sizes is not believed.

    Args:
        into: must not exist; it appears when everything is unpacked.

    Returns:
        The names of the files, relative to ``into``, in the archive's order.

    Raises:
        LangTrackError: not a ZIP, damaged, encrypted; a name that is absolute, leads out of the folder or is
            there twice; a link; more than the limits allow; the disk is full.
    """
    archive, into, limits = Path(archive), Path(into), limits or Limits()
    try:
        _check_directory(archive, limits)
        with zipfile.ZipFile(archive) as source, replacing_folder(into) as part:
            entries = _checked_entries(source, limits)
            room = int(limits.total_mb * 1e6)
            for name, entry in entries:
                room = _write(source, entry, part / name, room, limits)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        struct.error,
        NotImplementedError,
    ) as error:
        raise LangTrackError("The ZIP is damaged; copy or export it again.") from error
    except (
        UnicodeError,
        ValueError,
        RuntimeError,
    ) as error:  # from zipfile: names and flags that it cannot take
        raise LangTrackError("The ZIP is not one that can be read here; export it again.") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # zipfile seeks where the damaged directory points
            raise LangTrackError("The ZIP is damaged; copy or export it again.") from error
        raise LangTrackError(f"The ZIP could not be unpacked: {why(error)}.") from error
    return [PurePosixPath(name) for name, _ in entries]


def is_clutter(name: PurePosixPath) -> bool:
    """Whether a system put the file into the archive by itself."""
    return any(part.startswith((".", "__MACOSX")) for part in name.parts) or name.name == "Thumbs.db"


def _check_directory(archive: Path, limits: Limits) -> None:
    """Check the size of the archive's directory before zipfile reads all of it into memory."""
    size = archive.stat().st_size
    with archive.open("rb") as stream:
        stream.seek(max(0, size - MAX_END_RECORD_BYTES))
        tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise LangTrackError("This is not a ZIP file; choose one that LangTrack has saved.")
    count, directory_size = struct.unpack("<HI", tail[at + 10 : at + 16])
    large = count == 0xFFFF or directory_size == 0xFFFFFFFF
    if large or count > limits.files or directory_size > limits.files * MAX_ENTRY_BYTES:
        raise LangTrackError(f"The ZIP holds more files than the {limits.files} that are taken.")


def _checked_entries(archive: zipfile.ZipFile, limits: Limits) -> list[tuple[str, zipfile.ZipInfo]]:
    """The files of an archive with their names, when all of them may be unpacked."""
    entries: list[tuple[str, zipfile.ZipInfo]] = []
    keys: set[str] = set()
    total_bytes = 0  # as the archive claims
    for entry in archive.infolist():
        name = entry.orig_filename
        _check_name(name)
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise LangTrackError(
                f"The ZIP holds a link or a device, {shorten(name)!r}; only files are taken."
            )
        if entry.flag_bits & 0x1:
            raise LangTrackError("The ZIP is encrypted; save it without a password.")
        if entry.is_dir():
            continue
        key = name.casefold()  # two names that some file systems take for one
        if key in keys:
            raise LangTrackError(f"The ZIP holds {shorten(name)!r} twice.")
        keys.add(key)
        total_bytes += entry.file_size
        _check_ratio(name, entry.compress_size, entry.file_size, limits)
        entries.append((name, entry))
    if len(entries) > limits.files:
        raise LangTrackError(f"The ZIP holds more files than the {limits.files} that are taken.")
    if total_bytes > limits.total_mb * 1e6:
        raise _too_large(limits)
    parents = {parent.as_posix() for key in keys for parent in PurePosixPath(key).parents}
    if parents & keys:
        raise LangTrackError("The ZIP uses one name for a file and for a folder.")
    return entries


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    odd = (
        len(name) > MAX_PATH
        or any(part in ("", ".", "..") or part != part.strip() or part.endswith(".") for part in parts)
        or any(character in name for character in '\\:*?"<>|')
        or not name.isprintable()
    )
    if odd:
        raise LangTrackError(
            f"The ZIP holds a file named {shorten(name)!r}, which is not a plain name inside it; "
            "only archives without absolute or odd paths are taken."
        )


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, room: int, limits: Limits) -> int:
    """Unpack one file, and return how many bytes of the total remain."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with archive.open(entry) as source, target.open("xb") as sink:
        while block := source.read(BLOCK_BYTES):
            size += len(block)
            if size > room:
                raise _too_large(limits)
            _check_ratio(entry.filename, entry.compress_size, size, limits)
            sink.write(block)
    return room - size


def _check_ratio(name: str, packed_bytes: int, plain_bytes: int, limits: Limits) -> None:
    if plain_bytes > 1_000_000 and plain_bytes > limits.ratio * max(packed_bytes, 1):
        raise LangTrackError(
            f"{shorten(name)!r} in the ZIP unpacks to more than {limits.ratio:g} times its size; "
            "such archives are refused."
        )


def _too_large(limits: Limits) -> LangTrackError:
    return LangTrackError(f"The ZIP unpacks to more than the {limits.total_mb:g} MB that are taken.")
