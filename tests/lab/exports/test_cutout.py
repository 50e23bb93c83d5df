"""Cut-outs, decoded by Pillow and by FFmpeg's decoders that know alpha."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import decoded_rgba, listed
from export_clips import FRAMES, Exported
from PIL import Image

from langtrack_core.video import VideoWriter, probe, read_frames
from langtrack_lab.exports import clip, export
from langtrack_lab.exports.cutout import ProResWriter, VP9AlphaWriter


def check(exported: Exported, frame: int, rgba: np.ndarray, within: int) -> None:
    mask = exported.clip().union(frame)
    assert np.array_equal(rgba[..., 3] > 128, mask)
    alpha = rgba[..., 3].astype(int)
    assert np.minimum(alpha, 255 - alpha).max() <= 4 * within  # sharp edges ring a little in VP9
    rgb = list(read_frames(exported.video))[frame].rgb.astype(int)
    assert np.abs(rgba[..., :3] - rgb)[mask].mean() <= within


def test_png(exported: Exported, tmp_path: Path) -> None:
    export(exported.clip(video=exported.video), "cutout-png", tmp_path / "out")
    paths = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in paths] == [f"{frame:06d}.png" for frame in range(FRAMES)]
    for frame, path in enumerate(paths):
        picture = Image.open(path)
        assert picture.mode == "RGBA"
        rgba = np.asarray(picture)
        check(exported, frame, rgba, 0)
        assert not rgba[..., :3][rgba[..., 3] == 0].any()  # nothing of the background is in the file


@pytest.mark.parametrize(
    "name, suffix, decoder", [("cutout-webm", "webm", "libvpx-vp9"), ("cutout-prores", "mov", "prores")]
)
def test_video(
    exported: Exported, name: str, suffix: str, decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"red.{suffix}"
    export(exported.clip(video=exported.video), name, path)
    back = decoded_rgba(path, decoder)
    for frame, (_, rgba) in enumerate(back):
        check(exported, frame, rgba, 8)
    expected = [frame.time_s for frame in read_frames(exported.video)]
    assert [time for time, _ in back] == pytest.approx(expected, abs=0.0006)
    monkeypatch.setattr(clip, "probe", lambda video: replace(probe(video), pixel_aspect=Fraction(4, 3)))
    export(exported.clip(video=exported.video), name, tmp_path / "folder")
    if suffix == "mov":  # PyAV cannot write it to WebM
        assert probe(tmp_path / "folder" / "cutout.mov").pixel_aspect == Fraction(4, 3)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == [f"cutout.{suffix}"]


# --- the encodings, with times of their own ----------------------------------------------------------------


def rgba(index: int) -> np.ndarray:
    """A red square that moves over nothing; odd sizes, as cut-outs may have."""
    picture = np.zeros((65, 97, 4), np.uint8)
    picture[..., 0] = 200
    picture[10:40, 10 + 5 * index : 40 + 5 * index, 3] = 255
    return picture


@pytest.mark.parametrize(
    "kind, decoder, suffix", [(VP9AlphaWriter, "libvpx-vp9", "webm"), (ProResWriter, "prores", "mov")]
)
def test_alpha_comes_back(kind: type[VideoWriter], decoder: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    seconds = [0.0, 0.04, 0.12, 0.16]  # one frame lasts longer
    with kind(path, 25) as writer:
        for index, time_s in enumerate(seconds):
            writer.write(rgba(index), time_s)
        with pytest.raises(ValueError, match="4 channels, not 3"):
            writer.write(rgba(0)[..., :3])
    back = decoded_rgba(path, decoder)
    assert [time for time, _ in back] == pytest.approx(seconds, abs=0.001)
    for index, (_, picture) in enumerate(back):
        assert np.array_equal(picture[..., 3] > 128, rgba(index)[..., 3] > 128)
        inside = rgba(index)[..., 3] > 0
        assert np.abs(picture[inside][:, :3].astype(int) - (200, 0, 0)).max() <= 6
    assert listed(tmp_path) == [path.name]
