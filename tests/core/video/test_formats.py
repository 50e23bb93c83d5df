"""Every kind of video in the documents is read; the documents name exactly these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from formats import FORMATS, FRAMES, SCENES, Format, available, table

from langtrack_core.video import probe, read_frames

DOCS = Path(__file__).parents[3] / "docs" / "formats.md"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.file)
def test_every_kind_is_read(tmp_path: Path, form: Format) -> None:
    if not available(form):
        pytest.skip("this build of FFmpeg has no encoder for it")
    path = tmp_path / form.file
    form.make(path)
    sentences: list[str] = []
    frames = list(read_frames(path, on_damage=sentences.append))
    assert [frame.index for frame in frames] == list(range(FRAMES)) and sentences == []
    assert [frame.time_s for frame in frames] == pytest.approx([i / 25 for i in range(FRAMES)], abs=1e-3)
    for frame, picture in zip(frames, SCENES, strict=True):
        if form.file == "grey":
            picture = np.dstack([picture[..., 1]] * 3)
        error = np.abs(frame.rgb.astype(int) - picture)
        assert error.max() == 0 if form.exact else error.mean() < 12
    info = probe(path)
    assert (info.width, info.height) == (160, 120) and info.fps == 25
    assert info.frames_estimate in (FRAMES, FRAMES - 1, None)  # a claim, which some files make wrongly


def test_the_documents_name_exactly_these() -> None:
    assert table() in DOCS.read_text(encoding="utf-8"), f"docs/formats.md has to hold:\n\n{table()}"
