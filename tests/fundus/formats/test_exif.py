"""All eight orientations, in every format that has them; a corrupt tag counts as upright."""

import struct

import numpy as np
import pytest

from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from tests.factories.drawings import (
    draw_fundus,
    encode,
    exif_block,
    jpeg,
    pil_file,
    plain_tiff,
    unturned,
    with_jpeg_exif,
    with_png_chunk,
)

PICTURE = draw_fundus(240, 200, 118, 103, 95)
JPEG = jpeg(PICTURE)
PNG = encode(PICTURE, ".png")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_are_applied_exactly_once(orientation, order):
    stored = unturned(PICTURE, orientation)
    block = exif_block(orientation, order)
    exact = decode(with_png_chunk(encode(stored, ".png"), b"eXIf", block), 200)
    assert np.array_equal(exact.pixels, PICTURE)
    assert (exact.width, exact.height) == (240, 200)
    lossy = decode(with_jpeg_exif(jpeg(stored), block), 200)
    assert np.abs(lossy.pixels.astype(int) - PICTURE).mean() < 3
    webp = decode(pil_file(stored, "WEBP", lossless=True, exif=b"Exif\0\0" + block), 200)
    assert np.array_equal(webp.pixels, PICTURE)
    for pixels in (stored, stored.astype(np.uint16) * 257):
        assert np.array_equal(decode(plain_tiff([pixels], orientation=orientation), 200).pixels, PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_equals_opencv_s_also_when_reduced(orientation):
    data = with_jpeg_exif(jpeg(unturned(PICTURE, orientation)), exif_block(orientation))
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)[..., ::-1]
    ours = decode(data, 50)
    assert ours.scale == 2
    assert (ours.width, ours.height) == (240, 200)
    assert np.array_equal(ours.pixels, theirs)


@pytest.mark.parametrize("block", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"\0" * 40, exif_block(0), exif_block(9)])
def test_a_corrupt_exif_block_counts_as_upright(block):
    assert np.array_equal(decode(with_jpeg_exif(JPEG, block), 200).pixels, decode(JPEG, 200).pixels)


@pytest.mark.parametrize("block", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"\0" * 40, exif_block(0), exif_block(9)])
def test_a_corrupt_exif_block_counts_as_upright_in_png_webp_and_tiff_too(block):
    assert np.array_equal(decode(with_png_chunk(PNG, b"eXIf", block), 200).pixels, PICTURE)
    webp = pil_file(PICTURE, "WEBP", lossless=True, exif=b"Exif\0\0" + block)
    assert np.array_equal(decode(webp, 200).pixels, PICTURE)
    for orientation in (0, 9, 65_535):
        assert np.array_equal(decode(plain_tiff([PICTURE], orientation=orientation), 200).pixels, PICTURE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "item"), [(1, "B3x"), (4, "I"), (9, "i")])
def test_an_orientation_of_another_whole_number_type_is_read(kind, item, order):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    block = mark + struct.pack(f"{order}IHHHI{item}I", 8, 1, 0x0112, kind, 1, 6, 0)
    stored = unturned(PICTURE, 6)
    assert np.array_equal(decode(with_png_chunk(encode(stored, ".png"), b"eXIf", block), 200).pixels, PICTURE)
    webp = decode(pil_file(stored, "WEBP", lossless=True, exif=b"Exif\0\0" + block), 200)
    assert np.array_equal(webp.pixels, PICTURE)
    assert np.abs(decode(with_jpeg_exif(jpeg(stored), block), 200).pixels.astype(int) - PICTURE).mean() < 3


def test_a_fraction_is_no_orientation():
    block = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 5, 1, 6, 0)
    assert np.array_equal(decode(with_png_chunk(PNG, b"eXIf", block), 200).pixels, PICTURE)
