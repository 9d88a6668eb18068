"""DICOM photographs in the one pixel path: every declared policy, and nothing broken gives a picture or a crash."""

import importlib
import io
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode, read_header
from dr_pipeline.fundus.dicom import elements as dicom_elements
from dr_pipeline.fundus.dicom import gdcm_worker as dicom_gdcm
from dr_pipeline.fundus.dicom.recognise import is_dicom, looks_like_dicom
from dr_pipeline.fundus.formats.header import Header
from dr_pipeline.fundus.opencv import cv2
from tests.factories import dicom as made
from tests.factories.dicom import PATIENT, SECRETS, compressed, deep_jpeg, dicom, with_palette
from tests.factories.drawings import draw_fundus, encode, exif_block, gif, jpeg, pil_file, with_jpeg_exif

# pydicom's warnings are silenced outside tests; pytest brings its own filters.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

PICTURE = draw_fundus(240, 200, 118, 103, 95)
GREEN = PICTURE[..., 1].copy()
GREY = np.repeat(GREEN[..., None], 3, axis=2)
YCBCR = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2YCrCb)[..., (0, 2, 1)]
JPEG = jpeg(PICTURE)
DICOM = dicom(PICTURE, **PATIENT)

NATIVE = {
    "implicit": made.IMPLICIT,
    "explicit": made.EXPLICIT,
    "deflated": made.DEFLATED,
    "big-endian": made.BIG_ENDIAN,
}
LOSSLESS = {
    "RLE": made.RLE,
    "JPEG lossless": made.JPEG_LOSSLESS,
    "JPEG lossless, first order": made.JPEG_LOSSLESS_SV1,
    "JPEG-LS": made.JPEG_LS,
    "JPEG-LS near": made.JPEG_LS_NEAR,
    "JPEG 2000 lossless": made.JPEG_2000_LOSSLESS,
    "JPEG 2000": made.JPEG_2000,
}
DEPTHS = {8: np.uint8, 10: np.uint16, 12: np.uint16, 16: np.uint16}


def stored(picture, bits):
    """The same picture in so many bits: its 8-bit values come back exactly."""
    return np.rint(picture.astype(np.float64) * ((1 << bits) - 1) / 255).astype(DEPTHS[bits])


def bare_jpeg(pixels):
    """A JPEG stream without JFIF mark, its components stored as they are given: 4:4:4, ids 1 to 3."""
    stream = pil_file(pixels, "JPEG", quality=95, subsampling=0, keep_rgb=True)
    for mark in (b"\xff\xee", b"\xff\xe0"):
        at = stream.find(mark)
        if at >= 0:
            stream = stream[:at] + stream[at + 2 + int.from_bytes(stream[at + 2 : at + 4]) :]
    for header, step in ((b"\xff\xc0", 3), (b"\xff\xda", 2)):
        at = stream.index(header) + (10 if header == b"\xff\xc0" else 5)
        stream = bytearray(stream)
        for number, name in enumerate(b"RGB"):
            assert stream[at + step * number] == name
            stream[at + step * number] = number + 1
        stream = bytes(stream)
    return stream


def near(decoded, picture, mean=3.0):
    return np.abs(decoded.pixels.astype(int) - picture).mean() < mean


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("bits", DEPTHS)
def test_native_pixels_come_out_exactly(syntax, bits):
    for planar in (0, 1):
        decoded = decode(dicom(stored(PICTURE, bits), syntax=NATIVE[syntax], bits_stored=bits, planar=planar), 64)
        assert np.array_equal(decoded.pixels, PICTURE)
        assert (decoded.width, decoded.height, decoded.scale) == (240, 200, 1)
        assert decoded.format == "dicom"
        assert decoded.pixels.flags.c_contiguous
    grey = dicom(stored(GREEN, bits), syntax=NATIVE[syntax], bits_stored=bits)
    assert read_header(grey).channels == 1
    assert np.array_equal(decode(grey, 64).pixels, GREY)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_streams_come_out_exactly(syntax):
    uid = LOSSLESS[syntax]
    assert np.array_equal(decode(compressed(dicom(PICTURE), uid), 64).pixels, PICTURE)
    grey = compressed(dicom(stored(GREEN, 12), bits_stored=12), uid)
    assert np.array_equal(decode(grey, 64).pixels, GREY)
    deep = compressed(dicom(stored(PICTURE, 16)), uid)
    assert np.array_equal(decode(deep, 64).pixels, PICTURE)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("syntax", [made.JPEG_BASELINE, made.JPEG_EXTENDED])
