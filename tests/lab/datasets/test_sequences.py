"""Layouts of our own, the registry and the common types, each on a tiny tree."""

import numpy as np
import pytest
from dataset_trees import SIZE_HW, as_json, mask, palette, picture, pictures, text
from PIL import Image

from langtrack_core.types import LangTrackError
from langtrack_lab.datasets import (
    KINDS,
    ONE_BASED,
    Sequence,
    box_referrals,
    box_sequences,
    coco_pictures,
    coco_set,
    davis_sequences,
    guess_kind,
    open_dataset,
    open_sequences,
    plain_sequences,
    saliency_pictures,
)
from langtrack_lab.datasets.files import read_picture


def dog(**image):
    return {
        "categories": [{"id": 7, "name": "dog"}, {"id": 8, "name": "cat"}, {"id": 9, "name": "cow"}],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 16, "height": 12, **image}],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 7,
                "bbox": [2, 3, 5, 6],
                "segmentation": [[2, 3, 7, 3, 7, 9, 2, 9]],
            },
            {"image_id": 1, "category_id": 9, "bbox": [0, 0, 4, 4], "iscrowd": 1},
        ],
    }


def coco(folder, **image):
    picture(folder / "images" / "a.jpg")
    as_json(folder / "instances.json", dog(**image))
    return folder


# --- photos ------------------------------------------------------------------------------------------------


def test_coco_polygons_boxes_and_crowds(tmp_path):
    (entry,) = coco_pictures(coco(tmp_path))
    (dog,) = entry.instances
    assert dog.category == "dog" and dog.box_xyxy.tolist() == [2, 3, 7, 9]
    expected = np.zeros(SIZE_HW, bool)
    expected[3:9, 2:7] = True
    np.testing.assert_array_equal(dog.mask(SIZE_HW), expected)
    assert read_picture(entry.path).shape == (12, 16, 3)


@pytest.mark.parametrize(
    ("label", "dog", "cat"), [("all", True, True), (["dog"], True, False), ("one", False, False)]
)
def test_coco_says_which_categories_are_complete(tmp_path, label, dog, cat):
    (entry,) = coco_pictures(coco(tmp_path, labelled_categories=label))
    assert (entry.is_complete("dog"), entry.is_complete("cat")) == (dog, cat)
    assert not entry.is_complete("cow")  # there is a crowd of them


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}', '{"images": [{}], "annotations": []}'])
def test_malformed_coco_names_the_file(tmp_path, text):
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(LangTrackError, match=r"instances\.json"):
        coco_pictures(tmp_path)


def test_coco_as_published(tmp_path):
    for part in ("train2017", "val2017"):
        picture(tmp_path / part / "a.jpg")
        as_json(tmp_path / "annotations" / f"instances_{part}.json", dog())
    assert [p.path.parent.name for p in coco_set(tmp_path)] == ["train2017", "val2017"]
    assert [p.path for p in coco_set(tmp_path, "val")] == [tmp_path / "val2017" / "a.jpg"]
    with pytest.raises(LangTrackError, match=r'"test".*train2017, val2017'):
        coco_set(tmp_path, "test")
    (tmp_path / "val2017").rename(tmp_path / "val")
    with pytest.raises(LangTrackError, match=r"photos of .*instances_val2017\.json is missing"):
        coco_set(tmp_path, "val")


def test_coco_without_outlines(tmp_path):
    assert len(coco_set(coco(tmp_path))) == 1
    (tmp_path / "instances.json").rename(tmp_path / "boxes.json")
    assert len(coco_set(tmp_path)) == 1
    (tmp_path / "boxes.json").unlink()
    with pytest.raises(LangTrackError, match=r"expected one of .*instances\.json, .*boxes\.json"):
        coco_set(tmp_path)


def test_saliency(tmp_path):
    picture(tmp_path / "images" / "0001.jpg")
    mask(tmp_path / "masks" / "0001.png")
    (entry,) = saliency_pictures(tmp_path)
    assert entry.instances[0].box_xyxy.tolist() == [2, 3, 7, 9]
    (tmp_path / "masks" / "0001.png").unlink()
    with pytest.raises(LangTrackError, match=r"0001\.png is missing"):
        saliency_pictures(tmp_path)


