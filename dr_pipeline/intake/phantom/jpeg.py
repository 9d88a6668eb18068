"""JPEG files with the segments cv2 does not write: an EXIF orientation, a comment."""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

# EXIF orientation (CIPA DC-008, tag 0x0112) → the rotation by which an upright picture is stored so.
STORED = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_COUNTERCLOCKWISE, 8: cv2.ROTATE_90_CLOCKWISE}
_START_OF_IMAGE = b"\xff\xd8"


def encode(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """Compresses an RGB picture (height, width, 3)."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise RuntimeError(f"cv2 could not encode a picture of shape {rgb.shape}")
    return data.tobytes()


def encode_turned(rgb: NDArray[np.uint8], quality: int, orientation: int) -> bytes:
    """Stores an upright picture rotated, with the EXIF orientation by which a viewer turns it back."""
    return with_orientation(encode(cv2.rotate(rgb, STORED[orientation]), quality), orientation)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The same stored picture with an EXIF orientation, 1 to 8."""
    return _with_segment(jpeg, 0xE1, _exif(orientation))


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same picture, pixel for pixel, in a file with other bytes."""
    return _with_segment(jpeg, 0xFE, text.encode())


def _exif(orientation: int) -> bytes:
    """An EXIF body with one directory of one entry: tag 0x0112, type SHORT, count 1."""
    directory = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + directory


def _with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Inserts a segment right after the start-of-image marker; its length field counts itself."""
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
    return _START_OF_IMAGE + segment + jpeg[len(_START_OF_IMAGE) :]