def test_a_jpeg_inside_is_the_jpeg_itself(syntax, photometric):
    """Reduced as a file is, hash and all: the same picture in both wrappings is one picture to the audit."""
    data = dicom(PICTURE, syntax=syntax, stream=JPEG, photometric=photometric)
    for canvas_px, scale in ((200, 1), (50, 2), (25, 4)):
        inside, plain = decode(data, canvas_px), decode(JPEG, canvas_px)
        assert inside.scale == scale
        assert inside.pixel_sha256 == plain.pixel_sha256
        assert (inside.format, plain.format) == ("dicom", "jpeg")


def test_a_jpegs_fragments_are_joined():
    middle = len(JPEG) // 2 & ~1
    data = dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=[JPEG[:middle], JPEG[middle:]], photometric="YBR_FULL_422")
    assert np.array_equal(decode(data, 200).pixels, decode(JPEG, 200).pixels)


def test_the_header_says_the_colours_of_a_silent_jpeg():
    rgb = dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=bare_jpeg(PICTURE), photometric="RGB")
    assert near(decode(rgb, 200), PICTURE)
    ycbcr = dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=bare_jpeg(YCBCR), photometric="YBR_FULL")
    assert near(decode(ycbcr, 200), PICTURE)


def test_a_stream_with_subsampled_chroma_is_not_rgb_whatever_the_header_says():
    subsampled = encode(PICTURE, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x221111)
    at = subsampled.index(b"\xff\xe0")
    silent = subsampled[:at] + subsampled[at + 18 :]  # without its JFIF mark
    for photometric in ("RGB", "YBR_FULL_422"):
        decoded = decode(dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=silent, photometric=photometric), 200)
        assert np.array_equal(decoded.pixels, decode(subsampled, 200).pixels)


def test_a_stream_is_a_jpeg_whatever_it_holds_at_the_place_of_dicoms_mark():
    """Else a file of files of files could exhaust the stack."""
    table = JPEG.index(b"\xff\xdb")
    for start in range(4):  # one of them falls on byte 128 of what libjpeg is given
        comment = (b"x" * start + b"DICM" * 99)[:396]
        stream = JPEG[:table] + b"\xff\xfe" + struct.pack(">H", 398) + comment + JPEG[table:]
        data = dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=stream)
        assert np.array_equal(decode(data, 200).pixels, decode(JPEG, 200).pixels)


def test_a_turn_inside_the_stream_is_not_dicoms():
    turned = dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=with_jpeg_exif(JPEG, exif_block(6)))
    assert np.array_equal(decode(turned, 200).pixels, decode(JPEG, 200).pixels)


