"""DICOM's pixel element: its native bytes, or its compressed frame out of the fragments."""

import struct

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.dicom.dataset import NATIVE, UNDEFINED_LENGTH, Elements
from dr_pipeline.fundus.formats.header import several_pictures, truncated


def pixel_value(elements: Elements) -> tuple[bool, bytes]:
    """Reads the pixel element that `elements.stream` stands at.

    Returns:
        Whether it is of 16-bit words, and its value: native bytes, or the one frame's fragments joined.

    Raises:
        ImageError: It ends early, or holds no frame or several.
    """
    stream, order = elements.stream, "<" if elements.little else ">"
    head = stream.read(8)
    if len(head) < 8:
        raise truncated("DICOM")
    representation = b"OW" if elements.implicit else head[4:6]
    if elements.implicit:
        (length,) = struct.unpack(f"{order}I", head[4:])
    elif representation in (b"OB", b"OW", b"UN"):
        (length,) = struct.unpack(f"{order}I", _exactly(stream.read(4), 4))
    else:
        raise ImageError("corrupt DICOM file: its pixels are of no known representation")
    if elements.syntax in NATIVE or not elements.syntax:
        if length == UNDEFINED_LENGTH:
            raise ImageError("DICOM that does not say how its pixels are compressed", todo="export it as JPEG")
        return representation == b"OW", _exactly(stream.read(length), length)
    if length != UNDEFINED_LENGTH:
        raise ImageError("corrupt DICOM file: compressed pixels without their fragments")
    return False, _fragments(stream.read())


def _fragments(data: bytes) -> bytes:
    """Joins the fragments of the one frame (PS3.5, A.4): items after the offset table, up to the delimiter."""
    at, items = 0, []
    while True:
        if len(data) < at + 8:
            raise truncated("DICOM")
        group, element, length = struct.unpack_from("<HHI", data, at)
        if (group, element) == (0xFFFE, 0xE0DD):
            break
        if (group, element) != (0xFFFE, 0xE000) or length == UNDEFINED_LENGTH:
            raise ImageError("corrupt DICOM file: no fragment where one must be", todo="copy the file anew")
        items.append(_exactly(data[at + 8 : at + 8 + length], length))
        at += 8 + length
    if not items or not any(items[1:]):
        raise ImageError("DICOM without pixels: its frame is empty", todo="copy the file anew from its source")
    if len(items[0]) > 4:  # one 32-bit offset a frame
        raise several_pictures(f"DICOM of {len(items[0]) // 4} frames")
    return b"".join(items[1:])


def _exactly(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise truncated("DICOM")
    return data
