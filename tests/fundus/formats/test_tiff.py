"""TIFF, BMP and WebP: one complete picture is read, everything else is refused."""

import io
import struct
import time

import numpy as np
import pytest
import tifffile

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import decode
from dr_pipeline.fundus.opencv import cv2
from tests.factories.drawings import (
    draw_fundus,
    encode,
    multipage,
    pil_file,
    plain_tiff,
)
from tests.factories.refusals import assert_refused

PICTURE = draw_fundus(240, 200, 118, 103, 95)
TIFF, BMP = encode(PICTURE, ".tiff"), encode(PICTURE, ".bmp")
WEBP = encode(PICTURE, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)


def tiff_claiming(width, height):
    whole = plain_tiff([PICTURE])
    for tag, side in ((256, width), (257, height)):
        at = whole.rindex(struct.pack("<HHI", tag, 4, 1)) + 8
        whole = whole[:at] + struct.pack("<I", side) + whole[at + 4 :]
    return whole


def webp_claiming(width, height):
    at = WEBP.index(b"VP8L") + 9
    (packed,) = struct.unpack_from("<I", WEBP, at)
    packed = packed >> 28 << 28 | (height - 1) << 14 | (width - 1)
    return WEBP[:at] + struct.pack("<I", packed) + WEBP[at + 4 :]


def tiff_of_strips(pixels, rows=20):
    """A TIFF whose directory comes first, as cameras write it, so that a cut leaves the header whole."""
    height, width, _ = pixels.shape
    count = -(-height // rows)
    bits_at = 8 + 2 + 12 * 10 + 4
    offsets_at = bits_at + 6
    pixels_at = offsets_at + 8 * count
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, bits_at), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, count, offsets_at), (274, 3, 1, 1), (277, 3, 1, 3), (278, 4, 1, rows)]
    tags += [(279, 4, count, offsets_at + 4 * count)]
    out = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    strip = rows * width * 3
    out += struct.pack("<3H", 8, 8, 8) + struct.pack(f"<{count}I", *(pixels_at + k * strip for k in range(count)))
    return out + struct.pack(f"<{count}I", *[strip] * count) + pixels.tobytes()


