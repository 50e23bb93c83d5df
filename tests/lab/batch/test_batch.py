"""Batches on this machine: every item ends once, whatever happens to its worker, its video or the batch."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import batch_helpers
import pytest
from batch_helpers import index, left_over, manifest, run
from synthetic import moving_object, write_folder, write_mp4

from langtrack_core import cli
from langtrack_core.files import hidden_sibling
from langtrack_core.types import LangTrackError
from langtrack_core.weights import load
from langtrack_lab.batch import command, scheduler
from langtrack_lab.batch.ledger import Entry, Ledger, check_settings, remove_leftovers
from langtrack_lab.batch.manifest import read_manifest
from langtrack_lab.batch.process_pool import LocalPool
from langtrack_lab.batch.worker import Task
from langtrack_lab.runs import read_run


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_mp4(moving_object(5, (48, 64)), tmp_path_factory.mktemp("clip") / "clip.mp4")


def test_every_item_ends_with_its_reason_and_lost_workers_are_replaced(clip: Path, tmp_path: Path, capsys):
    flag = tmp_path / "died"
    expressions = ["the box", "fault", "refuse", f"die once {flag}", "die", "hang", "the box"]
    path = manifest(tmp_path, clip, expressions)
    with path.open("a") as stream:
        stream.write(f"{tmp_path / 'missing.mp4'},the box,item7\n")
        (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
        stream.write(f"{tmp_path / 'broken.mp4'},the box,item8\n")
    out = tmp_path / "out"
    assert run(path, out, "--workers", "2", "--no-video", "--timeout", "10") == 1
    rows = index(out)
    assert [row["status"] for row in rows.values()] == [
        *("done", "failed", "failed", "done", "failed", "failed", "done", "failed", "failed")
    ]
    assert "RuntimeError: told to" in rows["item1"]["reason"]
    assert "refused" in rows["item2"]["reason"]
    assert rows["item3"]["attempts"] == "2" and rows["item3"]["frames"] == "5"
    assert "SIGKILL" in rows["item4"]["reason"] and rows["item4"]["attempts"] == "2"
    assert "no frame came for 10 s" in rows["item5"]["reason"] and rows["item5"]["attempts"] == "1"
    assert "missing.mp4" in rows["item7"]["reason"] and "broken.mp4" in rows["item8"]["reason"]
    assert left_over(out) == []
    assert sorted(p.name for p in (out / "runs").iterdir()) == ["item0", "item3", "item6"]
    assert read_run(out / "runs" / "item3").manifest["complete"]


def test_again_does_only_what_is_left_and_retries_on_request(clip: Path, tmp_path: Path):
    path, out = manifest(tmp_path, clip, ["the box", "fault"]), tmp_path / "out"
    assert run(path, out, "--no-video") == 1
    before = (out / "ledger.jsonl").read_text()
    stamp = (out / "runs" / "item0" / "manifest.json").stat().st_mtime_ns
    assert run(path, out, "--no-video", load=batch_helpers.load_fails) == 1  # no worker is needed
    assert (out / "ledger.jsonl").read_text() == before
    assert run(path, out, "--no-video", "--retry-failed") == 1
    assert len((out / "ledger.jsonl").read_text().splitlines()) == 3
    assert (out / "runs" / "item0" / "manifest.json").stat().st_mtime_ns == stamp
    longer = manifest(tmp_path, clip, ["the box", "fault", "the box"])
    assert run(longer, out, "--no-video") == 1
    assert [row["status"] for row in index(out).values()] == ["done", "failed", "done"]


def test_other_settings_do_not_mix(clip: Path, tmp_path: Path):
    path, out = manifest(tmp_path, clip, ["the box"]), tmp_path / "out"
    assert run(path, out, "--no-video") == 0
    with pytest.raises(LangTrackError, match=r"other options \(--no-video\);.*--out"):
        run(path, out)


@pytest.mark.parametrize("option", ["--precision", "--backend"])
def test_other_networks_do_not_mix(option: str, clip: Path, tmp_path: Path):
    path, out = manifest(tmp_path, clip, ["the box"]), tmp_path / "out"
    assert run(path, out, "--no-video") == 0
    with pytest.raises(LangTrackError, match=rf"other options \({option}\);.*--out"):
        run(path, out, "--no-video", option, {"--precision": "int8", "--backend": "torch"}[option])


def test_a_line_that_asks_otherwise_is_done_again(clip: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert run(manifest(tmp_path, clip, ["the box", "the box"]), out, "--no-video") == 0
    stamp = (out / "runs" / "item0" / "manifest.json").stat().st_mtime_ns
    assert run(manifest(tmp_path, clip, ["the box", "fault"]), out, "--no-video") == 1
    assert "done again: item1." in capsys.readouterr().err
    assert [row["status"] for row in index(out).values()] == ["done", "failed"]
    assert (out / "runs" / "item0" / "manifest.json").stat().st_mtime_ns == stamp
    assert not (out / "runs" / "item1").exists()
    assert run(manifest(tmp_path, clip, ["the box", "absent"]), out, "--no-video") == 0
    assert read_run(out / "runs" / "item1").manifest["expression"] == "absent"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_video_that_was_replaced_is_done_again(kind: str, tmp_path: Path, capsys, monkeypatch):
    def write(name: str, seed: int) -> None:
        shown = moving_object(3, (48, 64), seed=seed)
        write_mp4(shown, tmp_path / name) if kind == "file" else write_folder(shown, tmp_path / name)

    write("a.mp4", 1)
    write("b.mp4", 2)
    path, out = manifest(tmp_path, tmp_path / "a.mp4", ["the box", "fault"]), tmp_path / "out"
    video = tmp_path / "a.mp4" if kind == "file" else next((tmp_path / "a.mp4").iterdir())
    assert run(path, out, "--no-video") == 1
    first, lines = read_run(out / "runs" / "item0").manifest, (out / "ledger.jsonl").read_text()
    os.utime(video, (2e9, 2e9))  # the same video, copied again
    assert run(path, out, "--no-video", load=batch_helpers.load_fails) == 1  # no worker is needed
    assert (out / "ledger.jsonl").read_text().count("\n") == lines.count("\n") + 1
    with monkeypatch.context() as patch:
        patch.delattr(command, "video_sha256")  # its size and time are known now
        assert run(path, out, "--no-video", load=batch_helpers.load_fails) == 1
    (tmp_path / "a.mp4").rename(tmp_path / "old.mp4")
    assert run(path, out, "--no-video", load=batch_helpers.load_fails) == 1  # what is done stays
    (tmp_path / "b.mp4").rename(tmp_path / "a.mp4")
    assert run(path, out, "--no-video") == 1
    assert "of another video, so done again: item0." in capsys.readouterr().err
    assert read_run(out / "runs" / "item0").manifest["video"]["sha256"] != first["video"]["sha256"]


def test_a_tracker_that_cannot_load_stops_the_batch_and_loses_nothing(clip: Path, tmp_path: Path):
    path, out = manifest(tmp_path, clip, ["the box"]), tmp_path / "out"
    with pytest.raises(LangTrackError, match=r"networks.*'nowhere'"):
        run(path, out, "--no-video", load=batch_helpers.load_fails)
    assert index(out)["item0"]["status"] == "pending"
    assert run(path, out, "--no-video") == 0


def test_a_full_disk_stops_the_batch_without_blaming_an_item(clip: Path, tmp_path: Path):
    items = read_manifest(manifest(tmp_path, clip, ["the box"]))
    runs = tmp_path / "out" / "runs"
    with Ledger(runs.parent) as ledger:
        runs.mkdir()
        pool = LocalPool(Task(batch_helpers.load, runs), 1)
        policy = scheduler.RetryPolicy(free_bytes=1 << 60)
        try:
            with pytest.raises(scheduler.BatchAborted, match=r"1 items.*make room"):
                scheduler.run_items(items, pool, ledger, runs, policy=policy)
        finally:
            pool.close()
        assert ledger.entries == {}


def test_a_batch_that_cannot_be_written_says_so(clip: Path, tmp_path: Path, monkeypatch, capsys):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "run_batch", full)
    monkeypatch.setattr(load, "check", lambda entry: {})
    arguments = ["batch", str(manifest(tmp_path, clip, ["the box"])), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 1
    assert "out: the disk is full." in capsys.readouterr().err
    assert cli.main([*arguments, "--timeout", "nan"]) == 1
    assert "--timeout must be above 0" in capsys.readouterr().err


def test_a_worker_that_cannot_be_started_is_not_called_a_batch_that_cannot_be_written(
    clip: Path, tmp_path: Path, monkeypatch, capsys
):
    def no_more(self: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", no_more)
    monkeypatch.setattr(load, "check", lambda entry: {})
    path = manifest(tmp_path, clip, ["the box"])
    assert cli.main(["batch", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    assert "A worker cannot be started: resource temporarily unavailable." in capsys.readouterr().err


def test_settings_of_another_shape_are_refused(tmp_path: Path):
    for text in ("[]", "7", "{"):
        (tmp_path / "batch.json").write_text(text)
        with pytest.raises(LangTrackError, match=r"batch\.json cannot be read"):
            check_settings(tmp_path, {"every": 1})


def test_one_batch_at_a_time_and_a_line_cut_off_by_a_crash(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        ledger.add(Entry("a", "done"))
        ledger.add(Entry("b", "failed", "why"))
        with pytest.raises(LangTrackError, match="Another batch"), Ledger(tmp_path):
            pass
    with (tmp_path / "ledger.jsonl").open("a") as stream:
        stream.write('{"id": "c", "sta')
    with Ledger(tmp_path) as ledger:
        assert set(ledger.entries) == {"a", "b"}
        ledger.add(Entry("c", "done"))
    with Ledger(tmp_path) as ledger:
        assert set(ledger.entries) == {"a", "b", "c"} and ledger.entries["b"].reason == "why"


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x1c", "\ud83d"])
def test_a_batch_goes_on_whatever_signs_an_expression_holds(sign: str, tmp_path: Path):
    asked = Entry("a", "done", asked={"expression": f"the red{sign}car"})
    with Ledger(tmp_path) as ledger:
        ledger.add(asked)
    earlier = json.dumps({"id": "b", "status": "failed", "reason": f"red{sign}car"}, ensure_ascii=False)
    with (tmp_path / "ledger.jsonl").open("ab") as stream:  # as earlier versions wrote it
        stream.write(f"{earlier}\n".encode("utf-8", "replace"))
    with Ledger(tmp_path) as ledger:
        assert ledger.entries["a"] == asked and ledger.entries["b"].status == "failed"


def test_exports_of_a_whole_batch(clip: Path, tmp_path: Path):
    path, out = manifest(tmp_path, clip, ["the box", "absent", "the box"]), tmp_path / "out"
    assert run(path, out, "--no-video", "--coco", "--yolo") == 0
    coco = json.loads((out / "coco_video.json").read_text())
    assert [v["length"] for v in coco["videos"]] == [5, 5, 5] and coco["videos"][0]["width"] == 64
    tracks = {a["video_id"]: a for a in coco["annotations"]}
    assert tracks[1]["bboxes"] == [[8.0, 4.0, 16.0, 16.0]] * 5 and tracks[1]["areas"] == [256] * 5
    assert tracks[1]["expression"] == "the box" and tracks[1]["segmentations"][0]["size"] == [48, 64]
    assert tracks[2]["bboxes"] == tracks[2]["segmentations"] == [None] * 5
    assert (out / "yolo" / "classes.txt").read_text().splitlines() == ["the box", "absent"]
    labels = out / "yolo" / "labels"
    assert (labels / "item0" / "000004.txt").read_text() == "0 0.250000 0.250000 0.250000 0.333333\n"
    assert (labels / "item1" / "000000.txt").read_text() == ""
    assert len(list((labels / "item2").iterdir())) == 5


# Whoever runs the tests in the background may have handed down an ignored SIGINT.
_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from batch_helpers import run
from pathlib import Path
sys.exit(run(Path(sys.argv[1]), Path(sys.argv[2]), "--no-video", "--workers", "2"))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_batch_goes_on_where_it_was(number: int, clip: Path, tmp_path: Path):
    gate, out = tmp_path / "gate", tmp_path / "out"
    path = manifest(tmp_path, clip, ["the box"] * 3 + [f"wait {gate}"] * 4)
    command_line = [sys.executable, "-c", _PROGRAM, str(path), str(out)]
    here = Path(batch_helpers.__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}
    process = subprocess.Popen(command_line, env=env, stderr=subprocess.DEVNULL)
    ledger = out / "ledger.jsonl"
    deadline = time.monotonic() + 200  # seconds, for the busiest machine
    while not ledger.exists() or len(ledger.read_text().splitlines()) < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    assert process.wait(120) != 0
    ended = [json.loads(line)["id"] for line in ledger.read_text().splitlines()]
    assert len(ended) == 3
    gate.touch()
    assert run(path, out, "--no-video", "--workers", "2") == 0
    lines = [json.loads(line)["id"] for line in ledger.read_text().splitlines()]
    assert lines[: len(ended)] == ended and sorted(lines) == [f"item{n}" for n in range(7)]
    assert left_over(out) == []
    assert {row["status"] for row in index(out).values()} == {"done"}


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    mine, yours = hidden_sibling(tmp_path / "a"), hidden_sibling(tmp_path / "a.b")
    for folder in (mine, yours, tmp_path / "a", tmp_path / ".a.part"):
        folder.mkdir()
    remove_leftovers(tmp_path, "a")
    assert {p.name for p in tmp_path.iterdir()} == {yours.name, "a", ".a.part"}
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a", ".a.part"}


def test_a_share_of_a_gpu_reaches_the_cluster(clip: Path, tmp_path: Path, monkeypatch):
    calls = []

    def no_cluster(task, workers, address, cpus, gpus):
        calls.append((workers, address, cpus, gpus))
        raise LangTrackError("no cluster here")

    monkeypatch.setattr(command, "RayPool", no_cluster)
    path = manifest(tmp_path, clip, ["the box"] * 9)
    with pytest.raises(LangTrackError, match="no cluster here"):
        run(path, tmp_path / "out", "--ray", "auto", "--workers", "8", "--gpus", "0.25", "--cpus", "2")
    assert calls == [(8, "auto", 2.0, 0.25)]
