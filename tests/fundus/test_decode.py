"""Each format and irregularity has one declared policy; a broken file never gives a picture."""

import re
import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.decode import MIN_OVERSAMPLING, decode, decode_png, jpeg_scale, read_header
from dr_pipeline.fundus.formats.header import Header
from dr_pipeline.fundus.opencv import cv2
from tests.factories.drawings import (
    draw_fundus,
    encode,
    exif_block,
    gif,
    jpeg,
    jpeg_claiming,
    multipage,
    pil_file,
    plain_tiff,
    png_chunk,
    png_header_only,
    unturned,
    with_jpeg_exif,
    with_png_chunk,
)

PICTURE = draw_fundus(240, 200, 118, 103, 95)
JPEG, PNG = jpeg(PICTURE), encode(PICTURE, ".png")
TIFF, BMP = encode(PICTURE, ".tiff"), encode(PICTURE, ".bmp")
WEBP = encode(PICTURE, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)
FILES = {"jpeg": JPEG, "png": PNG, "tiff": TIFF, "bmp": BMP, "webp": WEBP}
PROGRESSIVE = encode(PICTURE, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


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


END = b"\xff\xd9"  # put after a cut
THREE_SCANS = in_three_scans(PICTURE)

BAD = {
    "zero bytes": (b"", "empty"),
    "one byte": (b"\xff", "not a JPEG"),
    "text named .jpg": (b"Dear colleague, please find the photograph attached.\n" * 40, "not a JPEG"),
    "html error page": (b"<!DOCTYPE html><html><body>404</body></html>", "not a JPEG"),
    "gif, animated": (gif(PICTURE), "not a JPEG"),
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
    "png signature alone": (PNG[:8], "truncated PNG"),
    "png cut in IHDR": (PNG[:20], "truncated PNG"),
    "png cut at 50 %": (PNG[: len(PNG) // 2], "truncated PNG"),
    "png without IEND": (PNG[:-12], "truncated PNG"),
    "png with a changed byte": (PNG[:5000] + bytes([PNG[5000] ^ 1]) + PNG[5001:], "checksum"),
    "png, animated": (with_png_chunk(PNG, b"acTL", bytes(8)), "animated PNG"),
    "png without pixels": (png_header_only(300, 300), "truncated or corrupt"),
    "png bomb": (png_header_only(50_000, 50_000), "megapixels"),
    "jpeg bomb": (jpeg_claiming(JPEG, 65_000, 65_000), "megapixels"),
    "tiff bomb": (tiff_claiming(50_000, 50_000), "megapixels"),
    "bmp bomb": (BMP[:18] + struct.pack("<ii", 50_000, 50_000) + BMP[26:], "megapixels"),
    "bmp bomb, top down": (BMP[:18] + struct.pack("<ii", 50_000, -50_000) + BMP[26:], "megapixels"),
    "webp bomb": (webp_claiming(16_383, 16_383), "megapixels"),
    "1×1": (encode(PICTURE[:1, :1], ".png"), "1×1"),
    "a strip": (encode(PICTURE[:40], ".png"), "240×40"),
    "tiff cut": (TIFF[: len(TIFF) // 2], "truncated"),
    "tiff header alone": (TIFF[:8], "truncated TIFF"),
    "tiff of two pages": (multipage(PICTURE, "TIFF"), "TIFF of 2 pages"),
    "tiff of floats with NaN": (encode(np.full((80, 80), np.nan, np.float32), ".tiff"), "floating-point"),
    "cmyk tiff": (pil_file(PICTURE, "TIFF", "CMYK"), "CMYK"),
    "tiff whose directory names itself": (b"II*\0" + b"\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0", "TIFF of 1000 pages"),
    "bmp cut": (BMP[:-1], "truncated BMP"),
    "webp cut": (WEBP[: len(WEBP) // 2], "truncated WebP"),
    "webp, animated": (multipage(PICTURE, "WEBP"), "animated WebP"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name):
    data, reason = BAD[name]
    with pytest.raises(ImageError, match=reason):
        decode(data, 64)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


# Each takes half a minute or more where every entry is looked at.
FRAME = segment(0xC2, struct.pack(">BHHB", 8, 600, 600, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0)))
SLOW = {
    "directory of 65,535 entries that names itself": (
        b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 256, 4, 1, 512) * 65_535 + struct.pack("<I", 8),
        "directory of 65535 entries",
    ),
    "20,000 scans of 255 components": (
        b"\xff\xd8" + FRAME + segment(0xDA, b"\xff" + bytes((7, 0)) * 255 + b"\0\x3f\0") * 20_000 + END,
        "20000 scans",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_header_that_would_take_minutes_is_refused_at_once(name):
    data, reason = SLOW[name]
    start = time.perf_counter()
    with pytest.raises(ImageError, match=reason):
        decode(data, 64)
    assert time.perf_counter() - start < 1


def test_a_bomb_is_refused_before_it_is_decoded():
    start = time.perf_counter()
    for name in (name for name in BAD if "bomb" in name):
        with pytest.raises(ImageError):
            decode(BAD[name][0], 64)
    assert time.perf_counter() - start < 0.2


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FILES)))
def test_a_file_cut_anywhere_is_refused(data, kind):
    whole = FILES[kind]
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ImageError):
        decode(whole[:cut], 64)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(FILES)))
def test_changed_bytes_give_a_picture_or_a_reason(data, kind):
    damaged = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, min(400, len(damaged) - 1)))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(damaged), 64)
    except ImageError as error:
        assert error.what  # noqa: PT017
    else:
        assert decoded.pixels.dtype == np.uint8


