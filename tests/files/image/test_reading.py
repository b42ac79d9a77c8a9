"""Images of every mode become upright 8-bit RGB by the rule that the module states."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from kpbench.errors import DataError
from kpbench.files.image.reading import decoded, read_image, shown
from kpbench.files.image.sizes import image_sizes

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))
GREY = arrays(np.uint8, SIDES)
WIDE = arrays(np.uint16, SIDES)
COLOUR = arrays(np.uint8, SIDES.map(lambda sides: (*sides, 3)))
ALPHA = arrays(np.uint8, SIDES.map(lambda sides: (*sides, 4)))


def stored(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(data: bytes) -> tuple[np.ndarray[Any, Any], str]:
    image, how = shown(decoded(data, "x.png"), "x.png")
    assert image.mode == "RGB"
    return np.asarray(image).astype(int), how


def over_white(colour: Any, alpha: Any) -> Any:
    """Return what is seen of colours over white, in exact arithmetic."""
    return 255 + (np.asarray(colour, float) - 255) * np.asarray(alpha, float)[..., None] / 255


def tripled(grey: Any) -> Any:
    return np.repeat(np.asarray(grey, int)[..., None], 3, 2)


def test_sixteen_bits_are_their_upper_eight() -> None:
    """The numbers of a report: these were packed as 0 255 255 255 255."""
    values = np.array([[0, 8192, 16384, 32768, 65535]], np.uint16)
    found, how = read(stored(Image.fromarray(values)))
    assert found[0, :, 0].tolist() == [0, 32, 64, 128, 255]
    assert how == "16 bits as 8"


@given(WIDE, st.sampled_from(["png", "tiff"]))
@settings(max_examples=60, deadline=None)
def test_any_grey_of_sixteen_bits(values: Any, kind: str) -> None:
    data = stored(Image.fromarray(values), kind)
    if 0 < values.max() < 256:
        with pytest.raises(DataError, match=r"x\.png: would be black, .*save it with 8 bits"):
            read(data)
        return
    np.testing.assert_array_equal(read(data)[0], tripled(values // 256))


@pytest.mark.parametrize("order", ["I;16B", "I;16L", "I;16"])
def test_either_order_of_bytes(order: str) -> None:
    values = np.array([[0, 8192, 65535]], ">u2" if order == "I;16B" else "<u2")
    found = shown(Image.frombytes(order, (3, 1), values.tobytes()), "x").image
    assert np.asarray(found)[0, :, 1].tolist() == [0, 32, 255]


def test_whole_numbers_of_32_bits_are_read_as_16_where_they_fit() -> None:
    values = np.array([[0, 8192, 65535]], np.int32)
    assert read(stored(Image.fromarray(values), "tiff"))[0][0, :, 2].tolist() == [0, 32, 255]
    for wrong in (-1, 65536):
        values[0, 1] = wrong
        with pytest.raises(DataError, match=r"x\.png: its numbers go from .* scale them first"):
            read(stored(Image.fromarray(values), "tiff"))


@given(arrays(np.float32, SIDES, elements=st.floats(0, 1, width=32)))
@settings(max_examples=40, deadline=None)
def test_floating_point_is_read_from_black_0_to_white_1(values: Any) -> None:
    data = stored(Image.fromarray(values), "tiff")
    wanted = np.rint(values * 255)
    if values.max() > 0 and not wanted.any():
        with pytest.raises(DataError, match="would be black"):
            read(data)
        return
    np.testing.assert_array_equal(read(data)[0], tripled(wanted))


@pytest.mark.parametrize("wrong", [-0.01, 1.01, 255.0, np.nan, np.inf, -np.inf])
def test_floating_point_beyond_is_refused(wrong: float) -> None:
    values = np.array([[0.5, wrong]], np.float32)
    with pytest.raises(DataError, match=r"x\.png: its numbers go .* from 0, black, to 1, white"):
        read(stored(Image.fromarray(values), "tiff"))


@given(COLOUR, st.sampled_from(["png", "tiff", "bmp"]))
@settings(max_examples=40, deadline=None)
def test_ordinary_colour_is_left_alone(pixels: Any, kind: str) -> None:
    found, how = read(stored(Image.fromarray(pixels), kind))
    np.testing.assert_array_equal(found, pixels)
    assert how == ""


@given(GREY)
@settings(max_examples=40, deadline=None)
def test_grey_has_three_equal_channels(values: Any) -> None:
    found, how = read(stored(Image.fromarray(values)))
    np.testing.assert_array_equal(found, tripled(values))
    assert how == ""


@given(ALPHA)
@settings(max_examples=60, deadline=None)
def test_alpha_is_composited_over_white(pixels: Any) -> None:
    found, how = read(stored(Image.fromarray(pixels)))
    np.testing.assert_allclose(found, over_white(pixels[..., :3], pixels[..., 3]), atol=1)
    assert how == ("" if pixels[..., 3].min() == 255 else "transparency over white")
    hidden = found[pixels[..., 3] == 0]
    assert (hidden == 255).all(), "the colour below a transparent pixel is not seen"
    assert (found[pixels[..., 3] == 255] == pixels[..., :3][pixels[..., 3] == 255]).all()


@given(arrays(np.uint8, SIDES.map(lambda sides: (*sides, 2))))
@settings(max_examples=40, deadline=None)
def test_grey_with_alpha(pixels: Any) -> None:
    found, _ = read(stored(Image.fromarray(pixels, "LA")))
    wanted = over_white(tripled(pixels[..., 0]), pixels[..., 1])
    np.testing.assert_allclose(found, wanted, atol=1)


def paletted() -> Image.Image:
    """Return an image of a palette, with the colours 0, 1 and 2."""
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 250, 0, 0, 0, 200, 0])
    image.putdata([0, 1, 2])
    return image


def test_palettes_with_and_without_transparency() -> None:
    colours = [[10, 20, 30], [250, 0, 0], [0, 200, 0]]
    found, how = read(stored(paletted()))
    assert found[0].tolist() == colours
    assert how == ""
    found, how = read(stored(paletted(), transparency=1))
    assert found[0].tolist() == [colours[0], [255] * 3, colours[2]]
    assert how == "transparency over white"
    found, _ = read(stored(paletted(), transparency=bytes([255, 0, 51])))
    assert found[0].tolist() == [colours[0], [255] * 3, [204, 244, 204]]
    found, _ = read(stored(paletted(), "gif", transparency=2))
    assert found[0].tolist() == [*colours[:2], [255] * 3]


def test_a_colour_that_stands_for_transparency() -> None:
    grey = Image.fromarray(np.array([[0, 9, 200]], np.uint8))
    assert read(stored(grey, transparency=9))[0][0, :, 0].tolist() == [0, 255, 200]
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert read(stored(colour, transparency=(1, 2, 3)))[0].tolist() == [[[255] * 3, [4, 5, 6]]]
    wide = Image.fromarray(np.array([[0, 8192, 8193]], np.uint16))
    assert read(stored(wide, transparency=8192))[0][0, :, 0].tolist() == [0, 255, 32]


def test_one_bit_and_cmyk() -> None:
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert read(stored(bits))[0][..., 0].tolist() == [[0, 255], [255, 0]]
    inks = Image.new("CMYK", (2, 2), (255, 0, 0, 0))  # cyan
    assert read(stored(inks, "tiff"))[0][0, 0].tolist() == [0, 255, 255]
    np.testing.assert_allclose(read(stored(inks, "jpeg"))[0][0, 0], [0, 255, 255], atol=4)


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "YCbCr", "HSV", "LAB", "RGBX"])
def test_every_other_mode_becomes_rgb(mode: str) -> None:
    source = {"La": "LA", "RGBa": "RGBA", "PA": "P", "LAB": "LAB"}.get(mode, "RGB")
    image = Image.new(source, (2, 2)).convert(mode)
    assert shown(image, "x").image.mode == "RGB"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("held", range(1, 9))
def test_photos_are_upright_and_their_heads_say_so(held: int, kind: str, tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 250  # at the upper left of what is stored
    exif = Image.Exif()
    exif[0x0112] = held
    options = {"lossless": True} if kind == "webp" else {}
    path = tmp_path / f"photo.{kind}"
    path.write_bytes(stored(Image.fromarray(pixels), kind, exif=exif, **options))
    found = read_image(path)
    lies = held >= 5
    assert found.shape == ((32, 16, 3) if lies else (16, 32, 3))
    right, low = held in (2, 3, 6, 7), held in (3, 4, 7, 8)
    bright = np.argwhere(found[..., 0] > 128).mean(0)
    wanted = np.where([low, right], np.array(found.shape[:2]) - 4.5, 3.5)
    np.testing.assert_allclose(bright, wanted, atol=0.5)
    assert image_sizes([path]).tolist() == [[*found.shape[1::-1]]]


def test_what_is_no_image_is_named_without_a_buffer() -> None:
    for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n nothing more"):
        with pytest.raises(DataError, match=r"x\.png is no readable image") as caught:
            decoded(data, "x.png")
        assert "BytesIO" not in str(caught.value)


@given(st.data(), st.sampled_from(["png", "jpeg", "gif", "tiff", "bmp", "webp"]))
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_refused_or_read_and_never_more(data: Any, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    whole = bytearray(stored(Image.fromarray(noise), kind))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        image = shown(decoded(bytes(whole[:cut]), "x.png"), "x.png").image
    except DataError as error:
        assert str(error).startswith("x.png")
        assert "BytesIO" not in str(error)
    else:
        assert image.mode == "RGB"
