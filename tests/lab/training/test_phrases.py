"""Flickr30k Entities made into training folders, on two annotations written here."""

import cv2
import numpy as np
import pytest

from langtrack_core.cli import main
from langtrack_lab.datasets import described_pictures
from langtrack_lab.training.phrases import Chunk, parse_caption, sentences_of

CLIMBING = (
    "[/EN#18/people A child] in [/EN#19/clothing a pink dress] is climbing up [/EN#20/other the stairs] ."
)


def longer(caption: str, *chains: str) -> set[tuple[str, str]]:
    return sentences_of([caption], frozenset(chains))[1]


def test_a_caption_is_read_in_chunks():
    assert parse_caption(CLIMBING) == [
        Chunk("18", "people", "a child"), Chunk(None, "", "in"), Chunk("19", "clothing", "a pink dress"),
        Chunk(None, "", "is climbing up"), Chunk("20", "other", "the stairs"),
    ]  # fmt: skip


def test_a_thing_is_asked_for_by_its_phrase_the_next_one_and_the_caption():
    short, long = sentences_of([CLIMBING], frozenset(("18", "20")))
    assert short == {("18", "a child"), ("20", "the stairs")}  # the dress has no box
    assert long == {
        ("18", "a child in a pink dress"), ("18", "a child in a pink dress is climbing up the stairs"),
    }  # fmt: skip


def test_what_would_mean_another_thing_is_not_asked():
    helmet = "[/EN#1/people A man] with [/EN#2/clothing a helmet] races in [/EN#3/vehicles a car] ."
    assert longer(helmet, "2") == set()  # it is not the helmet that races
    assert longer("[/EN#1/people A man] and [/EN#2/people a woman] walk .", "1") == set()
    assert longer("[/EN#1/people Two men] on [/EN#2/other a boat] .", "1") == set()
    hat = "[/EN#1/people A man] in [/EN#2/clothing a shirt] and [/EN#3/clothing a hat] ."
    assert longer(hat, "1") == {("1", "a man in a shirt and a hat")}  # the caption; not half of it
    sign = "[/EN#1/people A man] sees [/EN#2/other a sign] on [/EN#3/other a pole] that leans ."
    assert longer(sign, "2") == {("2", "a sign on a pole")}
    assert sentences_of(["[/EN#1/scene A beach] with [/EN#2/people a boy]"], frozenset("1")) == (set(), set())


@pytest.fixture
def entities(tmp_path):
    """One photo of 400x200, squeezed to 40x40, with a child, two chairs, and a dress that is too small."""
    folder, photos = tmp_path / "entities", tmp_path / "photos"
    for part in (folder / "Annotations", folder / "Sentences", photos):
        part.mkdir(parents=True)
    boxes = (("18", 100, 20, 200, 180), ("5", 0, 0, 90, 90), ("5", 300, 0, 390, 90), ("19", 120, 50, 126, 60))
    things = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, x1, y1, x2, y2 in boxes
    )
    size = "<size><width>400</width><height>200</height></size>"
    scene = "<object><name>7</name><scene>1</scene></object>"
    (folder / "Annotations" / "12.xml").write_text(f"<annotation>{size}{things}{scene}</annotation>")
    chairs = "[/EN#5/other Chairs] around [/EN#18/people a girl] in [/EN#19/clothing a dress] ."
    (folder / "Sentences" / "12.txt").write_text(f"{CLIMBING}\n{chairs}\n")
    for name in ("12_abc.jpg", "13_abc.jpg"):
        cv2.imwrite(str(photos / name), np.full((40, 40, 3), 128, np.uint8))
    (tmp_path / "split.txt").write_text("12\n14\n")
    return tmp_path


def convert(root, split="split.txt"):
    return main(
        ["train", "phrases", "--entities", str(root / "entities"), "--photos", str(root / "photos"),
         "--split", str(root / split), "--out", str(root / "data")]
    )  # fmt: skip


def test_the_command_makes_folders_that_a_training_reads(entities, capsys):
    assert convert(entities) == 0
    assert "1 photos, 2 phrases, 3 longer sentences" in capsys.readouterr().out
    parts = described_pictures(entities / "data")
    assert parts.keys() == {"flickr", "captioned"}
    for (picture,) in parts.values():
        assert picture.path.name == "12_abc.jpg"
        assert cv2.imread(str(picture.path)).shape == (150, 300, 3)  # in its true proportions again
        assert all(instance.box_xyxy.tolist() == [75, 15, 150, 135] for instance in picture.instances)
    (captioned,) = parts["captioned"]
    (child,) = captioned.instances
    assert set(child.sentences) == {
        "a child in a pink dress", "a child in a pink dress is climbing up the stairs", "a girl in a dress",
    }  # fmt: skip
    assert convert(entities) == 1  # nothing is overwritten
    assert "exists already" in capsys.readouterr().err


def test_nothing_is_left_of_a_conversion_that_fails(entities, capsys):
    (entities / "split.txt").write_text("12\n13\n")
    assert convert(entities) == 1
    assert "13.xml" in capsys.readouterr().err and not (entities / "data").exists()


def test_phrases_may_come_without_longer_sentences(entities, capsys):
    (entities / "entities" / "Sentences" / "12.txt").write_text("[/EN#18/scene A beach] .\n")
    assert convert(entities) == 0
    assert "1 photos, 0 phrases, 0 longer sentences" in capsys.readouterr().out


def test_bad_input_is_named(entities, capsys):
    (entities / "none.txt").write_text("99\n")
    assert convert(entities, "none.txt") == 1
    assert "no photo whose name begins with an id" in capsys.readouterr().err
    (entities / "split.txt").write_text("13\n")
    assert convert(entities) == 1
    assert "13.xml" in capsys.readouterr().err
    (entities / "split.txt").write_text("12\n")
    annotation = entities / "entities" / "Annotations" / "12.xml"
    annotation.write_text("<annotation><size><width>400</width></size></annotation>")
    assert convert(entities) == 1
    message = capsys.readouterr().err
    assert "12.xml" in message and "size/height is missing" in message
    assert not (entities / "data").exists()
