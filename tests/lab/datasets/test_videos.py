"""Ref-DAVIS17 and Ref-YouTube-VOS on tiny trees in their layouts."""

import pytest
from dataset_trees import as_json, palette, pictures, text

from langtrack_core.types import LangTrackError
from langtrack_lab.datasets import open_sequences, ref_davis17_sequences, ref_youtube_vos_sequences

STEMS = ("00000", "00005", "00010")


def clip(frames, masks, boxes=({1: (0, 0, 2, 2), 2: (4, 5, 8, 9)}, {1: (0, 0, 2, 2)})):
    pictures(frames, [f"{stem}.jpg" for stem in STEMS])
    for stem, objects in zip(STEMS, boxes, strict=False):
        palette(masks / f"{stem}.png", objects)


# --- Ref-DAVIS17 -------------------------------------------------------------------------------------------


def davis(folder, name="classic-car", kind="Annotations"):
    root = folder / "DAVIS"
    clip(root / "JPEGImages" / "480p" / name, root / kind / "480p" / name)
    text(root / "ImageSets" / "2017" / "train.txt", "")
    text(root / "ImageSets" / "2017" / "val.txt", f"{name}\n")
    for who in "12":
        for what in ("", "_full_video"):
            lines = [f'clasic-car {i} "thing {i} by {who}{what}"\n' for i in (1, 2)]
            text(folder / "davis_text_annotations" / f"Davis17_annot{who}{what}.txt", "".join(lines))
    return folder


def test_davis17_objects_and_sentences_in_order(tmp_path):
    first, second = ref_davis17_sequences(davis(tmp_path), "val")
    assert (first.name, second.name, second.object_id) == ("classic-car.1", "classic-car.2", 2)
    assert second.expressions == (
        "thing 2 by 1",
        "thing 2 by 1_full_video",
        "thing 2 by 2",
        "thing 2 by 2_full_video",
    )
    assert second.boxes_xyxy[0].tolist() == [4, 5, 8, 9]
    # Gone in the second frame; of the third there is no mask.
    assert second.absent_frames.tolist() == [False, True, False] and second.masks[2] is None
    assert ref_davis17_sequences(tmp_path, "train") == []


def test_davis17_takes_the_masks_that_published_results_use(tmp_path):
    davis(tmp_path)
    davis(tmp_path / "other", kind="Annotations_unsupervised")
    (tmp_path / "other" / "DAVIS" / "Annotations_unsupervised").rename(
        tmp_path / "DAVIS" / "Annotations_unsupervised"
    )
    first, *_ = ref_davis17_sequences(tmp_path)
    assert "Annotations_unsupervised" in str(first.masks[0])


def test_davis17_reads_the_second_annotator_in_his_encoding(tmp_path):
    path = davis(tmp_path) / "davis_text_annotations" / "Davis17_annot2.txt"
    text(path, 'classic-car 1 "a caf\xe9 racer"\n', encoding="latin-1")
    first, second = ref_davis17_sequences(tmp_path)
    assert first.expressions[2] == "a caf\xe9 racer" and len(second.expressions) == 3


def test_davis17_says_what_is_wrong(tmp_path):
    texts = davis(tmp_path) / "davis_text_annotations"
    text(texts / "Davis17_annot1.txt", 'classic-car 1 "the car"\nclassic-car the car\n')
    with pytest.raises(LangTrackError, match=r"annot1\.txt, line 2.*classic-car the"):
        ref_davis17_sequences(tmp_path)
    for path in texts.iterdir():
        path.unlink()
    with pytest.raises(LangTrackError, match=r"Davis17_annot1\.txt"):
        ref_davis17_sequences(tmp_path)
    texts.rmdir()
    with pytest.raises(LangTrackError, match="Ref-DAVIS17 sentences"):
        ref_davis17_sequences(tmp_path)
    with pytest.raises(LangTrackError, match=r'no part "test".*train, val'):
        ref_davis17_sequences(tmp_path, "test")


