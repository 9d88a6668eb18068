"""JPEG streams inside DICOM: which colour space they are in, and how libjpeg is told.

DICOM's header often says RGB of a stream that is YCbCr, because a compressor forgot to change it; read by the header
alone the picture would come out green. The stream's own marks are therefore believed first, as dcm4che and pydicom do:
a JFIF mark means YCbCr (JFIF 1.02), an Adobe mark says which (T.872, 6.5.3), chroma of fewer samples than luma is
chroma. Where the stream is silent, the header's photometric interpretation counts.
"""

import struct

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.header import Header, truncated
from dr_pipeline.fundus.formats.jpeg import START_OF_FRAME, START_OF_SCAN, segments

_APPLICATION_DATA = range(0xE0, 0xF0)
_APP0, _APP14 = 0xE0, 0xEE
_JPEG_LS_FRAME = 0xF7  # T.87, table C.1: SOF55
_END = b"\xff\xd9"
_RGB_IDS = (b"RGB", b"rgb")
# Start and size of a JPEG 2000 codestream (T.800, A.4.1 and A.5.1).
_J2K_START = b"\xff\x4f\xff\x51"
_TILE_PART = 0xFF90


def jpeg_is_ycbcr(stream: bytes, photometric: str) -> bool:
    """Whether a three-component JPEG stream holds YCbCr.

    Args:
        stream: The JPEG.
        photometric: What the DICOM header says.

    Raises:
        ImageError: The stream ends early, or is no JPEG.
    """
    adobe: bool | None = None
    for marker, body, _ in segments(stream):
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            return True
        if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11] != 0
        elif marker in START_OF_FRAME and len(body) >= 15:
            components, sampling = body[6::3][:3], body[7::3][:3]
            if adobe is None and len(set(sampling)) > 1:
                adobe = True
            elif adobe is None and components in _RGB_IDS:
                adobe = False
    return photometric.startswith("YBR") if adobe is None else adobe


def with_declared_colour(stream: bytes, *, ycbcr: bool) -> bytes:
    """Rewrites a JPEG stream's application data so that libjpeg takes its colours as told.

    JFIF, EXIF and all other application data go (a turn inside the stream is none of DICOM's), and one Adobe mark
    says which colour space it is: 1 is YCbCr, 0 is RGB.
    """
    parts, at = [stream[:2], _adobe(ycbcr=ycbcr)], 2
    for marker, body, end in segments(stream):
        start = end - len(body) - 4
        at = end
        if marker not in _APPLICATION_DATA:
            parts.append(stream[start:end])
    return b"".join([*parts, stream[at:]])


def _adobe(*, ycbcr: bool) -> bytes:
    return b"\xff\xee" + struct.pack(">H5sHHHB", 14, b"Adobe", 100, 0, 0, int(ycbcr))


def jpeg_stream_header(stream: bytes) -> Header:
    """Sides, components and bits of a JPEG or JPEG-LS stream, which must have its end.

    Raises:
        ImageError: The stream ends early, or is no JPEG.
    """
    if not stream.startswith(b"\xff\xd8\xff"):
        raise ImageError("corrupt DICOM file: its pixels are no JPEG")
    found = None
    for marker, body, end in segments(stream):
        if (marker in START_OF_FRAME or marker == _JPEG_LS_FRAME) and len(body) >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
            found = Header("jpeg", width, height, components, bits, alpha=False, orientation=1)
        elif marker == START_OF_SCAN and stream.rfind(_END, end) < 0:
            raise truncated("JPEG")
    if found is None:
        raise ImageError("corrupt DICOM file: its JPEG holds no frame")
    return found


def jpeg2000_codestream(stream: bytes) -> tuple[bytes, Header]:
    """The codestream, out of the boxes of a JP2 file where it is in one, and its header.

    Raises:
        ImageError: There is none, it ends early, or its components differ in size or depth.
    """
    start = stream.find(_J2K_START, 0, 4096)
    if start < 0 or len(stream) < start + 42:
        raise ImageError("corrupt DICOM file: its pixels are no JPEG 2000 codestream")
    x1, y1, x0, y0 = struct.unpack_from(">4I", stream, start + 8)
    (components,) = struct.unpack_from(">H", stream, start + 40)
    kinds = {stream[start + 42 + 3 * number : start + 45 + 3 * number] for number in range(min(components, 4))}
    kind = kinds.pop() if len(kinds) == 1 else b""
    if kind[1:] != b"\1\1" or kind[0] & 0x80:
        raise ImageError("JPEG 2000 whose components differ, are subsampled or signed is not read")
    header = Header("jpeg2000", x1 - x0, y1 - y0, components, kind[0] + 1, alpha=False, orientation=1)
    return stream[start : _end_of_codestream(stream, start + 2)], header


def _end_of_codestream(stream: bytes, at: int) -> int:
    """Follows the main header's segments, then the tile-parts' lengths, to the end marker (T.800, A.2 to A.4)."""
    while len(stream) >= at + 4 and stream[at : at + 2] != _END:
        marker, length = struct.unpack_from(">HH", stream, at)
        if marker != _TILE_PART:
            at += 2 + length
        elif len(stream) >= at + 12:
            (part,) = struct.unpack_from(">I", stream, at + 6)
            # 0: the last tile-part, up to the end marker.
            at = stream.rfind(_END, at) if part == 0 else at + max(part, 12)
        else:
            break
        if at < 0:
            break
    if at < 0 or stream[at : at + 2] != _END:
        raise truncated("JPEG 2000")
    return at + 2
