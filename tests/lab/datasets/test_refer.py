"""RefCOCO and its kin on a tiny tree, and pickles of strangers."""

import collections
import json
import os
import pickle

import numpy as np
import pytest
from dataset_trees import BOX, SIZE_HW, as_json, picture
from pycocotools import mask as coco_mask

from langtrack_core.types import LangTrackError
from langtrack_lab.datasets import guess_kind, open_dataset, refer_referrals
from langtrack_lab.datasets.pickles import read_plain_pickle

INSIDE = np.zeros(SIZE_HW, bool)
INSIDE[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True


def annotation(number, segmentation, category=1):
    return {
        "id": number,
        "image_id": 5,
        "category_id": category,
        "bbox": [2, 3, 5, 6],
        "segmentation": segmentation,
        "iscrowd": 0,
    }


def ref(ann_id, split, *sentences):
    entries = [{"sent": s, "raw": s, "tokens": s.split(), "sent_id": i} for i, s in enumerate(sentences)]
    return {"ann_id": ann_id, "image_id": 5, "ref_id": ann_id, "category_id": 1, "split": split} | {
        "sentences": entries
    }


def write_pickle(path, content, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))


def refcoco(folder, name="refcoco", splitter="unc", refs=None, segmentation=None, photos=None):
    picture(folder / (photos or "images/mscoco/images/train2014") / "a.jpg")
    polygon = [[2, 3, 7, 3, 7, 9, 2, 9]]
    data = {
        "images": [{"id": 5, "file_name": "a.jpg", "height": 12, "width": 16}],
        "annotations": [annotation(70, segmentation or polygon), annotation(71, polygon)],
        "categories": [{"id": 1, "name": "dog"}],
    }
    as_json(folder / name / "instances.json", data)
    refs = refs or [ref(70, "train", "left dog", "the dog"), ref(71, "testA", "right dog")]
    write_pickle(folder / name / f"refs({splitter}).p", refs)
    return folder


def test_refcoco(tmp_path):
    left, right = open_dataset("refcoco", refcoco(tmp_path))
    assert left.sentences == ("left dog", "the dog") and left.split == "train"
    assert left.instance.category == "dog" and left.instance.box_xyxy.tolist() == list(BOX)
    np.testing.assert_array_equal(left.instance.mask(SIZE_HW), INSIDE)
    assert left.picture.path == tmp_path / "images/mscoco/images/train2014/a.jpg"
    assert len(left.picture.instances) == 2 and left.picture.is_complete("dog")
    assert open_dataset("refcoco", tmp_path, "testA")[0].sentences == right.sentences


@pytest.mark.parametrize(
    ("part", "splits"),
    [
        ("train", ["train"]),
        ("val", ["val"]),
        ("test", ["test", "testA", "testBC"]),
        ("testA", ["testA"]),
        ("testB", ["testBC"]),
        ("testC", ["testBC"]),
    ],
)
def test_parts(tmp_path, part, splits):
    refs = [ref(70, split, "a dog") for split in ("train", "val", "test", "testA", "testBC")]
    refcoco(tmp_path, refs=refs)
    assert [r.split for r in refer_referrals(tmp_path, "refcoco", part)] == splits


@pytest.mark.parametrize(
    ("kind", "name", "splitter"),
    [
        ("refcocog", "refcocog", "umd"),
        ("refcocog-google", "refcocog", "google"),
        ("refcoco+", "refcoco+", "unc"),
        ("refclef-berkeley", "refclef", "berkeley"),
    ],
)
def test_kinds_name_the_set_and_who_split_it(tmp_path, kind, name, splitter):
    photos = "images/saiapr_tc-12" if name == "refclef" else "train2014"
    refcoco(tmp_path, name, splitter, photos=photos)
    dataset = open_dataset(kind, tmp_path)
    assert len(dataset) == 2
    # Only COCO annotates all instances of a category.
    assert dataset[0].picture.is_complete("dog") == (name != "refclef")


@pytest.mark.parametrize("packed", [True, False])
def test_refclef_has_run_lengths(tmp_path, packed):
    run = coco_mask.encode(np.asfortranarray(INSIDE.astype(np.uint8)))
    counts = run["counts"].decode()
    if not packed:  # column by column: how many unset, how many set, and so on
        edges = np.flatnonzero(np.diff(INSIDE.ravel(order="F"))) + 1
        counts = np.diff([0, *edges, INSIDE.size]).tolist()
    refcoco(tmp_path, "refclef", segmentation=[{"size": list(SIZE_HW), "counts": counts}], photos="images")
    left, _ = open_dataset("refclef", tmp_path)
    assert left.instance.has_mask
    np.testing.assert_array_equal(left.instance.mask(SIZE_HW), INSIDE)
    with pytest.raises(LangTrackError, match=r"12, 16.*16, 12"):
        left.instance.mask((16, 12))


