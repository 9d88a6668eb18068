"""PNG: every chunk and checksum counts; animations and bombs are refused."""

import time

import pytest

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from tests.factories.drawings import (
    draw_fundus,
    encode,
    png_chunk,
    png_header_only,
    with_png_chunk,
)
from tests.factories.refusals import assert_refused

PICTURE = draw_fundus(240, 200, 118, 103, 95)
PNG = encode(PICTURE, ".png")
BAD = {
    "png signature alone": (PNG[:8], "truncated PNG"),
    "png cut in IHDR": (PNG[:20], "truncated PNG"),
    "png cut at 50 %": (PNG[: len(PNG) // 2], "truncated PNG"),
    "png without IEND": (PNG[:-12], "truncated PNG"),
    "png with a changed byte": (PNG[:5000] + bytes([PNG[5000] ^ 1]) + PNG[5001:], "checksum"),
    "png, animated": (with_png_chunk(PNG, b"acTL", bytes(8)), "animated PNG"),
    "png without pixels": (png_header_only(300, 300), "truncated or corrupt"),
    "png bomb": (png_header_only(50_000, 50_000), "megapixels"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name):
    assert_refused(*BAD[name])


def test_a_chunk_after_the_pixels_is_checked_too():
    broken = PNG[:-12] + png_chunk(b"tEXt", b"a\0b")[:-1] + b"\0" + PNG[-12:]
    with pytest.raises(ImageError, match="checksum"):
        decode(broken, 64)


def test_a_bomb_is_refused_before_it_is_decoded():
    start = time.perf_counter()
    for name in (name for name in BAD if "bomb" in name):
        with pytest.raises(ImageError):
            decode(BAD[name][0], 64)
    assert time.perf_counter() - start < 0.05
