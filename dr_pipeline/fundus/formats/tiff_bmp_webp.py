"""Headers of the formats that fundus cameras rarely write: TIFF, BMP, WebP."""

import struct

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.exif import UPRIGHT, exif_orientation
from dr_pipeline.fundus.formats.header import Header, several_pictures, truncated

# TIFF 6.0 tags.
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 256, 257, 258, 262
_ORIENTATION, _SAMPLES, _SAMPLE_FORMAT = 274, 277, 339
_TIFF_TAGS = frozenset({_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _SAMPLE_FORMAT})
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_TIFF_REDUCED_OR_MASK = 0b101  # NewSubfileType: a smaller copy (bit 0), or a transparency mask (bit 2)
_TIFF_UNSIGNED = 1
# PhotometricInterpretation → (colour channels, samples): two greys, RGB, palette, CMYK, YCbCr.
_PHOTOMETRIC_COLOURS = {0: (1, 1), 1: (1, 1), 2: (3, 3), 3: (3, 1), 5: (4, 4), 6: (3, 3)}
# Directories may point back at themselves, and each may claim 65,535 entries.
_MAX_PAGES, _MAX_ENTRIES = 1000, 4096


def read_tiff_header(data: bytes) -> Header:
    """Reads the first directory; further full-size pages are refused, thumbnails are not.

    Raises:
        ImageError: The file ends early, has several pages or endless directories, or its samples are not unsigned
            integers.
    """
    order = "<" if data[:2] == b"II" else ">"
    pages: list[dict[int, int]] = []
    try:
        (offset,) = struct.unpack_from(f"{order}I", data, 4)
        while offset and len(pages) < _MAX_PAGES:
            page, offset = _read_directory(data, order, offset)
            pages.append(page)
    except struct.error:
        raise truncated("TIFF") from None
    if not pages:
        raise ImageError("corrupt TIFF file: it has no picture")
    if sum(not page.get(_SUBFILE, 0) & _TIFF_REDUCED_OR_MASK for page in pages) > 1:
        raise several_pictures(f"TIFF of {len(pages)} pages")
    first = pages[0]
    if first.get(_SAMPLE_FORMAT, _TIFF_UNSIGNED) != _TIFF_UNSIGNED:
        raise ImageError("TIFF with signed or floating-point samples is no photograph")
    colours, samples = _PHOTOMETRIC_COLOURS.get(first.get(_PHOTOMETRIC, 0), (0, 0))
    return Header(
        "tiff",
        first.get(_WIDTH, 0),
        first.get(_HEIGHT, 0),
        colours,
        first.get(_BITS, 1),
        alpha=first.get(_SAMPLES, 1) > samples,
        orientation=first[_ORIENTATION] if 1 <= first.get(_ORIENTATION, 0) <= 8 else UPRIGHT,
    )


def _read_directory(data: bytes, order: str, offset: int) -> tuple[dict[int, int], int]:
    """Returns the first value of each tag that is used, and the offset of the next directory (0: none)."""
    (entries,) = struct.unpack_from(f"{order}H", data, offset)
    if entries > _MAX_ENTRIES:
        raise ImageError(f"corrupt TIFF file: a directory of {entries} entries", todo="save the picture again")
    values: dict[int, int] = {}
    for number in range(entries):
        entry = offset + 2 + 12 * number
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
        if tag in _TIFF_TAGS and kind in _TIFF_TYPES and count:
            item = f"{order}{_TIFF_TYPES[kind]}"
            value_offset = entry + 8
            if count * struct.calcsize(item) > 4:  # then the entry holds an offset
                (value_offset,) = struct.unpack_from(f"{order}I", data, value_offset)
            (values[tag],) = struct.unpack_from(item, data, value_offset)
    (next_offset,) = struct.unpack_from(f"{order}I", data, offset + 2 + 12 * entries)
    return values, int(next_offset)


def read_bmp_header(data: bytes) -> Header:
    """Reads a Windows bitmap's header; a fourth channel there is padding by convention, not alpha.

    Raises:
        ImageError: The file is shorter than its header states.
    """
    if len(data) < 30:
        raise truncated("BMP")
    (length,) = struct.unpack_from("<I", data, 2)
    if length > len(data):
        raise truncated("BMP")
    width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    return Header("bmp", abs(width), abs(height), 3, min(bits, 8), alpha=False, orientation=UPRIGHT)


def read_webp_header(data: bytes) -> Header:
    """Reads the RIFF chunks of a WebP file (RFC 9649).

    Raises:
        ImageError: The file ends early, is animated, or holds no picture.
    """
    if len(data) < 20 or len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise truncated("WebP")
    position, alpha, orientation = 12, False, UPRIGHT
    sides: tuple[int, int] | None = None
    while position + 8 <= len(data):
        kind, (length,) = data[position : position + 4], struct.unpack_from("<I", data, position + 4)
        body = data[position + 8 : position + 8 + length]
        if kind == b"VP8X" and len(body) >= 10:
            alpha = bool(body[0] & 0x10)
            if body[0] & 0x02:
                raise several_pictures("animated WebP")
        elif kind == b"VP8 " and len(body) >= 10:
            width, height = struct.unpack_from("<HH", body, 6)
            sides = (width & 0x3FFF, height & 0x3FFF)
        elif kind == b"VP8L" and len(body) >= 5:
            (packed,) = struct.unpack_from("<I", body, 1)
            sides = ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
            alpha = alpha or bool(packed >> 28 & 1)
        elif kind == b"EXIF":
            orientation = exif_orientation(body)
        position += 8 + length + (length & 1)
    if sides is None:
        raise ImageError("corrupt WebP file: it holds no picture")
    return Header("webp", sides[0], sides[1], 3, 8, alpha=alpha, orientation=orientation)