def test_sentences_of_one_box_belong_together(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    entries = [
        {"file_name": "a.jpg", "expression": "the dog", "box_xyxy": [2, 3, 7, 9]},
        {"file_name": "a.jpg", "expression": "a brown dog", "box_xyxy": [2, 3, 7, 9]},
        {"file_name": "a.jpg", "expression": "the cat", "box_xyxy": [0, 0, 4, 4]},
    ]
    as_json(tmp_path / "expressions.json", entries)
    dog, cat = box_referrals(tmp_path)
    assert dog.sentences == ("the dog", "a brown dog") and cat.sentences == ("the cat",)
    assert dog.instance.box_xyxy.tolist() == [2, 3, 7, 9]
    as_json(tmp_path / "expressions.json", [{"file_name": "a.jpg", "expression": "x"}])
    with pytest.raises(LangTrackError, match=r"expressions\.json.*file_name"):
        box_referrals(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"box_xyxy": [30, 20, 9, 9]}, r"Entry 2 of .*expressions\.json.*needs x2 > x1"),  # x, y, w, h
        ({"box_xyxy": [1, 2, float("nan"), 9]}, r"Entry 2 of .*four finite numbers"),
        ({"expression": 5}, r"expressions\.json.*expression 5"),
        ({"box_xyxy": None}, r"Entry 2 of .*four finite numbers"),
    ],
)
def test_a_sentence_without_a_box_to_find_is_refused(tmp_path, wrong, message):
    picture(tmp_path / "images" / "a.jpg")
    entry = {"file_name": "a.jpg", "expression": "the dog", "box_xyxy": [2, 3, 7, 9]}
    as_json(tmp_path / "expressions.json", [entry, {**entry, **wrong}])
    with pytest.raises(LangTrackError, match=message):
        box_referrals(tmp_path)


# --- sequences ---------------------------------------------------------------------------------------------


def frames_of(folder, count):
    pictures(folder, [f"{i:05d}.jpg" for i in range(count)])
    return tuple(sorted(folder.iterdir()))


def test_a_sequence_counts(tmp_path):
    frames = frames_of(tmp_path, 2)
    with pytest.raises(ValueError, match="1 masks for 2 frames"):
        Sequence("a", frames, (), masks=(None,))
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        Sequence("a", frames, (), boxes=np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"\(2,\)"):
        Sequence("a", frames, (), absent=np.zeros(3, bool))
    bare = Sequence("a", frames, ())
    assert np.isnan(bare.boxes_xyxy).all() and not bare.absent_frames.any() and bare.mask(0) is None


def test_the_pictures_of_a_sequence_with_masks_have_one_size(tmp_path):
    frames = frames_of(tmp_path, 3)
    frames[2].unlink()  # the others are one file
    Image.new("RGB", (20, 10)).save(frames[2])
    with pytest.raises(LangTrackError, match=r"pictures of clip differ in size \(.* and 20x10, from .*00002"):
        list(Sequence("clip", frames, (), (None,) * 3).read_frames())
    assert [frame.index for frame in Sequence("clip", frames, (), (None,) * 3).read_frames(2)] == [2]
    boxes = np.array([[0, 0, 9, 9]] * 3)  # as in GOT-10k
    assert len(list(Sequence("clip", frames, (), boxes=boxes).read_frames())) == 3


def test_masks_tell_box_and_absence_and_what_is_not_annotated(tmp_path):
    frames = frames_of(tmp_path / "frames", 3)
    masks = (
        palette(tmp_path / "0.png", {1: (0, 0, 2, 2), 2: (4, 5, 8, 9)}),
        palette(tmp_path / "1.png", {1: (0, 0, 2, 2)}),
        None,
    )
    second = Sequence("a", frames, (), masks, object_id=2)
    assert second.boxes_xyxy[0].tolist() == [4, 5, 8, 9]
    assert np.isnan(second.boxes_xyxy[1:]).all()
    assert second.absent_frames.tolist() == [False, True, False]
    assert second.mask(0).sum() == 16 and not second.mask(1).any() and second.mask(2) is None


def test_a_coloured_mask_holds_no_object_numbers(tmp_path):
    frames = frames_of(tmp_path / "frames", 1)
    Image.new("RGB", (16, 12), (128, 0, 0)).save(tmp_path / "0.png")
    with pytest.raises(LangTrackError, match=r"0\.png holds colours.*numbers"):
        Sequence("a", frames, (), (tmp_path / "0.png",), object_id=1).mask(0)


def davis(folder):
    as_json(folder / "expressions.json", {"cow": ["the cow", "a brown cow"]})
    frames_of(folder / "JPEGImages" / "cow", 2)
    for i, box in enumerate([(2, 3, 7, 9), (0, 0, 0, 0)]):
        mask(folder / "Annotations" / "cow" / f"{i:05d}.png", box)
    return folder


def test_davis(tmp_path):
    (cow,) = davis_sequences(davis(tmp_path))
    assert cow.name == "cow" and cow.expressions == ("the cow", "a brown cow") and len(cow.frames) == 2
    assert cow.boxes_xyxy[0].tolist() == [2, 3, 7, 9]
    assert np.isnan(cow.boxes_xyxy[1]).all()
    assert cow.absent_frames.tolist() == [False, True]


