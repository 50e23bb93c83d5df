"""The house in order: import directions, shipped files, requirements, README, examples."""

from __future__ import annotations

import ast
import email
import hashlib
import itertools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import count_frames
from packaging.requirements import Requirement

import langtrack_core
from langtrack_core import cli
from langtrack_core.types import Reason
from langtrack_core.video import probe, read_frames
from scripts.make_examples import EXAMPLES, EXAMPLES_DIR, FPS, SIZE_HW, ground_truth, render_example

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "assets" / "weights"
MEGABYTE = 1_000_000

# Where the name one imports is not the name one installs.
INSTALLED_AS = {"cv2": "opencv-python-headless", "PIL": "pillow"}


# Asked for first, and told in one sentence when it is missing: there on a Space alone; for --ray alone.
OPTIONAL = {"spaces", "ray"}


def _sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, wherever in the file, type checking left out."""
    package = path.relative_to(ROOT).parent.parts
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            if node.level and node.module is None:  # from . import module
                yield from (f"{module}.{a.name}" for a in node.names if not a.name.startswith("__"))
            else:
                yield module
        pending += ast.iter_child_nodes(node)


# --- imports -----------------------------------------------------------------------------------------------


def test_imports_go_one_way() -> None:
    """The contracts stand in pyproject.toml. In a process of its own, as the linter silences our loggers."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_import_is_light() -> None:
    """All public names together bring in the tracker, but neither the page nor anything of training."""
    code = "import sys; from langtrack_core import *; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "langtrack_core.pipeline" in loaded
    unwanted = {"gradio", "demo", "tensorboard", "sentence_transformers", "playwright"} & set(loaded)
    assert not unwanted
    assert not [name for name in loaded if name.startswith("langtrack_lab")]


