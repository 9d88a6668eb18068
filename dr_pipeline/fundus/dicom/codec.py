"""The codec that a DICOM's pixels are really in: files exist whose transfer syntax names another.

A JPEG, JPEG-LS, JPEG 2000 or run-length stream says by its first bytes what it is; native pixels are recognised by
their length. What says nothing is taken as what the transfer syntax states, and fails there if it is not.
"""

import struct

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.elements import EXPLICIT_LITTLE, NATIVE
from dr_pipeline.fundus.formats.jpeg import SIGNATURE as JPEG_SIGNATURE
from dr_pipeline.fundus.formats.jpeg import START_OF_FRAME, segments

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})

JPEG_LS_FRAME = 0xF7  # T.87, table C.1: SOF55
# Start and size of a JPEG 2000 codestream (T.800, A.4.1 and A.5.1); the first box of a file around it (I.5.1).
J2K_START = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\0\0\0\x0cjP  \r\n\x87\n"
_LOSSLESS_FRAME = 0xC3  # T.81, table B.1: SOF3
_RLE_HEADER_BYTES, _RLE_SEGMENTS = 64, range(1, 16)  # PS3.5, annex G


def syntax_of(pixels: bytes, stated: str, *, encapsulated: bool, native_bytes: int) -> str:
    """The transfer syntax that the pixels are in.

    Args:
        pixels: The pixel element's value; the joined fragments if it is encapsulated.
        stated: The file's transfer syntax; "" if it states none.
        encapsulated: Whether the pixels were fragments.
        native_bytes: What the picture takes uncompressed.

    Raises:
        ImageError: The pixels are in no known codec.
    """
    native = not stated or stated in NATIVE
    if not encapsulated and len(pixels) in (native_bytes, native_bytes + native_bytes % 2):
        return stated if native else EXPLICIT_LITTLE
    found = _families(pixels)
    if stated in found:
        return stated
    if found:
        return found[0]
    if native and encapsulated:
        raise ImageError("DICOM that does not say how its pixels are compressed", todo="export it as JPEG")
    if not native and not encapsulated:
        raise ImageError("DICOM whose transfer syntax and pixels contradict each other", todo="export it again")
    return stated


def _families(stream: bytes) -> tuple[str, ...]:
    """The transfer syntaxes of streams that begin like this one, the first of them the usual; none if unknown."""
    if stream.startswith(JPEG_SIGNATURE):
        return _of_jpeg(stream)
    if stream.startswith((J2K_START, _JP2_BOX)):
        return tuple(sorted(JPEG_2000, reverse=True))
    if len(stream) > _RLE_HEADER_BYTES:
        segment_count, first = struct.unpack_from("<II", stream)
        if segment_count in _RLE_SEGMENTS and first == _RLE_HEADER_BYTES:
            return (RLE,)
    return ()


def _of_jpeg(stream: bytes) -> tuple[str, ...]:
    for marker, body, _ in segments(stream):
        if marker == JPEG_LS_FRAME:
            return tuple(sorted(JPEG_LS))
        if marker == _LOSSLESS_FRAME:
            return tuple(sorted(JPEG_LOSSLESS))
        if marker in START_OF_FRAME and body:
            return (JPEG_BASELINE, JPEG_EXTENDED) if body[0] == 8 else (JPEG_EXTENDED,)
    return ()