def test_davis_with_a_mask_missing_names_the_sequence(tmp_path):
    (davis(tmp_path) / "Annotations" / "cow" / "00001.png").unlink()
    with pytest.raises(LangTrackError, match=r"cow.*2 frames.*1 masks"):
        davis_sequences(tmp_path)


@pytest.mark.parametrize("content", ["[", '["cow"]', '{"cow": "the cow"}', '{"cow": [1]}'])
def test_davis_with_malformed_sentences_names_the_file(tmp_path, content):
    text(davis(tmp_path) / "expressions.json", content)
    with pytest.raises(LangTrackError, match=r"expressions\.json is not"):
        davis_sequences(tmp_path)


def boxes(folder, lines="3,4,5,6\nnan,nan,nan,nan\n"):
    pictures(folder / "Car" / "img", ["00000001.jpg", "00000002.jpg"])
    text(folder / "Car" / "groundtruth_rect.txt", lines)
    text(folder / "Car" / "nlp.txt", "the white car\n")
    return folder


def test_boxes(tmp_path):
    (car,) = box_sequences(boxes(tmp_path))
    assert car.expressions == ("the white car",)
    assert car.boxes_xyxy[0].tolist() == [3, 4, 8, 10]
    assert np.isnan(car.boxes_xyxy[1]).all() and car.absent_frames.tolist() == [False, True]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("1,2,3,4\n", "1 lines for 2 frames"),
        ("", "empty"),
        ("1,2,3,4\na,b\n", "Line 2 .*'a,b'"),
        ("1,2,3\n1,2,3,4\n", "Line 1 "),
        ("1,2,3,4,5\n1,2,3,4\n", "Line 1 "),
        ("inf,2,3,4\n1,2,3,4\n", "Line 1 "),
    ],
)
def test_a_bad_box_file_names_itself(tmp_path, lines, complaint):
    with pytest.raises(LangTrackError, match=complaint) as caught:
        box_sequences(boxes(tmp_path, lines))
    assert "groundtruth_rect.txt" in str(caught.value)


@pytest.mark.parametrize("name", ["groundtruth_rect.txt", "nlp.txt"])
def test_a_missing_file_names_itself(tmp_path, name):
    (boxes(tmp_path) / "Car" / name).unlink()
    with pytest.raises(LangTrackError, match=rf"Car/{name} is missing"):
        box_sequences(tmp_path)


def test_plain_folders(tmp_path):
    frames_of(tmp_path / "b", 1)
    pictures(tmp_path / "a", [f"{i}.jpg" for i in (10, 2, 1)] + ["._1.jpg"])
    text(tmp_path / "a" / "expressions.txt", "the dog\n\na brown dog\n")
    text(tmp_path / "a" / "groundtruth.txt", "1 2 3 4\nnan nan nan nan\n0 0 0 0\n")
    mask(tmp_path / "a" / "masks" / "2.png")
    a, b = plain_sequences(tmp_path)
    assert [p.name for p in a.frames] == ["1.jpg", "2.jpg", "10.jpg"]
    assert a.expressions == ("the dog", "a brown dog")
    assert a.boxes_xyxy[0].tolist() == [1, 2, 4, 6] and a.absent_frames.tolist() == [False, True, True]
    assert a.masks == (None, tmp_path / "a" / "masks" / "2.png", None)
    assert b.name == "b" and b.expressions == () and b.masks == () and b.boxes is None
    (alone,) = plain_sequences(tmp_path / "b")
    assert alone.name == "b" and len(alone.frames) == 1


