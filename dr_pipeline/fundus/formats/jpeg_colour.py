"""The colour space of a JPEG stream: as its own marks state it, and as one mark that libjpeg follows declares it.

A JFIF mark means YCbCr (JFIF 1.02), an Adobe mark states which (T.872, 6.5.3), and components of different sampling
are luma and chroma.
"""

import struct

from dr_pipeline.fundus.formats.jpeg import START_OF_FRAME, segments

_APPLICATION_DATA = range(0xE0, 0xF0)
_APP0, _APP14 = 0xE0, 0xEE
_RGB_IDS = (b"RGB", b"rgb")


def is_ycbcr(stream: bytes, *, default: bool) -> bool:
    """Whether a three-component JPEG stream holds YCbCr; `default` if the stream does not state it.

    Raises:
        ImageError: The stream ends early, or is no JPEG.
    """
    ycbcr: bool | None = None
    for marker, body, _ in segments(stream):
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            return True
        if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            ycbcr = body[11] != 0
        elif marker in START_OF_FRAME and len(body) >= 15:
            components, sampling = body[6::3][:3], body[7::3][:3]
            if ycbcr is None and len(set(sampling)) > 1:
                ycbcr = True
            elif ycbcr is None and components in _RGB_IDS:
                ycbcr = False
    return default if ycbcr is None else ycbcr


def with_declared_colour(stream: bytes, *, ycbcr: bool) -> bytes:
    """Replaces a JPEG stream's application data by one Adobe mark, which libjpeg follows: 1 is YCbCr, 0 is RGB.

    JFIF, EXIF and all other application data are removed; an orientation inside the stream has no meaning in DICOM.
    """
    adobe = b"\xff\xee" + struct.pack(">H5sHHHB", 14, b"Adobe", 100, 0, 0, int(ycbcr))
    parts, position = [stream[:2], adobe], 2
    for marker, body, end in segments(stream):
        start = end - len(body) - 4
        position = end
        if marker not in _APPLICATION_DATA:
            parts.append(stream[start:end])
    return b"".join([*parts, stream[position:]])
