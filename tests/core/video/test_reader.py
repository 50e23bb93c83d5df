"""Reading videos that are in order: times, orientation, colour, folders, resources."""

from __future__ import annotations

import itertools
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import NTSC, count_frames, encode, flat, numbered, open_files, quarters, save, scene, times
from PIL import Image

from langtrack_core.video import probe, read_frames
from langtrack_core.video.reader import frame_rate

# --- what a file says, and when ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"),
    [(f"a.{suffix}", "libx264") for suffix in ("mp4", "mov", "mkv", "avi", "ts")]
    + [("a.webm", "libvpx-vp9")],
)
def test_every_container_gives_exact_rate_count_and_times(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, map(numbered, range(12)), codec=codec, rate=NTSC)
    info = probe(path)
    assert (info.width, info.height, info.fps, info.kind) == (64, 48, NTSC, "video")
    frames = list(read_frames(path))
    assert [frame.index for frame in frames] == list(range(12)) and count_frames(path) == 12
    assert [frame.time_s for frame in frames] == pytest.approx([i / NTSC for i in range(12)], abs=6e-4)
    levels = [int(frame.rgb.mean()) for frame in frames]
    assert levels == sorted(levels) and len(set(levels)) == 12  # each picture at its own place


def test_a_variable_frame_rate_keeps_each_frame_s_own_time(tmp_path: Path) -> None:
    ticks = [500, 540, 700, 710, 1500]
    path = encode(tmp_path / "vfr.mp4", map(numbered, range(5)), ticks=ticks, tick=Fraction(1, 1000))
    assert times(path) == pytest.approx([0.0, 0.04, 0.2, 0.21, 1.0])


def test_frames_from_a_start_on_are_those_of_the_whole_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", [scene(i) for i in range(20)])
    whole = list(read_frames(path))
    rest = list(read_frames(path, start=5))
    assert [frame.index for frame in rest] == list(range(5, 20))
    for frame in rest:
        assert frame.time_s == whole[frame.index].time_s
        np.testing.assert_array_equal(frame.rgb, whole[frame.index].rgb)


def test_a_negative_start_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="start >= 0"):
        read_frames(tmp_path / "a.mp4", start=-1)


def test_size_and_clock_may_change_on_the_way(tmp_path: Path) -> None:
    """Two recordings in one file: pictures keep the first size, times go on rising."""
    one = encode(tmp_path / "one.ts", [quarters()] * 10)
    two = encode(tmp_path / "two.ts", [quarters(96, 128)] * 10)
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    frames = list(read_frames(both, on_damage=lambda sentence: None))
    assert len(frames) == 20 and all(later.time_s > f.time_s for f, later in itertools.pairwise(frames))
    assert all(np.abs(frame.rgb.astype(int) - quarters()).mean() < 6 for frame in frames)


# --- orientation and colour --------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_display_matrix_is_applied(tmp_path: Path, turns: int, mirrored: bool) -> None:
    def prepare(stream: av.VideoStream) -> None:
        stream.set_display_rotation(90 * turns, hflip=mirrored)  # counter-clockwise, then mirrored

    path = encode(tmp_path / "a.mp4", [quarters()] * 2, prepare=prepare)
    upright = np.rot90(quarters(), turns)
    if mirrored:
        upright = upright[:, ::-1]
    rgb = next(read_frames(path)).rgb
    info = probe(path)
    assert rgb.shape == upright.shape == (info.height, info.width, 3)
    assert np.abs(rgb.astype(int) - upright).mean() < 6
    if not mirrored:
        assert info.rotation_deg == -90 * turns % 360


