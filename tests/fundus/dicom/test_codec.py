"""Labels that contradict the content: what the pixels are decides, or the contradiction is named."""

import struct

import numpy as np
import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from tests.factories import dicom as factory
from tests.factories.dicom import compressed, dicom, stream_of
from tests.factories.dicom_samples import GREEN, JPEG, NATIVE, PICTURE, near

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # silenced outside tests

LABELS = (
    factory.EXPLICIT,
    factory.JPEG_BASELINE,
    factory.JPEG_LOSSLESS,
    factory.JPEG_LS,
    factory.JPEG_2000,
    factory.RLE,
)
STREAMS = {
    "JPEG lossless": stream_of(compressed(dicom(PICTURE), factory.JPEG_LOSSLESS_SV1)),
    "JPEG-LS": stream_of(compressed(dicom(PICTURE), factory.JPEG_LS)),
    "JPEG 2000": stream_of(compressed(dicom(PICTURE), factory.JPEG_2000_LOSSLESS)),
    "RLE": stream_of(compressed(dicom(PICTURE), factory.RLE)),
}


def labelled(data, uid):
    """The same file, whose meta information says another transfer syntax."""
    at = data.index(b"\x02\x00\x10\x00UI")
    (length,) = struct.unpack_from("<H", data, at + 6)
    value = uid.encode() + b"\0" * (len(uid) % 2)
    data = data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :]
    group = data.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    (size,) = struct.unpack_from("<I", data, group)
    return data[:group] + struct.pack("<I", size + len(value) - length) + data[group + 4 :]


@pytest.mark.parametrize("says", LABELS)
@pytest.mark.parametrize("is_in", STREAMS)
def test_another_codec_than_the_syntax_says_is_read(is_in, says):
    data = labelled(dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=STREAMS[is_in]), says)
    assert np.array_equal(decode(data, 64).pixels, PICTURE)


@pytest.mark.parametrize("says", LABELS)
def test_a_jpeg_under_another_syntax_is_the_jpeg_file(says):
    data = labelled(dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=JPEG, photometric="YBR_FULL_422"), says)
    assert np.array_equal(decode(data, 200).pixels, decode(JPEG, 200).pixels)


def test_a_jpeg_that_is_not_encapsulated_is_read():
    data = dicom(PICTURE, PixelData=JPEG + b"\0" * (len(JPEG) % 2))
    assert np.array_equal(decode(data, 200).pixels, decode(JPEG, 200).pixels)


@pytest.mark.parametrize("says", LABELS)
def test_native_pixels_under_a_compressed_syntax_are_read(says):
    assert np.array_equal(decode(labelled(dicom(PICTURE), says), 64).pixels, PICTURE)


@pytest.mark.parametrize("says", [factory.IMPLICIT, factory.EXPLICIT, factory.BIG_ENDIAN])
@pytest.mark.parametrize("is_in", ["implicit", "explicit", "big-endian"])
def test_the_data_set_s_own_encoding_counts(is_in, says):
    """Big-endian pixels included: words are swapped as they are written."""
    for picture in (PICTURE, PICTURE.astype(np.uint16) * 257):
        assert np.array_equal(decode(labelled(dicom(picture, syntax=NATIVE[is_in]), says), 64).pixels, PICTURE)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_colour_photograph_of_one_sample_is_read_as_of_three(kind):
    """OCT-Converter 0.7 writes so: RGB, one sample a pixel, 8-bit values in 16 bits, no planar configuration."""
    data = dicom(PICTURE.astype(kind), SamplesPerPixel=1, PlanarConfiguration=None)
    assert np.array_equal(decode(data, 64).pixels, PICTURE)
    jpeg = dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=JPEG, photometric="RGB", SamplesPerPixel=1)
    assert near(decode(jpeg, 200), PICTURE)


def test_grey_of_eight_bits_in_sixteen_is_not_black():
    pixels = decode(dicom(GREEN.astype(np.uint16)), 64).pixels
    assert np.array_equal(pixels[..., 1], GREEN)


CONTRADICTIONS = {
    "RGB of one sample, and so are its pixels": (dicom(GREEN, photometric="RGB"), "one or the other"),
    "colours of another codec": (
        dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=STREAMS["RLE"], photometric="YBR_FULL_422"),
        "colours are not known",
    ),
    "fragments of nothing known": (
        labelled(dicom(PICTURE, syntax=factory.RLE, stream=b"\1\2\3\4" * 30), factory.EXPLICIT),
        "how its pixels are compressed",
    ),
    "bare bytes under a compressed syntax": (
        labelled(dicom(PICTURE, PixelData=bytes(1000)), factory.JPEG_2000),
        "contradict each other",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_that_cannot_be_resolved_is_named_and_not_called_damage(name):
    data, reason = CONTRADICTIONS[name]
    with pytest.raises(ImageError, match=reason) as caught:
        decode(data, 64)
    assert "corrupt" not in str(caught.value)
    assert "truncated" not in str(caught.value)
