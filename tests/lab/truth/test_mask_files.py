"""Mask pictures of every kind that annotators make, and what is taken for the target in them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from langtrack_core.types import LangTrackError
from langtrack_lab.truth.mask_files import MaskReading, SeveralObjectsError, clip_target, read_mask

SIZE_HW = (20, 30)
OBJECT = np.zeros(SIZE_HW, bool)
OBJECT[5:15, 8:20] = True
OTHER = np.zeros(SIZE_HW, bool)
OTHER[16:19, 2:6] = True
RING = np.zeros(SIZE_HW, bool)
RING[4:16, 7:21] = True
RING &= ~OBJECT


def numbers(**areas: np.ndarray) -> np.ndarray:
    """``v7=OBJECT``: the value 7 there."""
    values = np.zeros(SIZE_HW, np.uint8)
    for name, area in areas.items():
        values[area] = int(name[1:])
    return values


def grey(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def palette(path: Path, values: np.ndarray) -> Path:
    image = Image.fromarray(values, "L").copy()
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(path)
    return path


def coloured(path: Path, *colours: tuple[int, int, int], alpha: np.ndarray | None = None) -> Path:
    """One colour for the object, the next for the other one."""
    rgb = np.zeros((*SIZE_HW, 3), np.uint8)
    for area, colour in zip((OBJECT, OTHER), colours, strict=False):
        rgb[area] = colour
    Image.fromarray(rgb if alpha is None else np.dstack([rgb, alpha])).save(path)
    return path


@pytest.mark.parametrize("write", [grey, palette])
@pytest.mark.parametrize("value", [1, 7, 38, 40, 100, 128, 129, 255])
def test_one_value_beside_0_is_the_target(tmp_path: Path, write, value: int) -> None:
    picture = read_mask(write(tmp_path / "a.png", np.where(OBJECT, np.uint8(value), np.uint8(0))))
    assert (
        np.array_equal(picture.mask, OBJECT) and not picture.void.any() and picture.objects == (str(value),)
    )


@pytest.mark.parametrize("write", [grey, palette])
def test_255_beside_small_numbers_is_not_judged(tmp_path: Path, write) -> None:
    picture = read_mask(write(tmp_path / "a.png", numbers(v1=OBJECT, v255=RING)))
    assert np.array_equal(picture.mask, OBJECT) and np.array_equal(picture.void, RING)
    assert picture.objects == ("1",)


@pytest.mark.parametrize("write", [grey, palette])
def test_one_of_several_objects_is_chosen_by_its_number(tmp_path: Path, write) -> None:
    path = write(tmp_path / "a.png", numbers(v1=OBJECT, v2=OTHER, v255=RING))
    assert np.array_equal(read_mask(path, 2).mask, OTHER) and np.array_equal(read_mask(path, 2).void, RING)
    assert not read_mask(path, 3).mask.any()
    every = read_mask(path)
    assert np.array_equal(every.mask, OBJECT | OTHER) and every.objects == ("1", "2")


@pytest.mark.parametrize("write", [grey, palette])
def test_larger_numbers_are_several_objects_where_each_is_an_area(tmp_path: Path, write) -> None:
    picture = read_mask(write(tmp_path / "a.png", numbers(v85=OBJECT, v255=OTHER)))
    assert np.array_equal(picture.mask, OBJECT | OTHER) and picture.objects == ("85", "255")
    chosen = read_mask(tmp_path / "a.png", "85")
    assert np.array_equal(chosen.mask, OBJECT) and not chosen.void.any()
    ring = read_mask(write(tmp_path / "b.png", numbers(v40=OBJECT, v255=RING)))  # one pixel wide
    assert np.array_equal(ring.mask, OBJECT) and np.array_equal(ring.void, RING) and ring.objects == ("40",)


@pytest.mark.parametrize("value", [255, 100])
def test_the_shades_of_a_smooth_edge_are_no_objects(tmp_path: Path, value: int) -> None:
    smooth = cv2.GaussianBlur(OBJECT * np.uint8(value), (3, 3), 0)
    picture = read_mask(grey(tmp_path / "a.png", smooth))
    assert np.array_equal(picture.mask, smooth > (128 if value == 255 else 50)) and picture.objects == ()
    reading = MaskReading()
    reading.add(picture)
    assert "bright" in str(reading)


def test_shades_of_grey_are_positive_over_128(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, SIZE_HW[1]).astype(np.uint8), (SIZE_HW[0], 1))
    assert np.array_equal(read_mask(grey(tmp_path / "a.png", ramp)).mask, ramp > 128)
    deep = ramp.astype(np.uint16) * 257
    assert np.array_equal(read_mask(grey(tmp_path / "b.png", deep)).mask, ramp > 128)


@pytest.mark.parametrize("value", [1, 300, 1007, 65535])
def test_masks_of_16_bits(tmp_path: Path, value: int) -> None:
    path = grey(tmp_path / "a.png", np.where(OBJECT, np.uint16(value), np.uint16(0)))
    assert np.array_equal(read_mask(path).mask, OBJECT)
    assert np.array_equal(read_mask(path, value).mask, OBJECT)
    several = np.where(OBJECT, np.uint16(value), np.where(OTHER, np.uint16(1001), np.uint16(0)))
    assert read_mask(grey(tmp_path / "b.png", several)).mask[OBJECT].all()


def test_void_of_8_bits_in_masks_of_16(tmp_path: Path) -> None:
    picture = read_mask(grey(tmp_path / "a.png", numbers(v1=OBJECT, v255=RING).astype(np.uint16)))
    assert np.array_equal(picture.mask, OBJECT) and np.array_equal(picture.void, RING)


def test_masks_of_1_bit(tmp_path: Path) -> None:
    Image.fromarray(OBJECT).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png").mask, OBJECT)


@pytest.mark.parametrize("colour", [(128, 0, 0), (250, 50, 83), (0, 0, 1), (255, 255, 255), (38, 38, 38)])
def test_a_colour_on_black_is_the_target(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    assert np.array_equal(read_mask(coloured(tmp_path / "a.png", colour)).mask, OBJECT)
    opaque = np.full(SIZE_HW, 255, np.uint8)
    assert np.array_equal(read_mask(coloured(tmp_path / "b.png", colour, alpha=opaque)).mask, OBJECT)


def test_several_colours_are_several_objects(tmp_path: Path) -> None:
    path = coloured(tmp_path / "a.png", (128, 0, 0), (0, 128, 0))
    picture = read_mask(path)
    assert np.array_equal(picture.mask, OBJECT | OTHER) and picture.objects == ("#008000", "#800000")
    assert np.array_equal(read_mask(path, "#800000").mask, OBJECT)


def test_numbers_in_three_equal_channels(tmp_path: Path) -> None:
    path = coloured(tmp_path / "a.png", (1, 1, 1))
    assert clip_target([path]) == "1" and np.array_equal(read_mask(path, "1").mask, OBJECT)


def test_a_grey_object_among_coloured_ones(tmp_path: Path) -> None:
    both = coloured(tmp_path / "1.png", (128, 128, 128), (0, 128, 0))
    alone = coloured(tmp_path / "2.png", (128, 128, 128))
    with pytest.raises(SeveralObjectsError, match="hold 2 objects: #008000, #808080"):
        clip_target([both, alone])
    for path in (both, alone):
        assert np.array_equal(read_mask(path, clip_target([both, alone], "#808080")).mask, OBJECT)
    with pytest.raises(LangTrackError, match=r"n\.png holds numbers.*#808080 is one of colours"):
        read_mask(grey(tmp_path / "n.png", numbers(v1=OBJECT)), "#808080")


def test_the_colour_of_voc_for_void_is_not_judged(tmp_path: Path) -> None:
    rgb = np.zeros((*SIZE_HW, 3), np.uint8)
    rgb[OBJECT], rgb[RING] = (128, 0, 0), (224, 224, 192)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    picture = read_mask(tmp_path / "a.png")
    assert np.array_equal(picture.mask, OBJECT) and np.array_equal(picture.void, RING)
    rgb[OBJECT] = 224, 224, 192  # hidden behind something else
    Image.fromarray(rgb).save(tmp_path / "b.png")
    assert clip_target([tmp_path / "a.png", tmp_path / "b.png"]) == "#800000"


@pytest.mark.parametrize("write", [grey, palette])
@pytest.mark.parametrize(("background", "value"), [(1, 2), (255, 100), (40, 200), (2, 1)])
def test_where_nothing_is_0_the_border_is_the_background(tmp_path: Path, write, background, value) -> None:
    picture = read_mask(write(tmp_path / "a.png", np.where(OBJECT, np.uint8(value), np.uint8(background))))
    assert np.array_equal(picture.mask, OBJECT) and not picture.void.any()


def test_a_colour_on_another_colour(tmp_path: Path) -> None:
    rgb = np.full((*SIZE_HW, 3), (10, 20, 90), np.uint8)
    rgb[OBJECT] = 0, 200, 0
    Image.fromarray(rgb).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png").mask, OBJECT)


@pytest.mark.parametrize("value", [1, 200, 255])
def test_a_picture_of_one_value_is_all_target(tmp_path: Path, value: int) -> None:
    assert read_mask(grey(tmp_path / "a.png", np.full(SIZE_HW, value, np.uint8))).mask.all()


def test_a_clip_says_what_its_masks_mean(tmp_path: Path) -> None:
    one = grey(tmp_path / "1.png", numbers(v3=OBJECT, v255=RING))
    ring = grey(tmp_path / "2.png", numbers(v255=RING))
    white = grey(tmp_path / "3.png", numbers(v255=OBJECT))
    assert clip_target([one, ring]) == "3" and not read_mask(ring, clip_target([one, ring])).mask.any()
    assert clip_target([white, ring]) is None and clip_target([]) is None
    several = [one, grey(tmp_path / "4.png", numbers(v7=OTHER))]
    with pytest.raises(SeveralObjectsError, match="hold 2 objects: 3, 7"):
        clip_target(several)
    assert clip_target(several, 7) == clip_target(several, "7") == "7"
    with pytest.raises(LangTrackError, match="no object 5"):
        clip_target(several, 5)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 20, 20)])
def test_an_object_in_alpha_alone(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    rgb = np.full((*SIZE_HW, 3), colour, np.uint8)
    Image.fromarray(np.dstack([rgb, OBJECT.astype(np.uint8) * 255])).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png").mask, OBJECT)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA"])
def test_black_is_an_absent_target(tmp_path: Path, mode: str) -> None:
    Image.new(mode, SIZE_HW[::-1], (0, 0, 0, 255) if mode == "RGBA" else 0).save(tmp_path / "a.png")
    picture = read_mask(tmp_path / "a.png", size_hw=SIZE_HW)
    assert not picture.mask.any() and picture.mask.shape == SIZE_HW and picture.objects == ()


def test_what_is_no_mask_names_itself(tmp_path: Path) -> None:
    path = coloured(tmp_path / "a.png", (128, 0, 0))
    with pytest.raises(LangTrackError, match=r"a\.png.* 30x20, .*10x10"):
        read_mask(path, size_hw=(10, 10))
    with pytest.raises(LangTrackError, match=r"a\.png holds colours.*1 is one of numbers"):
        read_mask(path, 1)
    path.write_bytes(b"not a picture")
    with pytest.raises(LangTrackError, match=r"a\.png.*no picture"):
        read_mask(path)
