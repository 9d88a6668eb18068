"""JPEG, JPEG-LS and JPEG 2000 streams: exact where lossless, in the right colours, and complete."""

import struct

import numpy as np
import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from tests.factories import dicom as factory
from tests.factories.dicom import compressed, deep_jpeg, dicom
from tests.factories.dicom_samples import GREEN, GREY, JPEG, LOSSLESS, PICTURE, YCBCR, bare_jpeg, near, stored
from tests.factories.drawings import encode, exif_block, with_jpeg_exif

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # silenced outside tests


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_streams_are_exact(syntax):
    uid = LOSSLESS[syntax]
    assert np.array_equal(decode(compressed(dicom(PICTURE), uid), 64).pixels, PICTURE)
    grey = compressed(dicom(stored(GREEN, 12), bits_stored=12), uid)
    assert np.array_equal(decode(grey, 64).pixels, GREY)
    deep = compressed(dicom(stored(PICTURE, 16)), uid)
    assert np.array_equal(decode(deep, 64).pixels, PICTURE)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("syntax", [factory.JPEG_BASELINE, factory.JPEG_EXTENDED])
def test_an_encapsulated_jpeg_decodes_like_the_jpeg_file(syntax, photometric):
    """Reduced as a file is, hash and all: the same picture in both wrappings is one picture to the audit."""
    data = dicom(PICTURE, syntax=syntax, stream=JPEG, photometric=photometric)
    for canvas_px, scale in ((200, 1), (50, 2), (25, 4)):
        inside, plain = decode(data, canvas_px), decode(JPEG, canvas_px)
        assert inside.scale == scale
        assert inside.pixel_hash == plain.pixel_hash
        assert (inside.format, plain.format) == ("dicom", "jpeg")


def test_the_fragments_of_a_jpeg_are_joined():
    middle = len(JPEG) // 2 & ~1
    data = dicom(
        PICTURE, syntax=factory.JPEG_BASELINE, stream=[JPEG[:middle], JPEG[middle:]], photometric="YBR_FULL_422"
    )
    assert np.array_equal(decode(data, 200).pixels, decode(JPEG, 200).pixels)


def test_the_header_decides_the_colours_of_an_unmarked_jpeg():
    rgb = dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=bare_jpeg(PICTURE), photometric="RGB")
    assert near(decode(rgb, 200), PICTURE)
    ycbcr = dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=bare_jpeg(YCBCR), photometric="YBR_FULL")
    assert near(decode(ycbcr, 200), PICTURE)


def test_a_stream_with_subsampled_chroma_is_never_rgb():
    subsampled = encode(PICTURE, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x221111)
    at = subsampled.index(b"\xff\xe0")
    silent = subsampled[:at] + subsampled[at + 18 :]  # without its JFIF mark
    for photometric in ("RGB", "YBR_FULL_422"):
        decoded = decode(dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=silent, photometric=photometric), 200)
        assert np.array_equal(decoded.pixels, decode(subsampled, 200).pixels)


def test_a_stream_with_dicm_at_byte_128_is_still_a_jpeg():
    """Else a file of files of files could exhaust the stack."""
    table = JPEG.index(b"\xff\xdb")
    for start in range(4):  # one of them falls on byte 128 of what libjpeg is given
        comment = (b"x" * start + b"DICM" * 99)[:396]
        stream = JPEG[:table] + b"\xff\xfe" + struct.pack(">H", 398) + comment + JPEG[table:]
        data = dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=stream)
        assert np.array_equal(decode(data, 200).pixels, decode(JPEG, 200).pixels)


def test_an_orientation_inside_the_stream_is_ignored():
    turned = dicom(PICTURE, syntax=factory.JPEG_BASELINE, stream=with_jpeg_exif(JPEG, exif_block(6)))
    assert np.array_equal(decode(turned, 200).pixels, decode(JPEG, 200).pixels)


@pytest.mark.parametrize("adobe", [None, 0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_twelve_bits_of_extended_jpeg(photometric, adobe):
    blocks = np.random.default_rng(3).integers(0, 4096, (10, 12, 3))
    full = np.kron(blocks, np.ones((8, 8, 1), int))
    data = dicom(
        full.astype(np.uint16),
        syntax=factory.JPEG_EXTENDED,
        bits_stored=12,
        photometric=photometric,
        stream=deep_jpeg(blocks, adobe=adobe),
    )
    expected = np.rint(full * 255 / 4095).astype(np.uint8)
    if adobe == 1 or (adobe is None and photometric == "YBR_FULL"):
        expected = cv2.cvtColor(np.ascontiguousarray(expected[..., (0, 2, 1)]), cv2.COLOR_YCrCb2RGB)
    assert np.abs(decode(data, 64).pixels.astype(int) - expected).max() <= 1


def test_twelve_grey_bits_of_extended_jpeg():
    blocks = np.arange(0, 4096, 4096 // 120)[:120].reshape(10, 12, 1)
    full = np.kron(blocks[..., 0], np.ones((8, 8), int)).astype(np.uint16)
    data = dicom(full, syntax=factory.JPEG_EXTENDED, bits_stored=12, stream=deep_jpeg(blocks))
    assert np.array_equal(decode(data, 64).pixels[..., 0], np.rint(full * 255.0 / 4095))


def test_a_jpeg_2000_stream_may_be_boxed_padded_and_lossy():
    """As cameras' programs write it: a whole JP2 file as the frame, an odd byte after its end, irreversible."""
    boxed = encode(PICTURE, ".jp2", cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)
    for stream in (boxed, boxed + b"\xff", boxed + b"\0\0"):
        for photometric in ("RGB", "YBR_RCT"):
            data = dicom(PICTURE, syntax=factory.JPEG_2000_LOSSLESS, stream=stream, photometric=photometric)
            assert np.array_equal(decode(data, 64).pixels, PICTURE)
    lossy = encode(PICTURE, ".jp2", cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 100)
    for photometric in ("RGB", "YBR_ICT"):
        data = dicom(PICTURE, syntax=factory.JPEG_2000, stream=lossy, photometric=photometric)
        assert near(decode(data, 64), PICTURE)
    with pytest.raises(ImageError, match="truncated JPEG 2000"):
        decode(dicom(PICTURE, syntax=factory.JPEG_2000, stream=boxed[:-500] + b"\xff\xd9"), 64)


@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_ICT"])
def test_jpeg_2000_s_component_transform_is_undone_once(photometric):
    """gdcm writes the component transform and the header's name for it where the source says RGB."""
    data = compressed(dicom(PICTURE), factory.JPEG_2000_LOSSLESS)
    assert b"YBR_RCT" in data or b"RGB" in data
    at = data.index(b"\x28\x00\x04\x00CS")
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    named = photometric.encode().ljust(8)
    renamed = data[: at + 6] + len(named).to_bytes(2, "little") + named + data[at + 8 + length :]
    assert np.array_equal(decode(renamed, 64).pixels, PICTURE)
