"""PNG files: their header, and whether all chunks are present and pass their checksums."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.exif import UPRIGHT, exif_camera, exif_orientation
from dr_pipeline.fundus.formats.header import Header, check_size, several_pictures, truncated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS_AT = 24  # in the file: the bits of a sample or index
# Colour type → (colour channels, alpha): PNG specification (third edition), table 12. A palette holds colours.
_COLOUR_TYPES = {0: (1, False), 2: (3, False), 3: (3, False), 4: (1, True), 6: (3, True)}


def read_png_header(data: bytes) -> Header:
    """Reads IHDR, then every chunk up to IEND; the checksums cover the compressed pixels too.

    Raises:
        ImageError: The file ends early, a checksum differs, the first chunk is not IHDR, or the picture is animated.
    """
    header = _read_ihdr(data)
    check_size(header)  # before the rest is read
    for kind, body in _chunks(data):
        if kind == b"eXIf":
            block = bytes(body)
            header = replace(header, orientation=exif_orientation(block), camera=exif_camera(block))
        elif kind == b"tRNS":
            header = replace(header, alpha=True)
        elif kind == b"acTL":
            raise several_pictures("animated PNG")
    return header


def with_grey_palette(data: bytes) -> bytes:
    """The same file; each colour of its palette, where it has one, is its index as grey, black for 0.

    Raises:
        ImageError: As `read_png_header`.
    """
    chunks = [
        (kind, bytes(value for index in range(1 << min(data[_BITS_AT], 8)) for value in (index,) * 3))
        if kind == b"PLTE"
        else (kind, bytes(body))
        for kind, body in _chunks(data)
    ]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _read_ihdr(data: bytes) -> Header:
    start = len(SIGNATURE)
    if len(data) < start + 25:
        raise truncated("PNG")
    length, kind, width, height, bits, colour_type = struct.unpack_from(">I4sIIBB", data, start)
    if kind != b"IHDR" or length != 13 or colour_type not in _COLOUR_TYPES:
        raise ImageError("corrupt PNG file: it does not begin with a valid IHDR")
    channels, alpha = _COLOUR_TYPES[colour_type]
    return Header("png", width, height, channels, bits, alpha=alpha, orientation=UPRIGHT)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yields kind and body of each chunk up to IEND; checksums are verified."""
    view, position, kind = memoryview(data), len(SIGNATURE), b""
    while kind != b"IEND":
        if len(data) < position + 12:
            raise truncated("PNG")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if len(data) < end + 4:
            raise truncated("PNG")
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ImageError(f"corrupt PNG file: checksum of chunk {kind!r} differs", todo="copy the file again")
        yield kind, view[position + 8 : end]
        position = end + 4