def test_plain_truth_in_the_files_of_annotation_tools(tmp_path):
    frames_of(tmp_path / "a", 3)
    text(tmp_path / "a" / "groundtruth.csv", "2,1,2,3,4,5,1\n3,2,2,3,4,5,1\n")  # MOT
    with pytest.raises(LangTrackError, match=r"groundtruth\.csv.*2 objects: 1, 2"):
        plain_sequences(tmp_path)
    text(tmp_path / "a" / "target.txt", "1\n")
    (clip,) = plain_sequences(tmp_path)
    assert clip.boxes_xyxy[1].tolist() == [1, 2, 5, 7] and clip.absent_frames.tolist() == [True, False, True]
    text(tmp_path / "a" / "groundtruth.csv", "4,1,2,3,4,5,1\n")
    with pytest.raises(LangTrackError, match=r"frame 3.*3 frames"):
        plain_sequences(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_sentences_are_read_in_the_encodings_of_people_s_programs(tmp_path, encoding):
    frames_of(tmp_path / "a", 1)
    said = "the café\x81" if encoding == "latin-1" else "the café"  # of which Windows-1252 has no such sign
    (tmp_path / "a" / "expressions.txt").write_bytes(f"{said}\r\na door\r\n".encode(encoding))
    assert plain_sequences(tmp_path)[0].expressions == (said, "a door")


def test_sentences_that_are_no_text_are_refused(tmp_path):
    frames_of(tmp_path / "a", 1)
    (tmp_path / "a" / "expressions.txt").write_bytes(b"the c\0r\n")
    with pytest.raises(LangTrackError, match=r"expressions\.txt is no text"):
        plain_sequences(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_may_begin_with_the_mark_that_windows_writes(tmp_path, encoding):
    folder = davis(tmp_path)
    path = folder / "expressions.json"
    path.write_text(path.read_text(), encoding=encoding)
    assert [clip.name for clip in davis_sequences(folder)] == ["cow"]


def test_masks_of_several_objects_need_a_choice(tmp_path):
    frames_of(tmp_path / "a", 2)
    values = np.zeros(SIZE_HW, np.uint8)
    values[:4, :4] = 255
    (tmp_path / "a" / "masks").mkdir()
    Image.fromarray(values).save(tmp_path / "a" / "masks" / "00001.png")
    values[:4, :4], values[4:8, 4:8] = 1, 2
    Image.fromarray(values).save(tmp_path / "a" / "masks" / "00000.png")
    with pytest.raises(LangTrackError, match="2 objects: 1, 2"):
        plain_sequences(tmp_path)[0].mask(0)
    text(tmp_path / "a" / "target.txt", "2")
    (clip,) = plain_sequences(tmp_path)
    assert clip.boxes_xyxy[0].tolist() == [4, 4, 8, 8] and clip.absent_frames.tolist() == [False, True]
    assert clip.annotation(1).void.sum() == 16


def test_plain_truth_in_youtube_vis_form_goes_by_the_names_of_the_pictures(tmp_path):
    for number in range(1, 5):
        picture(tmp_path / "a" / f"{number:05d}.jpg")
    names, boxes = [f"clip/{number:05d}.jpg" for number in (1, 3)], [[10, 2, 3, 4], [30, 2, 3, 4]]
    video = {"id": 1, "file_names": names}
    track = {"id": 1, "video_id": 1, "category_id": 1, "bboxes": boxes}
    as_json(tmp_path / "a" / "groundtruth.json", {"videos": [video], "annotations": [track]})
    (clip,) = plain_sequences(tmp_path)
    np.testing.assert_array_equal(clip.boxes_xyxy[:, 0], [10, np.nan, 30, np.nan])


def test_plain_folders_without_what_they_promise(tmp_path):
    assert plain_sequences(tmp_path) == []
    frames_of(tmp_path / "a", 2)
    mask(tmp_path / "a" / "masks" / "wrong.png")
    with pytest.raises(LangTrackError, match=r"masks.*2 frames.*00000\.png"):
        plain_sequences(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "masks" / "wrong.png").rename(tmp_path / "a" / "masks" / "00000.png")
    with pytest.raises(LangTrackError, match="b holds no pictures"):
        plain_sequences(tmp_path)
    (tmp_path / "b").rmdir()
    (tmp_path / "a" / "masks" / "00000.png").rename(tmp_path / "mask")
    (tmp_path / "a" / "masks").rmdir()
    (tmp_path / "mask").rename(tmp_path / "a" / "masks")
    with pytest.raises(LangTrackError, match="a/masks"):
        plain_sequences(tmp_path)


# --- the way in --------------------------------------------------------------------------------------------


def test_open_dataset(tmp_path):
    assert [s.name for s in open_sequences("davis", davis(tmp_path))] == ["cow"]
    with pytest.raises(LangTrackError, match=r'"davos".*kind.*davis.*lasot.*refcocog'):
        open_dataset("davos", tmp_path)
    with pytest.raises(LangTrackError, match=r"nowhere.*JPEGImages"):
        open_dataset("davis", tmp_path / "nowhere")
    with pytest.raises(LangTrackError, match='has no part "val"'):
        open_dataset("davis", tmp_path, "val")
    with pytest.raises(LangTrackError, match=r'"coco".*single pictures'):
        open_sequences("coco", coco(tmp_path / "coco"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_says_what_an_empty_folder_lacks(tmp_path, kind):
    assert "\n" not in KINDS[kind].files and len(KINDS[kind].files) < 100
    with pytest.raises(LangTrackError, match=str(tmp_path)):
        open_dataset(kind, tmp_path)


def test_one_based_kinds_are_kinds():
    assert set(KINDS) >= ONE_BASED


def test_guess_kind(tmp_path):
    assert guess_kind(tmp_path) is None
    assert guess_kind(davis(tmp_path / "davis")) == "davis"
    assert guess_kind(boxes(tmp_path / "boxes")) == "boxes"
    assert guess_kind(coco(tmp_path / "coco")) == "coco"
    as_json(tmp_path / "coco" / "expressions.json", [])
    assert guess_kind(tmp_path / "coco") is None