def test_davis17_without_a_list_or_masks(tmp_path):
    root = davis(tmp_path) / "DAVIS"
    for path in (root / "Annotations" / "480p" / "classic-car").iterdir():
        path.unlink()
    with pytest.raises(LangTrackError, match=r"classic-car.*3 frames"):
        ref_davis17_sequences(tmp_path)
    (root / "ImageSets" / "2017" / "val.txt").unlink()
    with pytest.raises(LangTrackError, match=r"val\.txt is missing"):
        ref_davis17_sequences(tmp_path)


# --- Ref-YouTube-VOS ---------------------------------------------------------------------------------------


def video(expressions, frames=STEMS):
    return {"expressions": {str(i): e for i, e in enumerate(expressions)}, "frames": list(frames)}


def youtube(folder, part, videos):
    as_json(folder / "meta_expressions" / part / "meta_expressions.json", {"videos": videos})
    for name in videos:
        clip(folder / part / "JPEGImages" / name, folder / part / "Annotations" / name)


def test_youtube_sentences_of_an_object_belong_together(tmp_path):
    entries = [
        {"exp": "the left one", "obj_id": "1"},
        {"exp": "the right one ", "obj_id": "2"},
        {"exp": "first", "obj_id": "1"},
    ]
    youtube(tmp_path, "train", {"0a": video(entries)})
    first, second = ref_youtube_vos_sequences(tmp_path, "train")
    assert (first.name, first.expressions) == ("0a.1", ("the left one", "first"))
    assert (second.name, second.expressions, second.object_id) == ("0a.2", ("the right one",), 2)
    assert second.boxes_xyxy[0].tolist() == [4, 5, 8, 9]
    assert second.absent_frames.tolist() == [False, True, False]


def test_youtube_val_has_no_truth_and_lists_the_test_videos_too(tmp_path):
    entries = [{"exp": "the left one"}, {"exp": "the right one"}]
    youtube(tmp_path, "valid", {"0a": video(entries), "0b": video(entries)})
    youtube(tmp_path, "test", {"0b": video(entries)})
    sequences = ref_youtube_vos_sequences(tmp_path, "val")
    assert [(s.name, s.expressions) for s in sequences] == [
        ("0a.0", ("the left one",)),
        ("0a.1", ("the right one",)),
    ]
    assert sequences[0].masks == () and sequences[0].object_id is None
    assert [s.name for s in ref_youtube_vos_sequences(tmp_path)] == ["0a.0", "0a.1", "0b.0", "0b.1"]


def test_youtube_says_what_is_wrong(tmp_path):
    with pytest.raises(LangTrackError, match=r"train/meta_expressions\.json is missing"):
        ref_youtube_vos_sequences(tmp_path, "train")
    with pytest.raises(LangTrackError, match="expected train"):
        open_sequences("ref-youtube-vos", tmp_path)
    with pytest.raises(LangTrackError, match=r'no part "valid".*train, val, test'):
        ref_youtube_vos_sequences(tmp_path, "valid")
    path = tmp_path / "meta_expressions" / "train" / "meta_expressions.json"
    as_json(path, {"clips": {}})
    with pytest.raises(LangTrackError, match='it has no "videos"'):
        ref_youtube_vos_sequences(tmp_path)
    youtube(tmp_path, "train", {"0a": video([{"obj_id": "1"}])})
    with pytest.raises(LangTrackError, match=r'video "0a" is malformed.*exp'):
        ref_youtube_vos_sequences(tmp_path)
    youtube(tmp_path, "train", {"0b": video([{"exp": "it", "obj_id": "one"}])})
    with pytest.raises(LangTrackError, match='video "0b" is malformed'):
        ref_youtube_vos_sequences(tmp_path)
    youtube(tmp_path, "train", {"0c": video([{"exp": "it", "obj_id": "1"}], [*STEMS, "00015", "00020"])})
    with pytest.raises(LangTrackError, match=r"0c.*2 of 5 frames.*00015\.jpg"):
        ref_youtube_vos_sequences(tmp_path)
