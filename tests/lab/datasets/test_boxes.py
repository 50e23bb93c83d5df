"""OTB-99-Lang, LaSOT, TNL2K and GOT-10k on tiny trees in their layouts, quirks included."""

import numpy as np
import pytest
from dataset_trees import pictures, text

from langtrack_core.types import LangTrackError
from langtrack_lab.datasets import (
    got10k_sequences,
    lasot_sequences,
    open_dataset,
    otb_lang_sequences,
    tnl2k_sequences,
)
from langtrack_lab.datasets.boxes import lasot_test_names


def numbered(numbers, digits=8):
    return [f"{i:0{digits}d}.jpg" for i in numbers]


def rows(count, start=1):
    """Boxes x, y = n, 2 n of 3 x 4 pixels."""
    return "".join(f"{i},{2 * i},3,4\n" for i in range(start, start + count))


# --- OTB-99-Lang -------------------------------------------------------------------------------------------


def otb(folder, name, numbers, lines, part="test", clip=None, truth="groundtruth_rect.txt"):
    directory = folder / "OTB_videos" / (clip or name)
    if not (directory / "img").exists():
        pictures(directory / "img", numbered(numbers, 4))
    text(directory / truth, lines)
    text(folder / f"OTB_query_{part}" / f"{name}.txt", f"the {name}\n")


def test_otb_separators_zero_boxes_and_parts(tmp_path):
    otb(tmp_path, "Board", range(1, 5), "1,2,3,4\n5\t6\t7\t8\r\n9  10 11\t12\n0,0,0,0\n")
    otb(tmp_path, "Deer", range(1, 3), rows(2), part="train")
    (tmp_path / "OTB_videos" / "Deer" / "attrs.txt").write_text("SV, DEF")
    (tmp_path / "OTB_query_test" / "._Board.txt").write_bytes(b"\x00\x05\x16\x07")  # of a Mac
    (board,) = otb_lang_sequences(tmp_path, "test")
    # The first pixel is 1 in the file and 0 here.
    assert board.boxes_xyxy[:3].tolist() == [[0, 1, 3, 5], [4, 5, 11, 13], [8, 9, 19, 21]]
    assert np.isnan(board.boxes_xyxy[3]).all() and not board.absent_frames.any()
    deer, board = otb_lang_sequences(tmp_path)
    assert deer.expressions == ("the Deer",) and deer.attributes == {"SV", "DEF"}
    with pytest.raises(LangTrackError, match=r'no part "val".*train, test'):
        otb_lang_sequences(tmp_path, "val")


def test_otb_sequences_that_are_shorter_than_their_folder(tmp_path):
    otb(tmp_path, "David", range(298, 773), rows(471, 300))
    otb(tmp_path, "Tiger1", range(1, 355), rows(354))
    otb(tmp_path, "BlurCar3", range(3, 360), rows(357))
    blur, david, tiger = otb_lang_sequences(tmp_path, "test")
    assert (david.frames[0].name, david.frames[-1].name, len(david.frames)) == ("0300.jpg", "0770.jpg", 471)
    assert david.boxes_xyxy[0, 0] == 299
    assert (tiger.frames[0].name, len(tiger.frames)) == ("0006.jpg", 349)
    assert tiger.boxes_xyxy[[0, -1], 0].tolist() == [5, 353]
    assert (blur.frames[0].name, len(blur.frames)) == ("0003.jpg", 357)


@pytest.mark.parametrize("folders", ["one", "two"])
def test_otb_two_targets_in_one_clip(tmp_path, folders):
    for target in "12":
        clip = "Jogging" if folders == "one" else f"Jogging-{target}"
        truth = f"groundtruth_rect.{target}.txt"
        otb(tmp_path, f"Jogging-{target}", (1, 2), rows(2, int(target)), clip=clip, truth=truth)
    first, second = otb_lang_sequences(tmp_path, "test")
    assert (first.name, second.name) == ("Jogging-1", "Jogging-2")
    assert (first.boxes_xyxy[0, 0], second.boxes_xyxy[0, 0]) == (0, 1)


def test_otb_human4_has_its_boxes_in_the_second_file(tmp_path):
    otb(tmp_path, "Human4", (1, 2), rows(2), truth="groundtruth_rect.2.txt")
    text(tmp_path / "OTB_videos" / "Human4" / "groundtruth_rect.1.txt", "")
    (human,) = otb_lang_sequences(tmp_path, "test")
    assert human.boxes_xyxy[1].tolist() == [1, 3, 4, 7]


