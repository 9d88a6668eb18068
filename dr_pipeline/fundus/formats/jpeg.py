"""The header of a JPEG file, and whether its picture is all there."""

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
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_END_OF_IMAGE = b"\xff\xd9"
_APP1 = 0xE1
# A marker among entropy-coded data: 0xFF, then neither a stuffed zero nor a fill byte nor a restart.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_COEFFICIENTS = 64
_MAX_SCAN_COMPONENTS = 4  # T.81, B.2.3
# libjpeg passes over every pixel once per scan, about 1 ns each, even where a scan holds 20 bytes: so many pixels
# are 2 s. Encoders write up to 12 scans; the least that is always read leaves them room.
_MAX_SCANNED_PX, _SCANS_ALWAYS_READ = 2_000_000_000, 16


def read_jpeg_header(data: bytes) -> Header:
    """Reads the segments up to the first scan, and checks that every scan and an end-of-image marker follow.

    Inside a scan 0xFF is always followed by a stuffed 0x00 or a restart marker (T.81, B.1.1.5), so the bytes
    FF D9 after its start are the end marker; the one of an embedded thumbnail lies before it. libjpeg itself only
    warns of a missing end and fills the rest with grey.

    Raises:
        ImageError: The file ends early, holds no frame, or so many scans that decoding it would take minutes.
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
            # First: to look at so many scans one by one would take long as well.
            _refuse_scans(data.count(bytes((0xFF, START_OF_SCAN)), end) + 1, width * height)
            if data.rfind(_END_OF_IMAGE, end) < 0 or not _has_every_scan(data, body, end, ids, progressive):
                raise truncated("JPEG")
    return Header("jpeg", width, height, components, bits, alpha=False, orientation=orientation)


def _refuse_scans(scans: int, pixels: int) -> None:
    """Raises ImageError where a small file would keep libjpeg busy for minutes."""
    if scans > max(_SCANS_ALWAYS_READ, _MAX_SCANNED_PX // max(pixels, 1)):
        raise ImageError(f"JPEG of {scans} scans: no camera writes so many", todo="save the picture anew")


def segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, body and end of each segment, up to and with the first start of scan.

    Raises:
        ImageError: The file ends before it, or a segment does not begin with a marker.
    """
    at, marker = 2, 0
    while marker != START_OF_SCAN:
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


def _has_every_scan(data: bytes, first: bytes, end: int, ids: bytes, progressive: bool) -> bool:
    """Whether the scans together give every coefficient of every component its last bit (T.81, G.1.1).

    A progressive file that was cut, and an end marker put after the cut, decodes to a whole but blurred picture; so
    does a sequential one of several scans, to a grey one. What is cut off the very last scan is not noticed: libjpeg's
    default gives there the last bit of the brightness's coefficients.

    Args:
        data: The file.
        first: Body of the first start of scan.
        end: Where the first scan's data begin.
        ids: The frame's components.
        progressive: Whether scans give bands of coefficients, bit by bit.
    """
    missing = {(component, k) for component in ids for k in range(_COEFFICIENTS if progressive else 1)}
    body: bytes | None = first
    while True:
        if body is not None:
            missing -= _completed(body, progressive)
            if not missing:
                return True
        found = _MARKER.search(data, end)
        if found is None or found[0] == _END_OF_IMAGE or len(data) < found.end() + 2:
            return False
        (length,) = struct.unpack_from(">H", data, found.end())
        end = found.end() + max(length, 2)
        body = data[found.end() + 2 : end] if found[1][0] == START_OF_SCAN else None


def _completed(scan: bytes, progressive: bool) -> set[tuple[int, int]]:
    """The components' coefficients that a scan brings to full precision, from its header (T.81, B.2.3)."""
    count = scan[0] if scan else 0
    if count > _MAX_SCAN_COMPONENTS or len(scan) < 4 + 2 * count:
        return set()
    components = scan[1 : 1 + 2 * count : 2]
    if not progressive:
        return {(component, 0) for component in components}
    lowest, highest, bits = scan[-3], scan[-2], scan[-1]
    if bits & 0x0F:  # the point transform: so many low bits are still to come
        return set()
    return {(component, k) for component in components for k in range(lowest, min(highest, _COEFFICIENTS - 1) + 1)}