@pytest.mark.parametrize("kind", sorted(FILES))
def test_every_format_gives_the_same_upright_rgb(kind):
    decoded = decode(FILES[kind], 200)
    assert (decoded.width, decoded.height, decoded.scale) == (240, 200, 1)
    assert read_header(FILES[kind]).channels == 3
    assert decoded.format == kind
    assert decoded.pixels.shape == (200, 240, 3)
    assert decoded.pixels.flags.c_contiguous
    difference = np.abs(decoded.pixels.astype(int) - PICTURE)
    assert difference.mean() < (3 if kind == "jpeg" else 1e-9)


def test_trailing_bytes_after_the_end_are_tolerated():
    assert np.array_equal(decode(JPEG + b"\0" * 500, 200).pixels, decode(JPEG, 200).pixels)


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


def test_progressive_jpegs_and_those_of_several_scans_are_read():
    assert np.abs(decode(PROGRESSIVE, 200).pixels.astype(int) - PICTURE).mean() < 3
    assert np.abs(decode(THREE_SCANS, 200).pixels.astype(int) - PICTURE).mean() < 3


@pytest.mark.parametrize("fraction", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_a_tiff_that_lacks_strips_is_refused(fraction):
    whole = tiff_of_strips(PICTURE)
    assert np.array_equal(decode(whole, 200).pixels, PICTURE)
    with pytest.raises(ImageError, match="truncated"):
        decode(whole[: round(fraction * len(whole))], 64)


def test_sixteen_bits_are_scaled_from_the_full_range():
    deep = PICTURE.astype(np.uint16) * 257
    for extension in (".png", ".tiff"):
        assert np.array_equal(decode(encode(deep, extension), 200).pixels, PICTURE)
    ramp = np.broadcast_to(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], (80, 256, 3)).copy()
    assert np.array_equal(decode(encode(ramp, ".png"), 80).pixels, np.rint(ramp / 257).astype(np.uint8))


@pytest.mark.parametrize("extension", [".png", ".tiff", ".webp"])
def test_transparency_lies_over_black(extension):
    alpha = np.zeros((200, 240, 1), np.uint8)
    alpha[:, 120:] = 255
    hidden = PICTURE.copy()
    hidden[:, :120] = 255  # what a drawing program leaves under transparent pixels
    parameters = (cv2.IMWRITE_WEBP_QUALITY, 101) if extension == ".webp" else ()
    pixels = decode(encode(np.dstack((hidden, alpha)), extension, *parameters), 200).pixels
    assert not pixels[:, :120].any()
    assert np.array_equal(pixels[:, 120:], PICTURE[:, 120:])


def test_a_palette_with_transparency_and_sixteen_bit_alpha_are_read():
    paletted = pil_file(PICTURE, "PNG", "P", transparency=0)
    assert decode(paletted, 200).pixels.shape == PICTURE.shape
    deep = np.dstack((PICTURE, np.full((200, 240), 255, np.uint8))).astype(np.uint16) * 257
    assert np.array_equal(decode(encode(deep, ".png"), 200).pixels, PICTURE)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".tiff"])
def test_grey_gives_three_equal_channels(extension):
    data = encode(PICTURE[..., 1], extension)
    assert read_header(data).channels == 1
    pixels = decode(data, 200).pixels
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


@given(width=st.integers(64, 12_000), height=st.integers(64, 12_000), canvas_px=st.integers(64, 2048))
def test_the_reduced_side_stays_twice_the_canvas(width, height, canvas_px):
    scale = jpeg_scale(Header("jpeg", width, height, 3, 8, alpha=False, orientation=1), canvas_px)
    shorter = min(width, height)
    assert scale in (1, 2, 4)
    assert scale == 1 or shorter / scale >= MIN_OVERSAMPLING * canvas_px
    assert scale == 4 or shorter // (2 * scale) < MIN_OVERSAMPLING * canvas_px  # no slower than it must be
    assert jpeg_scale(Header("png", width, height, 3, 8, alpha=False, orientation=1), canvas_px) == 1


def test_the_pixel_hash_is_of_pixels_not_of_bytes():
    plain, tagged = decode(JPEG, 200), decode(with_jpeg_exif(JPEG, exif_block(1)), 200)
    assert plain.pixel_sha256 == tagged.pixel_sha256
    assert decode(PNG, 200).pixel_sha256 == decode(TIFF, 200).pixel_sha256 == decode(BMP, 200).pixel_sha256
    assert decode(encode(PICTURE.transpose(1, 0, 2).copy(), ".png"), 200).pixel_sha256 != decode(PNG, 200).pixel_sha256
    assert decode(JPEG, 50).pixel_sha256 != plain.pixel_sha256


def test_the_header_is_read_without_decoding():
    header = read_header(with_jpeg_exif(JPEG, exif_block(6)))
    assert header == Header("jpeg", 240, 200, 3, 8, alpha=False, orientation=6)
    assert read_header(PNG) == Header("png", 240, 200, 3, 8, alpha=False, orientation=1)


def test_a_thumbnail_page_does_not_count():
    pages = [PICTURE, PICTURE[::2, ::2][:100, :120]]
    assert np.array_equal(decode(plain_tiff(pages, subfiles=(0, 1)), 200).pixels, PICTURE)
    with pytest.raises(ImageError, match="2 pages"):
        decode(plain_tiff(pages), 200)


def test_a_canvas_round_trips_through_png():
    assert np.array_equal(decode_png(PNG), PICTURE)


def test_a_chunk_after_the_pixels_is_checked_too():
    broken = PNG[:-12] + png_chunk(b"tEXt", b"a\0b")[:-1] + b"\0" + PNG[-12:]
    with pytest.raises(ImageError, match="checksum"):
        decode(broken, 64)