def test_otb_says_what_is_missing(tmp_path):
    otb(tmp_path, "Deer", (1, 2, 3), rows(2))
    with pytest.raises(LangTrackError, match=r"groundtruth_rect\.txt.*2 lines.*3 frames"):
        otb_lang_sequences(tmp_path, "test")
    (tmp_path / "OTB_videos" / "Deer" / "groundtruth_rect.txt").unlink()
    with pytest.raises(LangTrackError, match=r"boxes of Deer.*rect\.txt"):
        otb_lang_sequences(tmp_path, "test")
    text(tmp_path / "OTB_query_test" / "Aaa.txt", "nothing")
    with pytest.raises(LangTrackError, match=r"frames of .*Aaa\.txt is missing"):
        otb_lang_sequences(tmp_path, "test")
    with pytest.raises(LangTrackError, match="OTB_query_train is missing"):
        otb_lang_sequences(tmp_path, "train")


# --- LaSOT -------------------------------------------------------------------------------------------------


def lasot(folder, name, count=3, occluded="0,1,0", outside="0,0,0", category=True):
    directory = folder / name.rpartition("-")[0] / name if category else folder / name
    pictures(directory / "img", numbered(range(1, count + 1)))
    text(directory / "groundtruth.txt", rows(count))
    text(directory / "nlp.txt", f"the {name}\n")
    text(directory / "full_occlusion.txt", occluded)
    text(directory / "out_of_view.txt", outside)
    return directory


def test_lasot_split_order_and_absence(tmp_path):
    for name in ("bear-10", "bear-2", "bear-3"):
        lasot(tmp_path, name)
    assert [s.name for s in lasot_sequences(tmp_path)] == ["bear-2", "bear-3", "bear-10"]
    assert [s.name for s in lasot_sequences(tmp_path, "train")] == ["bear-3", "bear-10"]
    (bear,) = lasot_sequences(tmp_path, "test")
    assert bear.expressions == ("the bear-2",)
    assert bear.boxes_xyxy[0].tolist() == [0, 1, 3, 5]
    assert np.isnan(bear.boxes_xyxy[1]).all() and bear.absent_frames.tolist() == [False, True, False]
    assert bear.attributes == {"full occlusion"}


def test_lasot_test_part_is_the_official_one():
    names = lasot_test_names()
    assert len(names) == 280 and {"airplane-1", "zebra-17"} <= names and "airplane-2" not in names
    assert len({name.rpartition("-")[0] for name in names}) == 70


def test_lasot_without_categories_and_of_the_extension(tmp_path):
    lasot(tmp_path, "atv-1", category=False)
    assert [s.name for s in lasot_sequences(tmp_path, "test")] == ["atv-1"]
    with pytest.raises(LangTrackError, match=r'part "train".*CATEGORY'):
        open_dataset("lasot", tmp_path, "train")


def test_lasot_monkey_17_has_pictures_to_spare(tmp_path):
    directory = lasot(tmp_path, "monkey-17")
    pictures(directory / "img", ["00000004.jpg"])
    (monkey,) = lasot_sequences(tmp_path)
    assert len(monkey.frames) == 3


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("full_occlusion.txt", "0,1", "has 2 numbers for 3 frames"),
        ("out_of_view.txt", "0,x,1", "is not a list of whole numbers: expected 0 or 1 a frame, got .x."),
        ("groundtruth.txt", "1,2,3,4\n", "has 1 lines for 3 frames"),
        ("out_of_view.txt", None, "is missing: expected 0 or 1 a frame"),
        ("nlp.txt", None, "is missing: expected one sentence"),
        ("groundtruth.txt", None, "is missing"),
    ],
)
def test_lasot_names_the_bad_file(tmp_path, name, content, complaint):
    directory = lasot(tmp_path, "bear-1")
    (directory / name).unlink() if content is None else text(directory / name, content)
    with pytest.raises(LangTrackError, match=f"bear-1/{name} {complaint}"):
        lasot_sequences(tmp_path)


# --- TNL2K -------------------------------------------------------------------------------------------------


def tnl2k(folder, part, name, numbers=(1, 2, 3), lines=None):
    directory = folder / part / name
    pictures(directory / "imgs", numbered(numbers, 5))
    text(directory / "groundtruth.txt", lines or rows(3))
    text(directory / "language.txt", "the man we follow\n")
    return directory


