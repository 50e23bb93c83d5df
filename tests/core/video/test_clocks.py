"""Clocks that jump, files that begin anywhere, streams and pixels of other shapes: read right, and said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from clips import broadcast, count_frames, encode, noise, numbered, quarters, times

from langtrack_core.types import LangTrackError
from langtrack_core.video import VideoWriter, probe, read_frames


@pytest.mark.parametrize("jump_s", [3600, -3600, 60, -5])
def test_a_jump_of_the_clock_counts_as_one_frame(tmp_path: Path, jump_s) -> None:
    (tmp_path / "a.ts").write_bytes(
        broadcast(tmp_path / "one.ts", 5000, frames=30).read_bytes()
        + broadcast(tmp_path / "two.ts", 5000 + jump_s, frames=30).read_bytes()
    )
    sentences: list[str] = []
    frames = list(read_frames(tmp_path / "a.ts", on_damage=sentences.append))
    assert [f.time_s for f in frames] == pytest.approx([i / 25 for i in range(60)], abs=1e-3)
    info = probe(tmp_path / "a.ts")
    assert (info.frames_estimate, info.duration_s, sentences) == (60, pytest.approx(2.4), [])


def test_a_jump_is_said(tmp_path: Path) -> None:
    path = broadcast(tmp_path / "a.ts", 5000, jump_s=3600)
    assert probe(path).notes == ("Its clock jumps (1x); a jump counts as one frame.",)
    assert times(path)[-1] == pytest.approx(59 / 25, abs=1e-3)


def test_a_slide_show_keeps_its_long_pictures(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", map(numbered, range(3)), ticks=[0, 20, 60], tick=Fraction(1))
    assert times(path) == [0, 20, 60] and probe(path).notes == ()


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_a_broadcast_that_begins_in_the_middle_is_not_damaged(tmp_path: Path, name) -> None:
    codec = "libx264" if name == "a.ts" else "mpeg2video"
    path = encode(tmp_path / name, map(noise, range(60)), codec=codec, prepare=short_groups)
    whole = path.read_bytes()
    size = 188 if name == "a.ts" else 2048
    path.write_bytes(whole[len(whole) // 3 // size * size :])
    sentences: list[str] = []
    frames = list(read_frames(path, on_damage=sentences.append))
    assert 25 < len(frames) < 55 and sentences == []
    assert all(later.time_s > frame.time_s for frame, later in itertools.pairwise(frames))


class LateStreams:
    """A container in which streams came up after it was opened: PyAV's demuxer fails at its end."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container

    def __getattr__(self, name: str) -> object:
        return getattr(self._container, name)

    def __enter__(self) -> LateStreams:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def demux(self, *streams: av.stream.Stream) -> Iterator[av.Packet]:
        yield from self._container.demux(*streams)
        raise IndexError("list index out of range")


def test_streams_that_come_up_in_the_middle_end_no_run(tmp_path: Path, monkeypatch) -> None:
    path, whole = with_long_sound(tmp_path / "a.mkv"), av.open

    def late_streams(*arguments: object, **options: object) -> object:
        container = whole(*arguments, **options)
        return container if "w" in arguments else LateStreams(container)

    monkeypatch.setattr(av, "open", late_streams)
    sentences: list[str] = []
    with VideoWriter(tmp_path / "b.mp4", 25, source=probe(path)) as writer:
        for frame in read_frames(path, on_damage=sentences.append):
            writer.write(frame.rgb, frame.time_s)
    assert probe(tmp_path / "b.mp4").frames_estimate == 50 and sentences == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.flv"])
