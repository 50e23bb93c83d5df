"""Files that are no videos, or not whole ones."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import numpy as np
import pytest
from clips import count_frames, encode, noise, numbered, open_files, save
from PIL import Image

from langtrack_core.types import LangTrackError
from langtrack_core.video import probe, read_frames

# --- bad input ---------------------------------------------------------------------------------------------


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def bad_inputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Path and what its sentence has to say."""
    random = np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8).tobytes()
    for name, content in {
        "empty.mp4": b"",
        "text.txt": b"no video\n" * 100,
        "text.mp4": b"no video\n" * 100,
        "random.mp4": random,
        "paper.pdf": b"%PDF-1.7\n" + random,
        "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.ts\n#EXT-X-ENDLIST\n",
        "script.mp4": b"ffconcat version 1.0\nfile whole.ts\n",
        "huge.y4m": b"YUV4MPEG2 W8000 H8000 F25:1\nFRAME\n" + random,
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "broken.png": b"\x89PNG\r\n\x1a\n" + random,
    }.items():
        (folder / name).write_bytes(content)
    encode(folder / "whole.ts", map(noise, range(20)))
    late_index = encode(folder / "cut.mp4", map(noise, range(20)), index_first=False)
    late_index.write_bytes(late_index.read_bytes()[:-3000])
    unknown = encode(folder / "unknown.mp4", map(noise, range(5)))
    unknown.write_bytes(unknown.read_bytes().replace(b"avc1", b"zzzz"))
    (folder / "nothing").mkdir()
    Image.new("1", (8000, 8000)).save(folder / "huge.png")
    sound_only(folder / "sound.m4a")
    return {
        "missing": (folder / "missing.mp4", "no file or folder"),
        "empty": (folder / "empty.mp4", "empty"),
        "text": (folder / "text.txt", "not a video"),
        "text named mp4": (folder / "text.mp4", "not a video"),
        "random": (folder / "random.mp4", "not a video"),
        "pdf": (folder / "paper.pdf", "not a video"),
        "playlist": (folder / "list.m3u8", "not a video"),
        "concat script": (folder / "script.mp4", "not a video"),
        "cut": (folder / "cut.mp4", "damaged or cut short"),
        "unknown codec": (folder / "unknown.mp4", "No decoder"),
        "sound": (folder / "sound.m4a", "sound but no pictures"),
        "folder without pictures": (folder / "nothing", "no pictures"),
        "another program's picture": (folder / "postscript.png", "no picture"),
        "broken picture": (folder / "broken.png", "damaged or no picture"),
        "8000x8000 video": (folder / "huge.y4m", "8000x8000"),
        "8000x8000 picture": (folder / "huge.png", "8000x8000"),
    }


def test_bad_inputs_are_told_in_one_sentence_each(tmp_path: Path) -> None:
    before = open_files()
    for case, (path, expected) in bad_inputs(tmp_path).items():
        for look in (probe, lambda p: next(read_frames(p))):
            with pytest.raises(LangTrackError) as caught:
                look(path)
            sentence = str(caught.value)
            assert expected in sentence and path.name in sentence, case
            assert "\n" not in sentence and sentence.endswith("."), case
    assert open_files() == before


def test_start_past_the_end_names_the_count(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", map(numbered, range(7)))
    for path, count in ((video, 7), (save(tmp_path / "frames", 1, 2, 3), 3)):
        assert [f.index for f in read_frames(path, start=count - 1)] == [count - 1]
        with pytest.raises(LangTrackError, match=f"has {count} frames"):
            list(read_frames(path, start=count))


def test_folder_with_a_broken_or_odd_picture_names_it(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", 1, 2, 3)
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    frames = read_frames(folder)
    assert next(frames).index == 0
    with pytest.raises(LangTrackError, match=r"2\.png"):
        next(frames)
    Image.fromarray(numbered(0, 20, 30)).save(folder / "2.png")
    with pytest.raises(LangTrackError, match=r"2\.png.*30x20.*1\.png.*64x48"):
        list(read_frames(folder))


def test_a_folder_of_frames_and_masks_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", 1, 2)
    assert len(list(read_frames(folder))) == 2
    for name in ("2.jpg", "2_mask.jpg"):
        Image.fromarray(numbered(1)).save(folder / name)
        with pytest.raises(LangTrackError, match=r"several kinds.*2\.png") as error:
            probe(folder)
        assert name in str(error.value)
        (folder / name).unlink()


def test_the_folder_inside_is_named(tmp_path: Path) -> None:
    save(tmp_path / "Deer" / "img", 1, 2)
    with pytest.raises(LangTrackError, match=r"Deer.*img"):
        probe(tmp_path / "Deer")


@pytest.mark.parametrize("name", ["a.mp4", "frames", "locked/a.mp4"])
def test_what_may_not_be_read_is_said(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    save(tmp_path / "frames", 1, 2)
    encode(tmp_path / "a.mp4", [noise(0)])

    def refuse(self: Path, *arguments: object, **options: object) -> None:  # root is refused nothing
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, {"a.mp4": "open", "frames": "iterdir"}.get(name, "exists"), refuse)
    with pytest.raises(LangTrackError, match=rf"{path.name} may not be read \(Permission denied\); check"):
        probe(path)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(LangTrackError, match=r"may not be read \(File name too long\)"):
        probe(tmp_path / f"{'a' * 300}.mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_video_that_ends_early_gives_its_frames_and_a_warning(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = encode(tmp_path / name, map(noise, range(60)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    sentences: list[str] = []
    frames = list(read_frames(path, on_damage=sentences.append))
    assert 10 < len(frames) < 50 and [f.index for f in frames] == list(range(len(frames)))
    assert len(sentences) == 1 and f"ends early: {len(frames)} frames" in sentences[0]
    with caplog.at_level(logging.WARNING):
        assert count_frames(path) == len(frames)
    assert sentences[0] in caplog.text


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", map(noise, range(60)))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    path.write_bytes(data)
    sentences: list[str] = []
    frames = list(read_frames(path, on_damage=sentences.append))
    assert len(frames) > 50 and frames[-1].time_s == pytest.approx(59 / 25)
    assert len(sentences) == 1 and "damaged" in sentences[0]


def test_a_whole_video_warns_of_nothing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", map(noise, range(30)))
    sentences: list[str] = []
    assert len(list(read_frames(path, on_damage=sentences.append))) == 30 and sentences == []
