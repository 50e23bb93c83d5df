"""The table of the benchmark: made from its JSON alone, and put where a document says."""

import pytest

from benchmarks.bench import MARKS, median, put, table


def run(precision: str, scale: float) -> dict:
    cpu = {"decode": 4, "language": 40, "tracker": 20, "track": 70, "track and files": 84}
    stages = {name: {"wall_ms": ms * scale, "cpu_ms": ms * scale} for name, ms in cpu.items()}
    stages["language"] |= {"share": 0.5, "big_layers": 0.95}
    stages["tracker"]["big_layers"] = 0.9
    return {
        "name": "openvino",
        "precision": precision,
        "memory_mb": 900.0,
        "peak_gflops": 100.0,
        "stages": stages,
    }


def test_a_column_for_each_precision_beside_float32():
    document = {"machine": "A processor", "runs": [run("float32", 1.0), run("bfloat16", 0.5)]}
    lines = table(document).splitlines()
    assert lines[0] == "A processor" and lines[2].count("openvino") == 2
    language = next(line for line in lines if "language" in line)
    assert "40 ms" in language and "20 ms" in language and "0.50 of float32's" in language
    assert "50% of the peak" in language
    (big,) = (line for line in lines if "big layers" in line)
    assert big.count("95% and 90%") == 2
    (rest,) = (line for line in lines if "fusion, and" in line)
    assert "6 of processor time" in rest and "3 of processor time" in rest
    (extra,) = (line for line in lines if "extra" in line)
    assert extra.count("+20%") == 4
    slower = run("float32", 3.0)
    document["runs"] = [run("float32", 1.0) | {"against": slower}]
    assert "3.00 (3.00 by the clock)" in table(document)


def test_the_median_counts():
    runs = [run("float32", scale) for scale in (1.0, 9.0, 2.0)]
    assert median(runs)["stages"]["track"]["cpu_ms"] == 140 and median(runs)["precision"] == "float32"


def test_the_table_stands_between_the_marks(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n", "utf-8")
    put("new", path)
    assert path.read_text("utf-8") == f"before\n{MARKS[0]}\nnew\n{MARKS[1]}\nafter\n"
    path.write_text("no marks", "utf-8")
    with pytest.raises(SystemExit, match="no <!-- bench"):
        put("new", path)