def test_a_file_that_begins_between_key_frames_is_whole(tmp_path: Path, name: str) -> None:
    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 50, 0

    whole = encode(tmp_path / "whole.mp4", map(numbered, range(125)), prepare=prepare)
    with av.open(str(whole)) as source, av.open(str(tmp_path / name), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts * packet.time_base >= 0.4:
                packet.stream = stream
                target.mux(packet)
    sentences: list[str] = []
    frames = list(read_frames(tmp_path / name, on_damage=sentences.append))
    assert len(frames) == 75 and frames[0].time_s == 0 and sentences == []


@pytest.mark.parametrize("suffix", ["mkv", "webm", "flv", "asf", "nut", "mp4"])
@pytest.mark.parametrize("late_s", [0, 2])
def test_sound_that_is_longer_than_the_pictures_is_no_damage(
    tmp_path: Path, suffix: str, late_s: int
) -> None:
    path = with_long_sound(tmp_path / f"a.{suffix}", late_s)
    sentences: list[str] = []
    assert len(list(read_frames(path, on_damage=sentences.append))) == 50 and sentences == []
    info = probe(path)
    assert info.frames_estimate == 50 and info.duration_s == pytest.approx(2, abs=0.1)


def test_a_file_with_sound_that_is_cut_is_damaged(tmp_path: Path) -> None:
    path = with_long_sound(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    sentences: list[str] = []
    frames = list(read_frames(path, on_damage=sentences.append))
    assert len(frames) < 50 and len(sentences) == 1


def with_long_sound(path: Path, late_s: int = 0) -> Path:
    """Two seconds of pictures, from ``late_s`` on, and four of sound."""
    codecs = {".webm": ("libvpx", "libopus", "s16"), ".asf": ("msmpeg4", "mp2", "s16")}
    picture_codec, sound_codec, samples = codecs.get(path.suffix, ("libx264", "aac", "fltp"))
    with av.open(str(path), "w") as container:
        video, sound = (
            container.add_stream(picture_codec, rate=25),
            container.add_stream(sound_codec, rate=48000),
        )
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        packets = []
        for index in range(50):
            picture = av.VideoFrame.from_ndarray(numbered(index))
            picture.pts, picture.time_base = index + 25 * late_s, Fraction(1, 25)
            packets += video.encode(picture)
        for begin in range(0, 4 * 48000, 960):
            block = av.AudioFrame(samples, "mono", 960)
            for plane in block.planes:
                plane.update(bytes(plane.buffer_size))
            block.sample_rate, block.pts, block.time_base = 48000, begin, Fraction(1, 48000)
            packets += sound.encode(block)
        packets += [*video.encode(None), *sound.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
def test_pictures_that_an_avi_skips_keep_the_others_in_time(tmp_path: Path, codec: str) -> None:
    ticks = [index + index // 4 for index in range(60)]

    def no_b_frames(stream: av.VideoStream) -> None:
        stream.codec_context.max_b_frames = 0

    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = encode(
        tmp_path / "a.avi",
        map(numbered, range(60)),
        codec=codec,
        pix_fmt=pixels,
        ticks=ticks,
        prepare=no_b_frames,
    )
    sentences: list[str] = []
    frames = list(read_frames(path, on_damage=sentences.append))
    assert [frame.time_s for frame in frames] == pytest.approx([tick / 25 for tick in ticks], abs=1e-3)
    assert sentences == []


def short_groups(stream: av.VideoStream) -> None:
    stream.codec_context.gop_size = 8


# --- which stream, which pixels ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
@pytest.mark.parametrize("default", [0, 1, None])
def test_the_stream_that_is_read_is_named(tmp_path: Path, name: str, default: int | None) -> None:
    """The default one; the largest where all are, or none is. MPEG-TS marks none."""
    sizes = ((32, 24), (64, 48))
    with av.open(str(tmp_path / name), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in sizes]
        for number, (stream, size) in enumerate(zip(streams, sizes, strict=True)):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.disposition = Disposition.default if default in (number, None) else Disposition(0)
        for index in range(4):
            for stream in streams:
                picture = av.VideoFrame.from_ndarray(numbered(index, stream.height, stream.width))
                container.mux(stream.encode(picture))
        for stream in streams:
            container.mux(stream.encode(None))
    number = 0 if default == 0 and name != "a.ts" else 1
    width, height = sizes[number]
    note = f"Of its 2 video streams number {number} is read, {width}x{height}."
    assert probe(tmp_path / name).notes == (note,) and count_frames(tmp_path / name) == 4


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
def test_a_cover_that_is_not_marked_as_one_is_left_out(tmp_path: Path, name: str) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        streams = [container.add_stream(codec, rate=25) for codec in ("mjpeg", "libx264")]
        for stream, side, pix_fmt in zip(streams, (96, 64), ("yuvj420p", "yuv420p"), strict=True):
            stream.width, stream.height, stream.pix_fmt = side, side, pix_fmt
        for stream, frames in zip(streams, (1, 5), strict=True):
            for index in range(frames):
                picture = av.VideoFrame.from_ndarray(numbered(index, stream.height, stream.width))
                container.mux(stream.encode(picture.reformat(format=stream.pix_fmt)))
            container.mux(stream.encode(None))
    assert "number 1 is read, 64x64" in probe(tmp_path / name).notes[0]
    assert count_frames(tmp_path / name) == 5


@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_not_square(tmp_path: Path, turned) -> None:
    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        if turned:
            stream.set_display_rotation(90)

    info = probe(encode(tmp_path / "a.mp4", [quarters()], prepare=prepare))
    assert (info.width, info.height) == ((48, 64) if turned else (64, 48))
    assert info.pixel_aspect == (Fraction(3, 4) if turned else Fraction(4, 3))
    assert info.notes == ("Its pixels are 4:3, not square; boxes are in stored pixels.",)


def test_interlaced_video_is_said(tmp_path: Path) -> None:
    def interlace(stream: av.VideoStream) -> None:
        stream.options = {"x264-params": "tff=1"}
        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct.value

    path = encode(tmp_path / "a.mp4", map(noise, range(4)), prepare=interlace)
    assert "interlaced" in probe(path).notes[0] and len(times(path)) == 4


# --- what cannot be read -----------------------------------------------------------------------------------


def test_an_encrypted_video(tmp_path: Path) -> None:
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "01" * 16, "encryption_kid": "02" * 16}
    with av.open(str(tmp_path / "a.mp4"), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(i))))
        container.mux(stream.encode(None))
    with pytest.raises(LangTrackError, match=r"a\.mp4 is encrypted"):
        probe(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    "address", ["https://example.org/a.mp4", "rtsp://10.0.0.1/live", "file:///tmp/a.mp4"]
)
def test_an_address(address: str) -> None:
    with pytest.raises(LangTrackError, match="is an address"):
        probe(address)
