"""ZIP files from strangers are unpacked whole or refused, with nothing left behind."""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.annotation.safe_zip import Limits, unpack
from langtrack_core.types import LangTrackError

SMALL = Limits(files=20, total_mb=3, ratio=100)


def zipped(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refused(archive: Path, why: str, limits: Limits = SMALL) -> None:
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(LangTrackError, match=why) as caught:
        unpack(archive, archive.parent / "out", limits)
    assert "\n" not in str(caught.value) and str(archive.parent) not in str(caught.value)
    assert sorted(archive.parent.rglob("*")) == before


def test_good_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    files = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)), "ü/c": b""}
    archive = zipped(tmp_path / "good.zip", files)
    with zipfile.ZipFile(archive, "a") as more:
        more.mkdir("an empty folder is left out")
    names = unpack(archive, tmp_path / "new" / "out", SMALL)
    assert [name.as_posix() for name in names] == list(files)
    for name, content in files.items():
        assert (tmp_path / "new" / "out" / name).read_bytes() == content
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "a//b",
        "./a",
        "C:/evil",
        "C:evil",
        "a\\b",
        "..\\evil",
        "a\nb",
        "a\x1b[2J",
        "trailing ",
        "dot.",
        "x" * 300,
        "nul\0byte",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "bad.zip"
    stand_in = "n" * len(name.encode())  # zipfile itself cleans some names: written in afterwards
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("fine", b"x")
        stream.writestr(stand_in, b"evil")
    archive.write_bytes(archive.read_bytes().replace(stand_in.encode(), name.encode()))
    refused(archive, "not a plain name|damaged|more files")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    archive = tmp_path / "link.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        entry = zipfile.ZipInfo("innocent")
        entry.create_system = 3
        entry.external_attr = (kind | 0o777) << 16
        stream.writestr(entry, "/etc/passwd")
    refused(archive, "a link or a device")


def test_bombs_are_refused_by_size_by_ratio_and_by_number(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "zeros.zip", {"z": bytes(2_500_000)}), "more than 100 times")
    noise = bytes(range(256)) * 4000
    large = {f"{k}": noise for k in range(4)}
    refused(zipped(tmp_path / "large.zip", large, zipfile.ZIP_STORED), "more than the 3 MB")
    refused(zipped(tmp_path / "many.zip", {f"{k}": b"" for k in range(21)}), "more files than the 20")
    refused(zipped(tmp_path / "huge.zip", {f"{k}": b"" for k in range(70_000)}), "more files")


def test_a_file_that_lies_about_its_size_is_counted_while_it_is_written(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "liar.zip", {"z": bytes(2_500_000)})
    plain = struct.pack("<I", 2_500_000)
    content = archive.read_bytes()
    assert content.count(plain) == 2  # of the local header and of the directory
    archive.write_bytes(content.replace(plain, struct.pack("<I", 100)))
    refused(archive, "damaged|times its size|MB that are taken")


def test_twice_the_same_name_however_written(tmp_path: Path) -> None:
    archive = tmp_path / "twice.zip"
    with zipfile.ZipFile(archive, "w") as stream, pytest.warns(UserWarning, match="Duplicate"):
        stream.writestr("a", b"1")
        stream.writestr("a", b"2")
    refused(archive, "'a' twice")
    refused(zipped(tmp_path / "case.zip", {"a": b"", "A": b""}), "'A' twice")
    refused(zipped(tmp_path / "both.zip", {"a": b"", "a/b": b""}), "for a file and for a folder")


def _flagged(content: bytes) -> bytes:
    """The flag "encrypted" in the local header and in the directory."""
    local, directory = content.find(b"PK\x03\x04") + 6, content.find(b"PK\x01\x02") + 8
    changed = bytearray(content)
    changed[local] |= 1
    changed[directory] |= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda b: b"", "not a ZIP"),
        (lambda b: b"GIF89a" + b, None),
        (lambda b: b[:-30], "not a ZIP|damaged"),
        (lambda b: b[30:], "damaged"),
        (lambda b: b.replace(b"hello hello", b"hellO hello"), "damaged"),
        (lambda b: bytes(200), "not a ZIP"),
        (_flagged, "encrypted"),
    ],
)
def test_damaged_archives_are_refused(
    tmp_path: Path, spoil: Callable[[bytes], bytes], why: str | None
) -> None:
    archive = zipped(tmp_path / "a.zip", {"a": b"hello hello hello"}, zipfile.ZIP_STORED)
    archive.write_bytes(spoil(archive.read_bytes()))
    if why is None:  # bytes before a ZIP are allowed by the format
        assert unpack(archive, tmp_path / "out", SMALL)
    else:
        refused(archive, why)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "a.zip", {"a": b"1", "b": b"2"})
    before = Path.open

    def full(self: Path, mode: str = "r", *args, **how):
        if mode == "xb" and self.name == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        return before(self, mode, *args, **how)

    monkeypatch.setattr(Path, "open", full)
    refused(archive, "the disk is full")