def test_the_folder_of_the_set_itself(tmp_path):
    refcoco(tmp_path)
    assert len(open_dataset("refcoco", tmp_path / "refcoco")) == 2
    assert guess_kind(tmp_path) is None


def test_a_description_without_words_is_none(tmp_path):
    refcoco(tmp_path, refs=[ref(70, "val", " "), ref(71, "val", "", "right dog")])
    (only,) = open_dataset("refcoco", tmp_path)
    assert only.sentences == ("right dog",)


def test_what_is_missing_is_named(tmp_path):
    refcoco(tmp_path)
    with pytest.raises(LangTrackError, match=r'refs\(unc\)\.p.*"tset".*testA, train'):
        refer_referrals(tmp_path, "refcoco", "tset")
    with pytest.raises(LangTrackError, match=r"refs\(google\)\.p is missing"):
        open_dataset("refcoco-google", tmp_path)
    (tmp_path / "images/mscoco/images/train2014/a.jpg").unlink()
    with pytest.raises(LangTrackError, match=r"a\.jpg is missing"):
        open_dataset("refcoco", tmp_path)
    (tmp_path / "images/mscoco/images/train2014").rmdir()
    (tmp_path / "images").rename(tmp_path / "photos")
    with pytest.raises(LangTrackError, match="photos of refcoco"):
        open_dataset("refcoco", tmp_path)
    (tmp_path / "refcoco" / "instances.json").unlink()
    with pytest.raises(LangTrackError, match=r"instances\.json is missing"):
        open_dataset("refcoco", tmp_path)


@pytest.mark.parametrize("refs", [[ref(99, "val", "a cat")], [{"ann_id": 70}], {"refs": 1}, [3]])
def test_expressions_that_do_not_fit_the_annotations(tmp_path, refs):
    refcoco(tmp_path, refs=refs)
    with pytest.raises(LangTrackError, match=r"refs\(unc\)\.p.*instances\.json"):
        open_dataset("refcoco", tmp_path)


# --- pickles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_are_read(tmp_path, protocol):
    content = [{"a": (1, 2.5, "caf\xe9", None, True), "b": 10**30}]
    write_pickle(tmp_path / "a.p", content, protocol)
    assert read_plain_pickle(tmp_path / "a.p", "data") == content


def test_strings_of_python_2_are_read(tmp_path):
    # {'sent': 'left dog', 'n': 7L} as Python 2 pickles it at protocol 0.
    (tmp_path / "a.p").write_bytes(b"(dp0\nS'sent'\np1\nS'left dog'\np2\nsS'n'\np3\nL7L\ns.")
    assert read_plain_pickle(tmp_path / "a.p", "data") == {"sent": "left dog", "n": 7}


class Calls:
    """Runs something when unpickled the careless way."""

    def __init__(self, function, *arguments):
        self.state = function, arguments

    def __reduce__(self):
        return self.state


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (lambda path: Calls(os.mkdir, str(path)), "mkdir"),
        (lambda path: Calls(eval, f"__import__('os').mkdir({str(path)!r})"), "eval"),
        (lambda path: Calls(getattr, "a", "upper"), "getattr"),
        (lambda path: collections.OrderedDict(a=1), "OrderedDict"),
        (lambda path: np.float64(1), "numpy"),
        (lambda path: [json.JSONDecodeError], "JSONDecodeError"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_of_a_pickle_is_run(tmp_path, content, name, protocol):
    write_pickle(tmp_path / "a.p", [content(tmp_path / "made")], protocol)
    with pytest.raises(LangTrackError, match=rf"a\.p.*{name}"):
        read_plain_pickle(tmp_path / "a.p", "data")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "data", [b"", b"not a pickle", b"\x80\x05]", b"(dp0\nS'a", b"\x80\x02Pnowhere\n.", b"\x82\x01.", b"0."]
)
def test_damaged_pickles_name_themselves(tmp_path, data):
    (tmp_path / "a.p").write_bytes(data)
    with pytest.raises(LangTrackError, match=r"a\.p"):
        read_plain_pickle(tmp_path / "a.p", "data")
