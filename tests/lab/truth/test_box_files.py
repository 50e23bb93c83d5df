"""Text files of boxes: separators, absent targets, and lines that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from langtrack_core.types import LangTrackError
from langtrack_lab.truth.box_files import read_boxes

NAN = [np.nan] * 4


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("join", [",", "\t", " ", ", ", ";", ",\t"])
def test_numbers_between_any_separators(tmp_path: Path, join: str) -> None:
    path = written(tmp_path / "a.txt", "\n".join(join.join(row) + join for row in ("1234", "5678")) + "\n\n")
    np.testing.assert_array_equal(read_boxes(path), [[1, 2, 4, 6], [5, 6, 12, 14]])
    np.testing.assert_array_equal(read_boxes(path, first_pixel=1), [[0, 1, 3, 5], [4, 5, 11, 13]])


@pytest.mark.parametrize(
    "line", ["nan,nan,nan,nan", "NaN NaN NaN NaN", "0,0,0,0", "3,4,0,9", "3,4,9,-1", "nan,4,5,6"]
)
def test_a_box_without_an_area_is_an_absent_target(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "a.txt", f"1,2,3,4\n{line}\n")
    np.testing.assert_array_equal(read_boxes(path), [[1, 2, 4, 6], NAN])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("header", ["x,y,w,h", "X\tY\tWidth\tHeight", "left;top;width;height"])
def test_a_table_of_a_spreadsheet(tmp_path: Path, encoding: str, header: str) -> None:
    (tmp_path / "a.txt").write_text(f"{header}\r\n1,2,3,4\r\n5,6,7,8\r\n", encoding=encoding)
    np.testing.assert_array_equal(read_boxes(tmp_path / "a.txt"), [[1, 2, 4, 6], [5, 6, 12, 14]])


@pytest.mark.parametrize("line", ["8,5;40,0;30,0;20,0", "8,5\t40,0\t30,0\t20,0"])
def test_decimal_commas_are_no_quadrilateral(tmp_path: Path, line: str) -> None:
    with pytest.raises(LangTrackError, match=r"Line 2 of .*a\.txt.*quadrilateral.*1\.5"):
        read_boxes(written(tmp_path / "a.txt", f"1,2,3,4\n{line}\n"))


def test_lines_of_windows_with_its_mark_at_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf1,2,3,4\r\n5,6,7,8\r\n")
    assert len(read_boxes(tmp_path / "a.txt")) == 2


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"a\.txt is empty"),
        ("1,2,3\n", r"Line 1 of .*a\.txt"),
        ("1,2,3,4\n1,2,x,4\n", r"Line 2 of .*a\.txt.*'1,2,x,4'"),
        ("1,2,3,4\n\n1,2,3,4\n", "Line 2"),
        ("1,2,3,inf\n", "Line 1"),
        ("1,2,3,4,5\n", "Line 1"),
        ("1,2,3,4\n" * 1_000_001, "1000001 lines"),
    ],
)
def test_what_is_no_box_names_its_line(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(LangTrackError, match=match):
        read_boxes(written(tmp_path / "a.txt", text))


def test_what_is_no_text_names_itself(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    for name, why in (("a.txt", "text file"), ("b.txt", "missing")):
        with pytest.raises(LangTrackError, match=f"{name}.*{why}"):
            read_boxes(tmp_path / name)
