"""The header of a JPEG file, and whether its picture is all there."""

import struct
from collections.abc import Iterator

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.exif import UPRIGHT, exif_orientation
from dr_pipeline.fundus.header import Header, truncated

SIGNATURE = b"\xff\xd8\xff"
# Markers of ITU-T T.81, table B.1. Start of frame: C0 … CF without DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"
_APP1 = 0xE1


def read_jpeg_header(data: bytes) -> Header:
    """Reads the segments up to the first scan, and checks that an end-of-image marker follows it.

    Inside a scan 0xFF is always followed by a stuffed 0x00 or a restart marker (T.81, B.1.1.5), so the bytes
    FF D9 after its start are the end marker; the one of an embedded thumbnail lies before it. libjpeg itself only
    warns of a missing end and fills the rest with grey.

    Raises:
        ImageError: The file ends early, or holds no frame.
    """
    width, height, components, bits, orientation = 0, 0, 0, 0, UPRIGHT
    for marker, body, end in _segments(data):
        if marker in _START_OF_FRAME and len(body) >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body[6:])
        elif marker == _START_OF_SCAN and data.rfind(_END_OF_IMAGE, end) < 0:
            raise truncated("JPEG")
    return Header("jpeg", width, height, components, bits, alpha=False, orientation=orientation)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, body and end of each segment, up to and with the first start of scan."""
    at, marker = 2, 0
    while marker != _START_OF_SCAN:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if len(data) < at + 4:
            raise truncated("JPEG")
        if data[at] != 0xFF:
            raise ImageError("corrupt JPEG file: no marker where one must be")
        marker = data[at + 1]
        if marker in _STANDALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or len(data) < end:
            raise truncated("JPEG")
        yield marker, data[at + 4 : end], end
        at = end
