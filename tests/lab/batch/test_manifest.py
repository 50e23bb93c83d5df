"""Reading manifests: both forms, names of runs, and what is refused."""

import json
from pathlib import Path

import pytest

from langtrack_core.types import LangTrackError
from langtrack_lab.batch.manifest import Item, read_manifest


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_and_json_lines_say_the_same(tmp_path: Path):
    table = write(
        tmp_path / "a.csv",
        'video,expression,box,start\nclips/a.mp4,the red car,,\nb.mp4,,"1,2,30.5,40",7\n',
    )
    lines = [
        {"video": "clips/a.mp4", "expression": "the red car"},
        {"video": "b.mp4", "box": [1, 2, 30.5, 40], "start": 7},
    ]
    listed = write(tmp_path / "a.jsonl", "\n\n".join(json.dumps(line) for line in lines) + "\n")
    items = read_manifest(table)
    assert items == read_manifest(listed)
    assert items[0].video == str(tmp_path / "clips" / "a.mp4")
    assert items[0].expression == "the red car" and items[0].box is None and items[0].start == 0
    assert items[1].expression is None and items[1].box == (1, 2, 30.5, 40) and items[1].start == 7


def test_an_id_depends_on_what_is_asked_and_on_nothing_else(tmp_path: Path):
    first = read_manifest(write(tmp_path / "m.csv", "video,expression\na b.mp4,a dog\na b.mp4,a cat\n"))
    later = read_manifest(write(tmp_path / "m.csv", "video,expression\na b.mp4,a cat\na b.mp4,a dog\n"))
    assert {item.id for item in first} == {item.id for item in later} and len({i.id for i in first}) == 2
    assert first[0].id.startswith("a-b-")
    own = read_manifest(write(tmp_path / "m.csv", "video,expression,id\na.mp4,a dog,clip.7\n"))
    assert own == [Item("clip.7", str(tmp_path / "a.mp4"), "a dog", None, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected a header"),
        ("video,expression\n", "lists nothing"),
        (
            "film,expression\na.mp4,x\n",
            "line 1: expected a header with the columns video, expression, box, start, id, got film",
        ),
        ("expression\na dog\n", "columns video"),
        ("video,expresion\na.mp4,a dog\n", "line 1: unknown column expresion; is expression meant?"),
        ("Video, video \na.mp4,b.mp4\n", "line 1: the column video is there twice"),
        ("video,expression\n,a dog\n", "line 2: video must be a path"),
        ("video,expression\na.mp4,\n", "line 2: Say what to follow"),
        ("video,expression\na.mp4,!!!\n", "line 2: The expression"),
        ("video,expression,box\na.mp4,a dog,1,2,3,4\n", "line 2: expected 3 cells"),
        ('video,box\na.mp4,"1,2,3"\n', "line 2: box must be"),
        ('video,box\na.mp4,"1,2,nan,9"\n', "line 2: A box is four finite"),
        ('video,box\na.mp4,"5,5,1,9"\n', "x2 > x1"),
        ("video,expression,start\na.mp4,a dog,-1\n", "line 2: start must be"),
        ("video,expression,id\na.mp4,a dog,../up\n", "line 2: id must be"),
        ("video,expression,id\na.mp4,a dog,.hidden\n", "line 2: id must be"),
        ("video,expression\na.mp4,a dog\nb.mp4,a dog\na.mp4,a dog\n", "line 4: the same item as line 2"),
        ("video,expression,id\na.mp4,a dog,One\nb.mp4,a dog,one\n", "the same item as line 2"),
    ],
)
def test_what_cannot_be_understood_names_its_line(text: str, message: str, tmp_path: Path):
    path = write(tmp_path / "m.csv", text)
    with pytest.raises(LangTrackError, match=r"m\.csv") as error:
        read_manifest(path)
    assert message in str(error.value)


COMMAS = (
    'Video , EXPRESSION,Box,start,Notes,\r\na.mp4, der Bär ,,,good,\r\nb.mp4,,"1,2,30.5,40",7.0\r\n,,,,,\r\n'
)
SEMICOLONS = (
    "Video ;EXPRESSION;Box;start;Notes;\r\na.mp4; der Bär ;;;good;\r\nb.mp4;;1,2,30.5,40;7;;\r\n;;;;;\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize(
    "text",
    [
        COMMAS,
        SEMICOLONS,
        f"sep=;\r\n{SEMICOLONS}",
        SEMICOLONS.replace(";", "\t"),
        SEMICOLONS.replace("\r\n", "\r"),  # an old Macintosh
        SEMICOLONS.replace("1,2,30.5,40", '"1;2;30,5;40"'),  # decimal commas
        SEMICOLONS.replace(";7;;", ";7"),  # cells at the end are left out
    ],
    ids=["commas", "semicolons", "sep", "tabs", "carriage returns", "decimal commas", "short rows"],
)
def test_tables_of_spreadsheets(text: str, encoding: str, tmp_path: Path):
    (tmp_path / "m.csv").write_bytes(text.encode(encoding))
    notes: list[str] = []
    first, second = read_manifest(tmp_path / "m.csv", notes.append)
    assert (first.expression, first.box, first.start) == ("der Bär", None, 0)
    assert (second.expression, second.box, second.start) == (None, (1, 2, 30.5, 40), 7)
    assert ["not used: notes;" in note for note in notes] == [False] * (encoding == "cp1252") + [True]


def test_the_path_of_another_system(tmp_path: Path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").touch()
    (item,) = read_manifest(write(tmp_path / "m.csv", "video,expression\nclips\\a.mp4,a dog\n"))
    assert Path(item.video) == tmp_path / "clips" / "a.mp4"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"video": 3, "expression": "a dog"}', "video must be a path"),
        ('{"video": "a.mp4", "expression": ["a"]}', "expression must be text"),
        ('{"video": "a.mp4", "expression": "a", "start": true}', "start must be"),
        ('{"video": "a.mp4", "box": {"x": 1}}', "box must be"),
    ],
)
def test_json_lines_that_cannot_be_understood(line: str, message: str, tmp_path: Path):
    path = write(tmp_path / "m.jsonl", line + "\n")
    with pytest.raises(LangTrackError, match="line 1") as error:
        read_manifest(path)
    assert message in str(error.value)


def test_files_that_are_no_manifest(tmp_path: Path):
    with pytest.raises(LangTrackError, match=r"spreadsheet.*CSV"):
        read_manifest(tmp_path / "m.xlsx")
    with pytest.raises(LangTrackError, match="cannot be read"):
        read_manifest(tmp_path / "missing.csv")
    for content in (
        b"\xff\xfe\x00vide",
        b"video,expression\na.mp4,\xe9\x81\n",
    ):  # UTF-16 cut off; no encoding
        (tmp_path / "m.csv").write_bytes(content)
        with pytest.raises(LangTrackError, match=r"cannot be read.*Save it as UTF-8"):
            read_manifest(tmp_path / "m.csv")
