"""Reading a video last frame first gives the very frames of reading it forward, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import broadcast, encode, noise, open_files, save, scene
from formats import FORMATS, FRAMES, Format, available
from PIL import Image

from demo import backward
from demo.backward import read_backward
from langtrack_core.types import LangTrackError
from langtrack_core.video import read_frames, reader

FRAME_BYTES = 160 * 120 * 3


def assert_backward_equals_forward(path: Path, **how: int) -> None:
    forward = list(read_frames(path))
    for start in (len(forward) - 1, len(forward) // 2, 0):
        frames = list(read_backward(path, start=start, **how))
        assert [frame.index for frame in frames] == list(range(start, -1, -1))
        for frame in frames:
            assert frame.time_s == forward[frame.index].time_s
            np.testing.assert_array_equal(frame.rgb, forward[frame.index].rgb)


def gop(size: int, b_frames: int = 2) -> Callable[[av.VideoStream], None]:
    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.gop_size = size
        stream.codec_context.max_b_frames = b_frames

    return prepare


@pytest.mark.parametrize("memory", [FRAME_BYTES, 4 * FRAME_BYTES, backward.MEMORY_BYTES])
def test_h264_with_b_frames_and_several_key_frames(tmp_path: Path, memory: int) -> None:
    path = encode(tmp_path / "a.mp4", map(scene, range(23)), prepare=gop(6))
    assert_backward_equals_forward(path, memory_bytes=memory)


def test_open_groups_of_pictures(tmp_path: Path) -> None:
    def prepare(stream: av.VideoStream) -> None:
        gop(5)(stream)
        stream.options = {"x264-params": "open-gop=1:scenecut=0", "crf": "10"}

    path = encode(tmp_path / "open.mp4", map(noise, range(17)), prepare=prepare)
    assert_backward_equals_forward(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.gif"])
def test_other_containers_also_those_that_cannot_seek(tmp_path: Path, name: str) -> None:
    codec = {"a.gif": "gif", "a.avi": "mpeg4"}.get(name, "libx264")
    pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
    path = encode(tmp_path / name, map(scene, range(9)), codec=codec, pix_fmt=pix_fmt)
    assert_backward_equals_forward(path)


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    ticks = (0, 1, 2, 9, 10, 30, 31, 33)
    path = encode(
        tmp_path / "vfr.mp4", map(scene, range(8)), ticks=ticks, tick=Fraction(1, 30), prepare=gop(3)
    )
    assert_backward_equals_forward(path)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.file)
def test_every_kind_of_video_in_the_documents(tmp_path: Path, form: Format) -> None:
    if not available(form):
        pytest.skip("this build of FFmpeg has no encoder for it")
    form.make(tmp_path / form.file)
    backward_frames = list(read_backward(tmp_path / form.file, start=FRAMES - 1))
    forward = list(read_frames(tmp_path / form.file))
    assert [frame.index for frame in backward_frames] == list(range(FRAMES))[::-1]
    assert all(np.array_equal(frame.rgb, forward[frame.index].rgb) for frame in backward_frames)


@pytest.mark.parametrize("memory", [1, 150_000, 200_000_000])  # one picture at a time, two, all
@pytest.mark.parametrize("form", ["WEBP", "PNG", "GIF", "TIFF"])
def test_animated_pictures(tmp_path: Path, form: str, memory: int) -> None:
    first, *rest = [Image.fromarray(scene(i)) for i in range(6)]
    options: dict[str, Any] = {} if form == "TIFF" else {"duration": 80}
    first.save(tmp_path / "a", form, save_all=True, append_images=rest, **options)
    assert_backward_equals_forward(tmp_path / "a", memory_bytes=memory)


def test_a_clock_that_jumps(tmp_path: Path) -> None:
    path = broadcast(tmp_path / "a.ts", 5000, jump_s=3600)
    assert [frame.index for frame in read_backward(path, start=59)] == list(range(59, -1, -1))


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    assert_backward_equals_forward(save(tmp_path / "frames", 0, 1, 2, 10))


class Misleading:
    """A container that seeks past the place it is asked for."""

    def __init__(self, container: Any) -> None:
        self.container = container

    def seek(self, ticks: int, **options: Any) -> None:
        self.container.seek(10**9, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)


def test_when_a_seek_misleads_the_file_is_decoded_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "a.mp4", map(scene, range(11)), prepare=gop(4))

    @contextmanager
    def misleading(path: Path) -> Iterator[tuple[Any, Any]]:
        with reader.opened(path) as (container, stream):
            yield Misleading(container), stream

    monkeypatch.setattr(backward, "opened", misleading)
    assert_backward_equals_forward(path)


def test_decoding_is_by_stretches_and_closes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "a.mp4", map(scene, range(40)), prepare=gop(8, 0))
    passes: list[Path] = []

    @contextmanager
    def counted(path: Path) -> Iterator[tuple[Any, Any]]:
        passes.append(path)
        with reader.opened(path) as opened:
            yield opened

    monkeypatch.setattr(backward, "opened", counted)
    before = open_files()
    frames = read_backward(path, start=39, memory_bytes=5 * FRAME_BYTES)
    assert [next(frames).index for _ in range(5)] == list(range(39, 34, -1)) and len(passes) == 2
    assert [next(frames).index for _ in range(3)] == [34, 33, 32] and len(passes) == 3  # the stretch's rest
    assert next(frames).index == 31 and len(passes) == 4  # nothing ahead of what is asked for
    frames.close()
    assert open_files() == before


def test_a_start_past_the_end_and_wrong_arguments_are_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", map(scene, range(5)))
    with pytest.raises(LangTrackError, match="frame 5"):
        next(read_backward(path, start=5))
    with pytest.raises(ValueError, match="start >= 0"):
        read_backward(path, start=-1)
    with pytest.raises(LangTrackError, match="no file or folder"):
        read_backward(tmp_path / "none.mp4", start=0)
