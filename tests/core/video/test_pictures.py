"""Files that hold several pictures, whatever their suffix, and pictures deeper than 8 bits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import count_frames, encode, numbered, quarters, scene, times
from PIL import Image

from langtrack_core.types import LangTrackError
from langtrack_core.video import probe, read_frames
from langtrack_core.video.pictures import Pictures
from langtrack_lab.datasets.files import read_picture

SCENES = [scene(i) for i in range(6)]


def animation(path: Path, form: str, *, duration: int | list[int] = 80) -> Path:
    first, *rest = map(Image.fromarray, SCENES)
    options = {"TIFF": {}, "WEBP": {"duration": duration, "lossless": True}}.get(form, {"duration": duration})
    first.save(path, form, save_all=True, append_images=rest, **options)
    return path


# --- several pictures in a file ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".png", ".gif", ".webp", ".mp4", ".tif", ".JPG"])
@pytest.mark.parametrize("form", ["WEBP", "PNG", "GIF", "TIFF"])
def test_every_picture_of_an_animation_is_read_whatever_its_suffix(tmp_path: Path, form, suffix) -> None:
    path = animation(tmp_path / f"a{suffix}", form)
    info, period = probe(path), 0.04 if form == "TIFF" else 0.08
    assert (info.kind, info.frames_estimate, info.fps) == ("animation", 6, 25 if form == "TIFF" else 12.5)
    frames = list(read_frames(path))
    assert [frame.time_s for frame in frames] == pytest.approx([period * i for i in range(6)])
    for frame, picture in zip(frames, SCENES, strict=True):
        assert np.abs(frame.rgb.astype(int) - picture).mean() < 4
    late = list(read_frames(path, start=4))
    assert [f.index for f in late] == [4, 5] and late[0].time_s == frames[4].time_s


@pytest.mark.parametrize("form", ["WEBP", "PNG", "GIF"])
def test_pictures_of_an_animation_have_their_own_durations(tmp_path: Path, form) -> None:
    path = animation(tmp_path / "a", form, duration=[100, 300, 50, 200, 0, 10])
    assert times(path) == pytest.approx([0, 0.1, 0.4, 0.45, 0.65, 0.75])  # 0 counts as 100 ms


@pytest.mark.parametrize("form", ["WEBP", "PNG", "GIF"])
def test_the_rate_of_an_animation_is_its_average(tmp_path: Path, form) -> None:
    """A title of two seconds once made five pictures a second one in two seconds."""
    info = probe(animation(tmp_path / "a", form, duration=[2000, 100, 300, 200, 200, 200]))
    assert (info.fps, info.duration_s) == (2, 3.0)


def test_the_rate_of_a_damaged_animation_is_that_of_the_pictures_that_can_be_read(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", "PNG", duration=[200, 100, 100, 100, 100, 100])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    count = len(list(read_frames(path, on_damage=lambda sentence: None)))
    assert probe(path).fps == Fraction(count * 10, count + 1)


def test_a_picture_for_programs_that_show_no_animations_is_left_out(tmp_path: Path) -> None:
    first, *rest = map(Image.fromarray, SCENES)
    first.save(tmp_path / "a.png", save_all=True, append_images=rest, default_image=True, duration=40)
    frames = list(read_frames(tmp_path / "a.png"))
    assert len(frames) == 5 and np.array_equal(frames[0].rgb, SCENES[1])


def test_the_preview_in_a_phone_s_jpeg_is_no_second_frame(tmp_path: Path) -> None:
    first, second = map(Image.fromarray, SCENES[:2])
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert probe(tmp_path / "a.jpg").kind == "folder" and count_frames(tmp_path / "a.jpg") == 1


def test_an_animation_that_ends_early_gives_its_pictures_and_a_warning(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", "PNG")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    sentences: list[str] = []
    frames = list(read_frames(path, on_damage=sentences.append))
    with pytest.raises(LangTrackError, match="damaged"):
        next(read_frames(path, start=len(frames)))
    assert 0 < len(frames) < 6 and sentences == [
        f"a.png ends early: {len(frames)} of 6 pictures could be read."
    ]


def test_an_animation_among_the_pictures_of_a_folder_is_refused(tmp_path: Path) -> None:
    Image.fromarray(SCENES[0]).save(tmp_path / "1.webp")
    animation(tmp_path / "2.webp", "WEBP")
    assert probe(tmp_path).kind == "folder"
    with pytest.raises(LangTrackError, match=r"2\.webp holds several pictures"):
        list(read_frames(tmp_path))


def test_a_video_named_like_a_picture_and_the_other_way_round(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", SCENES).rename(tmp_path / "a.jpg")
    assert (probe(video).kind, count_frames(video)) == ("video", 6)
    for form in ("PNG", "JPEG", "BMP"):
        Image.fromarray(SCENES[0]).save(tmp_path / "b.mp4", form)
        assert (probe(tmp_path / "b.mp4").kind, count_frames(tmp_path / "b.mp4")) == ("folder", 1)


# --- more than 8 bits --------------------------------------------------------------------------------------


def ramp(bits: int, dtype: type = np.uint16) -> np.ndarray:
    """From 0 to the highest value."""
    return np.linspace(0, (1 << bits) - 1, 64).astype(dtype)[None].repeat(48, axis=0)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_pictures_are_scaled_by_their_bits(tmp_path: Path, bits, colour, name) -> None:
    pixels = ramp(bits)
    if colour:
        cv2.imwrite(str(tmp_path / name), np.dstack([pixels] * 3))
    else:
        Image.fromarray(pixels).save(tmp_path / name)
    for rgb in (next(read_frames(tmp_path / name)).rgb, read_picture(tmp_path / name)):
        assert np.array_equal(rgb, np.dstack([pixels >> (bits - 8)] * 3))
    assert probe(tmp_path / name).notes == (
        f"Its pictures have over 8 bits: values 0 to {(1 << bits) - 1} become black to white.",
    )


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (1000.0, 1010.0), (0.0, 4000.0)])
def test_pictures_of_numbers_with_a_point(tmp_path: Path, low, high) -> None:
    values = np.linspace(low, high, 64, dtype=np.float32)[None].repeat(48, axis=0)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    row = next(read_frames(tmp_path / "a.tif")).rgb[1, :, 0]
    assert np.abs(row - np.linspace(0, 255, 64)).max() <= 1


def test_a_dark_frame_of_a_deep_clip_stays_dark(tmp_path: Path) -> None:
    for number, bits in enumerate((8, 12, 9)):
        Image.fromarray(ramp(bits)).save(tmp_path / f"{number}.png")
    assert [int(f.rgb.max()) for f in read_frames(tmp_path)] == [15, 255, 31]
    paths = sorted(tmp_path.iterdir())
    assert read_picture(paths[0], Pictures(tuple(paths)).levels).max() == 15


def test_several_pages_of_deep_colours(tmp_path: Path) -> None:
    pages = [np.dstack([ramp(12) // (k + 1)] * 3) for k in range(3)]
    cv2.imwritemulti(str(tmp_path / "a.tif"), pages)
    assert [int(f.rgb.max()) for f in read_frames(tmp_path / "a.tif")] == [255, 127, 85]


def test_deep_colours_with_alpha(tmp_path: Path) -> None:
    bgra = np.dstack([np.full((48, 64), 65535, np.uint16)] * 3 + [ramp(16)])
    cv2.imwrite(str(tmp_path / "a.png"), bgra)
    assert np.abs(read_picture(tmp_path / "a.png")[0, :, 1].astype(int) - (ramp(16)[0] >> 8)).max() <= 1


def test_pictures_of_8_bits_have_no_note(tmp_path: Path) -> None:
    Image.fromarray(quarters()).save(tmp_path / "a.png")
    Image.fromarray(numbered(3)[..., 0]).save(tmp_path / "b.png")
    assert probe(tmp_path).notes == ()
