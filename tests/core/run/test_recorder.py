"""Run folders: names and columns as promised, read back as written, whole or not there at all."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from clips import count_frames
from fake_branches import oracle_tracker
from pycocotools import mask as coco_mask
from synthetic import Clip, moving_object, write_folder, write_mp4

from langtrack_core.run.format import COLUMNS, toolkit_line
from langtrack_core.run.recorder import Recorder, RunOptions, check_out_dir, video_sha256
from langtrack_core.run.render import PANELS
from langtrack_core.types import LangTrackError, Query
from langtrack_core.video import VideoWriter, probe, read_frames
from langtrack_lab.runs import read_run

ABSENT = (4, 5)
INFO = {"weights": [{"name": "oracle", "sha256": "0" * 64}], "settings": {"fusion": {"lost_below": 0.3}}}


@pytest.fixture(scope="module")
def clip() -> Clip:
    return moving_object(9, (64, 96), absent=ABSENT)


@pytest.fixture(scope="module")
def source(clip: Clip, tmp_path_factory) -> Path:
    return write_mp4(clip, tmp_path_factory.mktemp("clip") / "clip.mp4")


def record(
    clip: Clip, source: Path, out: Path, query: Query, every: int = 1, unknown_words=(), **options
) -> Path:
    tracker = oracle_tracker(clip.masks)
    frames = read_frames(source, start=query.start)
    about = {**INFO, "unknown_words": list(unknown_words)}
    with Recorder(out, probe(source), query, about, RunOptions(every, **options)) as recorder:
        for step in tracker.track(frames, query, every=every):
            recorder.add(step)
    return out


@pytest.fixture(scope="module")
def whole_run(clip: Clip, source: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "deep" / "run"
    return record(clip, source, out, Query(text="the red zebra"), 2, png=True, unknown_words=["zebra"])


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_files_have_the_promised_names(whole_run: Path):
    plain = {"manifest.json", "boxes.csv", "masks.json", "otb.txt", "lasot.txt", "got10k.txt"}
    videos = {f"{panel}.mp4" for panel in ("mask", "rectangle", "tracker", "fused")}
    pngs = {f"masks/language/{t:06d}.png" for t in range(0, 9, 2)}
    pngs |= {f"masks/fused/{t:06d}.png" for t in range(9)}
    pngs |= {f"masks/tracker/{t:06d}.png" for t in range(9)}
    assert names(whole_run) == plain | videos | pngs
    assert [p.name for p in whole_run.parent.iterdir()] == ["run"]


def test_csv_has_the_promised_columns_and_a_row_a_frame(whole_run: Path, clip: Clip):
    lines = (whole_run / "boxes.csv").read_text().splitlines()
    assert lines[0] == (
        "frame,time_s,state,source,agree,reanchor,reason,x1,y1,x2,y2,confidence,"
        "language_x1,language_y1,language_x2,language_y2,language_confidence,"
        "tracker_x1,tracker_y1,tracker_x2,tracker_y2,tracker_confidence"
    )
    rows = list(csv.DictReader(lines))
    assert [int(row["frame"]) for row in rows] == list(range(9))
    assert [float(row["time_s"]) for row in rows] == pytest.approx([t / 25 for t in range(9)], abs=1e-6)
    for t, row in enumerate(rows):
        boxed = [row[name] for name in ("x1", "y1", "x2", "y2")]
        if t in ABSENT:
            assert (boxed, row["state"], row["source"]) == ([""] * 4, "lost", "")
            assert row["tracker_x1"] == row["tracker_y2"] == "" and row["tracker_confidence"] == "0.1000"
            assert row["reason"] == ("improbable" if t % 2 == 0 else "tracker_improbable")
        else:
            assert [float(v) for v in boxed] == clip.boxes_xyxy[t].tolist()
            by_language = t in (0, ABSENT[-1] + 1)  # by the language branch, on which the tracker starts anew
            source = ("language", "0.8000") if by_language else ("tracker", "0.9000")
            assert (row["source"], row["confidence"]) == source and row["state"] == "tracking"
            assert row["reanchor"] == str(int(by_language)) and row["agree"] == str(int(t == 2 or t == 8))
        if t % 2:  # the language branch ran on every second frame
            assert row["language_x1"] == row["language_confidence"] == ""
    assert (
        rows[4]["language_x1"] == "" and rows[4]["language_confidence"] == "0.1000"
    )  # it ran and found nothing


def test_masks_are_coco_rle_for_each_branch(whole_run: Path, clip: Clip):
    masks = json.loads((whole_run / "masks.json").read_text())
    assert list(masks) == [str(t) for t in range(9)]
    assert set(masks["0"]) == {"language", "tracker", "fused"} and set(masks["1"]) == {"tracker", "fused"}
    assert set(masks["4"]) == {"language", "tracker", "fused"}
    for t in range(9):
        rle = masks[str(t)]["fused"]
        assert rle["size"] == [64, 96] and isinstance(rle["counts"], str)
        assert np.array_equal(coco_mask.decode(rle).astype(bool), clip.masks[t])


def test_png_masks_are_0_and_255(whole_run: Path, clip: Clip):
    frames = [frame.rgb[..., 0] for frame in read_frames(whole_run / "masks" / "fused")]
    assert len(frames) == 9
    for picture, mask in zip(frames, clip.masks, strict=True):
        assert np.array_equal(picture, mask.astype(np.uint8) * 255)


def test_manifest_says_what_was_done(whole_run: Path, source: Path):
    manifest = json.loads((whole_run / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["video"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert manifest["video"]["name"] == "clip.mp4"
    assert (manifest["video"]["width"], manifest["video"]["height"], manifest["video"]["fps"]) == (96, 64, 25)
    assert manifest["expression"] == "the red zebra" and manifest["unknown_words"] == ["zebra"]
    assert (manifest["box_xyxy"], manifest["start"], manifest["every"]) == (None, 0, 2)
    assert manifest["weights"] == INFO["weights"] and manifest["settings"] == INFO["settings"]
    assert manifest["counts"] == {
        "frames": 9,
        "first_frame": 0,
        "last_frame": 8,
        "state": {"tracking": 7, "lost": 2},
        "source": {"language": 2, "tracker": 5, "none": 2},
    }
    assert {"langtrack", "python", "torch", "numpy", "av"} <= set(manifest["versions"])
    assert str(source.parent) not in (whole_run / "manifest.json").read_text()  # no path of this machine


def test_videos_are_browser_h264_with_every_frame(whole_run: Path):
    for panel in PANELS:
        path = whole_run / f"{panel}.mp4"
        assert count_frames(path) == 9
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.average_rate) == (96, 64, 25)


def test_a_run_reads_back_as_it_was(whole_run: Path, clip: Clip):
    run = read_run(whole_run)
    assert run.manifest["expression"] == "the red zebra" and len(run.rows) == 9
    steps = oracle_tracker(clip.masks).track(clip.frames, Query(text="the red zebra"), every=2)
    for row, step in zip(run.rows, steps, strict=True):
        assert row.frame == step.frame.index and (
            row.decision.source,
            row.decision.reason,
            row.decision.agree,
        ) == (step.decision.source, step.decision.reason, step.decision.agree)
        tracks = {"language": row.language, "tracker": row.tracker, "fused": row.fused}
        for branch, estimate in (
            ("language", step.language),
            ("tracker", step.tracker),
            ("fused", step.fused),
        ):
            back, mask = tracks[branch], run.mask(row.frame, branch)
            if estimate is None:
                assert back is None and mask is None
                continue
            assert back is not None and back.confidence == pytest.approx(estimate.confidence, abs=1e-4)
            assert mask is not None and np.array_equal(mask, estimate.mask)
            if estimate.box_xyxy is None:
                assert back.box_xyxy is None
            else:
                assert back.box_xyxy == pytest.approx(estimate.box_xyxy, abs=1e-3)


def test_toolkit_lines_count_from_one():
    assert toolkit_line(np.array([0.0, 0.0, 10.0, 20.0]), 3) == "1.000,1.000,10.000,20.000"
    assert toolkit_line(np.array([2.25, 3.5, 4.25, 10.0]), 4) == "3.2500,4.5000,2.0000,6.5000"
    assert toolkit_line(None, 4) == "0.0000,0.0000,0.0000,0.0000"


@pytest.mark.parametrize("name", ["otb.txt", "lasot.txt", "got10k.txt"])
def test_toolkit_files_have_a_line_a_frame(whole_run: Path, clip: Clip, name: str):
    boxes = np.loadtxt(whole_run / name, delimiter=",")
    expected = np.concatenate(
        [clip.boxes_xyxy[:, :2] + 1, clip.boxes_xyxy[:, 2:] - clip.boxes_xyxy[:, :2]], axis=1
    )
    assert boxes == pytest.approx(np.nan_to_num(expected, nan=0.0))


def test_toolkit_files_have_a_line_for_a_frame_that_no_run_has(clip: Clip, source: Path, tmp_path: Path):
    """As between two corrections, one of which was cancelled."""
    with Recorder(
        tmp_path / "run", probe(source), Query("the red object"), {}, RunOptions(video=False)
    ) as recorder:
        for step in oracle_tracker(clip.masks).track(read_frames(source), Query("the red object")):
            if step.frame.index not in (0, 3, 4):
                recorder.add(step)
    for name in ("otb.txt", "lasot.txt", "got10k.txt"):
        lines = (tmp_path / "run" / name).read_text().splitlines()
        absent = [number for number, line in enumerate(lines) if set(line) <= set("0.,")]
        assert len(lines) == 8 and absent == [2, 3, 4]  # from frame 1 on; on frame 5 the target is absent


def test_start_and_given_box(clip: Clip, source: Path, tmp_path: Path):
    query = Query(box_xyxy=np.array([10.0, 12.0, 30.0, 40.0]), start=3)
    out = record(clip, source, tmp_path / "run", query)
    run = read_run(out)
    assert [row.frame for row in run.rows] == list(range(3, 9))
    assert run.manifest["start"] == 3 and run.manifest["box_xyxy"] == [10, 12, 30, 40]
    assert run.manifest["counts"]["first_frame"] == 3
    assert (out / "got10k.txt").read_text().splitlines()[0] == "11.0000,13.0000,20.0000,28.0000"
    region = record(clip, source, tmp_path / "region", replace(query, exact=False))  # not drawn: an estimate
    fused = read_run(region).rows[0].fused.box_xyxy
    assert (region / "got10k.txt").read_text().splitlines()[0] == toolkit_line(fused, 4)
    assert count_frames(out / "fused.mp4") == 6
    with av.open(str(out / "fused.mp4")) as container:
        assert next(container.decode(video=0)).time == 0.0


def test_numbers_of_numpy_do_not_end_a_run_at_its_last_line(clip: Clip, source: Path, tmp_path: Path):
    query = Query("red", np.array([10, 12, 30, 40]), np.argmax([0, 0, 0, 1]), hold=np.bool_(True))
    manifest = read_run(record(clip, source, tmp_path / "run", query, every=np.int64(2))).manifest
    assert [manifest[name] for name in ("start", "hold", "every")] == [3, True, 2]


def test_without_videos(clip: Clip, source: Path, tmp_path: Path):
    out = record(clip, source, tmp_path / "run", Query(text="red"), video=False)
    assert names(out) == {"manifest.json", "boxes.csv", "masks.json", "otb.txt", "lasot.txt", "got10k.txt"}


def test_a_folder_of_frames_has_a_hash_of_its_own(clip: Clip, tmp_path: Path):
    folder = write_folder(clip, tmp_path / "frames")
    out = record(clip, folder, tmp_path / "run", Query(text="red"), video=False)
    before = read_run(out).manifest["video"]["sha256"]
    assert before == video_sha256(folder)
    (folder / "Thumbs.db").write_bytes(b"no frame")
    assert video_sha256(folder) == before
    (folder / "00000.png").rename(folder / "00100.png")
    assert video_sha256(folder) != before


@pytest.mark.parametrize(
    "error", [ValueError("broken"), KeyboardInterrupt(), GeneratorExit(), SystemExit(143)]
)
def test_nothing_is_left_after_an_exception(error, clip: Clip, source: Path, tmp_path: Path):
    out = tmp_path / "new" / "deep" / "run"
    query = Query(text="red")
    recorder = Recorder(out, probe(source), query, INFO, RunOptions(png=True))
    with pytest.raises(type(error)), recorder:
        for step in oracle_tracker(clip.masks).track(clip.frames[:3], query):
            recorder.add(step)
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_run_keeps_what_is_done(clip: Clip, source: Path, tmp_path: Path):
    query = Query(text="red")
    recorder = Recorder(tmp_path / "run", probe(source), query, INFO)
    with pytest.raises(GeneratorExit), recorder:
        for step in oracle_tracker(clip.masks).track(clip.frames[:4], query):
            recorder.add(step)
        assert recorder.finish(partial=True) == tmp_path / "run"
        raise GeneratorExit
    run = read_run(tmp_path / "run")
    assert run.manifest["complete"] is False and len(run.rows) == 4
    assert count_frames(tmp_path / "run" / "mask.mp4") == 4
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_run_cancelled_before_its_first_frame_leaves_nothing(source: Path, tmp_path: Path):
    with Recorder(tmp_path / "run", probe(source), Query(text="red"), INFO) as recorder:
        assert recorder.finish(partial=True) is None
    assert list(tmp_path.iterdir()) == []


def test_no_frame_at_all_is_an_error(source: Path, tmp_path: Path):
    query = Query(text="red", start=99)
    recorder = Recorder(tmp_path / "run", probe(source), query, INFO)
    with pytest.raises(LangTrackError, match=r"clip\.mp4.*no frame.*99"), recorder:
        pass
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_run(clip: Clip, source: Path, tmp_path: Path):
    query = Query(text="red")
    steps = list(oracle_tracker(clip.masks).track(clip.frames, query))
    sizes = []
    with Recorder(tmp_path / "run", probe(source), query, INFO, RunOptions(video=False)) as recorder:
        tracemalloc.start()
        for index in range(1200):
            step = steps[index % 3]
            recorder.add(replace(step, frame=replace(step.frame, index=index, time_s=index / 25)))
            if index in (199, 1199):
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 150_000  # a row with its three masks takes about a thousand bytes
    assert len(read_run(tmp_path / "run").rows) == 1200


def test_add_needs_the_with_block(clip: Clip, source: Path, tmp_path: Path):
    recorder = Recorder(tmp_path / "run", probe(source), Query(text="red"), INFO)
    step = next(oracle_tracker(clip.masks).track(clip.frames, Query(text="red")))
    with pytest.raises(RuntimeError, match="with block"):
        recorder.add(step)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after_frames", [0, 2])
def test_a_full_disk_is_one_sentence_and_no_files(after_frames, clip, source, tmp_path, monkeypatch):
    query = Query(text="red")
    real = Path.write_bytes
    paths = []

    def full(self: Path, data: bytes) -> int:
        paths.append(self)
        if len(paths) > 3 * after_frames:  # three masks a frame
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with (
        pytest.raises(LangTrackError, match="the disk is full") as caught,
        Recorder(tmp_path / "run", probe(source), query, INFO, RunOptions(png=True)) as recorder,
    ):
        for step in oracle_tracker(clip.masks).track(clip.frames, query):
            recorder.add(step)
    assert "\n" not in str(caught.value) and len(paths) == 3 * after_frames + 1
    assert list(tmp_path.iterdir()) == []


def test_a_failed_video_is_closed_only_when_no_thread_writes_to_the_others(
    clip, source, tmp_path, monkeypatch
):
    writing, seen = set(), []
    write, discard = VideoWriter.write, VideoWriter.discard

    def slow(self, rgb, time_s=None):
        if self.path.name == "mask.mp4":
            raise LangTrackError(f"{self.path} cannot be written: the disk is full.")
        writing.add(self.path.name)
        time.sleep(0.05)
        write(self, rgb, time_s)
        writing.discard(self.path.name)

    def closed(self):
        seen.append((self.path.name, set(writing)))
        discard(self)

    monkeypatch.setattr(VideoWriter, "write", slow)
    monkeypatch.setattr(VideoWriter, "discard", closed)
    query = Query(text="red")
    with (
        pytest.raises(LangTrackError, match="the disk is full"),
        Recorder(tmp_path / "run", probe(source), query, INFO) as recorder,
    ):
        for step in oracle_tracker(clip.masks).track(clip.frames, query):
            recorder.add(step)
    assert {name for name, _ in seen} == {f"{panel}.mp4" for panel in PANELS}
    assert all(not others for _, others in seen)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_refused(clip: Clip, source: Path, tmp_path: Path):
    out = tmp_path / "run"
    out.mkdir()
    record(clip, source, out, Query(text="red"), video=False)  # an empty folder is fine
    with pytest.raises(LangTrackError, match="already holds files"):
        record(clip, source, out, Query(text="the"), video=False)
    assert read_run(out).manifest["expression"] == "red"
    record(clip, source, out, Query(text="the"), video=False, overwrite=True)
    assert read_run(out).manifest["expression"] == "the"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_failed_overwrite_keeps_the_earlier_run(clip: Clip, source: Path, tmp_path: Path):
    out = record(clip, source, tmp_path / "run", Query(text="red"), video=False)
    with (
        pytest.raises(ZeroDivisionError),
        Recorder(out, probe(source), Query(text="ellipse"), INFO, RunOptions(overwrite=True)) as recorder,
    ):
        recorder.add(next(oracle_tracker(clip.masks).track(clip.frames, Query(text="ellipse"))))
        raise ZeroDivisionError
    assert read_run(out).manifest["expression"] == "red"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_overwrite_never_takes_a_folder_that_is_not_a_run(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(LangTrackError, match="not a run"):
        check_out_dir(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_overwrite_never_takes_other_files_beside_a_run(whole_run: Path, tmp_path: Path):
    out = shutil.copytree(whole_run, tmp_path / "run")
    (out / ".DS_Store").touch()  # unseen by those whose machine leaves it
    assert check_out_dir(out, overwrite=True) == out
    for other in ("clip.mp4", "runs"):
        (out / other).mkdir()
        with pytest.raises(LangTrackError, match=f"not a run's, for example {other};"):
            check_out_dir(out, overwrite=True)
        (out / other).rmdir()


def test_a_file_in_the_way_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LangTrackError, match="file is a file"):
            check_out_dir(out)


def test_an_output_folder_that_may_not_be_looked_at(tmp_path: Path, monkeypatch):
    with pytest.raises(LangTrackError, match=r"output folder cannot be .*: File name too long"):
        check_out_dir(tmp_path / ("a" * 300) / "run")

    def refuse(self: Path) -> None:  # root is refused nothing
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(LangTrackError, match=r"output folder cannot be .*run: Permission denied"):
        check_out_dir(tmp_path / "run")


def test_a_mount_point_and_the_current_folder_are_refused_before_the_run(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LangTrackError, match=f"cannot be {tmp_path} itself; .* example {tmp_path / 'run'}"):
        check_out_dir(".")
    volume = tmp_path / "volume"
    monkeypatch.setattr(os.path, "ismount", lambda path: path == volume)
    with pytest.raises(LangTrackError, match="volume itself"):
        check_out_dir(volume)
    assert check_out_dir(volume / "run") == volume / "run"


def test_two_runs_to_one_folder_do_not_mix(clip: Clip, source: Path, tmp_path: Path):
    query = Query(text="red")
    steps = list(oracle_tracker(clip.masks).track(clip.frames, query))
    first, second = (
        Recorder(tmp_path / "run", probe(source), replace(query, text=text), INFO)
        for text in ("first", "second")
    )
    with pytest.raises(LangTrackError, match="already holds files"), second, first:
        for step in steps:
            first.add(step)
            second.add(step)
    assert read_run(tmp_path / "run").manifest["expression"] == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.json", "{}"),
        ("manifest.json", "not json"),
        ("manifest.json", '{"format": "langtrack-run", "format_version": 99}'),
        ("manifest.json", '{"format": "langtrack-run", "format_version": 2}'),
        ("manifest.json", '{"format": "langtrack-run", "format_version": 2, "video": {"name": 3}}'),
        ("boxes.csv", "frame,x\n1,2\n"),
        ("boxes.csv", ",".join(COLUMNS) + "\nnan" + "," * (len(COLUMNS) - 1) + "\n"),
        ("masks.json", "[]"),
        ("masks.json", None),
    ],
)
def test_a_malformed_run_names_the_file(name: str, text: str | None, whole_run: Path, tmp_path: Path):
    for part in ("manifest.json", "boxes.csv", "masks.json"):
        (tmp_path / part).write_bytes((whole_run / part).read_bytes())
    (tmp_path / name).unlink()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(LangTrackError, match=name):
        read_run(tmp_path)
