"""The report: whole in one file, safe against what it shows, honest about chance."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from evaluation_helpers import colour_tracker, moved, nothing, write_dev
from PIL import Image

from langtrack_core import cli
from langtrack_lab.evaluation import command
from langtrack_lab.report.charts import Line, line_chart, ticks


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """By sentence with two trackers, by box with one; the label tries to be a script."""
    root = tmp_path_factory.mktemp("measured")
    dev = write_dev(root / "dev")
    runs = [
        ("sentence", colour_tracker(), "<script>alert(1)</script>"),
        ("sentence", colour_tracker(moved, nothing, name="worse"), "worse"),
        ("box", colour_tracker(), "boxed"),
    ]
    patch = pytest.MonkeyPatch()
    for init, tracker, label in runs:
        patch.setattr(command, "load_tracker", lambda *_, tracker=tracker, **options: tracker)
        arguments = ["--data", str(dev), "--init", init, "--out", str(root / "out"), "--label", label]
        arguments += ["--workers", "1"]
        assert cli.main(["evaluate", *arguments]) == 0
    patch.undo()
    return root


@pytest.fixture(scope="module")
def page(measured: Path) -> str:
    assert cli.main(["report", str(measured / "out"), "--out", str(measured / "report.html")]) == 0
    return (measured / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every element opened and closed, with its attributes."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing(page: str):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    counts = {tag: sum(name == tag for name, _ in tags.tags) for tag in ("script", "link", "iframe", "svg")}
    assert counts["script"] == 1 and counts["link"] == counts["iframe"] == 0 and counts["svg"] > 10
    for _, attributes in tags.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"https?://|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page


def test_what_came_from_outside_is_text(page: str):
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>disc</b>" not in page and "a red &lt;b&gt;disc&lt;/b&gt;" in page


def test_protocols_have_tables_of_their_own(page: str):
    sections = page.split("<section>")[1:]
    assert [re.search("<h2>(.*?)</h2>", s).group(1) for s in sections] == [
        "dev, by sentence only", "dev, by box only"
    ]  # fmt: skip
    assert "boxed" not in sections[0] and "worse" not in sections[1]
    assert "No frame is given" in sections[0] and "box was given is left out" in sections[1]


def test_chance_is_told_in_words(page: str):
    sentence = (
        r"script&gt; is 0\.\d+ ahead of worse in AUC, on too few sequences to tell it .*, 3 sequences\)"
    )
    assert re.search(sentence, page)
    assert "always taking the better branch would give" in page


def test_pictures_are_pictures(page: str):
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(pictures) == 8  # two sections, half of three sequences, worst and best
    for data in pictures:
        with Image.open(BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (64, 48)


def test_files_beside_the_page(page: str, measured: Path):
    rows = list(csv.DictReader((measured / "report.csv").read_text().splitlines()))
    assert {r["tracker"] for r in rows} == {"<script>alert(1)</script>", "worse", "boxed"}
    assert {r["protocol"] for r in rows} == {"dev, by sentence only", "dev, by box only"}
    document = json.loads((measured / "report.json").read_text())
    assert [t["protocol"]["init"] for t in document] == ["sentence", "sentence", "box"]


def test_markdown_and_pictures(measured: Path, tmp_path: Path, capsys):
    out = tmp_path / "pictures"
    assert cli.main(["report", str(measured / "out"), "--markdown", "--pictures", str(out)]) == 0
    output = capsys.readouterr().out
    assert "of the first table, dev, by sentence only; for another, give its folders alone." in output
    assert "**dev, by sentence only**" in output and "| boxed | fused | **0.952** |" in output
    assert r"| \<script>alert(1)\</script> | fused |" in output and not re.search(r"(?<!\\)<", output)
    names = sorted(path.name for path in out.iterdir())
    assert [name.split("-")[0] for name in names] == ["best", "best", "worst", "worst"]
    for path in out.iterdir():
        with Image.open(path) as picture:
            assert picture.format == "JPEG"


def side_by_side(results: list[Path], folder: Path) -> tuple[str, list[str]]:
    """The page ``r.html`` of the folder with the trackers side by side, and the names of the pictures."""
    out, pictures = folder / "r.html", folder / "pictures"
    arguments = ["--side-by-side", "--out", str(out), "--pictures", str(pictures)]
    assert cli.main(["report", *map(str, results), *arguments]) == 0
    return out.read_text(encoding="utf-8"), sorted(path.name for path in pictures.iterdir())


def test_the_worst_frame_of_every_sequence_side_by_side(measured: Path, tmp_path: Path):
    text, saved = side_by_side([measured / "out"], tmp_path)
    sentence, box = text.split("<section>")[1:]
    captions = re.findall(r"<figcaption>(\w+) [^<]*, frame (\d+), ([^<]*): overlap ([\d.]+)", sentence)
    assert {caption[0] for caption in captions} == {"alpha", "beta", "gamma"}  # not half of them
    for name in ("alpha", "beta", "gamma"):
        shown = [caption[1:] for caption in captions if caption[0] == name]
        frames = {frame for frame, _, _ in shown}
        assert 1 <= len(frames) <= 2 and len(shown) == 2 * len(frames)  # both trackers on each
        worst = {label: min(float(o) for _, own, o in shown if own == label) for _, label, _ in shown}
        assert worst["worse"] < worst["&lt;script&gt;alert(1)&lt;/script&gt;"]
    assert len(re.findall(r"frame \d+, boxed: overlap", box)) == 2 * 3  # alternative text and caption
    assert "Worst frame of every sequence" in sentence and "Best frames" not in sentence

    assert len(saved) == len(captions) and all(re.match(r"\d-(alpha|beta|gamma)-\d+-", n) for n in saved)


def test_trackers_of_one_name_have_pictures_each(measured: Path, tmp_path: Path):
    runs = sorted((measured / "out").glob("dev-sentence-*"))
    copies = [shutil.copytree(runs[0], tmp_path / str(i) / runs[0].name) for i in range(2)]  # one label, hash
    text, saved = side_by_side(copies, tmp_path)
    assert len(saved) == text.count("<img ") == 2 * 3
    labels = {row["tracker"] for row in csv.DictReader((tmp_path / "r.csv").read_text().splitlines())}
    assert len(labels) == 2


def test_labels_that_are_no_file_names_do_not_write_over_each_other(measured: Path, tmp_path: Path):
    runs = sorted((measured / "out").glob("dev-sentence-*"))
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    for place, label in zip(copies, ("до", "после"), strict=True):
        run = json.loads((place / "run.json").read_text()) | {"label": label}
        (place / "run.json").write_text(json.dumps(run))
    text, saved = side_by_side(copies, tmp_path)
    assert len(saved) == text.count("<img ")


def test_side_by_side_every_tracker_has_to_be_of_these_data(measured: Path, tmp_path: Path, capsys):
    runs = sorted((measured / "out").glob("dev-sentence-*"))
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    next((copies[0] / "sequences").glob("gamma-*")).unlink()  # the first tracker has not done it
    data = shutil.copytree(measured / "dev", tmp_path / "dev")
    truth = data / "boxes" / "gamma" / "groundtruth_rect.txt"
    truth.write_text("1,1,9,9\n" * 12)
    arguments = ["--side-by-side", "--pictures", str(tmp_path / "pictures"), "--data", str(data)]
    assert cli.main(["report", *map(str, copies), *arguments]) == 1
    assert "not the data that was measured (gamma differs)" in capsys.readouterr().err


@pytest.mark.parametrize("start", [1, 10**30])
def test_a_record_that_begins_where_the_sequence_has_no_frames_is_not_of_these_data(
    start: int, measured: Path, tmp_path: Path, capsys
):
    folder = shutil.copytree(next((measured / "out").glob("dev-box-*")), tmp_path / "results")
    record = next((folder / "sequences").glob("gamma-*"))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"start": start}))
    assert cli.main(["report", str(folder), "--pictures", str(tmp_path / "pictures")]) == 1
    assert "not the data that was measured (gamma differs)" in capsys.readouterr().err
    assert cli.main(["report", str(folder), "--out", str(tmp_path / "r.html")]) == 0


def test_another_tracker_joins_the_table_of_its_protocol(measured: Path, tmp_path: Path, capsys):
    for name in ("alpha", "beta", "gamma"):
        (tmp_path / f"{name}.txt").write_text("1,1,20,20\n" * 12)
    assert cli.main(["report", str(measured / "out"), "--other", f"CSRT={tmp_path}"]) == 0
    sentence, box = capsys.readouterr().out.split("**dev, by box only**")
    assert "| CSRT | - |" in box and "CSRT" not in sentence


def test_without_the_data_there_is_a_report_still(measured: Path, tmp_path: Path):
    moved_away = measured / "elsewhere"
    (measured / "dev").rename(moved_away)
    try:
        out = tmp_path / "report.html"
        assert cli.main(["report", str(measured / "out"), "--out", str(out)]) == 0
        text = out.read_text()
        assert "No pictures: " in text and "<img" not in text
        arguments = ["report", str(measured / "out"), "--out", str(out), "--data", str(moved_away)]
        assert cli.main(arguments) == 0 and "<img" in out.read_text()
    finally:
        moved_away.rename(measured / "dev")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "holds no results of `evaluate`"),
        (["OUT", "--out", "report.pdf"], "name such as report.html"),
        (["OUT", "--other", "CSRT=nowhere"], "no folder nowhere"),
        (["OUT", "--pictures", "file"], "pictures cannot be written"),
        (["OUT", "--side-by-side", "--count", "2", "--pictures", "shots"], "--count does nothing with"),
        (["OUT", "--side-by-side"], "say with --out or --pictures where they go"),
        (["OUT", "--count", "-1", "--pictures", "shots"], "a whole number from 0 on"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    measured: Path, arguments: list[str], message: str, capsys, monkeypatch
):
    monkeypatch.chdir(measured)
    (measured / "file").touch()
    try:
        code = cli.main(["report", *(str(measured / "out") if a == "OUT" else a for a in arguments)])
    except SystemExit as stop:
        code = stop.code
    assert code in (1, 2) and not (measured / "shots").exists()
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1


# --- charts ------------------------------------------------------------------------------------------------


def test_gaps_interrupt_a_curve():
    values = np.array([0.0, 1.0, np.nan, 0.5, 0.5])
    chart = line_chart([Line("a<b", values, "s0")], np.arange(5.0), label="x", x_title="frame")
    path = re.search(r'class="line s0" d="([^"]+)"', chart).group(1)
    assert path.count("M") == 2 and path.count("L") == 2
    assert "a&lt;b" in chart


def test_long_curves_stay_small():
    values = np.random.default_rng(0).random(20_000)
    chart = line_chart([Line("long", values, "s0")], np.arange(20_000.0), label="x", x_title="frame")
    assert len(chart) < 12_000


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.5), (0, 50), (0, 59), (17, 2500), (3, 3)])
def test_ticks_are_few_and_inside(low: float, high: float):
    values = ticks(low, high)
    assert 1 <= len(values) <= 8 and low <= values[0] <= values[-1] <= high


@pytest.mark.browser
def test_a_click_sorts(page: str, measured: Path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page()
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((measured / "report.html").as_uri())
        table = tab.locator("table").first
        column = [cell.inner_text() for cell in table.locator("thead th").all()].index("AUC")
        for falling in (True, False):
            table.locator("th button", has_text="AUC").first.click()
            pictures = [
                float(row.locator("td").nth(column).inner_text()) for row in table.locator("tbody tr").all()
            ]
            assert pictures == sorted(pictures, reverse=falling) and len(set(pictures)) > 1
        browser.close()
    assert errors == []
