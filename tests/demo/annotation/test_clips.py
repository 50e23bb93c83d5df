"""A folder of clips as a list: its content, verdicts, filters, and a result for somebody else to go on."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from app_helpers import counting_clip, paced_tracker
from clip_folders import clip_folder
from filelock import FileLock

from demo.annotation.clips import RESULT_NAME, Clip, ClipList, ClipTarget, read_result
from demo.annotation.clips_folder import clips_in
from langtrack_core.run.recorder import RunOptions
from langtrack_core.run.track_video import track_video
from langtrack_core.types import LangTrackError, Query
from langtrack_lab.files import write_text


def some(count: int = 4, result: Path | None = None) -> ClipList:
    clips = [
        Clip(f"clip-{k}.mp4", Path(f"clip-{k}.mp4"), expression="the car", sha256="a" * 64)
        for k in range(count)
    ]
    clips[1].targets = [ClipTarget("the car", 9, 2, 0)]
    clips[2].targets = [ClipTarget("the car", 9, 0, 0), ClipTarget(None, 9, 0, 5)]  # and a box
    return ClipList("some", clips, result)


def test_a_batch_with_its_videos_loose_videos_and_folders_of_frames_are_clips(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path, 11, lost=(3,))
    (folder / "loose.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    (folder / ".hidden.mp4").write_bytes(b"")
    for number in range(3):
        (folder / "frames").mkdir(exist_ok=True)
        (folder / "frames" / f"{number}.png").write_bytes(b"\x89PNG")
    clips = list(clips_in(folder))
    runs = [clip for clip in clips if clip.run is not None]
    assert [clip.name for clip in runs] == [f"runs/clip-{k}" for k in range(1, 12)]  # 2 before 10
    assert all(clip.video == folder / "videos" / f"{Path(clip.name).name}.mp4" for clip in runs)
    assert {clip.expression for clip in runs} == {"the red car"}
    assert [clip.frames_lost for clip in runs] == [0, 0, 1] + [0] * 8
    assert [clip.name for clip in clips if clip.run is None] == ["frames", "loose.mp4"]


def test_the_index_of_a_batch_names_videos_elsewhere_only_for_this_machine(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "batch", 1)
    video = folder / "videos" / "clip-1.mp4"
    video.rename(tmp_path / "elsewhere.mp4")
    with (folder / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["video", "run"], [tmp_path / "elsewhere.mp4", "runs/clip-1"]])
    assert [clip.video for clip in clips_in(folder, trusted=True)] == [tmp_path / "elsewhere.mp4"]
    assert [clip.video for clip in clips_in(folder)] == [None]


@pytest.mark.parametrize("content", ["Größe,run\n".encode("latin-1"), b"video,run\n" + b"x" * 200_000])
def test_a_table_that_is_called_index_and_is_none_of_a_batch_is_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    folder = clip_folder(tmp_path, 1)
    (folder / "index.csv").write_bytes(content)
    assert [clip.name for clip in clips_in(folder, trusted=True)] == ["runs/clip-1"]


def test_of_videos_with_one_name_each_run_gets_its_own(tmp_path: Path) -> None:
    """As in a data set that has a folder for each clip and calls every video the same."""
    videos = [tmp_path / name / "video.mp4" for name in ("a", "b", "other")]
    for k, video in enumerate(videos):
        counting_clip(video, frames=4 + k)
    for video in videos[:2]:
        run = tmp_path / "out" / "runs" / video.parent.name
        track_video(paced_tracker(), video, Query("the red car"), out=run, options=RunOptions(video=False))

    def found(*, trusted: bool) -> list[tuple[str, Path | None]]:
        return [(clip.name, clip.video) for clip in clips_in(tmp_path, trusted=trusted)]

    expected = [("other/video.mp4", videos[2]), ("out/runs/a", videos[0]), ("out/runs/b", videos[1])]
    assert found(trusted=False) == expected  # by the hash in the manifest
    with (tmp_path / "out" / "index.csv").open("w", newline="") as stream:
        rows = [
            [tmp_path / "a" / ".." / video.relative_to(tmp_path), f"runs/{n}"]
            for n, video in zip("ab", videos[:2], strict=True)
        ]
        csv.writer(stream).writerows([["video", "run"], *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr("demo.annotation.clips_folder.video_sha256")  # the index is enough
        same = [(name, video and video.resolve()) for name, video in found(trusted=True)]
    assert same == expected
    videos[0].unlink()
    (tmp_path / "out" / "index.csv").unlink()
    assert found(trusted=False)[1] == ("out/runs/a", None)  # neither of the other two


def test_next_and_previous_go_through_what_the_filter_lets_through() -> None:
    clips = some()
    assert clips.neighbour(1, "all") == 0 and clips.neighbour(-1, "all") == 3
    clips.now = 3
    assert clips.neighbour(1, "all") == 0
    assert clips.neighbour(1, "disagreeing") == 1 and clips.neighbour(-1, "lost") == 2
    clips.judge(0, "right")
    assert clips.neighbour(1, "open") == 1 and clips.judged == 1
    assert clips.neighbour(1, "all", unjudged=True) == 1
    for index in range(4):
        clips.judge(index, "wrong")
    with pytest.raises(LangTrackError, match="All clips are judged"):
        clips.neighbour(1, "open")
    with pytest.raises(LangTrackError, match="filter is one"):
        clips.neighbour(1, "odd")
    clips.now = 1
    with pytest.raises(LangTrackError, match="All clips"):
        clips.neighbour(1, "disagreeing")


def test_another_person_goes_on_from_the_result() -> None:
    first, second = some(), some()
    first.judge(0, "right")
    first.judge(2, "absent")
    for number, target in enumerate(first.clips[2].targets):
        target.verdicts.give(3 + number, 5, "tracker")
    second.judge(0, "wrong")
    document = json.loads(json.dumps(first.to_json()))
    assert second.go_on_from(document) == 1
    assert [clip.verdict for clip in second.clips] == ["wrong", None, "absent", None]
    assert [list(target.verdicts) for target in second.clips[2].targets] == [[3, 4, 5], [4, 5]]
    lines = first.to_csv().splitlines()
    assert lines[0] == "clip,target,expression,verdict,frames,disagreements,frames_lost,sha256"
    assert lines[3:5] == [
        f"clip-2.mp4,1,the car,absent,9,0,0,{'a' * 64}",
        f"clip-2.mp4,2,,absent,9,0,5,{'a' * 64}",
    ]
    assert lines[5] == f"clip-3.mp4,1,the car,,,,,{'a' * 64}"
    nobody = some()
    nobody.clips[0].sha256 = "b" * 64  # the clip has changed since
    nobody.go_on_from(document)
    assert [clip.verdict for clip in nobody.clips] == [None, None, "absent", None]


def test_two_people_at_one_folder_do_not_undo_each_other(tmp_path: Path) -> None:
    path = tmp_path / RESULT_NAME
    one, two = some(result=path), some(result=path)
    one.judge(0, "right")
    two.judge(1, "wrong")
    one.judge(0, None)
    assert [clip.verdict for clip in one.clips] == [None, "wrong", None, None]
    third = some(result=path)
    third.take(read_result(path))
    assert [clip.verdict for clip in third.clips] == [None, "wrong", None, None]


def test_two_people_who_judge_at_the_same_moment_keep_both_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / RESULT_NAME
    one, two = some(result=path), some(result=path)
    other = threading.Thread(target=two.judge, args=(1, "wrong"))

    def slow_write(path: Path, text: str) -> None:
        if not other.ident:
            other.start()
            other.join(0.3)  # s, time enough to write between the first one's reading and writing
        write_text(path, text)

    monkeypatch.setattr("demo.annotation.clips.write_text", slow_write)
    one.judge(0, "right")
    other.join()
    assert [clip.verdict for clip in opened(path).clips] == ["right", "wrong", None, None]


def test_a_result_that_others_hold_too_long_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.annotation.clips.LOCK_S", 0.0)
    path = tmp_path / RESULT_NAME
    lock = path.with_name(f".{RESULT_NAME}.lock")
    with FileLock(lock), pytest.raises(LangTrackError, match="in use by somebody else"):
        some(result=path).judge(0, "right")
    lock.unlink(missing_ok=True)
    lock.mkdir()  # no lock can be had
    some(result=path).judge(0, "right")
    assert opened(path).clips[0].verdict == "right"


def opened(path: Path) -> ClipList:
    """The list of a folder with a result."""
    clips = some(result=path)
    clips.take(read_result(path))
    return clips


def test_the_newer_verdict_counts_where_two_people_have_the_list_open(tmp_path: Path) -> None:
    path = tmp_path / RESULT_NAME
    yesterday = some(result=path)
    for index in (0, 1):
        yesterday.judge(index, "right")
    yesterday.clips[1].targets[0].verdicts.give(0, 1, "both")
    yesterday.save()
    one, two = opened(path), opened(path)
    one.clips[1].key = "of an open run"
    two.judge(0, "wrong")
    two.clips[1].targets[0].verdicts.give(0, 5, "tracker")
    two.judge(1, None)
    one.judge(3, "absent")  # one has judged nothing else
    for clips in (one, opened(path)):
        assert [clip.verdict for clip in clips.clips] == ["wrong", None, None, "absent"]
        assert list(clips.clips[1].targets[0].verdicts) == [0, 1, 2, 3, 4, 5]
    assert one.clips[1].waiting  # the open run gets them
    one.judge(0, "partly")  # now it is the newer one
    two.judge(2, "right")
    assert [clip.verdict for clip in two.clips] == ["partly", None, "right", "absent"]


def test_what_the_file_says_of_clips_that_are_not_in_the_list_stays(tmp_path: Path) -> None:
    path = tmp_path / RESULT_NAME
    later = some(result=path)
    one = some(result=path)
    one.clips = one.clips[:2]  # opened before the others came into the folder
    later.judge(3, "right")
    one.judge(0, "wrong")
    assert [clip.verdict for clip in opened(path).clips] == ["wrong", None, None, "right"]


def test_the_hash_that_a_verdict_is_on_stays_with_a_clip_that_nobody_opens(tmp_path: Path) -> None:
    path = tmp_path / RESULT_NAME
    some(result=path).judge(0, "right")
    one = some(result=path)
    for clip in one.clips:
        clip.sha256 = ""
    one.take(read_result(path))
    one.judge(1, "wrong")
    assert read_result(path)["clips"][0]["sha256"] == "a" * 64
    assert one.to_csv().splitlines()[1].endswith("a" * 64)


def test_a_list_of_one_clip_is_saved_after_it_was_followed_with_other_words(tmp_path: Path) -> None:
    path = tmp_path / RESULT_NAME
    one = some(result=path)
    one.clips = one.clips[:1]
    one.judge(0, "wrong")
    one.clips[0].expression = "other words"
    one.note_followed(0)
    one.judge(0, "right")
    [entry] = read_result(path)["clips"]
    assert (entry["expression"], entry["verdict"]) == ("other words", "right")


def test_verdicts_that_were_loaded_are_written(tmp_path: Path) -> None:
    path, other = tmp_path / RESULT_NAME, some()
    other.judge(0, "wrong")
    other.clips[1].targets[0].verdicts.give(0, 3, "both")
    some(result=path).judge(2, "right")
    one = opened(path)
    assert one.go_on_from(json.loads(json.dumps(other.to_json()))) == 1
    one.save()
    assert [clip.verdict for clip in opened(path).clips] == ["wrong", None, "right", None]
    assert len(opened(path).clips[1].targets[0].verdicts) == 4


def test_further_targets_of_somebody_else_are_written_once(tmp_path: Path) -> None:
    path = tmp_path / RESULT_NAME
    yesterday = some(result=path)
    yesterday.clips[2].targets[1].verdicts.give(0, 1, "both")
    yesterday.save()
    one = opened(path)
    one.clips[2].others = [one.clips[2].targets.pop()]  # as in a clip whose box nobody has followed here
    one.clips[2].key = "of an open run"
    for side in ("right", "wrong"):
        one.judge(0, side)
        assert [len(target.verdicts) for target in opened(path).clips[2].targets] == [0, 2]


def result(**changes: Any) -> dict[str, Any]:
    return {"format": "langtrack-clips", "format_version": 2, "clips": [{"clip": "clip-0.mp4", **changes}]}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "not a result"),
        ({**result(), "format_version": 1}, "version 2"),
        ({**result(), "clips": {}}, "list"),
        ({**result(), "clips": [3]}, "no name"),
        (result(clip=5), "no name"),
        (result(expression="the car", verdict="yes"), "none of right"),
        (result(expression=["the car"]), "words"),
        (result(expression="the car", targets=[{"frames": 10**400}]), "frames"),
        (result(expression="the car", verdict=[]), "none of right"),
        (result(expression="the car", targets=3), "not a list"),
        (result(expression="the car", targets=[3]), "not a list"),
        (result(expression="the car", targets=[{"expression": 3}]), "words"),
        (result(expression="the car", targets=[{"frames": "3"}]), "frames"),
        (result(expression="the car", targets=[{"frame_verdicts": 3}]), "not verdicts"),
        (result(clip="of another list"), "of other clips"),
    ],
)
def test_what_is_no_result_is_refused_in_one_sentence(document: Any, why: str) -> None:
    clips = some()
    with pytest.raises(LangTrackError, match=why):
        clips.take(document)
    with pytest.raises(LangTrackError, match=why):
        clips.go_on_from(document)
    assert clips.judged == 0


def test_what_is_no_verdict_is_refused() -> None:
    clips = some()
    for index, side in ((9, "right"), (-1, "right"), (0, "language"), (0, 3)):
        with pytest.raises(LangTrackError):
            clips.judge(index, side)
    with pytest.raises(LangTrackError, match="no clip in it"):
        ClipList("none", [])