@pytest.mark.parametrize("adobe", [None, 0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_twelve_bits_of_extended_jpeg(photometric, adobe):
    blocks = np.random.default_rng(3).integers(0, 4096, (10, 12, 3))
    full = np.kron(blocks, np.ones((8, 8, 1), int))
    data = dicom(
        full.astype(np.uint16),
        syntax=made.JPEG_EXTENDED,
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
    data = dicom(full, syntax=made.JPEG_EXTENDED, bits_stored=12, stream=deep_jpeg(blocks))
    assert np.array_equal(decode(data, 64).pixels[..., 0], np.rint(full * 255.0 / 4095))


def test_ybr_of_every_kind_becomes_rgb():
    assert near(decode(dicom(YCBCR, photometric="YBR_FULL"), 64), PICTURE, 1)
    assert near(decode(dicom(YCBCR, photometric="YBR_FULL", planar=1), 64), PICTURE, 1)
    assert near(decode(compressed(dicom(YCBCR, photometric="YBR_FULL"), made.RLE), 64), PICTURE, 1)
    pairs = np.empty((200, 120, 4), np.uint8)
    pairs[..., 0], pairs[..., 1] = YCBCR[:, ::2, 0], YCBCR[:, 1::2, 0]
    pairs[..., 2:] = (YCBCR[:, ::2, 1:].astype(int) + YCBCR[:, 1::2, 1:]) // 2
    subsampled = dicom(PICTURE, photometric="YBR_FULL_422", PixelData=pairs.tobytes())
    assert near(decode(subsampled, 64), PICTURE, 2)


def test_a_jpeg_2000_stream_may_be_boxed_padded_and_lossy():
    """As cameras' programs write it: a whole JP2 file as the frame, an odd byte after its end, irreversible."""
    boxed = encode(PICTURE, ".jp2", cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)
    for stream in (boxed, boxed + b"\xff", boxed + b"\0\0"):
        for photometric in ("RGB", "YBR_RCT"):
            data = dicom(PICTURE, syntax=made.JPEG_2000_LOSSLESS, stream=stream, photometric=photometric)
            assert np.array_equal(decode(data, 64).pixels, PICTURE)
    lossy = encode(PICTURE, ".jp2", cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 100)
    for photometric in ("RGB", "YBR_ICT"):
        data = dicom(PICTURE, syntax=made.JPEG_2000, stream=lossy, photometric=photometric)
        assert near(decode(data, 64), PICTURE)
    with pytest.raises(ImageError, match="truncated JPEG 2000"):
        decode(dicom(PICTURE, syntax=made.JPEG_2000, stream=boxed[:-500] + b"\xff\xd9"), 64)


@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_ICT"])
def test_jpeg_2000s_own_transform_is_undone_once(photometric):
    """gdcm writes the component transform and the header's name for it where the source says RGB."""
    data = compressed(dicom(PICTURE), made.JPEG_2000_LOSSLESS)
    assert b"YBR_RCT" in data or b"RGB" in data
    at = data.index(b"\x28\x00\x04\x00CS")
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    named = photometric.encode().ljust(8)
    renamed = data[: at + 6] + len(named).to_bytes(2, "little") + named + data[at + 8 + length :]
    assert np.array_equal(decode(renamed, 64).pixels, PICTURE)


def test_monochrome1_is_inverted_and_monochrome2_is_not():
    for bits in DEPTHS:
        inverted = dicom(stored(255 - GREEN, bits), bits_stored=bits, photometric="MONOCHROME1")
        assert np.array_equal(decode(inverted, 64).pixels, GREY)
    stream = encode(255 - GREEN, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
    inside = dicom(GREEN, syntax=made.JPEG_BASELINE, stream=stream, photometric="MONOCHROME1")
    assert near(decode(inside, 200), GREY)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_gives_colour(bits):
    index, fields = with_palette(PICTURE, bits=bits)
    decoded = decode(dicom(index, photometric="PALETTE COLOR", **fields), 64)
    top = np.stack((index >> 5, index >> 2 & 7, index & 3), axis=-1).astype(float)
    assert np.abs(decoded.pixels - top * 255 / (7, 7, 3)).max() <= 1
    packed = compressed(dicom(index, photometric="PALETTE COLOR", **fields), made.RLE)
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
        PICTURE.reshape(-1).view(">u2").astype("<u2").view(np.uint8).reshape(PICTURE.shape), syntax=made.BIG_ENDIAN
    )
    at = data.index(b"\x7f\xe0\x00\x10OB")
    assert np.array_equal(decode(data[: at + 4] + b"OW" + data[at + 6 :], 64).pixels, PICTURE)


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big-endian"])
def test_a_file_without_preamble_is_recognised_and_read(syntax, tmp_path):
    data = dicom(PICTURE, syntax=NATIVE[syntax], preamble=False)
    assert np.array_equal(decode(data, 64).pixels, PICTURE)
    (tmp_path / "IM0001").write_bytes(data)
    assert is_dicom(tmp_path / "IM0001")
    assert np.array_equal(decode(DICOM[128 + 4 :], 64).pixels, PICTURE)  # meta information, but no preamble


def test_nothing_else_counts_as_dicom(tmp_path):
    others = {
        "jpeg": JPEG,
        "png": encode(PICTURE, ".png"),
        "tiff": encode(PICTURE, ".tiff"),
        "gif": gif(PICTURE),
        "text": b"DICM is the mark of DICOM files.\n" * 100,
        "zeros": bytes(4096),
        "empty": b"",
        "eights": b"\x08\x00" * 2048,
        "random": np.random.default_rng(0).bytes(4096),
    }
    for name, data in others.items():
        (tmp_path / name).write_bytes(data)
        assert not is_dicom(tmp_path / name), name
    assert not is_dicom(tmp_path)
    assert not is_dicom(tmp_path / "missing")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_dicom(data):
    assert (
        not looks_like_dicom(data)
        or data[128:132] == b"DICM"
        or data.startswith(b"\x02\0\0\0UL")
        or data[:1] in b"\x08\0"
    )


def test_the_header_is_read_without_the_pixels():
    assert read_header(DICOM) == Header("dicom", 240, 200, 3, 8, alpha=False, orientation=1)
    whole = len(DICOM)
    assert read_header(dicom(stored(GREEN, 12), bits_stored=12)).bits == 12
    with pytest.raises(ImageError, match="truncated DICOM"):
        read_header(DICOM[: whole - 1000])


def inflating(size):
    """A deflated file whose data set is `size` zeros after a header of 65,000 × 65,000 px."""
    head = dicom(PICTURE, syntax=made.DEFLATED)
    meta = head[: 132 + 12 + int.from_bytes(head[140:144], "little")]
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"\x09\x00\x10\x00LO\x04\x00test" + b"\x09\x00\x01\x10OB\x00\x00" + size.to_bytes(4, "little")
    packed = [machine.compress(body)]
    packed += [machine.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)]
    return meta + b"".join(packed) + machine.flush()


SIDES = {"Rows": 50_000, "Columns": 50_000}
BAD = {
    "bomb, native": (dicom(PICTURE, **SIDES), "megapixels"),
    "bomb, JPEG": (dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=JPEG, **SIDES), "megapixels"),
    "bomb, JPEG 2000": (compressed(dicom(PICTURE), made.JPEG_2000), "megapixels"),
    "bomb, deflated": (inflating(200_000_000), "corrupt DICOM header|more bytes than"),
    "one pixel": (dicom(PICTURE[:1, :1]), "1×1"),
    "no pixels": (dicom(PICTURE, PixelData=None), "without pixels"),
    "float pixels": (dicom(PICTURE, PixelData=None, FloatPixelData=bytes(4)), "floating-point"),
    "double pixels": (dicom(PICTURE, PixelData=None, DoubleFloatPixelData=bytes(8)), "floating-point"),
    "several frames": (dicom(PICTURE, NumberOfFrames=2), "DICOM of 2 frames"),
    "signed": (dicom(PICTURE, PixelRepresentation=1), "signed"),
    "thirty-two bits": (dicom(PICTURE, BitsAllocated=32, BitsStored=32, HighBit=31), "32 of 32 bits"),
    "high bit elsewhere": (dicom(PICTURE.astype(np.uint16), HighBit=13), "low bits|not lie"),
    "other colours": (dicom(PICTURE, photometric="HSV"), "photometric"),
    "grey of three": (dicom(PICTURE, photometric="MONOCHROME2"), "photometric"),
    "no rows": (dicom(PICTURE, Rows=None), "Rows is absent"),
    "native, too short": (dicom(PICTURE, PixelData=PICTURE.tobytes()[:-100]), "truncated"),
    "4:2:2, not subsampled": (dicom(PICTURE, photometric="YBR_FULL_422"), "not subsampled"),
    "palette without tables": (dicom(GREEN, photometric="PALETTE COLOR"), "palette"),
    "CT": (dicom(PICTURE, Modality="CT", SOPClassUID=made.CT_IMAGE), r"another modality \(CT"),
    "MR": (dicom(PICTURE, Modality="MR"), r"another modality \(MR"),
    "OCT": (dicom(PICTURE, Modality="OPT", SOPClassUID=made.OPHTHALMIC_TOMOGRAPHY), r"OPT, ophthalmic tomography"),
    "ultrasound": (dicom(PICTURE, Modality="US"), "US, ultrasound"),
    "report": (dicom(PICTURE, Modality="SR", PixelData=None), "SR, structured report"),
    "a name for a modality": (dicom(PICTURE, Modality="ZYXWVUT"), "unknown term"),
    "OCT that says OP": (dicom(PICTURE, SOPClassUID=made.OPHTHALMIC_TOMOGRAPHY), "SOP class is Ophthalmic Tomography"),
    "capture of other": (dicom(PICTURE, Modality="OT", SOPClassUID=made.SECONDARY_CAPTURE), "OT, other"),
    "neither modality nor class": (dicom(PICTURE, Modality=None, SOPClassUID=None), "modality"),
    "MPEG": (dicom(PICTURE, syntax="1.2.840.10008.1.2.4.100", stream=JPEG), "unsupported transfer syntax: MPEG2"),
    "HTJ2K": (dicom(PICTURE, syntax="1.2.840.10008.1.2.4.201", stream=JPEG), "High-Throughput"),
    "JPEG, other sides": (dicom(PICTURE[:100], syntax=made.JPEG_BASELINE, stream=JPEG), "240×100 px of 3"),
    "JPEG, no stream": (dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=b"\0\0\0\0"), "no JPEG"),
    "JPEG, empty frame": (dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=[b""]), "frame is empty"),
    "JPEG, cut": (dicom(PICTURE, syntax=made.JPEG_BASELINE, stream=JPEG[:5000]), "truncated JPEG"),
    "JPEG-LS, no stream": (dicom(PICTURE, syntax=made.JPEG_LS, stream=JPEG[:2] + bytes(50)), "no JPEG"),
    "JPEG 2000, no stream": (dicom(PICTURE, syntax=made.JPEG_2000, stream=JPEG), "no JPEG 2000"),
    "RLE, no runs": (dicom(PICTURE, syntax=made.RLE, stream=bytes(64)), "run lengths"),
    "preamble alone": (bytes(128) + b"DICM", "no photograph"),
    "text after a preamble": (bytes(128) + b"DICM" + b"Dear colleague, " * 40, "corrupt|no photograph|truncated"),
}  # fmt: skip
# gdcm refuses to write such a header, so the codestream's own is changed with it.
BAD["bomb, JPEG 2000"] = (
    dicom(PICTURE, syntax=made.JPEG_2000, stream=b"\xff\x4f\xff\x51" + bytes(60) + b"\xff\xd9", **SIDES),
    "megapixels",
)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name):
    data, reason = BAD[name]
    start = time.perf_counter()
    with pytest.raises(ImageError, match=reason):
        decode(data, 64)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "fields",
    [
        {"Modality": "XC"},
        {"SOPClassUID": made.SECONDARY_CAPTURE},
        {"SOPClassUID": f"{made.SECONDARY_CAPTURE}.4"},
        {"Modality": None},
        {"SOPClassUID": None},
        {"SOPClassUID": "1.2.826.0.1.3680043.9.9999"},
        {"NumberOfFrames": 1},
    ],
)
def test_every_way_to_say_photograph_is_read(fields):
    assert np.array_equal(decode(dicom(PICTURE, **fields), 64).pixels, PICTURE)


