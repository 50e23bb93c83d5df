"""The command line: its commands, its help, how it stops, and that nothing is left then."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from command_helpers import track
from fake_branches import oracle_tracker
from synthetic import Clip

from langtrack_core import cli
from langtrack_core.pipeline import LangTracker
from langtrack_core.run import command
from langtrack_core.types import Step

pytestmark = pytest.mark.usefixtures("oracle")


# --- how it stops ------------------------------------------------------------------------------------------


def stopping(masks, stop) -> LangTracker:
    """Knows the truth, and calls ``stop`` on its fourth frame."""

    class Stopping(LangTracker):
        def track_all(self, *args, **options) -> Iterator[tuple[Step, ...]]:
            with closing(super().track_all(*args, **options)) as rows:
                for count, steps in enumerate(rows):
                    if count == 3:
                        stop()
                    yield steps

    return oracle_tracker(masks, cls=Stopping)


def raising(error: BaseException):
    def stop() -> None:
        raise error

    return stop


def test_ctrl_c_leaves_nothing(clip: Clip, video: Path, tmp_path: Path, capsys, monkeypatch):
    stop = raising(KeyboardInterrupt())
    monkeypatch.setattr(command, "load_tracker", lambda *_, **options: stopping(clip.masks, stop))
    assert track(video, tmp_path / "run", "--text", "red", "--png") == 130
    assert "langtrack: stopped" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def handler_of():
    """Sets the handler of a signal for one test: the run of the tests may ignore SIGHUP itself."""
    earlier = {}

    def set_handler(number: signal.Signals, handler: signal.Handlers) -> None:
        earlier[number] = signal.signal(number, handler)

    yield set_handler
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_end_leaves_nothing(
    clip: Clip, video: Path, tmp_path: Path, monkeypatch, handler_of, number: signal.Signals, code: int
):
    handler_of(number, signal.SIG_DFL)
    ended = stopping(clip.masks, lambda: os.kill(os.getpid(), number))
    monkeypatch.setattr(command, "load_tracker", lambda *_, **options: ended)
    with pytest.raises(SystemExit) as caught:
        track(video, tmp_path / "run", "--text", "red")
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(number) == signal.SIG_DFL


def test_a_run_under_nohup_outlives_the_terminal(
    clip: Clip, video: Path, tmp_path: Path, monkeypatch, handler_of
):
    handler_of(signal.SIGHUP, signal.SIG_IGN)
    hung_up = stopping(clip.masks, lambda: os.kill(os.getpid(), signal.SIGHUP))
    monkeypatch.setattr(command, "load_tracker", lambda *_, **options: hung_up)
    assert track(video, tmp_path / "run", "--text", "red", "--no-video") == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_fault_of_ours_is_one_line_too(clip: Clip, video: Path, tmp_path: Path, capsys, monkeypatch):
    stop = raising(RuntimeError("shapes differ"))
    monkeypatch.setattr(command, "load_tracker", lambda *_, **options: stopping(clip.masks, stop))
    assert track(video, tmp_path / "run", "--text", "red", "--quiet") == 1
    errors = capsys.readouterr().err
    assert "internal error (RuntimeError: shapes differ)" in errors and errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("LANGTRACK_DEBUG", "1")
    with pytest.raises(RuntimeError, match="shapes differ"):
        track(video, tmp_path / "run", "--text", "red")


# --- the other commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module"),
    [(name, c.module) for name, c in cli.all_commands().items() if name[0] not in ("track", "weights")],
)
def test_train_and_evaluate_hand_over(name: tuple[str, ...], module: str, monkeypatch):
    calls: list[argparse.Namespace] = []

    def run(args: argparse.Namespace) -> int:
        calls.append(args)
        return 7

    fake = ModuleType(module)
    fake.add_arguments = lambda parser: parser.add_argument("--steps", type=int)  # type: ignore[attr-defined]
    fake.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module, fake)
    assert cli.main([*name, "--steps", "12"]) == 7
    assert (calls[0].steps, calls[0].target) == (12, "".join(name[1:]))


def test_help_and_weights_list_do_not_load_torch(tmp_path: Path):
    code = (
        "import sys\n"
        "from langtrack_core.cli import main\n"
        "main(['weights', 'list'])\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'timm', 'av', 'gradio'} & sys.modules.keys()\n"
        "import json; print(json.dumps(sorted(heavy)))"
    )
    env = {**os.environ, "LANGTRACK_HOME": str(tmp_path)}
    root = Path(cli.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=env, check=True
    )
    assert "track" in done.stdout and json.loads(done.stdout.splitlines()[-1]) == []


def test_loading_leaves_nothing_in_the_temporary_directory(tmp_path: Path):
    code = (
        "import runpy, sys\n"
        "sys.argv = ['langtrack', 'weights', 'list']\n"
        "try:\n    runpy.run_module('langtrack_core', run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "import langtrack_core.dmn.lite"
    )
    env = {k: v for k, v in os.environ.items() if k != "TORCHINDUCTOR_CACHE_DIR"} | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=Path(cli.__file__).parents[1], env=env, check=True)
    assert list(tmp_path.iterdir()) == []


def test_module_runs_as_a_program(tmp_path: Path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "langtrack_core",
            "track",
            "nowhere.mp4",
            "--text",
            "x",
            "--out",
            str(tmp_path / "o"),
        ],
        capture_output=True,
        text=True,
        cwd=Path(cli.__file__).parents[1],
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "langtrack: There is no file or folder nowhere.mp4; check the path.\n"