def test_tnl2k(tmp_path):
    tnl2k(tmp_path, "TNL2K_train_subset", "Run-Done", lines="1,2,3,4\n0,0,0,0\n5,6,7,8\n")
    quiet = tnl2k(tmp_path, "TNL2K_test_subset", "Walk_done")
    text(quiet / "language.txt", "")
    run, walk = tnl2k_sequences(tmp_path)
    assert run.expressions == ("the man we follow",) and walk.expressions == ()
    assert run.boxes_xyxy[0].tolist() == [1, 2, 4, 6]
    # Zeros alone don't say that the target is absent.
    assert np.isnan(run.boxes_xyxy[1]).all() and not run.absent_frames.any()
    text(tmp_path / "annos" / "absent" / "Walk_done.txt", "0\n0\n1\n")
    (walk,) = tnl2k_sequences(tmp_path, "test")
    assert walk.absent_frames.tolist() == [False, False, True] and np.isnan(walk.boxes_xyxy[2]).all()


def test_tnl2k_damaged_picture_is_replaced_by_its_neighbour(tmp_path):
    directory = tnl2k(tmp_path, "test", "test_015_Sord_video_Q01_done", (490, 491, 493), rows(4, 490))
    text(directory / "imgs" / "00492.pn_error", "")
    (sequence,) = tnl2k_sequences(tmp_path, "test")
    assert [p.stem for p in sequence.frames] == ["00490", "00491", "00491", "00493"]


def test_tnl2k_says_what_is_missing(tmp_path):
    with pytest.raises(LangTrackError, match="train part of TNL2K"):
        tnl2k_sequences(tmp_path, "train")
    directory = tnl2k(tmp_path, "train", "Run", lines=rows(2))
    with pytest.raises(LangTrackError, match=r"groundtruth\.txt.*2 lines.*3 frames"):
        tnl2k_sequences(tmp_path)
    text(directory / "groundtruth.txt", rows(3))
    (directory / "language.txt").unlink()
    with pytest.raises(LangTrackError, match=r"Run/language\.txt is missing"):
        tnl2k_sequences(tmp_path)


# --- GOT-10k -----------------------------------------------------------------------------------------------

META = "[METAINFO]\nurl: https://example.org/a\nobject_class: brown bear\nmotion_class: walking\n"


def got10k(folder, part="val", lines=None):
    name = f"GOT-10k_{part.capitalize()}_000001"
    directory = folder / part / name
    text(folder / part / "list.txt", f"{name}\n")
    pictures(directory, numbered((1, 2, 3)))
    text(directory / "groundtruth.txt", lines or "1.0,2.0,3.0,4.0\n-1,-1,-1,-1\n5,6,7,8\n")
    if part != "test":
        text(directory / "absence.label", "0\n1\n0\n")
        text(directory / "cover.label", "8\n0\n0\n")
        text(directory / "meta_info.ini", META)
    return directory


def test_got10k(tmp_path):
    got10k(tmp_path)
    (bear,) = got10k_sequences(tmp_path, "val")
    assert bear.name == "GOT-10k_Val_000001" and bear.expressions == ()
    assert bear.boxes_xyxy[0].tolist() == [0, 1, 3, 5]
    # The third has a box, but nothing of the target is to be seen.
    assert bear.absent_frames.tolist() == [False, True, True] and np.isnan(bear.boxes_xyxy[1:]).all()
    assert bear.attributes == {"object_class: brown bear", "motion_class: walking"}


def test_got10k_test_has_one_box(tmp_path):
    got10k(tmp_path, "test", "1,2,3,4\n")
    (sequence,) = got10k_sequences(tmp_path)
    assert sequence.boxes_xyxy[0].tolist() == [0, 1, 3, 5]
    assert np.isnan(sequence.boxes_xyxy[1:]).all() and not sequence.absent_frames.any()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("absence.label", "0\n1\n", r"absence\.label has 2 numbers for 3 frames"),
        ("cover.label", None, r"cover\.label is missing"),
        ("meta_info.ini", "[METAINFO]\nobject_class: dog\n", r"meta_info\.ini does not say motion_class"),
        ("groundtruth.txt", "1,2,3,4\n", r"groundtruth\.txt has 1 lines for 3 frames"),
        ("../list.txt", "GOT-10k_Val_000007\n", "GOT-10k_Val_000007 is missing: expected a sequence"),
        ("../list.txt", None, r"list\.txt is missing: expected the names"),
    ],
)
def test_got10k_names_the_bad_file(tmp_path, name, content, complaint):
    path = got10k(tmp_path) / name
    path.unlink() if content is None else text(path, content)
    with pytest.raises(LangTrackError, match=complaint):
        got10k_sequences(tmp_path)