SMALL = PICTURE[60:130, 80:150].copy()
FUZZED = {
    "native": dicom(SMALL, **PATIENT),
    "implicit": dicom(SMALL, syntax=made.IMPLICIT, **PATIENT),
    "big-endian": dicom(SMALL, syntax=made.BIG_ENDIAN, **PATIENT),
    "deflated": dicom(SMALL, syntax=made.DEFLATED, **PATIENT),
    "RLE": compressed(dicom(SMALL, **PATIENT), made.RLE),
    "JPEG": dicom(SMALL, syntax=made.JPEG_BASELINE, stream=jpeg(SMALL), **PATIENT),
}
ISOLATED = {
    "JPEG lossless": compressed(dicom(SMALL, **PATIENT), made.JPEG_LOSSLESS_SV1),
    "JPEG-LS": compressed(dicom(SMALL, **PATIENT), made.JPEG_LS),
    "JPEG 2000": compressed(dicom(SMALL, **PATIENT), made.JPEG_2000),
}


def picture_or_reason(data):
    message = "a picture"
    try:
        decoded = decode(data, 32)
        assert decoded.pixels.dtype == np.uint8
        assert decoded.pixels.shape[2] == 3
    except ImageError as error:
        message = str(error)
    assert message
    assert not any(secret in message for secret in SECRETS)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FUZZED)))
