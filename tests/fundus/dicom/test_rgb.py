"""Pixels of every depth, colour model and native encoding become the same RGB."""

import numpy as np
import pytest

from dr_pipeline.fundus.decode import decode, read_header
from dr_pipeline.fundus.opencv import cv2
from tests.factories import dicom as factory
from tests.factories.dicom import compressed, dicom, with_palette
from tests.factories.dicom_samples import DEPTHS, GREEN, GREY, NATIVE, PICTURE, YCBCR, near, stored
from tests.factories.drawings import encode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # silenced outside tests


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("bits", DEPTHS)
def test_native_pixels_are_exact(syntax, bits):
    for planar in (0, 1):
        decoded = decode(dicom(stored(PICTURE, bits), syntax=NATIVE[syntax], bits_stored=bits, planar=planar), 64)
        assert np.array_equal(decoded.pixels, PICTURE)
        assert (decoded.width, decoded.height, decoded.scale) == (240, 200, 1)
        assert decoded.format == "dicom"
        assert decoded.pixels.flags.c_contiguous
    grey = dicom(stored(GREEN, bits), syntax=NATIVE[syntax], bits_stored=bits)
    assert read_header(grey).channels == 1
    assert np.array_equal(decode(grey, 64).pixels, GREY)


def test_ybr_of_every_kind_becomes_rgb():
    assert near(decode(dicom(YCBCR, photometric="YBR_FULL"), 64), PICTURE, 1)
    assert near(decode(dicom(YCBCR, photometric="YBR_FULL", planar=1), 64), PICTURE, 1)
    assert near(decode(compressed(dicom(YCBCR, photometric="YBR_FULL"), factory.RLE), 64), PICTURE, 1)
    pairs = np.empty((200, 120, 4), np.uint8)
    pairs[..., 0], pairs[..., 1] = YCBCR[:, ::2, 0], YCBCR[:, 1::2, 0]
    pairs[..., 2:] = (YCBCR[:, ::2, 1:].astype(int) + YCBCR[:, 1::2, 1:]) // 2
    subsampled = dicom(PICTURE, photometric="YBR_FULL_422", PixelData=pairs.tobytes())
    assert near(decode(subsampled, 64), PICTURE, 2)


def test_monochrome1_is_inverted_and_monochrome2_is_not():
    for bits in DEPTHS:
        inverted = dicom(stored(255 - GREEN, bits), bits_stored=bits, photometric="MONOCHROME1")
        assert np.array_equal(decode(inverted, 64).pixels, GREY)
    stream = encode(255 - GREEN, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
    inside = dicom(GREEN, syntax=factory.JPEG_BASELINE, stream=stream, photometric="MONOCHROME1")
    assert near(decode(inside, 200), GREY)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_gives_colour(bits):
    index, fields = with_palette(PICTURE, bits=bits)
    decoded = decode(dicom(index, photometric="PALETTE COLOR", **fields), 64)
    top = np.stack((index >> 5, index >> 2 & 7, index & 3), axis=-1).astype(float)
    assert np.abs(decoded.pixels - top * 255 / (7, 7, 3)).max() <= 1
    packed = compressed(dicom(index, photometric="PALETTE COLOR", **fields), factory.RLE)
    # gdcm writes the high bytes of 16-bit entries only.
    assert np.abs(decode(packed, 64).pixels.astype(int) - decoded.pixels).max() <= (bits == 16)


def test_a_palettes_eight_bits_in_sixteen_bit_words_are_not_black():
    index, fields = with_palette(PICTURE, bits=8)
    wide, _ = with_palette(PICTURE, bits=16)
    for name in ("Red", "Green", "Blue"):
        narrow = np.frombuffer(fields[f"{name}PaletteColorLookupTableData"], np.uint8)
        fields[f"{name}PaletteColorLookupTableData"] = narrow.astype("<u2").tobytes()
        fields[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
    expected = decode(dicom(index, photometric="PALETTE COLOR", **with_palette(PICTURE)[1]), 64)
    assert np.array_equal(decode(dicom(wide, photometric="PALETTE COLOR", **fields), 64).pixels, expected.pixels)


def test_bits_above_the_stored_ones_are_cleared():
    overlaid = stored(GREEN, 12) | np.uint16(0xA000)
    assert np.array_equal(decode(dicom(overlaid, bits_stored=12), 64).pixels, GREY)


def test_eight_bits_in_big_endian_words_are_swapped():
    data = dicom(
        PICTURE.reshape(-1).view(">u2").astype("<u2").view(np.uint8).reshape(PICTURE.shape), syntax=factory.BIG_ENDIAN
    )
    at = data.index(b"\x7f\xe0\x00\x10OB")
    assert np.array_equal(decode(data[: at + 4] + b"OW" + data[at + 6 :], 64).pixels, PICTURE)
