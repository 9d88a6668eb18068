"""JPEG files: their header, where their first picture ends, and whether every scan of it is present.

Only the first picture of a file is read. What a phone or a camera writes behind its end marker (a video, further
pictures, a maker's block, padding) is no part of it, and is named by `trailing_data`.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.exif import UPRIGHT, exif_camera, exif_orientation
from dr_pipeline.fundus.formats.header import Header, truncated

SIGNATURE = b"\xff\xd8\xff"
# Markers of ITU-T T.81, table B.1. Start of frame: C0 … CF without DHT (C4), JPG (C8) and DAC (CC).
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
START_OF_SCAN = 0xDA
START_OF_IMAGE = b"\xff\xd8"
END_OF_IMAGE = b"\xff\xd9"
_PROGRESSIVE_HUFFMAN = 0xC2
_PROGRESSIVE = frozenset({_PROGRESSIVE_HUFFMAN, 0xCA})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_APP1 = 0xE1
# A marker within entropy-coded data: 0xFF, followed by neither a stuffed zero nor a fill byte nor a restart.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_BLOCK_PX = 8
_COEFFICIENTS = 64
_MAX_SCAN_COMPONENTS = 4  # T.81, B.2.3
# libjpeg passes over every pixel once per scan, about 1 ns each, even if a scan holds 20 bytes: this many pixels take
# 2 s. Encoders write up to 12 scans, which the lower bound always allows.
_MAX_SCANNED_PX, _MIN_SCANS_ALLOWED = 2_000_000_000, 16
# How much of the trailing bytes is looked at to name them.
_SNIFFED_BYTES = 256


@dataclass(frozen=True)
class JpegFile:
    """The first picture of a JPEG file, not decoded.

    Attributes:
        header: What the file states about it.
        end: Bytes from the file's beginning to behind the picture's end marker.
        unit_width: Of a minimum coded unit (MCU), px: the grid on which damage begins and ends.
        unit_height: Of a minimum coded unit, px.
        progressive: Whether its scans hold bands of coefficients, as Huffman codes.
    """

    header: Header
    end: int
    unit_width: int
    unit_height: int
    progressive: bool


def read_jpeg(data: bytes) -> JpegFile:
    """Reads the segments up to the first scan, and checks that every scan and an end-of-image marker follow.

    Inside a scan 0xFF is always followed by a stuffed 0x00 or a restart marker (T.81, B.1.1.5). The first FF D9 after
    the start of a scan, outside of a segment, is therefore the end marker; that of an embedded thumbnail precedes it.

    Raises:
        ImageError: The file ends early, holds no frame, or has so many scans that decoding would take minutes.
    """
    frame, frame_marker, orientation, camera = b"", 0, 0, ""
    for marker, body, end in segments(data):
        if marker in START_OF_FRAME and len(body) >= 6:
            frame, frame_marker = body, marker
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            # A second block is a copy that some program forgot to turn, or the continuation of a long one.
            orientation = orientation or exif_orientation(body[6:])
            camera = camera or exif_camera(body[6:])
        elif marker == START_OF_SCAN:
            header, unit = _read_frame(frame, orientation or UPRIGHT, camera)
            in_bands = frame_marker in _PROGRESSIVE
            picture_end = _follow_scans(data, body, end, header, ids=frame[6::3], progressive=in_bands)
            return JpegFile(header, picture_end, *unit, progressive=frame_marker == _PROGRESSIVE_HUFFMAN)
    raise truncated("JPEG")


def read_jpeg_header(data: bytes) -> Header:
    """The header alone; see `read_jpeg`."""
    return read_jpeg(data).header


def segments(data: bytes, position: int = len(START_OF_IMAGE)) -> Iterator[tuple[int, bytes, int]]:
    """Yields marker, body and end of each segment from `position`, up to and including a start of scan.

    Raises:
        ImageError: The file ends before it, or a segment does not begin with a marker.
    """
    marker = 0
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


def end_of_scan(data: bytes, start: int) -> int:
    """Where the marker behind a scan stands, restarts aside; the end of the data if there is none."""
    match = _MARKER.search(data, start)
    return match.start() if match else len(data)


def trailing_data(data: bytes, end: int) -> str:
    """Names what stands behind the picture; "" if there is nothing but padding."""
    rest = data[end:].lstrip(b"\0\xff")
    if not rest:
        return ""
    head = rest[:_SNIFFED_BYTES]
    if b"ftyp" in head or b"MotionPhoto" in head:
        kind = "a video"
    elif SIGNATURE[1:] in head:
        kind = "another picture"
    else:
        kind = "unknown data"
    return f"{kind} of {len(data) - end} bytes behind the picture"


def _read_frame(frame: bytes, orientation: int, camera: str) -> tuple[Header, tuple[int, int]]:
    """The header, and the width and height of a minimum coded unit (T.81, A.2), from the frame's segment."""
    bits, height, width, components = struct.unpack_from(">BHHB", frame) if frame else (0, 0, 0, 0)
    header = Header("jpeg", width, height, components, bits, alpha=False, orientation=orientation, camera=camera)
    sampling = frame[7::3][:components]
    if len(sampling) < 2:  # a component alone has units of one block, whatever its sampling says
        return header, (_BLOCK_PX, _BLOCK_PX)
    return header, (_BLOCK_PX * max(s >> 4 for s in sampling), _BLOCK_PX * max(s & 0x0F for s in sampling))


def _follow_scans(data: bytes, first: bytes, end: int, header: Header, *, ids: bytes, progressive: bool) -> int:
    """Follows the scans to the end marker and returns where it ends.

    The scans together must give every coefficient of every component its last bit (T.81, G.1.1): a truncated
    progressive file with an end marker appended decodes to a complete but blurred picture. A truncation within the
    very last scan is left to the decoder.

    Args:
        data: The file.
        first: Body of the first start of scan.
        end: Where the first scan's data begin.
        header: For its size.
        ids: The frame's components.
        progressive: Whether scans hold bands of coefficients, refined bit by bit.

    Raises:
        ImageError: A scan or the end marker is missing, or there are too many scans.
    """
    most = max(_MIN_SCANS_ALLOWED, _MAX_SCANNED_PX // max(header.width * header.height, 1))
    missing = {(component, k) for component in ids for k in range(_COEFFICIENTS if progressive else 1)}
    missing -= _completed(first, progressive)
    scans = 1
    while match := _MARKER.search(data, end):
        if match[0] == END_OF_IMAGE:
            if missing:
                break
            return match.end()
        if match[0] == START_OF_IMAGE or len(data) < match.end() + 2:
            break
        (length,) = struct.unpack_from(">H", data, match.end())
        end = match.end() + max(length, 2)
        if match[1][0] == START_OF_SCAN:
            scans += 1
            if scans > most:
                raise ImageError(f"JPEG of over {most} scans: no camera writes so many", todo="save the picture again")
            missing -= _completed(data[match.end() + 2 : end], progressive)
    raise truncated("JPEG")


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
