"""Each format and irregularity has one declared policy; a broken file never gives a picture."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode, decode_png, read_header, read_image_file
from dr_pipeline.fundus.formats.header import Header
from dr_pipeline.fundus.opencv import cv2
from tests.factories.drawings import (
    draw_fundus,
    encode,
    exif_block,
    gif,
    jpeg,
    pil_file,
    with_jpeg_exif,
)
from tests.factories.refusals import assert_refused

PICTURE = draw_fundus(240, 200, 118, 103, 95)
JPEG, PNG = jpeg(PICTURE), encode(PICTURE, ".png")
TIFF, BMP = encode(PICTURE, ".tiff"), encode(PICTURE, ".bmp")
WEBP = encode(PICTURE, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
FILES = {"jpeg": JPEG, "png": PNG, "tiff": TIFF, "bmp": BMP, "webp": WEBP}
BAD = {
    "zero bytes": (b"", "empty"),
    "one byte": (b"\xff", "not a JPEG"),
    "text named .jpg": (b"Dear colleague, please find the photograph attached.\n" * 40, "not a JPEG"),
    "html error page": (b"<!DOCTYPE html><html><body>404</body></html>", "not a JPEG"),
    "gif, animated": (gif(PICTURE), "not a JPEG"),
    "1×1": (encode(PICTURE[:1, :1], ".png"), "1×1"),
    "a strip": (encode(PICTURE[:40], ".png"), "240×40"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name):
    assert_refused(*BAD[name])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FILES)))
def test_a_file_cut_anywhere_is_refused(data, kind):
    whole = FILES[kind]
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ImageError):
        decode(whole[:cut], 64)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FILES)))
def test_changed_bytes_give_a_picture_or_a_reason(data, kind):
    damaged = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, min(400, len(damaged) - 1)))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(damaged), 64)
    except ImageError as error:
        assert error.what  # noqa: PT017
    else:
        assert decoded.pixels.dtype == np.uint8


@pytest.mark.parametrize("kind", sorted(FILES))
def test_every_format_gives_the_same_upright_rgb(kind):
    decoded = decode(FILES[kind], 200)
    assert (decoded.width, decoded.height, decoded.scale) == (240, 200, 1)
    assert read_header(FILES[kind]).channels == 3
    assert decoded.format == kind
    assert decoded.pixels.shape == (200, 240, 3)
    assert decoded.pixels.flags.c_contiguous
    difference = np.abs(decoded.pixels.astype(int) - PICTURE)
    assert difference.mean() < (3 if kind == "jpeg" else 1e-9)


def test_sixteen_bits_are_scaled_from_the_full_range():
    deep = PICTURE.astype(np.uint16) * 257
    for extension in (".png", ".tiff"):
        assert np.array_equal(decode(encode(deep, extension), 200).pixels, PICTURE)
    ramp = np.broadcast_to(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], (80, 256, 3)).copy()
    assert np.array_equal(decode(encode(ramp, ".png"), 80).pixels, np.rint(ramp / 257).astype(np.uint8))


@pytest.mark.parametrize("extension", [".png", ".tiff", ".webp"])
def test_transparency_lies_over_black(extension):
    alpha = np.zeros((200, 240, 1), np.uint8)
    alpha[:, 120:] = 255
    hidden = PICTURE.copy()
    hidden[:, :120] = 255  # what a drawing program leaves under transparent pixels
    parameters = (cv2.IMWRITE_WEBP_QUALITY, 101) if extension == ".webp" else ()
    pixels = decode(encode(np.dstack((hidden, alpha)), extension, *parameters), 200).pixels
    assert not pixels[:, :120].any()
    assert np.array_equal(pixels[:, 120:], PICTURE[:, 120:])


def test_a_palette_with_transparency_and_sixteen_bit_alpha_are_read():
    paletted = pil_file(PICTURE, "PNG", "P", transparency=0)
    assert decode(paletted, 200).pixels.shape == PICTURE.shape
    deep = np.dstack((PICTURE, np.full((200, 240), 255, np.uint8))).astype(np.uint16) * 257
    assert np.array_equal(decode(encode(deep, ".png"), 200).pixels, PICTURE)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".tiff"])
def test_grey_gives_three_equal_channels(extension):
    data = encode(PICTURE[..., 1], extension)
    assert read_header(data).channels == 1
    pixels = decode(data, 200).pixels
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_the_pixel_hash_is_of_pixels_not_of_bytes():
    plain, tagged = decode(JPEG, 200), decode(with_jpeg_exif(JPEG, exif_block(1)), 200)
    assert plain.pixel_hash == tagged.pixel_hash
    assert decode(PNG, 200).pixel_hash == decode(TIFF, 200).pixel_hash == decode(BMP, 200).pixel_hash
    assert decode(encode(PICTURE.transpose(1, 0, 2).copy(), ".png"), 200).pixel_hash != decode(PNG, 200).pixel_hash
    assert decode(JPEG, 50).pixel_hash != plain.pixel_hash


def test_the_header_is_read_without_decoding():
    header = read_header(with_jpeg_exif(JPEG, exif_block(6)))
    assert header == Header("jpeg", 240, 200, 3, 8, alpha=False, orientation=6)
    assert read_header(PNG) == Header("png", 240, 200, 3, 8, alpha=False, orientation=1)


def test_a_canvas_round_trips_through_png():
    assert np.array_equal(decode_png(PNG), PICTURE)


def test_a_file_that_cannot_be_read_is_an_image_error(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    for path, reason in ((tmp_path / "none.jpg", "missing"), (tmp_path, "regular"), (pipe, "regular"), (loop, "read")):
        with pytest.raises(ImageError, match=reason):
            read_image_file(path)
    huge = tmp_path / "huge.tif"
    with huge.open("wb") as stream:
        stream.truncate(5_000_000_000)  # sparse
    with pytest.raises(ImageError, match="too large"):
        read_image_file(huge)
    assert read_image_file(Path(__file__)).startswith(b'"""')
