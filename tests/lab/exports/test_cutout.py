"""Cut-outs, decoded by Pillow and by FFmpeg's decoders that know alpha."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import decoded_rgba
from export_clips import FRAMES, Exported
from PIL import Image

from langtrack_core.video import read_frames
from langtrack_lab.exports import export


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
def test_video(exported: Exported, name: str, suffix: str, decoder: str, tmp_path: Path) -> None:
    path = tmp_path / f"red.{suffix}"
    export(exported.clip(video=exported.video), name, path)
    back = decoded_rgba(path, decoder)
    for frame, (_, rgba) in enumerate(back):
        check(exported, frame, rgba, 8)
    expected = [frame.time_s for frame in read_frames(exported.video)]
    assert [time for time, _ in back] == pytest.approx(expected, abs=0.0006)
    export(exported.clip(video=exported.video), name, tmp_path / "folder")
    assert [p.name for p in (tmp_path / "folder").iterdir()] == [f"cutout.{suffix}"]
