"""JPEG files: their header, and whether every scan is present."""

import re
import struct
from collections.abc import Iterator

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.exif import UPRIGHT, exif_orientation
from dr_pipeline.fundus.formats.header import Header, truncated

SIGNATURE = b"\xff\xd8\xff"
# Markers of ITU-T T.81, table B.1. Start of frame: C0 … CF without DHT (C4), JPG (C8) and DAC (CC).
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
START_OF_SCAN = 0xDA
END_OF_IMAGE = b"\xff\xd9"
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_APP1 = 0xE1
# A marker within entropy-coded data: 0xFF, followed by neither a stuffed zero nor a fill byte nor a restart.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_COEFFICIENTS = 64
_MAX_SCAN_COMPONENTS = 4  # T.81, B.2.3
# libjpeg passes over every pixel once per scan, about 1 ns each, even if a scan holds 20 bytes: this many pixels take
# 2 s. Encoders write up to 12 scans, which the lower bound always allows.
_MAX_SCANNED_PX, _MIN_SCANS_ALLOWED = 2_000_000_000, 16


def read_jpeg_header(data: bytes) -> Header:
    """Reads the segments up to the first scan, and checks that every scan and an end-of-image marker follow.

    Inside a scan 0xFF is always followed by a stuffed 0x00 or a restart marker (T.81, B.1.1.5). The bytes FF D9 after
    the start of a scan are therefore the end marker; that of an embedded thumbnail precedes it. libjpeg itself only
    warns of a missing end, and fills the rest with grey.

    Raises:
        ImageError: The file ends early, holds no frame, or has so many scans that decoding would take minutes.
    """
    width, height, components, bits, orientation = 0, 0, 0, 0, UPRIGHT
    ids, progressive = b"", False
    for marker, body, end in segments(data):
        if marker in START_OF_FRAME and len(body) >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
            ids, progressive = body[6::3], marker in _PROGRESSIVE
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body[6:])
        elif marker == START_OF_SCAN:
            # Counted first, since parsing that many scans would take long as well.
            _check_scan_count(data.count(bytes((0xFF, START_OF_SCAN)), end) + 1, width * height)
            if data.rfind(END_OF_IMAGE, end) < 0 or not _has_every_scan(data, body, end, ids, progressive):
                raise truncated("JPEG")
    return Header("jpeg", width, height, components, bits, alpha=False, orientation=orientation)


def segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yields marker, body and end of each segment, up to and including the first start of scan.

    Raises:
        ImageError: The file ends before it, or a segment does not begin with a marker.
    """
    position, marker = 2, 0
    while marker != START_OF_SCAN:
        while data[position : position + 2] == b"\xff\xff":  # fill bytes
            position += 1
        if len(data) < position + 4:
            raise truncated("JPEG")
        if data[position] != 0xFF:
            raise ImageError("corrupt JPEG file: no marker where one must be")
        marker = data[position + 1]
        if marker in _STANDALONE:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        end = position + 2 + length
        if length < 2 or len(data) < end:
            raise truncated("JPEG")
        yield marker, data[position + 4 : end], end
        position = end


def _check_scan_count(scans: int, pixels: int) -> None:
    """Raises ImageError if a small file would keep libjpeg busy for minutes."""
    if scans > max(_MIN_SCANS_ALLOWED, _MAX_SCANNED_PX // max(pixels, 1)):
        raise ImageError(f"JPEG of {scans} scans: no camera writes so many", todo="save the picture again")


def _has_every_scan(data: bytes, first: bytes, end: int, ids: bytes, progressive: bool) -> bool:
    """Whether the scans together give every coefficient of every component its last bit (T.81, G.1.1).

    A truncated progressive file with an end marker appended decodes to a complete but blurred picture; a sequential
    one of several scans decodes to a grey one. A truncation within the very last scan goes unnoticed: by libjpeg's
    default that scan holds the last bit of the luma coefficients.

    Args:
        data: The file.
        first: Body of the first start of scan.
        end: Where the first scan's data begin.
        ids: The frame's components.
        progressive: Whether scans hold bands of coefficients, refined bit by bit.
    """
    missing = {(component, k) for component in ids for k in range(_COEFFICIENTS if progressive else 1)}
    body: bytes | None = first
    while True:
        if body is not None:
            missing -= _completed(body, progressive)
            if not missing:
                return True
        match = _MARKER.search(data, end)
        if match is None or match[0] == END_OF_IMAGE or len(data) < match.end() + 2:
            return False
        (length,) = struct.unpack_from(">H", data, match.end())
        end = match.end() + max(length, 2)
        body = data[match.end() + 2 : end] if match[1][0] == START_OF_SCAN else None


def _completed(scan: bytes, progressive: bool) -> set[tuple[int, int]]:
    """The (component, coefficient) pairs that a scan brings to full precision, from its header (T.81, B.2.3)."""
    count = scan[0] if scan else 0
    if count > _MAX_SCAN_COMPONENTS or len(scan) < 4 + 2 * count:
        return set()
    components = scan[1 : 1 + 2 * count : 2]
    if not progressive:
        return {(component, 0) for component in components}
    lowest, highest, bits = scan[-3], scan[-2], scan[-1]
    if bits & 0x0F:  # the point transform: this many low bits follow in later scans
        return set()
    return {(component, k) for component in components for k in range(lowest, min(highest, _COEFFICIENTS - 1) + 1)}
