"""Run lengths read back, or refused before pycocotools sees them."""

import numpy as np
import pytest

from langtrack_core.masks import encode_rle
from langtrack_lab.runs import check_rle, decode_rle


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