def test_changed_bytes_give_a_picture_or_a_reason_and_nothing_else(data, kind):
    damaged = bytearray(FUZZED[kind])
    end = data.draw(st.sampled_from([800, len(damaged)]))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(128, min(end, len(damaged)) - 1))] = data.draw(st.integers(0, 255))
    picture_or_reason(bytes(damaged))


@settings(max_examples=25, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(ISOLATED)))
def test_a_stream_that_kills_its_decoder_costs_no_more_than_its_file(data, kind):
    damaged = bytearray(ISOLATED[kind])
    start = damaged.index(b"\xfe\xff\x00\xe0")
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(start, min(start + 300, len(damaged) - 1)))] = data.draw(st.integers(0, 255))
    picture_or_reason(bytes(damaged))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FUZZED | ISOLATED)))
def test_a_file_cut_anywhere_is_refused(data, kind):
    whole = (FUZZED | ISOLATED)[kind]
    with pytest.raises(ImageError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 2))], 32)


def test_a_decoder_that_dies_or_hangs_gives_a_reason(monkeypatch, tmp_path):
    data = ISOLATED["JPEG-LS"]
    program = tmp_path / "program.py"
    monkeypatch.setattr(dicom_gdcm, "__file__", str(program))
    program.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ImageError, match="truncated or corrupt"):
        decode(data, 32)
    program.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(dicom_gdcm, "SECONDS", 0.2)
    with pytest.raises(ImageError, match="cannot be decoded within 0 s"):
        decode(data, 32)
    program.write_text("import sys; sys.exit(3)")
    with pytest.raises(ImageError, match="gdcm cannot be imported"):
        decode(data, 32)


