"""JPEG: truncation, missing scans and endless headers are refused; every kind of scan is read."""

import re
import struct
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import MIN_OVERSAMPLING, decode, jpeg_scale
from dr_pipeline.fundus.formats.header import Header
from dr_pipeline.fundus.opencv import cv2
from tests.factories.drawings import (
    draw_fundus,
    encode,
    exif_block,
    jpeg,
    jpeg_claiming,
    pil_file,
    with_jpeg_exif,
)
from tests.factories.refusals import assert_refused

PICTURE = draw_fundus(240, 200, 118, 103, 95)
JPEG = jpeg(PICTURE)
PROGRESSIVE = encode(PICTURE, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
END = b"\xff\xd9"  # put after a cut


def after_scans(data, number):
    """Where the data of so many scans end: at the next segment that is no restart."""
    at = 2
    for _ in range(number):
        at = data.index(b"\xff\xda", at) + 2
    return re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]").search(data, at).start()


def in_three_scans(data):
    """A sequential JPEG whose components come one after another (T.81, A.2.2), made from grey ones; no JFIF mark."""
    grey = [jpeg(np.ascontiguousarray(data[..., k])) for k in range(3)]
    frame = grey[0].index(b"\xff\xc0")
    sides = grey[0][frame + 5 : frame + 9]
    start = b"\xff\xc0" + struct.pack(">HB", 17, 8) + sides + b"\3" + b"".join(bytes([k, 0x11, 0]) for k in b"RGB")
    out = grey[0][:2] + grey[0][20:frame] + start + grey[0][frame + 13 : grey[0].index(b"\xff\xda")]
    for name, plane in zip(b"RGB", grey, strict=True):
        scan = plane.index(b"\xff\xda")
        out += b"\xff\xda" + bytes([0, 8, 1, name, 0, 0, 63, 0]) + plane[scan + 10 : -2]
    return out + b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


THREE_SCANS = in_three_scans(PICTURE)
# Each takes half a minute or more where every entry is looked at.
FRAME = segment(0xC2, struct.pack(">BHHB", 8, 600, 600, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0)))

BAD = {
    "jpeg signature alone": (b"\xff\xd8\xff", "truncated JPEG"),
    "jpeg cut in its header": (JPEG[:100], "truncated JPEG"),
    "jpeg cut at 30 %": (JPEG[: len(JPEG) * 3 // 10], "truncated JPEG"),
    "jpeg cut at 95 %": (JPEG[: len(JPEG) * 95 // 100], "truncated JPEG"),
    "jpeg without its last byte": (JPEG[:-1], "truncated JPEG"),
    "progressive jpeg cut in half": (PROGRESSIVE[: len(PROGRESSIVE) // 2], "truncated JPEG"),
    "jpeg cut, end marker added": (JPEG[: len(JPEG) // 2] + b"\xff\xd9", "truncated JPEG"),
    "jpeg cut, thumbnail whole": (with_jpeg_exif(JPEG[:-900], exif_block(1) + JPEG[-900:]), "truncated JPEG"),
    "jpeg, rest zeros": (JPEG[: len(JPEG) // 2] + bytes(len(JPEG) // 2), "truncated JPEG"),
    "jpeg of random segments": (JPEG[:20] + bytes(range(256)) * 8, "JPEG"),
    "jpeg without a frame": (b"\xff\xd8\xff\xda\0\x02\xff\xd9", "0×0"),
    "progressive jpeg cut, end marker added": (PROGRESSIVE[: len(PROGRESSIVE) // 5] + END, "truncated JPEG"),
    "progressive jpeg without its last scan": (PROGRESSIVE[: after_scans(PROGRESSIVE, 9)] + END, "truncated JPEG"),
    "jpeg of three scans cut after one": (THREE_SCANS[: after_scans(THREE_SCANS, 1)] + END, "truncated JPEG"),
    "cmyk jpeg": (pil_file(PICTURE, "JPEG", "CMYK"), "CMYK"),
    "jpeg bomb": (jpeg_claiming(JPEG, 65_000, 65_000), "megapixels"),
}  # fmt: skip
SLOW = {
    "20,000 scans of 255 components": (
        b"\xff\xd8" + FRAME + segment(0xDA, b"\xff" + bytes((7, 0)) * 255 + b"\0\x3f\0") * 20_000 + END,
        "scans: no camera writes so many",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name):
    assert_refused(*BAD[name])


@pytest.mark.parametrize("name", SLOW)
def test_a_header_that_would_take_minutes_is_refused_at_once(name):
    assert_refused(*SLOW[name], within_s=1)


def test_progressive_jpegs_and_those_of_several_scans_are_read():
    assert np.abs(decode(PROGRESSIVE, 200).pixels.astype(int) - PICTURE).mean() < 3
    assert np.abs(decode(THREE_SCANS, 200).pixels.astype(int) - PICTURE).mean() < 3


def test_trailing_bytes_after_the_end_are_tolerated():
    assert np.array_equal(decode(JPEG + b"\0" * 500, 200).pixels, decode(JPEG, 200).pixels)


@given(width=st.integers(64, 12_000), height=st.integers(64, 12_000), canvas_px=st.integers(64, 2048))
def test_the_reduced_side_stays_twice_the_canvas(width, height, canvas_px):
    scale = jpeg_scale(Header("jpeg", width, height, 3, 8, alpha=False, orientation=1), canvas_px)
    shorter = min(width, height)
    assert scale in (1, 2, 4)
    assert scale == 1 or shorter / scale >= MIN_OVERSAMPLING * canvas_px
    assert scale == 4 or shorter // (2 * scale) < MIN_OVERSAMPLING * canvas_px  # no slower than it must be
    assert jpeg_scale(Header("png", width, height, 3, 8, alpha=False, orientation=1), canvas_px) == 1


def test_a_bomb_is_refused_before_it_is_decoded():
    start = time.perf_counter()
    for name in (name for name in BAD if "bomb" in name):
        with pytest.raises(ImageError):
            decode(BAD[name][0], 64)
    assert time.perf_counter() - start < 0.05
