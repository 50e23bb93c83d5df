"""Files that are whole or not there, and names for them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from langtrack_core.files import replacing_folder, sha256_of
from langtrack_lab.files import plain_name, replacing, text_file, write_text


@pytest.mark.parametrize("write", [replacing, text_file])
def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path, write) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "first\n")
    with pytest.raises(RuntimeError), write(path) as target:
        if isinstance(target, Path):
            target.write_text("second")
        else:
            target.write("second")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "first\n"


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a"
    with pytest.raises(RuntimeError), replacing_folder(path) as folder:
        write_text(folder / "file", "half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for text in ("first", "second"):
        with replacing_folder(path) as folder:
            write_text(folder / text, "whole")
        assert [p.name for p in path.iterdir()] == [text] and list(path.parent.iterdir()) == [path]
    with pytest.raises(RuntimeError), replacing_folder(path):
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["second"] and list(path.parent.iterdir()) == [path]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for content in (b"first", b"second \x00"):
        with replacing(path) as partial:
            partial.write_bytes(content)
        assert path.read_bytes() == content and [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my <b>clip \u00fc", "my-b-clip"),
        ("a_b-c", "a_b-c"),
        ("...", "clip"),
        ("", "clip"),
        ("a" * 300, "a" * 60),
    ],
)
def test_names_that_every_system_takes(text: str, name: str) -> None:
    assert plain_name(text, "clip") == name
