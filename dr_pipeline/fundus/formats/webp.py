"""WebP files: their header."""

import struct

from dr_pipeline.errors import ImageError
from dr_pipeline.fundus.formats.exif import UPRIGHT, exif_camera, exif_orientation
from dr_pipeline.fundus.formats.header import Header, several_pictures, truncated


def read_webp_header(data: bytes) -> Header:
    """Reads the RIFF chunks of a WebP file (RFC 9649).

    Raises:
        ImageError: The file ends early, is animated, or holds no picture.
    """
    if len(data) < 20 or len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise truncated("WebP")
    position, alpha, orientation, camera = 12, False, UPRIGHT, ""
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
            orientation, camera = exif_orientation(body), exif_camera(body)
        position += 8 + length + (length & 1)
    if sides is None:
        raise ImageError("corrupt WebP file: it holds no picture")
    return Header("webp", sides[0], sides[1], 3, 8, alpha=alpha, orientation=orientation, camera=camera)
