"""What libjpeg warns of decides, and is not printed; what trails a picture is named and not counted."""

import io
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from dr_pipeline.fundus.pixel_path import PixelPath
from dr_pipeline.schema import Status
from tests.factories import zoo
from tests.factories.drawings import draw_fundus, encode, exif_block, jpeg, with_jpeg_exif

PICTURE = draw_fundus(640, 480, 320, 240, 230)
END = b"\xff\xd9"


def encoded(**options):
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG", **options)
    return buffer.getvalue()


ENCODINGS = {
    "baseline": encoded(quality=92),
    "4:4:4": encoded(quality=92, subsampling=0),
    "optimised": encoded(quality=75, optimize=True),
    "progressive": encoded(quality=90, progressive=True),
    "restart": encoded(quality=90, restart_marker_rows=1),
    "few restarts": encoded(quality=90, restart_marker_rows=10),
}
BASELINE = ENCODINGS["baseline"]
DISC = np.hypot(*np.ogrid[-240:240, -320:320]) < 230


def with_byte(data, at, value):
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_whole_files_give_opencv_s_pixels(encoding, scale):
    data = ENCODINGS[encoding]
    flags = {1: cv2.IMREAD_COLOR_BGR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}[scale]
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), flags)[..., ::-1]
    ours = decode(data, 240 // scale)
    assert (ours.scale, ours.doubt, ours.notes) == (scale, "", ())
    assert np.array_equal(ours.pixels, theirs)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_visible_damage_ends_in_a_reason_or_a_doubt(data):
    """Sectors and larger blocks, anywhere in the scan; of single bytes see reports/benchmarks/damage.json."""
    whole = ENCODINGS[data.draw(st.sampled_from(sorted(ENCODINGS)))]
    size = data.draw(st.sampled_from([512, 4096]))
    at = data.draw(st.integers(whole.index(b"\xff\xda") + 20, len(whole) * 9 // 10))
    filling = data.draw(st.sampled_from([bytes(size), b"", b"\xff" * size, whole[5000 : 5000 + size]]))
    damaged = whole[:at] + filling + whole[at + size :]
    try:
        image = decode(damaged, 240)
    except ImageError as error:
        assert error.what  # noqa: PT017
        return
    difference = np.abs(image.pixels.astype(int) - decode(whole, 240).pixels).max(axis=2) > 8
    assert image.doubt or difference[DISC].mean() <= 0.01


@pytest.mark.parametrize("progressive", [False, True])
def test_nothing_is_printed(progressive, capfd):
    data = ENCODINGS["progressive" if progressive else "baseline"]
    middle = len(data) // 2
    for damaged in (data[:middle] + END, data[:middle] + b"\xff\xd9\xff\x00" * 90 + data[middle + 700 :]):
        with pytest.raises(ImageError, match="truncated JPEG file"):
            decode(damaged, 240)
    with pytest.raises(ImageError, match="libjpeg"):
        decode(BASELINE[:-900] + END, 240)
    assert capfd.readouterr() == ("", "")


def test_a_doubtful_photograph_goes_to_a_person():
    data = zoo.photograph()
    surplus = data[:-2] + b"\x28\xa2\x8a\x5a" * 5 + END
    assert "left over" in decode(surplus, 256).doubt
    quality = PixelPath(256).process(surplus).quality
    assert (quality.status, quality.reasons, quality.score) == (Status.UNGRADABLE, ("damaged",), 0.0)


@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_padding_before_the_end_is_no_fault(filler):
    image = decode(BASELINE[:-2] + filler * 60 + END, 240)
    assert (image.doubt, image.notes) == ("", ())
    assert np.array_equal(image.pixels, decode(BASELINE, 240).pixels)


def test_a_mark_that_libjpeg_does_not_know_changes_nothing():
    at = BASELINE.index(b"JFIF\0") + 5
    newer = with_byte(BASELINE, at, 3)
    assert np.array_equal(decode(newer, 240).pixels, decode(BASELINE, 240).pixels)
    with pytest.raises(ImageError, match="damaged or truncated"):
        decode(newer[: len(newer) // 2] + END, 240)


def test_unusual_sampling_is_refused_by_name():
    frame = BASELINE.index(b"\xff\xc0")
    with pytest.raises(ImageError, match="chroma sampling"):
        decode(with_byte(BASELINE, frame + 11, 0x31), 240)


def test_pictures_whose_last_rows_are_grey_are_whole():
    """The ground of enhanced photographs is what libjpeg fills a lost part with."""
    grey = PICTURE.copy()
    grey[~DISC] = 128
    grey[-16:] = 128
    assert np.abs(decode(jpeg(grey), 240).pixels.astype(int) - grey).mean() < 3
    letterbox = np.pad(PICTURE, ((80, 80), (0, 0), (0, 0)), constant_values=128)
    assert decode(jpeg(letterbox), 240).doubt == ""


MOVIE = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mp42", 0, b"isom", b"mp42") + b"\xff\xda\xff\xc0" * 2000
OTHER = jpeg(np.ascontiguousarray(PICTURE[::-1]))
TRAILING = {
    "a motion photo's video": (MOVIE, "a video"),
    "a video behind a maker's block": (b"MotionPhoto_Data" + MOVIE, "a video"),
    "a second picture": (OTHER, "another picture"),
    "pictures after padding (MPF)": (bytes(300) + OTHER + OTHER, "another picture"),
    "a thumbnail": (encode(PICTURE[::4, ::4].copy(), ".jpg"), "another picture"),
    "bytes of a maker": (b"SEFH\1\0" + bytes(range(1, 200)), "unknown data"),
    "scans of no picture": (b"\x5a" + b"\xff\xda" * 5000, "unknown data"),
    "a cut picture": (OTHER[: len(OTHER) // 2], "another picture"),
}


@pytest.mark.parametrize("name", TRAILING)
@pytest.mark.parametrize("encoding", ["baseline", "progressive"])
def test_only_the_first_picture_is_read_and_the_rest_is_named(name, encoding):
    rest, kind = TRAILING[name]
    image = decode(ENCODINGS[encoding] + rest, 240)
    assert np.array_equal(image.pixels, decode(ENCODINGS[encoding], 240).pixels)
    assert image.doubt == ""
    assert re.search(kind, *image.notes)


def test_trailing_data_is_a_remark_in_the_index():
    plain = PixelPath(256).process(zoo.photograph()).quality
    trailing = PixelPath(256).process(zoo.photograph() + MOVIE).quality
    assert trailing.status is Status.SCORED
    assert trailing.reasons == (*plain.reasons, "trailing_data")
    assert trailing.score == plain.score
    assert PixelPath(256).process(zoo.photograph() + bytes(5000)).quality == plain


def test_bytes_before_a_picture_are_named():
    with pytest.raises(ImageError, match="128 other bytes come before"):
        decode(bytes(128) + BASELINE, 240)
    with pytest.raises(ImageError, match="3 other bytes come before"):
        decode(b"\xef\xbb\xbf" + BASELINE, 240)


def test_the_first_of_two_exif_blocks_counts():
    turned = with_jpeg_exif(with_jpeg_exif(BASELINE, exif_block(8)), exif_block(6))
    assert decode(turned, 240).pixels.shape == (640, 480, 3)
    assert np.array_equal(decode(turned, 240).pixels, decode(with_jpeg_exif(BASELINE, exif_block(6)), 240).pixels)
    silent = with_jpeg_exif(with_jpeg_exif(BASELINE, exif_block(6)), b"II*\0\x08\0\0\0\0\0\0\0\0\0")
    assert np.array_equal(decode(silent, 240).pixels, decode(BASELINE, 240).pixels)