def test_pydicom_is_loaded_for_dicom_only_and_says_nothing(tmp_path):
    odd = io.BytesIO(dicom(PICTURE, **PATIENT | {"PatientBirthDate": "Zyxwvut"}))
    (tmp_path / "odd.dcm").write_bytes(odd.getvalue()[:-5000])
    program = (
        "import logging, pathlib, sys\n"
        "logging.basicConfig(level=0)\n"
        "from dr_pipeline.fundus.decode import decode\n"
        "from dr_pipeline.errors import ImageError\n"
        "assert 'pydicom' not in sys.modules and 'gdcm' not in sys.modules\n"
        "try:\n    decode(pathlib.Path(sys.argv[1]).read_bytes(), 64)\n"
        "except ImageError as error:\n    print(error.what)\n"
        "assert 'pydicom' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, tmp_path / "odd.dcm"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("truncated DICOM file\n", "")


@pytest.mark.parametrize("tag", [0x00081115, 0x00281101])
def test_a_sequence_of_endless_empty_items_is_refused_soon(tag):
    opened = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, 0xFFFFFFFF)
    start = time.perf_counter()
    with pytest.raises(ImageError, match="more elements than any camera writes"):
        decode(DICOM[:132] + opened + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 400_000, 64)
    assert time.perf_counter() - start < 2


def test_without_pydicom_the_reason_says_so(monkeypatch):
    monkeypatch.setattr(dicom_elements, "_read", lambda *_: importlib.import_module("pydicom_that_is_absent"))
    with pytest.raises(ImageError, match="not installed"):
        decode(DICOM, 64)


def test_a_decoder_left_alone_ends_itself(tmp_path):
    """As where the run was killed while gdcm went in circles."""
    (tmp_path / "gdcm.py").write_text("while True:\n    pass\n")
    child = subprocess.Popen(
        [sys.executable, "-P", dicom_gdcm.__file__, "{}", "0.3"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert child.wait(10) != 0
