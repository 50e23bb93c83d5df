"""The example scripts run, with a tracker that knows the truth in place of the networks."""

import runpy
from pathlib import Path

import pytest
from fake_branches import oracle_tracker
from synthetic import moving_object, write_mp4

from langtrack_core.pipeline import LangTracker

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))
CLIP = moving_object(8, (48, 64), absent=(3, 4))


@pytest.fixture
def run(tmp_path: Path, monkeypatch, capsys):
    video = write_mp4(CLIP, tmp_path / "clip.mp4")
    monkeypatch.setattr(LangTracker, "from_pretrained", lambda name: oracle_tracker(CLIP.masks))

    def script(name: str, *arguments: str) -> list[str]:
        path = next(path for path in EXAMPLES if path.stem == name)
        monkeypatch.setattr("sys.argv", [str(path), *(a.replace("VIDEO", str(video)) for a in arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return script


def test_examples_are_short() -> None:
    assert 2 <= len(EXAMPLES) <= 4
    assert all(len(path.read_text().splitlines()) < 30 for path in EXAMPLES)


def test_follow_and_read_back(run, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    assert run("follow", "VIDEO", "the red ellipse", out) == [f"found in 6 of 8 frames; see {out}"]
    # The first frame, and the one on which the target is found again, are the language branch's alone.
    lines = run("disagreements", out)
    assert [line.split(",")[0] for line in lines] == ["frame 0: found", "frame 5: found_again"]


def test_each_frame(run) -> None:
    lines = run("each_frame", "VIDEO", "the red ellipse")
    assert [int(line.split()[0]) for line in lines] == list(range(8))
    assert lines[3].split()[1:] == ["lost", "None", "improbable", "absent"]
