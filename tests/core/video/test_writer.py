"""Writing H.264: exact rates and times, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import (
    NTSC,
    count_frames,
    encode,
    listed,
    noise,
    numbered,
    open_files,
    quarters,
    scene,
    times,
)

from langtrack_core.types import LangTrackError
from langtrack_core.video import VideoWriter, probe, read_frames

# --- what is kept of the source ----------------------------------------------------------------------------


def with_sound(
    path: Path, codec: str = "aac", *, frames: int = 50, late_s: int = 0, rate: int = 48000
) -> Path:
    """Pictures at 25 a second with a key frame a second, and a tone that rises in loudness."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size, video.codec_context.max_b_frames = 25, 0
        sound = container.add_stream(codec, rate=rate)
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(numbered(index))
            picture.pts, picture.time_base = index + late_s * 25, Fraction(1, 25)
            container.mux(video.encode(picture))
        seconds = np.arange(rate * frames // 25) / rate
        tone = (np.sin(seconds * 2764) * seconds / seconds[-1] / 2).astype(np.float32)
        for begin in range(0, len(tone), 960):
            block = tone[None, begin : begin + 960]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, begin + late_s * rate
            frame.time_base = Fraction(1, rate)
            container.mux(sound.encode(frame))
        for stream in (video, sound):
            container.mux(stream.encode(None))
    return path


def loudness(path: Path) -> list[float]:
    """The loudness of each tenth of a second; empty where there is no sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        resampler = av.AudioResampler("fltp", "mono", 48000)
        blocks = [r for frame in container.decode(audio=0) for r in resampler.resample(frame)]
        times_s = np.concatenate([f.time + np.arange(f.samples) / 48000 for f in blocks])
        samples = np.concatenate([f.to_ndarray()[0] for f in blocks])
    times_s -= times_s[0] if path.suffix == ".ts" else 0  # whose clock begins anywhere
    return [
        float(np.abs(samples[(times_s >= t / 10) & (times_s < (t + 1) / 10)]).mean())
        for t in range(int(times_s[-1] * 10))
    ]


def copied(source: Path, path: Path, start: int = 0) -> Path:
    with VideoWriter(path, 25, source=probe(source)) as writer:
        for frame in read_frames(source, start=start):
            writer.write(frame.rgb, frame.time_s)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "aac"), ("a.ts", "aac"), ("a.mkv", "libopus"), ("a.mkv", "flac"), ("a.mp4", "libmp3lame")],
)
def test_the_sound_of_the_source_is_kept(tmp_path: Path, name: str, codec: str) -> None:
    source = with_sound(tmp_path / name, codec)
    whole = loudness(source)
    path = copied(source, tmp_path / "whole.mp4")
    assert times(path) == pytest.approx([i / 25 for i in range(50)])
    assert loudness(path)[1:19] == pytest.approx(whole[1:19], abs=0.01)
    late = loudness(copied(source, tmp_path / "late.mp4", start=25))
    assert late[1:9] == pytest.approx(whole[11:19], abs=0.01)
    assert listed(tmp_path) == sorted([name, "late.mp4", "whole.mp4"])


@pytest.mark.parametrize(
    ("codec", "rate"), [("pcm_s16le", 48000), ("mp2", 48000), ("libmp3lame", 12000), ("libmp3lame", 8000)]
)
def test_sound_that_an_mp4_does_not_hold_is_left_out(tmp_path: Path, codec: str, rate: int) -> None:
    path = copied(with_sound(tmp_path / "a.mkv", codec, rate=rate), tmp_path / "b.mp4")
    assert loudness(path) == [] and len(times(path)) == 50


def test_the_lowest_rate_of_mp3_that_an_mp4_holds(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "a.mkv", "libmp3lame", rate=16000)
    assert len(loudness(copied(source, tmp_path / "b.mp4"))) >= 19


def test_sound_keeps_in_step_with_a_recording_that_begins_between_key_frames(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "whole.mkv", frames=75)
    with av.open(str(source)) as whole, av.open(str(tmp_path / "cut.mkv"), "w") as cut:
        streams = [cut.add_stream_from_template(stream) for stream in whole.streams]
        for packet in whole.demux():
            if packet.dts is not None and packet.pts * packet.time_base >= 0.4:
                packet.stream = streams[packet.stream_index]
                cut.mux(packet)
    path = copied(tmp_path / "cut.mkv", tmp_path / "b.mp4")
    assert len(times(path)) == 50  # from the key frame at 1 s on
    assert loudness(path)[1:19] == pytest.approx(loudness(source)[11:29], abs=0.01)


def test_sound_ends_where_the_clock_of_a_broadcast_jumps(tmp_path: Path) -> None:
    one = with_sound(tmp_path / "one.ts", frames=25)
    two = with_sound(tmp_path / "two.ts", frames=350, late_s=12)
    one.write_bytes(one.read_bytes() + two.read_bytes())
    path = copied(one, tmp_path / "b.mp4")
    assert len(times(path)) == 375 and len(loudness(path)) in (9, 10, 11)


def test_damaged_sound_costs_no_picture(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "a.ts")
    data = bytearray(source.read_bytes())
    for at in range(len(data) // 2, len(data) - 188, 188):
        if data[at + 2] == 1 and data[at + 1] & 0x1F == 1:  # PID 257: the sound
            data[at + 20 : at + 60] = bytes(40)
    source.write_bytes(data)
    assert len(times(copied(source, tmp_path / "b.mp4"))) == 50


def test_the_shape_of_the_source_s_pixels_is_kept(tmp_path: Path) -> None:
    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = encode(tmp_path / "a.mkv", [quarters()] * 2, prepare=prepare)
    assert probe(copied(source, tmp_path / "b.mp4")).pixel_aspect == Fraction(4, 3)


# --- writing -----------------------------------------------------------------------------------------------


def write(path: Path, pictures: Iterable[np.ndarray], fps: Fraction | float = 25) -> Path:
    with VideoWriter(path, fps) as writer:
        for rgb in pictures:
            writer.write(rgb)
    return path


def atoms(path: Path) -> list[str]:
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    assert at == len(data)
    return names


def test_written_video_is_what_browsers_play(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", map(noise, range(30)), NTSC)
    names = atoms(path)
    assert names.index("moov") < names.index("mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", NTSC)
        assert (context.colorspace, context.color_range, context.color_trc) == (1, 1, 1)
    assert listed(tmp_path) == ["a.mp4"]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", map(scene, range(25)))
    errors = [np.mean((frame.rgb - scene(frame.index).astype(float)) ** 2) for frame in read_frames(path)]
    assert len(errors) == 25 == count_frames(path) == probe(path).frames_estimate
    assert 10 * np.log10(255**2 / max(errors)) > 32
    flat_red = np.full((48, 64, 3), (200, 40, 60), np.uint8)
    back = next(read_frames(write(tmp_path / "red.mp4", [flat_red]))).rgb
    assert np.abs(back.astype(int) - flat_red).max() <= 3


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        *((fps, fps) for fps in (Fraction(25), NTSC, Fraction(24000, 1001), Fraction(60), Fraction(15, 2))),
        *((fps, Fraction(fps)) for fps in (Fraction(1, 1200), Fraction(1, 3600), Fraction(2, 30003), 0.25)),
        (29.97002997, NTSC),
    ],
)
def test_the_frame_rate_stays_exact(tmp_path: Path, fps: Fraction | float, exact: Fraction) -> None:
    path = write(tmp_path / "a.mp4", map(numbered, range(20)), fps)
    assert probe(path).fps == exact
    assert times(path) == pytest.approx([i / exact for i in range(20)], abs=1e-9)


def test_a_rate_that_is_none_is_refused(tmp_path: Path) -> None:
    for fps in (0, -25.0):
        with pytest.raises(ValueError, match="above 0"):
            VideoWriter(tmp_path / "a.mp4", fps)
    assert listed(tmp_path) == []


def test_given_times_are_kept_and_start_at_0(tmp_path: Path) -> None:
    times_s = [2.0, 2.033, 2.25, 2.2512, 3.7]
    with VideoWriter(tmp_path / "a.mp4", NTSC) as writer:
        for index, time_s in enumerate(times_s):
            writer.write(numbered(index), time_s)
    assert times(tmp_path / "a.mp4") == pytest.approx([t - 2.0 for t in times_s], abs=8e-4)


def test_a_frame_lasts_as_long_as_an_mp4_can_hold_and_the_next_is_in_time_again(tmp_path: Path) -> None:
    """Longer gaps, as of a camera that records what moves, once made all later frames follow at once."""
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        for index, time_s in enumerate((0.0, 0.04, 30000.0, 30000.04)):
            writer.write(numbered(index), time_s)
    first, second, late, last = times(tmp_path / "a.mp4")
    assert (first, second, last) == (0.0, 0.04, 30000.04) and 6.6 * 3600 < late < 30000
    for fps in (Fraction(1, 19_999), Fraction(1001, 19_999_999), Fraction(1, 86_400), 1e-9):
        assert len(times(write(tmp_path / "slow.mp4", [numbered(0)], fps))) == 1


def test_times_rounded_by_webm_do_not_change_the_rate(tmp_path: Path) -> None:
    source = encode(tmp_path / "a.webm", map(numbered, range(40)), codec="libvpx-vp9", rate=NTSC)
    with VideoWriter(tmp_path / "b.mp4", probe(source).fps) as writer:
        for frame in read_frames(source):
            writer.write(frame.rgb, frame.time_s)
    assert probe(tmp_path / "b.mp4").fps == NTSC


@pytest.mark.parametrize(
    ("size_hw", "even_hw"), [((47, 63), (48, 64)), ((48, 63), (48, 64)), ((1, 1), (2, 2))]
)
def test_odd_sizes_get_their_last_row_and_column_twice(
    tmp_path: Path, size_hw: tuple[int, int], even_hw: tuple[int, int]
) -> None:
    rgb = quarters(*even_hw)[: size_hw[0], : size_hw[1]]
    back = next(read_frames(write(tmp_path / "a.mp4", [rgb]))).rgb
    assert back.shape[:2] == even_hw
    assert np.abs(back[: size_hw[0], : size_hw[1]].astype(int) - rgb).mean() < 8


def test_an_exception_leaves_nothing_and_the_old_file_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [quarters()])
    old, before = path.read_bytes(), open_files()
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 25) as writer:
        writer.write(quarters())
        assert path.read_bytes() == old and len(listed(tmp_path)) == 2
        raise KeyboardInterrupt
    assert listed(tmp_path) == ["a.mp4"] and path.read_bytes() == old and open_files() == before
    with pytest.raises(ValueError, match="size of the first"):
        write(path, [quarters(), quarters(50, 64)])
    with pytest.raises(LangTrackError, match="no frame"):
        write(path, [])
    writer = VideoWriter(path, 25)
    writer.write(quarters())
    writer.discard()
    writer.close()  # nothing left to finish
    with pytest.raises(ValueError, match="closed"):
        writer.write(quarters())
    assert listed(tmp_path) == ["a.mp4"] and path.read_bytes() == old and open_files() == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(LangTrackError, match="folder does not exist"):
            VideoWriter(folder / "a.mp4", 25)

    def refuse(*_: object, **__: object) -> None:  # root, who may run this test, is refused nothing
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(LangTrackError, match="may not be written"):
        VideoWriter(tmp_path / "a.mp4", 25)
    assert listed(tmp_path) == ["file"]


@pytest.mark.parametrize("limit_kb", [20, 100, 300])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, limit_kb: int) -> None:
    """A limit on the size of files fails writes as a full disk does: at the start, on the way, at the end."""
    code = (
        "import json, os, resource, sys\n"
        "import numpy as np\n"
        "from langtrack_core.types import LangTrackError\n"
        "from langtrack_core.video import VideoWriter\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_kb} * 1024,) * 2)\n"
        "before, rng = len(os.listdir('/proc/self/fd')), np.random.default_rng(0)\n"
        "try:\n"
        "    with VideoWriter(sys.argv[1], 25) as writer:\n"
        "        for _ in range(40): writer.write(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8))\n"
        "except LangTrackError as error:\n"
        "    print(json.dumps([str(error), len(os.listdir('/proc/self/fd')) - before]))\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "a.mp4")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    sentence, leaked = json.loads(done.stdout)
    assert "a.mp4 cannot be written" in sentence and leaked == 0 and listed(tmp_path) == []