@pytest.mark.parametrize(
    ("space", "full", "size_wh", "expected"),
    [
        # Y 100, U 90, V 200 by the equations of the two standards.
        (1, False, (64, 48), (227, 67, 17)),
        (6, False, (64, 48), (213, 54, 21)),
        (1, True, (64, 48), (213, 73, 29)),
        (6, True, (64, 48), (201, 61, 33)),
        (2, False, (64, 48), (213, 54, 21)),  # no tag: BT.601 when small
        (2, False, (1280, 720), (227, 67, 17)),  # and BT.709 when large
    ],
)
def test_colour_matrix_and_range(
    tmp_path: Path, space: int, full: bool, size_wh: tuple[int, int], expected: tuple[int, int, int]
) -> None:
    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.colorspace = space
        stream.codec_context.color_range = 2 if full else 1

    path = encode(tmp_path / "a.mp4", [flat("yuv420p", 100, 90, 200, size_wh=size_wh)], prepare=prepare)
    assert np.abs(next(read_frames(path)).rgb.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "picture", "expected"),
    [
        ("ten.mp4", "libx264", "yuv420p10le", flat("yuv420p10le", 502, 512, 512), 128),
        ("grey.mp4", "libx264", "gray", flat("gray", 128), 128),
        ("grey16.mkv", "ffv1", "gray16le", quarters()[..., :1].repeat(3, 2), None),
        ("deep.mkv", "ffv1", "gbrp10le", quarters(), None),
        ("full.mkv", "mjpeg", "yuvj420p", flat("yuvj420p", 128, 128, 128), 128),
        ("planes.mov", "prores_ks", "yuv422p10le", quarters(), None),
    ],
)
def test_pixel_formats(
    tmp_path: Path,
    name: str,
    codec: str,
    pix_fmt: str,
    picture: np.ndarray | av.VideoFrame,
    expected: int | None,
) -> None:
    path = encode(tmp_path / name, [picture], codec=codec, pix_fmt=pix_fmt)
    truth = picture if isinstance(picture, np.ndarray) else np.full((48, 64, 3), expected)
    assert np.abs(next(read_frames(path)).rgb.astype(int) - truth).mean() < 3


def test_hdr_is_not_left_pale(tmp_path: Path) -> None:
    # PQ puts diffuse white (203 cd/m2) at 58 % of the signal: 64 + 0.58 * 876 in ten bit.
    picture = flat("yuv420p10le", 573, 512, 512)

    def prepare(stream: av.VideoStream) -> None:
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, 16, 1

    path = encode(tmp_path / "hdr.mp4", [picture], pix_fmt="yuv420p10le", prepare=prepare)
    assert next(read_frames(path)).rgb.mean() == pytest.approx(255, abs=4)


def test_alpha_is_over_black(tmp_path: Path) -> None:
    rgba = np.full((48, 64, 4), 200, np.uint8)
    rgba[:, :20, 3], rgba[:, 20:40, 3], rgba[:, 40:, 3] = 0, 128, 255
    path = encode(tmp_path / "a.mov", [rgba], codec="qtrle", pix_fmt="argb")
    Image.fromarray(rgba).save(tmp_path / "a.png")
    for source in (path, tmp_path / "a.png"):
        row = next(read_frames(source)).rgb[10, :, 0]
        assert (row[0], row[30], row[60]) == (0, 100, 200)


@pytest.mark.parametrize("size_hw", [(47, 63), (1, 1), (3, 50)])
def test_odd_sizes(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), dtype=np.uint8)
    path = encode(tmp_path / "a.mkv", [rgb], codec="ffv1", pix_fmt="bgr0")
    assert np.array_equal(next(read_frames(path)).rgb, rgb)


def test_a_title_that_is_not_utf_8(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.metadata["title"] = "Stra--e"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(0))))
        container.mux(stream.encode(None))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data.replace(b"Stra--e", b"Stra\xdfe\xff"))
    assert b"\xdf" in (tmp_path / "a.mp4").read_bytes() and count_frames(tmp_path / "a.mp4") == 1


# --- folders, GIFs and single pictures ---------------------------------------------------------------------


