"""``langtrack track``: what it writes and says, what it refuses, its exit codes."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import count_frames
from command_helpers import track
from PIL import Image
from synthetic import Clip, write_folder

from langtrack_core import cli
from langtrack_core.run import command
from langtrack_core.run.command import whole_argument
from langtrack_core.video import VideoWriter, read_frames
from langtrack_core.weights import load as weights
from langtrack_lab.runs import read_run

pytestmark = pytest.mark.usefixtures("oracle")
REAL_LOADING = command.load_tracker


# --- what it does ------------------------------------------------------------------------------------------


def test_a_run_from_text(video: Path, clip: Clip, tmp_path: Path, capsys):
    assert track(video, tmp_path / "run", "--text", "the red zebra") == 0
    output = capsys.readouterr()
    assert "langtrack: unknown words, left out: zebra" in output.err
    summary = output.out.strip()
    assert "\n" not in summary
    assert 'Followed "the red zebra" through 10 frames of clip.mp4' in summary
    assert "found in 8, lost in 1, still searching in 1" in summary
    assert "Unknown words: zebra." in summary and "tracker oracle (truth)" in summary
    assert f"The run is in {tmp_path / 'run'}." in summary
    run = read_run(tmp_path / "run")
    assert run.manifest["unknown_words"] == ["zebra"] and run.manifest["weights"][0]["name"] == "oracle"
    assert [row.decision.state for row in run.rows] == [
        "searching",
        *["tracking"] * 6,
        "lost",
        *["tracking"] * 2,
    ]
    for row, box in zip(run.rows, clip.boxes_xyxy, strict=True):
        if row.fused.box_xyxy is None:
            assert np.isnan(box).all()
        else:
            assert row.fused.box_xyxy.tolist() == box.tolist()
    assert count_frames(tmp_path / "run" / "fused.mp4") == 10


def test_every_option(clip: Clip, tmp_path: Path, capsys, oracle):
    folder = write_folder(clip, tmp_path / "frames")
    out = tmp_path / "run"
    options = ["--text", "the red ellipse", "--box", "1,2,30.5,40", "--start", "2", "--every", "3"]
    options += ["--weights", "paper", "--device", "cuda:1", "--png", "--no-video", "--rotated", "--quiet"]
    assert track(folder, out, *options) == 0
    assert capsys.readouterr() == ("", "")
    assert oracle == [("paper", "cuda:1")]
    run = read_run(out)
    assert run.manifest["box_xyxy"] == [1, 2, 30.5, 40] and run.manifest["video"]["kind"] == "folder"
    assert [row.frame for row in run.rows] == list(range(2, 10))
    assert [row.frame for row in run.rows if row.language is not None] == [2, 5, 8]
    assert not list(out.glob("*.mp4")) and len(list((out / "masks" / "language").iterdir())) == 3


def test_the_documents_name_what_a_run_leaves(video: Path, tmp_path: Path):
    assert track(video, tmp_path / "run", "--text", "red", "--png", "--quiet") == 0
    text = (Path(cli.__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    section = text.partition("## What a run leaves")[2].partition("Columns of")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    names = {name for row in rows for name in re.findall(r"`([^`/]+)[^`]*`", row)}
    assert names == {path.name for path in (tmp_path / "run").iterdir()}


def test_overwrite(video: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert track(video, out, "--text", "red", "--no-video") == 0
    assert track(video, out, "--text", "the", "--no-video") == 1
    assert "already holds files" in capsys.readouterr().err
    assert track(video, out, "--text", "the", "--no-video", "--overwrite") == 0
    assert read_run(out).manifest["expression"] == "the"


def test_a_box_may_begin_with_a_minus(video: Path, tmp_path: Path):
    options = ["--text", "-5 red", "--box", "-50,-50,120,120", "--no-video", "--quiet"]
    assert track(video, tmp_path / "run", *options) == 0
    manifest = read_run(tmp_path / "run").manifest
    assert manifest["box_xyxy"] == [-50, -50, 120, 120] and manifest["expression"] == "-5 red"


def test_what_matters_of_the_video_is_said_and_kept(clip: Clip, tmp_path: Path, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(clip.frames):
        Image.fromarray(frame.rgb[..., 0].astype(np.uint16) * 16).save(folder / f"{number}.png")
    note = "Its pictures have over 8 bits: values 0 to 4095 become black to white."
    assert track(folder, tmp_path / "run", "--text", "red", "--no-video") == 0
    assert capsys.readouterr().err.startswith(f"langtrack: frames: {note}\n")
    assert read_run(tmp_path / "run").manifest["video"]["notes"] == [note]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_of_files_that_are_no_text(video: Path, tmp_path: Path, capsys):
    name = tmp_path / os.fsdecode(b"stra\xdfe.mp4")
    name.write_bytes(video.read_bytes())
    assert track(name, tmp_path / os.fsdecode(b"l\xe4uft"), "--text", "red") == 0
    run = read_run(tmp_path / os.fsdecode(b"l\xe4uft"))
    assert run.manifest["video"]["name"] == "stra?e.mp4" and len(run.rows) == 10
    assert track(name.with_suffix(".avi"), tmp_path / "other", "--text", "red") == 1
    folder = tmp_path / os.fsdecode(b"\xff")
    write_folder_of(folder, video)
    assert track(folder, tmp_path / "pictures", "--text", "red", "--no-video") == 0


def write_folder_of(folder: Path, video: Path) -> None:
    folder.mkdir()
    for frame in read_frames(video):
        Image.fromarray(frame.rgb).save(folder / os.fsdecode(b"\xe9%d.png" % frame.index))


def test_a_terminal_that_lacks_a_letter(video: Path, tmp_path: Path):
    code = (
        "import sys; sys.path[:0] = ['tests/helpers', '.']\n"
        "from synthetic import moving_object; from fake_branches import oracle_tracker\n"
        "from langtrack_core import cli; from langtrack_core.run import command\n"
        "clip = moving_object(10, (64, 96), absent=(0, 7))\n"
        "command.load_tracker = lambda *how, **options: oracle_tracker(clip.masks)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    text = "the red car 🚗 naïve"
    done = subprocess.run(
        [sys.executable, "-c", code, "track", str(video), "--text", text, "--out", str(tmp_path / "run")],
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        cwd=Path(cli.__file__).parents[1],
        capture_output=True,
        check=False,
    )
    assert (
        done.returncode == 0 and rb"the red car \U0001f697 na\xefve".replace(rb"\xef", b"\xef") in done.stdout
    )
    assert read_run(tmp_path / "run").manifest["expression"] == text


# --- what it refuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Say what to follow"),
        (["--box", "50,10,40,30"], "needs x2 > x1 and y2 > y1, got 50,10,40,30"),
        (["--box", "10,10,10,30"], "needs x2 > x1"),
        (["--box", "nan,1,2,3"], "four finite numbers"),
        (["--box", "96,0,120,30"], "96,0,120,30 lies outside the picture, which is 96x64"),
        (["--box", "-40,-40,-1,-1"], "lies outside the picture"),
        (["--box", "0.1,0.2,0.5,0.9"], "looks like shares of the picture"),
        (["--box", "0,0,1,1"], "looks like shares of the picture"),
        (["--text", ""], "The expression is empty"),
        (["--text", " \t"], "The expression is empty"),
        (["--text", "?!..."], "no words"),
        (["--text", "word " * 400], "at most 500 characters, but this one has 2000"),
        (["--text", "red", "--start", "10"], "Start frame 10 is past the end: clip.mp4 has 10 frames"),
    ],
)
def test_bad_queries_are_refused_before_anything_is_loaded(
    options: list[str], message: str, video: Path, tmp_path: Path, capsys, oracle
):
    assert track(video, tmp_path / "run", *options) == 1
    output = capsys.readouterr()
    assert output.err.startswith("langtrack: ") and message in output.err and output.err.count("\n") == 1
    assert output.out == "" and oracle == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "There is no file or folder"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"not a video at all" * 50, "text.mp4"),
        ("text.jpg", b"not a video at all" * 50, "text.jpg is damaged or no picture"),
    ],
)
def test_bad_videos_are_refused(name: str, content, message: str, tmp_path: Path, capsys, oracle):
    source = tmp_path / "in" / name
    source.parent.mkdir()
    if content is not None:
        source.write_bytes(content)
    assert track(source, tmp_path / "run", "--text", "red") == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert oracle == [] and [p.name for p in tmp_path.iterdir()] == ["in"]


def test_an_output_that_cannot_be_is_refused_first(video: Path, tmp_path: Path, capsys, oracle):
    (tmp_path / "file").write_text("mine")
    assert track(video, tmp_path / "file" / "run", "--text", "red") == 1
    assert "is a file" in capsys.readouterr().err
    assert oracle == [] and (tmp_path / "file").read_text() == "mine"


def test_a_video_that_ends_early(clip: Clip, tmp_path: Path, capsys):
    whole = tmp_path / "whole.mp4"
    with VideoWriter(whole, 25) as writer:
        for frame in clip.frames:
            writer.write(frame.rgb)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.8)])
    assert track(damaged, tmp_path / "run", "--text", "red") == 1
    errors = capsys.readouterr().err
    assert "damaged.mp4" in errors and "--keep-damaged" in errors and not (tmp_path / "run").exists()
    assert track(damaged, tmp_path / "run", "--text", "red", "--keep-damaged") == 0
    run = read_run(tmp_path / "run")
    assert run.manifest["complete"] is False and 0 < len(run.rows) < 10
    assert {p.name for p in tmp_path.iterdir()} == {"whole.mp4", "damaged.mp4", "run"}


@pytest.mark.parametrize(
    "options",
    [
        ["--box", "1,2,3"],
        ["--box", "a,b,c,d"],
        ["--every", "0"],
        ["--every", "-1"],
        ["--start", "-1"],
        ["--start", "1.5"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(options: list[str], video: Path, tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as caught:
        track(video, tmp_path / "run", "--text", "red", *options)
    errors = capsys.readouterr().err
    assert caught.value.code == 2 and errors.startswith("langtrack") and errors.count("\n") == 1


@pytest.fixture
def tiny(lite_files: Path, monkeypatch) -> None:
    """The real loading and the real loop, with small random networks."""
    monkeypatch.setattr(weights, "SHIPPED", lite_files)
    monkeypatch.setattr(command, "load_tracker", REAL_LOADING)


def test_with_networks_in_place_of_the_oracle(tiny, video: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert track(video, out, "--text", "the red zebra", "--box", "10,10,40,40", "--every", "2") == 0
    assert "unknown words, left out: zebra" in capsys.readouterr().err
    run = read_run(out)
    assert len(run.rows) == 10 and [row.language is not None for row in run.rows] == [True, False] * 5
    assert all(row.tracker is not None for row in run.rows)
    assert {w["branch"]: w["name"] for w in run.manifest["weights"]} == {
        "language": "lite",
        "tracker": "lite",
    }
    assert "fusion" in run.manifest["settings"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("красная машина", "None of the words is known"),
        ("zebra giraffe", "None of the words is known (zebra, giraffe)"),
    ],
)
def test_unknown_expressions_are_refused(tiny, text: str, message: str, video: Path, tmp_path: Path, capsys):
    assert track(video, tmp_path / "run", "--text", text) == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "message"), [("nothing", "no weights 'nothing'"), ("paper", "weights add")])
def test_missing_weights_are_refused(tiny, name: str, message: str, video: Path, tmp_path: Path, capsys):
    assert track(video, tmp_path / "run", "--text", "red", "--weights", name) == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_among_the_arguments() -> None:
    assert whole_argument(1)("12") == 12
    for text in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="from 1 on"):
            whole_argument(1)(text)