BAD = {
    "tiff bomb": (tiff_claiming(50_000, 50_000), "megapixels"),
    "bmp bomb": (BMP[:18] + struct.pack("<ii", 50_000, 50_000) + BMP[26:], "megapixels"),
    "bmp bomb, top down": (BMP[:18] + struct.pack("<ii", 50_000, -50_000) + BMP[26:], "megapixels"),
    "webp bomb": (webp_claiming(16_383, 16_383), "megapixels"),
    "tiff cut": (TIFF[: len(TIFF) // 2], "truncated"),
    "tiff header alone": (TIFF[:8], "truncated or corrupt TIFF"),
    "tiff of two pages": (multipage(PICTURE, "TIFF"), "TIFF of 2 pages"),
    "tiff of floats with NaN": (encode(np.full((80, 80), np.nan, np.float32), ".tiff"), "floating-point"),
    "cmyk tiff": (pil_file(PICTURE, "TIFF", "CMYK"), "CMYK"),
    "tiff whose directory names itself": (b"II*\0" + b"\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0", "TIFF"),
    "bmp cut": (BMP[:-1], "truncated BMP"),
    "webp cut": (WEBP[: len(WEBP) // 2], "truncated WebP"),
    "webp, animated": (multipage(PICTURE, "WEBP"), "animated WebP"),
}  # fmt: skip
SLOW = {
    "directory of 65,535 entries that names itself": (
        b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 256, 4, 1, 512) * 65_535 + struct.pack("<I", 8),
        "truncated or corrupt TIFF",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name):
    assert_refused(*BAD[name])


@pytest.mark.parametrize("name", SLOW)
def test_a_header_that_would_take_minutes_is_refused_at_once(name):
    assert_refused(*SLOW[name], within_s=1)


@pytest.mark.parametrize("fraction", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_a_tiff_that_lacks_strips_is_refused(fraction):
    whole = tiff_of_strips(PICTURE)
    assert np.array_equal(decode(whole, 200).pixels, PICTURE)
    with pytest.raises(ImageError, match="truncated"):
        decode(whole[: round(fraction * len(whole))], 64)


def test_a_thumbnail_page_does_not_count():
    pages = [PICTURE, PICTURE[::2, ::2][:100, :120]]
    assert np.array_equal(decode(plain_tiff(pages, subfiles=(0, 1)), 200).pixels, PICTURE)
    with pytest.raises(ImageError, match="2 pages"):
        decode(plain_tiff(pages), 200)


def test_a_bomb_is_refused_before_it_is_decoded():
    start = time.perf_counter()
    for name in (name for name in BAD if "bomb" in name):
        with pytest.raises(ImageError):
            decode(BAD[name][0], 64)
    assert time.perf_counter() - start < 0.1


def written(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **{"photometric": "rgb", **options})
    return buffer.getvalue()


def in_planes(pixels):
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def twelve_bits(pixels):
    """Two samples in three bytes (TIFF 6.0, page 30), rows padded to whole bytes."""
    deep = np.rint(pixels.reshape(len(pixels), -1) * (4095 / 255)).astype(np.uint16)
    first, second = deep[:, ::2], deep[:, 1::2]
    return np.stack((first >> 4, (first & 15) << 4 | second >> 8, second & 255), axis=2).astype(np.uint8)


def of_twelve_bits(pixels, photometric=2):
    samples = 3 if pixels.ndim == 3 else 1
    data = twelve_bits(pixels).tobytes()
    bits_at, data_at = 8 + 2 + 12 * 9 + 4, 8 + 2 + 12 * 9 + 4 + 6
    tags = [(256, 4, 1, pixels.shape[1]), (257, 4, 1, pixels.shape[0])]
    tags += [(258, 3, 3, bits_at) if samples == 3 else (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, photometric)]
    tags += [(273, 4, 1, data_at), (277, 3, 1, samples), (278, 4, 1, pixels.shape[0]), (279, 4, 1, len(data))]
    directory = struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + directory + struct.pack("<3H", 12, 12, 12) + data


DEEP = PICTURE.astype(np.uint16) * 257
HALF = np.full((200, 240), 128, np.uint8)
OPAQUE = np.dstack((PICTURE, HALF))
DEEP_OPAQUE = OPAQUE.astype(np.uint16) * 257
OVER_BLACK = np.rint(PICTURE * (128 / 255)).astype(np.uint8)
INVERTED = {"photometric": "miniswhite"}
GREY = np.repeat(PICTURE[..., 1:2], 3, axis=2)
LAYOUTS = {
    "separate planes": (written(in_planes(PICTURE), planarconfig="separate"), PICTURE),
    "separate planes of 16 bits": (written(in_planes(DEEP), planarconfig="separate"), PICTURE),
    "separate planes of 16 bits, big-endian": (
        written(in_planes(DEEP), planarconfig="separate", byteorder=">"),
        PICTURE,
    ),
    "separate planes of 16 bits in tiles": (
        written(in_planes(DEEP), planarconfig="separate", tile=(64, 64)),
        PICTURE,
    ),
    "separate planes of 16 bits with alpha": (
        written(in_planes(DEEP_OPAQUE), planarconfig="separate", extrasamples=["unassalpha"]),
        OVER_BLACK,
    ),
    "unspecified fourth sample": (written(OPAQUE, extrasamples=["unspecified"]), PICTURE),
    "unspecified fourth sample of 16 bits": (written(DEEP_OPAQUE, extrasamples=["unspecified"]), PICTURE),
    "associated alpha": (written(OPAQUE, extrasamples=["assocalpha"]), PICTURE),
    "associated alpha of 16 bits": (written(DEEP_OPAQUE, extrasamples=["assocalpha"]), PICTURE),
    "unassociated alpha": (written(OPAQUE, extrasamples=["unassalpha"]), OVER_BLACK),
    "unassociated alpha of 16 bits": (written(DEEP_OPAQUE, extrasamples=["unassalpha"]), OVER_BLACK),
    "white is zero": (written(255 - PICTURE[..., 1], **INVERTED), GREY),
    "white is zero, 16 bits": (written(65535 - DEEP[..., 1], **INVERTED), GREY),
    "12 bits packed": (of_twelve_bits(PICTURE), PICTURE),
    "12 bits packed, grey": (of_twelve_bits(PICTURE[..., 1], 1), GREY),
    "12 bits packed, white is zero": (of_twelve_bits(255 - PICTURE[..., 1], 0), GREY),
    "BigTIFF": (written(PICTURE, bigtiff=True), PICTURE),
    "BigTIFF, big-endian, deflate": (written(DEEP, bigtiff=True, byteorder=">", compression="zlib"), PICTURE),
    "tiles": (written(PICTURE, tile=(64, 64)), PICTURE),
    "LZW": (pil_file(PICTURE, "TIFF", compression="tiff_lzw"), PICTURE),
    "PackBits": (pil_file(PICTURE, "TIFF", compression="packbits"), PICTURE),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_samples_mean_what_the_tags_say(name):
    data, expected = LAYOUTS[name]
    pixels = decode(data, 200).pixels
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_jpeg_inside_a_tiff_is_read():
    data = pil_file(PICTURE, "TIFF", compression="jpeg", quality=95)
    assert np.abs(decode(data, 200).pixels.astype(int) - PICTURE).mean() < 3


def test_the_full_picture_is_read_also_behind_its_thumbnail():
    small = PICTURE[::2, ::2].copy()
    assert np.array_equal(decode(plain_tiff([small, PICTURE], subfiles=(1, 0)), 200).pixels, PICTURE)


def test_an_orientation_of_four_bytes_is_applied():
    turned = plain_tiff([PICTURE.transpose(1, 0, 2).copy()], orientation=5)
    at = turned.rindex(struct.pack("<HHI", 274, 3, 1))
    turned = turned[:at] + struct.pack("<HHII", 274, 4, 1, 5) + turned[at + 12 :]
    assert np.array_equal(decode(turned, 200).pixels, PICTURE)


NOT_READ = {
    "separate deep planes, compressed": (
        written(in_planes(DEEP), planarconfig="separate", compression="zlib"),
        "separate, compressed planes",
    ),
    "five samples": (
        written(np.dstack((OPAQUE, HALF)), extrasamples=["unspecified", "unspecified"]),
        "5 samples of 8 bits",
    ),
    "a compression that OpenCV takes for none": (
        TIFF.replace(struct.pack("<HHII", 259, 3, 1, 5), struct.pack("<HHII", 259, 3, 1, 34712)),
        "compression 34712",
    ),
    "CIE L*a*b*": (written(PICTURE, photometric="cielab"), "colour model 8"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_a_layout_that_is_not_read_is_refused_by_name(name):
    data, reason = NOT_READ[name]
    with pytest.raises(ImageError, match=reason):
        decode(data, 64)
