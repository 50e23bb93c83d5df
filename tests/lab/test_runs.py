"""Runs read back, or refused before pycocotools or another tool sees them."""

import json

import numpy as np
import pytest

from langtrack_core.masks import encode_rle
from langtrack_core.run.format import COLUMNS, FORMAT, FORMAT_VERSION
from langtrack_core.types import LangTrackError
from langtrack_lab.runs import check_rle, decode_rle, read_run


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"time_s": "nan"}, "Frame 1 has a number"),
        ({"confidence": "inf"}, "Frame 1 has a number"),
        ({"x1": "1", "y1": "2", "x2": "nan", "y2": "4"}, "Frame 1 has a number"),
        ({"tracker_confidence": "nan"}, "Frame 1 has a number"),
        ({"frame": "-1"}, "no frame -1"),
        ({"frame": "0"}, "a frame twice"),
    ],
)
def test_rows_that_no_other_tool_could_read_are_refused(cells, message, tmp_path):
    video = {"name": "a.mp4", "sha256": "0", "fps_fraction": "25", "width": 8, "height": 6}
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "video": {**video, "frames_estimate": 2}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "masks.json").write_text("{}")
    empty = dict.fromkeys(COLUMNS, "") | {"state": "searching", "agree": "0", "reanchor": "0"}
    empty |= {"time_s": "0", "reason": "nothing_seen", "confidence": "0"}

    def write(*rows):
        lines = [",".join(COLUMNS), *(",".join((empty | row).values()) for row in rows)]
        (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")

    write({"frame": "0"}, {"frame": "1"})
    assert len(read_run(tmp_path).rows) == 2
    write({"frame": "0"}, {"frame": "1", **cells})
    with pytest.raises(LangTrackError, match=message):
        read_run(tmp_path)


def test_run_lengths_round_trip():
    rng = np.random.default_rng(5)
    for share in [0.0, 1.0, *rng.choice([0.01, 0.1, 0.5], 200)]:
        mask = rng.random(rng.integers(1, 33, 2)) < share
        rle = encode_rle(mask)
        assert np.array_equal(decode_rle(rle), mask)
        check_rle(rle)


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        {},
        {"size": [4, 4]},
        {"size": [4, 4], "counts": "oooooooo1"},
        {"size": [4, 4], "counts": "ooooooooooooooooooo"},
        {"size": [4, 4], "counts": "PPPPPPPPP0" * 3},
        {"size": [4, 4], "counts": "1"},
        {"size": [4, 4], "counts": ""},
        {"size": [4, 4], "counts": "\u00e9\u0000"},
        {"size": [4, 4], "counts": [16]},
        {"size": [200000, 200000], "counts": "0"},
        {"size": [-1, 4], "counts": "0"},
        {"size": [True, 4], "counts": "4"},
        {"size": "ab", "counts": "0"},
    ],
)
def test_foreign_run_lengths_are_refused(foreign):
    with pytest.raises(ValueError, match="run lengths"):
        decode_rle(foreign)
