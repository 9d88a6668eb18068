"""A progressive JPEG whose scans end with their last block is whole; one decoded out of step is noticed."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.formats import jpeg_scans
from dr_pipeline.fundus.formats.jpeg_scans import doubt_of_scans
from tests.factories.drawings import draw_fundus

PICTURE = draw_fundus(640, 480, 320, 240, 230)
NOISY = np.clip(PICTURE + np.random.default_rng(3).normal(0, 12, PICTURE.shape), 0, 255).astype(np.uint8)
SCAN = b"\xff\xda"


def progressive(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", progressive=True, **options)
    return buffer.getvalue()


WHOLE = progressive(PICTURE, quality=90)
SMALL = progressive(draw_fundus(320, 240, 160, 120, 115), quality=90)
SMALL_PIXELS = decode(SMALL, 120).pixels
DISC = np.hypot(*np.ogrid[-120:120, -160:160]) < 115


def with_size(data, width=640, height=480):
    """The file with another size in its frame: its scans then have more or fewer blocks than they should."""
    at = data.index(b"\xff\xc2") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def scan_ends(data):
    """Where the tables or the end marker behind each scan begin."""
    ends, at = [], data.index(SCAN)
    while at >= 0:
        ends.append(min(end for end in (data.find(mark, at) for mark in (b"\xff\xc4", b"\xff\xd9")) if end >= 0))
        at = data.find(SCAN, at + 2)
    return ends


@pytest.mark.parametrize("pixels", [PICTURE, NOISY, PICTURE[:477, :633], PICTURE[..., 1], np.zeros_like(PICTURE)])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 20},
        {"quality": 97, "subsampling": 0},
        {"quality": 85, "subsampling": 1},
        {"quality": 90, "restart_marker_rows": 1},
        {"quality": 90, "restart_marker_blocks": 7},
    ],
)
def test_a_whole_file_is_not_doubted(pixels, options):
    assert doubt_of_scans(progressive(np.ascontiguousarray(pixels), **options)) == ""


@settings(max_examples=30, deadline=None)
@given(width=st.integers(64, 120), height=st.integers(64, 120), quality=st.integers(1, 100), seed=st.integers(0, 9))
def test_nor_one_of_noise(width, height, quality, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert doubt_of_scans(progressive(noise, quality=quality)) == ""


@pytest.mark.parametrize("height", [464, 448, 320, 496, 960])
def test_scans_of_too_many_or_too_few_blocks_are_doubted(height):
    assert "last block" in doubt_of_scans(with_size(WHOLE, height=height))


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 4}])
@pytest.mark.parametrize("bits", [0b0, 0b1])
def test_unused_bits_are_equal_in_all_scans(options, bits):
    data = progressive(PICTURE, quality=90, **options)
    for end in scan_ends(data):
        surplus = data[:end] + bytes([bits]) + data[end:]
        assert "last block" in doubt_of_scans(surplus)


def test_fill_bytes_before_a_marker_are_no_fault():
    for end in scan_ends(WHOLE):
        assert doubt_of_scans(WHOLE[:end] + b"\xff\xff" + WHOLE[end:]) == ""


def test_a_scan_without_data_is_doubted():
    start = WHOLE.index(SCAN)
    for begin, end in zip([start, *scan_ends(WHOLE)], scan_ends(WHOLE), strict=False):
        body = WHOLE.index(SCAN, begin) + 2
        (length,) = struct.unpack_from(">H", WHOLE, body)
        assert "last block" in doubt_of_scans(WHOLE[: body + length] + WHOLE[end:])


@settings(max_examples=80, deadline=None)
@given(where=st.floats(0.1, 0.98), value=st.integers(0, 254))
def test_a_changed_byte_ends_in_a_reason_or_a_doubt_or_stays_local(where, value):
    """Of some coefficients the value alone may change; of bytes in photographs see reports/benchmarks/damage.json."""
    at = int(where * len(SMALL))
    damaged = SMALL[:at] + bytes([value]) + SMALL[at + 1 :]
    try:
        image = decode(damaged, 120)
    except ImageError as error:
        assert error.what  # noqa: PT017
        return
    difference = np.abs(image.pixels.astype(int) - SMALL_PIXELS).max(axis=2) > 8
    assert image.doubt or difference[DISC].mean() <= 0.05


def test_what_is_too_long_to_be_checked_is_left_to_a_person(monkeypatch):
    monkeypatch.setattr(jpeg_scans, "_MAX_BYTES", 10_000)
    assert "too long to be checked" in decode(WHOLE, 240).doubt