def test_a_folder_is_read_in_natural_order_at_25_a_second(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", 2, 10, 1)
    (folder / "notes.txt").write_text("not a picture")
    (folder / "._1.png").write_bytes(b"left behind by a Mac")
    frames = list(read_frames(folder))
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [13, 16, 40]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.04, 0.08])
    info = probe(folder)
    assert (info.kind, info.fps, info.frames_estimate, info.width, info.height) == ("folder", 25, 3, 64, 48)
    assert count_frames(folder) == 3
    assert [f.index for f in read_frames(folder, start=1)] == [1, 2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quarters()).save(tmp_path / name, exif=exif, quality=95)
    stored = quarters()
    upright = [
        stored,
        stored[:, ::-1],
        stored[::-1, ::-1],
        stored[::-1],
        stored.transpose(1, 0, 2),
        np.rot90(stored, -1),
        stored[::-1, ::-1].transpose(1, 0, 2),
        np.rot90(stored),
    ][orientation - 1]
    rgb = next(read_frames(tmp_path / name)).rgb
    assert rgb.shape == upright.shape and np.abs(rgb.astype(int) - upright).mean() < 6


def test_sixteen_bit_grey_and_palette_pictures(tmp_path: Path) -> None:
    ramp = (np.arange(64, dtype=np.uint16) * 1000)[None].repeat(48, axis=0)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.array_equal(next(read_frames(tmp_path / "deep.png")).rgb[..., 1], ramp >> 8)
    Image.fromarray(quarters()).quantize(4).save(tmp_path / "palette.png")
    assert np.abs(next(read_frames(tmp_path / "palette.png")).rgb.astype(int) - quarters()).max() <= 2


def test_gif_frames_have_their_own_durations(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    first, *rest = [Image.fromarray(numbered(10 * i)) for i in range(4)]
    first.save(path, save_all=True, append_images=rest, duration=[100, 300, 50, 200])
    assert probe(path).kind == "animation" and count_frames(path) == 4
    assert times(path) == pytest.approx([0.0, 0.1, 0.4, 0.45])
    assert [round(f.rgb.mean()) for f in read_frames(path)] == pytest.approx([10, 40, 70, 100], abs=2)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    Image.fromarray(quarters()).save(tmp_path / "still.png")
    for path in (tmp_path / "still.png", encode(tmp_path / "one.mp4", [quarters()])):
        assert count_frames(path) == 1 and times(path) == [0.0] and probe(path).fps == 25


# --- resources ---------------------------------------------------------------------------------------------


def test_frames_come_lazily_and_files_are_closed_on_every_path(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", (numbered(i) for i in range(300)), preset="ultrafast")
    before = open_files()
    frames = read_frames(path)
    assert next(frames).index == 0 and open_files() > before
    frames.close()  # given up in the middle
    assert open_files() == before
    probe(path)
    count_frames(path)
    with pytest.raises(RuntimeError, match="mine"):
        for frame in read_frames(path):
            if frame.index == 3:
                raise RuntimeError("mine")
    del frame
    assert open_files() == before


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Decoded, the 300 frames take 207 MB; the process may grow by a tenth of that."""
    path = encode(tmp_path / "a.mp4", (numbered(i, 360, 640) for i in range(300)), preset="ultrafast")
    code = (
        "import resource, sys\n"
        "from langtrack_core.video import read_frames\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for frame in read_frames(sys.argv[1]):\n"
        "    if frame.index == 60: early = peak()\n"
        "print(frame.index + 1, peak() - early)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    count, growth_kb = map(int, done.stdout.split())
    assert count == 300 and growth_kb < 20_000


def test_a_rate_of_another_class_is_a_fraction() -> None:
    """PyAV 19 has a class of its own, which would be written "25/1" where version 18 wrote "25"."""

    class Rational(float):
        numerator, denominator = 25, 1

    stream = SimpleNamespace(average_rate=Rational(25), guessed_rate=None)
    assert str(frame_rate(stream)) == "25"