def test_import_changes_no_environment() -> None:
    """What the programs set is set in their main functions, before NumPy reads it."""
    code = (
        "import os, sys; before = dict(os.environ)\n"
        "import app, langtrack_core.__main__; assert 'numpy' not in sys.modules\n"
        "from langtrack_core import *; after = {**os.environ}\n"
        "after.pop('LD_LIBRARY_PATH', None), before.pop('LD_LIBRARY_PATH', None)  # OpenCV's\n"
        "assert after == before"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_openvino_comes_after_what_keeps_it_from_reporting() -> None:
    """The package of the weights does so, for whoever imports it before."""
    for path in _tracked():
        if path.suffix == ".py" and path.parent != ROOT / "langtrack_core/weights":
            names = list(_imports(path))
            if "openvino" in {name.partition(".")[0] for name in names}:
                assert any(name.startswith("langtrack_core.weights") for name in names), path


def test_public_names_are_few_and_there() -> None:
    assert 1 <= len(langtrack_core.__all__) <= 12
    for name in langtrack_core.__all__:
        assert hasattr(langtrack_core, name)


# --- requirements ------------------------------------------------------------------------------------------


def _requirements(name: str) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    requirements = [Requirement(line) for line in lines if line and line != "-r requirements.txt"]
    assert len({r.name for r in requirements}) == len(requirements), "a package is named twice"
    return {r.name: r for r in requirements}


def test_runtime_requirements_are_plain_and_bounded() -> None:
    runtime = _requirements("requirements.txt")
    for requirement in runtime.values():
        assert requirement.url is None, f"{requirement.name} comes from outside the package index"
        assert any(s.operator in (">=", "==", "~=") for s in requirement.specifier), (
            f"{requirement.name} has no lower bound"
        )
    assert "opencv-python" not in runtime  # needs libGL, which servers and Spaces lack
    writers = ("numpy", "opencv-python-headless", "pillow", "imageio", "av", "safetensors", "pycocotools")
    for name in (*writers, "gradio"):  # a new major version writes other files, or is a new interface
        assert any(s.operator == "<" for s in runtime[name].specifier), f"{name} has no upper bound"


def test_development_requirements_build_on_the_runtime_ones() -> None:
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert not set(_requirements("requirements-dev.txt")) & set(_requirements("requirements.txt"))


def test_extras_are_as_in_development() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    both = {**_requirements("requirements.txt"), **_requirements("requirements-dev.txt")}
    for line in itertools.chain(*extras["optional-dependencies"].values()):
        extra = Requirement(line)
        assert str(extra.specifier) in ("", str(both[extra.name].specifier)), f"{line} is bounded otherwise"


# --- installing --------------------------------------------------------------------------------------------


def test_an_installation_has_all_files_of_the_packages_and_the_weights(tmp_path: Path) -> None:
    build = ["build_py", "--build-lib", tmp_path / "lib", "egg_info", "--egg-base", tmp_path]
    program = "from setuptools import setup; setup()"
    subprocess.run([sys.executable, "-c", program, "--quiet", *build], cwd=ROOT, check=True)
    files = {str(p.relative_to(tmp_path / "lib")) for p in (tmp_path / "lib").rglob("*") if p.is_file()}
    shipped = {str(path.relative_to(ROOT)) for path in _tracked()}
    weights = {name for name in shipped if name.startswith("assets/weights/")}
    assert {"demo/page/main.js", "langtrack_lab/report/page.css", "assets/weights/index.json"} <= shipped
    packages = {name for name in shipped if re.match("(langtrack_core|langtrack_lab|demo)/", name)}
    assert files == packages | {f"langtrack_core/weights/lite/{Path(name).name}" for name in weights}

    metadata = email.message_from_bytes((tmp_path / "langtrack.egg-info" / "PKG-INFO").read_bytes())
    assert metadata["Version"] == langtrack_core.__version__
    required = {Requirement(line) for line in metadata.get_all("Requires-Dist")}
    assert {r.name for r in required if r.marker is None} == set(_requirements("requirements.txt"))


# --- shipped files -----------------------------------------------------------------------------------------


def _tracked() -> list[Path]:
    """Files that git would ship; in a copy without git, all files of the assets."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        return [p for p in (ROOT / "assets").rglob("*") if p.is_file()]
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_files_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in _tracked()}
    large = {path.name: size for path, size in sizes.items() if size >= 10 * MEGABYTE}
    assert not large
    assert sum(sizes.values()) < 60 * MEGABYTE


def test_the_core_stays_thin() -> None:
    files = [path for path in _tracked() if path.suffix == ".py" and "langtrack_core" in path.parts]
    assert sum(path.read_bytes().count(b"\n") for path in files if "tests" not in path.parts) < 7_000


def test_tests_import_public_names_alone() -> None:
    """What a test reaches into cannot be changed any more without the test."""
    imports = re.compile(r"from (?:langtrack_|demo)[\w.]* import (\([^)]*\)|[^\n]*)")
    for path in (ROOT / "tests").rglob("*.py"):
        private = [
            names for names in imports.findall(path.read_text("utf-8")) if re.search(r"\b_[a-zA-Z]", names)
        ]
        assert not private, path


def test_every_weights_file_has_a_card_and_its_hash() -> None:
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert {"dmn-lite.safetensors", "siammask-lite.safetensors"} <= {path.name for path in files}
    cards = {path.name: path.read_text(encoding="utf-8") for path in WEIGHTS.glob("*.md")}
    index = json.loads((WEIGHTS / "index.json").read_text(encoding="utf-8"))
    for path in files:
        about = [text for text in cards.values() if path.name in text]
        assert about, f"no model card in assets/weights names {path.name}"
        assert any("licen" in text.lower() for text in about), f"no card says the licence of {path.name}"
        assert index[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_pickles_are_shipped() -> None:
    assert not [p for p in _tracked() if p.suffix in (".pth", ".pt", ".pkl", ".ckpt", ".bin")]


# --- examples ----------------------------------------------------------------------------------------------


def test_examples_folder_is_what_the_script_makes() -> None:
    names = {f"{e.name}{end}" for e in EXAMPLES for end in (".mp4", ".json", ".groundtruth.txt")}
    assert {path.name for path in EXAMPLES_DIR.iterdir()} == names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_example_matches_its_truth(example) -> None:
    video = EXAMPLES_DIR / f"{example.name}.mp4"
    rows = (EXAMPLES_DIR / f"{example.name}.groundtruth.txt").read_text(encoding="utf-8").splitlines()
    info = probe(video)
    assert (info.height, info.width) == SIZE_HW and info.fps == FPS
    assert count_frames(video) == len(rows) == example.n_frames
    assert video.stat().st_size < MEGABYTE

    scene = render_example(example, n_frames=1)
    truth, now = (
        np.array(row.split(","), float) for row in (rows[0], ground_truth(scene, example.target)[0])
    )
    np.testing.assert_allclose(now, truth, atol=1)  # another build of OpenCV may round an edge otherwise
    picture = next(iter(read_frames(video))).rgb
    difference = np.abs(picture.astype(int) - scene.frames[0].astype(int)).mean()
    assert difference < 6  # of 255: compression, not another picture


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_example_card_says_what_the_script_says(example) -> None:
    card = json.loads((EXAMPLES_DIR / f"{example.name}.json").read_text(encoding="utf-8"))
    assert card == {
        "expression": example.expression,
        "title": example.title,
        "what_to_look_for": example.what_to_look_for,
        "rendered": True,
        "seed": example.seed,
        "script": "scripts/make_examples.py",
    }


def test_one_example_leaves_the_picture_and_returns() -> None:
    truth = np.loadtxt(EXAMPLES_DIR / "dog-comes-back.groundtruth.txt", delimiter=",")
    present = ~np.isnan(truth[:, 0])
    absences = np.flatnonzero(~present)
    assert len(absences) >= FPS // 2
    assert present[0] and present[-1] and not present[absences[0] : absences[-1] + 1].any()


# --- README ------------------------------------------------------------------------------------------------


DOCUMENTS = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.stem != "NOTEBOOK"),
]


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_readme_is_short_and_links_the_whole_manual(readme: str) -> None:
    assert len(readme.splitlines()) <= 200
    assert all(f"](docs/{path.name})" in readme for path in DOCUMENTS[1:])


def test_front_matter_is_what_a_space_needs(readme: str) -> None:
    opening, matter, _ = readme.split("---\n", 2)
    assert opening == ""
    fields = dict(line.split(": ", 1) for line in matter.splitlines() if ": " in line)
    assert fields["sdk"] == "gradio" and fields["app_file"] == "app.py" and fields["license"] == "apache-2.0"
    assert fields["python_version"].strip('"') == "3.11"
    assert len(fields["short_description"]) <= 60  # a Space refuses longer ones
    assert _requirements("requirements.txt")["gradio"].specifier.contains(fields["sdk_version"])


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


def test_links_and_pictures_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in (t for t in targets if not re.match(r"[a-z]+:", t)):
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), f"{document.name} points to {target}"
        if anchor:
            assert anchor in _anchors(path.read_text(encoding="utf-8")), f"{document.name} points to {target}"


def test_readme_names_make_targets_that_exist(readme: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    used = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"```.*?```", readme, re.S))))
    assert {"demo", "test", "test-latest", "check", "bench"} <= targets
    assert used and used <= targets


def _blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme, re.S)


def test_commands_are_understood(document: Path) -> None:
    blocks = _blocks(document.read_text(encoding="utf-8"), "sh")
    for command in re.findall(r"-m langtrack_core (.+)", "\n".join(blocks)):
        arguments = shlex.split(command, comments=True)
        everything = cli.all_commands()
        name = cli.command_name(arguments, everything)
        assert name is not None, command
        cli.parser_of(name, everything).parse_args(arguments[len(name) :])


def test_python_imports_public_names(document: Path) -> None:
    for block in _blocks(document.read_text(encoding="utf-8"), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "langtrack_core":
                assert {alias.name for alias in node.names} <= set(langtrack_core.__all__)


def test_the_manual_has_every_reason() -> None:
    """The table of codes is that of the program."""
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \|$", (ROOT / "docs" / "formats.md").read_text(encoding="utf-8"), re.M
    )
    assert {(str(reason), reason.text) for reason in Reason} <= set(rows)


def test_continuous_integration_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n") and "set -eu" in text and "make test" in text
    assert script.stat().st_mode & 0o111
