"""Carry out the steps of the Dockerfile without Docker: a clean folder, a virtual environment, another user.

sudo python scripts/try_container.py FOLDER [--python PYTHON] [--arg NAME=VALUE]

COPY takes what git has and .dockerignore lets through. RUN runs in the folder with the environment's
programs, but for `useradd`: the program is run under the number of that user instead, which wants root. Then
the server is started, its health check is made until it passes, one example is followed, and SIGTERM ends it.
What this does not try is the base image and its system libraries.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

START_S = 180
"""Seconds in which the health check has to pass; loading took 91 on two busy cores."""

STOP_S = 30
"""Seconds in which the server has to end after SIGTERM, as in compose.yaml."""


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Name and arguments of each step, lines that go on joined."""
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    steps = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, arguments.strip()) for name, arguments in steps]


def in_context(name: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore lets a file through: the last pattern that fits it or its folder decides."""
    parts = name.split("/")
    paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    inside = True
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if bare.startswith("**/"):
            fits = any(fnmatch.fnmatchcase(part, bare[3:]) for part in parts)
        else:
            fits = any(fnmatch.fnmatchcase(path, bare) and "/" not in path for path in paths)
        if fits:
            inside = pattern.startswith("!")
    return inside


def ignore_patterns(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def context() -> list[str]:
    """The files that `docker build` would send."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    patterns = ignore_patterns(ROOT / ".dockerignore")
    return [name for name in listing.stdout.split("\0") if name and in_context(name, patterns)]


def copy(arguments: str, app: Path) -> None:
    source, target = arguments.split()
    files = [name for name in context() if name == source or name.startswith(f"{source}/")]
    if not files:
        raise SystemExit(f"COPY {source}: nothing of that name is in the context")
    for name in files:
        path = app / target / (name.removeprefix(f"{source}/") if name != source else Path(name).name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="made new; packages of an earlier try stay")
    parser.add_argument("--python", default="python3.11", help="an interpreter that every user may run")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help="as in docker build")
    args = parser.parse_args()
    folder = args.folder.resolve()
    app, temporary = folder / "app", folder / "tmp"
    for new in (app, folder / "home", temporary):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        new.chmod(0o1777 if new == temporary else 0o755)
    if not (folder / "venv").exists():
        subprocess.run([args.python, "-m", "venv", folder / "venv"], check=True)
    environment = {
        "PATH": f"{folder / 'venv' / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder / "home"),  # not the user's to write in, as under read_only in compose.yaml
        "TMPDIR": str(temporary),
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    }
    health: list[str] = []
    uid = 0  # as in Docker, until the Dockerfile makes a user
    for name, arguments in instructions(ROOT / "Dockerfile"):
        print(f"--- {name} {arguments:.90}", flush=True)
        if name == "ARG":
            environment |= dict([arguments.split("=", 1)])
            environment |= dict(pair.split("=", 1) for pair in args.arg)
        elif name == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(arguments))
        elif name == "COPY":
            copy(arguments, app)
        elif name == "RUN" and arguments.startswith("useradd"):
            uid = int(arguments.split("--uid ")[1].split()[0])
        elif name == "RUN":
            subprocess.run(["sh", "-c", arguments], cwd=app, env=environment, check=True)
        elif name == "HEALTHCHECK":
            health = json.loads(arguments.split("CMD ", 1)[1])
        elif name == "ENTRYPOINT":
            return serve(json.loads(arguments), health, uid, app, environment)
    raise SystemExit("The Dockerfile starts nothing.")


def serve(
    command: Sequence[str], health: Sequence[str], uid: int, app: Path, environment: Mapping[str, str]
) -> int:
    """Start the server as another user, ask how it is, follow an example beside it, end it."""
    as_user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
    wherever: dict[str, Any] = {"cwd": app, "env": dict(environment)}
    if subprocess.run([*as_user, "touch", "app.py"], **wherever, stderr=subprocess.DEVNULL).returncode == 0:
        raise SystemExit("The user of the server can change its files.")
    server = subprocess.Popen([*as_user, *command], **wherever)
    try:
        begin = time.monotonic()
        while subprocess.run([*as_user, *health], **wherever, stderr=subprocess.DEVNULL).returncode:
            if server.poll() is not None or time.monotonic() - begin > START_S:
                raise SystemExit("The server does not answer its health check.")
            time.sleep(1)
        print(f"healthy after {time.monotonic() - begin:.0f} s", flush=True)
        example = sorted((app / "assets" / "examples").glob("*.mp4"))[0]
        text = json.loads(example.with_suffix(".json").read_text(encoding="utf-8"))["expression"]
        out = Path(environment["TMPDIR"]) / "run"
        track = ["python", "-m", "langtrack_core", "track", example, "--text", text, "--out", out]
        subprocess.run([*as_user, *track], **wherever, check=True)
        shutil.rmtree(out)
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(STOP_S)
    left = sorted(path.name for path in Path(environment["TMPDIR"]).iterdir())
    print(f"ended with {code}; left in the folder for temporary files: {left or 'nothing'}")
    return 0 if code == 0 and not left else 1


if __name__ == "__main__":
    raise SystemExit(main())
