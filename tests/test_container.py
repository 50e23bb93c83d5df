"""The Dockerfile, what it copies, and compose.yaml: they fit each other and the program."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import app
from scripts.try_container import ROOT, context, ignore_patterns, in_context, instructions

STEPS = instructions(ROOT / "Dockerfile")
SERVICE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["langtrack"]


def arguments(name: str) -> list[str]:
    return [words for step, words in STEPS if step == name]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for words in arguments("ENV") for pair in shlex.split(words))


def test_what_is_copied_exists_and_is_let_through() -> None:
    files = context()
    for words in arguments("COPY"):
        source, _ = words.split()
        assert (ROOT / source).exists()
        assert any(name == source or name.startswith(f"{source}/") for name in files), source
    sources = {words.split()[0] for words in arguments("COPY")}
    assert {name.split("/")[0] for name in files} == sources  # and nothing else is sent


def test_the_whitelist_is_read_as_docker_does() -> None:
    patterns = ignore_patterns(ROOT / ".dockerignore")
    for name, inside in (
        ("app.py", True),
        ("demo/page/main.js", True),
        ("demo/__pycache__/job.cpython-311.pyc", False),
        ("tests/app.py", False),
        (".git/config", False),
        ("runs/demo/masks.json", False),
    ):
        assert in_context(name, patterns) is inside, name


def test_all_packages_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert packages <= {words.split()[0] for words in arguments("COPY")}
    (image,) = arguments("FROM")
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", image)
    assert version and version[1] in SpecifierSet(project["project"]["requires-python"])


def test_the_port_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    flags = app.read_flags([])
    (exposed,) = arguments("EXPOSE")
    (health,) = arguments("HEALTHCHECK")
    assert flags.host == "0.0.0.0" and str(flags.port) == exposed
    assert f"http://127.0.0.1:{exposed}/" in health
    assert SERVICE["ports"] == [f"127.0.0.1:{exposed}:{exposed}"]
    command = json.loads(health.split("CMD ", 1)[1])
    compile(command[2], "health", "exec")
    (entry,) = arguments("ENTRYPOINT")
    assert json.loads(entry) == ["python", "app.py"]


def test_the_server_is_not_root() -> None:
    (user,) = arguments("USER")
    users = [
        words for words in arguments("RUN") if words.startswith("useradd") and words.endswith(f" {user}")
    ]
    assert user != "root" and len(users) == 1 and "--uid 1000" in users[0]
    names = [name for name, _ in STEPS]
    assert "COPY" not in names[names.index("USER") :] and "RUN" not in names[names.index("USER") :]
    assert SERVICE["read_only"] and SERVICE["cap_drop"] == ["ALL"]
    assert "user" not in SERVICE and SERVICE["volumes"] == ["scratch:/tmp"]


def test_variables_of_the_compose_file_are_settings() -> None:
    from demo.settings import Settings

    settings = Settings.from_env(SERVICE["environment"])
    assert settings == Settings()  # it shows the defaults
    names = {f"LANGTRACK_{name.upper()}" for name in vars(settings)}
    assert set(SERVICE["environment"]) <= names
